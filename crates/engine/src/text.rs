//! Text that a VMM or a guest wrote, made fit to show: bounded, without control characters.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

/// Longest text of a VMM or guest that is kept, in characters.
const SHOWN_MAX_CHARS: usize = 600;

/// `text` on one line: control characters become spaces, each run of white space becomes one, the end is cut.
pub(crate) fn printable(text: &str) -> String {
    let words = text
        .split(|c: char| c.is_whitespace() || c.is_control())
        .filter(|word| !word.is_empty());
    let mut shown = String::new();
    let mut count = 0;
    for word in words {
        let gap = usize::from(!shown.is_empty());
        let length = word.chars().count() + gap;
        if count + length > SHOWN_MAX_CHARS {
            shown.extend(
                word.chars()
                    .take(SHOWN_MAX_CHARS.saturating_sub(count + gap)),
            );
            shown.push('…');
            break;
        }
        if gap > 0 {
            shown.push(' ');
        }
        shown.push_str(word);
        count += length;
    }
    shown
}

/// The last `max` bytes of a file; empty if there is no such file.
pub(crate) fn tail(path: &Path, max: u64) -> io::Result<Vec<u8>> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(e),
    };
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(max)))?;
    let mut bytes = Vec::new();
    file.take(max).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn escapes_and_lines_become_spaces() {
        assert_eq!(printable("a\u{1b}[31m\n\t b\0c\u{9b}d\n"), "a [31m b c d");
    }

    #[test]
    fn long_text_is_cut_also_in_the_middle_of_a_word() {
        for text in ["x".repeat(10_000), "ab ".repeat(10_000), "é".repeat(601)] {
            let shown = printable(&text);
            assert!(
                shown.chars().count() <= SHOWN_MAX_CHARS + 1,
                "{}",
                shown.chars().count()
            );
            assert!(shown.ends_with('…'));
        }
    }

    #[test]
    fn the_tail_of_a_file_is_its_end_and_a_missing_file_has_none() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        assert_eq!(tail(&path, 4).unwrap(), b"");
        std::fs::write(&path, b"0123456789").unwrap();
        assert_eq!(tail(&path, 4).unwrap(), b"6789");
        assert_eq!(tail(&path, 100).unwrap(), b"0123456789");
    }
}
