//! Source and destination of a copy, as the user wrote them.

use std::path::{Path, PathBuf};

use banger_guest::GuestPath;

use crate::failure::Failure;

/// The directory in which guest paths begin that do not begin with `/`.
const GUEST_HOME: &str = "/root/";

/// A path, and what its end says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place<P> {
    /// The path.
    pub path: P,
    /// It was written with `/` at its end.
    pub directory: bool,
    /// It was written with `/.` at its end: what is inside is meant.
    pub contents: bool,
}

/// From where to where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route {
    /// Into a VM.
    In {
        /// From this host's path.
        from: Place<PathBuf>,
        /// Reference to the VM.
        vm: String,
        /// To the guest's path.
        to: Place<GuestPath>,
    },
    /// Out of a VM.
    Out {
        /// Reference to the VM.
        vm: String,
        /// From the guest's path.
        from: Place<GuestPath>,
        /// To this host's path.
        to: Place<PathBuf>,
    },
}

impl Route {
    /// Reads both sides.
    ///
    /// # Errors
    /// None or both of them are in a VM, or a path is not valid.
    pub fn new(source: &str, destination: &str) -> Result<Self, Failure> {
        match (in_vm(source), in_vm(destination)) {
            (None, Some((vm, path))) => Ok(Self::In {
                from: host(source),
                vm: vm.to_owned(),
                to: guest(path)?,
            }),
            (Some((vm, path)), None) => Ok(Self::Out {
                vm: vm.to_owned(),
                from: guest(path)?,
                to: host(destination),
            }),
            (None, None) => Err(Failure::usage(format!(
                "neither \"{source}\" nor \"{destination}\" is in a VM: write one of them as VM:PATH"
            ))),
            (Some(_), Some(_)) => Err(Failure::usage(
                "both sides are in a VM: copy to this host first, then from it",
            )),
        }
    }
}

/// `VM:PATH`. A path of this host with a colon in its first name is written `./a:b`.
fn in_vm(text: &str) -> Option<(&str, &str)> {
    let (vm, path) = text.split_once(':')?;
    let is_reference = !vm.is_empty() && !vm.contains('/') && !vm.starts_with('.');
    is_reference.then_some((vm, path))
}

/// The path without what its end says: `/` that it is a directory, `.` as its last name that the inside is meant.
fn ends(path: &str) -> (&str, bool, bool) {
    let without = path.trim_end_matches('/');
    let slashed = without.len() < path.len();
    match without.strip_suffix("/.") {
        _ if without == "." => (without, true, true),
        _ if without.is_empty() && slashed => ("/", true, false),
        Some(directory) => match directory.trim_end_matches('/') {
            "" => ("/", true, true),
            directory => (directory, true, true),
        },
        None => (path, slashed, false),
    }
}

fn host(text: &str) -> Place<PathBuf> {
    let (path, directory, contents) = ends(text);
    Place {
        path: Path::new(path).to_owned(),
        directory,
        contents,
    }
}

fn guest(text: &str) -> Result<Place<GuestPath>, Failure> {
    let (path, directory, contents) = ends(text);
    let absolute = if path.starts_with('/') {
        path.to_owned()
    } else {
        format!("{GUEST_HOME}{path}")
    };
    Ok(Place {
        path: GuestPath::new(&absolute).map_err(|error| Failure::usage(error.to_string()))?,
        directory,
        contents,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guest_side(text: &str) -> (String, bool, bool) {
        match Route::new("here", text).unwrap() {
            Route::In { to, .. } => (to.path.to_string(), to.directory, to.contents),
            Route::Out { .. } => panic!("{text} is in a VM"),
        }
    }

    #[test]
    fn one_side_is_in_a_vm() {
        assert!(matches!(
            Route::new("a", "web:/b").unwrap(),
            Route::In { vm, .. } if vm == "web"
        ));
        assert!(matches!(
            Route::new("web:/b", "./x:y").unwrap(),
            Route::Out { to, .. } if to.path == Path::new("./x:y")
        ));
        for (source, destination) in [
            ("a", "b"),
            ("v:/a", "w:/b"),
            ("./v:/a", "/x:b"),
            (":a", "b"),
        ] {
            let failure = Route::new(source, destination).unwrap_err();
            assert_eq!(failure.exit_code(), 2, "{source} {destination}");
        }
    }

    #[test]
    fn the_end_of_a_path_says_what_is_meant() {
        let cases = [
            ("web:/a", ("/a", false, false)),
            ("web:/a/", ("/a", true, false)),
            ("web:/a/.", ("/a", true, true)),
            ("web:/", ("/", true, false)),
            ("web:/.", ("/", true, true)),
            ("web:", ("/root", false, false)),
            ("web:.", ("/root", true, true)),
            ("web:./", ("/root", true, true)),
            ("web:/a/./", ("/a", true, true)),
            ("web:/a//.", ("/a", true, true)),
            ("web://", ("/", true, false)),
            ("web:/a.", ("/a.", false, false)),
            ("web:b/c", ("/root/b/c", false, false)),
        ];
        for (text, (path, directory, contents)) in cases {
            assert_eq!(
                guest_side(text),
                (path.to_owned(), directory, contents),
                "{text}"
            );
        }
    }

    #[test]
    fn a_guest_path_that_climbs_is_refused() {
        assert_eq!(Route::new("a", "web:/a/../b").unwrap_err().exit_code(), 2);
    }
}
