//! Secrets that stay on the host: their names, the ways in which VMs use them, and their values in memory.
//!
//! ```text
//! SecretName ─► Shelf of the daemon: the value, a file of 0600
//!      └──────► SecretUse, in a VM's record: openai=api.openai.com:443:bearer      no value
//!                    └─► header(value) ─► `Authorization: Bearer …`                in its network process alone
//! ```
//!
//! Promises: a value is printed by nothing, is wiped from memory when it is dropped, and always fits into one field of HTTP.
//! A use is written in one form, and is read by later builds.
//!
//! It must not: read or write a file, or know what a VM is.

mod form;
mod name;
mod usage;
mod value;

pub use form::{HeaderForm, OF_ONE_CONNECTION};
pub use name::SecretName;
pub use usage::{Field, SecretUse, USES_MAX};
pub use value::{SecretValue, VALUE_MAX_BYTES};

use thiserror::Error;

/// A text that is no secret, or no use of one.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SecretError {
    /// The name cannot be one.
    #[error(
        "\"{name}\" is no name of a secret: it has 1 to 63 lower-case letters, digits and hyphens, and begins and ends with none of the last"
    )]
    Name {
        /// The text, shortened.
        name: String,
    },
    /// The use is not of its form.
    #[error("a secret's use is NAME=HOST[:PORT][:FORM], as openai=api.openai.com")]
    Form,
    /// The host is none.
    #[error("host of a secret: {0}")]
    Host(#[from] banger_egress::RuleError),
    /// The host is one of banger's own names.
    #[error("\"{host}\" is a name of banger's own: name the host that takes the secret")]
    OwnHost {
        /// The host.
        host: String,
    },
    /// The port is none.
    #[error("\"{port}\" is no port: use a number from 1 to 65535")]
    Port {
        /// The text, shortened.
        port: String,
    },
    /// The header cannot carry a secret.
    #[error(
        "\"{header}\" is no header for a secret: use bearer, basic, or a header's name like x-api-key"
    )]
    Header {
        /// The text, shortened.
        header: String,
    },
    /// The value is empty.
    #[error("the value is empty")]
    Empty,
    /// The value is too long.
    #[error("the value has {length} bytes: at most {VALUE_MAX_BYTES} are kept")]
    TooLong {
        /// Its length.
        length: usize,
    },
    /// The value does not fit into a header.
    #[error(
        "the value has a character that no header carries: a line break, a control character, or none of ASCII"
    )]
    Character,
    /// The value is no user and password.
    #[error("the value for basic is USER:PASSWORD, and it has no colon")]
    NoUser,
}

fn shortened(text: &str) -> String {
    text[..text.floor_char_boundary(80)].to_owned()
}
