//! First bytes of a connection: ClientHello and the head of a request.
#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let whole = banger_net::peek::peek(bytes);
    // More bytes never take a verdict back.
    let half = banger_net::peek::peek(&bytes[..bytes.len() / 2]);
    if half != banger_net::peek::Peeked::More {
        assert_eq!(half, whole);
    }
});
