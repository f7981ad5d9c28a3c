//! Text that a guest may have written must not command the host's terminal.

use std::borrow::Cow;

/// `text` with every control character but newline and tab made visible.
pub fn harmless(text: &str) -> Cow<'_, str> {
    let commands = |c: char| c.is_control() && c != '\n' && c != '\t';
    if !text.contains(commands) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        // A carriage return before a newline is how consoles end a line.
        match c {
            '\r' => {}
            c if commands(c) => out.extend(c.escape_default()),
            c => out.push(c),
        }
    }
    Cow::Owned(out)
}

/// Text of a guest, an image or a repository on one line: control characters, line ends, and characters that are invisible
/// or change the direction of others are made visible, so that it can neither forge a line nor hide a part of one.
pub fn harmless_line(text: &str) -> Cow<'_, str> {
    if !text.contains(misleads) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match misleads(c) {
            true => out.extend(c.escape_default()),
            false => out.push(c),
        }
    }
    Cow::Owned(out)
}

/// Control characters, and those of Unicode's categories Cf, Zl and Zp that have no width or reorder their neighbours
/// (Unicode Technical Report 36, "Bidirectional text spoofing").
fn misleads(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// How far a filter is in an escape sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Text,
    /// After ESC.
    Escape,
    /// In a control sequence, ESC `[` … (ECMA-48, 5.4).
    Sequence,
    /// In a string such as a window title, up to BEL or ST.
    String,
    /// After ESC inside a string.
    StringEscape,
    /// After 0xC2, which with 0x80 to 0x9F makes a C1 control character in UTF-8.
    Lead,
}

/// Longest control sequence that is passed on, in bytes.
const MAX_SEQUENCE: usize = 32;

/// A filter for a log that goes to a terminal: text and colours pass, whatever else commands a terminal does not.
#[derive(Debug)]
pub struct LogFilter {
    state: State,
    sequence: Vec<u8>,
}

impl Default for LogFilter {
    fn default() -> Self {
        Self {
            state: State::Text,
            sequence: Vec::new(),
        }
    }
}

impl LogFilter {
    /// The harmless part of the next bytes.
    pub fn pass(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(bytes.len());
        for &byte in bytes {
            self.state = self.step(byte, &mut out);
        }
        out
    }

    fn step(&mut self, byte: u8, out: &mut Vec<u8>) -> State {
        match (self.state, byte) {
            (State::StringEscape, b'\\') | (State::String, 0x07) => State::Text,
            (State::String | State::StringEscape, 0x1b) => State::StringEscape,
            (State::String | State::StringEscape, _) => State::String,
            (_, 0x1b) => {
                self.sequence.clear();
                State::Escape
            }
            (State::Escape, b'[') => State::Sequence,
            (State::Escape, b']' | b'P' | b'X' | b'^' | b'_') => State::String,
            (State::Escape, _) => State::Text,
            (State::Sequence, 0x20..=0x3f) if self.sequence.len() < MAX_SEQUENCE => {
                self.sequence.push(byte);
                State::Sequence
            }
            (State::Sequence, b'm') => {
                let plain = |byte: &u8| byte.is_ascii_digit() || *byte == b';';
                if self.sequence.iter().all(plain) {
                    out.extend_from_slice(b"\x1b[");
                    out.extend_from_slice(&self.sequence);
                    out.push(b'm');
                }
                State::Text
            }
            (State::Sequence, _) => State::Text,
            (State::Lead, 0x80..=0x9f) => State::Text,
            (State::Lead, _) => {
                out.push(0xc2);
                Self::text(byte, out)
            }
            (State::Text, _) => Self::text(byte, out),
        }
    }

    fn text(byte: u8, out: &mut Vec<u8>) -> State {
        match byte {
            0xc2 => return State::Lead,
            b'\n' | b'\t' | b'\r' | 0x20..=0x7e | 0x80.. => out.push(byte),
            _ => {}
        }
        State::Text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_in_messages_become_visible() {
        assert_eq!(harmless("plain\tä\n"), "plain\tä\n");
        assert_eq!(harmless("a\x1b[2Jb\x07\r\n"), "a\\u{1b}[2Jb\\u{7}\n");
        assert_eq!(harmless("\u{9b}31m"), "\\u{9b}31m");
    }

    #[test]
    fn a_line_stays_one_line_and_shows_all_that_it_has() {
        assert_eq!(harmless_line("plain ä 漢"), "plain ä 漢");
        assert_eq!(harmless_line("a\nerror: b\r\t"), "a\\nerror: b\\r\\t");
        assert_eq!(harmless_line("x\u{202e}y\u{200b}"), "x\\u{202e}y\\u{200b}");
    }

    #[test]
    fn logs_keep_their_colours_and_lose_what_commands_the_terminal() {
        let cases: [(&[u8], &[u8]); 8] = [
            (b"\x1b[1;31mred\x1b[0m\r\n", b"\x1b[1;31mred\x1b[0m\r\n"),
            (b"\x1b[2J\x1b[Hclear", b"clear"),
            (b"\x1b]0;title\x07text", b"text"),
            (b"\x1b]52;c;cGF5bG9hZA==\x1b\\text", b"text"),
            (b"\x1bP+q\x1b\\\x1bctext\x05\x08", b"text"),
            (b"\x1b[?1049htext\x1b[>4;2m", b"text"),
            ("grün §".as_bytes(), "grün §".as_bytes()),
            ("\u{9b}2Jtext\u{9d}".as_bytes(), b"2Jtext"),
        ];
        for (given, kept) in cases {
            assert_eq!(LogFilter::default().pass(given), kept, "{given:?}");
        }
    }

    #[test]
    fn a_sequence_that_is_cut_anywhere_is_still_filtered() {
        let text = b"a\x1b]0;evil\x1b\\b\x1b[31mc";
        for cut in 0..text.len() {
            let mut filter = LogFilter::default();
            let (head, tail) = text.split_at(cut);
            let out = [filter.pass(head), filter.pass(tail)].concat();
            assert_eq!(out, b"ab\x1b[31mc", "cut at {cut}");
        }
    }
}
