"""HTTP/1.1 as the daemon speaks it, without a socket: bytes of a request, and a parser of answers.

    feed(bytes) ──► head ──┬─► 101: `rest` has what follows, unchanged
                           ├─► body by Content-Length, in chunks, or until the end ──► pieces
                           └─► ProtocolError: longer than the limits, or no HTTP

The parser keeps at most one head, or one line of a chunk, in memory; pieces are handed out as they come.
"""

from __future__ import annotations

from .errors import ProtocolError, StreamLost

UPGRADE_PROTOCOL = "banger-stream"
"""Value of the `Upgrade` header of exec, files and connect."""

MAX_HEAD = 64 * 1024
"""Longest head of an answer, in bytes."""

MAX_CHUNK_LINE = 1024
"""Longest line that begins a chunk, in bytes."""

MAX_INFORMAL = 8
"""Heads with a status of 1xx before the real one."""


def request(method: str, target: str, *, body: bytes | None = None, raw: bool = False, upgrade: bool = False) -> bytes:
    """The bytes of a request. `target` is a path that is already encoded."""
    if any(c <= " " or c == "\x7f" for c in target):
        raise ProtocolError(f"{target!r} is no path of a request")
    lines = [f"{method} {target} HTTP/1.1", "Host: banger"]
    if upgrade:
        lines += ["Connection: Upgrade", f"Upgrade: {UPGRADE_PROTOCOL}"]
    else:
        lines.append("Connection: close")
    if body is not None:
        media = "application/octet-stream" if raw else "application/json"
        lines += [f"Content-Type: {media}", f"Content-Length: {len(body)}"]
    elif method not in ("GET", "DELETE"):
        lines.append("Content-Length: 0")
    head = "\r\n".join(lines) + "\r\n\r\n"
    return head.encode("ascii") + (body or b"")


class Answer:
    """A parser of one answer."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.complete = False
        """True at the end of the body; for an upgrade, at the end of the head."""
        self._buffer = bytearray()
        self._left: int | None = None
        self._chunked = False
        self._in_chunk = False
        self._in_trailer = False
        self._informal = 0

    @property
    def has_head(self) -> bool:
        """Tells whether status and headers are known."""
        return self.status != 0

    @property
    def upgraded(self) -> bool:
        """Tells whether the connection speaks another protocol now."""
        return self.status == 101

    def rest(self) -> bytes:
        """Bytes behind the head of an upgrade."""
        rest = bytes(self._buffer)
        self._buffer.clear()
        return rest

    def feed(self, data: bytes) -> list[bytes]:
        """Takes bytes and gives the pieces of the body in them."""
        self._buffer += data
        while not self.has_head:
            if not self._take_head():
                return []
        if self.upgraded or self.complete:
            return []
        return self._take_body()

    def end(self) -> list[bytes]:
        """The stream has ended."""
        if self.complete or self.upgraded:
            return []
        if self.has_head and not self._chunked and self._left is None:
            self.complete = True
            return []
        raise StreamLost("the daemon's answer was cut off")

    def _take_head(self) -> bool:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            if len(self._buffer) > MAX_HEAD:
                raise ProtocolError(f"the head of an answer is longer than {MAX_HEAD} bytes")
            return False
        if end > MAX_HEAD:
            raise ProtocolError(f"the head of an answer is longer than {MAX_HEAD} bytes")
        head = bytes(self._buffer[:end])
        del self._buffer[: end + 4]
        status, headers = _parse_head(head)
        if 100 <= status < 200 and status != 101:
            self._informal += 1
            if self._informal > MAX_INFORMAL:
                raise ProtocolError("an answer does not come to its point")
            return True
        self.status, self.headers = status, headers
        self._begin_body()
        return True

    def _begin_body(self) -> None:
        if self.status in (101, 204, 304):
            self.complete = True
        elif "transfer-encoding" in self.headers:
            if self.headers["transfer-encoding"].lower() != "chunked":
                raise ProtocolError("an answer has a transfer encoding that is not known")
            self._chunked = True
        elif "content-length" in self.headers:
            length = self.headers["content-length"]
            if not (length.isascii() and length.isdigit() and len(length) <= 18):
                raise ProtocolError("an answer has no valid length")
            self._left = int(length)
            self.complete = self._left == 0

    def _take_body(self) -> list[bytes]:
        pieces: list[bytes] = []
        while self._buffer and not self.complete:
            if self._chunked and not self._in_chunk:
                if not self._take_chunk_line():
                    break
                continue
            piece = bytes(self._buffer) if self._left is None else bytes(self._buffer[: self._left])
            del self._buffer[: len(piece)]
            if piece:
                pieces.append(piece)
            if self._left is not None:
                self._left -= len(piece)
                if self._left == 0:
                    self._in_chunk = False
                    self.complete = not self._chunked
        return pieces

    def _take_chunk_line(self) -> bool:
        end = self._buffer.find(b"\r\n")
        if end < 0 or end > MAX_CHUNK_LINE:
            if len(self._buffer) > MAX_CHUNK_LINE:
                raise ProtocolError("a chunk of an answer has no valid length")
            return False
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 2]
        if self._in_trailer:
            # The empty line behind the trailer ends the body.
            self.complete = not line
            return True
        if not line and self._left == 0:
            # The line end behind the chunk before.
            self._left = None
            return True
        size = line.split(b";", 1)[0].strip()
        if not size or len(size) > 15 or any(c not in b"0123456789abcdefABCDEF" for c in size):
            raise ProtocolError("a chunk of an answer has no valid length")
        self._left = int(size, 16)
        if self._left == 0:
            self._in_trailer = True
        else:
            self._in_chunk = True
        return True


def _parse_head(head: bytes) -> tuple[int, dict[str, str]]:
    lines = head.decode("latin-1").split("\r\n")
    words = lines[0].split(" ", 2)
    if len(words) < 2 or words[0] not in ("HTTP/1.1", "HTTP/1.0") or len(words[1]) != 3 or not words[1].isdigit():
        raise ProtocolError("what listens at the socket does not speak HTTP")
    headers: dict[str, str] = {}
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        name = name.lower()
        if not colon or not name or name != name.strip():
            raise ProtocolError("a header of an answer is malformed")
        if name in ("content-length", "transfer-encoding") and name in headers:
            raise ProtocolError(f"an answer says its {name} twice")
        headers[name] = value.strip()
    return int(words[1]), headers
