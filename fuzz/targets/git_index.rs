//! The index of a guest's git, from which its agent learns what is tracked: all of it was there.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Some(names) = banger_agent::serve::names_in_index(bytes) {
        assert!(names.iter().all(|name| !name.is_empty()));
        assert!(names.iter().map(Vec::len).sum::<usize>() <= bytes.len());
    }
});
