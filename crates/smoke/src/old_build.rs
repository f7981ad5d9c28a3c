//! The banger of an old commit, with guests that it has made itself: the start of an upgrade.
//!
//! `scripts/old-build.sh` builds it from the repository's own history.

use std::fs;
use std::path::{Path, PathBuf};

use crate::prepared::PreparedGuests;
use crate::test_root::test_root;

/// The commit, as in `scripts/old-build.sh`.
const COMMIT: &str = "17532d3";

/// An old build of banger, see the module.
#[derive(Debug)]
pub struct OldBuild {
    program: PathBuf,
}

impl OldBuild {
    /// The program that `make guests` has built.
    ///
    /// # Panics
    /// Panics when it is missing, with the cause: a test of upgrades must not pass without one.
    pub fn find() -> Self {
        let folder = test_root().join("builds").join(COMMIT);
        let program = folder.join("banger");
        if !program.is_file() {
            let cause = fs::read_to_string(folder.join("missing"));
            let cause = cause.unwrap_or_else(|_| "run `make guests`, which builds it".to_owned());
            panic!(
                "there is no banger of {COMMIT} in {}: {}",
                folder.display(),
                cause.trim()
            );
        }
        Self { program }
    }

    /// The program.
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// A `BANGER_HOME` that it has made, with the default kernel and `debian-minimal`, and no VM.
    ///
    /// # Panics
    /// Panics when it cannot be made.
    pub fn guests(&self) -> PreparedGuests {
        match PreparedGuests::of_build(&self.program, &format!("o-{COMMIT}")) {
            Ok(guests) => guests,
            Err(error) => panic!("{error}"),
        }
    }
}
