//! Console logs: what a guest wrote to its serial port. Text from a guest: bounded, and free of control sequences
//! before it is shown in an error.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

/// Part of the end of a log that is looked at for its last lines, in bytes.
const TAIL_BYTES: u64 = 16 * 1024;
/// Longest line that is shown, in characters.
const LINE_CHARS: usize = 240;

/// The last `lines` lines, without control characters. Empty when there is no log.
pub(crate) fn tail(log: &Path, lines: usize) -> String {
    let text = read_tail(log).unwrap_or_default();
    let clean: Vec<String> = text
        .lines()
        .map(clean_line)
        .filter(|line| !line.is_empty())
        .collect();
    clean[clean.len().saturating_sub(lines)..].join("\n")
}

fn read_tail(log: &Path) -> std::io::Result<String> {
    let mut file = File::open(log)?;
    let len = file.metadata()?.len();
    file.seek(SeekFrom::Start(len.saturating_sub(TAIL_BYTES)))?;
    let mut bytes = Vec::new();
    file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// A line without escape sequences (ECMA-48: ESC [ … final byte) and other control characters.
fn clean_line(line: &str) -> String {
    let mut out = String::new();
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        if c == '\u{1b}' {
            if chars.next_if_eq(&'[').is_some() {
                while chars.next().is_some_and(|c| !('@'..='~').contains(&c)) {}
            }
        } else if !c.is_control() {
            out.push(c);
        }
    }
    out.trim_end().chars().take(LINE_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_has_the_last_lines_without_control_sequences() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("console.log");
        std::fs::write(&log, "a\nb\r\n\u{1b}[2J\u{1b}[31mc\u{7}\nd\u{1b}\n\n").unwrap();
        assert_eq!(tail(&log, 3), "b\nc\nd");
        assert_eq!(tail(&dir.path().join("none"), 3), "");
    }

    #[test]
    fn an_endless_line_is_cut() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("console.log");
        std::fs::write(&log, "x".repeat(1 << 20)).unwrap();
        assert_eq!(tail(&log, 3).len(), LINE_CHARS);
    }
}
