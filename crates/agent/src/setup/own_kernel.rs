//! The kernels that are installed in the guest's root: the one that a machine would boot, and the line that a package of one
//! prints, for by itself a VM boots a kernel of its host's.
//!
//! A kernel counts when its modules are there, too. Distributions name its image in one of these ways:
//!
//! ```text
//!  /boot/vmlinuz-<release>            Debian, Fedora            /lib/modules/<release>
//!  /boot/vmlinuz-<flavour>            Alpine, Arch              /lib/modules/<version>-<flavour>
//!  /lib/modules/<release>/vmlinuz     Fedora, Arch
//! ```

use std::cmp::Ordering;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use banger_guest::{Failure, FailureKind, GuestPath, InstalledKernel, OwnKernel};

use super::files::Place;
use crate::console::say;
use crate::digest;
use crate::failure::failure;

/// Folders of modules, below the root.
const MODULES: [&str; 2] = ["lib/modules", "usr/lib/modules"];
/// Prefix of the names of images in `/boot`.
const IMAGE: &str = "vmlinuz-";
/// Links that lead to the image that boots, where a distribution keeps one.
const LINKS: [&str; 2] = ["vmlinuz", "boot/vmlinuz"];
/// Names in a folder that are looked at.
const MAX_NAMES: usize = 4096;
/// Largest image that is read.
const MAX_IMAGE: u64 = 256 << 20;
/// Script that dpkg's packages of kernels run when one was installed (run-parts(8), linux-update-symlinks(1)).
const HOOK: &str = "etc/kernel/postinst.d/zz-banger";
/// Its text. It gets the release as its first argument.
const SCRIPT: &str = "#!/bin/sh\n\
    # banger writes this file at each start.\n\
    line=$(cat /run/banger/kernel 2>/dev/null) && echo \"banger: kernel $1 is installed; $line\"\n\
    exit 0\n";
/// The line that it prints.
const LINE: &str = "run/banger/kernel";
/// Marks of a root whose packages run such scripts.
const HAS_HOOKS: [&str; 2] = ["etc/kernel/postinst.d", "var/lib/dpkg"];

/// A kernel in the root.
#[derive(Debug)]
struct Candidate {
    release: String,
    image: PathBuf,
    modules: PathBuf,
}

/// The kernel that a machine with this root would boot: the one that a link of the distribution leads to, or else the
/// newest.
pub fn installed(root: &Path) -> Option<InstalledKernel> {
    let all = candidates(root);
    let linked = LINKS.iter().find_map(|link| {
        let target = root.join(link).canonicalize().ok()?;
        let is_target = |kernel: &&Candidate| {
            let image = root.join(&kernel.image).canonicalize();
            image.is_ok_and(|image| image == target)
        };
        all.iter().find(is_target)
    });
    let newest = || all.iter().max_by(|a, b| by_version(&a.release, &b.release));
    let kernel = linked.or_else(newest)?;
    let config = PathBuf::from(format!("boot/config-{}", kernel.release));
    Some(InstalledKernel {
        release: kernel.release.clone(),
        image: guest_path(&kernel.image)?,
        config: root
            .join(&config)
            .is_file()
            .then(|| guest_path(&config))
            .flatten(),
        modules: guest_path(&kernel.modules)?,
    })
}

fn guest_path(path: &Path) -> Option<GuestPath> {
    GuestPath::new(&format!("/{}", path.to_str()?)).ok()
}

