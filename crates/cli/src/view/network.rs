//! Rules of a VM's network, answers of them, and what they have judged.

use banger_api::Timestamp;
use banger_api::network::{NetVerdict, VmNetwork};
use banger_egress::{Destination, Question, Verdict as Judged};
use banger_net_control::{Event, Record, Replayed, Verified};
use serde::Serialize;

use crate::output::Render;
use crate::output::page::{Page, span};
use crate::output::sanitize::harmless_line;
use crate::output::table::Table;

/// The rules of a VM, one a line.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub struct Rules(pub VmNetwork);

impl Render for Rules {
    fn text(&self, page: &mut Page) {
        let network = &self.0;
        page.line(format!("egress {} ({})", network.egress, network.stack));
        if network.rules.is_empty() {
            return;
        }
        let mut table = Table::new(&["ACTION", "RULE", "LEFT", "BY"]);
        for rule in &network.rules {
            table.row([
                rule.action.to_string(),
                rule.rule.clone(),
                rule.until
                    .map_or_else(String::new, |until| left(until, page.now())),
                rule.by.to_string(),
            ]);
        }
        page.table(&table);
    }
}

fn left(until: Timestamp, now: Timestamp) -> String {
    match u64::try_from(until.as_second() - now.as_second()) {
        Ok(seconds) if seconds > 0 => span(seconds),
        _ => "over".to_owned(),
    }
}

/// Answer about one destination.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub struct Verdict(pub NetVerdict);

impl Render for Verdict {
    fn text(&self, page: &mut Page) {
        let verdict = &self.0;
        let word = if verdict.allowed {
            "allowed"
        } else {
            "refused"
        };
        page.line(format!("{word}: {}", verdict.reason));
        if let Some(rule) = &verdict.rule_to_add {
            page.line(format!("a rule that allows it: {rule}"));
        }
        for address in &verdict.addresses {
            page.line(format!("address {address}"));
        }
    }
}

/// A log that is whole.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub struct Whole(pub Verified);

impl Render for Whole {
    fn text(&self, page: &mut Page) {
        let Verified {
            records,
            first_seq,
            last_seq,
            head,
            cut_off,
        } = &self.0;
        page.line(format!(
            "{records} lines are whole: {first_seq} to {last_seq}"
        ));
        page.line(format!("head {head}"));
        if *cut_off {
            page.line("the last line was cut off, as a crash does");
        }
    }
}

/// Events of an audit log, one a line.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub struct Events(pub Vec<Record>);

impl Events {
    /// Tells whether an event is a refusal.
    pub fn is_refusal(record: &Record) -> bool {
        matches!(&record.event, Event::Judged(told) if !told.verdict.is_allowed())
    }
}

impl Render for Events {
    fn text(&self, page: &mut Page) {
        for record in &self.0 {
            page.line(told(record));
        }
    }
}

/// Answers that other rules would have given otherwise, one a line.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub struct Replays(pub Vec<Replayed>);

impl Render for Replays {
    fn text(&self, page: &mut Page) {
        if self.0.is_empty() {
            page.line("these rules would have answered everything as it was answered");
        }
        for one in &self.0 {
            let question = question(&one.question);
            let what = match &one.would_be {
                Judged::Allow(_) => format!("would be allowed: {question}"),
                Judged::Deny(denial) => format!("would be refused: {question}: {denial}"),
            };
            page.line(stamped(one.at_ms, one.seq, &what));
        }
    }
}

/// An event in one line.
pub fn told(record: &Record) -> String {
    let what = match &record.event {
        Event::Started { pid, policy } => {
            format!("process {pid} serves, generation {}", policy.generation)
        }
        Event::PolicySet { policy } => format!("other rules, generation {}", policy.generation),
        Event::Judged(told) => {
            let question = question(&told.question);
            match &told.verdict {
                Judged::Allow(_) => format!("allowed {question}"),
                Judged::Deny(denial) => match &denial.rule_to_add {
                    Some(rule) => format!("refused {question}: {denial} (rule: {rule})"),
                    None => format!("refused {question}: {denial}"),
                },
            }
        }
        Event::Closed {
            opened,
            sent,
            received,
            lasted_ms,
        } => format!("ended line {opened}: {sent} B out, {received} B in, {lasted_ms} ms"),
        Event::Secret {
            secret,
            host,
            method,
            path,
            opened,
        } => format!("secret {secret} sent to {host}: {method} {path} (line {opened})"),
        Event::Omitted { count } => format!("{count} events are not recorded: too many at once"),
    };
    stamped(record.at_ms, record.seq, &what)
}

/// A line of the log with its time (ms since 1970) and number.
fn stamped(at_ms: u64, seq: u64, what: &str) -> String {
    let at = i64::try_from(at_ms).unwrap_or(i64::MAX);
    let at = Timestamp::from_millisecond(at).unwrap_or_default();
    format!("{} {seq:>6} {}", at.strftime("%FT%TZ"), harmless_line(what))
}

fn question(question: &Question) -> String {
    match question {
        Question::Lookup(name) => format!("lookup {name}"),
        Question::Open {
            protocol,
            destination,
            port,
        } => {
            let target = match destination {
                Destination::Host => "host".to_owned(),
                Destination::Vm(name) => format!("vm:{name}"),
                Destination::Address(address) => address.to_string(),
                Destination::Named { name, address } => format!("{name} ({address})"),
            };
            match port {
                0 => format!("{protocol} {target}"),
                port => format!("{protocol} {target} port {port}"),
            }
        }
    }
}
