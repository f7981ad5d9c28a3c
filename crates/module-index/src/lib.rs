//! The `modules.*.bin` files of kmod: keys that lead to values, as a radix tree that is read without being unpacked.
//!
//! ```text
//!  host, at the import of a kernel        guest, when the kernel asks for a module
//!  IndexBuilder ──► modules.alias.bin ──► Index::matching("fs-xfs") ──► "xfs"
//!
//!  file   magic B007F457 · version 2.1 · root             all numbers big endian
//!  node   [prefix NUL] [first last child…] [count (priority value NUL)…]
//!         which of the three are there is told by bits of the number that points to the node
//! ```
//!
//! Format: kmod's `shared/libkmod/libkmod-index.c`, unchanged since 2008; keys may be patterns (fnmatch(3)).
//!
//! Promises: what depmod writes is read, and what is written here is what depmod writes of the same keys in the same order,
//! byte for byte. A damaged or hostile file ends in an error after a bounded number of steps.
//!
//! Must not: know what a module needs or does, or read a file.

mod builder;
mod index;
mod names;
mod pattern;

pub use builder::{IndexBuilder, KeyError, TooLarge};
pub use index::{Index, IndexError, Value};
pub use names::{alias_key, module_name};

/// First word of a file.
const MAGIC: u32 = 0xB007_F457;
/// Version 2.1; readers refuse another number in the upper half.
const VERSION: u32 = 0x0002_0001;
/// Bits of a pointer that tell what its node has.
const HAS_PREFIX: u32 = 0x8000_0000;
const HAS_VALUES: u32 = 0x4000_0000;
const HAS_CHILDREN: u32 = 0x2000_0000;
/// The rest of a pointer: the node's offset in the file.
const OFFSET_MASK: u32 = 0x0FFF_FFFF;
/// Longest key, bytes. Real ones have at most some 200; the tree is at most one node deeper than this.
pub const KEY_MAX_BYTES: usize = 1024;
