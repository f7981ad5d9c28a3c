//! Reboots of a VM's guest.

use serde::{Deserialize, Serialize};

/// Reboots that a guest has asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reboots {
    /// Times of the last ones, ms since 1970, oldest first.
    #[serde(default)]
    pub recent_ms: Vec<i64>,
    /// The last one's VMM has ended, and the VM is yet to be booted again.
    #[serde(default)]
    pub due: bool,
}

impl Reboots {
    /// Number of reboots in the time before a moment.
    pub fn within(&self, before_ms: i64, now_ms: i64) -> usize {
        let recent = |at: &&i64| now_ms.saturating_sub(**at) < before_ms;
        self.recent_ms.iter().filter(recent).count()
    }

    /// Notes one more, after which the VM is to be booted again. Those that are older than `kept_ms` are forgotten.
    pub fn note(&mut self, at_ms: i64, kept_ms: i64) {
        self.recent_ms
            .retain(|before| at_ms.saturating_sub(*before) < kept_ms);
        self.recent_ms.push(at_ms);
        self.due = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reboots_are_counted_within_their_time_and_forgotten_after_it() {
        let mut reboots = Reboots::default();
        for at_ms in [1_000, 2_000, 61_500] {
            reboots.note(at_ms, 60_000);
        }
        assert_eq!(reboots.recent_ms, [2_000, 61_500]);
        assert!(reboots.due);
        assert_eq!(reboots.within(60_000, 61_999), 2);
        assert_eq!(reboots.within(60_000, 62_000), 1);
        assert_eq!(reboots.within(60_000, 0), 2, "a clock that was set back");
    }
}
