//! Failures of commands, and their exit codes.

use std::error::Error;
use std::io;

use banger_api::{ApiError, ErrorCode};
use banger_client::ClientError;

use crate::signals::Interrupt;

/// Exit code after SIGPIPE, as a shell shows it: what most programs end with when their reader goes away.
const OUTPUT_CLOSED_EXIT: u8 = 128 + 13;
/// Exit code of a failure that has none of its own.
const FAILED_EXIT: u8 = 1;
/// The same where 1 may be the guest command's.
const BESIDE_A_COMMAND_EXIT: u8 = 125;

/// Result of a command: its exit code, or its failure.
pub type Outcome = Result<u8, Failure>;

/// Failure of a command.
#[derive(Debug)]
pub enum Failure {
    /// These errors are told, in this order, and the exit code is `exit`.
    Errors {
        /// At least one.
        errors: Vec<ApiError>,
        /// The exit code.
        exit: u8,
    },
    /// Whoever read standard output went away: nothing is told.
    OutputClosed,
}

impl Failure {
    /// One error with an exit code of its own instead of its code's.
    pub fn with_exit(error: ApiError, exit: u8) -> Self {
        Self::Errors {
            errors: vec![error],
            exit,
        }
    }

    /// A value of the command line is not allowed.
    pub fn usage(message: impl Into<String>) -> Self {
        ApiError::new(ErrorCode::InvalidArgument, message).into()
    }

    /// The user stopped the command.
    pub fn interrupted(message: impl Into<String>) -> Self {
        ApiError::new(ErrorCode::Cancelled, message).into()
    }

    /// This signal stopped the command: the exit code is what a shell makes of it.
    pub fn interrupted_by(by: Interrupt, message: impl Into<String>) -> Self {
        Self::with_exit(ApiError::new(ErrorCode::Cancelled, message), by.exit_code())
    }

    /// The same failure where a guest command's own code is the exit code: what would be 1 is 125, which few commands
    /// end with (docker-run(1)).
    #[must_use]
    pub fn beside_a_command(mut self) -> Self {
        if let Self::Errors { exit, .. } = &mut self
            && *exit == FAILED_EXIT
        {
            *exit = BESIDE_A_COMMAND_EXIT;
        }
        self
    }

    /// The same failure with another next step.
    #[must_use]
    pub fn hint(mut self, hint: &str) -> Self {
        if let Self::Errors { errors, .. } = &mut self
            && let Some(error) = errors.first_mut()
        {
            error.hint = Some(hint.to_owned());
        }
        self
    }

    /// The same failure with the VM that it concerns: a guest that is not reached is one of many.
    #[must_use]
    pub fn about(mut self, vm: &str) -> Self {
        if let Self::Errors { errors, .. } = &mut self
            && let Some(error) = errors.first_mut()
            && error.code == ErrorCode::GuestUnreachable
        {
            error.message = format!("VM \"{vm}\": {}", error.message);
        }
        self
    }

    /// All failures as one: every error is told, the first one's exit code counts. None when there is none.
    pub fn all(failures: impl IntoIterator<Item = Self>) -> Option<Self> {
        let mut errors = Vec::new();
        let mut exit = None;
        for failure in failures {
            match failure {
                Self::OutputClosed => return Some(Self::OutputClosed),
                Self::Errors {
                    errors: more,
                    exit: code,
                } => {
                    errors.extend(more);
                    exit.get_or_insert(code);
                }
            }
        }
        exit.map(|exit| Self::Errors { errors, exit })
    }

    /// The exit code of the process.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Errors { exit, .. } => *exit,
            Self::OutputClosed => OUTPUT_CLOSED_EXIT,
        }
    }

    /// The first error has this code.
    pub fn is(&self, code: ErrorCode) -> bool {
        self.error().is_some_and(|error| error.code == code)
    }

    /// The first error.
    pub fn error(&self) -> Option<&ApiError> {
        match self {
            Self::Errors { errors, .. } => errors.first(),
            Self::OutputClosed => None,
        }
    }
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        let exit = error.code.exit_code();
        Self::with_exit(error, exit)
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        Self::from(api_error(error))
    }
}

/// The error that users see for a failed call.
pub fn api_error(error: ClientError) -> ApiError {
    let code = match &error {
        ClientError::Api(_) => ErrorCode::Internal,
        ClientError::Connect { .. } | ClientError::Stranger { .. } => ErrorCode::HostNotReady,
        ClientError::Late { .. } => ErrorCode::Timeout,
        ClientError::Request { .. } | ClientError::Encode { .. } => ErrorCode::InvalidArgument,
        ClientError::Http { .. }
        | ClientError::TooLarge { .. }
        | ClientError::Decode { .. }
        | ClientError::Events { .. }
        | ClientError::Status { .. } => ErrorCode::Internal,
    };
    let hint = match &error {
        ClientError::Connect { source, .. } => Some(match source.kind() {
            io::ErrorKind::PermissionDenied => {
                "the folder is not yours: look at HOME, BANGER_HOME and XDG_RUNTIME_DIR"
            }
            _ => "banger daemon status shows the daemon, and where its log is",
        }),
        ClientError::Stranger { .. } => Some(
            "somebody else could write to its folder: remove the socket, and look at who may (ls -ld)",
        ),
        ClientError::Http { .. } => {
            Some("the daemon ended in the middle: the same command again starts it")
        }
        ClientError::Decode { .. } | ClientError::Events { .. } | ClientError::Status { .. } => {
            Some(
                "the daemon may be another version: banger daemon stop, then the same command again",
            )
        }
        _ => None,
    };
    match error {
        ClientError::Api(error) => error,
        other => ApiError {
            hint: hint.map(str::to_owned),
            ..ApiError::new(code, chain(&other))
        },
    }
}

/// An error with all its causes, as one line.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

/// A fault of this machine that has no code of its own.
pub fn host_error(what: impl std::fmt::Display, source: &io::Error) -> ApiError {
    let code = match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ErrorCode::NoSpace,
        _ => ErrorCode::HostNotReady,
    };
    let error = ApiError::new(code, format!("{what}: {source}"));
    match source.kind() {
        io::ErrorKind::ReadOnlyFilesystem => error.hint(
            "banger writes there: make the file system writable again, or set BANGER_HOME to a folder on another one",
        ),
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_failure_gives_the_exit_code_and_every_error_is_kept() {
        let not_found = Failure::from(ApiError::new(ErrorCode::NotFound, "a"));
        let state = Failure::from(ApiError::new(ErrorCode::WrongState, "b"));
        let all = Failure::all([not_found, state]).unwrap();
        assert_eq!(all.exit_code(), 3);
        assert!(matches!(all, Failure::Errors { errors, .. } if errors.len() == 2));
        assert!(Failure::all([]).is_none());
    }

    #[test]
    fn causes_are_told_in_one_line() {
        let error = ClientError::Connect {
            socket: "/s".into(),
            source: io::Error::from(io::ErrorKind::PermissionDenied),
        };
        let failure = Failure::from(error);
        assert_eq!(failure.exit_code(), 5);
        assert_eq!(
            failure.error().unwrap().message,
            "cannot connect to the daemon at /s: permission denied"
        );
    }
}
