//! The audit log: one JSON line an event, each with the hash of the one before.
//!
//! ```text
//! {"seq":1,"at_ms":…,"prev":"0…0","event":{…}}      prev = SHA-256 of the line before, in hex
//! {"seq":2,"at_ms":…,"prev":"9f…","event":{…}}
//! ```
//!
//! There are two files. When the one that is written is full, the other is emptied and written next, so a log may begin
//! anywhere.

use std::io;
use std::path::Path;

use banger_egress::{Destination, Name, Policy, Question, Verdict};
use banger_secret::SecretName;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use thiserror::Error;

/// Longest of the two files, bytes.
pub const AUDIT_FILE_MAX_BYTES: u64 = 8 << 20;
/// Names of the two files. The numbers in their lines tell which is the older one.
pub const AUDIT_FILES: [&str; 2] = ["net-audit.0.ndjson", "net-audit.1.ndjson"];
/// `prev` of the first line of all.
const NO_HASH: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// One event, and its place in the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Its number; each is one higher than the last, also over files and processes.
    pub seq: u64,
    /// Milliseconds since 1970-01-01T00:00:00Z.
    pub at_ms: u64,
    /// SHA-256 of the line before, in hex.
    pub prev: String,
    /// The event.
    pub event: Event,
}

/// An event of the network of one VM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Event {
    /// A process began to serve.
    Started {
        /// Its pid.
        pid: u32,
        /// The policy that counts.
        policy: Policy,
    },
    /// Another policy counts from here on.
    PolicySet {
        /// The policy.
        policy: Policy,
    },
    /// A question was judged: a lookup, a connection, the first datagram of a pair.
    Judged(Told),
    /// A connection or pair ended.
    Closed {
        /// Number of the event in which it was judged.
        opened: u64,
        /// Bytes of payload from the guest.
        sent: u64,
        /// Bytes of payload to the guest.
        received: u64,
        /// Milliseconds that it lasted.
        lasted_ms: u64,
    },
    /// A request of the guest's went out with a secret.
    Secret {
        /// Name of the secret.
        secret: SecretName,
        /// The host that got it.
        host: Name,
        /// Method of the request.
        method: String,
        /// Its path without its query, shortened.
        path: String,
        /// Number of the event in which its connection was judged.
        opened: u64,
    },
    /// Events that were not recorded, because there were too many at once.
    Omitted {
        /// Their number.
        count: u64,
    },
}

/// A question and its answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// The question.
    pub question: Question,
    /// The answer.
    pub verdict: Verdict,
    /// Generation of the policy that answered.
    pub generation: u64,
}

/// A line that is ready to be written, and its hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    /// The line, its end included.
    pub line: String,
    /// The hash that the next line names.
    pub hash: String,
}

/// Makes the line of a record.
///
/// # Errors
/// It cannot be written as JSON.
pub fn seal(record: &Record) -> Result<Sealed, serde_json::Error> {
    let text = serde_json::to_string(record)?;
    let hash = hash(&text);
    Ok(Sealed {
        line: text + "\n",
        hash,
    })
}

fn hash(line: &str) -> String {
    banger_durable::hex(&Sha256::digest(line.as_bytes()))
}

/// A log that is whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verified {
    /// Lines.
    pub records: u64,
    /// Number of the first one; above 1 when older ones are gone.
    pub first_seq: u64,
    /// Number of the last one.
    pub last_seq: u64,
    /// Hash that the next line will name.
    pub head: String,
    /// True when the last line was cut off, as a crash leaves it.
    pub cut_off: bool,
}

/// A log that cannot be trusted.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum AuditError {
    /// There is no line.
    #[error("the log has no line")]
    Empty,
    /// A line is no record.
    #[error("line {line} is no record: {source}")]
    Line {
        /// Its number in the text.
        line: usize,
        /// The cause.
        source: serde_json::Error,
    },
    /// A line was changed, removed, or put in.
    #[error("line {line}: the one before it was changed or removed")]
    Chain {
        /// Its number in the text.
        line: usize,
    },
}

