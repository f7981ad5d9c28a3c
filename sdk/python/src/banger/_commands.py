"""Commands from their start to their end, as flows."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Union

from . import _routes as routes
from ._exec import Command, Result, Session, Stderr, Stdout, argv_of
from ._flow import Call, Exchange, Flow, Hear, Moved, Release, Work, ask, upgrade
from ._requests import Exec
from .errors import AnswerLate, GuestUnreachable
from .models import DetachedCommand

START_DEADLINE = 10.0
"""Seconds for a guest to start a command."""

TIMEOUT_GRACE = 5.0
"""Seconds between the signals `TERM` and `KILL` for a command that has had its time."""

PATIENCE = 15.0
"""Seconds beyond both for a guest to tell the end, before it is given up."""

MAX_OUTPUT = 64 * 1024 * 1024
"""Bytes of each output that a result keeps, where the caller says nothing else."""

OnOutput = Callable[[bytes], Any]
Stdin = Union[bytes, str, Iterable[bytes], None]


def exec_body(
    command: Command,
    *,
    cwd: str | None,
    env: Mapping[str, str] | None,
    user: str | int | None,
    timeout: float | None,
    stdin: bool,
) -> Exec:
    """The request for a command."""
    if timeout is not None and not timeout > 0:
        raise ValueError("a timeout is more than 0 seconds")
    return Exec(
        argv=argv_of(command),
        env=dict(env or {}),
        cwd=cwd,
        user=None if user is None else str(user),
        stdin=stdin,
        timeout_ms=None if timeout is None else max(1, round(timeout * 1000)),
    )


class _Kept:
    """The beginning of an output."""

    def __init__(self, limit: int) -> None:
        self.data = bytearray()
        self.cut = False
        self._limit = limit

    def add(self, data: bytes) -> None:
        room = self._limit - len(self.data)
        if len(data) > room:
            self.cut = True
        self.data += data[: max(0, room)]


def run(
    reference: str,
    body: Exec,
    stdin: Stdin,
    on_stdout: OnOutput | None,
    on_stderr: OnOutput | None,
    max_output: int,
) -> Flow[Result]:
    """Runs a command to its end."""
    first = yield from upgrade(Call(routes.EXEC, reference, [("reports", "true")], body))
    session = Session(stdin=bool(body.stdin))
    return (yield from _hear(session, first, body.timeout_ms, _pieces(stdin), on_stdout, on_stderr, max_output))


def attach(reference: str, number: int, on_stdout: OnOutput | None, on_stderr: OnOutput | None) -> Flow[Result]:
    """Hears a detached command to its end."""
    first = yield from upgrade(Call(routes.ATTACH, reference, [("id", str(number)), ("output", "true")]))
    return (yield from _hear(Session(stdin=False), first, None, iter(()), on_stdout, on_stderr, MAX_OUTPUT))


def detach(reference: str, body: Exec) -> Flow[DetachedCommand]:
    """Starts a command that goes on by itself."""
    command: DetachedCommand = yield from ask(Call(routes.DETACH, reference, [], body))
    return command


def open_session(reference: str, body: Exec) -> Flow[tuple[Any, Session, list[Any]]]:
    """Starts a command; gives its connection, its state, and what it has said meanwhile."""
    first = yield from upgrade(Call(routes.EXEC, reference, [("reports", "true")], body))
    session = Session(stdin=bool(body.stdin))
    deadline = time.monotonic() + START_DEADLINE
    heard: list[Any] = list(session.feed(first)) if first else []
    try:
        while not (session.started or heard):
            moved: Moved = yield Exchange(deadline=deadline)
            if moved.data is not None:
                heard += session.feed(moved.data)
    except TimeoutError as error:
        raise GuestUnreachable(f"its guest did not start the command within {START_DEADLINE:.0f} s") from error
    return (yield Release()), session, heard


def _pieces(stdin: Stdin) -> Iterator[bytes]:
    if stdin is None:
        return iter(())
    if isinstance(stdin, str):
        return iter([stdin.encode("utf-8", "surrogateescape")])
    if isinstance(stdin, (bytes, bytearray, memoryview)):
        return iter([bytes(stdin)])
    return iter(stdin)


def _hear(
    session: Session,
    first: bytes,
    timeout_ms: int | None,
    pieces: Iterator[bytes],
    on_stdout: OnOutput | None,
    on_stderr: OnOutput | None,
    max_output: int,
) -> Flow[Result]:
    stdout, stderr = _Kept(max_output), _Kept(max_output)
    patience = None if timeout_ms is None else timeout_ms / 1000 + TIMEOUT_GRACE + PATIENCE
    begun = time.monotonic()
    heard: list[Any] = list(session.feed(first)) if first else []
    while True:
        for one in heard:
            if isinstance(one, Stdout):
                stdout.add(one.data)
                if on_stdout is not None:
                    yield Hear(on_stdout, (one.data,))
            elif isinstance(one, Stderr):
                stderr.add(one.data)
                if on_stderr is not None:
                    yield Hear(on_stderr, (one.data,))
        if session.ended is not None:
            break
        if session.stdin_open and session.waiting == 0:
            piece = yield Work(lambda: next(pieces, None))
            if piece is None:
                session.close_stdin()
            else:
                session.write(piece)
        heard = yield from _exchange(session, begun, patience)
    ended = session.ended
    return Result(
        exit_code=ended.exit_code,
        stdout_bytes=bytes(stdout.data),
        stderr_bytes=bytes(stderr.data),
        timed_out=session.timed_out,
        signal=ended.signal,
        truncated=stdout.cut or stderr.cut,
    )


def _exchange(session: Session, begun: float, patience: float | None) -> Flow[list[Any]]:
    out = session.outgoing()
    started = session.started
    wait = patience if started else START_DEADLINE
    deadline = None if wait is None else begun + wait
    try:
        # A copy: the driver may look at it while more is framed.
        moved: Moved = yield Exchange(bytes(out), deadline)
    except TimeoutError as error:
        if started:
            raise AnswerLate("the command was not ended by its guest long after its time") from error
        raise GuestUnreachable(f"its guest did not start the command within {START_DEADLINE:.0f} s") from error
    session.sent(moved.sent)
    return [] if moved.data is None else list(session.feed(moved.data))
