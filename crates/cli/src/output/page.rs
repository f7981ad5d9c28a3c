//! Text under construction: tables, and names with their values.

use banger_api::Timestamp;

use super::sanitize::harmless;
use super::style::Tone;
use super::table::Table;
use super::width;

/// Columns that text needs to be worth wrapping.
const MIN_ROOM: usize = 20;

/// Text under construction.
#[derive(Debug)]
pub struct Page {
    text: String,
    now: Timestamp,
    look: Look,
}

/// The look of a page.
#[derive(Debug, Clone, Copy, Default)]
pub struct Look {
    /// Columns that a table may take; without it no table is cut.
    pub width: Option<usize>,
    /// Text may be coloured.
    pub colour: bool,
}

impl Default for Page {
    fn default() -> Self {
        Self::new()
    }
}

impl Page {
    /// An empty page; ages are counted from now.
    pub fn new() -> Self {
        Self::at(Timestamp::now())
    }

    /// An empty page; ages are counted from `now`.
    pub fn at(now: Timestamp) -> Self {
        Self {
            text: String::new(),
            now,
            look: Look::default(),
        }
    }

    /// The same page with this look.
    #[must_use]
    pub fn with(self, look: Look) -> Self {
        Self { look, ..self }
    }

    /// The same page without a limit to the width of its tables.
    pub fn widen(&mut self) {
        self.look.width = None;
    }

    /// `text` in a tone, for a line of this page.
    pub fn paint(&self, text: &str, tone: Tone) -> String {
        tone.paint(&harmless(text), self.look.colour)
    }

    /// Adds one line that is harmless and may be painted already.
    pub fn painted(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
    }

    /// The moment from which ages are counted.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// Adds one line. Control characters in it are made visible.
    pub fn line(&mut self, line: impl AsRef<str>) {
        self.text.push_str(&harmless(line.as_ref()));
        self.text.push('\n');
    }

    /// Adds `head`, which takes `indent` columns, with `text` beside it; on a terminal later lines stand under the
    /// first.
    pub fn hanging(&mut self, head: &str, indent: usize, text: &str) {
        let room = self.look.width.and_then(|width| width.checked_sub(indent));
        let text = harmless(text);
        let lines = match room.filter(|room| *room >= MIN_ROOM) {
            Some(room) => width::wrap(&text, room),
            None => vec![text.into_owned()],
        };
        for (index, line) in lines.iter().enumerate() {
            match index {
                0 => self.painted(&format!("{head}{line}")),
                _ => self.painted(&format!("{:indent$}{line}", "")),
            }
        }
    }

    /// Adds a table.
    pub fn table(&mut self, table: &Table) {
        for line in table.lines(self.look.width, self.look.colour) {
            self.painted(&line);
        }
    }

    /// Adds names with their values, aligned; what has no value is left out.
    pub fn fields<'a>(&mut self, fields: impl IntoIterator<Item = (&'a str, Option<String>)>) {
        let fields: Vec<_> = fields
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?)))
            .collect();
        let width = fields.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        for (name, value) in fields {
            // Later lines of a value (console lines of an error) stand under its first.
            let value = value.replace('\n', &format!("\n{:width$}  ", ""));
            let name = self.paint(&format!("{name:width$}"), Tone::Faint);
            self.painted(&format!("{name}  {}", harmless(&value)));
        }
    }

    /// The text.
    pub fn into_text(self) -> String {
        self.text
    }
}

/// Time that ago something was, in the largest unit that gives at least one: `5s`, `3m`, `2h`, `9d`.
pub fn age(then: Timestamp, now: Timestamp) -> String {
    let seconds = (now.as_second() - then.as_second()).max(0);
    span(seconds.unsigned_abs())
}

/// A number of seconds in the largest unit that gives at least one.
pub fn span(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m", seconds / 60),
        3600..86_400 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_have_one_unit() {
        let now: Timestamp = "2026-01-02T00:00:00Z".parse().unwrap();
        let ages = [
            ("2026-01-01T23:59:58Z", "2s"),
            ("2026-01-01T23:55:00Z", "5m"),
            ("2026-01-01T22:00:00Z", "2h"),
            ("2025-12-30T00:00:00Z", "3d"),
            ("2026-01-03T00:00:00Z", "0s"),
        ];
        for (then, shown) in ages {
            assert_eq!(age(then.parse().unwrap(), now), shown, "{then}");
        }
    }

    #[test]
    fn fields_are_aligned_and_what_is_absent_is_left_out() {
        let mut page = Page::new();
        page.fields([
            ("name", Some("web".to_owned())),
            ("address", None),
            ("state", Some("error\nsecond".to_owned())),
        ]);
        assert_eq!(
            page.into_text(),
            "name   web\nstate  error\n       second\n"
        );
    }
}
