"""A command that runs while the caller goes on: its output as it comes, its input, and signals."""

from __future__ import annotations

import contextlib
import os
import select
import signal as signals
import threading
import time
from collections import deque
from collections.abc import Iterator
from types import TracebackType

from ._channel import Channel
from ._exec import Ended, Output, Session, Stderr, Stdout
from ._flow import Exchange

MAX_QUEUED = 1024 * 1024
"""Bytes of output that wait for the caller; then the guest waits."""


class Process:
    """A command in a guest. Iterating gives its output as it comes; leaving the context ends it.

        with sandbox.popen(["sh"]) as process:
            process.write(b"echo hello\\n")
            for event in process:
                print(event)

    A thread moves the bytes, so any thread may write or send a signal while another one reads.
    """

    def __init__(self, channel: Channel, session: Session, heard: list[Output]) -> None:
        self._channel = channel
        self._session = session
        self._changed = threading.Condition()
        self._queue: deque[Output] = deque(heard)
        self._queued = sum(map(_size, heard))
        self._error: Exception | None = None
        self._ended: Ended | None = None
        self._closed = False
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._pump = threading.Thread(target=self._run, name="banger-process", daemon=True)
        self._pump.start()

    def write(self, data: bytes) -> None:
        """Sends input; returns when it is on its way. Raises `BrokenPipeError` when the command has ended."""
        with self._changed:
            if self._ended is not None or self._error is not None or self._closed:
                raise BrokenPipeError("the command has ended")
            self._session.write(data)
            self._poke()
            self._changed.wait_for(lambda: not self._session.waiting or self._over())
            if self._session.waiting:
                raise BrokenPipeError("the command has ended")

    def close_stdin(self) -> None:
        """There is no more input."""
        with self._changed:
            self._session.close_stdin()
            self._poke()

    def signal(self, signal: int) -> None:
        """Sends a signal to the command's process group. It passes input that waits."""
        with self._changed:
            if not self._over():
                self._session.signal(signal)
                self._poke()

    def terminate(self) -> None:
        """Asks the command to end."""
        self.signal(signals.SIGTERM)

    def kill(self) -> None:
        """Ends the command."""
        self.signal(signals.SIGKILL)

    def resize(self, rows: int, cols: int) -> None:
        """Its terminal has another size."""
        with self._changed:
            self._session.resize(rows, cols)
            self._poke()

    def __iter__(self) -> Iterator[Output]:
        while True:
            event = self.read()
            if event is None:
                return
            yield event

    def read(self, timeout: float | None = None) -> Output | None:
        """The next event; `None` behind the last one. Raises `TimeoutError` when none came in time."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._queue or self._over(), timeout):
                raise TimeoutError("the command said nothing in time")
            if self._queue:
                event = self._queue.popleft()
                self._queued -= _size(event)
                self._poke()
                return event
            if self._error is not None:
                raise self._error
            return None

    def wait(self, timeout: float | None = None) -> Ended:
        """The command's end. Output that nobody reads is dropped meanwhile."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            if self.read(left) is None:
                break
        if self._ended is None:
            raise BrokenPipeError("the command was left before its end")
        return self._ended

    @property
    def exit_code(self) -> int | None:
        """Its exit code, once it has ended."""
        return None if self._ended is None else self._ended.exit_code

    @property
    def timed_out(self) -> bool:
        """Tells whether it has had its time."""
        return self._session.timed_out

    def close(self) -> None:
        """Leaves the command, which ends it."""
        with self._changed:
            if self._closed:
                return
            self._closed = True
            self._poke()
        self._pump.join()
        os.close(self._wake)

    def __enter__(self) -> Process:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _over(self) -> bool:
        return self._ended is not None or self._error is not None or self._closed

    def _poke(self) -> None:
        # A counter that is full wakes as well.
        with contextlib.suppress(BlockingIOError):
            os.eventfd_write(self._wake, 1)

    def _run(self) -> None:
        try:
            while True:
                with self._changed:
                    if self._over():
                        return
                    out = bytes(self._session.outgoing())
                    effect = Exchange(out, read=self._queued < MAX_QUEUED)
                    moved = self._channel.move(effect) if out or effect.read else None
                    if moved is not None:
                        self._session.sent(moved.sent)
                        for event in self._session.feed(moved.data) if moved.data is not None else ():
                            self._queue.append(event)
                            self._queued += _size(event)
                            if isinstance(event, Ended):
                                self._ended = event
                        self._changed.notify_all()
                        continue
                self._wait(effect)
        except Exception as error:
            with self._changed:
                self._error = error
                self._changed.notify_all()
        finally:
            self._channel.close()
            with self._changed:
                self._changed.notify_all()

    def _wait(self, effect: Exchange) -> None:
        poll = select.poll()
        poll.register(self._wake, select.POLLIN)
        wanted = (select.POLLIN if effect.read else 0) | (select.POLLOUT if effect.out else 0)
        if wanted:
            poll.register(self._channel.socket, wanted)
        poll.poll()
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self._wake)


def _size(event: Output) -> int:
    return len(event.data) if isinstance(event, (Stdout, Stderr)) else 1
