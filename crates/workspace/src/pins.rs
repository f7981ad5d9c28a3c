//! Tools that a repository pins: `mise.toml` in its places (<https://mise.jdx.dev/configuration.html>), and
//! `.tool-versions`, which asdf also reads.
//!
//! This module reads names and versions, to show them to the user. The tool manager in the guest decides what to
//! install, and it sees only the files that are sent.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

use crate::error::WorkspaceError;
use crate::look::Look;
use crate::survey::Survey;

/// Largest file that is read, in bytes.
const MAX_FILE: usize = 256 * 1024;
/// Tools of one file.
const MAX_TOOLS: usize = 200;
/// Characters of a name or version that are kept.
const MAX_WORD: usize = 60;
/// Most tools that are shown by name.
const SHOWN: usize = 12;
/// Files that mise reads in a project, without those that are for one machine alone.
const MISE: &[&str] = &[
    "mise.toml",
    ".mise.toml",
    "mise/config.toml",
    ".mise/config.toml",
    ".config/mise.toml",
    ".config/mise/config.toml",
];
/// File that asdf reads, and mise as well.
const TOOL_VERSIONS: &str = ".tool-versions";

/// Tools that a repository pins.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Pins {
    /// The files that pin them, below the repository's top.
    pub files: Vec<String>,
    /// Versions of tools by their names, as far as they can be read here.
    pub tools: BTreeMap<String, String>,
    /// Names in `.tool-versions`: the tools that asdf would install.
    pub asdf: Vec<String>,
    /// SHA-256 of the files, in hexadecimal digits.
    pub digest: String,
}

impl Pins {
    /// The pinned tools, in words: `node 20, python 3.12 (mise.toml)`.
    pub fn told(&self) -> String {
        let tools = self.tools.iter().take(SHOWN);
        let tools = tools.map(|(name, version)| match version.is_empty() {
            true => name.clone(),
            false => format!("{name} {version}"),
        });
        let mut tools: Vec<_> = tools.collect();
        if self.tools.len() > SHOWN {
            tools.push(format!("and {} more", self.tools.len() - SHOWN));
        }
        let files = self.files.join(", ");
        match tools.is_empty() {
            true => files,
            false => format!("{} ({files})", tools.join(", ")),
        }
    }
}

/// Finds the pinned tools of a repository that is sent to a guest; `None`: nothing is pinned.
///
/// # Errors
/// A file of it cannot be read.
pub fn find(survey: &Survey) -> Result<Option<Pins>, WorkspaceError> {
    let mut pins = Pins::default();
    let mut digest = Sha256::new();
    for file in MISE.iter().chain(&[TOOL_VERSIONS]) {
        if !survey.sends(file) {
            continue;
        }
        let (tools, content) = match survey.look(file, MAX_FILE)? {
            Look::File(content) if *file == TOOL_VERSIONS => (tool_versions(&content), content),
            Look::File(content) => (mise(&content), content),
            // A tool manager may read forms that we do not.
            Look::TooLarge => (Some(BTreeMap::new()), Vec::new()),
            Look::Absent | Look::Other => continue,
        };
        let Some(tools) = tools else { continue };
        digest.update(file.as_bytes());
        digest.update((content.len() as u64).to_le_bytes());
        digest.update(&content);
        pins.files.push((*file).to_owned());
        if *file == TOOL_VERSIONS {
            pins.asdf = tools.keys().cloned().collect();
        }
        for (name, version) in tools {
            pins.tools.entry(name).or_insert(version);
        }
    }
    if pins.files.is_empty() {
        return Ok(None);
    }
    for byte in digest.finalize() {
        // Writing to a string does not fail.
        let _ = write!(pins.digest, "{byte:02x}");
    }
    Ok(Some(pins))
}

/// Of a `mise.toml`; `None` when it pins nothing. One that cannot be read here may still mean something to mise.
pub fn mise(content: &[u8]) -> Option<BTreeMap<String, String>> {
    let text = String::from_utf8_lossy(content);
    let Ok(file) = text.parse::<toml::Table>() else {
        return Some(BTreeMap::new());
    };
    let tools = file.get("tools")?.as_table()?;
    let tools = tools.iter().take(MAX_TOOLS);
    let tools: BTreeMap<_, _> = tools
        .map(|(name, version)| (cut(name), cut(&version_of(version))))
        .collect();
    (!tools.is_empty()).then_some(tools)
}

fn version_of(value: &toml::Value) -> String {
    match value {
        toml::Value::String(version) => version.clone(),
        toml::Value::Array(several) => {
            let several: Vec<_> = several.iter().filter_map(toml::Value::as_str).collect();
            several.join(" ")
        }
        toml::Value::Table(table) => table.get("version").map(version_of).unwrap_or_default(),
        _ => String::new(),
    }
}

/// Of a `.tool-versions`: a name and its versions in each line; `None` when it pins nothing.
pub fn tool_versions(content: &[u8]) -> Option<BTreeMap<String, String>> {
    let text = String::from_utf8_lossy(content);
    let lines = text.lines().filter_map(|line| {
        let line = line.split_once('#').map_or(line, |(line, _)| line);
        let mut words = line.split_whitespace();
        let name = words.next()?;
        Some((cut(name), cut(&words.collect::<Vec<_>>().join(" "))))
    });
    let tools: BTreeMap<_, _> = lines.take(MAX_TOOLS).collect();
    (!tools.is_empty()).then_some(tools)
}

fn cut(word: &str) -> String {
    word.chars()
        .filter(|c| !c.is_control())
        .take(MAX_WORD)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(tools: Option<BTreeMap<String, String>>) -> String {
        let pins = Pins {
            files: vec!["f".to_owned()],
            tools: tools.unwrap(),
            ..Pins::default()
        };
        pins.told()
    }

    #[test]
    fn every_way_to_pin_a_version_is_told() {
        let text = br#"
            min_version = "2024.1"
            [tools]
            node = "20"
            python = ["3.12", "3.11"]
            "cargo:ripgrep" = { version = "14", os = ["linux"] }
            rust = {}
            odd = 3
        "#;
        assert_eq!(
            shown(mise(text)),
            "cargo:ripgrep 14, node 20, odd, python 3.12 3.11, rust (f)"
        );
        let text = b"# tools\nnodejs 20.1.0 system # old\n\n  ruby\t3.3 \n";
        assert_eq!(
            shown(tool_versions(text)),
            "nodejs 20.1.0 system, ruby 3.3 (f)"
        );
    }

    #[test]
    fn files_that_pin_nothing_are_told_apart_from_those_that_are_not_understood() {
        assert_eq!(mise(b"[tasks.build]\nrun = 'make'"), None);
        assert_eq!(mise(b"[tools]"), None);
        assert_eq!(tool_versions(b"# nothing\n\n"), None);
        assert_eq!(shown(mise(b"[tools")), "f");
        assert_eq!(shown(mise(b"\xff")), "f");
    }

    #[test]
    fn much_of_anything_is_bounded() {
        let deep = format!("a = {}", "[".repeat(100_000));
        assert_eq!(mise(deep.as_bytes()), Some(BTreeMap::new()));
        let many: String = (0..5000)
            .map(|n| format!("tool{n} {}\n", "1".repeat(500)))
            .collect();
        let tools = tool_versions(many.as_bytes()).unwrap();
        assert!(tools.len() <= MAX_TOOLS);
        assert!(tools.values().all(|version| version.len() <= MAX_WORD));
        let hostile = tool_versions(b"\x1b]0;x\x07 1").unwrap();
        assert!(hostile.keys().all(|name| !name.contains(char::is_control)));
    }
}
