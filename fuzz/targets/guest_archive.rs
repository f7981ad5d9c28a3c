//! The tar stream of `banger cp` out of a guest: nothing lands outside the folder, whatever it says.
#![no_main]
use banger_guest::files::{Target, UnpackLimits, unpack};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(dir) = tempfile::tempdir() else { return };
    let inside = dir.path().join("inside");
    if std::fs::create_dir(&inside).is_err() {
        return;
    }
    let target = Target {
        dest: inside,
        must_be_dir: true,
        contents: false,
        parents: false,
        name: None,
        owner: None,
    };
    let limits = UnpackLimits {
        entries: 1_000,
        bytes: 1 << 20,
    };
    let _ = unpack(bytes, &target, &limits);
    let beside = std::fs::read_dir(dir.path()).map_or(1, Iterator::count);
    assert_eq!(beside, 1, "something was made outside the folder");
});
