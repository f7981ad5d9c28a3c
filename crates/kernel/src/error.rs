//! Errors, as fragments that a caller composes with their sources.

use std::io;
use std::path::{Path, PathBuf};

use crate::elf::ElfError;

/// Errors of reading, importing, packing and fetching kernels.
#[derive(Debug, thiserror::Error)]
pub enum KernelError {
    /// A file of the host could not be used.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// The attempt: `read`, `write`, `sync`, …
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// The caller asked to stop.
    #[error("cancelled")]
    Cancelled,
    /// Something is larger than banger accepts.
    #[error("{what} is larger than the limit of {limit} bytes")]
    TooLarge {
        /// The measured thing.
        what: String,
        /// The limit, bytes.
        limit: u64,
    },
    /// The bytes are no kernel image of a known form.
    #[error("not a kernel image for x86-64: {0}")]
    NotAKernel(String),
    /// The image's ELF structure is broken or of another machine.
    #[error("{what} is not a usable ELF file")]
    Elf {
        /// The file.
        what: String,
        /// Its fault.
        #[source]
        source: ElfError,
    },
    /// A compressed stream is damaged or of an unknown kind.
    #[error("cannot decompress {what}")]
    Decompress {
        /// The thing that was read.
        what: String,
        /// Error of the decoder.
        #[source]
        source: io::Error,
    },
    /// The file is no Debian package, or one without a kernel.
    #[error("not a Debian kernel package: {0}")]
    NotAKernelPackage(String),
    /// An archive inside a package is damaged.
    #[error("damaged archive at byte {offset}: {why}")]
    Archive {
        /// Offset in the uncompressed archive, bytes.
        offset: u64,
        /// The fault there.
        why: String,
    },
    /// A directory has no kernel, or more than one.
    #[error("{}: {why}", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// The thing that was found instead.
        why: String,
    },
    /// The kernel lacks something that every guest needs.
    #[error("kernel {release} has no {needed}: {why}")]
    Unsuitable {
        /// The kernel's version string.
        release: String,
        /// The driver or file system: `virtio_blk`, `overlay`, …
        needed: String,
        /// Place in which it was looked for.
        why: String,
    },
    /// Modules do not fit together.
    #[error("module {module}: {why}")]
    Module {
        /// The module's name.
        module: String,
        /// Its fault.
        why: String,
    },
    /// The files of the modules' disk do not make a tree.
    #[error("the modules cannot lie in one folder")]
    ModulesTree {
        /// Reason of the tree.
        #[source]
        source: banger_disk::tree::TreeError,
    },
    /// The modules' disk cannot be written.
    #[error("cannot write the disk of modules")]
    ModulesDisk {
        /// Cause.
        #[source]
        source: banger_disk::WriteError,
    },
    /// The folder that was given for modules has none.
    #[error("{} holds no modules (no file .ko, .ko.xz, .ko.zst or .ko.gz), and no list of built-in ones", path.display())]
    NoModules {
        /// The folder.
        path: PathBuf,
    },
    /// `kernel.json` cannot be read or written.
    #[error(transparent)]
    Description(#[from] banger_durable::DescriptionError),
    /// A folder does not hold an imported kernel, or one that has been damaged.
    #[error("{}: {why}", path.display())]
    NotImported {
        /// The folder or the file in it.
        path: PathBuf,
        /// The missing or different thing.
        why: String,
    },
    /// The host has no apt to fetch Debian's kernel with.
    #[error(
        "this host has no {program}, with which banger fetches Debian's cloud kernel; \
         import one instead: `banger kernel import --host`, or from a package, directory, vmlinux or bzImage"
    )]
    NoApt {
        /// The program that was looked for.
        program: &'static str,
    },
    /// apt knows no cloud kernel.
    #[error(
        "apt on this host knows no package `{package}`; refresh its lists (`apt-get update`), or, where the host is not \
         Debian, import a kernel instead (`banger kernel import --host`, or from a package, directory, vmlinux or bzImage)"
    )]
    NoPackage {
        /// The package that was asked for.
        package: String,
    },
    /// apt names no file for a package that it knows.
    #[error(
        "apt on this host names no file for the package `{package}`; refresh its lists (`apt-get update`) and try again"
    )]
    NoFile {
        /// The package.
        package: String,
    },
    /// A program of the host failed.
    #[error("cannot {action}")]
    Program {
        /// Its task.
        action: String,
        /// Its end and its last words.
        #[source]
        source: banger_command::CommandError,
    },
}

impl KernelError {
    /// Wraps a failed call on a file.
    pub(crate) fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io {
            action,
            path: path.to_path_buf(),
            source,
        }
    }
}
