//! Kernel and images for the scenarios, made once through banger itself and shared by hard link.
//!
//! ```text
//! PreparedGuests::make ──► g-<key>/b  (a BANGER_HOME: kernel imported, images built, daemon stopped)  ──► g-<key>/ready
//! PreparedGuests::find ──► give_to(home): folders made anew, big files linked, small files (store, metadata) copied
//! ```
//!
//! The key is a digest of the sources that determine the images and kernels, so that a change of these sources, and
//! nothing else, makes new ones.

use std::ffi::OsStr;
use std::fmt;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::fs::{FlockOperation, flock};
use sha2::{Digest as _, Sha256};

use crate::binary::banger_binary;
use crate::leftovers;
use crate::process::Invocation;
use crate::sandbox::environment;
use crate::step::note;
use crate::test_root::test_root;

/// Sources that determine the content of prepared guests, relative to the workspace.
const RECIPES: [&str; 4] = [
    "crates/image/recipes",
    "crates/image/src",
    "crates/kernel/src",
    "crates/store/src",
];
/// The images that scenarios use.
const IMAGES: [&str; 2] = ["debian-minimal", "debian-bookworm"];
/// Files larger than this are images and kernels, which are never written to: they are shared.
const SHARED_FROM_BYTES: u64 = 1024 * 1024;
/// Prepared guests that were unused for this long are removed when others are made.
const KEPT_UNUSED: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// Time limit for one image: it is fetched, unpacked and written on a slow machine.
const IMAGE_DEADLINE: Duration = Duration::from_secs(15 * 60);

/// Reason why there are no prepared guests.
#[derive(Debug)]
pub enum PrepareError {
    /// They are not made yet.
    Missing(PathBuf),
    /// The file system refused an operation.
    Io(PathBuf, io::Error),
}

impl fmt::Display for PrepareError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(folder) => {
                write!(
                    out,
                    "no prepared guests in {}; run `make guests` first",
                    folder.display()
                )
            }
            Self::Io(path, error) => write!(out, "cannot use {}: {error}", path.display()),
        }
    }
}

impl std::error::Error for PrepareError {}

/// A `BANGER_HOME` that holds the default kernel and the images, and no VM.
#[derive(Debug)]
pub struct PreparedGuests {
    folder: PathBuf,
}

impl PreparedGuests {
    /// The prepared guests for the present recipes.
    ///
    /// # Errors
    /// [`PrepareError::Missing`] when they have not been made.
    pub fn find() -> Result<Self, PrepareError> {
        let folder = Self::folder()?;
        // The mark's time is the time of the last use.
        let mark = File::options().write(true).open(folder.join("ready"));
        match mark.and_then(|mark| mark.set_modified(SystemTime::now())) {
            Ok(()) => Ok(Self { folder }),
            Err(_) if !folder.join("ready").is_file() => Err(PrepareError::Missing(folder)),
            Err(error) => Err(PrepareError::Io(folder, error)),
        }
    }

    /// Makes them if they are missing; waits while another process makes them.
    ///
    /// # Errors
    /// Fails when the folder cannot be used. A banger command that fails panics with its output.
    pub fn make() -> Result<Self, PrepareError> {
        let folder = Self::folder()?;
        let lock_path = folder.with_extension("lock");
        let lock =
            File::create(&lock_path).map_err(|error| PrepareError::Io(lock_path.clone(), error))?;
        flock(&lock, FlockOperation::LockExclusive)
            .map_err(|error| PrepareError::Io(lock_path, error.into()))?;
        if let Ok(ready) = Self::find() {
            note(&format!("guests are prepared: {}", folder.display()));
            return Ok(ready);
        }
        note(&format!(
            "preparing guests in {}; the first time takes some minutes",
            folder.display()
        ));
        remove(&folder)?;
        let guests = Self { folder };
        guests.fill(&banger_binary(), &IMAGES);
        let ready = guests.folder.join("ready");
        fs::write(&ready, "").map_err(|error| PrepareError::Io(ready, error))?;
        remove_unused("g-", &guests.folder);
        Ok(guests)
    }

