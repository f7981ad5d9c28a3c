//! Forms in which a secret stands in a request's head.

use std::fmt;
use std::str::FromStr;

use crate::{SecretError, shortened};

/// Longest name of a header, bytes.
const HEADER_MAX_BYTES: usize = 64;
/// Fields that are about one connection alone (RFC 9110, 7.6.1), and those that endpoints write anew.
pub const OF_ONE_CONNECTION: [&str; 11] = [
    "connection",
    "content-length",
    "http2-settings",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// The other fields that say how a message is carried, or to whom: a secret in one of all these would make another message of it.
const CARRYING: [&str; 8] = [
    "accept-encoding",
    "content-encoding",
    "content-type",
    "date",
    "expect",
    "forwarded",
    "host",
    "via",
];

/// Form of a secret in a request's head.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub enum HeaderForm {
    /// `Authorization: Bearer VALUE`.
    #[default]
    Bearer,
    /// `Authorization: Basic …`, of a value that is `USER:PASSWORD`.
    Basic,
    /// The value alone, in a field of this name, in lower case.
    Header(String),
}

impl HeaderForm {
    /// Name of the field, in lower case.
    #[must_use]
    pub fn field(&self) -> &str {
        match self {
            Self::Bearer | Self::Basic => "authorization",
            Self::Header(name) => name,
        }
    }
}

impl FromStr for HeaderForm {
    type Err = SecretError;

    fn from_str(text: &str) -> Result<Self, SecretError> {
        let name = text.to_ascii_lowercase();
        // RFC 9110, 5.6.2: a token; of its characters those that names of fields have.
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        let carries = |name| OF_ONE_CONNECTION.contains(&name) || CARRYING.contains(&name);
        let is_name = (1..=HEADER_MAX_BYTES).contains(&name.len())
            && name.bytes().all(is_plain)
            && name.bytes().any(|byte| byte.is_ascii_alphabetic())
            && !carries(name.as_str());
        match name.as_str() {
            "bearer" => Ok(Self::Bearer),
            "basic" => Ok(Self::Basic),
            _ if is_name => Ok(Self::Header(name)),
            _ => Err(SecretError::Header {
                header: shortened(text),
            }),
        }
    }
}

impl fmt::Display for HeaderForm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bearer => "bearer",
            Self::Basic => "basic",
            Self::Header(name) => name,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_secret_stands_where_it_would_make_another_message() {
        for bad in [
            "",
            "host",
            "Content-Length",
            "transfer-encoding",
            "a b",
            "x:y",
            "x\r\ny",
            "123",
        ] {
            assert!(bad.parse::<HeaderForm>().is_err(), "{bad}");
        }
        assert_eq!(
            "X-API-Key".parse(),
            Ok(HeaderForm::Header("x-api-key".to_owned()))
        );
        assert_eq!("Bearer".parse(), Ok(HeaderForm::Bearer));
    }
}
