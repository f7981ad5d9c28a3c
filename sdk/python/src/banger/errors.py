"""Errors: one class for each stable code of the API, and those of the way there.

BangerError
├── ApiError            the daemon said no: code, hint, op_id
│   ├── NotFound …      one class for each code
├── DaemonUnavailable   nobody answers at the socket
├── ProtocolError       bytes that are not what was agreed
├── StreamLost          a stream ended before what it carried
├── AnswerLate          no answer within the deadline of the call
├── TransferFailed      files could not be copied
└── LimitExceeded       more came than the caller allowed
"""

from __future__ import annotations


class BangerError(Exception):
    """Every error of this package."""


class DaemonUnavailable(BangerError):
    """Nobody answers at the daemon's socket, and none could be started."""


class ProtocolError(BangerError):
    """Bytes that are not what was agreed: another program listens, or a guest misbehaves."""


class StreamLost(BangerError):
    """A stream ended before what it carried."""


class AnswerLate(BangerError):
    """No answer within the deadline of the call."""


class LimitExceeded(BangerError):
    """More came than the caller allowed."""


class TransferFailed(BangerError):
    """Files could not be copied."""

    def __init__(self, message: str, path: str | None = None) -> None:
        super().__init__(message if not path else f"{path}: {message}")
        self.path = path


class ApiError(BangerError):
    """The daemon's answer is an error.

    `code` is stable; scripts may rely on it. `hint` is the next step, `op_id` the operation that failed.
    """

    code: str = "unknown"

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        hint: str | None = None,
        op_id: str | None = None,
        status: int | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        if code is not None:
            self.code = code
        self.hint = hint
        self.op_id = op_id
        self.status = status

    def __str__(self) -> str:
        return self.message if not self.hint else f"{self.message} (hint: {self.hint})"


class InvalidArgument(ApiError):
    """A value of the request is not allowed."""

    code = "invalid_argument"


class NotFound(ApiError):
    """There is no such sandbox, image, kernel or operation."""

    code = "not_found"


class Ambiguous(ApiError):
    """A reference names several things."""

    code = "ambiguous"


class WrongState(ApiError):
    """The thing is in a state that does not allow this."""

    code = "wrong_state"


class NameTaken(ApiError):
    """The name is taken."""

    code = "name_taken"


class InUse(ApiError):
    """The thing is still in use."""

    code = "in_use"


class HostNotReady(ApiError):
    """A part of the host that banger needs is missing or not usable."""

    code = "host_not_ready"


class NoSpace(ApiError):
    """The host's disk, or a quota, is full."""

    code = "no_space"


class VmmFailed(ApiError):
    """The virtual machine monitor did not start or ended."""

    code = "vmm_failed"


class GuestFailed(ApiError):
    """The guest failed, or gave a malformed answer."""

    code = "guest_failed"


class NoSuchProgram(ApiError):
    """The guest has no such program."""

    code = "no_such_program"


class NotExecutable(ApiError):
    """The program is not executable in the guest."""

    code = "not_executable"


class GuestUnreachable(ApiError):
    """The guest did not answer in time."""

    code = "guest_unreachable"


class OtherKernel(ApiError):
    """The guest's root has another kernel than the one that it booted."""

    code = "other_kernel"


class RegistryFailed(ApiError):
    """A registry does not answer, or gives a malformed answer."""

    code = "registry_failed"


class DeadlinePassed(ApiError):
    """A deadline of the daemon's passed."""

    code = "timeout"


class Cancelled(ApiError):
    """The operation was cancelled."""

    code = "cancelled"


class ShuttingDown(ApiError):
    """The daemon is going down."""

    code = "shutting_down"


class InternalError(ApiError):
    """A fault of banger itself."""

    code = "internal"


BY_CODE: dict[str, type[ApiError]] = {
    kind.code: kind
    for kind in (
        InvalidArgument,
        NotFound,
        Ambiguous,
        WrongState,
        NameTaken,
        InUse,
        HostNotReady,
        NoSpace,
        VmmFailed,
        GuestFailed,
        NoSuchProgram,
        NotExecutable,
        GuestUnreachable,
        OtherKernel,
        RegistryFailed,
        DeadlinePassed,
        Cancelled,
        ShuttingDown,
        InternalError,
    )
}


def of_code(
    code: str, message: str, *, hint: str | None = None, op_id: str | None = None, status: int | None = None
) -> ApiError:
    """The error of this code; an `ApiError` itself for a code that only a newer daemon knows."""
    return BY_CODE.get(code, ApiError)(message, code=code, hint=hint, op_id=op_id, status=status)
