//! Progress of operations, for the person who waits.
//!
//! ```text
//! terminal, not --verbose   one line, redrawn:  building debian-minimal  412/1024  12s
//! --verbose                 a line for each stage as it ends, with its time
//! anything else             a line for a stage that takes longer than a second, and now and then after that
//! --json                    nothing
//! ```

use std::cell::RefCell;
use std::time::{Duration, Instant};

use banger_api::operation::EventKind;

use crate::first_run::FirstRun;
use crate::output::Output;
use crate::output::page::span;
use crate::output::sanitize::harmless;
use crate::terminal::stderr_columns;

/// Time before a status line is shown.
const HIDDEN: Duration = Duration::from_millis(300);
/// A stage that takes longer than this is told even where there is no terminal.
const WORTH_A_LINE: Duration = Duration::from_secs(1);
/// After that it is told this often.
const REPEAT: Duration = Duration::from_secs(15);

/// Names one operation in a [`Progress`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Track(usize);

#[derive(Debug)]
struct Going {
    label: Option<String>,
    stage: String,
    /// Its place among the stages of a first run.
    place: String,
    detail: Option<String>,
    amount: Option<(u64, u64)>,
    since: Instant,
    told: Option<Instant>,
    ended: bool,
}

/// Progress of operations, for the person who waits. Several may go at once.
#[derive(Debug)]
pub struct Progress<'a> {
    output: &'a Output,
    started: Instant,
    going: RefCell<Vec<Going>>,
    first_run: Option<FirstRun>,
}

impl<'a> Progress<'a> {
    /// Nothing goes yet.
    pub fn new(output: &'a Output) -> Self {
        Self {
            output,
            started: Instant::now(),
            going: RefCell::default(),
            first_run: None,
        }
    }

    /// The same for the making of a VM, which may have to make an image or a kernel first.
    #[must_use]
    pub fn of(mut self, first_run: FirstRun) -> Self {
        self.first_run = Some(first_run);
        self
    }

    /// An operation begins; `label` (a VM's name) tells it from others.
    pub fn begin(&self, label: Option<&str>) -> Track {
        let mut going = self.going.borrow_mut();
        going.push(Going {
            label: label.map(str::to_owned),
            stage: String::new(),
            place: String::new(),
            detail: None,
            amount: None,
            since: Instant::now(),
            told: None,
            ended: false,
        });
        Track(going.len() - 1)
    }

    /// Something happened in an operation.
    pub fn event(&self, track: Track, event: &EventKind) {
        let mut all = self.going.borrow_mut();
        let Some(going) = all.get_mut(track.0) else {
            return;
        };
        match event {
            EventKind::Stage {
                stage,
                detail,
                done,
                total,
            } => {
                if going.stage != *stage {
                    if let Some(first_run) = &self.first_run {
                        if let Some(line) = first_run.announces(stage) {
                            self.output.note(&line);
                        }
                        going.place = first_run.place(stage);
                    }
                    going.since = Instant::now();
                    going.told = None;
                    going.stage.clone_from(stage);
                }
                going.detail.clone_from(detail);
                going.amount = done.zip(*total);
            }
            EventKind::StageDone { stage, us } if self.output.verbose() => {
                let name = going.name();
                let milliseconds = Duration::from_micros(*us).as_secs_f64() * 1000.0;
                let detail = going.detail_of(stage);
                self.output
                    .note(&format!("{name}{stage} {milliseconds:.1} ms{detail}"));
            }
            EventKind::StageDone { .. } => {}
            EventKind::Warning { message } => {
                let name = going.name();
                self.output.warn(&format!("{name}{message}"));
            }
            EventKind::Finished { .. } => going.ended = true,
        }
        drop(all);
        self.draw();
    }

    /// An operation is over, however it ended.
    pub fn end(&self, track: Track) {
        if let Some(going) = self.going.borrow_mut().get_mut(track.0) {
            going.ended = true;
        }
        self.draw();
    }

