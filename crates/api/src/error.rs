//! The one error type of the API, with codes that scripts may rely on.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::ids::OperationId;

/// A stable code: its meaning, HTTP status and exit code never change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// A value of the request is not allowed.
    InvalidArgument,
    /// There is no such VM, image, kernel or operation.
    NotFound,
    /// A reference names several things.
    Ambiguous,
    /// The thing is in a state that does not allow this.
    WrongState,
    /// The name is taken.
    NameTaken,
    /// The thing is still in use.
    InUse,
    /// A part of the host that banger needs is missing or not usable.
    HostNotReady,
    /// The host's disk (or a quota) is full.
    NoSpace,
    /// The VMM did not start or ended.
    VmmFailed,
    /// The guest failed, or gave a malformed answer.
    GuestFailed,
    /// The guest has no such program.
    NoSuchProgram,
    /// The program is not executable in the guest.
    NotExecutable,
    /// The guest did not answer in time.
    GuestUnreachable,
    /// The guest's root has another kernel than the one that it booted.
    OtherKernel,
    /// A registry does not answer, or gives a malformed answer.
    RegistryFailed,
    /// A deadline passed.
    Timeout,
    /// The operation was cancelled.
    Cancelled,
    /// The daemon is going down.
    ShuttingDown,
    /// A fault of banger itself.
    Internal,
}

impl ErrorCode {
    /// All of them.
    pub const ALL: [Self; 19] = [
        Self::InvalidArgument,
        Self::NotFound,
        Self::Ambiguous,
        Self::WrongState,
        Self::NameTaken,
        Self::InUse,
        Self::HostNotReady,
        Self::NoSpace,
        Self::VmmFailed,
        Self::GuestFailed,
        Self::NoSuchProgram,
        Self::NotExecutable,
        Self::GuestUnreachable,
        Self::OtherKernel,
        Self::RegistryFailed,
        Self::Timeout,
        Self::Cancelled,
        Self::ShuttingDown,
        Self::Internal,
    ];

    /// The exit code of the CLI: 1 failed, 2 usage, 3 not found, 4 wrong state, 5 host not ready, 130 interrupted; for
    /// commands that were not started 127 and 126, as in shells.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::InvalidArgument => 2,
            Self::NotFound | Self::Ambiguous => 3,
            Self::WrongState | Self::NameTaken | Self::InUse => 4,
            Self::HostNotReady => 5,
            Self::NotExecutable => 126,
            Self::NoSuchProgram => 127,
            Self::Cancelled => 130,
            Self::NoSpace
            | Self::VmmFailed
            | Self::RegistryFailed
            | Self::GuestFailed
            | Self::GuestUnreachable
            | Self::OtherKernel
            | Self::Timeout
            | Self::ShuttingDown
            | Self::Internal => 1,
        }
    }

    /// The HTTP status that carries this error.
    pub fn http_status(self) -> u16 {
        match self {
            Self::InvalidArgument => 400,
            Self::NotFound => 404,
            Self::Ambiguous | Self::WrongState | Self::NameTaken | Self::InUse => 409,
            Self::Cancelled => 499,
            Self::HostNotReady | Self::ShuttingDown => 503,
            Self::NoSpace => 507,
            Self::GuestFailed
            | Self::GuestUnreachable
            | Self::NoSuchProgram
            | Self::NotExecutable
            | Self::OtherKernel
            | Self::VmmFailed
            | Self::RegistryFailed => 502,
            Self::Timeout => 504,
            Self::Internal => 500,
        }
    }
}

/// An error: the thing, the cause, and the next step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema, thiserror::Error)]
#[error("{message}")]
pub struct ApiError {
    /// The stable code.
    pub code: ErrorCode,
    /// The thing and the cause on one line; lines of the console may follow.
    pub message: String,
    /// The next step for the user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// The operation that failed, if there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub op_id: Option<OperationId>,
}

impl ApiError {
    /// An error without a hint.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            hint: None,
            op_id: None,
        }
    }

    /// The same error with the next step.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same error with the id of its operation.
    #[must_use]
    pub fn of_operation(mut self, id: OperationId) -> Self {
        self.op_id = Some(id);
        self
    }
}

/// The body of every answer that is an error.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ErrorBody {
    /// The error.
    pub error: ApiError,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_codes_are_all() {
        // A new code does not compile here until it has a place, and then fails until it is in ALL.
        let place = |code: ErrorCode| match code {
            ErrorCode::InvalidArgument => 0,
            ErrorCode::NotFound => 1,
            ErrorCode::Ambiguous => 2,
            ErrorCode::WrongState => 3,
            ErrorCode::NameTaken => 4,
            ErrorCode::InUse => 5,
            ErrorCode::HostNotReady => 6,
            ErrorCode::NoSpace => 7,
            ErrorCode::VmmFailed => 8,
            ErrorCode::GuestFailed => 9,
            ErrorCode::NoSuchProgram => 10,
            ErrorCode::NotExecutable => 11,
            ErrorCode::GuestUnreachable => 12,
            ErrorCode::OtherKernel => 13,
            ErrorCode::RegistryFailed => 14,
            ErrorCode::Timeout => 15,
            ErrorCode::Cancelled => 16,
            ErrorCode::ShuttingDown => 17,
            ErrorCode::Internal => 18,
        };
        let places: Vec<usize> = ErrorCode::ALL.into_iter().map(place).collect();
        assert_eq!(places, (0..ErrorCode::ALL.len()).collect::<Vec<_>>());
    }

    #[test]
    fn an_error_reads_and_writes_the_documented_json() {
        let error = ApiError::new(ErrorCode::NotFound, "no VM is called \"x\"").hint("banger ps");
        let json = serde_json::to_string(&ErrorBody { error }).unwrap();
        assert_eq!(
            json,
            r#"{"error":{"code":"not_found","message":"no VM is called \"x\"","hint":"banger ps"}}"#
        );
    }
}
