//! Description of an unpacked kernel by itself: its release, and its own configuration when it carries one.

use crate::decompress::{Compression, decompress};
use crate::elf::Elf;
use crate::error::KernelError;
use banger_watch::Cancel;

/// Start of the kernel's banner (`init/version-timestamp.c`).
const BANNER: &[u8] = b"Linux version ";
const BANNER_MAX_BYTES: usize = 512;
/// Longest release (`__NEW_UTS_LEN`).
pub(crate) const RELEASE_MAX_BYTES: usize = 64;
/// Start of the configuration that `CONFIG_IKCONFIG` embeds, gzip-packed (`kernel/configs.c`).
const EMBEDDED_CONFIG: &[u8] = b"IKCFG_ST";
pub(crate) const CONFIG_MAX_BYTES: u64 = 4 << 20;

/// The kernel's names for itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    /// As `uname -r` shows it: `6.1.0-56-cloud-amd64`.
    pub(crate) release: String,
    /// The whole first line of the boot log.
    pub(crate) banner: String,
}

/// Finds the banner in a vmlinux.
pub(crate) fn identity(vmlinux: &[u8]) -> Result<Identity, KernelError> {
    let mut rest = vmlinux;
    while let Some(at) = find(rest, BANNER) {
        let text = &rest[at..rest.len().min(at + BANNER_MAX_BYTES)];
        let end = text
            .iter()
            .position(|byte| matches!(byte, 0 | b'\n'))
            .unwrap_or(text.len());
        let banner = String::from_utf8_lossy(&text[..end]).into_owned();
        let release = banner.split(' ').nth(2).unwrap_or_default();
        // The format string of /proc/version, `Linux version %s …`, is not it.
        if is_release(release) {
            return Ok(Identity {
                release: release.to_owned(),
                banner,
            });
        }
        rest = &rest[at + BANNER.len()..];
    }
    Err(KernelError::NotAKernel(
        "it holds no `Linux version …`".to_owned(),
    ))
}

/// Tells whether `text` can be a release, and so a folder's name under `/lib/modules`.
pub(crate) fn is_release(text: &str) -> bool {
    text.len() <= RELEASE_MAX_BYTES
        && text.starts_with(|c: char| c.is_ascii_digit())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._+~-".contains(&byte))
}

/// The configuration inside the kernel; `None` when it was built without `CONFIG_IKCONFIG` or it is unreadable.
pub(crate) fn embedded_config(vmlinux: &[u8], cancel: Cancel<'_>) -> Option<Vec<u8>> {
    let start = find(vmlinux, EMBEDDED_CONFIG)? + EMBEDDED_CONFIG.len();
    let packed = &vmlinux[start..];
    decompress(
        packed,
        Compression::Gzip,
        CONFIG_MAX_BYTES,
        "embedded configuration",
        cancel,
    )
    .ok()
}

/// The physical address of the PVH entry, through which QEMU boots an ELF kernel.
pub(crate) fn pvh_entry(vmlinux: &[u8]) -> Result<Option<u64>, KernelError> {
    let read = || Elf::parse(vmlinux)?.pvh_entry();
    read().map_err(|source| KernelError::Elf {
        what: "the kernel image".to_owned(),
        source,
    })
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    memchr::memmem::find(haystack, needle)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{gzip, vmlinux};

    #[test]
    fn the_release_is_read_from_the_banner_and_not_from_its_format() {
        let mut bytes = b"Linux version %s (%s)\0".to_vec();
        bytes.extend(vmlinux("6.1.0-56-cloud-amd64", None));
        let identity = identity(&bytes).unwrap();
        assert_eq!(identity.release, "6.1.0-56-cloud-amd64");
        assert_eq!(
            identity.banner,
            "Linux version 6.1.0-56-cloud-amd64 (builder@host) #1 SMP"
        );
    }

    #[test]
    fn a_release_that_could_leave_its_folder_is_no_release() {
        for text in ["../6.1", "6.1/..", "6.1\n", "", "x6", &"6".repeat(65)] {
            assert!(!is_release(text), "{text}");
        }
        assert!(is_release("6.12.117+deb12-cloud-amd64"));
    }

    #[test]
    fn an_elf_file_without_a_banner_is_no_kernel() {
        assert!(identity(b"\x7fELF Linux version ").is_err());
    }

    #[test]
    fn an_embedded_configuration_is_found() {
        let mut bytes = b"before IKCFG_ST".to_vec();
        bytes.extend(gzip(b"CONFIG_PVH=y\n"));
        bytes.extend(b"IKCFG_ED after");
        assert_eq!(
            embedded_config(&bytes, &|| false).unwrap(),
            b"CONFIG_PVH=y\n"
        );
        assert_eq!(embedded_config(b"IKCFG_ST rubbish", &|| false), None);
    }
}
