"""Both faces against a guest that means harm: what comes behind the upgrade is its own."""

from __future__ import annotations

import asyncio
import io
import os
import tarfile
import tempfile
import unittest
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from test_core import Server

from banger import Client, Result, Sandbox, errors
from banger import _frames as frames
from banger._schema import decode
from banger.aio import AsyncClient, AsyncSandbox
from banger.errors import LimitExceeded, ProtocolError, StreamLost, TransferFailed
from banger.models import Vm

UPGRADED = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: banger-stream\r\n\r\n"
BEGUN = frames.encode(frames.STDIN_TAKEN, bytes(8)) + frames.encode(frames.STARTED, bytes(4))
OUT = frames.encode(frames.STDOUT, b"x" * frames.MAX_FRAME)
ENDED = frames.encode(frames.EXIT, b'{"code":0}')

_TEXT = ("id", "name", "state", "image", "kernel", "engine", "net", "egress", "created_at")
_NUMBERS = ("vcpu", "memory_mib", "disk_bytes", "overlay_bytes")
VM: Vm = decode(
    Vm,
    {"publish": [], "ephemeral": False, "restart_needed": False}
    | dict.fromkeys(_TEXT, "x")
    | dict.fromkeys(_NUMBERS, 1),
)


def files(*frames_after: bytes, names: list[str] | None = None, link: str | None = None) -> bytes:
    """A transfer of a folder `top` with these files, or a link."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        top = tarfile.TarInfo("top")
        top.type, top.mode = tarfile.DIRTYPE, 0o755
        tar.addfile(top)
        if link is not None:
            info = tarfile.TarInfo("top/l")
            info.type, info.linkname = tarfile.SYMTYPE, link
            tar.addfile(info)
        for name in names or []:
            info = tarfile.TarInfo(name)
            info.size = 3
            tar.addfile(info, io.BytesIO(b"bad"))
    data = out.getvalue()
    pieces = [frames.encode(frames.DATA, data[at : at + 60_000]) for at in range(0, len(data), 60_000)]
    return b"".join(pieces) + b"".join(frames_after)


DONE = frames.encode(frames.END) + frames.encode(frames.DONE, b'{"entries":1,"bytes":3}')


class Hostile(unittest.TestCase):
    def both(
        self,
        said: bytes,
        plain: Callable[[Sandbox], Any],
        later: Callable[[AsyncSandbox], Awaitable[Any]],
        error: type[Exception] | None = None,
    ) -> list[Any]:
        """What both faces make of a guest that says this."""
        outcomes: list[Any] = []
        with Server(UPGRADED + said) as server:

            def waiting() -> Any:
                return plain(Sandbox(Client(socket=server.path), VM))

            def asynchronous() -> Any:
                return asyncio.run(self.bounded(later(AsyncSandbox(AsyncClient(socket=server.path), VM))))

            for run in (waiting, asynchronous):
                if error is None:
                    outcomes.append(run())
                else:
                    with self.assertRaises(error):
                        run()
        return outcomes

    async def bounded(self, outcome: Awaitable[Any]) -> Any:
        return await asyncio.wait_for(outcome, 20)

    def exec(self, said: bytes, error: type[Exception] | None = None, **more: Any) -> list[Any]:
        return self.both(said, lambda one: one.exec(["x"], **more), lambda one: one.exec(["x"], **more), error)

    def test_an_honest_guest_is_understood(self) -> None:
        for done in self.exec(BEGUN + frames.encode(frames.STDOUT, b"hi") + ENDED):
            self.assertEqual((done.exit_code, done.stdout), (0, "hi"))

    def test_frames_that_are_none_or_out_of_place_end_the_command(self) -> None:
        self.exec(b"\xff" * 100, ProtocolError)
        self.exec(BEGUN + frames.encode(frames.DATA, b"x"), ProtocolError)
        self.exec(BEGUN + b"\x11\x7f\xff\xff\xff", ProtocolError)
        self.exec(BEGUN + frames.encode(frames.EXIT, b'{"code":1e999}'), ProtocolError)
        self.exec(BEGUN + OUT[:100], StreamLost)
        self.exec(BEGUN, StreamLost)
        self.exec(b"", StreamLost)

    def test_a_flood_is_kept_within_the_limit(self) -> None:
        for done in self.exec(BEGUN + OUT * 200 + ENDED, max_output=1000):
            assert isinstance(done, Result)
            self.assertEqual((len(done.stdout_bytes), done.truncated), (1000, True))

    def test_words_of_a_guest_in_errors_are_one_line(self) -> None:
        said = frames.encode(frames.FAILED, b'{"kind":"not_found","message":"a\\n\\u001b[2Jb"}')
        with Server(UPGRADED + said) as server, self.assertRaises(errors.NoSuchProgram) as raised:
            Sandbox(Client(socket=server.path), VM).exec(["x"])
        self.assertNotRegex(str(raised.exception), "[\n\x1b]")

    def test_a_process_hears_of_it_and_writing_ends(self) -> None:
        def plain(sandbox: Sandbox) -> None:
            with sandbox.popen(["x"]) as process:
                list(process)

        async def later(sandbox: AsyncSandbox) -> None:
            async with await sandbox.popen(["x"]) as process:
                async for _ in process:
                    pass

        self.both(BEGUN + OUT + b"\xff" * 10, plain, later, ProtocolError)
        self.both(BEGUN + OUT, plain, later, StreamLost)

    def get(self, said: bytes, error: type[Exception] | None = None) -> None:
        with tempfile.TemporaryDirectory() as folder:
            target = Path(folder) / "target"
            (Path(folder) / "outside").write_text("kept")
            self.both(said, lambda one: one.get("/x", target), lambda one: one.get("/x", target), error)
            self.assertLessEqual(set(os.listdir(folder)), {"outside", "target"})
            self.assertEqual((Path(folder) / "outside").read_text(), "kept")

    def test_files_of_a_guest_stay_in_their_folder(self) -> None:
        self.get(files(DONE, names=["top/good"]))
        for name in ("top/../outside", "../outside", "/etc/passwd", "other/x"):
            self.get(files(DONE, names=[name]), TransferFailed)
        self.get(files(DONE, names=["top/l/outside"], link=".."), TransferFailed)

    def test_transfers_that_break_off_or_lie_are_errors(self) -> None:
        self.get(files(names=["top/good"]), StreamLost)
        self.get(files(names=["top/good"]) + frames.encode(frames.END), StreamLost)
        self.get(files(frames.encode(frames.DONE, b"{}"), names=["top/good"]), ProtocolError)
        self.get(frames.encode(frames.DATA, b"x" * 600) + DONE, ProtocolError)
        self.get(DONE, StreamLost)
        failed = frames.encode(frames.TRANSFER_FAILED, b'{"path":"/x\\n","message":"no"}')
        self.get(files(failed, names=["top/good"]), TransferFailed)

    def test_a_file_that_is_read_is_one_file_of_a_size_that_is_allowed(self) -> None:
        def read(said: bytes, error: type[Exception]) -> None:
            self.both(said, lambda one: one.read_bytes("/x", max_bytes=2), lambda one: one.read_bytes("/x"), error)

        read(files(DONE, names=["top/a"]), TransferFailed)
        info = tarfile.TarInfo("a")
        info.size = 1 << 40
        header = frames.encode(frames.DATA, info.tobuf())
        read(header, LimitExceeded)

    def test_a_guest_that_takes_no_files_and_lies_about_it_is_an_error(self) -> None:
        content = b"x" * 2_000_000
        for said, error in [
            (frames.encode(frames.DONE, b"{}"), ProtocolError),
            (frames.encode(frames.STDOUT, b""), ProtocolError),
            (b"", StreamLost),
        ]:
            self.both(
                said, lambda one: one.write_bytes("/x/y", content), lambda one: one.write_bytes("/x/y", content), error
            )


if __name__ == "__main__":
    unittest.main()
