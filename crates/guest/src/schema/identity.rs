//! The identity of a guest, as the guest reads it back after it was set. Guests that wake from one saved machine are
//! the same in all else.

use serde::{Deserialize, Serialize};

/// One thing that tells a guest from those that were woken from the same saved machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdentityRow {
    /// The thing.
    pub name: IdentityName,
    /// Its value as the guest's kernel has it.
    pub value: String,
}

/// Things that tell guests apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IdentityName {
    /// Bytes of the kernel's random numbers, used for nothing else.
    Randomness,
    /// The clock, in nanoseconds since 1970 UTC.
    Clock,
    /// `/proc/sys/kernel/random/boot_id`.
    BootId,
    /// Host name of the kernel.
    Hostname,
    /// `/etc/machine-id`.
    MachineId,
    /// Hardware address of the network device, when there is one.
    MacAddress,
    /// UUID of the machine, as firmware tells it: of a guest that woke, when its kernel shows one.
    MachineUuid,
    /// [`super::Configure::generation`].
    Generation,
}

impl std::fmt::Display for IdentityName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Randomness => "randomness",
            Self::Clock => "clock",
            Self::BootId => "boot id",
            Self::Hostname => "host name",
            Self::MachineId => "machine id",
            Self::MacAddress => "hardware address",
            Self::MachineUuid => "machine's UUID",
            Self::Generation => "generation",
        })
    }
}

impl IdentityName {
    /// Tells whether no two guests ever have the same value.
    #[must_use]
    pub fn is_unique(self) -> bool {
        matches!(self, Self::Randomness | Self::BootId | Self::Generation)
    }
}