    /// The guests that another build has made for itself, in the folder of this name; they are made if they are
    /// missing.
    ///
    /// # Errors
    /// Fails when the folder cannot be used. A banger command that fails panics with its output.
    pub(crate) fn of_build(program: &Path, name: &str) -> Result<Self, PrepareError> {
        let guests = Self {
            folder: test_root().join(name),
        };
        let lock_path = guests.folder.with_extension("lock");
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |error| PrepareError::Io(path, error)
        };
        let lock = File::create(&lock_path).map_err(failed(&lock_path))?;
        flock(&lock, FlockOperation::LockExclusive)
            .map_err(|error| PrepareError::Io(lock_path, error.into()))?;
        let ready = guests.folder.join("ready");
        if !ready.is_file() {
            note(&format!("preparing guests of {}", program.display()));
            remove(&guests.folder)?;
            guests.fill(program, &IMAGES[..1]);
            fs::write(&ready, "").map_err(failed(&ready))?;
        }
        Ok(guests)
    }

    fn folder() -> Result<PathBuf, PrepareError> {
        Ok(test_root().join(format!("g-{}", key()?)))
    }

    fn banger_home(&self) -> PathBuf {
        self.folder.join("b")
    }

    fn fill(&self, program: &Path, images: &[&str]) {
        let home = self.banger_home();
        if let Err(error) = fs::create_dir_all(&home) {
            panic!("cannot make {}: {error}", home.display());
        }
        let banger = |words: &[&str]| {
            let command = Invocation::new(program)
                .args(words)
                .deadline(IMAGE_DEADLINE);
            environment(command, &self.folder, &home).run()
        };
        let kernel = banger(&["kernel", "import", "--default"]);
        let images: Vec<_> = images
            .iter()
            .map(|image| banger(&["image", "build", image]))
            .collect();
        // Stopped before the checks: a failure must not leave a daemon behind.
        let stopped = banger(&["daemon", "stop"]);
        kernel.ok();
        for image in images {
            image.ok();
        }
        stopped.ok();
        leftovers::end_processes_of(&self.folder);
    }

    /// Identity of these guests: those of other recipes have another one.
    pub(crate) fn key(&self) -> &OsStr {
        self.folder.file_name().unwrap_or_default()
    }

    /// Puts the kernel and the images into another `BANGER_HOME`.
    ///
    /// # Errors
    /// Fails when a file can be neither linked nor copied.
    pub fn give_to(&self, banger_home: &Path) -> Result<(), PrepareError> {
        share(&self.banger_home(), banger_home)
    }
}

/// Removes guests of other recipes that were unused for a while. Another checkout may be using its own.
pub(crate) fn remove_unused(prefix: &str, but: &Path) {
    for entry in fs::read_dir(test_root()).into_iter().flatten().flatten() {
        let path = entry.path();
        let ours = entry.file_name().to_string_lossy().starts_with(prefix);
        let used = fs::metadata(path.join("ready")).and_then(|ready| ready.modified());
        let idle = used.is_ok_and(|used| used.elapsed().is_ok_and(|idle| idle > KEPT_UNUSED));
        if ours && idle && path != but && remove(&path).is_err() {
            note(&format!("cannot remove {}", path.display()));
        }
    }
}

fn share(from: &Path, to: &Path) -> Result<(), PrepareError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |error| PrepareError::Io(path, error)
    };
    fs::create_dir_all(to).map_err(failed(to))?;
    let mode = fs::metadata(from)
        .map_err(failed(from))?
        .permissions()
        .mode();
    fs::set_permissions(to, fs::Permissions::from_mode(mode)).map_err(failed(to))?;
    for entry in fs::read_dir(from).map_err(failed(from))? {
        let entry = entry.map_err(failed(from))?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let found = fs::symlink_metadata(&source).map_err(failed(&source))?;
        let kind = found.file_type();
        if kind.is_dir() {
            share(&source, &target)?;
        } else if kind.is_symlink() {
            let points_to = fs::read_link(&source).map_err(failed(&source))?;
            std::os::unix::fs::symlink(points_to, &target).map_err(failed(&target))?;
        } else if kind.is_socket() || kind.is_fifo() {
            // A file of a stopped daemon: left out.
        } else if found.len() > SHARED_FROM_BYTES {
            fs::hard_link(&source, &target).map_err(failed(&target))?;
        } else {
            fs::copy(&source, &target).map_err(failed(&target))?;
        }
    }
    Ok(())
}

fn remove(path: &Path) -> Result<(), PrepareError> {
    let gone = match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match gone {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(PrepareError::Io(path.to_owned(), error))
        }
        _ => Ok(()),
    }
}

/// Twelve hexadecimal digits that change when a recipe does. `BANGER_TEST_GUESTS` sets the key by hand, to keep the
/// existing guests during work on that code.
fn key() -> Result<String, PrepareError> {
    if let Ok(pinned) = std::env::var("BANGER_TEST_GUESTS") {
        return Ok(pinned);
    }
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut digest = Sha256::new();
    for folder in RECIPES {
        digest_folder(&workspace.join(folder), &mut digest)?;
    }
    Ok(digest
        .finalize()
        .iter()
        .take(6)
        .map(|byte| format!("{byte:02x}"))
        .collect())
}

fn digest_folder(folder: &Path, digest: &mut Sha256) -> Result<(), PrepareError> {
    let failed = |error| PrepareError::Io(folder.to_owned(), error);
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        paths.push(entry.map_err(failed)?.path());
    }
    paths.sort();
    for path in paths {
        if path.is_dir() {
            digest_folder(&path, digest)?;
        } else {
            let name = path.file_name().unwrap_or_default().as_encoded_bytes();
            let content = fs::read(&path).map_err(|error| PrepareError::Io(path.clone(), error))?;
            digest.update(name);
            digest.update((content.len() as u64).to_le_bytes());
            digest.update(content);
        }
    }
    Ok(())
}
