//! One entry, checked.

use std::path::{Path, PathBuf};

use banger_api::{ApiError, ErrorCode};
use banger_guest::GuestPath;

use crate::config::FileSync;

/// Entries that a configuration may have.
const MAX_ENTRIES: usize = 64;
/// The home of root, below which everything lies.
const HOME: &str = "/root";

/// A file or directory of the host and its place in every guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SyncEntry {
    /// Its place in the configuration, from 1.
    pub(super) number: usize,
    pub(super) host: PathBuf,
    pub(super) guest: GuestPath,
    /// Permission bits of files, when given.
    pub(super) mode: Option<u32>,
}

/// Checks all entries but for the user's home, which only a daemon knows.
///
/// # Errors
/// `invalid_argument` with the entry's number.
pub(crate) fn check(configured: &[FileSync]) -> Result<(), ApiError> {
    entries(configured, Some(Path::new("/"))).map(drop)
}

/// All entries, checked.
///
/// # Errors
/// `invalid_argument` with the entry's number.
pub(crate) fn entries(
    configured: &[FileSync],
    home: Option<&Path>,
) -> Result<Vec<SyncEntry>, ApiError> {
    let refused = |number: usize, why: String| {
        let message = format!("file_sync entry {number}: {why}");
        ApiError::new(ErrorCode::InvalidArgument, message)
    };
    if configured.len() > MAX_ENTRIES {
        let why = format!("only {MAX_ENTRIES} entries are allowed");
        return Err(refused(MAX_ENTRIES + 1, why));
    }
    let numbered = configured.iter().enumerate();
    numbered
        .map(|(at, entry)| {
            let number = at + 1;
            let entry = || {
                Ok(SyncEntry {
                    number,
                    host: host_path(&entry.host, home)?,
                    guest: guest_path(&entry.guest)?,
                    mode: entry.mode.as_deref().map(mode).transpose()?,
                })
            };
            entry().map_err(|why| refused(number, why))
        })
        .collect()
}

fn host_path(text: &str, home: Option<&Path>) -> Result<PathBuf, String> {
    if text.contains('\0') {
        return Err("host path contains a NUL byte".to_owned());
    }
    if let Some(below) = below_home(text, "host")? {
        let home = home.ok_or_else(|| format!("host \"{text}\": HOME is not set"))?;
        return Ok(home.join(below));
    }
    if !text.starts_with('/') {
        return Err(format!(
            "host \"{text}\" must be an absolute path, or begin with ~/"
        ));
    }
    Ok(PathBuf::from(text))
}

fn guest_path(text: &str) -> Result<GuestPath, String> {
    let absolute = match below_home(text, "guest")? {
        Some(below) => format!("{HOME}/{below}"),
        None => text.to_owned(),
    };
    if absolute.split('/').any(|name| name == "..") {
        return Err(format!("guest \"{text}\" must not contain \"..\""));
    }
    let path = GuestPath::new(&absolute).map_err(|error| error.to_string())?;
    let inside = path
        .as_str()
        .strip_prefix(HOME)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    if !inside {
        return Err(format!(
            "guest \"{text}\" must lie under {HOME} or begin with ~/"
        ));
    }
    Ok(path)
}

/// Part behind `~/`; `None` for a path without a tilde.
fn below_home<'a>(text: &'a str, which: &str) -> Result<Option<&'a str>, String> {
    match text.strip_prefix('~') {
        None => Ok(None),
        Some("") => Ok(Some("")),
        Some(rest) => match rest.strip_prefix('/') {
            Some(below) => Ok(Some(below.trim_start_matches('/'))),
            None => Err(format!(
                "{which} \"{text}\": the home of another user cannot be named; write ~/ or the whole path"
            )),
        },
    }
}

fn mode(text: &str) -> Result<u32, String> {
    let octal = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let mode = u32::from_str_radix(text, 8).ok().filter(|_| octal);
    mode.filter(|mode| *mode <= 0o777).ok_or_else(|| {
        format!("mode \"{text}\" is not of octal digits up to 0777, such as \"0600\"")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn configured(host: &str, guest: &str, mode: Option<&str>) -> FileSync {
        FileSync {
            host: host.to_owned(),
            guest: guest.to_owned(),
            mode: mode.map(str::to_owned),
        }
    }

    #[test]
    fn homes_are_the_users_here_and_roots_there() {
        let list = [
            configured("~/.netrc", "~/.netrc", None),
            configured("/etc/x", "/root/./a//b", Some("0640")),
        ];
        let made = entries(&list, Some(Path::new("/home/ann"))).unwrap();
        assert_eq!(made[0].host, Path::new("/home/ann/.netrc"));
        assert_eq!(made[0].guest.as_str(), "/root/.netrc");
        assert_eq!(made[1].guest.as_str(), "/root/a/b");
        assert_eq!(made[1].mode, Some(0o640));
    }

    #[test]
    fn what_is_wrong_is_refused_with_the_entrys_number() {
        let good = configured("/a", "~/a", None);
        for (bad, part) in [
            (configured("a", "~/a", None), "absolute"),
            (configured("~bob/a", "~/a", None), "another user"),
            (configured("/a", "~bob/a", None), "another user"),
            (configured("/a", "/etc/passwd", None), "under /root"),
            (configured("/a", "/rooted", None), "under /root"),
            (configured("/a", "~/../etc/passwd", None), "\"..\""),
            (configured("/a", "/root/../etc", None), "\"..\""),
            (configured("/a", "a", None), "absolute"),
            (configured("/a", "~/a", Some("0999")), "octal"),
            (configured("/a", "~/a", Some("4755")), "octal"),
            (configured("/a", "~/a", Some("+644")), "octal"),
        ] {
            let error = entries(&[good.clone(), bad.clone()], None).unwrap_err();
            assert!(
                error.message.starts_with("file_sync entry 2: ") && error.message.contains(part),
                "{bad:?}: {error}"
            );
        }
    }

    #[test]
    fn a_configuration_has_a_bounded_number_of_entries() {
        let many = vec![configured("/a", "~/a", None); MAX_ENTRIES + 1];
        assert!(entries(&many, None).unwrap_err().message.contains("65"));
    }
}
