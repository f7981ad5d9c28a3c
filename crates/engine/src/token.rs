//! The word by which one launch is told from all others.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Fewest and most bytes of a token.
const BYTES: std::ops::RangeInclusive<usize> = 8..=64;

/// A word on a VMM's command line that no other launch has: 8 to 64 of `[A-Za-z0-9-]`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct LaunchToken(String);

/// A text that cannot be a launch token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("launch token \"{given}\" is not valid: use 8 to 64 of [A-Za-z0-9-]")]
pub struct InvalidToken {
    given: String,
}

impl LaunchToken {
    /// The token of a launch with this unique number.
    pub fn of(launch: Uuid) -> Self {
        Self(format!("banger-{}", launch.simple()))
    }

    /// The token as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for LaunchToken {
    type Err = InvalidToken;

    fn from_str(text: &str) -> Result<Self, InvalidToken> {
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        if BYTES.contains(&text.len()) && text.bytes().all(is_allowed) {
            return Ok(Self(text.to_owned()));
        }
        Err(InvalidToken {
            given: text.escape_debug().take(80).collect(),
        })
    }
}

impl TryFrom<String> for LaunchToken {
    type Error = InvalidToken;

    fn try_from(text: String) -> Result<Self, InvalidToken> {
        text.parse()
    }
}

impl From<LaunchToken> for String {
    fn from(token: LaunchToken) -> String {
        token.0
    }
}

impl fmt::Display for LaunchToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_a_word_that_no_command_line_reads_in_another_way() {
        for text in [
            "",
            "short",
            &"x".repeat(65),
            "has,comma-1",
            "has space-1",
            "has=equals1",
            "ünïcödé-1",
            "line\nbreak-1",
        ] {
            let refused = text.parse::<LaunchToken>().unwrap_err().to_string();
            assert!(refused.contains("8 to 64"), "{refused}");
            let stored = serde_json::Value::from(text);
            assert!(
                serde_json::from_value::<LaunchToken>(stored).is_err(),
                "{text:?}"
            );
        }
        let own = LaunchToken::of(Uuid::nil());
        assert_eq!(own.as_str().parse(), Ok(own));
    }
}
