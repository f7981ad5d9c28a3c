"""Places of the daemon, found as the command line finds them, and its start.

    BANGER_HOME set:  $BANGER_HOME/{state/, run/}
    else (XDG):       ~/.local/state/banger/   $XDG_RUNTIME_DIR/banger/

`state/daemon.json` says where a daemon listens, whatever the environment of whoever started it.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import socket as sockets
import struct
import subprocess
from pathlib import Path

from .errors import DaemonUnavailable

MAX_ANNOUNCEMENT = 64 * 1024
START_SECONDS = 300
CONNECT_SECONDS = 10.0


class Place:
    """One daemon's place: how it is found, reached and started."""

    def __init__(
        self,
        *,
        socket: str | os.PathLike[str] | None = None,
        home: str | os.PathLike[str] | None = None,
        binary: str | os.PathLike[str] | None = None,
        autostart: bool = True,
    ) -> None:
        if socket is not None and home is not None:
            raise ValueError("name either a socket or a home")
        self._socket = None if socket is None else Path(socket)
        self._home = None if home is None else Path(home).absolute()
        self._binary = binary
        self._autostart = autostart and socket is None

    def connect(self, start: bool = True) -> sockets.socket | None:
        """A connection, not blocking; `None` when no daemon listens and one may be started by `revive`."""
        try:
            return self._connect()
        except OSError as error:
            absent = error.errno in (errno.ENOENT, errno.ECONNREFUSED, errno.ENOTDIR)
            if absent and start and self._autostart:
                return None
            why = "no daemon listens there" if absent else error.strerror or str(error)
            raise DaemonUnavailable(f"cannot connect to {self.socket()}: {why}") from error

    def connect_again(self) -> sockets.socket:
        """A connection to the daemon that was started."""
        try:
            return self._connect()
        except OSError as error:
            raise DaemonUnavailable(f"cannot connect to {self.socket()}: {error.strerror}") from error

    def socket(self) -> Path:
        """The socket that is announced, or the place where one would be."""
        if self._socket is not None:
            return self._socket
        state, run = self._folders()
        try:
            with open(state / "daemon.json", "rb") as file:
                told = json.loads(file.read(MAX_ANNOUNCEMENT))["socket"]
            return Path(os.fsdecode(bytes(told)) if isinstance(told, list) else str(told))
        except FileNotFoundError:
            return run / "daemon.sock"
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DaemonUnavailable(f"{state / 'daemon.json'} cannot be read: {error}") from error

    def revive(self) -> None:
        """Makes a daemon answer: the command line starts one for its first command, and waits for one that ends."""
        if not self._autostart:
            return
        binary = self.binary()
        environment = dict(os.environ)
        if self._home is not None:
            environment["BANGER_HOME"] = str(self._home)
        try:
            done = subprocess.run(
                [binary, "ps", "--quiet"],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                timeout=START_SECONDS,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise DaemonUnavailable(f"cannot start the daemon by {binary}: {error}") from error
        if done.returncode != 0:
            said = done.stderr.decode("utf-8", "replace").strip()
            raise DaemonUnavailable(f"cannot start the daemon: {said or f'{binary} ended with {done.returncode}'}")

    def binary(self) -> str:
        """The program `banger`: named, in `BANGER_BIN`, or on `PATH`."""
        named = self._binary or os.environ.get("BANGER_BIN")
        found = os.fspath(named) if named else shutil.which("banger")
        if not found:
            raise DaemonUnavailable('no daemon answers, and no program "banger" is on PATH to start one')
        return found

    def _folders(self) -> tuple[Path, Path]:
        home = self._home or _absolute("BANGER_HOME")
        if home is not None:
            return home / "state", home / "run"
        user = _absolute("HOME")
        if user is None:
            raise DaemonUnavailable("neither BANGER_HOME nor HOME is set")
        named = os.environ.get("XDG_STATE_HOME", "")
        state = (Path(named) if os.path.isabs(named) else user / ".local/state") / "banger"
        runtime = os.environ.get("XDG_RUNTIME_DIR", "")
        return state, Path(runtime) / "banger" if os.path.isabs(runtime) else state / "run"

    def _connect(self) -> sockets.socket:
        path = self.socket()
        connection = sockets.socket(sockets.AF_UNIX, sockets.SOCK_STREAM)
        try:
            connection.settimeout(CONNECT_SECONDS)
            _connect_any_length(connection, path)
            _refuse_strangers(connection, path)
            connection.setblocking(False)
        except BaseException:
            connection.close()
            raise
        return connection


def _absolute(variable: str) -> Path | None:
    value = os.environ.get(variable)
    if not value:
        return None
    if not os.path.isabs(value):
        raise DaemonUnavailable(f'{variable} must be an absolute path, not "{value}"')
    return Path(value)


def _connect_any_length(connection: sockets.socket, path: Path) -> None:
    """An address holds 107 bytes; a longer path is reached through its open folder."""
    if len(os.fsencode(path)) <= 107:
        connection.connect(os.fspath(path))
        return
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        connection.connect(f"/proc/self/fd/{folder}/{path.name}")
    finally:
        os.close(folder)


def _refuse_strangers(connection: sockets.socket, path: Path) -> None:
    """The server must be this user's or root's: calls carry private data; anybody may listen in an open folder."""
    credentials = connection.getsockopt(sockets.SOL_SOCKET, sockets.SO_PEERCRED, struct.calcsize("3i"))
    _, uid, _ = struct.unpack("3i", credentials)
    if uid not in (0, os.geteuid()):
        raise DaemonUnavailable(f"what listens at {path} belongs to user {uid}, not to you")
