//! Names and ids: text that has been checked once, at the edge.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

/// Longest name in bytes: the limit of a DNS label.
const MAX_NAME: usize = 63;

/// Reason why a text is not a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{what} \"{given}\" is not valid: use 1 to 63 of a-z, 0-9 and \"-\"{extra}, starting with a letter or digit"
)]
pub struct InvalidName {
    what: &'static str,
    given: String,
    extra: &'static str,
}

fn check(what: &'static str, text: &str, extra: &'static str) -> Result<(), InvalidName> {
    let first_ok = text.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
    let rest_ok = text.chars().all(|c| {
        c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || extra.contains(c) && c != ' '
    });
    if first_ok && rest_ok && text.len() <= MAX_NAME {
        return Ok(());
    }
    Err(InvalidName {
        what,
        given: text.chars().take(80).collect(),
        extra,
    })
}

macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident, $what:literal, $extra:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
        #[serde(try_from = "String", into = "String")]
        #[schema(value_type = String)]
        pub struct $name(String);

        impl $name {
            /// Longest name of this kind, in bytes.
            pub const MAX_LEN: usize = MAX_NAME;

            /// A placeholder for a name that cannot be read.
            pub fn unreadable() -> Self {
                Self("unreadable".to_owned())
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl FromStr for $name {
            type Err = InvalidName;
            fn from_str(text: &str) -> Result<Self, InvalidName> {
                check($what, text, $extra)?;
                Ok(Self(text.to_owned()))
            }
        }
        impl TryFrom<String> for $name {
            type Error = InvalidName;
            fn try_from(text: String) -> Result<Self, InvalidName> {
                text.parse()
            }
        }
        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name_type!(
    /// A VM's name, `[a-z0-9][a-z0-9-]{0,62}`: also its host name and its DNS label.
    VmName, "VM name", ""
);
name_type!(
    /// An image's name: the characters of [`VmName`] and also `.`, `_` and `:`.
    ImageName, "image name", "._:"
);
name_type!(
    /// A kernel's name: the characters of [`VmName`] and also `.`, `_` and `+`.
    KernelName, "kernel name", "._+"
);

name_type!(
    /// Name of a network in which VMs reach one another: the characters of [`VmName`].
    NetworkName, "network name", ""
);
name_type!(
    /// A checkpoint's name, unique among those of its VM: the characters of [`VmName`] and also `.` and `_`.
    CheckpointName, "checkpoint name", "._"
);
name_type!(
    /// An engine's name, as `qemu`; in a request also `auto`.
    EngineName, "engine", ""
);

impl EngineName {
    /// The name of QEMU's engine.
    pub fn qemu() -> Self {
        Self("qemu".to_owned())
    }
}

macro_rules! id_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
        #[serde(transparent)]
        #[schema(value_type = String, format = "uuid")]
        pub struct $name(pub Uuid);

        impl $name {
            /// A new id, ordered by the time of its creation (UUID version 7).
            pub fn new() -> Self {
                Self(Uuid::now_v7())
            }
        }
        impl Default for $name {
            fn default() -> Self {
                Self::new()
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
        impl FromStr for $name {
            type Err = uuid::Error;
            fn from_str(text: &str) -> Result<Self, uuid::Error> {
                text.parse().map(Self)
            }
        }
    };
}

id_type!(
    /// A checkpoint's id.
    CheckpointId
);
id_type!(
    /// Id of a frozen layer of disks: that of the checkpoint with which it was frozen.
    LayerId
);
id_type!(
    /// A VM's id: never reused, unlike its name.
    VmId
);
id_type!(
    /// One operation: a request that changes something, with its events and its result.
    OperationId
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vm_names_follow_the_dns_label_rule() {
        for good in ["a", "0", "a-b", "web-1", &"x".repeat(63)] {
            assert!(good.parse::<VmName>().is_ok(), "{good}");
        }
        for bad in [
            "",
            "-a",
            "A",
            "a_b",
            "a b",
            "ä",
            "../x",
            "a\0",
            &"x".repeat(64),
        ] {
            assert!(bad.parse::<VmName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn image_names_may_carry_a_tag_but_no_path() {
        assert!("debian-12:latest".parse::<ImageName>().is_ok());
        for bad in ["a/b", "..", ".a", "a b", "a\n"] {
            assert!(bad.parse::<ImageName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn an_invalid_name_is_refused_when_json_is_read() {
        let error = serde_json::from_str::<VmName>("\"A\"")
            .unwrap_err()
            .to_string();
        assert!(error.contains("VM name \"A\" is not valid"), "{error}");
    }
}
