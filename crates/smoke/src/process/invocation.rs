//! A command that has not been started yet.

use std::ffi::{OsStr, OsString};
use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{ChildStdin, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::{Finished, Running};
use crate::step::note;

/// Enough for two cold boots under emulation on a loaded machine.
const DEFAULT_DEADLINE: Duration = Duration::from_secs(90);

/// A command with its input and its deadline.
#[derive(Debug)]
pub struct Invocation {
    command: Command,
    input: Vec<u8>,
    deadline: Duration,
}

impl Invocation {
    /// A command with an empty environment: the caller adds variables.
    pub fn new(program: &Path) -> Self {
        let mut command = Command::new(program);
        command.env_clear();
        Self {
            command,
            input: Vec::new(),
            deadline: DEFAULT_DEADLINE,
        }
    }

    /// Adds one argument.
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.command.arg(argument);
        self
    }

    /// Adds arguments.
    pub fn args(mut self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.command.args(arguments);
        self
    }

    /// Sets one variable of the environment.
    pub fn env(mut self, key: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(key, value);
        self
    }

    /// Starts in this folder.
    pub fn within(mut self, folder: &Path) -> Self {
        self.command.current_dir(folder);
        self
    }

    /// Bytes for standard input, which is then closed. Without them it is empty.
    pub fn input(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.input = bytes.into();
        self
    }

    /// Sets the time limit after which the command and all its children are ended.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Starts the command through another program: `program words… command…`.
    pub fn through(mut self, program: &Path, words: &[&str]) -> Self {
        self.command = prefixed(&self.command, program, words);
        self
    }

    /// The command line, as a person would type it.
    pub fn shown(&self) -> String {
        let words = std::iter::once(self.command.get_program()).chain(self.command.get_args());
        words.map(quoted).collect::<Vec<_>>().join(" ")
    }

    /// Runs it to its end.
    ///
    /// # Panics
    /// Panics when it cannot be started, or its deadline passes.
    pub fn run(self) -> Finished {
        self.start().wait()
    }

    /// Runs it and asserts that it succeeds.
    pub fn ok(self) -> Finished {
        self.run().ok()
    }

    /// Starts it and returns at once.
    ///
    /// # Panics
    /// Panics when it cannot be started.
    pub fn start(mut self) -> Running {
        let input = std::mem::take(&mut self.input);
        let (running, mut stdin) = self.start_open();
        // A command that ends before it has read everything closes the pipe: its own result decides whether that is
        // right.
        thread::spawn(move || stdin.write_all(&input));
        running
    }

    /// Starts it for a conversation: its standard input is the caller's.
    ///
    /// # Panics
    /// Panics when it cannot be started.
    pub fn start_open(mut self) -> (Running, ChildStdin) {
        let shown = self.shown();
        note(&format!("$ {shown}"));
        self.command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0);
        let started = Instant::now();
        let mut child = match self.command.spawn() {
            Ok(child) => child,
            Err(error) => panic!("cannot start {shown}: {error}"),
        };
        let Some(stdin) = child.stdin.take() else {
            panic!("{shown} has no standard input, although it was to have a pipe");
        };
        (Running::of(child, shown, started, self.deadline), stdin)
    }

    /// The command with everything set, for a caller that gives it a terminal of its own.
    pub(crate) fn into_command(self) -> (Command, Duration) {
        (self.command, self.deadline)
    }
}

/// `program words… command…` with the command's own environment and folder.
pub(crate) fn prefixed(command: &Command, program: &Path, words: &[&str]) -> Command {
    let mut whole = Command::new(program);
    whole
        .args(words)
        .arg(command.get_program())
        .args(command.get_args())
        .env_clear();
    for (key, value) in command.get_envs() {
        if let Some(value) = value {
            whole.env(key, value);
        }
    }
    if let Some(folder) = command.get_current_dir() {
        whole.current_dir(folder);
    }
    whole
}

fn quoted(word: &OsStr) -> String {
    let text = OsString::from(word).to_string_lossy().into_owned();
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+@%".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}
