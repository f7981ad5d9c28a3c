//! Faults: their kinds and their times.

use serde::Serialize;

use crate::fs::Loss;
use crate::random::Random;

/// Nature of an action: it decides on the faults that apply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Nature {
    /// It changes the machine.
    Effect,
    /// It changes the machine, and waits to a deadline for something.
    Wait,
    /// It only reads.
    Look,
    /// It commits to the store.
    Commit,
}

/// Kind of a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// The daemon dies before the action.
    CrashBefore,
    /// The daemon dies with a part of the effect done, or right after it if the effect has no parts.
    CrashAfter,
    /// The call fails without any effect.
    FailBefore,
    /// The call fails with a part of its effect, or all of it.
    FailAfter,
    /// The call hangs to its deadline and then fails, with a part of its effect.
    Hang,
    /// The power fails before the action; unsynced changes are lost.
    PowerLose,
    /// The power fails before the action; names are kept, unsynced contents are torn.
    PowerTear,
    /// The power fails with a part of the effect done; any mixture remains.
    PowerMix,
}

impl Mode {
    /// Every mode.
    pub const ALL: [Self; 8] = [
        Self::CrashBefore,
        Self::CrashAfter,
        Self::FailBefore,
        Self::FailAfter,
        Self::Hang,
        Self::PowerLose,
        Self::PowerTear,
        Self::PowerMix,
    ];

    /// Its name, as in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::CrashBefore => "crash_before",
            Self::CrashAfter => "crash_after",
            Self::FailBefore => "fail_before",
            Self::FailAfter => "fail_after",
            Self::Hang => "hang",
            Self::PowerLose => "power_lose",
            Self::PowerTear => "power_tear",
            Self::PowerMix => "power_mix",
        }
    }

    /// Tells whether it applies to actions of this nature and adds anything to the other modes.
    pub(crate) fn applies_to(self, nature: Nature) -> bool {
        match nature {
            Nature::Wait => true,
            Nature::Effect => self != Self::Hang,
            // A crash at a look equals one before the next effect. A look with a deadline is a wait.
            Nature::Look => self == Self::FailBefore,
            // A crash after a commit equals one before the next action.
            Nature::Commit => !matches!(self, Self::Hang | Self::FailAfter | Self::CrashAfter),
        }
    }

    pub(crate) fn ends_the_daemon(self) -> bool {
        !matches!(self, Self::FailBefore | Self::FailAfter | Self::Hang)
    }

    pub(crate) fn loss(self) -> Option<Loss> {
        match self {
            Self::PowerLose => Some(Loss::All),
            Self::PowerTear => Some(Loss::Contents),
            Self::PowerMix => Some(Loss::Mixed),
            _ => None,
        }
    }

    /// Tells whether a part of the effect happens.
    pub(crate) fn acts(self) -> bool {
        matches!(
            self,
            Self::CrashAfter | Self::FailAfter | Self::Hang | Self::PowerMix
        )
    }
}

/// Source of faults.
#[derive(Debug, Clone)]
pub(crate) enum Faults {
    /// No faults.
    None,
    /// One fault, at the action with this number.
    At(u64, Mode),
    /// Faults from a seed; one of `of` actions is hit.
    Random { random: Random, of: u64 },
}

impl Faults {
    /// The fault that hits the action with number `n`.
    pub(crate) fn hit(&mut self, n: u64, nature: Nature) -> Option<Mode> {
        match self {
            Self::None => None,
            Self::At(at, mode) => (*at == n).then_some(*mode),
            Self::Random { random, of } => {
                let mode = random
                    .chance(1, *of)
                    .then(|| random.pick(&Mode::ALL))
                    .flatten()?;
                mode.applies_to(nature).then_some(mode)
            }
        }
    }
}
