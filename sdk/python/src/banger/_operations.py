"""Operations: the work that a request starts, followed to its end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import _routes as routes
from ._flow import Call, Flow, Hear, Pause, ask, events
from ._flow import Emit as EmitEffect
from .errors import ApiError, Cancelled, DaemonUnavailable, NotFound, ShuttingDown, StreamLost, of_code
from .models import Accepted, ErrorAnswer, Event, Operation, SystemEvent, Vm

OnEvent = Callable[[Event], Any]
"""What a caller does with an event of an operation; the asynchronous face awaits it where it is a coroutine."""


def run(call: Call, on_event: OnEvent | None = None, *, cancel: bool = False) -> Flow[Accepted]:
    """Starts an operation and follows it to its end. With `cancel`, going away cancels it, whenever that is: from the
    request on until the operation is followed, being cancelled waits."""
    call.hold = cancel
    accepted: Accepted = yield from ask(call)
    yield from settle(accepted.operation, on_event, cancel=cancel)
    return accepted


def run_vm(call: Call, on_event: OnEvent | None = None, *, cancel: bool = False) -> Flow[Vm]:
    """An operation on a sandbox: gives its record afterwards."""
    accepted = yield from run(call, on_event, cancel=cancel)
    reference = accepted.vm.id if accepted.vm else call.reference
    first = reference[0] if isinstance(reference, tuple) else reference
    vm: Vm = yield from ask(Call(routes.VM, first))
    return vm


def settle(operation: str, on_event: OnEvent | None, *, cancel: bool = False) -> Flow[None]:
    """Follows an operation to its end, and raises what it failed with."""
    query = [("cancel_on_disconnect", "true")] if cancel else []
    state: str | None = None
    error: ErrorAnswer | None = None
    flow = events(Call(routes.FOLLOW, operation, query, hold=cancel))
    reply: Any = None
    try:
        while state is None:
            effect = flow.send(reply)
            if not isinstance(effect, EmitEffect):
                try:
                    reply = yield effect
                except Exception as thrown:
                    flow.throw(thrown)
                    raise
                continue
            reply = None
            event: Event = effect.value
            if on_event is not None:
                yield Hear(on_event, (event,))
            if event.event == "finished":
                state, error = event.state or "failed", event.error
    except (StopIteration, NotFound, StreamLost):
        # It was over before we asked, or the daemon was replaced: the journal has the outcome.
        seen: Operation = yield from ask(Call(routes.OPERATION, operation))
        state, error = seen.state, seen.error
        if state == "running":
            raise StreamLost(f"operation {operation} is not followed any more, and goes on") from None
    finally:
        flow.close()
    if state == "done":
        return
    raise error_of(operation, state, error)


LOOK_AGAIN = 0.25
"""Seconds between two looks for the next daemon."""


def everything(after: str | None, follow: bool, vm: str | None, limit: int | None) -> Flow[None]:
    """Emits events of the whole installation. A follower waits for the next daemon when one ends, and starts none."""
    query = [("follow", "true")] if follow else []
    query += [("vm", vm)] if vm is not None else []
    place = [("limit", str(limit))] if limit is not None else []
    place += [("after", after)] if after is not None else []
    first = True

    def note(event: SystemEvent) -> None:
        nonlocal place
        place = [("after", event.cursor)]

    while True:
        try:
            yield from events(Call(routes.EVENTS, None, query + place, start=first), note)
            if not follow:
                return
        except (StreamLost, ShuttingDown, DaemonUnavailable):
            if first or not follow:
                raise
        first = False
        yield Pause(LOOK_AGAIN)


def error_of(operation: str, state: str | None, error: ErrorAnswer | None) -> ApiError:
    """The error of an operation that did not succeed."""
    if error is not None:
        return of_code(error.code, error.message, hint=error.hint, op_id=error.op_id or operation)
    if state == "cancelled":
        return Cancelled("the operation was cancelled", op_id=operation)
    return ApiError(f"operation {operation} ended as {state}", op_id=operation)
