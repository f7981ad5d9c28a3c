//! The one place that writes to standard output and standard error.
//!
//! ```text
//! a command ──► Render (text or JSON) ──► standard output   data, nothing else
//!          └──► note, warn, failure ────► standard error    what a person reads beside it
//!          └──► status line ────────────► standard error    one line that is redrawn, on a terminal only
//! ```
//!
//! With `--json` standard error carries errors alone, as JSON; with `--quiet` warnings and errors. Text that may come
//! from a guest is made harmless before it reaches a terminal. A reader that goes away ends the command quietly.

pub mod page;
pub mod raw;
pub mod sanitize;
pub mod style;
pub mod table;
pub mod width;

use std::cell::RefCell;
use std::io::{self, IsTerminal as _};

use banger_api::error::ErrorBody;
use serde::Serialize;

use crate::failure::{Failure, Outcome, host_error};
use page::{Look, Page};
use sanitize::harmless;
use style::Tone;

/// Something that is printed as text for people and as JSON for programs.
pub trait Render: Serialize {
    /// Writes the text.
    fn text(&self, page: &mut Page);
}

/// How much a command tells beside its data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detail {
    /// Warnings and errors only; lists give names only.
    Little,
    /// Notes and progress, too.
    Usual,
    /// Each stage as it ends, too.
    More,
}

/// The way in which a command speaks.
#[derive(Debug)]
pub struct Output {
    json: bool,
    detail: Detail,
    terminal: bool,
    /// Standard error may be coloured.
    colour: bool,
    /// The status line that is shown.
    status: RefCell<Option<String>>,
}

impl Output {
    /// Speaks JSON with `json`, and tells as much as `detail` says.
    pub fn new(json: bool, detail: Detail) -> Self {
        Self {
            json,
            detail,
            terminal: io::stderr().is_terminal(),
            colour: style::wanted(&io::stderr()),
            status: RefCell::new(None),
        }
    }

    /// Data goes out as JSON.
    pub fn json(&self) -> bool {
        self.json
    }

    /// The user wants to see more.
    pub fn verbose(&self) -> bool {
        self.detail == Detail::More
    }

    /// The user wants the data alone.
    pub fn quiet(&self) -> bool {
        self.detail == Detail::Little
    }

    /// Standard error is a terminal.
    pub fn stderr_is_terminal(&self) -> bool {
        self.terminal
    }

    /// Prints a value, and succeeds.
    pub fn print(&self, value: &impl Render) -> Outcome {
        let text = if self.json {
            line_of(serde_json::to_string_pretty(value))?
        } else {
            let mut page = Page::new().with(look());
            value.text(&mut page);
            page.into_text()
        };
        self.data(text.as_bytes())?;
        Ok(0)
    }

    /// Prints one of many values: a line of text, or of JSON.
    pub fn entry(&self, value: &impl Render) -> Result<(), Failure> {
        if !self.json {
            return self.print(value).map(drop);
        }
        self.data(line_of(serde_json::to_string(value))?.as_bytes())
    }

    /// Writes bytes to standard output as they are.
    pub fn data(&self, bytes: &[u8]) -> Result<(), Failure> {
        self.clear_status();
        raw::write_fully(io::stdout(), bytes).map_err(|error| output_failure(&error))
    }

    /// Tells a person something beside the data.
    pub fn note(&self, text: &str) {
        if !self.json && !self.quiet() {
            self.say(&harmless(text));
        }
    }

    /// Warns a person.
    pub fn warn(&self, text: &str) {
        if !self.json {
            self.say(&format!(
                "{} {}",
                self.paint("warning:", Tone::Attention),
                harmless(text)
            ));
        }
    }

    /// Tells why the command failed.
    pub fn failure(&self, failure: &Failure) {
        let Failure::Errors { errors, .. } = failure else {
            return;
        };
        for (n, error) in errors.iter().enumerate() {
            if self.json {
                let body = ErrorBody {
                    error: error.clone(),
                };
                // An `ApiError` is strings and names: it always has a JSON form.
                self.say(&serde_json::to_string(&body).unwrap_or_default());
                continue;
            }
            self.say(&format!(
                "{} {}",
                self.paint("error:", Tone::Bad),
                harmless(&error.message)
            ));
            // One hint for all that it is the next step of.
            let again = errors
                .get(n + 1)
                .is_some_and(|next| next.hint == error.hint);
            if let Some(hint) = error.hint.as_ref().filter(|_| !again) {
                self.say(&format!(
                    "{} {}",
                    self.paint("hint:", Tone::Hint),
                    harmless(hint)
                ));
            }
        }
    }

    /// Shows `text` as the status line in place of the last one. On anything but a terminal it does nothing.
    pub fn status(&self, text: &str) {
        if !self.terminal || self.json || self.quiet() {
            return;
        }
        if self.status.borrow().as_deref() == Some(text) {
            return;
        }
        *self.status.borrow_mut() = Some(text.to_owned());
        raw_stderr(format!("\r\x1b[2K{text}").as_bytes());
    }

    /// Takes the status line away.
    pub fn clear_status(&self) {
        if self.status.borrow_mut().take().is_some() {
            raw_stderr(b"\r\x1b[2K");
        }
    }

    /// Asks a question that is answered with yes or no at the terminal; anything but yes is no.
    pub fn confirms(&self, question: &str) -> bool {
        self.clear_status();
        raw_stderr(format!("{} [y/N] ", harmless(question)).as_bytes());
        let mut answer = String::new();
        let read = io::stdin().read_line(&mut answer);
        read.is_ok() && matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes")
    }

    fn paint(&self, text: &str, tone: Tone) -> String {
        tone.paint(text, self.colour)
    }

    fn say(&self, text: &str) {
        self.clear_status();
        raw_stderr(format!("{text}\n").as_bytes());
    }
}

/// A result in JSON, with the end of its last line.
fn line_of(json: serde_json::Result<String>) -> Result<String, Failure> {
    let mut text =
        json.map_err(|source| host_error("cannot write the result as JSON", &source.into()))?;
    text.push('\n');
    Ok(text)
}

/// The look of what goes to standard output: a terminal's width and colours, or neither.
fn look() -> Look {
    let stdout = io::stdout();
    Look {
        width: stdout
            .is_terminal()
            .then(|| rustix::termios::tcgetwinsize(&stdout))
            .and_then(Result::ok)
            .map(|size| usize::from(size.ws_col))
            .filter(|columns| *columns > 0),
        colour: style::wanted(&stdout),
    }
}

/// A failed write to standard output: a reader that went away is no error to tell.
pub fn output_failure(error: &io::Error) -> Failure {
    if error.kind() == io::ErrorKind::BrokenPipe {
        Failure::OutputClosed
    } else {
        host_error("cannot write to standard output", error).into()
    }
}

/// Standard error is the last resort: when it is gone there is nobody left to tell.
fn raw_stderr(bytes: &[u8]) {
    let _ = raw::write_fully(io::stderr(), bytes);
}
