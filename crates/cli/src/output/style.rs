//! Colours: where they may be used, and which text has which.

use std::io::IsTerminal;

use anstyle::{AnsiColor, Style};

/// The meaning of a piece of text, which decides its colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Tone {
    /// Ordinary text.
    #[default]
    Plain,
    /// A heading.
    Heading,
    /// All is well.
    Good,
    /// Something wants attention.
    Attention,
    /// Something is wrong.
    Bad,
    /// Text of less interest.
    Faint,
    /// The next step.
    Hint,
}

impl Tone {
    fn style(self) -> Style {
        let colour = |colour: AnsiColor| Style::new().fg_color(Some(colour.into()));
        match self {
            Self::Plain => Style::new(),
            Self::Heading => Style::new().bold(),
            Self::Good => colour(AnsiColor::Green),
            Self::Attention => colour(AnsiColor::Yellow),
            Self::Bad => colour(AnsiColor::Red).bold(),
            Self::Faint => Style::new().dimmed(),
            Self::Hint => colour(AnsiColor::Cyan),
        }
    }

    /// `text` in this tone's colour, or as it is without `colour`.
    pub fn paint(self, text: &str, colour: bool) -> String {
        let style = self.style();
        if !colour || text.is_empty() || style == Style::new() {
            return text.to_owned();
        }
        format!("{style}{text}{style:#}")
    }
}

/// Colour is wanted on this stream: it is a terminal that knows colours, and the user has not refused them
/// (<https://no-color.org>, <https://bixense.com/clicolors>).
pub fn wanted(stream: &impl IsTerminal) -> bool {
    decide(stream.is_terminal(), |name| {
        std::env::var_os(name).is_some_and(|value| !value.is_empty() && value != "0")
    }) && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

fn decide(terminal: bool, is_set: impl Fn(&str) -> bool) -> bool {
    if is_set("NO_COLOR") {
        return false;
    }
    terminal || is_set("CLICOLOR_FORCE")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_color_wins_over_terminals_and_force() {
        assert!(decide(true, |_| false));
        assert!(!decide(false, |_| false));
        assert!(!decide(true, |name| name == "NO_COLOR"));
        assert!(decide(false, |name| name == "CLICOLOR_FORCE"));
        assert!(!decide(true, |_| true));
    }

    #[test]
    fn colour_is_put_around_text_and_taken_off_again() {
        assert_eq!(Tone::Bad.paint("no", false), "no");
        assert_eq!(Tone::Plain.paint("so", true), "so");
        let painted = Tone::Good.paint("yes", true);
        assert!(painted.starts_with("\u{1b}[") && painted.ends_with("\u{1b}[0m"));
    }
}
