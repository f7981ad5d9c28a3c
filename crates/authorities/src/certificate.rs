//! One certificate: its outline is checked, the rest is its readers' affair.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

use crate::der::{Element, Elements, SEQUENCE};
use crate::subject;

/// Largest certificate, bytes. Those of public authorities have at most some 2000.
pub const CERTIFICATE_MAX_BYTES: usize = 16 << 10;
/// Characters of a line of PEM (RFC 7468).
const LINE: usize = 64;
/// The version, a field that old certificates lack.
const VERSION: u8 = 0xa0;

/// Reason why some bytes are no certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// Too many bytes.
    #[error("is larger than {CERTIFICATE_MAX_BYTES} bytes")]
    TooLarge,
    /// Other structure.
    #[error("is no X.509 certificate")]
    Malformed,
}

/// A certificate, in DER.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Certificate(Vec<u8>);

impl Certificate {
    /// Takes a certificate, whose outline is checked: one element that has a subject where one belongs.
    ///
    /// # Errors
    /// [`CertificateError`].
    pub fn from_der(der: Vec<u8>) -> Result<Self, CertificateError> {
        if der.len() > CERTIFICATE_MAX_BYTES {
            return Err(CertificateError::TooLarge);
        }
        match subject_of(&der).and_then(|name| subject::canonical(name.content)) {
            Some(_) => Ok(Self(der)),
            None => Err(CertificateError::Malformed),
        }
    }

    /// The certificate in DER.
    #[must_use]
    pub fn into_der(self) -> Vec<u8> {
        self.0
    }

    /// The certificate in PEM, with a line end after it.
    #[must_use]
    pub fn pem(&self) -> String {
        let text = STANDARD.encode(&self.0);
        let mut pem = String::with_capacity(text.len() + text.len() / LINE + 64);
        pem.push_str("-----BEGIN CERTIFICATE-----\n");
        // Base64 is ASCII: it may be cut anywhere.
        for at in (0..text.len()).step_by(LINE) {
            pem.push_str(&text[at..text.len().min(at + LINE)]);
            pem.push('\n');
        }
        pem.push_str("-----END CERTIFICATE-----\n");
        pem
    }

    /// The number by which OpenSSL looks for an authority's file in a folder of them (`x509 -subject_hash`).
    #[must_use]
    pub fn subject_hash(&self) -> u32 {
        let name = subject_of(&self.0).map_or(&[][..], |name| name.content);
        // The name was read when this was made.
        subject::hash(&subject::canonical(name).unwrap_or_default())
    }

    /// 16 hexadecimal digits that stand for this certificate in names of files.
    #[must_use]
    pub fn short_digest(&self) -> String {
        let digest = Sha256::digest(&self.0);
        digest[..8]
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }
}

/// The subject: `Certificate { TBSCertificate { [version] serial algorithm issuer validity subject …` (RFC 5280, 4.1).
fn subject_of(der: &[u8]) -> Option<Element<'_>> {
    let mut outer = Elements::of(der);
    let certificate = outer.expect(SEQUENCE)?;
    if !outer.is_empty() {
        return None;
    }
    let signed = Elements::of(certificate.content).expect(SEQUENCE)?;
    let mut fields = Elements::of(signed.content);
    if fields.take()?.tag == VERSION {
        // The serial number.
        fields.take()?;
    }
    let (_algorithm, _issuer, _validity) = (
        fields.expect(SEQUENCE)?,
        fields.expect(SEQUENCE)?,
        fields.expect(SEQUENCE)?,
    );
    fields.expect(SEQUENCE)
}
