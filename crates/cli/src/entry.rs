//! From the command line to the exit code.

use std::ffi::OsString;
use std::io;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser as _};

use crate::args::Cli;
use crate::commands::{self, internal};
use crate::complete;
use crate::context::Context;
use crate::detach::detach;
use crate::endpoint::Endpoint;
use crate::failure::{Outcome, host_error};
use crate::output::{Detail, Output, style};
use crate::run_words::with_dashes;
use crate::usage;

/// Runs a command line, the program's name first, and answers with the exit code of the process.
pub fn main(words: impl IntoIterator<Item = OsString>) -> ExitCode {
    complete::answer();
    let mut words: Vec<OsString> = words.into_iter().collect();
    if words.iter().any(|word| word == "run") {
        words = with_dashes(&Cli::command(), words);
    }
    let cli = match Cli::try_parse_from(&words) {
        Ok(cli) => cli,
        Err(error) => {
            let output = Output::new(wants_json(&words), Detail::Usual);
            return told(refused(&error, &output), &output);
        }
    };
    if let commands::Command::Internal(internal::Command::Net(args)) = cli.command {
        return internal::net::run(args);
    }
    let output = Output::new(cli.json, cli.detail());
    if cli.command.runs_in_background()
        && let Err(source) = detach()
    {
        return told(
            Err(host_error("cannot run in the background", &source).into()),
            &output,
        );
    }
    let endpoint = match Endpoint::from_env() {
        Ok(endpoint) => endpoint,
        Err(error) => return told(Err(error.into()), &output),
    };
    let context = Context::new(output, endpoint);
    let result = run(cli, &context);
    told(result, &context.output)
}

fn run(cli: Cli, context: &Context) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|source| host_error("cannot start", &source))?;
    let result = runtime.block_on(Box::pin(cli.command.run(context)));
    // A thread that still reads files must not keep the process.
    runtime.shutdown_background();
    result
}

fn told(result: Outcome, output: &Output) -> ExitCode {
    let exit = result.unwrap_or_else(|failure| {
        output.failure(&failure);
        failure.exit_code()
    });
    output.clear_status();
    ExitCode::from(exit)
}

/// Help and versions are answers, all else is a wrong command line.
fn refused(error: &clap::Error, output: &Output) -> Outcome {
    if usage::is_answer(error) {
        output.data(answer(error, style::wanted(&io::stdout())).as_bytes())?;
        return Ok(0);
    }
    if usage::is_bare(error) && !output.json() {
        output.note(&answer(error, false));
        return Ok(2);
    }
    Err(usage::failure(error))
}

fn answer(error: &clap::Error, colour: bool) -> String {
    match colour {
        true => error.render().ansi().to_string(),
        false => error.render().to_string(),
    }
}

/// The command line could not be parsed: was JSON asked for all the same?
fn wants_json(words: &[OsString]) -> bool {
    words
        .iter()
        .take_while(|word| *word != "--")
        .any(|word| word == "--json")
}
