//! The policy of one VM: layers, each of which must allow.

use serde::{Deserialize, Serialize};

use crate::{Egress, Grant, Layer, PolicyError, Rule};

/// Version of the stored and sent form.
pub const POLICY_VERSION: u32 = 1;
/// Most rules of all layers, those of sets among them.
pub const RULES_MAX: usize = 2000;
/// Longest policy as JSON, bytes.
pub const POLICY_BYTES_MAX: usize = 1 << 20;

/// All that decides what a guest may reach.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// [`POLICY_VERSION`] of its writer.
    pub version: u32,
    /// Number of this state; each change has a higher one.
    pub generation: u64,
    /// Layers: the user's first. Without any, nothing is allowed.
    pub layers: Vec<Layer>,
}

impl Policy {
    /// A policy of the user's layer alone.
    #[must_use]
    pub fn new(generation: u64, user: Layer) -> Self {
        Self {
            version: POLICY_VERSION,
            generation,
            layers: vec![user],
        }
    }

    /// A policy that allows nothing, for whoever cannot read the real one.
    #[must_use]
    pub fn closed(generation: u64) -> Self {
        Self::new(generation, Layer::of(Egress::None))
    }

    /// This policy, narrowed by another side: only what both allow is allowed.
    #[must_use]
    pub fn narrowed(mut self, by: Layer) -> Self {
        self.layers.push(by);
        self
    }

    /// This policy with rules that every layer allows, for what the user has asked for by another word than a rule. What a layer
    /// denies stays denied, and what allows nothing at all stays closed.
    #[must_use]
    pub fn granting(mut self, rules: &[Rule]) -> Self {
        for layer in &mut self.layers {
            let grants = rules.iter().cloned().map(Grant::always);
            layer.allow.extend(grants);
        }
        self
    }

    /// Reads a policy.
    ///
    /// # Errors
    /// [`PolicyError`]: it is too long, no policy, of a newer version, or has too many rules.
    pub fn from_json(bytes: &[u8]) -> Result<Self, PolicyError> {
        if bytes.len() > POLICY_BYTES_MAX {
            return Err(PolicyError::TooLong {
                length: bytes.len(),
                max: POLICY_BYTES_MAX,
            });
        }
        let policy: Self = serde_json::from_slice(bytes)?;
        policy.check_limits()?;
        Ok(policy)
    }

    /// Checks version and size, for a policy that came as part of something else.
    ///
    /// # Errors
    /// [`PolicyError::Version`], [`PolicyError::TooMany`].
    pub fn check_limits(&self) -> Result<(), PolicyError> {
        if self.version > POLICY_VERSION {
            return Err(PolicyError::Version {
                found: self.version,
                known: POLICY_VERSION,
            });
        }
        let count = self.layers.len() + self.layers.iter().map(Layer::rules).sum::<usize>();
        match count > RULES_MAX {
            true => Err(PolicyError::TooMany {
                count,
                max: RULES_MAX,
            }),
            false => Ok(()),
        }
    }

    /// The next time after `now` at which a rule's time is over, seconds since 1970.
    #[must_use]
    pub fn next_end(&self, now: u64) -> Option<u64> {
        let grants = |layer: &Layer| {
            let all = layer.allow.iter().chain(&layer.deny);
            all.filter_map(|grant| grant.until.filter(|until| *until > now))
                .min()
        };
        self.layers.iter().filter_map(grants).min()
    }

    /// Tells whether names get addresses of their own, so that a connection is bound to the name that was asked.
    #[must_use]
    pub fn binds_names(&self) -> bool {
        self.layers.iter().any(|layer| layer.egress == Egress::List)
    }
}
