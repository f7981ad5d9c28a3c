//! Search for the program under test.

use std::env;
use std::path::{Path, PathBuf};

/// The `banger` to drive: `BANGER_BIN`, or the one that cargo built beside this test.
///
/// # Panics
/// Panics when there is none; the message tells how to build it.
pub fn banger_binary() -> PathBuf {
    if let Some(named) = env::var_os("BANGER_BIN") {
        let named = PathBuf::from(named);
        assert!(
            named.is_file(),
            "BANGER_BIN names {}, which is no file",
            named.display()
        );
        return named;
    }
    let built = beside_this_program();
    match built {
        Some(path) => path,
        None => panic!(
            "no banger binary beside this test; run `cargo build --bin banger`, or set BANGER_BIN"
        ),
    }
}

/// `target/debug/deps/scenarios-…` and `target/debug/prepare-guests` both have it in an ancestor folder.
fn beside_this_program() -> Option<PathBuf> {
    let program = env::current_exe().ok()?;
    program
        .ancestors()
        .skip(1)
        .take(2)
        .map(|folder| folder.join("banger"))
        .find(|path| path.is_file())
}

/// The first program called `name` on this process's PATH, or in the administrator's folders, which Debian keeps off
/// an ordinary user's PATH.
pub fn find_on_path(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain([
            Path::new("/usr/sbin").to_owned(),
            Path::new("/sbin").to_owned(),
        ])
        .map(|folder| folder.join(name))
        .find(|candidate| candidate.is_file())
}