fn candidates(root: &Path) -> Vec<Candidate> {
    let mut releases: Vec<(String, PathBuf)> = Vec::new();
    for folder in MODULES.map(PathBuf::from) {
        let names = names(&root.join(&folder)).into_iter();
        releases.extend(
            names
                .map(|name| (name.clone(), folder.join(name)))
                .filter(|(_, modules)| root.join(modules).is_dir()),
        );
    }
    releases.sort_by(|a, b| by_version(&a.0, &b.0));
    let in_boot = names(&root.join("boot")).into_iter().filter_map(|name| {
        let label = name.strip_prefix(IMAGE)?;
        let flavour = format!("-{label}");
        let mut newest_first = releases.iter().rev();
        let (release, modules) = newest_first
            .clone()
            .find(|(release, _)| release == label)
            .or_else(|| newest_first.find(|(release, _)| release.ends_with(&flavour)))?;
        Some(Candidate {
            release: release.clone(),
            image: Path::new("boot").join(&name),
            modules: modules.clone(),
        })
    });
    let beside_modules = releases.iter().map(|(release, modules)| Candidate {
        release: release.clone(),
        image: modules.join("vmlinuz"),
        modules: modules.clone(),
    });
    in_boot
        .chain(beside_modules)
        .filter(|kernel| root.join(&kernel.image).is_file())
        .collect()
}

/// Names in a folder; none when it cannot be read.
fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let names = entries.take(MAX_NAMES);
    names
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect()
}

/// Order of versions: runs of digits by their number, everything else by its bytes.
fn by_version(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a, b);
    loop {
        let (text_a, text_b) = (until(a, true), until(b, true));
        let (digits_a, digits_b) = (
            until(&a[text_a.len()..], false),
            until(&b[text_b.len()..], false),
        );
        let number = |digits: &str| digits.trim_start_matches('0').len();
        let order = text_a
            .cmp(text_b)
            .then_with(|| number(digits_a).cmp(&number(digits_b)))
            .then_with(|| {
                let plain = |digits: &str| digits.trim_start_matches('0').to_owned();
                plain(digits_a).cmp(&plain(digits_b))
            });
        let used = (text_a.len() + digits_a.len(), text_b.len() + digits_b.len());
        if order != Ordering::Equal || (used.0 == 0 && used.1 == 0) {
            return order;
        }
        (a, b) = (&a[used.0..], &b[used.1..]);
    }
}

/// The beginning of a text up to its first digit, or up to the first byte that is none.
fn until(text: &str, digit: bool) -> &str {
    let end = text.find(|c: char| c.is_ascii_digit() == digit);
    &text[..end.unwrap_or(text.len())]
}

/// Lets a guest go on that has booted the kernel of its own root, unless that root has another one by now. A root whose kernel
/// was removed goes on with the one that booted.
///
/// # Errors
/// [`FailureKind::OtherKernel`]; or the image cannot be read.
pub fn check(root: &Path, booted: &OwnKernel) -> Result<(), Failure> {
    let Some(kernel) = installed(root) else {
        return Ok(());
    };
    let image = root.join(kernel.image.relative());
    let part = format!("kernel {}", kernel.release);
    let now = File::open(image)
        .and_then(|file| digest::of_reader(file.take(MAX_IMAGE)))
        .map_err(|error| failure(&part, "read", error))?;
    if now == booted.sha256 {
        return Ok(());
    }
    let why = "it is the kernel of this root now, and another one has booted";
    Err(Failure {
        kind: FailureKind::OtherKernel,
        ..failure(part, "be the one that booted", why)
    })
}

/// Has packages of kernels print a line when they are installed in this root.
pub fn tell_packages(root: &Path, line: &str) {
    if !HAS_HOOKS.iter().any(|path| root.join(path).is_dir()) {
        return;
    }
    let written = Place::open(root).and_then(|place| {
        place.write(LINE, line.as_bytes(), 0o644, (0, 0))?;
        place.write(HOOK, SCRIPT.as_bytes(), 0o755, (0, 0))
    });
    if let Err(error) = written {
        say(format_args!(
            "packages of kernels will not say which kernel boots: {error}"
        ));
    }
}

