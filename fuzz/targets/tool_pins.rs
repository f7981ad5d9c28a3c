//! `mise.toml` and `.tool-versions`: what is told of them is short and harmless.
#![no_main]
use banger_workspace::pins::{mise, tool_versions};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    for tools in [mise(bytes), tool_versions(bytes)].into_iter().flatten() {
        for (name, version) in tools {
            let told = format!("{name}{version}");
            assert!(!told.contains(char::is_control) && told.chars().count() <= 120);
        }
    }
});
