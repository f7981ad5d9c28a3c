"""A command in a guest, without a socket: what it says, and what is to be sent to it.

    feed(bytes) ──► Stdout │ Stderr │ SignalTaken │ TimedOut … Ended
    write, close_stdin, signal, resize ──► outgoing() ──► sent(n)

Input is sent as far as the command has read what went before, so that a signal never waits behind unread input.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Union

from . import _frames as frames
from .errors import (
    ApiError,
    BangerError,
    GuestFailed,
    InvalidArgument,
    NoSuchProgram,
    NotExecutable,
    ProtocolError,
    StreamLost,
)

STDIN_WINDOW = 256 * 1024
"""Bytes of input that are sent beyond what the guest has reported as taken."""

_AHEAD = 128 * 1024
"""Bytes of frames that wait to be sent before more input is framed."""

Command = Union[str, Sequence[str]]
"""A command: text is run by `/bin/sh -c`, a list is a program with its arguments."""


@dataclass(frozen=True)
class Stdout:
    """Output."""

    data: bytes


@dataclass(frozen=True)
class Stderr:
    """Error output; never with a terminal."""

    data: bytes


@dataclass(frozen=True)
class SignalTaken:
    """This signal has reached the command."""

    signal: int


@dataclass(frozen=True)
class TimedOut:
    """The command has had its time and is being ended."""


@dataclass(frozen=True)
class Ended:
    """The command has ended, and all its output has come.

    `exit_code` is 128 + n when signal n ended it, as in shells; then `signal` is n.
    """

    exit_code: int
    signal: int | None


Output = Union[Stdout, Stderr, SignalTaken, TimedOut, Ended]


@dataclass(frozen=True)
class Result:
    """Outcome of a command.

    `truncated` tells that more output came than was to be kept: the beginning is kept.
    """

    exit_code: int
    stdout_bytes: bytes
    stderr_bytes: bytes
    timed_out: bool = False
    signal: int | None = None
    truncated: bool = False

    @property
    def stdout(self) -> str:
        """Output as text; what is no UTF-8 is replaced."""
        return self.stdout_bytes.decode("utf-8", "replace")

    @property
    def stderr(self) -> str:
        """Error output as text; what is no UTF-8 is replaced."""
        return self.stderr_bytes.decode("utf-8", "replace")

    @property
    def ok(self) -> bool:
        """Tells whether it ended by itself with 0."""
        return self.exit_code == 0 and not self.timed_out

    def check(self) -> Result:
        """The same result, or `CommandFailed`."""
        if not self.ok:
            raise CommandFailed(self)
        return self


class CommandFailed(BangerError):
    """A command ended with another code than 0, or had had its time."""

    def __init__(self, result: Result) -> None:
        how = "had had its time" if result.timed_out else f"ended with {result.exit_code}"
        said = result.stderr.strip()[-2000:]
        super().__init__(f"the command {how}" + (f": {said}" if said else ""))
        self.result = result


def argv_of(command: Command) -> list[str]:
    """Program and arguments of a command."""
    if isinstance(command, str):
        return ["/bin/sh", "-c", command]
    words = list(command)
    if not all(isinstance(word, str) for word in words):
        raise TypeError("the words of a command are text")
    return words


class Session:
    """The state of one command."""

    def __init__(self, *, stdin: bool) -> None:
        self.started = False
        self.ended: Ended | None = None
        self.timed_out = False
        self._frames = frames.Frames()
        self._out = bytearray()
        self._stdin = bytearray()
        self._open = stdin
        self._end_sent = not stdin
        self._reports = False
        self._heard = False
        self._framed = 0
        self._taken = 0

    def feed(self, data: bytes) -> list[Output]:
        """Takes bytes of the guest. `b""` is the end of the stream."""
        if not data:
            if self.ended is None:
                self._frames.end()
                raise StreamLost("lost the guest's command: the stream ended")
            return []
        heard: list[Output] = []
        for kind, payload in self._frames.feed(data):
            if self.ended is not None:
                raise ProtocolError("a command goes on after its end")
            one = self._take(kind, payload)
            if one is not None:
                heard.append(one)
        return heard

    def _take(self, kind: int, payload: bytes) -> Output | None:
        first, self._heard = not self._heard, True
        if kind == frames.STDOUT:
            return Stdout(payload) if payload else None
        if kind == frames.STDERR:
            return Stderr(payload) if payload else None
        if kind == frames.STARTED:
            self.started = True
            return None
        if kind == frames.STDIN_TAKEN:
            self._reports = self._reports or first
            self._taken = max(self._taken, struct.unpack(">Q", payload)[0])
            return None
        if kind == frames.SIGNAL_TAKEN:
            return SignalTaken(payload[0])
        if kind == frames.TIMED_OUT:
            self.timed_out = True
            return TimedOut()
        if kind == frames.EXIT:
            self.ended = _ended(payload)
            return self.ended
        if kind == frames.FAILED:
            raise _failure(payload)
        raise ProtocolError(f"a frame of kind {kind} has no place in a command")

    @property
    def stdin_open(self) -> bool:
        """Tells whether input may still be written."""
        return self._open

    @property
    def waiting(self) -> int:
        """Bytes of input that were not sent yet."""
        return len(self._stdin)

    def write(self, data: bytes) -> None:
        """Adds input."""
        if not self._open:
            raise ValueError("the command's input is closed")
        self._stdin += data

    def close_stdin(self) -> None:
        """There is no more input."""
        self._open = False

    def signal(self, signal: int) -> None:
        """Sends a signal to the command's process group."""
        if not 0 < signal < 65:
            raise ValueError(f"{signal} is no signal")
        self._out += frames.encode(frames.SIGNAL, bytes([signal]))

    def resize(self, rows: int, cols: int) -> None:
        """The terminal has another size."""
        self._out += frames.encode(frames.RESIZE, struct.pack(">HH", rows, cols))

    def outgoing(self) -> bytearray:
        """Bytes that may be sent now."""
        while self._stdin and len(self._out) < _AHEAD:
            room = STDIN_WINDOW - (self._framed - self._taken) if self._reports or not self._heard else frames.MAX_FRAME
            piece = bytes(self._stdin[: max(0, min(room, frames.MAX_FRAME))])
            if not piece:
                break
            del self._stdin[: len(piece)]
            self._framed += len(piece)
            self._out += frames.encode(frames.STDIN, piece)
        if not self._open and not self._stdin and not self._end_sent:
            self._end_sent = True
            self._out += frames.encode(frames.STDIN_EOF)
        return self._out

    def sent(self, count: int) -> None:
        """So many bytes of `outgoing` were sent."""
        del self._out[:count]


def _ended(payload: bytes) -> Ended:
    status = frames.fields(frames.EXIT, payload)
    code, signal = status.get("code"), status.get("signal")
    if isinstance(code, int) and not isinstance(code, bool):
        return Ended(code, None)
    if isinstance(signal, int) and not isinstance(signal, bool):
        return Ended(128 + signal, signal)
    raise ProtocolError("a command ended neither with a code nor by a signal")


_FAILURES: dict[str, type[ApiError]] = {
    "not_found": NoSuchProgram,
    "permission": NotExecutable,
    "cwd": InvalidArgument,
    "user": InvalidArgument,
}


def _failure(payload: bytes) -> ApiError:
    failure = frames.fields(frames.FAILED, payload)
    kind = _FAILURES.get(str(failure.get("kind")), GuestFailed)
    return kind(frames.harmless(failure.get("message", "")))
