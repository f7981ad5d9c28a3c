//! The kernel of a guest's root, received into a directory that an import takes. What a guest sends is bounded, and its names
//! are checked: it may be anything.

use std::fs;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use banger_api::{ApiError, ErrorCode};
use banger_guest::files::{Target, UnpackLimits, download};
use banger_guest::{Client, GetFiles, GuestPath, InstalledKernel};

use crate::failure;

/// Largest image, in bytes: what an import reads.
const MAX_IMAGE: u64 = 256 << 20;
/// Most bytes of modules: those of a distribution's largest kernel are some 500 MB.
const MAX_MODULES: u64 = 2 << 30;
/// Most files of modules.
const MAX_MODULE_FILES: u64 = 50_000;
/// Folders in folders that are kept: distributions have some twelve.
const MAX_DEPTH: usize = 32;
/// Longest release (utsname(2) has 64 bytes for it).
const MAX_RELEASE: usize = 64;

/// Receives image, configuration and modules of `kernel` into `into`.
///
/// # Errors
/// `guest_failed` for a release that is none, or more than a kernel has; those of the transfer.
pub(super) async fn receive(
    client: &Client,
    kernel: InstalledKernel,
    into: &Path,
) -> Result<(), ApiError> {
    let release = &kernel.release;
    let plain = |c: char| c.is_ascii_alphanumeric() || "._+~-".contains(c);
    if release.is_empty()
        || release.len() > MAX_RELEASE
        || release.starts_with('.')
        || !release.chars().all(plain)
    {
        let message = format!("the guest says that its kernel is {release:?}, which is no release");
        return Err(ApiError::new(ErrorCode::GuestFailed, message));
    }
    let boot = into.join("boot");
    let modules = into.join("lib/modules");
    // What a crash left there before is not this kernel.
    match fs::remove_dir_all(into) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(failure::of_disk(&error));
        }
        _ => {}
    }
    for folder in [&boot, &modules] {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(|error| failure::of_disk(&error))?;
    }
    let image = boot.join(format!("vmlinuz-{release}"));
    get(client, kernel.image, image, (1, MAX_IMAGE)).await?;
    if let Some(config) = kernel.config {
        let to = boot.join(format!("config-{release}"));
        get(client, config, to, (1, MAX_IMAGE)).await?;
    }
    let limits = (MAX_MODULE_FILES, MAX_MODULES);
    get(client, kernel.modules, modules.join(release), limits).await?;
    drop_links(into, 0).map_err(|error| failure::of_disk(&error))
}

/// Removes whatever is neither a directory nor a file: an import opens files by their names, and a link of the guest's would
/// have it read the host's.
fn drop_links(folder: &Path, depth: usize) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        let path = entry.path();
        if kind.is_dir() && depth < MAX_DEPTH {
            drop_links(&path, depth + 1)?;
        } else if kind.is_dir() {
            fs::remove_dir_all(&path)?;
        } else if !kind.is_file() {
            fs::remove_file(&path)?;
        }
    }
    Ok(())
}

async fn get(
    client: &Client,
    path: GuestPath,
    to: PathBuf,
    (entries, bytes): (u64, u64),
) -> Result<(), ApiError> {
    let asked = GetFiles { path, follow: true };
    let call = client
        .get_files(&asked)
        .await
        .map_err(|error| failure::of_guest(&error))?;
    let target = Target {
        dest: to,
        must_be_dir: false,
        contents: false,
        parents: false,
        name: None,
        owner: None,
    };
    download(call, target, UnpackLimits { entries, bytes })
        .await
        .map(|_done| ())
        .map_err(|error| ApiError::new(ErrorCode::GuestFailed, failure::chain(&error)))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn nothing_that_a_guest_sends_leads_to_a_file_of_the_host() {
        let home = tempfile::tempdir().unwrap();
        let deep = home.path().join("lib/modules/6.1.0/kernel");
        fs::create_dir_all(&deep).unwrap();
        fs::write(deep.join("a.ko"), "module").unwrap();
        symlink("/etc/passwd", deep.join("b.ko")).unwrap();
        symlink(
            "/etc/passwd",
            home.path().join("lib/modules/6.1.0/modules.dep"),
        )
        .unwrap();
        symlink("/etc", home.path().join("boot")).unwrap();
        drop_links(home.path(), 0).unwrap();
        assert!(deep.join("a.ko").is_file());
        for gone in ["boot", "lib/modules/6.1.0/modules.dep"] {
            assert!(home.path().join(gone).symlink_metadata().is_err(), "{gone}");
        }
        assert_eq!(fs::read_dir(&deep).unwrap().count(), 1);
    }
}
