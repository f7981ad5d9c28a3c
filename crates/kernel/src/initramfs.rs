//! The initramfs: the agent as `/init`, and the modules of one kernel.
//!
//! ```text
//!  /init                    the agent, 0755
//!  /modules/order           one line for each module, in load order: its file name
//!  /modules/serves          the same lines, each followed by the capabilities (as in `kernel.json`) that need the module:
//!                           a guest may load only those that serve what it has
//!  /modules/NN-name.ko      uncompressed; without its signature, unless the kernel insists on one
//!  /dev/console             5:1, which the kernel opens for /init's first three files
//!  /dev /proc /run /sys /mnt /tmp   empty
//! ```
//!
//! It depends on the kernel and the agent only, so it is made once for each pair and kept beside the kernel. It is not
//! packed: in emulation a guest would spend more time on unpacking than the host on reading it from its page cache.
//!
//! Signatures: the host checks each module against the digest of its import when it packs the archive, and the guest gets
//! its kernel from the same host, so the guest's own check adds nothing. In emulation it costs 90 ms of each start
//! (measured: 16 modules of Debian's 6.1 in 250 ms with it, 155 ms without). The guest's kernel notes the lack as taint `E`.

use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Mode, OFlags};

use crate::cpio::Cpio;
use crate::durable;
use crate::error::KernelError;
use crate::metadata::{FileRecord, KernelMetadata};
use crate::modules::read_at_most;

/// Largest agent that is packed; ours has less than 3 MB.
const AGENT_MAX_BYTES: u64 = 64 << 20;
/// Characters of a digest that name a file: enough to tell any agents apart.
const DIGEST_IN_NAME: usize = 24;
/// Changes when the layout of the archive does, so that an old cached file is not used.
const LAYOUT: &str = "1";

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
    let (mut order, mut serves) = (String::new(), String::new());
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
        order.push_str(&format!("{name}\n"));
        serves.push_str(&format!("{name} {}\n", capabilities.join(" ")));
    }
    cpio.file("modules/order", 0o444, order.as_bytes());
    cpio.file("modules/serves", 0o444, serves.as_bytes());
    cpio.file("init", 0o755, agent);
    Ok(cpio.finish())
}

fn checked(kernel: &Path, record: &FileRecord) -> Result<Vec<u8>, KernelError> {
    let path = kernel.join(&record.file);
    let file = File::open(&path).map_err(|source| KernelError::io("open", &path, source))?;
    let bytes = read_at_most(&file, record.bytes, &path)?;
    if durable::digest(&bytes) != record.digest {
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

/// Where the initramfs of a kernel and an agent is kept: a file in the kernel's folder. `agent_digest` is `sha256:…` of
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
    publish(&path, &bytes)?;
    durable::sync_folder(kernel)?;
    Ok(path)
}

/// Writes a file that appears whole or not at all, and leaves nothing else behind when the process is killed: it has no
/// name (`O_TMPFILE`, open(2)) before it is complete. File systems without unnamed files get a named one and a rename.
fn publish(path: &Path, bytes: &[u8]) -> Result<(), KernelError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let mode = Mode::from_raw_mode(0o444);
    match rustix::fs::open(
        folder,
        OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC,
        mode,
    ) {
        Ok(descriptor) => {
            let mut file = File::from(descriptor);
            write_synced(&mut file, bytes, path)?;
            link(&file, path)
        }
        Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::ISDIR) => {
            publish_by_rename(path, bytes)
        }
        Err(source) => Err(KernelError::io("create a file in", folder, source.into())),
    }
}

fn write_synced(file: &mut File, bytes: &[u8], path: &Path) -> Result<(), KernelError> {
    use std::io::Write as _;
    file.write_all(bytes)
        .map_err(|source| KernelError::io("write", path, source))?;
    file.sync_all()
        .map_err(|source| KernelError::io("sync", path, source))
}

fn link(file: &File, path: &Path) -> Result<(), KernelError> {
    use std::os::fd::AsRawFd as _;
    let unnamed = format!("/proc/self/fd/{}", file.as_raw_fd());
    match rustix::fs::linkat(
        rustix::fs::CWD,
        unnamed,
        rustix::fs::CWD,
        path,
        AtFlags::SYMLINK_FOLLOW,
    ) {
        // Somebody else was faster, with the same content.
        Ok(()) | Err(rustix::io::Errno::EXIST) => Ok(()),
        Err(source) => Err(KernelError::io("publish", path, source.into())),
    }
}

fn publish_by_rename(path: &Path, bytes: &[u8]) -> Result<(), KernelError> {
    let mut partial = OsString::from(path.as_os_str());
    partial.push(format!(".partial-{}", std::process::id()));
    let partial = PathBuf::from(partial);
    // A leftover of a process with the same id that was killed.
    match fs::remove_file(&partial) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(KernelError::io("remove", &partial, error));
        }
        _ => {}
    }
    durable::write_new(&partial, bytes)?;
    fs::rename(&partial, path).map_err(|source| KernelError::io("publish", path, source))
}

#[cfg(test)]
mod tests;
