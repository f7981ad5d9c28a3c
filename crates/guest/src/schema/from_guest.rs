//! Answers of a guest, made safe to show where they enter.
//!
//! Every kind of answer says here which of its texts the guest chose: a new kind does not compile until it has.

use super::words::one_line;
use super::{
    ClockReading, ClockSet, CommandStats, Configured, Detached, DetachedCommand, DetachedEnd,
    DiskStats, Found, GuestStats, IdentityRow, InstalledKernel, Listener, Pong, Stage,
};
use crate::limits::{MAX_COMMAND_STATS, MAX_GUEST_TEXT};

/// Largest load that is believed.
const MAX_LOAD: f64 = 1e6;

/// An answer of a guest.
pub trait FromGuest {
    /// The same with texts that are safe to show: each on one line, visible, and at most
    /// [`MAX_GUEST_TEXT`] characters long.
    #[must_use]
    fn harmless(self) -> Self;
}

fn line(text: String) -> String {
    one_line(&text, MAX_GUEST_TEXT)
}

impl FromGuest for () {
    fn harmless(self) -> Self {}
}

impl FromGuest for u64 {
    fn harmless(self) -> Self {
        self
    }
}

impl<T: FromGuest> FromGuest for Vec<T> {
    fn harmless(self) -> Self {
        self.into_iter().map(T::harmless).collect()
    }
}

impl FromGuest for ClockReading {
    fn harmless(self) -> Self {
        // Numbers and no text.
        self
    }
}

impl FromGuest for ClockSet {
    fn harmless(self) -> Self {
        // A number and no text.
        self
    }
}

impl<T: FromGuest> FromGuest for Option<T> {
    fn harmless(self) -> Self {
        self.map(T::harmless)
    }
}

impl FromGuest for InstalledKernel {
    fn harmless(self) -> Self {
        let Self {
            release,
            image,
            config,
            modules,
        } = self;
        Self {
            release: line(release),
            // Paths of the guest, which are asked for there, and shown nowhere.
            image,
            config,
            modules,
        }
    }
}

impl FromGuest for Pong {
    fn harmless(self) -> Self {
        let Self {
            agent_version,
            phase,
            boot_id,
        } = self;
        Self {
            agent_version: line(agent_version),
            phase,
            boot_id: line(boot_id),
        }
    }
}

impl FromGuest for Configured {
    fn harmless(self) -> Self {
        let Self {
            init,
            stages,
            boot_id,
            kernel,
            rows,
        } = self;
        Self {
            init,
            stages: stages.harmless(),
            boot_id: line(boot_id),
            kernel: line(kernel),
            rows: rows.harmless(),
        }
    }
}

impl FromGuest for IdentityRow {
    fn harmless(self) -> Self {
        let Self { name, value } = self;
        Self {
            name,
            value: line(value),
        }
    }
}

impl FromGuest for Stage {
    fn harmless(self) -> Self {
        let Self { name, us } = self;
        Self {
            name: line(name),
            us,
        }
    }
}

impl FromGuest for Detached {
    fn harmless(self) -> Self {
        match self {
            Self::Started(command) => Self::Started(command.harmless()),
            Self::Failed(failure) => Self::Failed(failure.harmless()),
        }
    }
}

impl FromGuest for DetachedCommand {
    fn harmless(self) -> Self {
        let Self {
            id,
            argv,
            pid,
            started_unix_ms,
            ended,
            log_bytes,
            log_cut,
        } = self;
        Self {
            id,
            argv: argv.into_iter().map(line).collect(),
            pid,
            started_unix_ms,
            ended: ended.map(DetachedEnd::harmless),
            log_bytes,
            log_cut,
        }
    }
}

impl FromGuest for DetachedEnd {
    fn harmless(self) -> Self {
        // Numbers and no text.
        self
    }
}

impl FromGuest for Found {
    fn harmless(self) -> Self {
        match self {
            Self::File { sha256, executable } => Self::File {
                sha256: line(sha256),
                executable,
            },
            Self::Link { sha256 } => Self::Link {
                sha256: line(sha256),
            },
            other @ (Self::Absent | Self::Directory | Self::Other) => other,
        }
    }
}

impl FromGuest for Listener {
    fn harmless(self) -> Self {
        let Self {
            protocol,
            address,
            port,
            pid,
            process,
        } = self;
        Self {
            protocol,
            address,
            port,
            pid,
            process: process.map(line),
        }
    }
}

impl FromGuest for GuestStats {
    fn harmless(self) -> Self {
        let Self {
            cpu,
            cpus,
            memory,
            disks,
            load,
            uptime_ms,
            processes,
            boot_id,
            commands,
        } = self;
        Self {
            cpu,
            cpus,
            memory,
            disks: disks.harmless(),
            // A number is a text, too, once it is shown.
            load: load.map(|load| load.clamp(0.0, MAX_LOAD)),
            uptime_ms,
            processes,
            boot_id: line(boot_id),
            commands: commands
                .into_iter()
                .take(MAX_COMMAND_STATS)
                .map(FromGuest::harmless)
                .collect(),
        }
    }
}

