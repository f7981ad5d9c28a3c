//! Choice of mmdebstrap's mode on this host, from the host's tools and settings.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;

use banger_command::find_in_path;

use crate::error::ImageError;

/// Ids that a user must own to unpack a system's files (mmdebstrap(1), MODES).
const SUBIDS_MIN: u64 = 65_536;

/// A mode of mmdebstrap(1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BuildMode {
    /// Runs as root.
    Root,
    /// Runs in a user namespace with subordinate ids.
    Unshare,
    /// Runs with preloaded libraries that simulate root.
    Fakechroot,
}

impl BuildMode {
    /// Name in the option `--mode`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::Unshare => "unshare",
            Self::Fakechroot => "fakechroot",
        }
    }

    /// The best mode that the host supports.
    pub(crate) fn choose(host: &HostFacts) -> Result<Self, ImageError> {
        if host.root {
            return Ok(Self::Root);
        }
        let unshare = host.missing_for_unshare();
        if unshare.is_empty() {
            return Ok(Self::Unshare);
        }
        if host.fakechroot && host.fakeroot {
            return Ok(Self::Fakechroot);
        }
        let reasons = vec![
            format!("in a user namespace it needs {}", unshare.join(" and ")),
            "without one it needs the programs fakechroot and fakeroot".to_owned(),
            "or run it as root".to_owned(),
        ];
        Err(ImageError::NoBuildMode { reasons })
    }
}

/// The way in which this user can build images here, as mmdebstrap(1) calls it. That the programs are there is another
/// matter.
///
/// # Errors
/// Everything that is missing.
pub fn build_mode() -> Result<&'static str, ImageError> {
    let path = std::env::var_os("PATH");
    BuildMode::choose(&HostFacts::gather(path.as_deref())).map(BuildMode::name)
}

/// Facts about the host that decide the mode.
#[derive(Debug, Clone, Default)]
pub(crate) struct HostFacts {
    pub(crate) root: bool,
    pub(crate) user: String,
    /// newuidmap and newgidmap.
    pub(crate) uidmap: bool,
    pub(crate) subuid: bool,
    pub(crate) subgid: bool,
    pub(crate) user_namespaces: bool,
    pub(crate) fakechroot: bool,
    pub(crate) fakeroot: bool,
}

impl HostFacts {
    /// Collects the facts of this process on this host.
    pub(crate) fn gather(path: Option<&OsStr>) -> Self {
        let uid = rustix::process::geteuid().as_raw();
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let user = user_name(&read("/etc/passwd"), uid).unwrap_or_else(|| uid.to_string());
        let there = |name| find_in_path(name, path).is_some();
        Self {
            root: uid == 0,
            uidmap: there("newuidmap") && there("newgidmap"),
            subuid: has_subids(&read("/etc/subuid"), &user, uid),
            subgid: has_subids(&read("/etc/subgid"), &user, uid),
            user_namespaces: user_namespaces_allowed(Path::new("/proc/sys")),
            fakechroot: there("fakechroot"),
            fakeroot: there("fakeroot"),
            user,
        }
    }

    fn missing_for_unshare(&self) -> Vec<String> {
        let mut missing = Vec::new();
        if !self.uidmap {
            missing.push("newuidmap and newgidmap (Debian package uidmap)".to_owned());
        }
        for (there, file) in [(self.subuid, "/etc/subuid"), (self.subgid, "/etc/subgid")] {
            if !there {
                missing.push(format!("a line `{}:100000:65536` in {file}", self.user));
            }
        }
        if !self.user_namespaces {
            missing.push(
                "user namespaces for ordinary users (a sysctl of this host forbids them)"
                    .to_owned(),
            );
        }
        missing
    }
}

/// Name of a user by passwd(5), without the name service: banger needs only the user that runs it.
fn user_name(passwd: &str, uid: u32) -> Option<String> {
    let of = |line: &str| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    };
    passwd.lines().find_map(of)
}

/// Tells whether a user has enough subordinate ids in a subuid(5) file: `name-or-id:start:count`.
fn has_subids(file: &str, user: &str, uid: u32) -> bool {
    file.lines().any(|line| {
        let fields: Vec<_> = line.trim().split(':').collect();
        match fields[..] {
            [owner, _, count] => {
                (owner == user || owner == uid.to_string())
                    && count.parse().is_ok_and(|count: u64| count >= SUBIDS_MIN)
            }
            _ => false,
        }
    })
}

/// Tells whether the distribution's switches allow user namespaces; a missing switch forbids nothing.
fn user_namespaces_allowed(proc_sys: &Path) -> bool {
    let is = |name: &str, value: &str| {
        fs::read_to_string(proc_sys.join(name)).is_ok_and(|text| text.trim() == value)
    };
    !is("kernel/unprivileged_userns_clone", "0")
        && !is("user/max_user_namespaces", "0")
        && !is("kernel/apparmor_restrict_unprivileged_userns", "1")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn able() -> HostFacts {
        let user = "ann".to_owned();
        HostFacts {
            user,
            uidmap: true,
            subuid: true,
            subgid: true,
            user_namespaces: true,
            ..HostFacts::default()
        }
    }

    #[test]
    fn the_best_mode_that_works_is_chosen() {
        let choose = |facts: HostFacts| BuildMode::choose(&facts).unwrap().name();
        assert_eq!(
            choose(HostFacts {
                root: true,
                ..HostFacts::default()
            }),
            "root"
        );
        assert_eq!(
            choose(HostFacts {
                fakechroot: true,
                fakeroot: true,
                ..able()
            }),
            "unshare"
        );
        let without_ids = HostFacts {
            subuid: false,
            fakechroot: true,
            fakeroot: true,
            ..able()
        };
        assert_eq!(choose(without_ids), "fakechroot");
    }

    #[test]
    fn what_is_missing_is_said() {
        let facts = HostFacts {
            uidmap: false,
            subgid: false,
            fakeroot: true,
            ..able()
        };
        let error = BuildMode::choose(&facts).unwrap_err().to_string();
        for part in [
            "package uidmap",
            "`ann:100000:65536` in /etc/subgid",
            "fakechroot and fakeroot",
            "run it as root",
        ] {
            assert!(error.contains(part), "{part}: {error}");
        }
        assert!(!error.contains("/etc/subuid"), "{error}");
    }

    #[test]
    fn ids_belong_to_a_name_or_a_number_and_must_be_enough() {
        assert!(has_subids("bob:1:65536\nann:100000:65536\n", "ann", 1000));
        assert!(has_subids("1000:100000:65536", "ann", 1000));
        for file in [
            "ann:100000:1000",
            "ann:100000",
            "anna:100000:65536",
            ":::",
            "",
        ] {
            assert!(!has_subids(file, "ann", 1000), "{file}");
        }
    }

    #[test]
    fn the_user_is_found_by_number() {
        let passwd = "root:x:0:0::/root:/bin/sh\nrubbish\nann:x:1000:1000::/home/ann:/bin/sh\n";
        assert_eq!(user_name(passwd, 1000).as_deref(), Some("ann"));
        assert_eq!(user_name(passwd, 7), None);
    }

    #[test]
    fn a_switch_forbids_user_namespaces() {
        let folder = tempfile::tempdir().unwrap();
        assert!(user_namespaces_allowed(folder.path()));
        fs::create_dir(folder.path().join("kernel")).unwrap();
        fs::write(
            folder.path().join("kernel/unprivileged_userns_clone"),
            "0\n",
        )
        .unwrap();
        assert!(!user_namespaces_allowed(folder.path()));
    }
}
