//! The configuration file.
#![no_main]
libfuzzer_sys::fuzz_target!(|text: &str| {
    let _ = banger_daemon::Config::parse(text);
});