impl FromGuest for CommandStats {
    fn harmless(self) -> Self {
        let Self {
            pid,
            command,
            processes,
            cpu_ms,
            memory,
        } = self;
        Self {
            pid,
            command: line(command),
            processes,
            cpu_ms,
            memory,
        }
    }
}

impl FromGuest for DiskStats {
    fn harmless(self) -> Self {
        Self {
            mount: line(self.mount),
            ..self
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::Serialize;
    use serde_json::Value;

    use super::super::{
        CpuTimes, ExecFailure, ExecFailureKind, IdentityName, MemoryStats, Phase, RunningInit,
        TransportProtocol,
    };
    use super::*;

    /// Every text in an answer, however deep.
    fn texts(answer: &impl Serialize) -> Vec<String> {
        fn walk(value: &Value, into: &mut Vec<String>) {
            match value {
                Value::String(text) => into.push(text.clone()),
                Value::Array(all) => all.iter().for_each(|one| walk(one, into)),
                Value::Object(all) => all.values().for_each(|one| walk(one, into)),
                _ => {}
            }
        }
        let mut all = Vec::new();
        walk(&serde_json::to_value(answer).unwrap(), &mut all);
        all
    }

    /// C0, DEL and C1, the separators of lines and paragraphs, characters without width, and those that order others.
    fn is_harmful(c: char) -> bool {
        let reorders = matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        let invisible = matches!(
            c,
            '\u{ad}' | '\u{200b}'..='\u{200d}' | '\u{2060}' | '\u{feff}' | '\u{e0001}'
        );
        c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') || reorders || invisible
    }

    fn check(answer: &impl Serialize, expected: usize) {
        let all = texts(answer);
        assert!(all.len() >= expected, "a text is missing: {all:?}");
        for text in all {
            assert!(text.chars().count() <= MAX_GUEST_TEXT, "{}", text.len());
            assert!(!text.contains(is_harmful), "{text:?}");
        }
    }

    fn hostile() -> impl Strategy<Value = String> {
        let bad = prop::sample::select(vec![
            "\u{1b}[2J",
            "\n",
            "\r",
            "\u{9b}31m",
            "\u{7f}",
            "\0",
            "\u{202e}",
            "\u{2066}",
            "\u{200b}",
            "\u{feff}",
            "\u{2028}",
            "\u{e0001}",
            "\u{ad}",
        ]);
        let part = prop_oneof![
            bad.prop_map(str::to_owned),
            ".{0,20}",
            Just("x".repeat(700))
        ];
        prop::collection::vec(part, 0..6).prop_map(|parts| parts.concat())
    }

    proptest! {
        #[test]
        fn no_answer_brings_in_a_text_that_commands_hides_or_swells(word in hostile()) {
            let w = || word.clone();
            let (memory, cpu) = (MemoryStats::default(), CpuTimes::default());
            let disk = DiskStats { mount: w(), total: 1, free: 1, available: 1, inodes: 1, inodes_free: 1 };
            let command = CommandStats { pid: 1, command: w(), processes: 1, cpu_ms: 1, memory: 1 };
            let stats = GuestStats {
                cpu, cpus: 1, memory, disks: vec![disk], load: [0.0; 3], uptime_ms: 1, processes: 1, boot_id: w(), commands: vec![command],
            };
            check(&stats.harmless(), 3);
            let listener = Listener {
                protocol: TransportProtocol::Tcp, address: [0, 0, 0, 0].into(), port: 1, pid: None, process: Some(w()),
            };
            check(&vec![listener].harmless(), 3);
            let command = DetachedCommand {
                id: 1, argv: vec![w(), w()], pid: 1, started_unix_ms: 1, ended: None, log_bytes: 1, log_cut: false,
            };
            check(&command.clone().harmless(), 2);
            check(&Detached::Started(command).harmless(), 2);
            let failure = ExecFailure { kind: ExecFailureKind::Other, message: w() };
            check(&Detached::Failed(failure).harmless(), 2);
            let stages = vec![Stage { name: w(), us: 1 }];
            let rows = vec![IdentityRow { name: IdentityName::Hostname, value: w() }];
            check(&Configured { init: RunningInit::Agent, stages, boot_id: w(), kernel: w(), rows }.harmless(), 5);
            check(&Pong { agent_version: w(), phase: Phase::Waiting, boot_id: w() }.harmless(), 3);
            check(&Found::File { sha256: w(), executable: false }.harmless(), 1);
            check(&Found::Link { sha256: w() }.harmless(), 1);
        }
    }

    #[test]
    fn ordinary_text_stays_as_it_is() {
        let word = "nginx: Größe 東京 worker";
        let stage = Stage {
            name: word.to_owned(),
            us: 1,
        };
        assert_eq!(stage.harmless().name, word);
    }
}