/// Verifies the chain of a log: the older file's text and the newer one's, in one.
///
/// # Errors
/// [`AuditError`] with the first line that does not fit.
pub fn verify(text: &str) -> Result<Verified, AuditError> {
    let mut found: Option<Verified> = None;
    for (record, line, last) in records(text) {
        let record = match record {
            Ok(record) => record,
            // The process, or its machine, ended within the line.
            Err(_) if last && !text.ends_with('\n') => {
                if let Some(found) = &mut found {
                    found.cut_off = true;
                }
                break;
            }
            Err(source) => {
                return Err(AuditError::Line {
                    line: line.0,
                    source,
                });
            }
        };
        let fits = match &found {
            Some(before) => {
                record.prev == before.head && before.last_seq.checked_add(1) == Some(record.seq)
            }
            None => record.seq > 1 || record.prev == NO_HASH,
        };
        if !fits {
            return Err(AuditError::Chain { line: line.0 });
        }
        let verified = found.get_or_insert_with(|| Verified {
            records: 0,
            first_seq: record.seq,
            last_seq: 0,
            head: String::new(),
            cut_off: false,
        });
        verified.records += 1;
        verified.last_seq = record.seq;
        verified.head = hash(line.1);
    }
    found.ok_or(AuditError::Empty)
}

/// The log in a folder: the older file's text and then the newer one's. Empty when there is none.
///
/// # Errors
/// A file is there and cannot be read.
pub fn read_audit(folder: &Path) -> io::Result<String> {
    let mut parts = Vec::new();
    for name in AUDIT_FILES {
        match std::fs::read(folder.join(name)) {
            Ok(bytes) => parts.push(bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    parts.sort_by_key(|bytes| tail(bytes).1.map(|(seq, _)| seq));
    let last = parts.len().saturating_sub(1);
    for bytes in parts.iter_mut().take(last) {
        // Only the newest may end within a line.
        let whole = usize::try_from(tail(bytes).0).unwrap_or_default();
        bytes.truncate(whole);
    }
    Ok(String::from_utf8_lossy(&parts.concat()).into_owned())
}

/// The end of one file: bytes up to the end of its last whole line, and that line's number and hash.
#[must_use]
pub fn tail(bytes: &[u8]) -> (u64, Option<(u64, String)>) {
    let end = bytes
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(0, |at| at + 1);
    let lines = &bytes[..end.saturating_sub(1)];
    let line = lines
        .rsplit(|byte| *byte == b'\n')
        .next()
        .unwrap_or_default();
    let last = std::str::from_utf8(line).ok().and_then(|line| {
        let record: Record = serde_json::from_str(line).ok()?;
        Some((record.seq, hash(line)))
    });
    (end as u64, last)
}

type Line<'a> = (Result<Record, serde_json::Error>, (usize, &'a str), bool);

fn records(text: &str) -> impl Iterator<Item = Line<'_>> {
    let mut lines = text.lines().enumerate().peekable();
    std::iter::from_fn(move || {
        let (index, line) = lines.next()?;
        let record = serde_json::from_str(line);
        Some((record, (index + 1, line), lines.peek().is_none()))
    })
}

/// An answer that another policy would have given otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replayed {
    /// Number of the event.
    pub seq: u64,
    /// Milliseconds since 1970.
    pub at_ms: u64,
    /// The question.
    pub question: Question,
    /// The answer at the time.
    pub was: Verdict,
    /// The answer of the other policy.
    pub would_be: Verdict,
}

/// Judges everything in a log by another policy: what would it have refused, what allowed? Only answers that differ are
/// in the result. A rule's end is compared with the time of the question.
///
/// # Errors
/// [`AuditError::Line`]: a line before the last is no record.
pub fn replay(text: &str, policy: &Policy) -> Result<Vec<Replayed>, AuditError> {
    let mut found = Vec::new();
    for (record, line, last) in records(text) {
        let record = match record {
            Ok(record) => record,
            Err(_) if last => break,
            Err(source) => {
                return Err(AuditError::Line {
                    line: line.0,
                    source,
                });
            }
        };
        let Event::Judged(told) = record.event else {
            continue;
        };
        let would_be = policy.judge(&told.question, record.at_ms / 1000);
        if would_be.is_allowed() != told.verdict.is_allowed() {
            found.push(Replayed {
                seq: record.seq,
                at_ms: record.at_ms,
                question: told.question,
                was: told.verdict,
                would_be,
            });
        }
    }
    Ok(found)
}

