//! What a guest sends before a conversation: records are found wherever they lie, and whatever lies around them.
#![no_main]
use banger_guest::wire::handshake::Scanner;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let mut scanner = Scanner::default();
    for byte in bytes {
        let _ = scanner.feed(*byte);
    }
    assert!(scanner.skipped() <= bytes.len());
});
