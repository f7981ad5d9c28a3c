//! Frames of a guest, and the refusals that answer them.
#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    for answer in banger_net::refusals(bytes) {
        let parsed =
            banger_net::packet::ipv4(&answer).or_else(|_| banger_net::packet::ipv6(&answer));
        assert_eq!(parsed.map(|packet| packet.whole.len()), Ok(answer.len()));
    }
});
