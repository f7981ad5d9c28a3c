"""Files between this host and a guest, as flows of tar streams in frames."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from . import _frames as frames
from . import _routes as routes
from ._flow import Call, Exchange, Flow, Moved, Work, upgrade
from ._tar import FILE, End, Entry, TarReader, pack, pack_bytes
from ._unpack import Limits, Links, Transfer, Unpacker
from .errors import LimitExceeded, ProtocolError, StreamLost, TransferFailed

MAX_READ = 64 * 1024 * 1024
"""Bytes of a file that are read into memory, where the caller says nothing else."""


def put(reference: str, local: Path, remote: str) -> Flow[Transfer]:
    """The file or folder `local` becomes `remote`. A folder that is there gets the contents."""
    folder = yield Work(local.is_dir)
    if folder:
        stream = pack(local, "folder")
        return (yield from _send(reference, remote, True, stream))
    where, name = _split(remote)
    return (yield from _send(reference, where, False, pack(local, name)))


def write(reference: str, remote: str, content: bytes, mode: int) -> Flow[None]:
    """`content` becomes the file `remote`."""
    where, name = _split(remote)
    yield from _send(reference, where, False, pack_bytes(content, name, mode))


def _split(remote: str) -> tuple[str, str]:
    """The folder, with the slash that says that it is one, and the name in it."""
    folder, name = posixpath.split(remote)
    if not remote.startswith("/"):
        raise ValueError(f'"{remote}" is not an absolute path of the guest')
    if name in ("", ".", ".."):
        raise ValueError(f'"{remote}" does not name a file')
    return folder if folder.endswith("/") else folder + "/", name


def _send(reference: str, path: str, contents: bool, stream: Iterator[bytes]) -> Flow[Transfer]:
    query = [("path", path)] + ([("contents", "true")] if contents else [])
    first = yield from upgrade(Call(routes.PUT, reference, query))
    decoder = frames.Frames()
    done = _answer_of(decoder.feed(first))
    ended = False
    out = bytearray()
    while done is None:
        while not ended and len(out) < frames.MAX_FRAME:
            piece = yield Work(lambda: next(stream, None))
            if piece is None:
                out += frames.encode(frames.END)
                ended = True
            else:
                out += frames.encode(frames.DATA, piece)
        moved: Moved = yield Exchange(bytes(out))
        del out[: moved.sent]
        if moved.data is not None:
            if not moved.data:
                decoder.end()
                raise StreamLost("lost the guest while files were copied to it")
            done = _answer_of(decoder.feed(moved.data))
    return done


def _answer_of(heard: list[tuple[int, bytes]]) -> Transfer | None:
    for kind, payload in heard:
        if kind == frames.DONE:
            said = frames.fields(kind, payload)
            entries, size = said.get("entries"), said.get("bytes")
            if not isinstance(entries, int) or not isinstance(size, int):
                raise ProtocolError("the end of a transfer does not hold what it should")
            return Transfer(entries=entries, bytes=size)
        if kind == frames.TRANSFER_FAILED:
            raise _failed(payload)
        raise ProtocolError(f"a frame of kind {kind} has no place in a transfer")
    return None


def _failed(payload: bytes) -> TransferFailed:
    said = frames.fields(frames.TRANSFER_FAILED, payload)
    return TransferFailed(frames.harmless(said.get("message", "")), frames.harmless(said.get("path", "")))


def get(reference: str, remote: str, local: Path, limits: Limits, links: Links) -> Flow[Transfer]:
    """The file or folder `remote` becomes `local`. A folder that is there gets the contents."""
    unpacker = Unpacker(local, limits, links)
    try:
        yield from _receive(reference, remote, True, unpacker.feed)
        done: Transfer = yield Work(unpacker.finish)
        return done
    finally:
        unpacker.close()


def read(reference: str, remote: str, max_bytes: int) -> Flow[bytes]:
    """The content of the file `remote`."""
    reader = TarReader()
    content = bytearray()
    seen: list[Entry] = []

    def take(data: bytes) -> None:
        for piece in reader.feed(data):
            if isinstance(piece, Entry):
                if seen or piece.kind != FILE:
                    raise TransferFailed("it is not a file", remote)
                if piece.size > max_bytes:
                    raise LimitExceeded(f"{remote} has {piece.size} bytes: {max_bytes} are allowed")
                seen.append(piece)
            elif not isinstance(piece, End):
                content.extend(piece)

    yield from _receive(reference, remote, True, take)
    reader.end()
    if not seen:
        raise TransferFailed("it is not a file", remote)
    return bytes(content)


def _receive(reference: str, remote: str, follow: bool, take: Any) -> Flow[None]:
    query = [("path", remote)] + ([("follow", "true")] if follow else [])
    data: bytes | None = (yield from upgrade(Call(routes.GET, reference, query))) or None
    decoder = frames.Frames()
    ended = False
    while True:
        for kind, payload in decoder.feed(data or b""):
            if kind == frames.DATA and not ended:
                yield Work(lambda payload=payload: take(payload))  # type: ignore[misc]
            elif kind == frames.END:
                ended = True
            elif kind == frames.DONE and ended:
                return
            elif kind == frames.TRANSFER_FAILED:
                raise _failed(payload)
            else:
                raise ProtocolError(f"a frame of kind {kind} has no place in a transfer")
        moved: Moved = yield Exchange()
        data = moved.data
        if data == b"":
            decoder.end()
            raise StreamLost("lost the guest while files were copied from it")
