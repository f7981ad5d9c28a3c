//! modprobe for images that have none: loads a module, or what answers to an alias, with all that it needs.
//!
//! ```text
//!  kernel: modprobe -q -- net-pf-16-proto-4
//!    modules.builtin.bin ─► nothing to do
//!    modules.dep.bin ─────► a module of that name        ┐
//!    modules.alias.bin ───► modules whose pattern it is  ┴─► softdep pre ► what it needs ► itself ► softdep post
//! ```
//!
//! An image's own modprobe is better, for it knows what the administrator has forbidden: once there is one it is run instead.
//!
//! Must not: trust the index files, which the guest may have written itself: their answers are bounded, and lie below
//! `/lib/modules/<release>`.

mod loader;

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use crate::report::stats::kernel_release;

pub use loader::{Loader, ModprobeError};

/// Path at which the kernel finds this program by another name.
pub const HELPER: &str = "/run/banger/modprobe";
/// Path of an image's own modprobe.
const USUAL: &str = "/sbin/modprobe";

/// True when this program was started as modprobe.
#[must_use]
pub fn is_called(name: &str) -> bool {
    name.rsplit('/').next() == Some("modprobe")
}

/// Loads what the arguments name, or everything named with `-a`. `-q` and `-b` are accepted: nothing is said of what is not
/// there, and no list of what is forbidden is known.
pub fn main(arguments: &[String]) -> ExitCode {
    if Path::new(USUAL).exists() {
        let error = Command::new(USUAL).args(arguments).exec();
        eprint(format_args!("cannot run {USUAL}: {error}"));
        return ExitCode::FAILURE;
    }
    let is_flag = |argument: &&String| argument.starts_with('-');
    let quiet = arguments.iter().filter(is_flag).any(|flag| flag == "-q");
    let all = arguments.iter().filter(is_flag).any(|flag| flag == "-a");
    let mut names: Vec<&String> = arguments
        .iter()
        .filter(|argument| !is_flag(argument))
        .collect();
    if !all {
        // What follows are parameters, which the kernel itself never gives.
        names.truncate(1);
    }
    let mut loader = Loader::new(&modules_of_this_kernel(), loader::into_kernel);
    for name in names {
        if let Err(error) = loader.load(name) {
            if !quiet {
                eprint(error);
            }
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

/// Loads a module of the running kernel, or what answers to an alias, into this guest.
///
/// # Errors
/// There is none, or the kernel refuses it.
pub fn load(name: &str) -> Result<(), ModprobeError> {
    Loader::new(&modules_of_this_kernel(), loader::into_kernel).load(name)
}

fn modules_of_this_kernel() -> PathBuf {
    Path::new("/lib/modules").join(kernel_release())
}

/// Says why, to whoever called this by hand.
#[allow(clippy::print_stderr)] // a program of its own here
fn eprint(why: impl std::fmt::Display) {
    eprintln!("modprobe: {why}");
}
