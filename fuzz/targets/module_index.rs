//! An index of kernel modules, as a guest may have written it: what is asked for first, a NUL, and the file.
#![no_main]
use banger_module_index::Index;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let (asked, file) = match bytes.iter().position(|byte| *byte == 0) {
        Some(end) => (&bytes[..end], &bytes[end + 1..]),
        None => (&b"fs_xfs"[..], bytes),
    };
    if let Ok(index) = Index::open(file) {
        let _ = index.find(asked);
        let _ = index.matching(asked);
    }
});
