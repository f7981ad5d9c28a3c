//! What a guest says has changed in a workspace: within the limits, and with names that are checked or refused.
#![no_main]
use banger_workspace::Returned;
use banger_workspace::patch::{PatchLimits, check_path};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let limits = PatchLimits {
        bytes: 1 << 16,
        files: 20,
    };
    let mut from = bytes;
    if let Ok(returned) = Returned::read(&mut from, limits) {
        assert_eq!(
            returned.check().is_ok(),
            returned.paths().all(|path| check_path(path).is_ok())
        );
        assert!(returned.paths().all(|path| path.len() <= bytes.len()));
    }
});
