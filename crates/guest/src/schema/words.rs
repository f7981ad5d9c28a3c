//! Texts of a guest, on their way into a message.

/// At most `limit` characters of a text, on one line: control characters and line breaks become blanks; invisible
/// characters, and those that reverse the reading direction, become replacement characters.
#[must_use]
pub fn one_line(text: &str, limit: usize) -> String {
    let shown = |c: char| match c {
        c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') => ' ',
        c if is_invisible(c) => char::REPLACEMENT_CHARACTER,
        c => c,
    };
    text.chars().take(limit).map(shown).collect()
}

/// Characters without a width, and those that order others (Unicode, category Cf).
fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}
