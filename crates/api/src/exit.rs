//! Cause of the end of a VM's VMM.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Cause of the end of a VM's VMM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "cause", rename_all = "snake_case")]
pub enum ExitCause {
    /// The guest's kernel panicked.
    GuestPanic {
        /// Message of the kernel.
        message: String,
    },
    /// The guest powered off.
    GuestShutdown,
    /// The guest rebooted, which ends its VMM.
    GuestReset,
    /// The VMM was told to quit.
    HostQuit,
    /// The VMM ended cleanly on a signal.
    HostSignal {
        /// The signal's number, if it is known.
        signal: Option<i32>,
    },
    /// The VMM was killed by a signal.
    Killed {
        /// The signal's number.
        signal: i32,
    },
    /// The VMM failed.
    Failed {
        /// The end of its standard error.
        message: String,
    },
    /// The VMM left no record of its end.
    Vanished,
    /// The host went down with it.
    HostWentDown,
    /// The VMM is gone for an unknown cause.
    Unknown,
}

impl ExitCause {
    /// Tells whether the end is no fault of the VM: its guest powered off, or its host went down.
    pub fn is_orderly(&self) -> bool {
        match self {
            Self::GuestShutdown | Self::HostWentDown => true,
            Self::GuestPanic { .. }
            | Self::GuestReset
            | Self::HostQuit
            | Self::HostSignal { .. }
            | Self::Killed { .. }
            | Self::Failed { .. }
            | Self::Vanished
            | Self::Unknown => false,
        }
    }

    /// Tells whether the guest wanted this end. The restart policy `always` restarts the VM after every other end.
    pub fn is_wanted(&self) -> bool {
        matches!(self, Self::GuestShutdown)
    }

    /// Tells whether the last lines of the console show more.
    pub fn is_on_the_console(&self) -> bool {
        matches!(self, Self::GuestPanic { .. })
    }

    /// The cause from a record of format 1, which has only a sentence; `None` for a sentence that says no more than
    /// that the VM is in error.
    pub fn of_format_1(sentence: &str) -> Option<Self> {
        let plain = [
            Self::GuestShutdown,
            Self::GuestReset,
            Self::HostQuit,
            Self::HostSignal { signal: None },
            Self::Vanished,
            Self::HostWentDown,
            Self::Unknown,
        ];
        if let Some(cause) = plain
            .into_iter()
            .find(|cause| cause.to_string() == sentence)
        {
            return Some(cause);
        }
        let number = |prefix| sentence.strip_prefix(prefix)?.parse::<i32>().ok();
        if let Some(signal) = number("it was killed by signal ") {
            return Some(Self::Killed { signal });
        }
        if let Some(signal) = number("it ended on signal ") {
            let signal = Some(signal);
            return Some(Self::HostSignal { signal });
        }
        if let Some(message) = sentence.strip_prefix("the guest's kernel panicked: ") {
            let message = message.lines().next().unwrap_or_default().to_owned();
            return Some(Self::GuestPanic { message });
        }
        let message = sentence.strip_prefix("it failed: ")?.to_owned();
        Some(Self::Failed { message })
    }
}

impl fmt::Display for ExitCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::GuestPanic { message } => write!(f, "the guest's kernel panicked: {message}"),
            Self::GuestShutdown => f.write_str("the guest powered off"),
            Self::GuestReset => f.write_str("the guest rebooted"),
            Self::HostQuit => f.write_str("it was told to quit"),
            Self::HostSignal { signal: Some(n) } => write!(f, "it ended on signal {n}"),
            Self::HostSignal { signal: None } => f.write_str("it ended on a signal"),
            Self::Killed { signal } => write!(f, "it was killed by signal {signal}"),
            Self::Failed { message } => write!(f, "it failed: {message}"),
            Self::Vanished => {
                f.write_str("it was killed, or the host went down: it left no record of its end")
            }
            Self::HostWentDown => f.write_str("the host went down"),
            Self::Unknown => f.write_str("its VMM is gone"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sentences_of_format_1_are_read_as_their_causes() {
        let message = || "no memory".to_owned();
        for cause in [
            ExitCause::GuestPanic { message: message() },
            ExitCause::GuestShutdown,
            ExitCause::GuestReset,
            ExitCause::HostQuit,
            ExitCause::HostSignal { signal: Some(15) },
            ExitCause::HostSignal { signal: None },
            ExitCause::Killed { signal: 9 },
            ExitCause::Failed { message: message() },
            ExitCause::Vanished,
            ExitCause::HostWentDown,
            ExitCause::Unknown,
        ] {
            assert_eq!(ExitCause::of_format_1(&cause.to_string()), Some(cause));
        }
        let with_console = "the guest's kernel panicked: VFS\nlast console lines:\na";
        let message = "VFS".to_owned();
        assert_eq!(
            ExitCause::of_format_1(with_console),
            Some(ExitCause::GuestPanic { message })
        );
        assert_eq!(ExitCause::of_format_1("the guest did not answer"), None);
    }
}
