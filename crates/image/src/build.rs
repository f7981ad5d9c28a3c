//! Builds a recipe: mmdebstrap makes a tar archive, the archive becomes a tree, the tree becomes a base.
//!
//! ```text
//!  host's Debian sources ─► mmdebstrap ─► scratch/rootfs.tar ─► tree ─► customise ─► base.ext4 ─► image.json
//! ```

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use banger_command::{CommandError, Program, find_in_path};
use banger_disk::ext4::EPOCH;
use rustix::thread::CapabilitySet;

use crate::customise::customise;
use crate::error::ImageError;
use crate::input::read_archive;
use crate::metadata::{ImageMetadata, OriginKind};
use crate::mode::{BuildMode, HostFacts};
use crate::progress::{Stage, Watch};
use crate::recipe::Recipe;
use crate::seed::WorkSeed;
use crate::sources::DebianSources;
use crate::store::{Destination, Parts, write_image};

const ARCHIVE: &str = "rootfs.tar";
const SOURCES: &str = "debian.sources";
/// Capabilities of root (capabilities(7), without `CAP_`) that neither mmdebstrap nor a package's scripts in its chroot need.
const NEVER_NEEDED: [&str; 13] = [
    "sys_module",
    "sys_rawio",
    "sys_boot",
    "sys_time",
    "sys_pacct",
    "sys_ptrace",
    "syslog",
    "net_admin",
    "mac_admin",
    "mac_override",
    "audit_control",
    "linux_immutable",
    "wake_alarm",
];

/// The host's tools and sources for building.
#[derive(Debug, Clone)]
pub struct Builder {
    mmdebstrap: PathBuf,
    mode: BuildMode,
    containment: Option<Containment>,
    etc_apt: PathBuf,
}

/// Programs of util-linux, which every distribution has.
#[derive(Debug, Clone)]
struct Containment {
    setpriv: PathBuf,
    unshare: PathBuf,
}

impl Containment {
    fn find(path: Option<&OsStr>) -> Result<Self, ImageError> {
        let program = |name| {
            let missing = || ImageError::NoBuildMode {
                reasons: vec![format!(
                    "root needs the program {name} (package util-linux)"
                )],
            };
            find_in_path(name, path).ok_or_else(missing)
        };
        Ok(Self {
            setpriv: program("setpriv")?,
            unshare: program("unshare")?,
        })
    }
}

impl Builder {
    /// Finds the tools of the host; builds nothing.
    ///
    /// # Errors
    /// mmdebstrap is missing ([`ImageError::NoMmdebstrap`]), or this user cannot run it
    /// ([`ImageError::NoBuildMode`] lists what each way lacks).
    pub fn of_host() -> Result<Self, ImageError> {
        let path = std::env::var_os("PATH");
        let mode = BuildMode::choose(&HostFacts::gather(path.as_deref()))?;
        Self::new(path.as_deref(), mode, Path::new("/etc/apt"))
    }

    pub(crate) fn new(
        path: Option<&OsStr>,
        mode: BuildMode,
        etc_apt: &Path,
    ) -> Result<Self, ImageError> {
        let mmdebstrap = find_in_path("mmdebstrap", path).ok_or(ImageError::NoMmdebstrap)?;
        let containment = match mode {
            BuildMode::Root => Some(Containment::find(path)?),
            BuildMode::Unshare | BuildMode::Fakechroot => None,
        };
        Ok(Self {
            mmdebstrap,
            mode,
            containment,
            etc_apt: etc_apt.to_path_buf(),
        })
    }

    /// Builds `recipe` into `destination`. The intermediate archive lies in `scratch`, a folder of the caller's, and is
    /// removed; a killed build leaves it there.
    ///
    /// # Errors
    /// The host has no Debian sources, mmdebstrap fails, or the image cannot be written. `destination` then has no
    /// `image.json`; the caller removes it.
    pub fn build(
        &self,
        recipe: &Recipe,
        seed: &WorkSeed,
        destination: &Destination<'_>,
        scratch: &Path,
        watch: &mut Watch<'_>,
    ) -> Result<ImageMetadata, ImageError> {
        // An absolute path: mmdebstrap runs in another folder.
        let scratch = &std::path::absolute(scratch)
            .map_err(|source| ImageError::io("find", scratch, source))?;
        let archive = scratch.join(ARCHIVE);
        self.bootstrap(recipe, &archive, scratch, watch)?;
        let mut tree = read_archive(&archive, scratch, watch)?.tree;
        // The tree holds the open file; its name is not needed.
        fs::remove_file(&archive).map_err(|source| ImageError::io("remove", &archive, source))?;
        customise(&mut tree, &recipe.tree)?;
        let seed = seed.read(Some(&tree), scratch, watch)?;
        let parts = Parts::plain(OriginKind::Recipe, recipe.name.clone(), seed);
        write_image(&tree, parts, destination, watch)
    }

