//! How a registry asks to be authenticated to: a header that anybody may have written.
#![no_main]
libfuzzer_sys::fuzz_target!(|header: &str| {
    let _ = banger_registry::Challenge::parse(header);
});
