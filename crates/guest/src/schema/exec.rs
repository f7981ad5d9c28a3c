//! Running a command in the guest.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::GuestPath;
use super::words::one_line;
use crate::limits::MAX_GUEST_TEXT;

/// A command to run.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ExecRequest {
    /// Program and arguments. A program without `/` is looked up in the command's `PATH`. Empty: a shell, with a terminal
    /// the user's login shell as a login shell; the image's own command where the guest has no shell.
    pub argv: Vec<String>,
    /// Run the image's own command: its entry point, then `argv`, or its command where `argv` is empty.
    #[serde(default)]
    pub image_command: bool,
    /// Added to, and winning over, the guest's default environment.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// Working directory; default: the configured one, else the user's home.
    #[serde(default)]
    pub cwd: Option<GuestPath>,
    /// `name`, `uid`, `name:group` or `uid:gid`, from the guest's `/etc/passwd`; default: the configured one, else root.
    #[serde(default)]
    pub user: Option<String>,
    /// A terminal for the command; without it, it gets pipes.
    #[serde(default)]
    pub tty: Option<Tty>,
    /// True if standard input will be sent. Otherwise the command's standard input is `/dev/null` (ignored with a
    /// terminal).
    #[serde(default)]
    pub stdin: bool,
    /// True if the host understands the agent's reports: `StdinTaken`, `SignalTaken`, `TimedOut`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub reports: bool,
    /// Time limit in milliseconds. At its end the command and all its children get `SIGTERM`, and later `SIGKILL` if
    /// they still run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
}

/// The terminal of a command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tty {
    /// Height, in characters.
    pub rows: u16,
    /// Width, in characters.
    pub cols: u16,
    /// The `TERM` of the command; a guest that has no entry for it takes the usual one instead.
    pub term: String,
}

/// End of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExitStatus {
    /// It returned this code.
    Code(i32),
    /// This signal ended it.
    Signal(i32),
}

/// Reason why a command was not started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecFailure {
    /// Kind of the cause.
    pub kind: ExecFailureKind,
    /// The cause, a lower-case fragment that names the thing.
    pub message: String,
}

impl ExecFailure {
    /// The same with texts that are safe to show.
    #[must_use]
    pub fn harmless(self) -> Self {
        let message = one_line(&self.message, MAX_GUEST_TEXT);
        Self { message, ..self }
    }
}

/// Kinds of [`ExecFailure`]; shells map the first two to the codes 127 and 126.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExecFailureKind {
    /// The program does not exist.
    NotFound,
    /// The program may not be run.
    Permission,
    /// The working directory cannot be entered.
    Cwd,
    /// The user does not exist.
    User,
    /// Anything else.
    Other,
}
