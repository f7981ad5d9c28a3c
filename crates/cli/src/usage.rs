//! Answer to a wrong command line: one line that names the value and what is allowed, one with the next step.

use banger_api::{ApiError, ErrorCode};
use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::failure::Failure;
use crate::habits;

/// The failure for a command line that the parser refused.
pub fn failure(error: &clap::Error) -> Failure {
    let text = error.render().to_string();
    let (message, rest) = split(&text);
    let help: Vec<_> = match habits::hint(error) {
        Some(hint) => vec![hint],
        None => [tip(rest), valid_values(error)]
            .into_iter()
            .flatten()
            .collect(),
    };
    let hint = match help.is_empty() {
        true => usage(error),
        false => Some(help.join("; ")),
    };
    ApiError {
        hint,
        ..ApiError::new(ErrorCode::InvalidArgument, message)
    }
    .into()
}

/// The parser was asked for help or a version: its text goes to standard output.
pub fn is_answer(error: &clap::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
    )
}

/// The parser shows help because too little was said.
pub fn is_bare(error: &clap::Error) -> bool {
    error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
}

/// The first paragraph as one line, and the rest.
fn split(text: &str) -> (String, &str) {
    let text = text.trim_start().trim_start_matches("error: ");
    let (first, rest) = text.split_once("\n\n").unwrap_or((text, ""));
    let lines: Vec<_> = first
        .lines()
        .map(str::trim)
        .filter(|line| !line.starts_with("[possible values"))
        .collect();
    (lines.join(" "), rest)
}

fn tip(rest: &str) -> Option<String> {
    let tips = rest
        .lines()
        .filter_map(|line| line.trim().strip_prefix("tip: "));
    // clap's advice to pass an unknown option as a value is wrong for everybody who meant an option.
    let useful = tips.filter(|tip| !tip.starts_with("to pass "));
    useful
        .map(str::to_owned)
        .reduce(|all, tip| format!("{all}; {tip}"))
}

fn valid_values(error: &clap::Error) -> Option<String> {
    let known = [ContextKind::ValidValue, ContextKind::ValidSubcommand];
    known.into_iter().find_map(|kind| match error.get(kind) {
        Some(ContextValue::Strings(words)) if !words.is_empty() => {
            Some(format!("use one of: {}", words.join(", ")))
        }
        _ => None,
    })
}

fn usage(error: &clap::Error) -> Option<String> {
    match error.get(ContextKind::Usage) {
        Some(ContextValue::StyledStr(usage)) => {
            let usage = usage.to_string();
            let lines: Vec<_> = usage.lines().map(str::trim).collect();
            Some(lines.join(" ").replace("Usage: ", "usage: "))
        }
        _ => None,
    }
}
