"""A connection to a server in a guest."""

from __future__ import annotations

import asyncio
import socket
from types import TracebackType

from .._channel import Channel


class AsyncStream:
    """The bytes of a TCP or Unix connection in a guest."""

    def __init__(self, channel: Channel, first: bytes) -> None:
        self._socket = channel.socket
        self._first = first

    async def send(self, data: bytes) -> None:
        """Sends all of it."""
        await asyncio.get_running_loop().sock_sendall(self._socket, data)

    async def receive(self, limit: int = 64 * 1024, timeout: float | None = None) -> bytes:
        """The next bytes, at most so many; `b""` at the end. Raises `TimeoutError` when none came in time."""
        if self._first:
            data, self._first = self._first[:limit], self._first[limit:]
            return data
        receiving = asyncio.get_running_loop().sock_recv(self._socket, limit)
        try:
            return await asyncio.wait_for(receiving, timeout)
        except asyncio.TimeoutError:
            raise TimeoutError("the server said nothing in time") from None
        except ConnectionResetError:
            return b""

    async def finish(self) -> None:
        """There is nothing more to send; the other direction stays open."""
        self._socket.shutdown(socket.SHUT_WR)

    async def close(self) -> None:
        """Closes it."""
        self._socket.close()

    async def __aenter__(self) -> AsyncStream:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
