//! Bytes to lines, with a bound on each.

/// Bytes of a line that are kept; the rest is dropped.
const LINE_MAX_BYTES: usize = 4096;

/// Splits a stream into lines. Carriage returns end a line too, as progress bars use them.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    partial: Vec<u8>,
}

impl Lines {
    pub(crate) fn push(&mut self, bytes: &[u8], on_line: &mut dyn FnMut(&str)) {
        for byte in bytes {
            match byte {
                b'\n' | b'\r' => self.end(on_line),
                _ if self.partial.len() < LINE_MAX_BYTES => self.partial.push(*byte),
                _ => {}
            }
        }
    }

    /// Passes on the last line when it has no line feed.
    pub(crate) fn end(&mut self, on_line: &mut dyn FnMut(&str)) {
        if !self.partial.is_empty() {
            on_line(&String::from_utf8_lossy(&self.partial));
            self.partial.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(parts: &[&[u8]]) -> Vec<String> {
        let mut seen = Vec::new();
        let mut lines = Lines::default();
        for part in parts {
            lines.push(part, &mut |line| seen.push(line.to_owned()));
        }
        lines.end(&mut |line| seen.push(line.to_owned()));
        seen
    }

    #[test]
    fn lines_survive_any_cut() {
        assert_eq!(
            split(&[b"one\ntw", b"o\r\nthr", b"ee"]),
            ["one", "two", "three"]
        );
    }

    #[test]
    fn an_endless_line_is_cut() {
        assert_eq!(split(&[&vec![b'x'; 100_000]])[0].len(), LINE_MAX_BYTES);
    }

    #[test]
    fn bytes_that_are_not_utf8_are_shown_as_such() {
        assert_eq!(split(&[b"a\xffb\n"]), ["a\u{fffd}b"]);
    }
}
