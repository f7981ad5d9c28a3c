"""Unpacking what a guest sends, on this host. The guest is not trusted.

The caller alone decides the target: the top name of the stream is replaced by it. Everything below is made from an open
folder, one name at a time, and no link is ever followed on the way: not one that was there before, not one of the
stream. So no entry leaves the target. Set-user-id bits are dropped; devices, fifos and hard links are left out; a link
that leads out of the target is left out, unless the caller wants all links as they are. Entries, bytes and depth have
limits.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from ._tar import FILE, FOLDER, LINK, MAX_DEPTH, End, Entry, TarReader
from .errors import LimitExceeded, TransferFailed

Links = Literal["inside", "all", "none"]
"""Symbolic links that are made: those that stay inside the target, all as they are, or none."""

_OPEN_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True)
class Limits:
    """Most that is taken from a guest."""

    bytes: int = 16 * 1024**3
    entries: int = 1_000_000


@dataclass
class Transfer:
    """Outcome of a copy: what was made, and the names of what was left out."""

    entries: int = 0
    bytes: int = 0
    left_out: list[str] = field(default_factory=list)


MAX_LEFT_OUT = 1000
"""Names of what was left out that are kept."""


class Unpacker:
    """Makes one file or one tree at `target`. Files appear whole, under their name, or not at all."""

    def __init__(self, target: Path, limits: Limits, links: Links) -> None:
        self.done = Transfer()
        self.reader = TarReader()
        self._target = target
        self._limits = limits
        self._links = links
        self._top: bytes | None = None
        self._root: int | None = None
        self._file: int | None = None
        self._making: tuple[int, str, bytes, Entry] | None = None
        self._finish: list[tuple[list[bytes], Entry]] = []

    def feed(self, data: bytes) -> None:
        """Takes bytes of the stream."""
        for piece in self.reader.feed(data):
            if isinstance(piece, Entry):
                self._begin(piece)
            elif isinstance(piece, End):
                self._end_file()
            else:
                self.done.bytes += len(piece)
                if self.done.bytes > self._limits.bytes:
                    raise LimitExceeded(f"more than {self._limits.bytes} bytes came from the guest")
                assert self._file is not None
                _write_all(self._file, piece)

    def finish(self) -> Transfer:
        """The stream has ended: sets modes and times of folders."""
        self.reader.end()
        if self._top is None:
            raise TransferFailed("it is neither a file nor a folder")
        for names, entry in reversed(self._finish):
            folder = self._folder(names)
            try:
                os.fchmod(folder, entry.mode & 0o777)
                _set_time(folder, entry)
            finally:
                os.close(folder)
        return self.done

    def close(self) -> None:
        """Removes a file that is not whole, and closes everything."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
        if self._making is not None:
            folder, beside, _, _ = self._making
            with contextlib.suppress(OSError):
                os.unlink(beside, dir_fd=folder)
            os.close(folder)
            self._making = None
        if self._root is not None:
            os.close(self._root)
            self._root = None

    def _begin(self, entry: Entry) -> None:
        self.done.entries += 1
        if self.done.entries > self._limits.entries:
            raise LimitExceeded(f"more than {self._limits.entries} entries came from the guest")
        names = _names(entry.path)
        if self._top is None:
            self._top = names[0]
            if len(names) > 1:
                raise TransferFailed("the first entry is not the top of a tree", _shown(entry.path))
            self._begin_top(entry)
            return
        if names[0] != self._top or len(names) == 1 or self._root is None:
            raise TransferFailed("an entry is outside the tree that was asked for", _shown(entry.path))
        self._make(names[1:], entry)

    def _begin_top(self, entry: Entry) -> None:
        target = self._target
        if entry.kind == FOLDER:
            target.mkdir(exist_ok=True)
            self._root = os.open(target, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        elif entry.kind == FILE:
            if target.is_dir():
                raise TransferFailed("there is a folder of this name", str(target))
            parent = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            self._begin_file(parent, os.fsencode(target.name), entry)
        else:
            raise TransferFailed("it is neither a file nor a folder", _shown(entry.path))

    def _make(self, names: list[bytes], entry: Entry) -> None:
        if entry.kind == FOLDER:
            self._make_folder(names, entry)
        elif entry.kind == FILE:
            self._begin_file(self._folder(names[:-1]), names[-1], entry)
        elif entry.kind == LINK and self._wanted(names, entry.target):
            self._make_link(names, entry)
        elif len(self.done.left_out) < MAX_LEFT_OUT:
            self.done.left_out.append(_shown(entry.path))

    def _make_folder(self, names: list[bytes], entry: Entry) -> None:
        parent = self._folder(names[:-1])
        try:
            os.mkdir(names[-1], 0o700, dir_fd=parent)
            # One that was there before keeps its mode and time.
            self._finish.append((names, entry))
        except FileExistsError:
            if not stat.S_ISDIR(os.lstat(names[-1], dir_fd=parent).st_mode):
                raise TransferFailed("there is something else of this name", _shown(entry.path)) from None
        finally:
            os.close(parent)

    def _begin_file(self, folder: int, name: bytes, entry: Entry) -> None:
        beside = f".banger-incoming-{secrets.token_hex(8)}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            self._file = os.open(beside, flags, 0o600, dir_fd=folder)
        except OSError:
            os.close(folder)
            raise
        self._making = (folder, beside, name, entry)

    def _end_file(self) -> None:
        assert self._file is not None and self._making is not None
        folder, beside, name, entry = self._making
        os.fchmod(self._file, entry.mode & 0o777)
        _set_time(self._file, entry)
        try:
            os.rename(beside, name, src_dir_fd=folder, dst_dir_fd=folder)
        except IsADirectoryError:
            raise TransferFailed("there is a folder of this name", _shown(entry.path)) from None
        os.close(self._file)
        os.close(folder)
        self._file = self._making = None

    def _make_link(self, names: list[bytes], entry: Entry) -> None:
        folder = self._folder(names[:-1])
        beside = f".banger-incoming-{secrets.token_hex(8)}".encode()
        try:
            os.symlink(entry.target, beside, dir_fd=folder)
            try:
                os.rename(beside, names[-1], src_dir_fd=folder, dst_dir_fd=folder)
            except OSError as error:
                os.unlink(beside, dir_fd=folder)
                raise TransferFailed("there is a folder of this name", _shown(entry.path)) from error
        finally:
            os.close(folder)

    def _wanted(self, names: list[bytes], target: bytes) -> bool:
        """Tells whether a link is to be made.

        It stays inside when it first goes up no further than its own folder's depth, and then only down: `..` behind a
        name could leave through another link.
        """
        if self._links != "inside":
            return self._links == "all" and bool(target)
        parts = [part for part in target.split(b"/") if part not in (b"", b".")]
        up = 0
        while up < len(parts) and parts[up] == b"..":
            up += 1
        return bool(target) and not target.startswith(b"/") and b".." not in parts[up:] and up <= len(names) - 1

    def _folder(self, names: list[bytes]) -> int:
        """The folder below the target, opened without following a link."""
        assert self._root is not None
        folder = os.dup(self._root)
        for name in names:
            try:
                inner = os.open(name, _OPEN_FOLDER, dir_fd=folder)
            except OSError as error:
                why = f"its folder cannot be entered: {error.strerror}"
                raise TransferFailed(why, _shown(b"/".join(names))) from None
            finally:
                os.close(folder)
            folder = inner
        return folder


def _names(path: bytes) -> list[bytes]:
    names = [name for name in path.split(b"/") if name not in (b"", b".")]
    if path.startswith(b"/") or not names or b".." in names or b"\0" in path:
        raise TransferFailed("an entry has a name that leads out of the tree", _shown(path))
    if len(names) > MAX_DEPTH or any(len(name) > 255 for name in names):
        raise TransferFailed("an entry's name is too long", _shown(path))
    return names


def _shown(path: bytes) -> str:
    text = path[:500].decode("utf-8", "replace")
    return "".join(c if c.isprintable() else "?" for c in text)


def _write_all(file: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(file, view) :]


def _set_time(descriptor: int, entry: Entry) -> None:
    # A file system may not know a time that is far away.
    with contextlib.suppress(OSError, OverflowError):
        os.utime(descriptor, (entry.mtime, entry.mtime))
