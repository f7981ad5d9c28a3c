//! Modules that a guest needs, in their order, and those of them that this kernel has built in.
//!
//! ```text
//!  wanted ──► catalogue (files of the tree, modules.dep, modules.builtin) ──► plan: files in load order
//!               │ no modules.dep: each module's own .modinfo tells what it depends on
//!               └ neither file nor built in: skipped with a record, or an error when every guest needs it
//! ```
//!
//! And all of them, for what a guest is used for later:
//!
//! ```text
//!  tree ──► survey (each one's .modinfo, unpacked) ──► index (what depmod writes) ──► disk: modules.ext4
//! ```

mod catalogue;
mod disk;
mod index;
mod left_out;
mod modinfo;
mod plan;
mod spool;
mod survey;
mod tree;
mod wanted;

pub(crate) use disk::{DiskOptions, write_disk};
pub(crate) use plan::{Plan, plan};
pub(crate) use tree::{FolderTree, INDEXES, ModuleTree, PackageTree, is_module_file, read_at_most};
pub use wanted::{Availability, Capability};

#[cfg(test)]
mod tests;
