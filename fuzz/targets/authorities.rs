//! Certificates of authorities, as a file of a host or of a guest may hold them: what is read is written and read again as it was.
#![no_main]
use banger_authorities::read_pem;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let found = read_pem(bytes, 100);
    for certificate in &found.certificates {
        let again = read_pem(certificate.pem().as_bytes(), 1);
        assert_eq!(again.certificates.first(), Some(certificate));
        let _ = (certificate.subject_hash(), certificate.short_digest());
    }
});
