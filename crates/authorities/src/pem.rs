//! Certificates in a file of PEM (RFC 7468), between whatever else it has.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::certificate::{CERTIFICATE_MAX_BYTES, Certificate};

const BEGIN: &[u8] = b"-----BEGIN ";
const END: &[u8] = b"-----END ";
/// Words for a certificate, the second from before RFC 7468. "TRUSTED CERTIFICATE" is another form, and says for what one is
/// trusted: none of those are taken.
const LABELS: [&[u8]; 2] = [b"CERTIFICATE-----", b"X509 CERTIFICATE-----"];
/// Characters of the largest certificate.
const TEXT_MAX: usize = CERTIFICATE_MAX_BYTES / 3 * 4 + 4;

/// The certificates of a file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pem {
    /// In the file's order, each once.
    pub certificates: Vec<Certificate>,
    /// Number of blocks that say that they are certificates and cannot be read.
    pub unreadable: usize,
}

/// Reads the certificates of a file, `most` at most: those after them are left out.
#[must_use]
pub fn read_pem(file: &[u8], most: usize) -> Pem {
    let mut found = Pem::default();
    let mut seen = std::collections::HashSet::new();
    // The text of a certificate's block that is open.
    let mut open: Option<Vec<u8>> = None;
    for line in file.split(|byte| *byte == b'\n') {
        let line = line.trim_ascii();
        if let Some(label) = line.strip_prefix(BEGIN) {
            found.unreadable += usize::from(open.is_some());
            open = LABELS.contains(&label).then(Vec::new);
            continue;
        }
        let Some(text) = &mut open else { continue };
        if !line.starts_with(END) {
            if text.len() <= TEXT_MAX {
                text.extend_from_slice(line);
            }
            continue;
        }
        let certificate = STANDARD
            .decode(&text)
            .ok()
            .and_then(|der| Certificate::from_der(der).ok());
        open = None;
        match certificate {
            Some(certificate) if seen.insert(certificate.clone()) => {
                if found.certificates.len() == most {
                    break;
                }
                found.certificates.push(certificate);
            }
            Some(_again) => {}
            None => found.unreadable += 1,
        }
    }
    found.unreadable += usize::from(open.is_some());
    found
}
