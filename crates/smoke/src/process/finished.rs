//! A command that has ended, and its output.

use std::fmt;
use std::time::Duration;

use serde_json::Value;

/// The end of a command: its exit, its output, its duration.
#[derive(Debug, Clone)]
pub struct Finished {
    pub(super) shown: String,
    /// Its exit code, unless a signal ended it.
    pub code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: Vec<u8>,
    /// Time from just before its start until it was reaped.
    pub took: Duration,
}

impl Finished {
    /// Standard output without the white space around it.
    pub fn out(&self) -> String {
        String::from_utf8_lossy(&self.stdout).trim().to_owned()
    }

    /// Standard error without the white space around it.
    pub fn err(&self) -> String {
        String::from_utf8_lossy(&self.stderr).trim().to_owned()
    }

    /// Asserts success.
    pub fn ok(self) -> Self {
        self.exits(0)
    }

    /// Asserts one exit code.
    ///
    /// # Panics
    /// With the command's whole output, if it ended in another way.
    pub fn exits(self, code: i32) -> Self {
        assert!(self.code == Some(code), "expected exit code {code}: {self}");
        self
    }

    /// Asserts that standard error contains `text`.
    pub fn says(self, text: &str) -> Self {
        assert!(
            self.err().contains(text),
            "expected standard error to say {text:?}: {self}"
        );
        self
    }

    /// Asserts that standard error is one line, the form of a refusal.
    pub fn in_one_line(self) -> Self {
        let lines = self.err().lines().count();
        assert!(
            lines == 1,
            "expected one line on standard error, not {lines}: {self}"
        );
        self
    }

    /// Standard output as JSON.
    ///
    /// # Panics
    /// Panics when it is not JSON.
    pub fn json(&self) -> Value {
        match serde_json::from_slice(&self.stdout) {
            Ok(value) => value,
            Err(error) => panic!("standard output is not JSON ({error}): {self}"),
        }
    }

    /// The error object on standard error: the last line of it that is a JSON object.
    ///
    /// # Panics
    /// Panics when there is none.
    pub fn json_error(&self) -> Value {
        let err = self.err();
        let whole = serde_json::from_str::<Value>(&err).ok();
        let last = || {
            err.lines()
                .rev()
                .find_map(|line| serde_json::from_str::<Value>(line).ok())
        };
        match whole.or_else(last) {
            Some(value) if value["error"].is_object() => value["error"].clone(),
            _ => panic!("no error object on standard error: {self}"),
        }
    }

    /// "exit code 0" or "signal 9".
    pub fn ending(&self) -> String {
        match (self.code, self.signal) {
            (Some(code), _) => format!("exit code {code}"),
            (None, Some(signal)) => format!("signal {signal}"),
            (None, None) => "no known end".to_owned(),
        }
    }
}

impl fmt::Display for Finished {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN_BYTES: usize = 16 * 1024;
        let tail = |bytes: &[u8]| {
            let from = bytes.len().saturating_sub(SHOWN_BYTES);
            String::from_utf8_lossy(&bytes[from..]).into_owned()
        };
        writeln!(out, "{}", self.shown)?;
        writeln!(
            out,
            "{} after {:.2} s",
            self.ending(),
            self.took.as_secs_f64()
        )?;
        writeln!(out, "--- standard output\n{}", tail(&self.stdout))?;
        write!(out, "--- standard error\n{}", tail(&self.stderr))
    }
}
