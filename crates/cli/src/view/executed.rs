//! The result of a guest command as one object.

use banger_guest::ExitStatus;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use crate::attach::CommandEnd;
use crate::attach::output::{Kept, KeptOutput};
use crate::output::Render;
use crate::output::page::Page;

/// A command that was run to its end.
///
/// Output is text. Where a stream is not UTF-8, its text has U+FFFD for what is not, and `…_base64` has its bytes. Of a
/// stream beyond the limit the beginning is kept, and `…_truncated` says so.
#[derive(Debug, Serialize)]
pub struct Executed {
    exit_code: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    signal: Option<i32>,
    timed_out: bool,
    stdout: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    stdout_base64: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    stdout_truncated: bool,
    stderr: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    stderr_base64: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    stderr_truncated: bool,
}

impl Executed {
    /// Outcome of a command.
    pub fn new(end: CommandEnd, output: KeptOutput) -> Self {
        let signal = match end.status {
            ExitStatus::Code(_) => None,
            ExitStatus::Signal(signal) => Some(signal),
        };
        let (stdout_truncated, stderr_truncated) = (output.stdout.cut, output.stderr.cut);
        let (stdout, stdout_base64) = text(output.stdout);
        let (stderr, stderr_base64) = text(output.stderr);
        Self {
            exit_code: end.code(),
            signal,
            timed_out: end.timed_out,
            stdout,
            stdout_base64,
            stdout_truncated,
            stderr,
            stderr_base64,
            stderr_truncated,
        }
    }
}

/// A stream as text, and its bytes where the text does not tell them.
fn text(mut kept: Kept) -> (String, Option<String>) {
    // Of a letter that was cut in the middle nothing is kept.
    if kept.cut
        && let Err(error) = std::str::from_utf8(&kept.bytes)
        && error.error_len().is_none()
    {
        kept.bytes.truncate(error.valid_up_to());
    }
    match String::from_utf8(kept.bytes) {
        Ok(text) => (text, None),
        Err(error) => {
            let text = String::from_utf8_lossy(error.as_bytes()).into_owned();
            (text, Some(STANDARD.encode(error.as_bytes())))
        }
    }
}

impl Render for Executed {
    fn text(&self, page: &mut Page) {
        page.line(self.exit_code.to_string());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result(status: ExitStatus, timed_out: bool, stdout: Kept) -> serde_json::Value {
        let stderr = Kept {
            bytes: b"err\n".to_vec(),
            cut: false,
        };
        let executed = Executed::new(
            CommandEnd { status, timed_out },
            KeptOutput { stdout, stderr },
        );
        serde_json::to_value(executed).unwrap()
    }

    fn kept(bytes: &[u8], cut: bool) -> Kept {
        Kept {
            bytes: bytes.to_vec(),
            cut,
        }
    }

    #[test]
    fn a_result_has_code_output_and_nothing_that_does_not_apply() {
        assert_eq!(
            result(ExitStatus::Code(3), false, kept("grün\n".as_bytes(), false)),
            serde_json::json!({"exit_code": 3, "timed_out": false, "stdout": "grün\n", "stderr": "err\n"})
        );
    }

    #[test]
    fn a_signal_is_named_and_a_time_that_was_up_is_124() {
        let killed = result(ExitStatus::Signal(9), false, kept(b"", false));
        assert_eq!(
            (&killed["exit_code"], &killed["signal"]),
            (&137.into(), &9.into())
        );
        let late = result(ExitStatus::Signal(15), true, kept(b"", false));
        assert_eq!(
            (&late["exit_code"], &late["timed_out"]),
            (&124.into(), &true.into())
        );
    }

    #[test]
    fn no_byte_is_lost() {
        let odd = result(ExitStatus::Code(0), false, kept(b"a\xff\0b", false));
        assert_eq!(odd["stdout"], "a\u{fffd}\0b");
        assert_eq!(odd["stdout_base64"], "Yf8AYg==");
        let cut = result(
            ExitStatus::Code(0),
            false,
            kept("ä".repeat(2).as_bytes(), false),
        );
        assert_eq!(cut.get("stdout_base64"), None);
    }

    #[test]
    fn a_cut_stream_says_so_and_ends_with_a_whole_letter() {
        let cut = result(
            ExitStatus::Code(0),
            false,
            kept(&"ää".as_bytes()[..3], true),
        );
        assert_eq!(
            (&cut["stdout"], &cut["stdout_truncated"]),
            (&"ä".into(), &true.into())
        );
        assert_eq!(cut.get("stdout_base64"), None);
    }
}
