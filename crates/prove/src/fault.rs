//! Faults: what may go wrong, and when.

use serde::Serialize;

use crate::fs::Loss;
use crate::random::Random;

/// What an action does: decides what can go wrong with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Nature {
    /// It changes the machine.
    Effect,
    /// It changes the machine, and waits to a deadline for something.
    Wait,
    /// It only looks.
    Look,
    /// It commits to the store.
    Commit,
}

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// The daemon dies before the action.
    CrashBefore,
    /// The daemon dies with a part of the effect done; where it has no parts, right after it.
    CrashAfter,
    /// The call fails without any effect.
    FailBefore,
    /// The call fails with a part of its effect, or all of it.
    FailAfter,
    /// The call hangs to its deadline and then fails, with a part of its effect.
    Hang,
    /// The power fails before the action; what was not synced is lost.
    PowerLose,
    /// The power fails before the action; names are kept, contents that were not synced are torn.
    PowerTear,
    /// The power fails with a part of the effect done; any mixture is left.
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

    /// Whether it makes sense for an action of this nature, beside the others.
    pub(crate) fn applies_to(self, nature: Nature) -> bool {
        match nature {
            Nature::Wait => true,
            Nature::Effect => self != Self::Hang,
            // A crash at a look is one before the next effect. A look with a deadline is a wait.
            Nature::Look => self == Self::FailBefore,
            // A crash after a commit is one before the next action.
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

    /// Whether a part of the effect happens.
    pub(crate) fn acts(self) -> bool {
        matches!(
            self,
            Self::CrashAfter | Self::FailAfter | Self::Hang | Self::PowerMix
        )
    }
}

/// Where faults come from.
#[derive(Debug, Clone)]
pub(crate) enum Faults {
    /// Nowhere.
    None,
    /// One, at the action with this number.
    At(u64, Mode),
    /// From a seed; each action is hit once in this many times.
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
