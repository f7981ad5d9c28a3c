//! Which modules a guest needs, in which order, and which of them this kernel has built in.
//!
//! ```text
//!  wanted ──► catalogue (files of the tree, modules.dep, modules.builtin) ──► plan: files in load order
//!               │ no modules.dep: each module's own .modinfo tells what it depends on
//!               └ neither file nor built in: skipped with a record, or an error when every guest needs it
//! ```

mod catalogue;
mod modinfo;
mod plan;
mod tree;
mod wanted;

pub(crate) use plan::{Plan, plan};
pub(crate) use tree::{FolderTree, ModuleTree, PackageTree, is_module_file, read_at_most};
pub use wanted::{Availability, Capability};

#[cfg(test)]
mod tests;
