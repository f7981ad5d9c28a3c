//! Host names in one form.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::RuleError;

/// Longest name in its text form, bytes (RFC 1035, 2.3.4: 255 octets on the wire).
const NAME_MAX_BYTES: usize = 253;
/// Longest label, bytes.
const LABEL_MAX_BYTES: usize = 63;

/// A host name: lower case, ASCII, without the root's dot, and nothing that a program could read as an address.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Name(String);

impl Name {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Tells whether this name lies below `parent`, at any depth. A name does not lie below itself.
    #[must_use]
    pub fn is_below(&self, parent: &Self) -> bool {
        self.0
            .strip_suffix(parent.as_str())
            .is_some_and(|rest| rest.ends_with('.'))
    }
}

impl FromStr for Name {
    type Err = RuleError;

    fn from_str(text: &str) -> Result<Self, RuleError> {
        let wrong = |reason| RuleError::Name {
            name: text[..text.floor_char_boundary(80)].to_owned(),
            reason,
        };
        let name = text.strip_suffix('.').unwrap_or(text);
        if !name.is_ascii() {
            return Err(wrong("write it in its ASCII form (xn--…)"));
        }
        if name.is_empty() || name.len() > NAME_MAX_BYTES {
            return Err(wrong("it has 1 to 253 characters"));
        }
        for label in name.split('.') {
            let fits = (1..=LABEL_MAX_BYTES).contains(&label.len());
            let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
            if !fits || !label.bytes().all(is_plain) {
                return Err(wrong(
                    "its parts have 1 to 63 letters, digits, hyphens or underscores",
                ));
            }
        }
        let last = name.rsplit('.').next().unwrap_or_default();
        let hex = last.strip_prefix("0x").or(last.strip_prefix("0X"));
        let is_number = last.bytes().all(|byte| byte.is_ascii_digit())
            || hex.is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
        if is_number {
            // Also 127.1 and 2130706433 (inet_aton(3)).
            return Err(wrong(
                "it ends in a number, which programs read as an address: write an address with four parts",
            ));
        }
        Ok(Self(name.to_ascii_lowercase()))
    }
}

impl TryFrom<String> for Name {
    type Error = RuleError;

    fn try_from(text: String) -> Result<Self, RuleError> {
        text.parse()
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn names_have_one_form() {
        for (text, form) in [
            ("Example.COM.", "example.com"),
            ("a_b.example", "a_b.example"),
            ("intranet", "intranet"),
            ("0x.example", "0x.example"),
        ] {
            assert_eq!(text.parse::<Name>().unwrap().as_str(), form);
        }
        for bad in [
            "",
            ".",
            "a..b",
            ".a",
            "a b",
            "a/b",
            "a\0b",
            "127.1",
            "2130706433",
            "0x7f000001",
            "a.0x",
            "1.2.3.4",
            "b\u{fc}cher.example",
            &"a".repeat(64),
            &"a.".repeat(128),
            "a..",
        ] {
            assert!(bad.parse::<Name>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_name_lies_below_its_parents_alone() {
        let name = |text: &str| text.parse::<Name>().unwrap();
        let parent = name("example.com");
        assert!(name("a.example.com").is_below(&parent));
        assert!(name("a.b.example.com").is_below(&parent));
        assert!(!name("example.com").is_below(&parent));
        assert!(!name("badexample.com").is_below(&parent));
        assert!(!name("example.com.evil").is_below(&parent));
    }
}
