"""The driver for asyncio: the same connection, waited for by the event loop."""

from __future__ import annotations

import asyncio
import inspect
import socket
import time
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any, TypeVar

from .._channel import Channel
from .._flow import Connect, Emit, Exchange, Flow, Hear, Pause, Release, Revive, Work
from .._place import Place

T = TypeVar("T")

AT_ONCE = 16
"""Exchanges that a flow makes without waiting before other tasks get their turn."""


async def wait(channel: Channel, effect: Exchange) -> None:
    """Waits until something can be moved, or the deadline has passed."""
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()
    descriptor = channel.socket.fileno()

    def is_ready() -> None:
        if not ready.done():
            ready.set_result(None)

    def is_late() -> None:
        if not ready.done():
            ready.set_exception(TimeoutError())

    timer: asyncio.TimerHandle | None = None
    if effect.deadline is not None:
        # `asyncio.wait_for` loses a cancellation that comes together with the outcome, before Python 3.12.
        timer = loop.call_later(max(0.0, effect.deadline - time.monotonic()), is_late)
    if effect.read:
        loop.add_reader(descriptor, is_ready)
    if effect.out:
        loop.add_writer(descriptor, is_ready)
    try:
        await ready
    finally:
        if timer is not None:
            timer.cancel()
        loop.remove_reader(descriptor)
        loop.remove_writer(descriptor)


class AsyncDriver:
    """Runs flows at a place."""

    def __init__(self, place: Place) -> None:
        self.place = place

    async def run(self, flow: Flow[T]) -> T:
        """Runs a flow to its end. Cancelling it closes the connection."""
        result: list[T] = []
        steps = self._steps(flow, result)
        try:
            async for _ in steps:
                pass
        finally:
            await steps.aclose()
        return result[0]

    def stream(self, flow: Flow[Any]) -> AsyncIterator[Any]:
        """The values that a flow emits. Closing the iterator closes the connection."""
        return self._steps(flow, [])

    async def _connected(self, start: bool) -> socket.socket:
        connection = self.place.connect(start)
        if connection is None:
            await asyncio.to_thread(self.place.revive)
            connection = self.place.connect_again()
        return connection

    async def _steps(self, flow: Flow[T], result: list[T]) -> AsyncGenerator[Any, None]:
        channel: Channel | None = None
        reply: Any = None
        error: Exception | None = None
        at_once = 0
        held: asyncio.CancelledError | None = None
        try:
            while True:
                try:
                    effect = flow.send(reply) if error is None else flow.throw(error)
                except StopIteration as stop:
                    result.append(stop.value)
                    return
                reply, error = None, None
                try:
                    if isinstance(effect, Exchange):
                        assert channel is not None
                        if held is not None and not effect.hold:
                            raise held
                        while (reply := channel.move(effect)) is None:
                            at_once = 0
                            try:
                                await wait(channel, effect)
                            except asyncio.CancelledError as cancelled:
                                if not effect.hold:
                                    raise
                                held = cancelled
                        at_once += 1
                        if at_once % AT_ONCE == 0:
                            await asyncio.sleep(0)
                    elif isinstance(effect, Emit):
                        yield effect.value
                    elif isinstance(effect, Hear):
                        heard = effect.function(*effect.arguments)
                        if inspect.isawaitable(heard):
                            await heard
                    elif isinstance(effect, Work):
                        reply = await asyncio.to_thread(effect.function)
                    elif isinstance(effect, Connect):
                        if channel is not None:
                            channel.close()
                        channel = Channel(await self._connected(effect.start))
                    elif isinstance(effect, Pause):
                        await asyncio.sleep(effect.seconds)
                    elif isinstance(effect, Release):
                        reply, channel = channel, None
                    elif isinstance(effect, Revive):
                        await asyncio.to_thread(self.place.revive)
                except Exception as thrown:
                    error = thrown
        finally:
            flow.close()
            if channel is not None:
                channel.close()
