//! The VMM that a VM's record names.

use banger_engine::VmmIdentity;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

/// The VMM of a VM. One whose identity cannot be read is none of which nothing is known: it may run.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum RecordedVmm {
    /// There is none.
    #[default]
    None,
    /// This one.
    Known(Box<VmmIdentity>),
    /// There is one, and its identity cannot be read. It is kept as it is.
    Unreadable {
        /// The stored text.
        stored: Value,
        /// Cause that it cannot be read.
        why: String,
    },
}

impl RecordedVmm {
    /// Its identity, when it can be read.
    pub fn identity(&self) -> Option<&VmmIdentity> {
        match self {
            Self::Known(vmm) => Some(vmm),
            Self::None | Self::Unreadable { .. } => None,
        }
    }

    /// Tells whether a VMM is recorded, readable or not.
    pub fn is_some(&self) -> bool {
        match self {
            Self::None => false,
            Self::Known(_) | Self::Unreadable { .. } => true,
        }
    }

    /// Cause that its identity cannot be read.
    pub fn unreadable(&self) -> Option<&str> {
        match self {
            Self::Unreadable { why, .. } => Some(why),
            Self::None | Self::Known(_) => None,
        }
    }
}

impl Eq for RecordedVmm {}

impl From<Option<VmmIdentity>> for RecordedVmm {
    fn from(vmm: Option<VmmIdentity>) -> Self {
        vmm.map_or(Self::None, |vmm| Self::Known(Box::new(vmm)))
    }
}

impl Serialize for RecordedVmm {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::None => to.serialize_none(),
            Self::Known(vmm) => vmm.serialize(to),
            Self::Unreadable { stored, .. } => stored.serialize(to),
        }
    }
}

impl<'de> Deserialize<'de> for RecordedVmm {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let stored = Value::deserialize(from)?;
        if stored.is_null() {
            return Ok(Self::None);
        }
        Ok(match VmmIdentity::deserialize(&stored) {
            Ok(vmm) => Self::Known(Box::new(vmm)),
            Err(error) => Self::Unreadable {
                why: error.to_string(),
                stored,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> RecordedVmm {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn a_vmm_that_cannot_be_read_is_not_none_and_is_kept_as_it_is() {
        for (json, why) in [
            (r#"{"pidd":7}"#, "missing field"),
            ("7", "invalid type"),
            (r#"{"version":9,"pid":7}"#, "newer than 2"),
        ] {
            let vmm = read(json);
            assert!(vmm.is_some());
            assert!(vmm.identity().is_none());
            assert!(vmm.unreadable().unwrap().contains(why), "{vmm:?}");
            let kept: Value = serde_json::from_str(json).unwrap();
            assert_eq!(serde_json::to_value(&vmm).unwrap(), kept);
        }
        assert_eq!(read("null"), RecordedVmm::None);
    }
}
