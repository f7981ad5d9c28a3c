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

/// Text of a guest, an image or a repository on one line: control characters, line ends, and characters that are
/// invisible or change the direction of others are made visible, so that it can neither forge a line nor hide a part of
/// one.
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

/// Position of a filter in an escape sequence.
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
}

/// Longest control sequence that is passed on, in bytes.
const MAX_SEQUENCE: usize = 32;

/// Longest character of UTF-8, in bytes.
const MAX_CHARACTER: usize = 4;

/// A filter for a log: text and colours pass, whatever else commands a terminal does not. A carriage return that ends
/// no line begins one, so that nothing is written over.
#[derive(Debug)]
pub struct LogFilter {
    state: State,
    sequence: Vec<u8>,
    /// The beginning of a character of several bytes.
    character: Vec<u8>,
    /// A carriage return came, and what follows it did not yet.
    returned: bool,
}

impl Default for LogFilter {
    fn default() -> Self {
        Self {
            state: State::Text,
            sequence: Vec::new(),
            character: Vec::new(),
            returned: false,
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
                self.end_character(out);
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
            (State::Text, _) => {
                self.text(byte, out);
                State::Text
            }
        }
    }

    fn text(&mut self, byte: u8, out: &mut Vec<u8>) {
        if byte >= 0x80 {
            return self.part(byte, out);
        }
        self.end_character(out);
        match byte {
            b'\r' => self.returned = true,
            b'\n' if std::mem::take(&mut self.returned) => out.extend_from_slice(b"\r\n"),
            b'\n' | b'\t' | 0x20..=0x7e => {
                self.begin_line(out);
                out.push(byte);
            }
            _ => {}
        }
    }

    /// Begins a line for text that was to be written over other text.
    fn begin_line(&mut self, out: &mut Vec<u8>) {
        if std::mem::take(&mut self.returned) {
            out.push(b'\n');
        }
    }

    /// A byte of a character of several.
    fn part(&mut self, byte: u8, out: &mut Vec<u8>) {
        // One that begins a character ends the one before it.
        if byte >= 0xc0 {
            self.end_character(out);
        }
        self.character.push(byte);
        match std::str::from_utf8(&self.character) {
            Ok(text) => {
                if !text.contains(misleads) {
                    let bytes = self.character.clone();
                    self.begin_line(out);
                    out.extend_from_slice(&bytes);
                }
                self.character.clear();
            }
            Err(error) if error.error_len().is_none() && self.character.len() < MAX_CHARACTER => {}
            Err(_no_character) => self.end_character(out),
        }
    }

    /// Bytes that make no character pass, but for those that are control characters where text is not UTF-8 (C1).
    fn end_character(&mut self, out: &mut Vec<u8>) {
        for byte in std::mem::take(&mut self.character) {
            if byte >= 0xa0 {
                self.begin_line(out);
                out.push(byte);
            }
        }
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
            (b"\x1b[1;31mred\x1b[0m\r\r\n", b"\x1b[1;31mred\x1b[0m\r\n"),
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
    fn nothing_is_written_over_and_no_8_bit_control_passes() {
        let cases: [(&[u8], &[u8]); 7] = [
            (b"good\rbad\n", b"good\nbad\n"),
            (b"10%\r20%\r\n", b"10%\n20%\r\n"),
            (b"a\x9b2Jb\x9dc", b"a2Jbc"),
            // The beginning of a character in front of one does not hide it.
            (b"\xe2\x9b[x\xc3\x9b\xe2\x82", b"\xe2[x\xc3\x9b"),
            (b"\xf0\x9f\x9f\x9f\x9f|", "\u{1f7df}|".as_bytes()),
            (b"latin \xe4\xf6", b"latin \xe4\xf6"),
            ("no\u{202e}\u{200b}thing".as_bytes(), b"nothing"),
        ];
        for (given, kept) in cases {
            assert_eq!(LogFilter::default().pass(given), kept, "{given:?}");
        }
    }

    #[test]
    fn no_bytes_in_any_pieces_command_a_terminal() {
        let mut random = 0x9e37_79b9_7f4a_7c15_u64;
        let odd = b"\x1b[]m;3\r\n\x07\x9b\x9c\xc2\xe2\x80\xae\xf0\x9fPx\x00\x7f\\";
        for _ in 0..2_000 {
            let mut filter = LogFilter::default();
            let mut out = Vec::new();
            for _ in 0..8 {
                let mut piece = Vec::new();
                for _ in 0..8 {
                    random ^= random << 13;
                    random ^= random >> 7;
                    random ^= random << 17;
                    piece.push(odd[(random % odd.len() as u64) as usize]);
                }
                out.extend(filter.pass(&piece));
            }
            // Colours are all that is left of what begins with ESC.
            let mut rest = String::from_utf8_lossy(&out).into_owned();
            while let Some(at) = rest.find("\x1b[") {
                let end = rest[at + 2..].find(|c: char| !c.is_ascii_digit() && c != ';');
                let end = at + 2 + end.unwrap_or(0);
                assert_eq!(&rest[end..=end], "m", "{out:?}");
                rest.replace_range(at..=end, "");
            }
            let commands = |c: char| c.is_control() && !matches!(c, '\n' | '\t' | '\r');
            assert!(!rest.contains(commands), "{out:?}");
            assert!(!rest.replace("\r\n", "").contains('\r'), "{out:?}");
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
