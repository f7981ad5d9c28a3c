//! Errors of rules and policies.

use thiserror::Error;

/// A text that is no rule.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RuleError {
    /// Nothing is written.
    #[error("the rule is empty")]
    Empty,
    /// It is longer than a rule can be.
    #[error("the rule has {length} bytes, more than {max}")]
    TooLong {
        /// Its length.
        length: usize,
        /// The limit.
        max: usize,
    },
    /// The name of a host has a form that names cannot have.
    #[error("\"{name}\" is no host name: {reason}")]
    Name {
        /// The name.
        name: String,
        /// Its fault.
        reason: &'static str,
    },
    /// The address or network cannot be read.
    #[error("\"{text}\" is no address or network: {reason}")]
    Network {
        /// The text.
        text: String,
        /// Its fault.
        reason: &'static str,
    },
    /// The ports cannot be read.
    #[error("\"{text}\" are no ports: write 443, 22,443 or 8000-8010, at most {max} of them")]
    Ports {
        /// The text.
        text: String,
        /// Most ranges.
        max: usize,
    },
    /// The protocol is not known.
    #[error("protocol \"{0}\" is not known: use tcp, udp, icmp or any")]
    Protocol(String),
    /// The set is not known.
    #[error("set \"@{0}\" is not known: use @debian, @pypi, @npm, @crates or @github")]
    Set(String),
    /// The parts do not go together.
    #[error("{0}")]
    Form(&'static str),
}

/// A policy that cannot be read. The gate stays closed then.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PolicyError {
    /// It is longer than a policy can be.
    #[error("the policy has {length} bytes, more than {max}")]
    TooLong {
        /// Its length.
        length: usize,
        /// The limit.
        max: usize,
    },
    /// It is no policy.
    #[error("the policy cannot be read: {0}")]
    Json(#[from] serde_json::Error),
    /// A newer banger wrote it.
    #[error("the policy has version {found}; this banger reads version {known}")]
    Version {
        /// The version in it.
        found: u32,
        /// The version that is known.
        known: u32,
    },
    /// It has too many rules.
    #[error("the policy has {count} rules, more than {max}")]
    TooMany {
        /// Their number.
        count: usize,
        /// The limit.
        max: usize,
    },
}
