"""A decoder for server-sent events, as far as the API uses them.

Lines end with LF, CR or CRLF; `data:` lines of one event are joined by LF; an empty line ends the event; comments and
other fields are skipped. Lines and events have a largest size.
"""

from __future__ import annotations

from .errors import ProtocolError

MAX_LINE = 256 * 1024
"""Longest line, in bytes."""

MAX_EVENT = 1024 * 1024
"""Largest event, in bytes."""


class Events:
    """Bytes in, the data of whole events out."""

    def __init__(self) -> None:
        self._line = bytearray()
        self._data: list[bytes] = []
        self._size = 0
        self._after_cr = False

    def feed(self, data: bytes) -> list[str]:
        """Takes bytes and gives the events that they complete."""
        events: list[str] = []
        if self._after_cr and data:
            # The second half of a CRLF that was cut in two.
            data = data[1:] if data.startswith(b"\n") else data
            self._after_cr = False
        if data:
            self._after_cr = data.endswith(b"\r")
        for line in data.splitlines(keepends=True):
            ended = line.endswith((b"\n", b"\r"))
            self._line += line.rstrip(b"\r\n") if ended else line
            if len(self._line) > MAX_LINE:
                raise ProtocolError(f"a line of an event stream is longer than {MAX_LINE} bytes")
            if ended:
                event = self._end_line()
                if event is not None:
                    events.append(event)
        return events

    def _end_line(self) -> str | None:
        line = bytes(self._line)
        self._line.clear()
        if not line:
            return self._end_event()
        field, _, value = line.partition(b":")
        if field == b"data":
            value = value[1:] if value.startswith(b" ") else value
            self._size += len(value) + 1
            if self._size > MAX_EVENT:
                raise ProtocolError(f"an event is larger than {MAX_EVENT} bytes")
            self._data.append(value)
        return None

    def _end_event(self) -> str | None:
        if not self._data:
            return None
        joined = b"\n".join(self._data)
        self._data, self._size = [], 0
        try:
            return joined.decode("utf-8")
        except UnicodeDecodeError as error:
            raise ProtocolError("an event is not UTF-8") from error
