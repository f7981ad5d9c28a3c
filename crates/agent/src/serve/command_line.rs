//! The command line of a request that names a program, the image's own command, or nothing.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use banger_guest::{ExecFailure, ExecFailureKind, ExecRequest};

use crate::accounts::Account;
use crate::guest_state::Defaults;

/// Shells that are tried, in order, where the account's own is missing or turns its user away.
const SHELLS: [&str; 3] = ["/bin/sh", "/bin/bash", "/usr/bin/sh"];
/// Login shells that only say no (nologin(8), false(1)).
const REFUSING: [&str; 2] = ["nologin", "false"];

/// A program and its arguments.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct CommandLine {
    /// Never empty.
    pub(super) argv: Vec<String>,
    /// File of the program, when that is not `argv[0]`.
    pub(super) arg0: Option<String>,
}

impl CommandLine {
    /// Of a request.
    pub(super) fn of(
        request: &ExecRequest,
        defaults: &Defaults,
        account: &Account,
        root: &Path,
    ) -> Result<Self, ExecFailure> {
        let plain = |argv| Self { argv, arg0: None };
        let own = |arguments: &[String]| [&defaults.entrypoint, arguments].concat();
        if request.image_command {
            let arguments = if request.argv.is_empty() {
                &defaults.cmd
            } else {
                &request.argv
            };
            let argv = own(arguments);
            return match argv.is_empty() {
                false => Ok(plain(argv)),
                true => Err(missing("the image says no command of its own")),
            };
        }
        if !request.argv.is_empty() {
            return Ok(plain(request.argv.clone()));
        }
        let Some(shell) = shell(account, request.tty.is_some(), root) else {
            let argv = own(&defaults.cmd);
            return match argv.is_empty() {
                false => Ok(plain(argv)),
                true => Err(missing(
                    "the image has no shell and says no command of its own; name a program of it after --",
                )),
            };
        };
        let name = shell.rsplit('/').next().unwrap_or("sh");
        // How a login shell is told that it is one (login(1)). It begins with a PATH of its own (/etc/profile), so one that
        // is asked for is kept by no login.
        let login = request.tty.is_some() && !request.env.contains_key("PATH");
        let dash = if login { "-" } else { "" };
        Ok(Self {
            arg0: Some(format!("{dash}{name}")),
            argv: vec![shell],
        })
    }
}

/// The shell of a person at a terminal is the account's own; a script gets the usual one first.
fn shell(account: &Account, person: bool, root: &Path) -> Option<String> {
    let name = account.shell.rsplit('/').next().unwrap_or_default();
    let own = (!REFUSING.contains(&name)).then_some(account.shell.as_str());
    let usual = SHELLS.into_iter();
    let mut all: Vec<&str> = usual.collect();
    match person {
        true => all.splice(0..0, own).for_each(drop),
        false => all.extend(own),
    }
    let found = all.into_iter().find(|path| runs(root, path));
    found.map(str::to_owned)
}

fn runs(root: &Path, path: &str) -> bool {
    let path = root.join(path.trim_start_matches('/'));
    std::fs::metadata(path)
        .is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

fn missing(why: &str) -> ExecFailure {
    ExecFailure {
        kind: ExecFailureKind::NotFound,
        message: why.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use banger_guest::Tty;

    use super::*;

    fn account(shell: &str) -> Account {
        Account {
            name: "ann".to_owned(),
            uid: 1000,
            gid: 1000,
            groups: vec![],
            home: "/".to_owned(),
            shell: shell.to_owned(),
        }
    }

    fn request(argv: &[&str], tty: bool, image_command: bool) -> ExecRequest {
        let size = Tty {
            rows: 24,
            cols: 80,
            term: "xterm".to_owned(),
        };
        ExecRequest {
            argv: argv.iter().map(|&word| word.to_owned()).collect(),
            tty: tty.then_some(size),
            image_command,
            ..ExecRequest::default()
        }
    }

    fn defaults() -> Defaults {
        let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
        Defaults {
            entrypoint: words(&["/app", "serve"]),
            cmd: words(&["--port", "80"]),
            ..Defaults::default()
        }
    }

    fn line(request: &ExecRequest, defaults: &Defaults, shell: &str, root: &Path) -> String {
        match CommandLine::of(request, defaults, &account(shell), root) {
            Ok(line) => {
                let called = line.arg0.map(|name| format!(" as {name}"));
                line.argv.join(" ") + &called.unwrap_or_default()
            }
            Err(failure) => failure.message,
        }
    }

    fn with_shells(names: &[&str]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("bin")).unwrap();
        for name in names {
            let path = root.path().join("bin").join(name);
            std::fs::write(&path, "").unwrap();
            std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
        }
        root
    }

    #[test]
    fn nothing_is_a_shell_where_there_is_one() {
        let root = with_shells(&["sh", "zsh", "nologin"]);
        let (person, script) = (request(&[], true, false), request(&[], false, false));
        let run = |request, shell| line(request, &defaults(), shell, root.path());
        assert_eq!(run(&person, "/bin/zsh"), "/bin/zsh as -zsh");
        assert_eq!(run(&person, "/bin/gone"), "/bin/sh as -sh");
        assert_eq!(run(&person, "/bin/nologin"), "/bin/sh as -sh");
        assert_eq!(run(&script, "/bin/zsh"), "/bin/sh as sh");
        let mut with_path = request(&[], true, false);
        with_path.env.insert("PATH".to_owned(), "/x".to_owned());
        assert_eq!(run(&with_path, "/bin/zsh"), "/bin/zsh as zsh");
    }

    #[test]
    fn nothing_is_the_images_own_command_where_there_is_no_shell() {
        let root = with_shells(&[]);
        let run = |defaults: &Defaults| {
            line(&request(&[], true, false), defaults, "/bin/sh", root.path())
        };
        assert_eq!(run(&defaults()), "/app serve --port 80");
        assert!(run(&Defaults::default()).contains("no shell"));
    }

    #[test]
    fn a_given_command_runs_as_it_is_unless_it_is_for_the_entry_point() {
        let root = with_shells(&["sh"]);
        let run = |request| line(&request, &defaults(), "/bin/sh", root.path());
        assert_eq!(run(request(&["ls", "-l"], true, false)), "ls -l");
        assert_eq!(run(request(&["-v"], false, true)), "/app serve -v");
        assert_eq!(run(request(&[], false, true)), "/app serve --port 80");
        let none = line(
            &request(&[], false, true),
            &Defaults::default(),
            "/bin/sh",
            root.path(),
        );
        assert!(none.contains("no command of its own"), "{none}");
    }
}
