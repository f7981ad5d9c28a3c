//! `mise.toml` and `.tool-versions`: what is told of them is short and harmless.
#![no_main]
use banger_workspace::pins::{mise, tool_versions};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    for tools in [mise(bytes), tool_versions(bytes)].into_iter().flatten() {
        assert!(tools.iter().flat_map(|(name, version)| [name, version]).all(|word| !word.contains(char::is_control)));
    }
});
