"""Tar streams, read piece by piece and within limits, and written.

    feed(bytes) ──► Entry, its content in pieces (bytes), End, Entry …      complete at the end mark

The subset is that of banger's guests: files, directories, symbolic links, pax and GNU long names; every other kind is
an entry that nobody makes. Memory is bounded by a block and an extended header: Python's own reader takes extended
headers of any size.
"""

from __future__ import annotations

import os
import stat
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Union

from .errors import ProtocolError, StreamLost, TransferFailed

BLOCK = 512
MAX_EXTENSION = 64 * 1024
"""Largest extended header, in bytes."""

MAX_DEPTH = 512
"""Deepest nesting of folders."""

PIECE = 60 * 1024
"""Bytes of a file that are read at once when it is sent."""

FILE, FOLDER, LINK, OTHER = "file", "folder", "link", "other"


@dataclass(frozen=True)
class Entry:
    """One entry; the name is not checked."""

    path: bytes
    kind: str
    size: int = 0
    mode: int = 0o644
    mtime: float = 0.0
    target: bytes = b""


@dataclass(frozen=True)
class End:
    """The content of an entry has come whole."""


Piece = Union[Entry, bytes, End]


class TarReader:
    """A reader of an untrusted stream."""

    def __init__(self) -> None:
        self.complete = False
        self._buffer = bytearray()
        self._left = 0
        self._padding = 0
        self._extension = b""
        self._pax: dict[str, bytes] = {}
        self._zero = False

    def feed(self, data: bytes) -> Iterator[Piece]:
        """Takes bytes and gives what they complete."""
        if self.complete:
            return
        self._buffer += data
        while True:
            if self._left and not self._extension:
                piece = bytes(self._buffer[: self._left])
                if not piece:
                    return
                del self._buffer[: len(piece)]
                self._left -= len(piece)
                yield piece
                if not self._left:
                    yield End()
            elif self._padding:
                skipped = min(self._padding, len(self._buffer))
                del self._buffer[:skipped]
                self._padding -= skipped
                if self._padding:
                    return
            elif self._extension:
                if len(self._buffer) < self._left:
                    return
                self._extend(bytes(self._buffer[: self._left]))
                del self._buffer[: self._left]
                self._left, self._extension = 0, b""
            elif len(self._buffer) < BLOCK:
                return
            else:
                block = bytes(self._buffer[:BLOCK])
                del self._buffer[:BLOCK]
                entry = self._header(block)
                if self.complete:
                    return
                if entry is not None:
                    yield entry
                    if entry.kind == FILE and not entry.size:
                        yield End()

    def end(self) -> None:
        """The stream has ended: an error before its end mark."""
        if not self.complete:
            raise StreamLost("the files ended before their end mark")

    def _header(self, block: bytes) -> Entry | None:
        if not any(block):
            # Two empty blocks end the stream.
            self.complete, self._zero = self._zero, True
            return None
        self._zero = False
        # The sum counts its own field as spaces.
        total = sum(block) - sum(block[148:156]) + 8 * 32
        if _number(block[148:156]) != total:
            raise ProtocolError("the files are no tar stream")
        kind, size = block[156:157], _number(block[124:136])
        if kind in (b"x", b"L", b"K", b"g"):
            if size > MAX_EXTENSION:
                raise ProtocolError(f"an extended header of {size} bytes is longer than {MAX_EXTENSION}")
            self._extension, self._left, self._padding = kind, size, 0
            self._padding_after = -size % BLOCK
            if not size:
                self._extension = b""
            return None
        pax, self._pax = self._pax, {}
        if "size" in pax:
            size = _decimal(pax["size"])
        name = _text(block[0:100])
        prefix = _text(block[345:500]) if block[257:263] == b"ustar\0" else b""
        path = pax.get("path", prefix + b"/" + name if prefix else name)
        target = pax.get("linkpath", _text(block[157:257]))
        is_file = kind in (b"0", b"\0", b"7")
        if not is_file and kind not in (b"1", b"2", b"3", b"4", b"5", b"6"):
            raise ProtocolError(f"an entry is of the unknown kind {kind!r}")
        if is_file and path.endswith(b"/"):
            kind, is_file = b"5", False
        kinds = {b"5": FOLDER, b"2": LINK}
        entry = Entry(
            path=path,
            kind=FILE if is_file else kinds.get(kind, OTHER),
            size=size if is_file else 0,
            mode=_number(block[100:108]) & 0o7777,
            mtime=_time(pax.get("mtime"), _number(block[136:148])),
            target=target,
        )
        self._left = entry.size
        self._padding = -entry.size % BLOCK
        return entry

    def _extend(self, content: bytes) -> None:
        kind, self._padding = self._extension, self._padding_after
        if kind == b"L":
            self._pax["path"] = content.split(b"\0", 1)[0]
        elif kind == b"K":
            self._pax["linkpath"] = content.split(b"\0", 1)[0]
        elif kind == b"x":
            self._pax.update(_records(content))

    _padding_after = 0


