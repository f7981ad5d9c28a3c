//! The gate: every question of the guest's goes through here, is answered by the policy, counted, and recorded.

use std::collections::VecDeque;
use std::time::Duration;

use banger_egress::{Denial, Policy, Question, Rule, Verdict};
use banger_net_control::{Counters, Event, Record, Told};

use crate::audit_log::{AuditLog, now_ms};

/// Refusals that are kept for whoever asks.
const DENIALS_MAX: usize = 256;

/// Policy, log and counters.
pub(crate) struct Gate {
    pub(crate) policy: Policy,
    /// Rules that secrets mean, and the policy with them: it counts for their endpoints alone.
    granted: (Vec<Rule>, Policy),
    pub(crate) log: AuditLog,
    pub(crate) counters: Counters,
    denials: VecDeque<Record>,
    /// Refusals that followers have not been told yet.
    pub(crate) untold: Vec<Record>,
}

impl Gate {
    pub(crate) fn new(policy: Policy, mut log: AuditLog) -> Self {
        log.record(Event::Started {
            pid: std::process::id(),
            policy: policy.clone(),
        });
        Self {
            granted: (Vec::new(), policy.clone()),
            policy,
            log,
            counters: Counters::default(),
            denials: VecDeque::new(),
            untold: Vec::new(),
        }
    }

    /// Answers a question without a trace.
    pub(crate) fn ask(&self, question: &Question) -> Verdict {
        self.policy.judge(question, now_ms() / 1000)
    }

    /// Answers a question of the endpoint of a secret, without a trace.
    pub(crate) fn ask_granted(&self, question: &Question) -> Verdict {
        self.granted.1.judge(question, now_ms() / 1000)
    }

    /// Allows these to endpoints of secrets, and what the policy allows.
    pub(crate) fn grant(&mut self, rules: Vec<Rule>) {
        let policy = self.policy.clone().granting(&rules);
        self.granted = (rules, policy);
    }

    /// Records an answer; with the number of its record.
    pub(crate) fn record(&mut self, question: &Question, verdict: Verdict) -> u64 {
        self.tell(question, verdict)
    }

    /// Answers a question and records it; with the number of its record.
    pub(crate) fn judge(&mut self, question: &Question) -> (Verdict, u64) {
        let verdict = self.ask(question);
        let seq = self.tell(question, verdict.clone());
        (verdict, seq)
    }

    /// Records a refusal that the process itself has found a reason for.
    pub(crate) fn refuse(&mut self, question: &Question, denial: Denial) {
        self.tell(question, Verdict::Deny(denial));
    }

    fn tell(&mut self, question: &Question, verdict: Verdict) -> u64 {
        let is_denied = !verdict.is_allowed();
        let record = self.log.record(Event::Judged(Told {
            question: question.clone(),
            verdict,
            generation: self.policy.generation,
        }));
        let seq = record.seq;
        if is_denied {
            self.counters.denied += 1;
            if self.denials.len() == DENIALS_MAX {
                self.denials.pop_front();
            }
            self.denials.push_back(record.clone());
            self.untold.push(record);
        }
        seq
    }

    /// Counts what a connection or pair has carried; with the number of the record of its opening its end is recorded, too.
    pub(crate) fn closed(
        &mut self,
        opened: Option<u64>,
        lasted: Duration,
        sent: u64,
        received: u64,
    ) {
        self.counters.sent_bytes += sent;
        self.counters.received_bytes += received;
        if let Some(opened) = opened {
            self.log.record(Event::Closed {
                opened,
                sent,
                received,
                lasted_ms: u64::try_from(lasted.as_millis()).unwrap_or(u64::MAX),
            });
        }
    }

    /// Sets another policy.
    pub(crate) fn set(&mut self, policy: Policy) {
        self.log.record(Event::PolicySet {
            policy: policy.clone(),
        });
        self.policy = policy;
        let rules = std::mem::take(&mut self.granted.0);
        self.grant(rules);
    }

    /// The kept refusals with a number above `after`, oldest first.
    pub(crate) fn denials(&self, after: u64) -> impl DoubleEndedIterator<Item = &Record> {
        self.denials.iter().filter(move |one| one.seq > after)
    }
}
