//! The patch that a guest's git offers: what passes touches nothing outside the repository, however the bytes come.
#![no_main]
use std::collections::BTreeSet;

use banger_workspace::mbox;
use banger_workspace::patch::{Checker, PatchLimits, check_path};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let limits = PatchLimits {
        bytes: 1 << 20,
        files: 1_000,
    };
    let check = |size: usize| {
        let mut checker = Checker::new(limits, BTreeSet::from([b"link".to_vec()]));
        bytes
            .chunks(size)
            .try_for_each(|piece| checker.push(piece))?;
        checker.finish()
    };
    let whole = check(bytes.len().max(1));
    if let Ok(patch) = &whole {
        for file in &patch.files {
            assert!(check_path(&file.path).is_ok());
            assert!(!file.path.starts_with(b"link/"));
        }
        assert_eq!(check(7).as_ref(), Ok(patch));
    }
    let _ = mbox::compose(bytes, limits, &BTreeSet::new());
});