/// Takes the script away again: a copy of the root is made, for guests that may not be ours.
///
/// # Errors
/// It cannot be removed.
pub fn withdraw(root: &Path) -> io::Result<()> {
    let hook = root.join(HOOK);
    match std::fs::read(&hook) {
        Ok(text) if text == SCRIPT.as_bytes() => std::fs::remove_file(hook),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    struct Root(tempfile::TempDir);

    impl Root {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        fn path(&self) -> &Path {
            self.0.path()
        }

        fn modules(&self, release: &str) {
            std::fs::create_dir_all(self.path().join("lib/modules").join(release)).unwrap();
        }

        fn file(&self, path: &str, content: &str) {
            let path = self.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, content).unwrap();
        }

        fn release(&self) -> Option<String> {
            installed(self.path()).map(|kernel| kernel.release)
        }
    }

    #[test]
    fn the_newest_kernel_with_modules_counts() {
        let root = Root::new();
        assert_eq!(root.release(), None);
        root.file("boot/vmlinuz-6.1.0-9-amd64", "nine");
        assert_eq!(root.release(), None, "no modules");
        root.modules("6.1.0-9-amd64");
        root.modules("6.1.0-57-amd64");
        assert_eq!(root.release().as_deref(), Some("6.1.0-9-amd64"));
        root.file("boot/vmlinuz-6.1.0-57-amd64", "new");
        root.file("boot/config-6.1.0-57-amd64", "CONFIG_A=y");
        let found = installed(root.path()).unwrap();
        assert_eq!(found.release, "6.1.0-57-amd64");
        assert_eq!(found.image.as_str(), "/boot/vmlinuz-6.1.0-57-amd64");
        assert_eq!(found.modules.as_str(), "/lib/modules/6.1.0-57-amd64");
        assert!(found.config.is_some());
        symlink("boot/vmlinuz-6.1.0-9-amd64", root.path().join("vmlinuz")).unwrap();
        assert_eq!(
            root.release().as_deref(),
            Some("6.1.0-9-amd64"),
            "the distribution's choice"
        );
    }

    #[test]
    fn kernels_of_other_distributions_are_found() {
        let alpine = Root::new();
        alpine.file("boot/vmlinuz-virt", "a");
        alpine.modules("6.6.58-0-virt");
        alpine.modules("6.6.7-0-virt");
        assert_eq!(alpine.release().as_deref(), Some("6.6.58-0-virt"));
        let fedora = Root::new();
        fedora.file("lib/modules/6.11.4-301.fc41.x86_64/vmlinuz", "a");
        assert_eq!(fedora.release().as_deref(), Some("6.11.4-301.fc41.x86_64"));
    }

    #[test]
    fn versions_are_ordered_by_their_numbers() {
        let mut all = [
            "6.10.0",
            "6.9.1",
            "6.1.0-57",
            "6.1.0-9",
            "5.10",
            "6.1.0",
            "6.1.0-057a",
        ];
        all.sort_by(|a, b| by_version(a, b));
        assert_eq!(
            all,
            [
                "5.10",
                "6.1.0",
                "6.1.0-9",
                "6.1.0-57",
                "6.1.0-057a",
                "6.9.1",
                "6.10.0"
            ]
        );
    }

    #[test]
    fn a_guest_goes_on_with_the_kernel_of_its_root_only() {
        let root = Root::new();
        let booted = |content: &str| OwnKernel {
            sha256: digest::of_bytes(content.as_bytes()),
        };
        check(root.path(), &booted("gone")).unwrap();
        root.modules("6.1.0");
        root.file("boot/vmlinuz-6.1.0", "old");
        check(root.path(), &booted("old")).unwrap();
        root.file("boot/vmlinuz-6.1.0", "upgraded in place");
        let failed = check(root.path(), &booted("old")).unwrap_err();
        assert_eq!(failed.kind, FailureKind::OtherKernel);
    }

    #[test]
    fn the_script_of_packages_comes_and_goes() {
        let root = Root::new();
        tell_packages(root.path(), "line");
        assert!(!root.path().join("etc").exists(), "no packages of dpkg");
        std::fs::create_dir_all(root.path().join("var/lib/dpkg")).unwrap();
        tell_packages(root.path(), "line");
        assert_eq!(std::fs::read(root.path().join(LINE)).unwrap(), b"line");
        assert!(root.path().join(HOOK).exists());
        withdraw(root.path()).unwrap();
        assert!(!root.path().join(HOOK).exists());
        withdraw(root.path()).unwrap();
        root.file(HOOK, "the user's own");
        withdraw(root.path()).unwrap();
        assert!(root.path().join(HOOK).exists());
    }
}
