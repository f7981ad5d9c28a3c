//! Certificates that OpenSSL made, and input that nobody should make.

#![allow(clippy::unwrap_used)] // a test may stop at the first surprise

use banger_authorities::{CERTIFICATE_MAX_BYTES, Certificate, CertificateError, read_pem};

/// Authorities with all kinds of names: several spaces, UTF-8, several values in one part, UTF-16, Latin-1, none at all. Before each
/// stands what `openssl x509 -subject_hash` says.
const NAMES: &str = include_str!("names.pem");

#[test]
fn subjects_have_the_hashes_that_openssl_gives_them() {
    let wanted: Vec<&str> = NAMES
        .lines()
        .filter_map(|line| line.split_once(": hash "))
        .map(|(_, hash)| hash)
        .collect();
    let found = read_pem(NAMES.as_bytes(), 100);
    let hashes: Vec<String> = found
        .certificates
        .iter()
        .map(|certificate| format!("{:08x}", certificate.subject_hash()))
        .collect();
    assert_eq!(hashes, wanted);
    assert_eq!((hashes.len(), found.unreadable), (8, 0));
}

#[test]
fn a_certificate_is_written_as_it_was_read() {
    let found = read_pem(NAMES.as_bytes(), 100);
    for certificate in &found.certificates {
        assert!(NAMES.contains(&certificate.pem()));
        assert_eq!(
            read_pem(certificate.pem().as_bytes(), 1).certificates,
            std::slice::from_ref(certificate)
        );
        assert_eq!(certificate.short_digest().len(), 16);
    }
}

#[test]
fn only_certificates_come_out_of_a_file_and_each_once() {
    let one = read_pem(NAMES.as_bytes(), 1).certificates.remove(0);
    let pem = one.pem();
    let key = "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n";
    let trusted = pem.replace("CERTIFICATE", "TRUSTED CERTIFICATE");
    let windows = pem.replace('\n', "\r\n");
    let old = pem.replace("CERTIFICATE", "X509 CERTIFICATE");
    let file = format!("# comment\n{key}{trusted}{windows}text between\n{old}{key}{pem}");
    let found = read_pem(file.as_bytes(), 10);
    assert_eq!((found.certificates, found.unreadable), (vec![one], 0));
}

#[test]
fn what_is_damaged_is_counted_and_what_follows_is_read() {
    let all = read_pem(NAMES.as_bytes(), 2).certificates;
    let (first, second) = (all[0].pem(), all[1].pem());
    let begin = "-----BEGIN CERTIFICATE-----\n";
    let end = "-----END CERTIFICATE-----\n";
    let huge = format!("{begin}{}\n{end}", "A".repeat(10 << 20));
    for (damaged, unreadable) in [
        (first.replacen("MII", "M!!", 1), 1),
        (first.replacen("MIIB", "MIIC", 1), 1),
        // Without its end: the next begins inside it.
        (first.replace(end, ""), 1),
        (format!("{begin}{end}"), 1),
        (huge, 1),
        (end.to_owned(), 0),
    ] {
        let found = read_pem(format!("{damaged}{second}").as_bytes(), 10);
        assert_eq!(found.certificates, [all[1].clone()], "{damaged:.80}");
        assert_eq!(found.unreadable, unreadable, "{damaged:.80}");
    }
    assert_eq!(read_pem(begin.as_bytes(), 10).unreadable, 1);
    assert_eq!(read_pem(NAMES.as_bytes(), 3).certificates.len(), 3);
}

#[test]
fn no_certificate_is_larger_than_the_limit_or_of_another_form() {
    let large = vec![0x30; CERTIFICATE_MAX_BYTES + 1];
    assert_eq!(
        Certificate::from_der(large),
        Err(CertificateError::TooLarge)
    );
    for odd in [
        &b""[..],
        b"text",
        &[0x30, 0],
        &[0x30, 2, 0x30, 0],
        &[0x31, 0x84, 0xff, 0xff, 0xff, 0xff],
    ] {
        assert_eq!(
            Certificate::from_der(odd.to_vec()),
            Err(CertificateError::Malformed),
            "{odd:x?}"
        );
    }
}
