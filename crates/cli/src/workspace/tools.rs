//! Pinned tools in a guest: which tool manager is there, and how it is told to install.
//!
//! Whoever pins tools may run programs by that (plugins, hooks, templates), which is why mise asks whether a folder is
//! trusted. Here the VM is the answer: the folder is trusted in the guest, through a variable, and nowhere else.

use std::collections::BTreeMap;

use banger_guest::GuestPath;
use banger_workspace::pins::Pins;

/// Longest value that is believed of a guest, in bytes.
const MAX_VALUE: usize = 32 * 1024;
/// Folders in which tool managers are put by their own installers, beside those in `PATH`.
///
/// Prints, each ended by NUL: mise and its shims, asdf and its shims, `PATH`; then for each argument that names a
/// variable which is set, `NAME=VALUE`.
const PROBE: &str = r#"where_is() {
  command -v "$1" 2>/dev/null && return
  for folder in "$HOME/.local/bin" "$HOME/.asdf/bin"; do
    if [ -x "$folder/$1" ]; then echo "$folder/$1"; return; fi
  done
}
data=${XDG_DATA_HOME:-$HOME/.local/share}
printf '%s\0' "$(where_is mise)" "${MISE_DATA_DIR:-$data/mise}/shims" "$(where_is asdf)" "${ASDF_DATA_DIR:-$HOME/.asdf}/shims" "$PATH"
for name; do
  eval "if [ \"\${$name+set}\" ]; then printf '%s\\0' \"$name=\$$name\"; fi"
done"#;
/// Arguments: asdf, then the names of tools. asdf installs nothing of what it has no plugin for.
const ASDF: &str = r#"asdf=$1; shift
for tool; do
  "$asdf" plugin list 2>/dev/null | grep -qxF -e "$tool" || "$asdf" plugin add "$tool" || exit
done
exec "$asdf" install"#;

/// Report of a guest on itself. It may lie: all of it only ever goes back there.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Probe {
    /// mise and its shims.
    mise: Option<(String, String)>,
    /// asdf and its shims.
    asdf: Option<(String, String)>,
    path: String,
    /// Variables that were asked for and are set.
    pub(super) variables: BTreeMap<String, String>,
}

/// A tool manager, and how it installs.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Manager {
    /// Its name.
    pub(super) name: &'static str,
    /// Program and arguments that install what is pinned.
    pub(super) install: Vec<String>,
    /// Variables for that alone.
    pub(super) while_installing: BTreeMap<String, String>,
    /// Variables for all commands, so that they find the tools.
    pub(super) env: BTreeMap<String, String>,
}

/// The command whose output [`Probe::parse`] reads.
pub(super) fn probe(variables: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut argv = ["/bin/sh", "-c", PROBE, "probe"]
        .map(str::to_owned)
        .to_vec();
    argv.extend(variables);
    argv
}

impl Probe {
    /// Answer of a guest; nonsense in it counts as absent.
    pub(super) fn parse(answer: &[u8]) -> Self {
        let fields = answer.split(|byte| *byte == 0);
        let fields = fields.map(|field| std::str::from_utf8(field).unwrap_or_default());
        let mut fields = fields.map(|field| if field.len() > MAX_VALUE { "" } else { field });
        let mut next = || fields.next().unwrap_or_default();
        let mut manager = || {
            let (program, shims) = (next(), next());
            let is_path = |path: &str| GuestPath::new(path).is_ok() && !path.contains(':');
            (is_path(program) && is_path(shims)).then(|| (program.to_owned(), shims.to_owned()))
        };
        let (mise, asdf) = (manager(), manager());
        let path = next().to_owned();
        let variables = fields.filter_map(|field| {
            let (name, value) = field.split_once('=')?;
            Some((name.to_owned(), value.to_owned()))
        });
        Self {
            mise,
            asdf,
            path,
            variables: variables.collect(),
        }
    }

    /// Programs are looked for in `path` instead of what the guest says.
    pub(super) fn found_in(&mut self, path: &str) {
        path.clone_into(&mut self.path);
    }

    /// asdf is there.
    pub(super) fn has_asdf(&self) -> bool {
        self.asdf.is_some()
    }

