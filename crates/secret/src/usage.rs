//! Uses of secrets: which VM may send which one where, and how.

use std::fmt;
use std::str::FromStr;

use banger_egress::{Name, Ports, Protocol, Rule, Target};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::{HeaderForm, SecretError, SecretName, SecretValue, shortened};

/// Most secrets that one VM uses.
pub const USES_MAX: usize = 32;
/// Port of HTTPS.
const HTTPS: u16 = 443;
/// Name of this machine itself (RFC 6761, 6.3).
const LOCALHOST: &str = "localhost";
/// Words before a secret in `Authorization`.
const BEARER: &[u8] = b"Bearer ";
const BASIC: &[u8] = b"Basic ";
/// Domain of banger's own names.
const OWN: &str = "internal";

/// A secret's use by one VM: `NAME=HOST[:PORT][:FORM]`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SecretUse {
    /// The secret.
    pub name: SecretName,
    /// The only host that gets it.
    pub host: Name,
    /// Port of that host, at which it speaks TLS.
    pub port: u16,
    /// Its form.
    pub form: HeaderForm,
}

/// A field of a request's head that holds a secret. Its memory is wiped when it goes.
#[derive(Clone)]
pub struct Field {
    /// Its name, in lower case.
    pub name: String,
    /// Its value.
    pub value: Zeroizing<Vec<u8>>,
    /// Bytes of the value before the secret itself.
    pub prefix: usize,
}

impl Field {
    /// The secret itself, as it stands in the value.
    #[must_use]
    pub fn secret(&self) -> &[u8] {
        &self.value[self.prefix.min(self.value.len())..]
    }
}

impl fmt::Debug for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Field({}: …)", self.name)
    }
}

impl SecretUse {
    /// The field for this value.
    ///
    /// # Errors
    /// [`SecretError::NoUser`]: `basic` needs a value that is `USER:PASSWORD`.
    pub fn field(&self, value: &SecretValue) -> Result<Field, SecretError> {
        let (bytes, prefix) = match &self.form {
            HeaderForm::Bearer => (after(BEARER, value.expose()), BEARER.len()),
            HeaderForm::Basic => {
                if !value.expose().contains(&b':') {
                    return Err(SecretError::NoUser);
                }
                let text = Zeroizing::new(STANDARD.encode(value.expose()));
                (after(BASIC, text.as_bytes()), BASIC.len())
            }
            HeaderForm::Header(_) => (after(&[], value.expose()), 0),
        };
        Ok(Field {
            name: self.form.field().to_owned(),
            value: bytes,
            prefix,
        })
    }

    /// Tells whether its host is this machine.
    #[must_use]
    pub fn is_local(&self) -> bool {
        self.host.as_str() == LOCALHOST
    }

    /// The rule that whoever gives a VM this secret means: its endpoint may reach the host.
    #[must_use]
    pub fn rule(&self) -> Rule {
        let target = match self.is_local() {
            true => Target::Host,
            false => Target::Name(self.host.clone()),
        };
        Rule::new(Protocol::Tcp, target, Ports::one(self.port))
    }

    /// The base of its URLs in a guest.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}.secret.internal", self.name)
    }
}

fn after(word: &[u8], value: &[u8]) -> Zeroizing<Vec<u8>> {
    Zeroizing::new([word, value].concat())
}

impl FromStr for SecretUse {
    type Err = SecretError;

    fn from_str(text: &str) -> Result<Self, SecretError> {
        let (name, rest) = text.split_once('=').ok_or(SecretError::Form)?;
        let mut parts = rest.split(':');
        let host: Name = parts.next().unwrap_or_default().parse()?;
        let is_own = host.as_str().rsplit('.').next() == Some(OWN);
        if is_own || host.as_str().ends_with(".vm") {
            return Err(SecretError::OwnHost {
                host: host.to_string(),
            });
        }
        let mut port = HTTPS;
        let mut next = parts.next();
        if let Some(digits) = next.filter(|part| part.bytes().all(|byte| byte.is_ascii_digit())) {
            port = match digits.parse() {
                Ok(port) if port > 0 => port,
                _ => {
                    return Err(SecretError::Port {
                        port: shortened(digits),
                    });
                }
            };
            next = parts.next();
        }
        let form = next.map_or(Ok(HeaderForm::default()), str::parse)?;
        match parts.next() {
            None => Ok(Self {
                name: name.parse()?,
                host,
                port,
                form,
            }),
            Some(_) => Err(SecretError::Form),
        }
    }
}

impl fmt::Display for SecretUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.name, self.host)?;
        if self.port != HTTPS {
            write!(f, ":{}", self.port)?;
        }
        match self.form {
            HeaderForm::Bearer => Ok(()),
            _ => write!(f, ":{}", self.form),
        }
    }
}

impl TryFrom<String> for SecretUse {
    type Error = SecretError;

    fn try_from(text: String) -> Result<Self, SecretError> {
        text.parse()
    }
}

impl From<SecretUse> for String {
    fn from(one: SecretUse) -> Self {
        one.to_string()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_use_has_one_text() {
        for (text, written, rule) in [
            (
                "openai=api.openai.com",
                "openai=api.openai.com",
                "api.openai.com:443",
            ),
            ("a=API.Example:bearer", "a=api.example", "api.example:443"),
            ("a=api.example:443", "a=api.example", "api.example:443"),
            (
                "a=api.example:8443",
                "a=api.example:8443",
                "api.example:8443",
            ),
            (
                "a=api.example:X-API-Key",
                "a=api.example:x-api-key",
                "api.example:443",
            ),
            (
                "a=localhost:8443:basic",
                "a=localhost:8443:basic",
                "host:8443",
            ),
        ] {
            let found: SecretUse = text.parse().unwrap();
            assert_eq!(found.to_string(), written, "{text}");
            assert_eq!(written.parse(), Ok(found.clone()));
            assert_eq!(found.rule(), rule.parse().unwrap());
        }
        for bad in [
            "",
            "a",
            "a=",
            "=api.example",
            "a=1.2.3.4",
            "a=api.example:0",
            "a=api.example:99999",
            "a=api.example:host",
            "a=api.example:443:bearer:x",
            "a=api.example:bearer:443",
            "a=b.secret.internal",
            "a=db.vm",
            "a=api.example/path",
        ] {
            assert!(bad.parse::<SecretUse>().is_err(), "{bad}");
        }
    }

    #[test]
    fn the_field_is_that_of_the_form() {
        let value =
            |text: &str| SecretValue::new(Zeroizing::new(text.as_bytes().to_vec())).unwrap();
        let field = |form: &str, text: &str| {
            let one: SecretUse = format!("a=api.example:{form}").parse().unwrap();
            one.field(&value(text))
                .map(|field| (field.name, String::from_utf8(field.value.to_vec()).unwrap()))
        };
        let is = |name: &str, text: &str| Ok((name.to_owned(), text.to_owned()));
        assert_eq!(field("bearer", "k"), is("authorization", "Bearer k"));
        assert_eq!(field("x-api-key", "k"), is("x-api-key", "k"));
        assert_eq!(
            field("basic", "user:pass"),
            is("authorization", "Basic dXNlcjpwYXNz")
        );
        assert_eq!(field("basic", "k"), Err(SecretError::NoUser));
    }
}
