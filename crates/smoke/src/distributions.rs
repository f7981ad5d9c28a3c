//! Images shaped like other distributions, as OCI layouts for `banger image pull`.
//!
//! ```text
//! banger image export debian-bookworm ─► reshaped (usr merged into bin, no Debian) ─► fedora-like   2 layers
//! banger image export debian-minimal  ─► unchanged, and OpenRC with System V's init ─► openrc       2 layers
//! mmdebstrap, packages unpacked only  ─► busybox as /sbin/init, OpenRC, musl       ─► alpine-like   1 layer
//! ```
//!
//! They are *shaped like* these distributions and made of Debian's packages: the properties that banger depends on
//! (paths, links, inits, C library, labels, missing parts) are theirs; the programs are not. No other packages are
//! available to these tests.
//!
//! Made once for each recipe, in `d-<key>` beside the prepared guests.

mod alpine;
mod fedora;
mod layer;
mod layout;
mod openrc;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use sha2::{Digest as _, Sha256};

use crate::binary::find_on_path;
use crate::prepared::{self, PreparedGuests};
use crate::process::Invocation;
use crate::sandbox::Sandbox;
use crate::step::note;
use crate::test_root::test_root;

/// Packages for images without systemd. Their dependencies come with them.
const PACKAGES: &str = "openrc,sysvinit-core,initscripts,musl,busybox-static";
/// Debian release, the same as that of the other images.
const SUITE: &str = "bookworm";
/// Time limit for fetching packages on a slow machine.
const DEADLINE: Duration = Duration::from_secs(300);
/// Sources that determine the images, besides the guests that they are made from.
const SOURCES: [&str; 6] = [
    include_str!("distributions.rs"),
    include_str!("distributions/alpine.rs"),
    include_str!("distributions/fedora.rs"),
    include_str!("distributions/layer.rs"),
    include_str!("distributions/layout.rs"),
    include_str!("distributions/openrc.rs"),
];

/// Folder of the images.
#[derive(Debug)]
pub struct Distributions {
    folder: PathBuf,
}

impl Distributions {
    /// Makes them from the prepared guests if they are missing; waits while another process does.
    ///
    /// # Errors
    /// A file cannot be read or written. A command that fails panics with its output.
    pub fn make(guests: &PreparedGuests) -> io::Result<Self> {
        let mut digest = Sha256::new();
        digest.update(guests.key().as_encoded_bytes());
        SOURCES.iter().for_each(|source| digest.update(source));
        let key: String = digest
            .finalize()
            .iter()
            .take(6)
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let folder = test_root().join(format!("d-{key}"));
        let lock = File::create(folder.with_extension("lock"))?;
        flock(&lock, FlockOperation::LockExclusive)?;
        let made = Self { folder };
        if made.folder.join("ready").is_file() {
            return Ok(made);
        }
        note("making images shaped like other distributions");
        match fs::remove_dir_all(&made.folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        fs::create_dir(&made.folder)?;
        made.fill()?;
        File::create(made.folder.join("ready"))?;
        prepared::remove_unused("d-", &made.folder);
        Ok(made)
    }

    /// The OCI layout of `fedora-like`, `openrc` or `alpine-like`.
    pub fn layout(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn fill(&self) -> io::Result<()> {
        let scratch = self.folder.join("scratch");
        fs::create_dir(&scratch)?;
        let packages = unpacked_packages(&scratch);
        let sandbox = Sandbox::new();
        let base = |image: &str| layout::exported_layer(&sandbox, image, &scratch);
        alpine::make(&packages, &self.layout("alpine-like"))?;
        openrc::make(&base("debian-minimal")?, &packages, &self.layout("openrc"))?;
        fedora::make(&base("debian-bookworm")?, &self.layout("fedora-like"))?;
        fs::remove_dir_all(&scratch)
    }
}

/// An archive of the packages' files, in the folders that Debian had before it merged them.
fn unpacked_packages(scratch: &Path) -> PathBuf {
    let archive = scratch.join("packages.tar");
    let Some(mmdebstrap) = find_on_path("mmdebstrap") else {
        panic!("there is no mmdebstrap; scripts/host-packages.sh run installs it")
    };
    Invocation::new(&mmdebstrap)
        .args(["--quiet", "--variant=extract", "--format=tar"])
        .arg(format!("--include={PACKAGES}"))
        .args([SUITE])
        .arg(&archive)
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .deadline(DEADLINE)
        .run()
        .ok();
    archive
}