    /// Time has passed: draws what that changes.
    pub fn draw(&self) {
        let mut all = self.going.borrow_mut();
        let (ended, count) = (all.iter().filter(|going| going.ended).count(), all.len());
        let Some(going) = all.iter_mut().find(|going| !going.ended) else {
            self.output.clear_status();
            return;
        };
        if going.stage.is_empty() || self.output.json() || self.output.verbose() {
            return;
        }
        if !self.output.stderr_is_terminal() {
            let waited = going.told.map_or(WORTH_A_LINE, |_| REPEAT);
            if going.told.unwrap_or(going.since).elapsed() >= waited {
                going.told = Some(Instant::now());
                self.output.note(&going.line(None));
            }
            return;
        }
        if self.started.elapsed() >= HIDDEN {
            let of_several = (count > 1).then_some((ended, count));
            let line = going.line(of_several);
            let line = harmless(&line);
            self.output.status(&cut(&line, stderr_columns()));
        }
    }
}

impl Going {
    fn name(&self) -> String {
        self.label
            .as_ref()
            .map_or(String::new(), |label| format!("{label}: "))
    }

    /// `[1 of 3] web: boot: waiting for the guest 3/7 (12s)`
    fn line(&self, of_several: Option<(usize, usize)>) -> String {
        let mut line = String::new();
        if let Some((ended, count)) = of_several {
            line.push_str(&format!("[{ended} of {count}] "));
        }
        line.push_str(&self.name());
        line.push_str(&self.place);
        line.push_str(&self.stage.replace('_', " "));
        if let Some(detail) = &self.detail {
            line.push_str(": ");
            line.push_str(detail);
        }
        if let Some((done, total)) = self.amount {
            line.push_str(&match done.saturating_mul(100).checked_div(total) {
                Some(percent) => format!(" {}%", percent.min(100)),
                None => format!(" {done}"),
            });
        }
        let seconds = self.since.elapsed().as_secs();
        if seconds > 0 {
            line.push_str(&format!(" ({})", span(seconds)));
        }
        line
    }

    /// Its last message in this stage, shown behind the stage's time.
    fn detail_of(&self, stage: &str) -> String {
        match &self.detail {
            Some(detail) if self.stage == stage => format!(": {detail}"),
            _ => String::new(),
        }
    }
}

/// The first line of `text`, cut to fit one line of the terminal.
fn cut(text: &str, columns: usize) -> String {
    let line = text.lines().next().unwrap_or_default();
    let room = columns.saturating_sub(1);
    if line.chars().count() <= room {
        return line.to_owned();
    }
    let mut short: String = line.chars().take(room.saturating_sub(1)).collect();
    short.push('…');
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    fn going() -> Going {
        Going {
            label: Some("web".to_owned()),
            stage: "prepare_work_disk".to_owned(),
            place: String::new(),
            detail: Some("cloning work seed".to_owned()),
            amount: Some((1, 4)),
            since: Instant::now(),
            told: None,
            ended: false,
        }
    }

    #[test]
    fn a_line_names_the_vm_the_stage_what_it_does_and_how_far_it_is() {
        assert_eq!(
            going().line(Some((1, 3))),
            "[1 of 3] web: prepare work disk: cloning work seed 25%"
        );
    }

    #[test]
    fn a_stage_that_is_done_tells_what_it_did_and_not_what_another_did() {
        assert_eq!(
            going().detail_of("prepare_work_disk"),
            ": cloning work seed"
        );
        assert_eq!(going().detail_of("sync"), "");
    }

    #[test]
    fn an_amount_without_a_sensible_total_is_shown_as_it_is() {
        let mut going = going();
        going.amount = Some((7, 0));
        assert!(going.line(None).ends_with("seed 7"));
        going.amount = Some((u64::MAX, 1));
        assert!(going.line(None).ends_with("seed 100%"));
    }

    #[test]
    fn a_line_is_cut_to_the_terminal() {
        assert_eq!(cut("äöüäöü", 5), "äöü…");
        assert_eq!(cut("abc\ndef", 80), "abc");
        assert_eq!(cut("abc", 0), "…");
    }
}