    fn bootstrap(
        &self,
        recipe: &Recipe,
        archive: &Path,
        scratch: &Path,
        watch: &mut Watch<'_>,
    ) -> Result<(), ImageError> {
        let sources = scratch.join(SOURCES);
        let text = DebianSources::of_host(&self.etc_apt, &recipe.suite)?.to_deb822();
        fs::write(&sources, text).map_err(|source| ImageError::io("write", &sources, source))?;
        let program = self.program(recipe, archive, &sources, scratch);
        let (mut installed, cancel) = (0, watch.cancel());
        let ended = program.run(
            &mut |line| {
                installed += u64::from(line.starts_with("Setting up "));
                watch.report(Stage::Bootstrap, line, installed, 0);
            },
            cancel,
        );
        ended.map_err(|source| match source {
            CommandError::Cancelled { .. } => ImageError::Cancelled,
            source => ImageError::Build {
                what: recipe.name.clone(),
                source,
            },
        })?;
        fs::remove_file(&sources).map_err(|source| ImageError::io("remove", &sources, source))
    }

    /// Wraps the command in its own mounts and processes (unshare(1)). As root, mmdebstrap mounts file systems in its
    /// chroot and leaves them there if it is killed; a later removal of the caller's folder would then reach the host's
    /// devices. The mounts end with mmdebstrap, which ends with this process (setpriv(1)). In the other modes
    /// mmdebstrap does this itself.
    fn contained(&self) -> Program {
        match &self.containment {
            Some(Containment { setpriv, unshare }) => Program::new(setpriv)
                .called("mmdebstrap")
                .args(["--pdeathsig", "KILL", "--no-new-privs"])
                .args(may_give_up().then(|| format!("--bounding-set={}", without(&NEVER_NEEDED))))
                .arg("--")
                .arg(unshare)
                .args([
                    "--mount",
                    "--pid",
                    "--fork",
                    "--kill-child=KILL",
                    "--mount-proc",
                    "--",
                ])
                .arg(&self.mmdebstrap),
            None => Program::new(&self.mmdebstrap),
        }
    }

    fn program(&self, recipe: &Recipe, archive: &Path, sources: &Path, scratch: &Path) -> Program {
        let paths = recipe
            .exclude
            .iter()
            .map(|path| format!("--dpkgopt=path-exclude={path}"));
        let kept = recipe
            .include
            .iter()
            .map(|path| format!("--dpkgopt=path-include={path}"));
        let program = self
            .contained()
            .args([
                "--verbose",
                "--format=tar",
                "--variant=minbase",
                "--architectures=amd64",
            ])
            .arg(format!("--mode={}", self.mode.name()))
            .arg(format!("--include={}", recipe.packages.join(",")))
            .args([
                "--aptopt=Acquire::Languages \"none\"",
                "--aptopt=APT::Install-Recommends \"false\"",
            ])
            .args(paths.chain(kept))
            .arg(&recipe.suite)
            .arg(archive)
            .arg(sources)
            // No file is newer, so that the same packages give the same image.
            .env("SOURCE_DATE_EPOCH", EPOCH.to_string())
            .dir("/");
        match self.mode {
            // The chroot is made in the caller's folder, so that even a killed build leaves nothing elsewhere.
            BuildMode::Root | BuildMode::Fakechroot => program.env("TMPDIR", scratch),
            // The user of its namespace may not be able to enter the caller's private folders.
            BuildMode::Unshare => program,
        }
    }
}

/// Tells whether this process may take capabilities out of its bounding set. Root of a container may not always.
fn may_give_up() -> bool {
    rustix::thread::capabilities(None)
        .is_ok_and(|sets| sets.effective.contains(CapabilitySet::SETPCAP))
}

/// A list for `setpriv --bounding-set` that takes these away.
fn without(capabilities: &[&str]) -> String {
    let taken: Vec<String> = capabilities.iter().map(|name| format!("-{name}")).collect();
    taken.join(",")
}

#[cfg(test)]
mod tests;
