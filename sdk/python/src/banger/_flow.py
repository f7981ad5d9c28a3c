"""Calls as generators that ask for what they need of the world, so that both faces share them.

    flow  ── Connect ──────────────► a connection to the daemon
          ── Exchange(out, read) ──► Moved(sent, data): some bytes went, some came; data is b"" at the end
          ── Work(function) ───────► its result: it may block (files), and runs in a thread of the asynchronous face
          ── Hear(function, …) ────► the caller's own function was called, and awaited where it wants that
          ── Emit(value) ──────────► the caller of a stream has taken the value
          ── Release ──────────────► the connection is the flow's to give away
          ── Pause(seconds) ───────► some time has passed
          ── Revive ───────────────► a daemon that answers, where one may be started

The drivers are `_sync.py` and `_aio.py`; neither knows HTTP, frames or tar.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Any, TypeVar, Union

from . import _http, _schema
from ._routes import Route
from ._sse import Events
from .errors import AnswerLate, BangerError, ProtocolError, ShuttingDown, of_code

ANSWER_DEADLINE = 60.0
"""Seconds for the daemon to answer a call that only reads or starts something."""

MAX_JSON = 32 * 1024 * 1024
"""Largest JSON answer, in bytes."""


@dataclass
class Connect:
    """Opens the connection. With `start`, a daemon is started when none answers, where that is allowed."""

    start: bool = True


@dataclass
class Exchange:
    """Waits until bytes can be sent, or come; does what can be done at once.

    With `hold`, being cancelled takes effect at the next exchange without it: in between, nobody would know what has
    begun.
    """

    out: bytes | bytearray | memoryview = b""
    deadline: float | None = None
    read: bool = True
    hold: bool = False


@dataclass
class Moved:
    """Outcome of an exchange: bytes sent, and what came; `None`: nothing, `b""`: the end."""

    sent: int
    data: bytes | None


@dataclass
class Work:
    """Runs a function that may block."""

    function: Callable[[], Any]


@dataclass
class Hear:
    """Calls a function of the caller's."""

    function: Callable[..., Any]
    arguments: tuple[Any, ...]


@dataclass
class Emit:
    """Hands a value to the caller of a stream."""

    value: Any


@dataclass
class Release:
    """Gives the connection to the flow; its driver does not close it any more."""


@dataclass
class Pause:
    """Waits for some seconds."""

    seconds: float


@dataclass
class Revive:
    """Makes a daemon answer, where one may be started."""


Effect = Union[Connect, Exchange, Work, Hear, Emit, Release, Pause, Revive]
T = TypeVar("T")
Flow = Generator[Effect, Any, T]


@dataclass
class Call:
    """A request: a route with what belongs to it."""

    route: Route
    reference: str | tuple[str, ...] | None = None
    query: list[tuple[str, str]] = field(default_factory=list)
    body: Any = None
    start: bool = True
    """False: a daemon that was stopped is not started for this."""
    raw: bytes | None = None
    """A body as it is, for a route that takes one."""
    hold: bool = False
    """True: being cancelled waits for the answer."""

    def __post_init__(self) -> None:
        wanted = self.route.body
        if (self.raw is not None) != self.route.raw:
            raise TypeError(f"{self.route.path} takes {'bytes' if self.route.raw else 'no bytes'}")
        if self.body is not None and (wanted is None or not isinstance(self.body, wanted)):
            raise TypeError(f"{self.route.path} takes no {type(self.body).__name__}")

    def shown(self) -> str:
        """Method and path for messages."""
        return f"{self.route.method} {self.route.path}"

    def bytes(self) -> bytes:
        """The request."""
        body = self.raw
        if self.route.body is not None:
            fields = _schema.encode(self.body) if self.body is not None else {}
            body = json.dumps(fields, ensure_ascii=True).encode("ascii")
        named = self.reference
        references = () if named is None else (named,) if isinstance(named, str) else named
        target = self.route.target(references, self.query)
        return _http.request(
            self.route.method, target, body=body, raw=self.route.raw, upgrade=self.route.answers == "upgrade"
        )


