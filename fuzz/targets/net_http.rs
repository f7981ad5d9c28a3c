//! Requests of a guest's to the endpoint of a secret, and answers of its host's.
#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let at = bytes.windows(4).position(|four| four == b"\0\0\0\0");
    let (guest, host) = bytes.split_at(at.unwrap_or(bytes.len()));
    let (up, down) = banger_net::exchanged(guest, host.get(4..).unwrap_or_default());
    // Each request that goes out has the secret's field, once, and no guest writes that field.
    let text = String::from_utf8_lossy(&up);
    let heads = text.matches(" HTTP/1.1\r\nhost: api.example\r\n").count();
    let fields = text.matches("\r\nx-api-key: SECRET\r\n").count();
    assert!(fields >= usize::from(heads > 0));
    assert!(up.is_empty() || text.contains("\r\nhost: api.example\r\n"));
    assert!(down.len() <= 4 * bytes.len() + 4096);
});
