//! Errors of the libraries as users see them: one line with every cause, and a stable code.

use std::error::Error;
use std::io;

use banger_api::{ApiError, ErrorCode};
use banger_engine::EngineError;
use banger_guest::wire::handshake::HandshakeError;
use banger_guest::{ClientError, FailureKind};

/// `error` and its causes on one line; a cause that its successor has said already is not said again.
pub(crate) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

/// Tells whether a full disk or quota is among the causes.
fn is_no_space(error: &(dyn Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        let failed = error.downcast_ref::<io::Error>();
        // What leaves room for others has no number.
        if failed.is_some_and(|error| error.kind() == io::ErrorKind::StorageFull) {
            return true;
        }
        let io = failed.and_then(io::Error::raw_os_error);
        let raw = error
            .downcast_ref::<rustix::io::Errno>()
            .map(|errno| errno.raw_os_error());
        let full = [
            rustix::io::Errno::NOSPC,
            rustix::io::Errno::DQUOT,
            rustix::io::Errno::FBIG,
        ];
        if io
            .or(raw)
            .is_some_and(|code| full.iter().any(|errno| errno.raw_os_error() == code))
        {
            return true;
        }
        cause = error.source();
    }
    false
}

/// An error of the disk, image and kernel libraries.
pub(crate) fn of_disk(error: &(dyn Error + 'static)) -> ApiError {
    if is_no_space(error) {
        return ApiError::new(ErrorCode::NoSpace, chain(error)).hint(
            "free some space there (banger vm prune, banger image prune, banger image cache prune), or use a smaller disk",
        );
    }
    ApiError::new(ErrorCode::Internal, chain(error))
}

/// The same for what the user has named: a wrong file, an archive that cannot be read.
pub(crate) fn of_input(error: &(dyn Error + 'static)) -> ApiError {
    if is_no_space(error) {
        return of_disk(error);
    }
    ApiError::new(ErrorCode::InvalidArgument, chain(error))
}

/// An error of an engine.
pub(crate) fn of_engine(error: &EngineError) -> ApiError {
    let message = chain(error);
    match error {
        EngineError::Missing { package, .. } => ApiError::new(ErrorCode::HostNotReady, message)
            .hint(format!(
                "install package {package}; banger doctor shows what else is missing"
            )),
        EngineError::Jail(_) => ApiError::new(ErrorCode::HostNotReady, message).hint(
            "banger doctor says what this host lacks; [vmm] jail = \"auto\" takes what it gives",
        ),
        EngineError::Invalid { .. } => ApiError::new(ErrorCode::InvalidArgument, message),
        EngineError::PortTaken { .. } => ApiError::new(ErrorCode::InUse, message)
            .hint("publish another host port, or stop what listens there"),
        EngineError::GuestMemory { .. } => ApiError::new(ErrorCode::VmmFailed, message)
            .hint("give the VM less memory: banger vm set --memory"),
        EngineError::Timeout { .. } => ApiError::new(ErrorCode::Timeout, message),
        _ => ApiError::new(ErrorCode::VmmFailed, message),
    }
}

/// An error of the guest's channel.
pub(crate) fn of_guest(error: &ClientError) -> ApiError {
    let message = chain(error);
    let code = match error {
        ClientError::Deadline { .. } | ClientError::Handshake(HandshakeError::Timeout(_)) => {
            ErrorCode::GuestUnreachable
        }
        ClientError::Session { .. } => ErrorCode::GuestUnreachable,
        ClientError::Failed { failure, .. } if failure.kind == FailureKind::OtherKernel => {
            ErrorCode::OtherKernel
        }
        _ => ErrorCode::GuestFailed,
    };
    ApiError::new(code, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot clone a to b")]
    struct Outer(#[source] io::Error);

    #[test]
    fn a_full_disk_is_found_among_the_causes() {
        let errno = rustix::io::Errno::NOSPC.raw_os_error();
        let error = of_disk(&Outer(io::Error::from_raw_os_error(errno)));
        assert_eq!(error.code, ErrorCode::NoSpace);
        assert!(
            error
                .message
                .starts_with("cannot clone a to b: No space left"),
            "{error}"
        );
    }
}
