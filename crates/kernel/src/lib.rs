//! Kernels: imported once into a folder that every engine can boot from, with the initramfs that belongs to them.
//!
//! ```text
//!  fetch_default_kernel ──► linux-image-….deb ─┐
//!  .deb, directory, image, host ───────────────┴─► import ──► folder: vmlinux, modules/NN-name.ko, modules.ext4, kernel.json
//!     (find)      bzImage ─► unpack ─► vmlinux                    │
//!                 modules ─► plan: what guests need, in order     ▼
//!                                       agent ──► ensure_initramfs ──► folder: initramfs-….cpio
//! ```
//!
//! Entries for others: [`fetch_default_kernel`], [`import`], [`KernelMetadata::read`], [`ensure_initramfs`].
//!
//! Promises: no external tool unpacks anything; no byte of a package or image is trusted (every size, count and offset
//! has a limit); the same input gives the same folder, byte for byte; a folder with `kernel.json` is complete and on
//! the disk; nothing is unpacked or built again when a guest starts.
//!
//! It must not: know what a VM is, choose names, rename folders into place, or remove a folder of the caller's.

mod apt;
mod config;
mod cpio;
mod deb;
mod decompress;
mod elf;
mod error;
#[cfg(test)]
mod fixture;
mod import;
mod initramfs;
mod metadata;
mod modules;
mod progress;
mod release;
mod unpack;

pub use apt::{Apt, fetch_default_kernel};
pub use decompress::{Compression, decompress};
pub use elf::ElfError;
pub use error::KernelError;
pub use import::{ImportOptions, KernelSource, import};
pub use initramfs::{ensure_initramfs, initramfs_bytes, initramfs_path};
pub use metadata::{FileRecord, KernelMetadata, KernelOrigin, LeftOut, ModuleRecord, ModulesDisk};
pub use modules::{Availability, Capability};
pub use progress::{Progress, Stage, Watch};
pub use unpack::{IMAGE_MAX_BYTES, Unpacked, unpack};