def _records(content: bytes) -> dict[str, bytes]:
    """Pax records: each `LEN key=value\\n`, ended by its length and never by a line end."""
    found: dict[str, bytes] = {}
    at = 0
    while at < len(content):
        space = content.find(b" ", at, at + 20)
        digits = content[at:space] if space > at else b""
        length = int(digits) if digits.isdigit() else 0
        record = content[at : at + length]
        if length < space - at + 3 or len(record) != length or record[-1:] != b"\n":
            raise ProtocolError("a pax record is malformed")
        key, equals, value = record[space - at + 1 : -1].partition(b"=")
        if not equals:
            raise ProtocolError("a pax record is malformed")
        if key in (b"path", b"linkpath", b"mtime", b"size"):
            found[key.decode("ascii")] = value
        at += length
    return found


def _text(field: bytes) -> bytes:
    return field.split(b"\0", 1)[0]


def _number(field: bytes) -> int:
    if field[0] & 0x80:
        value = int.from_bytes(field[1:], "big")
        if field[0] != 0x80 or value > 1 << 62:
            raise ProtocolError("a number of a tar header is out of range")
        return value
    digits = field.strip(b" \0")
    if any(c not in b"01234567" for c in digits):
        raise ProtocolError("a number of a tar header is malformed")
    return int(digits, 8) if digits else 0


def _decimal(value: bytes) -> int:
    if not value.isdigit() or len(value) > 18:
        raise ProtocolError("a size of a tar header is malformed")
    return int(value)


def _time(pax: bytes | None, plain: int) -> float:
    if pax is None:
        return float(plain)
    try:
        value = float(pax)
    except ValueError as error:
        raise ProtocolError("a time of a tar header is malformed") from error
    if not abs(value) < 1 << 40:
        raise ProtocolError("a time of a tar header is out of range")
    return value


def pack(source: Path, top: str) -> Iterator[bytes]:
    """The file or tree at `source` as a stream whose top entry is `top`. Links are sent as links, except for `source`
    itself; sockets, fifos and devices are left out."""
    yield from _pack(source.resolve(strict=True), top, 0)
    yield b"\0" * (2 * BLOCK)


def pack_bytes(content: bytes, top: str, mode: int) -> Iterator[bytes]:
    """A stream with one file."""
    info = tarfile.TarInfo(top)
    info.size, info.mode = len(content), mode & 0o7777
    yield _header_of(info)
    for at in range(0, len(content), PIECE):
        yield content[at : at + PIECE]
    yield b"\0" * (-len(content) % BLOCK + 2 * BLOCK)


def _header_of(info: tarfile.TarInfo) -> bytes:
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")


def _pack(source: Path, name: str, depth: int) -> Iterator[bytes]:
    if depth > MAX_DEPTH:
        raise TransferFailed(f"folders are nested deeper than {MAX_DEPTH}", str(source))
    seen = source.lstat()
    info = tarfile.TarInfo(name)
    info.mode, info.mtime = stat.S_IMODE(seen.st_mode), int(seen.st_mtime)
    if stat.S_ISLNK(seen.st_mode):
        info.type, info.linkname = tarfile.SYMTYPE, os.readlink(source)
        yield _header_of(info)
    elif stat.S_ISDIR(seen.st_mode):
        info.type = tarfile.DIRTYPE
        yield _header_of(info)
        for child in sorted(os.listdir(source)):
            yield from _pack(source / child, f"{name}/{child}", depth + 1)
    elif stat.S_ISREG(seen.st_mode):
        # If it has become a fifo meanwhile, the open must not wait for a writer.
        descriptor = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            info.size = os.fstat(descriptor).st_size
            yield _header_of(info)
            yield from _content(file, info.size, source)
        yield b"\0" * (-info.size % BLOCK)


def _content(file: BinaryIO, size: int, source: Path) -> Iterator[bytes]:
    left = size
    while left:
        piece = file.read(min(left, PIECE))
        if not piece:
            raise TransferFailed("it became shorter while it was read", str(source))
        left -= len(piece)
        yield piece
