//! The patch that a guest's git offers: what passes touches nothing outside the repository, however the bytes come.
#![no_main]
use std::collections::BTreeSet;

use banger_workspace::patch::{Checker, PatchLimits, check_path};
use banger_workspace::{Pathspec, mbox};

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
    // What is left out changes nothing about the rest: that passes by itself.
    let words = [b"src".to_vec(), b":(exclude)src/x".to_vec()];
    let selection = Pathspec::parse(&words, &[], b"").unwrap_or_default();
    let mut checker = Checker::new(limits, BTreeSet::new()).selecting(selection.clone());
    if let Ok(patch) = checker.push(bytes).and_then(|()| checker.finish()) {
        let cut = patch.cut(bytes.to_vec());
        let mut again = Checker::new(limits, BTreeSet::new());
        let again = again.push(&cut).and_then(|()| again.finish());
        assert_eq!(again.map(|again| again.files), Ok(patch.files));
    }
    let _ = mbox::compose(bytes, limits, &BTreeSet::new());
    if let Ok(commits) = mbox::Commits::read(bytes) {
        let _ = commits.linear(limits, &BTreeSet::new(), &selection);
    }
});
