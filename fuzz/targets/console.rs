//! The last lines of a guest's console, in which a panic is looked for.
#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = banger_engine::panic_message(bytes);
});
