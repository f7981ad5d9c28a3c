//! `banger schema`

use std::collections::BTreeMap;

use banger_api::{ApiError, ErrorCode};
use clap::CommandFactory as _;
use serde::Serialize;
use serde_json::Value;

use crate::args::Cli;
use crate::context::Context;
use crate::failure::Outcome;
use crate::output::Render;
use crate::output::page::Page;

mod outputs;

use outputs::Output;

/// The version of this document's own form.
const SCHEMA: u32 = 1;

/// Arguments of `banger schema`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
For programs that drive banger: every command with its arguments and options, the form of what it prints with --json, \
and every error code with its exit code. Types are those of the daemon's OpenAPI document.

Examples:
  banger schema | jq -r '.commands[].name'
  banger schema | jq '.error_codes'
  banger schema | jq '.types.Vm.properties | keys'")]
pub struct Args {}

/// Prints the document; it is JSON with and without `--json`.
///
/// # Errors
/// Standard output is gone.
pub fn run(_args: Args, context: &Context) -> Outcome {
    context.output.print(&Schema::of_this_build()?)
}

/// Everything that a program needs to know to drive this build.
#[derive(Debug, Serialize)]
struct Schema {
    schema: u32,
    version: &'static str,
    commands: Vec<Described>,
    exit_codes: BTreeMap<u8, &'static str>,
    error_codes: Vec<Code>,
    types: Value,
}

/// An error code.
#[derive(Debug, Serialize)]
struct Code {
    code: ErrorCode,
    exit_code: u8,
    http_status: u16,
}

/// One command.
#[derive(Debug, Serialize)]
struct Described {
    name: String,
    about: String,
    arguments: Vec<Argument>,
    output: Output,
}

/// One argument or option.
#[derive(Debug, Serialize)]
struct Argument {
    #[serde(skip_serializing_if = "Option::is_none")]
    long: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    short: Option<char>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<String>,
    help: String,
    required: bool,
    several: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    allowed: Vec<String>,
}

impl Schema {
    fn of_this_build() -> Result<Self, ApiError> {
        let document = serde_json::from_str::<Value>(&banger_daemon::openapi());
        let mut document = document.map_err(|error| {
            ApiError::new(
                ErrorCode::Internal,
                format!("the OpenAPI document is no JSON: {error}"),
            )
        })?;
        let mut root = Cli::command().disable_help_subcommand(true);
        root.build();
        let mut commands = Vec::new();
        walk(&root, "", &mut commands);
        Ok(Self {
            schema: SCHEMA,
            version: env!("CARGO_PKG_VERSION"),
            commands,
            exit_codes: BTreeMap::from([
                (0, "done"),
                (1, "failed"),
                (2, "wrong usage"),
                (3, "not found"),
                (4, "wrong state"),
                (5, "host not ready"),
                (130, "interrupted"),
            ]),
            error_codes: ErrorCode::ALL.into_iter().map(Code::of).collect(),
            types: document["components"]["schemas"].take(),
        })
    }
}

impl Code {
    fn of(code: ErrorCode) -> Self {
        Self {
            code,
            exit_code: code.exit_code(),
            http_status: code.http_status(),
        }
    }
}

impl Render for Schema {
    fn text(&self, page: &mut Page) {
        // A value that was just serialised can be serialised again.
        page.painted(&serde_json::to_string_pretty(self).unwrap_or_default());
    }
}

/// Commands that do something, below `command`; those that only other programs call are left out.
fn walk(command: &clap::Command, above: &str, into: &mut Vec<Described>) {
    for inner in command
        .get_subcommands()
        .filter(|inner| !inner.is_hide_set())
    {
        let name = format!("{above} {}", inner.get_name()).trim().to_owned();
        if inner.has_subcommands() {
            walk(inner, &name, into);
            continue;
        }
        let arguments = inner
            .get_arguments()
            .filter(|argument| !argument.is_hide_set());
        into.push(Described {
            about: inner
                .get_about()
                .map(ToString::to_string)
                .unwrap_or_default(),
            arguments: arguments.map(described).collect(),
            output: outputs::of(&name),
            name,
        });
    }
}

fn described(argument: &clap::Arg) -> Argument {
    let takes_value = argument.get_action().takes_values();
    let values = argument
        .get_value_names()
        .map(|names| names.iter().map(|name| name.to_string()));
    let allowed = argument.get_possible_values();
    Argument {
        long: argument.get_long().map(str::to_owned),
        short: argument.get_short(),
        value: takes_value
            .then(|| values.map(|names| names.collect::<Vec<_>>().join(" ")))
            .flatten(),
        help: argument
            .get_help()
            .map(ToString::to_string)
            .unwrap_or_default(),
        required: argument.is_required_set(),
        several: matches!(argument.get_action(), clap::ArgAction::Append)
            || argument
                .get_num_args()
                .is_some_and(|count| count.max_values() > 1),
        allowed: allowed
            .iter()
            .filter(|_| takes_value)
            .map(|value| value.get_name().to_owned())
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_says_what_it_prints_and_every_type_is_there() {
        let schema = Schema::of_this_build().unwrap();
        assert!(schema.commands.len() > 40);
        for command in &schema.commands {
            assert_ne!(command.output, Output::Unknown, "{}", command.name);
            assert!(!command.about.is_empty(), "{}", command.name);
            if let Output::One { r#type } | Output::Many { r#type } | Output::Lines { r#type } =
                command.output
            {
                assert!(
                    schema.types.get(r#type).is_some(),
                    "{}: {type}",
                    command.name
                );
            }
        }
        let codes: Vec<_> = schema.error_codes.iter().map(|code| code.code).collect();
        assert!(codes.contains(&ErrorCode::NotFound) && codes.contains(&ErrorCode::Internal));
    }
}
