//! Consent to what cannot be undone: asked at a terminal, given by `--yes`, never taken for granted.

use std::io::{self, IsTerminal as _};

use banger_api::{ApiError, ErrorCode};

use crate::failure::Failure;
use crate::output::Output;

/// The hint where there is a dry run.
pub const YES_OR_DRY_RUN: &str = "--yes says so without a question; --dry-run shows what would go";

/// Asks the user at the terminal. `instead` says what does without a question.
///
/// # Errors
/// The answer is no; or there is no terminal to ask at, or JSON was asked for: then only `--yes` is consent.
pub fn asked(question: &str, instead: &str, output: &Output) -> Result<(), Failure> {
    if output.json() || !io::stdin().is_terminal() || !output.stderr_is_terminal() {
        let message = format!("nobody can be asked here: {question}");
        let error = ApiError::new(ErrorCode::InvalidArgument, message);
        return Err(error.hint(instead).into());
    }
    match output.confirms(question) {
        true => Ok(()),
        false => Err(Failure::interrupted("nothing was deleted")),
    }
}
