"""A connection to a server in a guest."""

from __future__ import annotations

import socket
from types import TracebackType

from ._channel import Channel


class Stream:
    """The bytes of a TCP or Unix connection in a guest."""

    def __init__(self, channel: Channel, first: bytes) -> None:
        self._socket = channel.socket
        self._socket.setblocking(True)
        self._first = first

    def send(self, data: bytes) -> None:
        """Sends all of it."""
        self._socket.sendall(data)

    def receive(self, limit: int = 64 * 1024, timeout: float | None = None) -> bytes:
        """The next bytes, at most so many; `b""` at the end. Raises `TimeoutError` when none came in time."""
        if self._first:
            data, self._first = self._first[:limit], self._first[limit:]
            return data
        self._socket.settimeout(timeout)
        try:
            return self._socket.recv(limit)
        except ConnectionResetError:
            return b""
        finally:
            self._socket.settimeout(None)

    def finish(self) -> None:
        """There is nothing more to send; the other direction stays open."""
        self._socket.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Closes it."""
        self._socket.close()

    def __enter__(self) -> Stream:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
