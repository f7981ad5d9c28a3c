//! The initramfs: the agent as `/init`, and the modules of one kernel.
//!
//! ```text
//!  /init                    the agent, 0755
//!  /modules/serves          one line for each module, in load order: its file name, and the capabilities (as in
//!                           `kernel.json`) that need it: a guest loads only those that serve what it has
//!  /modules/NN-name.ko      uncompressed; without its signature, unless the kernel insists on one
//!  /dev/console             5:1, which the kernel opens for /init's first three files
//!  /dev /proc /run /sys /mnt /tmp   empty
//! ```
//!
//! It depends on the kernel and the agent only, so it is made once for each pair and kept beside the kernel. It is not
//! packed: in emulation a guest would spend more time on unpacking than the host on reading it from its page cache.
//!
//! Signatures: the host checks each module against the digest of its import when it packs the archive, and the guest
//! gets its kernel from the same host, so the guest's own check adds nothing. In emulation it costs 90 ms of each start
//! (measured: 16 modules of Debian's 6.1 in 250 ms with it, 155 ms without). The guest's kernel notes the lack as taint
//! `E`.

use std::fs::File;
use std::path::{Path, PathBuf};

use crate::cpio::Cpio;
use crate::error::KernelError;
use crate::metadata::{FileRecord, KernelMetadata};
use crate::modules::read_at_most;

/// Largest agent that is packed; ours has less than 3 MB.
const AGENT_MAX_BYTES: u64 = 64 << 20;
/// Characters of a digest that name a file: enough to tell any agents apart.
const DIGEST_IN_NAME: usize = 24;
/// Changes when the layout of the archive does, so that an old cached file is not used.
const LAYOUT: &str = "2";

/// Builds the archive for the imported kernel in `kernel` and the given agent.
///
/// # Errors
/// The folder holds no imported kernel, a module differs from its recorded digest, or the agent is absurdly large.
pub fn initramfs_bytes(kernel: &Path, agent: &[u8]) -> Result<Vec<u8>, KernelError> {
    if agent.len() as u64 > AGENT_MAX_BYTES {
        return Err(KernelError::TooLarge {
            what: "the agent".to_owned(),
            limit: AGENT_MAX_BYTES,
        });
    }
    let metadata = KernelMetadata::read(kernel)?;
    let modules: u64 = metadata
        .modules
        .iter()
        .map(|module| module.file.bytes)
        .sum();
    let mut cpio =
        Cpio::with_capacity(agent.len() + usize::try_from(modules).unwrap_or(0) + (64 << 10));
    for folder in ["dev", "proc", "run", "sys", "mnt"] {
        cpio.folder(folder, 0o755);
    }
    cpio.folder("tmp", 0o1777);
    cpio.character_device("dev/console", 0o600, (5, 1));
    cpio.folder("modules", 0o755);
    let mut serves = String::new();
    for module in &metadata.modules {
        let bytes = checked(kernel, &module.file)?;
        let unsigned = metadata.module_signatures_forced == Some(false);
        let bytes = if unsigned {
            without_signature(&bytes)
        } else {
            &bytes
        };
        cpio.file(&module.file.file, 0o444, bytes);
        let name = module.file.file.rsplit('/').next().unwrap_or_default();
        let capabilities: Vec<_> = module
            .serves
            .iter()
            .map(|capability| capability.name())
            .collect();
        serves.push_str(&format!("{name} {}\n", capabilities.join(" ")));
    }
    cpio.file("modules/serves", 0o444, serves.as_bytes());
    cpio.file("init", 0o755, agent);
    Ok(cpio.finish())
}

fn checked(kernel: &Path, record: &FileRecord) -> Result<Vec<u8>, KernelError> {
    let path = kernel.join(&record.file);
    let file = File::open(&path).map_err(|source| KernelError::io("open", &path, source))?;
    let bytes = read_at_most(&file, record.bytes, &path)?;
    if banger_durable::sha256(&bytes) != record.digest {
        let why = "its content is not what was imported; import the kernel again".to_owned();
        return Err(KernelError::NotImported { path, why });
    }
    Ok(bytes)
}

/// A module without the signature at its end: signature, 12 bytes that end with its length, magic
/// (`include/linux/module_signature.h`). What is not of that form is left as it is.
fn without_signature(module: &[u8]) -> &[u8] {
    const MAGIC: &[u8] = b"~Module signature appended~\n";
    const INFO_BYTES: usize = 12;
    let signed = || {
        let (before_length, length) = module.strip_suffix(MAGIC)?.split_last_chunk::<4>()?;
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        let end = (before_length.len() + 4)
            .checked_sub(INFO_BYTES)?
            .checked_sub(length)?;
        module.get(..end)
    };
    signed().unwrap_or(module)
}

/// Path of the initramfs of a kernel and an agent: a file in the kernel's folder. `agent_digest` is `sha256:…` of
/// the agent; no file is read, so that a start costs one `stat` when it exists.
#[must_use]
pub fn initramfs_path(kernel: &Path, agent_digest: &str) -> PathBuf {
    let digest = agent_digest.strip_prefix("sha256:").unwrap_or(agent_digest);
    let digest: String = digest
        .chars()
        .filter(char::is_ascii_hexdigit)
        .take(DIGEST_IN_NAME)
        .collect();
    kernel.join(format!("initramfs-{LAYOUT}-{digest}.cpio"))
}

/// The initramfs file of a kernel and an agent, made when it does not exist. Any number of callers may ask at once; a
/// crash leaves no partial file under the name.
///
/// # Errors
/// As [`initramfs_bytes`], and when the file cannot be written.
pub fn ensure_initramfs(
    kernel: &Path,
    agent: &[u8],
    agent_digest: &str,
) -> Result<PathBuf, KernelError> {
    let path = initramfs_path(kernel, agent_digest);
    if path.is_file() {
        return Ok(path);
    }
    let bytes = initramfs_bytes(kernel, agent)?;
    banger_durable::publish(&path, &bytes)
        .map_err(|source| KernelError::io("write", &path, source))?;
    Ok(path)
}

#[cfg(test)]
mod tests;
