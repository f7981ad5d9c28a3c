"""A connection that never blocks, and the driver without asynchrony.

Both faces move bytes by `Channel.move`; they differ in how they wait.
"""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Generator, Iterator
from typing import Any, TypeVar, cast

from ._flow import Connect, Emit, Exchange, Flow, Hear, Moved, Pause, Release, Revive, Work
from ._place import Place
from .errors import StreamLost

T = TypeVar("T")

PIECE = 256 * 1024
"""Bytes that are read at once."""


class Channel:
    """A socket that does not block."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection

    def move(self, effect: Exchange) -> Moved | None:
        """Does what can be done at once; `None` when that is nothing."""
        sent = 0
        data: bytes | None = None
        if effect.out:
            try:
                sent = self.socket.send(effect.out)
            except BlockingIOError:
                pass
            except (BrokenPipeError, ConnectionResetError):
                # Why is heard in the other direction.
                sent = len(effect.out)
        if effect.read:
            try:
                data = self.socket.recv(PIECE)
            except BlockingIOError:
                pass
            except ConnectionResetError:
                data = b""
            except OSError as error:
                raise StreamLost(f"the connection to the daemon broke: {error}") from error
        return Moved(sent, data) if sent or data is not None else None

    def close(self) -> None:
        """Closes it."""
        self.socket.close()


def wait(channel: Channel, effect: Exchange) -> None:
    """Waits until something can be moved, or the deadline has passed."""
    poll = select.poll()
    poll.register(channel.socket, (select.POLLIN if effect.read else 0) | (select.POLLOUT if effect.out else 0))
    if effect.deadline is None:
        poll.poll()
        return
    left = effect.deadline - time.monotonic()
    if left <= 0 or not poll.poll(left * 1000 + 1):
        raise TimeoutError


class Driver:
    """Runs flows at a place, waiting where they wait."""

    def __init__(self, place: Place) -> None:
        self.place = place

    def run(self, flow: Flow[T]) -> T:
        """Runs a flow to its end."""
        steps = self._steps(flow)
        try:
            while True:
                next(steps)
        except StopIteration as stop:
            return cast(T, stop.value)
        finally:
            steps.close()

    def stream(self, flow: Flow[Any]) -> Iterator[Any]:
        """The values that a flow emits. Closing the iterator closes the connection."""
        return self._steps(flow)

    def _connected(self, start: bool) -> socket.socket:
        connection = self.place.connect(start)
        if connection is None:
            self.place.revive()
            connection = self.place.connect_again()
        return connection

    def _steps(self, flow: Flow[T]) -> Generator[Any, None, T]:
        channel: Channel | None = None
        reply: Any = None
        error: Exception | None = None
        held: KeyboardInterrupt | None = None
        try:
            while True:
                try:
                    effect = flow.send(reply) if error is None else flow.throw(error)
                except StopIteration as stop:
                    return cast(T, stop.value)
                reply, error = None, None
                try:
                    if isinstance(effect, Exchange):
                        assert channel is not None
                        if held is not None and not effect.hold:
                            raise held
                        while (reply := channel.move(effect)) is None:
                            try:
                                wait(channel, effect)
                            except KeyboardInterrupt as interrupt:
                                if not effect.hold:
                                    raise
                                held = interrupt
                    elif isinstance(effect, Emit):
                        yield effect.value
                    elif isinstance(effect, Hear):
                        effect.function(*effect.arguments)
                    elif isinstance(effect, Work):
                        reply = effect.function()
                    elif isinstance(effect, Connect):
                        if channel is not None:
                            channel.close()
                        channel = Channel(self._connected(effect.start))
                    elif isinstance(effect, Pause):
                        time.sleep(effect.seconds)
                    elif isinstance(effect, Release):
                        reply, channel = channel, None
                    elif isinstance(effect, Revive):
                        self.place.revive()
                except Exception as thrown:
                    error = thrown
        finally:
            flow.close()
            if channel is not None:
                channel.close()
