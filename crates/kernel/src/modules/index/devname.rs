//! `modules.devname`: device nodes that are made before their module is loaded, whose opening loads it (`kmod static-nodes`).

use super::{IndexedModule, is_line};

const HEAD: &str = "# Device nodes to trigger on-demand module loading.\n";

/// The file.
pub(super) fn file(modules: &[IndexedModule]) -> Vec<u8> {
    let lines = modules.iter().filter_map(line);
    (HEAD.to_owned() + &lines.collect::<String>()).into_bytes()
}

/// `name node c10:229` of a module with both aliases `devname:node` and `char-major-10-229`.
fn line(module: &IndexedModule) -> Option<String> {
    let aliases = || module.info.aliases.iter();
    let node = aliases().find_map(|alias| alias.strip_prefix("devname:"))?;
    // The name becomes a path below /dev.
    let is_name = is_line(node) && !node.contains(char::is_whitespace) && !node.contains("..");
    let (kind, number) = aliases().find_map(|alias| number(alias))?;
    is_name.then(|| format!("{} {node} {kind}{number}\n", module.name))
}

fn number(alias: &str) -> Option<(char, String)> {
    let (kind, rest) = match alias.strip_prefix("char-major-") {
        Some(rest) => ('c', rest),
        None => ('b', alias.strip_prefix("block-major-")?),
    };
    let (major, minor) = rest.split_once('-')?;
    let (major, minor) = (major.parse::<u32>().ok()?, minor.parse::<u32>().ok()?);
    Some((kind, format!("{major}:{minor}")))
}
