"""A command that runs while other tasks go on."""

from __future__ import annotations

import asyncio
import contextlib
import signal as signals
from collections import deque
from collections.abc import AsyncIterator
from types import TracebackType

from .._channel import Channel
from .._exec import Ended, Output, Session
from .._flow import Exchange
from ..process import MAX_QUEUED, _size


class AsyncProcess:
    """A command in a guest. Iterating gives its output as it comes; leaving the context ends it.

        async with await sandbox.popen(["sh"]) as process:
            await process.write(b"echo hello\\n")
            async for event in process:
                print(event)

    A task moves the bytes, so any task may write or send a signal while another one reads.
    """

    def __init__(self, channel: Channel, session: Session, heard: list[Output]) -> None:
        self._channel = channel
        self._session = session
        self._queue: deque[Output] = deque(heard)
        self._queued = sum(map(_size, heard))
        self._error: Exception | None = None
        self._ended: Ended | None = None
        self._closed = False
        self._changed = asyncio.Event()
        self._poked = asyncio.Event()
        self._pump = asyncio.create_task(self._run())

    async def write(self, data: bytes) -> None:
        """Sends input; returns when it is on its way. Raises `BrokenPipeError` when the command has ended."""
        if self._over():
            raise BrokenPipeError("the command has ended")
        self._session.write(data)
        self._poked.set()
        while self._session.waiting and not self._over():
            await self._change()
        if self._session.waiting:
            raise BrokenPipeError("the command has ended")

    async def close_stdin(self) -> None:
        """There is no more input."""
        self._session.close_stdin()
        self._poked.set()

    async def signal(self, signal: int) -> None:
        """Sends a signal to the command's process group. It passes input that waits."""
        if not self._over():
            self._session.signal(signal)
            self._poked.set()

    async def terminate(self) -> None:
        """Asks the command to end."""
        await self.signal(signals.SIGTERM)

    async def kill(self) -> None:
        """Ends the command."""
        await self.signal(signals.SIGKILL)

    async def resize(self, rows: int, cols: int) -> None:
        """Its terminal has another size."""
        self._session.resize(rows, cols)
        self._poked.set()

    async def __aiter__(self) -> AsyncIterator[Output]:
        while True:
            event = await self.read()
            if event is None:
                return
            yield event

    async def read(self, timeout: float | None = None) -> Output | None:
        """The next event; `None` behind the last one. Raises `TimeoutError` when none came in time."""
        try:
            return await asyncio.wait_for(self._read(), timeout)
        except asyncio.TimeoutError:
            raise TimeoutError("the command said nothing in time") from None

    async def _read(self) -> Output | None:
        while not self._queue and not self._over():
            await self._change()
        if self._queue:
            event = self._queue.popleft()
            self._queued -= _size(event)
            self._poked.set()
            return event
        if self._error is not None:
            raise self._error
        return None

    async def wait(self, timeout: float | None = None) -> Ended:
        """The command's end. Output that nobody reads is dropped meanwhile."""

        async def ending() -> None:
            while await self._read() is not None:
                pass

        try:
            await asyncio.wait_for(ending(), timeout)
        except asyncio.TimeoutError:
            raise TimeoutError("the command did not end in time") from None
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

    async def close(self) -> None:
        """Leaves the command, which ends it."""
        self._closed = True
        self._pump.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._pump

    async def __aenter__(self) -> AsyncProcess:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def _over(self) -> bool:
        return self._ended is not None or self._error is not None or self._closed

    async def _change(self) -> None:
        self._changed.clear()
        await self._changed.wait()

    def _tell(self) -> None:
        self._changed.set()

    async def _run(self) -> None:
        try:
            while not self._over():
                self._poked.clear()
                effect = Exchange(bytes(self._session.outgoing()), read=self._queued < MAX_QUEUED)
                moved = self._channel.move(effect) if effect.out or effect.read else None
                if moved is None:
                    await self._wait(effect)
                    continue
                self._session.sent(moved.sent)
                for event in self._session.feed(moved.data) if moved.data is not None else ():
                    self._queue.append(event)
                    self._queued += _size(event)
                    if isinstance(event, Ended):
                        self._ended = event
                self._tell()
        except Exception as error:
            self._error = error
        finally:
            self._channel.close()
            self._tell()

    async def _wait(self, effect: Exchange) -> None:
        loop = asyncio.get_running_loop()
        descriptor = self._channel.socket.fileno()
        if effect.read:
            loop.add_reader(descriptor, self._poked.set)
        if effect.out:
            loop.add_writer(descriptor, self._poked.set)
        try:
            await self._poked.wait()
        finally:
            loop.remove_reader(descriptor)
            loop.remove_writer(descriptor)