    /// The tool manager that can read what is pinned.
    pub(super) fn manager(&self, pins: &Pins, workspace: &str) -> Option<Manager> {
        let words = |words: &[&str]| {
            words
                .iter()
                .map(|word| (*word).to_owned())
                .collect::<Vec<_>>()
        };
        let variables = |all: &[(&str, &str)]| {
            let all = all
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            all.collect::<BTreeMap<_, _>>()
        };
        let with_shims = |shims: &str| match self.path.is_empty() {
            true => shims.to_owned(),
            false => format!("{shims}:{}", self.path),
        };
        if let Some((program, shims)) = &self.mise {
            return Some(Manager {
                name: "mise",
                install: words(&[program, "install"]),
                while_installing: variables(&[("MISE_YES", "1")]),
                env: variables(&[
                    ("MISE_TRUSTED_CONFIG_PATHS", workspace),
                    ("PATH", &with_shims(shims)),
                ]),
            });
        }
        let (program, shims) = self.asdf.as_ref().filter(|_| !pins.asdf.is_empty())?;
        let mut install = words(&["/bin/sh", "-c", ASDF, "asdf", program]);
        install.extend(
            pins.asdf
                .iter()
                .filter(|name| !name.starts_with('-'))
                .cloned(),
        );
        Some(Manager {
            name: "asdf",
            install,
            while_installing: BTreeMap::new(),
            env: variables(&[("PATH", &with_shims(shims))]),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    fn pins(asdf: &[&str]) -> Pins {
        Pins {
            asdf: asdf.iter().map(|name| (*name).to_owned()).collect(),
            ..Pins::default()
        }
    }

    #[test]
    fn the_probe_finds_managers_and_variables_with_any_content() {
        let home = tempfile::tempdir().unwrap();
        let bin = home.path().join(".local/bin");
        std::fs::create_dir_all(&bin).unwrap();
        let mise = bin.join("mise");
        std::fs::write(&mise, "#!/bin/sh\n").unwrap();
        std::fs::set_permissions(&mise, std::os::unix::fs::PermissionsExt::from_mode(0o755))
            .unwrap();
        let argv = probe(["ODD", "EMPTY", "UNSET"].map(str::to_owned));
        let answer = Command::new(&argv[0])
            .args(&argv[1..])
            .env_clear()
            .env("HOME", home.path())
            .env("PATH", "/usr/bin:/bin")
            .env("ODD", "a=b '\"\n$(id)")
            .env("EMPTY", "")
            .output()
            .unwrap();
        assert!(answer.status.success(), "{answer:?}");
        let probe = Probe::parse(&answer.stdout);
        let variables = [("EMPTY", ""), ("ODD", "a=b '\"\n$(id)")];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(probe.variables, variables.into());
        let manager = probe.manager(&pins(&[]), "/root/api").unwrap();
        assert_eq!(manager.install, [mise.to_str().unwrap(), "install"]);
        let shims = home.path().join(".local/share/mise/shims");
        assert_eq!(
            manager.env["PATH"],
            format!("{}:/usr/bin:/bin", shims.display())
        );
        assert_eq!(manager.env["MISE_TRUSTED_CONFIG_PATHS"], "/root/api");
    }

    #[test]
    fn asdf_installs_what_tool_versions_names_when_there_is_no_mise() {
        let probe = Probe::parse(b"\0/x/shims\0/opt/asdf\0/root/.asdf/shims\0/bin\0");
        assert_eq!(probe.manager(&pins(&[]), "/root/api"), None);
        let manager = probe
            .manager(&pins(&["nodejs", "-rf"]), "/root/api")
            .unwrap();
        assert_eq!(manager.name, "asdf");
        assert_eq!(manager.install[3..], ["asdf", "/opt/asdf", "nodejs"]);
        assert_eq!(manager.env["PATH"], "/root/.asdf/shims:/bin");
    }

    #[test]
    fn asdf_gets_the_plugins_that_it_lacks_and_then_installs() {
        let dir = tempfile::tempdir().unwrap();
        let (asdf, log) = (dir.path().join("asdf"), dir.path().join("log"));
        let script = format!(
            "#!/bin/sh\necho \"$*\" >> '{0}'\ncase $* in\n'plugin list') echo ruby ;;\n'plugin add bad') exit 5 ;;\nesac\n",
            log.display()
        );
        std::fs::write(&asdf, script).unwrap();
        std::fs::set_permissions(&asdf, std::os::unix::fs::PermissionsExt::from_mode(0o755))
            .unwrap();
        let answer = format!("\0/x\0{}\0/y\0/bin\0", asdf.display());
        let probe = Probe::parse(answer.as_bytes());
        let install = |tools: &[&str]| {
            let argv = probe.manager(&pins(tools), "/root/api").unwrap().install;
            Command::new(&argv[0])
                .args(&argv[1..])
                .status()
                .unwrap()
                .code()
        };
        assert_eq!(install(&["nodejs", "ruby"]), Some(0));
        let called = std::fs::read_to_string(&log).unwrap();
        let called: Vec<_> = called
            .lines()
            .filter(|line| *line != "plugin list")
            .collect();
        assert_eq!(called, ["plugin add nodejs", "install"]);
        assert_eq!(install(&["bad"]), Some(5));
    }

    #[test]
    fn a_guest_that_answers_nonsense_has_no_manager() {
        for answer in [
            &b""[..],
            b"\0\0\0\0\0",
            b"mise\0shims\0../asdf\0x\0p\0",
            b"/a\n\xff\0/b\0/c:/d\0/e\0",
            &[b'/'; 100_000],
        ] {
            let probe = Probe::parse(answer);
            assert_eq!(
                probe.manager(&pins(&["x"]), "/root/api"),
                None,
                "{answer:?}"
            );
        }
    }
}