def head(call: Call) -> Flow[tuple[_http.Answer, list[bytes]]]:
    """Sends a request and reads until the head of its answer is there. An error answer is raised."""
    try:
        return (yield from _head(call))
    except ShuttingDown:
        if not call.start:
            raise
        # It refused before it did anything; the next daemon takes the same request.
        yield Revive()
        return (yield from _head(call))


def _head(call: Call) -> Flow[tuple[_http.Answer, list[bytes]]]:
    yield Connect(call.start)
    deadline = None if call.route.patient or call.route.answers == "upgrade" else time.monotonic() + ANSWER_DEADLINE
    answer = _http.Answer()
    out = memoryview(call.bytes())
    pieces: list[bytes] = []
    try:
        while not answer.has_head:
            moved: Moved = yield Exchange(out, deadline, hold=call.hold)
            out = out[moved.sent :]
            if moved.data is not None:
                pieces += answer.feed(moved.data) if moved.data else answer.end()
    except TimeoutError as error:
        raise AnswerLate(f"{call.shown()}: no answer within {ANSWER_DEADLINE:.0f} s") from error
    good = answer.status == 101 if call.route.answers == "upgrade" else 200 <= answer.status < 300
    if not good:
        body = yield from _whole(answer, pieces, deadline, call.hold)
        raise _error_of(call, answer.status, body)
    return answer, pieces


def _whole(answer: _http.Answer, pieces: list[bytes], deadline: float | None, hold: bool) -> Flow[bytes]:
    size = sum(map(len, pieces))
    while not answer.complete:
        moved: Moved = yield Exchange(deadline=deadline, hold=hold)
        if moved.data is None:
            continue
        more = answer.feed(moved.data) if moved.data else answer.end()
        size += sum(map(len, more))
        if size > MAX_JSON:
            raise ProtocolError(f"an answer is larger than {MAX_JSON} bytes")
        pieces += more
    return b"".join(pieces)


def _error_of(call: Call, status: int, body: bytes) -> BangerError:
    try:
        error = json.loads(body)["error"]
        code, message = str(error["code"]), str(error["message"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return ProtocolError(f"{call.shown()}: status {status} without an error of the API")
    return of_code(code, message, hint=error.get("hint"), op_id=error.get("op_id"), status=status)


def ask(call: Call) -> Flow[Any]:
    """The whole answer of a call, as the type of its route."""
    answer, pieces = yield from head(call)
    deadline = None if call.route.patient else time.monotonic() + ANSWER_DEADLINE
    try:
        body = yield from _whole(answer, pieces, deadline, call.hold)
    except TimeoutError as error:
        raise AnswerLate(f"{call.shown()}: no answer within {ANSWER_DEADLINE:.0f} s") from error
    try:
        value = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise ProtocolError(f"{call.shown()}: the answer is no JSON") from error
    return _schema.decode(call.route.answer, value)


def listen(call: Call) -> Flow[None]:
    """Emits the pieces of a body as they come."""
    answer, pieces = yield from head(call)
    while True:
        for piece in pieces:
            yield Emit(piece)
        if answer.complete:
            return
        moved: Moved = yield Exchange()
        if moved.data is None:
            pieces = []
        else:
            pieces = answer.feed(moved.data) if moved.data else answer.end()


def events(call: Call, note: Callable[[Any], None] | None = None) -> Flow[None]:
    """Emits the typed values of a stream of server-sent events; `note` sees each before."""
    decoder = Events()
    flow = listen(call)
    reply: Any = None
    while True:
        try:
            effect = flow.send(reply)
        except StopIteration:
            return
        if not isinstance(effect, Emit):
            try:
                reply = yield effect
            except Exception as error:
                effect = flow.throw(error)
                raise ProtocolError("a stream went on after its error") from error
            continue
        reply = None
        for text in decoder.feed(effect.value):
            try:
                value = json.loads(text)
            except (ValueError, RecursionError) as error:
                raise ProtocolError(f"event {text[:80]!r} is no JSON") from error
            event = _schema.decode(call.route.answer, value, "event")
            if note is not None:
                note(event)
            yield Emit(event)


def upgrade(call: Call) -> Flow[bytes]:
    """Upgrades the connection; gives the bytes that have come behind the head."""
    answer, _ = yield from head(call)
    return answer.rest()
