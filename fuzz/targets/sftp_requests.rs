//! Packets of an SFTP client: no packet is more than it says, and none ends the server.
#![no_main]

libfuzzer_sys::fuzz_target!(|packet: &[u8]| {
    let _ = banger_agent::sftp::Request::parse(packet);
});
