//! One side's wishes: what a user, or a repository, allows.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{Rule, SetName};

/// Addresses that a guest may reach before any rule is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Egress {
    /// The internet: never loopback, private networks, link-local addresses or metadata services.
    #[default]
    Public,
    /// Everything that the host reaches, its own servers among it.
    All,
    /// Nothing. Published ports still work.
    None,
    /// The destinations of allow rules alone.
    List,
}

impl fmt::Display for Egress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Public => "public",
            Self::All => "all",
            Self::None => "none",
            Self::List => "list",
        })
    }
}

impl FromStr for Egress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "public" => Ok(Self::Public),
            "all" => Ok(Self::All),
            "none" => Ok(Self::None),
            "list" => Ok(Self::List),
            _ => Err(format!(
                "egress \"{text}\" is not known: use public, all, none or list"
            )),
        }
    }
}

/// A rule, and the time until which it counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// The rule.
    pub rule: Rule,
    /// Seconds since 1970-01-01T00:00:00Z (`--for`); it counts until then. `None`: without end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<u64>,
}

impl Grant {
    /// A rule without end.
    #[must_use]
    pub fn always(rule: Rule) -> Self {
        Self { rule, until: None }
    }

    /// Tells whether it counts at `now`, seconds since 1970.
    #[must_use]
    pub fn counts(&self, now: u64) -> bool {
        self.until.is_none_or(|until| now < until)
    }
}

/// Side that a layer comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// The user: command line and configuration.
    #[default]
    User,
    /// A file of a repository. It can only narrow.
    Repository,
}

/// Wishes of one side: what it allows and denies.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Layer {
    /// The side.
    #[serde(default)]
    pub origin: Origin,
    /// Destinations that need no rule.
    #[serde(default)]
    pub egress: Egress,
    /// Destinations that are allowed besides.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allow: Vec<Grant>,
    /// Destinations that are refused, whatever allows them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub deny: Vec<Grant>,
    /// Rules of the sets, as they were read when a rule named them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub sets: BTreeMap<SetName, Vec<Rule>>,
}

impl Layer {
    /// A user's layer without rules.
    #[must_use]
    pub fn of(egress: Egress) -> Self {
        Self {
            egress,
            ..Self::default()
        }
    }

    /// Number of its rules, those of sets among them.
    pub(crate) fn rules(&self) -> usize {
        let sets: usize = self.sets.values().map(Vec::len).sum();
        self.allow.len() + self.deny.len() + sets
    }
}
