//! The list of what was sent, which an agent compares a tree with: what is read is written as the same list.
#![no_main]
use banger_guest::files::Manifest;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(manifest) = Manifest::from_bytes(bytes) {
        assert_eq!(Manifest::from_bytes(&manifest.to_bytes()), Ok(manifest));
    }
});
