//! Widths of text in columns of a terminal.

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

/// The place where text is cut that has no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// Its end goes.
    End,
    /// Its middle goes: paths and references say most at both ends.
    Middle,
}

/// Columns that `text` takes.
pub fn of(text: &str) -> usize {
    text.width()
}

/// `text`, or as much of it as fits `room` columns with `…` in the place of the rest.
pub fn cut(text: &str, room: usize, cut: Cut) -> String {
    if of(text) <= room {
        return text.to_owned();
    }
    let Some(left) = room.checked_sub(1) else {
        return String::new();
    };
    let tail = match cut {
        Cut::End => 0,
        Cut::Middle => left * 2 / 3,
    };
    let head = taken(text.chars(), left - tail);
    let end: String = taken(text.chars().rev(), tail).chars().rev().collect();
    format!("{head}…{end}")
}

/// `text` in lines of at most `room` columns, broken between words; a longer word stays whole, so that it can be copied.
pub fn wrap(text: &str, room: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut used = 0;
    for word in text.split(' ') {
        let wide = of(word);
        let line = match lines.last_mut() {
            Some(line) if used == 0 || used + 1 + wide <= room => line,
            _ => {
                used = 0;
                lines.push_mut(String::new())
            }
        };
        if used > 0 {
            line.push(' ');
            used += 1;
        }
        line.push_str(word);
        used += wide;
    }
    lines
}

/// The first characters that fit `room` columns.
fn taken(chars: impl Iterator<Item = char>, room: usize) -> String {
    let mut used = 0;
    chars
        .take_while(|c| {
            used += c.width().unwrap_or(0);
            used <= room
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fits_stays_and_what_does_not_says_so() {
        assert_eq!(cut("short", 5, Cut::End), "short");
        assert_eq!(cut("longer", 5, Cut::End), "long…");
        assert_eq!(cut("/a/long/path/file", 10, Cut::Middle), "/a/…h/file");
        assert_eq!(cut("anything", 0, Cut::End), "");
        assert_eq!(cut("anything", 1, Cut::Middle), "…");
    }

    #[test]
    fn text_is_broken_between_words_and_words_stay_whole() {
        assert_eq!(wrap("one two three", 8), ["one two", "three"]);
        assert_eq!(wrap("a-very-long-word b", 5), ["a-very-long-word", "b"]);
        assert_eq!(wrap("", 5), [""]);
    }

    #[test]
    fn wide_characters_count_twice() {
        assert_eq!(of("漢字"), 4);
        assert_eq!(cut("漢字漢字", 5, Cut::End), "漢字…");
        assert_eq!(cut("漢字漢字", 4, Cut::End), "漢…");
    }
}
