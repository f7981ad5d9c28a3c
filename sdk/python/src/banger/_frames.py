"""Frames of exec, attach and file streams: `u8` kind, `u32` big-endian length, payload of at most 64 KiB.

           host → guest                     guest → host
 exec      Stdin* StdinEof  (Resize|Signal)*    Started (Stdout|Stderr)* Exit   or   Failed
  reports                                       StdinTaken first; (StdinTaken|SignalTaken)* TimedOut in between
 attach                                         Started (Stdout|Stderr)* Exit   or   Failed
 put       Data* End                            Done   or   TransferFailed (at any time)
 get                                            Data* End Done   or   TransferFailed (at any time)

The bytes come from a guest, which may be hostile: lengths and kinds are checked, and memory is bounded by a frame.
"""

from __future__ import annotations

import json
import struct
from typing import Any

from .errors import ProtocolError, StreamLost

MAX_FRAME = 64 * 1024
"""Largest payload of one frame, in bytes."""

MAX_GUEST_TEXT = 500
"""Longest text of a guest in an error, in characters."""

HEADER = 5

STDIN, STDIN_EOF, RESIZE, SIGNAL = 1, 2, 3, 4
STARTED, STDOUT, STDERR, EXIT, FAILED, STDIN_TAKEN, SIGNAL_TAKEN, TIMED_OUT = 16, 17, 18, 19, 20, 21, 22, 23
DATA, END, DONE, TRANSFER_FAILED = 32, 33, 34, 35

_LENGTHS = {
    STDIN_EOF: 0,
    RESIZE: 4,
    SIGNAL: 1,
    STARTED: 4,
    STDIN_TAKEN: 8,
    SIGNAL_TAKEN: 1,
    TIMED_OUT: 0,
    END: 0,
}
_KINDS = frozenset({STDIN, STDOUT, STDERR, EXIT, FAILED, DATA, DONE, TRANSFER_FAILED, *_LENGTHS})


def encode(kind: int, payload: bytes = b"") -> bytes:
    """The bytes of a frame."""
    if len(payload) > MAX_FRAME:
        raise ProtocolError(f"a frame of {len(payload)} bytes is longer than the {MAX_FRAME} allowed")
    return struct.pack(">BI", kind, len(payload)) + payload


class Frames:
    """A decoder: bytes in, whole frames out. It keeps one unfinished frame at most."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """Takes bytes and gives the frames that they complete."""
        self._buffer += data
        buffer, at = self._buffer, 0
        frames: list[tuple[int, bytes]] = []
        while len(buffer) - at >= HEADER:
            kind, length = struct.unpack_from(">BI", buffer, at)
            _check(kind, length)
            if len(buffer) - at < HEADER + length:
                break
            frames.append((kind, bytes(buffer[at + HEADER : at + HEADER + length])))
            at += HEADER + length
        del buffer[:at]
        return frames

    def end(self) -> None:
        """The stream has ended: an error inside a frame."""
        if self._buffer:
            raise StreamLost("the stream ended inside a frame")


def _check(kind: int, length: int) -> None:
    if kind not in _KINDS:
        raise ProtocolError(f"a frame of unknown kind {kind}")
    if length > MAX_FRAME:
        raise ProtocolError(f"a frame of {length} bytes is longer than the {MAX_FRAME} allowed")
    if kind in _LENGTHS and length != _LENGTHS[kind]:
        raise ProtocolError(f"a frame of kind {kind} has a payload of {length} bytes")


def fields(kind: int, payload: bytes) -> dict[str, Any]:
    """The JSON object of a frame."""
    try:
        value = json.loads(payload)
    except (ValueError, RecursionError) as error:
        raise ProtocolError(f"a frame of kind {kind} does not hold what it should") from error
    if not isinstance(value, dict):
        raise ProtocolError(f"a frame of kind {kind} does not hold what it should")
    return value


def harmless(text: object) -> str:
    """A guest's words as one short line without control characters."""
    shown = "".join(c if c.isprintable() else " " for c in str(text)[:MAX_GUEST_TEXT])
    return shown.strip() or "no cause was given"