impl Record {
    /// The record after `last`, whose hash is `head`; the first of all without one.
    #[must_use]
    pub fn after(last: Option<(u64, &str)>, at_ms: u64, event: Event) -> Self {
        let (seq, prev) = last.unwrap_or((0, NO_HASH));
        Self {
            seq: seq.saturating_add(1),
            at_ms,
            prev: prev.to_owned(),
            event,
        }
    }

    /// The event in words, for a person who watches.
    #[must_use]
    pub fn words(&self) -> Option<String> {
        let Event::Judged(Told {
            question, verdict, ..
        }) = &self.event
        else {
            return None;
        };
        let asked = match question {
            Question::Lookup(name) => format!("lookup of {name}"),
            Question::Open {
                protocol,
                destination,
                port,
            } => {
                let to = match destination {
                    Destination::Address(address) => format!("{address}"),
                    Destination::Named { name, address } => format!("{name} ({address})"),
                    Destination::Host => "host".to_owned(),
                    Destination::Vm(name) => format!("vm:{name}"),
                };
                match port {
                    0 => format!("{protocol} to {to}"),
                    port => format!("{protocol} to {to} port {port}"),
                }
            }
        };
        Some(match verdict {
            Verdict::Allow(_) => format!("{asked} allowed"),
            Verdict::Deny(denial) => match &denial.rule_to_add {
                Some(rule) => format!("{asked} refused: {denial}; to allow it: {rule}"),
                None => format!("{asked} refused: {denial}"),
            },
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use banger_egress::{Egress, Layer};

    use super::*;

    fn judged(policy: &Policy, name: &str) -> Event {
        let question = Question::Lookup(name.parse().unwrap());
        Event::Judged(Told {
            verdict: policy.judge(&question, 1),
            question,
            generation: policy.generation,
        })
    }

    fn log() -> Vec<String> {
        let policy = Policy::new(1, Layer::of(Egress::Public));
        let mut lines = Vec::new();
        let mut last: Option<(u64, String)> = None;
        for name in ["a.example", "b.example", "c.example"] {
            let before = last.as_ref().map(|(seq, hash)| (*seq, hash.as_str()));
            let record = Record::after(before, 1000, judged(&policy, name));
            let sealed = seal(&record).unwrap();
            last = Some((record.seq, sealed.hash));
            lines.push(sealed.line);
        }
        lines
    }

    #[test]
    fn a_chain_is_whole_and_every_change_of_it_is_seen() {
        let lines = log();
        let found = verify(&lines.concat()).unwrap();
        assert_eq!((found.records, found.first_seq, found.last_seq), (3, 1, 3));
        // Its older part is gone.
        assert_eq!(verify(&lines[1..].concat()).unwrap().first_seq, 2);
        // Cut off by a crash.
        let text = lines.concat();
        let cut = verify(&text[..text.len() - 5]).unwrap();
        assert!(cut.cut_off && cut.records == 2);
        let removed = [&lines[0][..], &lines[2]].concat();
        assert!(matches!(
            verify(&removed),
            Err(AuditError::Chain { line: 2 })
        ));
        let changed = text.replacen("b.example", "x.example", 1);
        assert!(matches!(
            verify(&changed),
            Err(AuditError::Chain { line: 3 })
        ));
        let swapped = [&lines[0][..], &lines[2], &lines[1]].concat();
        assert!(verify(&swapped).is_err());
        assert!(matches!(
            verify("nothing\nmore\n"),
            Err(AuditError::Line { line: 1, .. })
        ));
        assert!(matches!(verify(""), Err(AuditError::Empty)));
    }

    #[test]
    fn a_replay_tells_what_another_policy_would_have_said() {
        let mut layer = Layer::of(Egress::List);
        let rule = "b.example".parse().unwrap();
        layer.allow.push(banger_egress::Grant::always(rule));
        let found = replay(&log().concat(), &Policy::new(2, layer)).unwrap();
        let refused: Vec<u64> = found.iter().map(|one| one.seq).collect();
        assert_eq!(refused, [1, 3]);
        assert!(found.iter().all(|one| !one.would_be.is_allowed()));
    }
}
