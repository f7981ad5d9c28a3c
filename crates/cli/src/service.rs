//! The daemon as a unit of systemd: an ordinary user's in the user's own manager, root's in the system's
//! (systemd.unit(5), systemd.service(5)).

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use banger_api::{ApiError, ErrorCode};

use crate::failure::host_error;

/// The unit's name.
pub const UNIT: &str = "banger.service";
/// Variables that decide where the daemon's folders are: the unit has those that are set now.
const PLACES: [&str; 5] = [
    "BANGER_HOME",
    "HOME",
    "XDG_CONFIG_HOME",
    "XDG_STATE_HOME",
    "XDG_CACHE_HOME",
];

/// The manager that runs the unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manager {
    /// The system's own: root's daemon.
    System,
    /// The user's.
    User,
}

impl Manager {
    /// The one of whoever runs this.
    pub fn own() -> Self {
        match rustix::process::geteuid().is_root() {
            true => Self::System,
            false => Self::User,
        }
    }

    /// The unit's file.
    ///
    /// # Errors
    /// `HOME` is not set.
    pub fn file(self, var: &dyn Fn(&str) -> Option<OsString>) -> Result<PathBuf, ApiError> {
        let folder = match self {
            Self::System => PathBuf::from("/etc/systemd/system"),
            Self::User => {
                let absolute =
                    |path: OsString| Some(PathBuf::from(path)).filter(|path| path.is_absolute());
                let config = var("XDG_CONFIG_HOME").and_then(absolute);
                let home = || var("HOME").and_then(absolute);
                let config = config.or_else(|| Some(home()?.join(".config")));
                config
                    .ok_or_else(|| {
                        ApiError::new(ErrorCode::HostNotReady, "HOME is not set")
                            .hint("set HOME to your own folder")
                    })?
                    .join("systemd/user")
            }
        };
        Ok(folder.join(UNIT))
    }

    /// Runs systemctl(1).
    ///
    /// # Errors
    /// `host_not_ready`: it is not there, or its manager does not answer or refuses, in its words.
    pub fn systemctl(self, words: &[&str]) -> Result<(), ApiError> {
        let mut command = Command::new("systemctl");
        if self == Self::User {
            command.arg("--user");
        }
        asked(
            command.args(words),
            &format!("systemctl {}", words.join(" ")),
        )
        .map_err(|error| error.hint(self.advice()))
    }

    fn advice(self) -> &'static str {
        match self {
            Self::System => {
                "this host's own manager may not be systemd: banger system install --print shows the unit"
            }
            Self::User => {
                "a user's manager runs in a login session, and with loginctl enable-linger without one; banger system install \
                 --print shows the unit"
            }
        }
    }
}

/// Lets the user's manager, and with it the unit, start with the host and stay after the last logout (loginctl(1)).
///
/// # Errors
/// `host_not_ready` in the words of loginctl.
pub fn linger() -> Result<(), ApiError> {
    asked(
        Command::new("loginctl").arg("enable-linger"),
        "loginctl enable-linger",
    )
    .map_err(|error| error.hint("an administrator can allow it: loginctl enable-linger USER"))
}

fn asked(command: &mut Command, shown: &str) -> Result<(), ApiError> {
    let ended = command
        .stdin(Stdio::null())
        .output()
        .map_err(|source| ApiError {
            code: ErrorCode::HostNotReady,
            ..host_error(format_args!("cannot run {shown}"), &source)
        })?;
    if ended.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&ended.stderr);
    let last = said.lines().rfind(|line| !line.trim().is_empty());
    let why = last.map_or_else(|| ended.status.to_string(), |line| line.trim().to_owned());
    Err(ApiError::new(
        ErrorCode::HostNotReady,
        format!("{shown} failed: {why}"),
    ))
}

/// The first line of a unit that `banger system install` has written.
pub const WRITTEN: &str =
    "# Written by banger system install; banger system uninstall removes it.\n";

/// The unit's text, for this program and with the places that are set.
pub fn unit(manager: Manager, program: &Path, var: &dyn Fn(&str) -> Option<OsString>) -> String {
    let target = match manager {
        Manager::System => "multi-user.target",
        Manager::User => "default.target",
    };
    let mut environment = String::new();
    for name in PLACES {
        if let Some(value) = var(name).and_then(|value| value.into_string().ok()) {
            let setting = quoted(&format!("{name}={value}"), false);
            environment.push_str(&format!("Environment={setting}\n"));
        }
    }
    let program = quoted(&program.to_string_lossy(), true);
    format!(
        "[Unit]\n\
         Description=banger: private Linux machines\n\
         Documentation=man:banger(1)\n\
         \n\
         [Service]\n\
         Type=exec\n\
         ExecStart={program} daemon run\n\
         {environment}\
         # VMs run on without the daemon, and the next one takes them over.\n\
         KillMode=process\n\
         Restart=on-failure\n\
         # Limits of memory, CPUs and threads for each VM.\n\
         Delegate=yes\n\
         \n\
         [Install]\n\
         WantedBy={target}\n"
    )
}

/// A word as systemd reads it: in quotes, with its own signs taken literally (systemd.syntax(7)). `$` has a meaning in commands
/// only.
fn quoted(word: &str, in_command: bool) -> String {
    let mut text = String::from("\"");
    for c in word.chars() {
        match c {
            '"' | '\\' => text.extend(['\\', c]),
            '%' => text.push_str("%%"),
            '$' if in_command => text.push_str("$$"),
            '\n' => text.push_str("\\n"),
            c => text.push(c),
        }
    }
    text.push('"');
    text
}

/// Writes the unit's file, whole or not at all.
///
/// # Errors
/// The system's.
pub fn write(file: &Path, text: &str) -> io::Result<()> {
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder)?;
    }
    let beside = file.with_extension("service.new");
    fs::write(&beside, text)?;
    fs::rename(&beside, file)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn var(name: &str) -> Option<OsString> {
        match name {
            "HOME" => Some("/home/me".into()),
            "BANGER_HOME" => Some("/srv/my \"100%\" $VMs".into()),
            _ => None,
        }
    }

    #[test]
    fn a_users_unit_lies_where_the_users_manager_looks() {
        let file = Manager::User.file(&var).unwrap();
        assert_eq!(
            file,
            Path::new("/home/me/.config/systemd/user/banger.service")
        );
        let named = |name: &str| (name == "XDG_CONFIG_HOME").then(|| "/c".into());
        assert_eq!(
            Manager::User.file(&named).unwrap(),
            Path::new("/c/systemd/user/banger.service")
        );
        let relative = |name: &str| (name == "HOME").then(|| "here".into());
        let refused = Manager::User.file(&relative).unwrap_err();
        assert_eq!(refused.code, ErrorCode::HostNotReady);
    }

    #[test]
    fn the_unit_names_this_program_and_its_places_as_systemd_reads_them() {
        let text = unit(Manager::User, Path::new("/opt/a b/100% $x/banger"), &var);
        assert!(
            text.contains("ExecStart=\"/opt/a b/100%% $$x/banger\" daemon run\n"),
            "{text}"
        );
        assert!(
            text.contains("Environment=\"BANGER_HOME=/srv/my \\\"100%%\\\" $VMs\"\n"),
            "{text}"
        );
        assert!(text.contains("KillMode=process\n") && text.contains("WantedBy=default.target\n"));
        assert!(
            unit(Manager::System, Path::new("/b"), &var).contains("WantedBy=multi-user.target\n")
        );
    }

    #[test]
    fn a_manager_that_refuses_is_quoted() {
        let failed = asked(
            Command::new("/bin/sh").args(["-c", "echo first >&2; echo no bus >&2; exit 1"]),
            "systemctl enable",
        );
        let error = failed.unwrap_err();
        assert_eq!(error.code, ErrorCode::HostNotReady);
        assert_eq!(error.message, "systemctl enable failed: no bus");
        let missing = asked(&mut Command::new("/no/such/program"), "systemctl").unwrap_err();
        assert_eq!(missing.code, ErrorCode::HostNotReady);
    }
}
