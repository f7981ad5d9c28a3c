"""Files that come from a guest, which may want to write elsewhere on this host."""

from __future__ import annotations

import io
import os
import random
import tarfile
import tempfile
import unittest
from pathlib import Path

from banger._tar import MAX_EXTENSION, End, Entry, TarReader, pack, pack_bytes
from banger._unpack import Limits, Links, Transfer, Unpacker
from banger.errors import BangerError, LimitExceeded, ProtocolError, StreamLost, TransferFailed


class Tree(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = Path(folder.name)
        self.target = self.root / "target"

    def unpack(
        self, stream: bytes, links: Links = "inside", limits: Limits | None = None, piece: int = 700
    ) -> Transfer:
        unpacker = Unpacker(self.target, limits or Limits(), links)
        try:
            for at in range(0, len(stream), piece):
                unpacker.feed(stream[at : at + piece])
            return unpacker.finish()
        finally:
            unpacker.close()


def stream(*entries: tarfile.TarInfo | tuple[tarfile.TarInfo, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for one in entries:
            info, content = one if isinstance(one, tuple) else (one, b"")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return out.getvalue()


def folder(name: str, mode: int = 0o755) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.mode = tarfile.DIRTYPE, mode
    return info


def file(name: str, content: bytes = b"x", mode: int = 0o644) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.mode = mode
    return info, content


def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


class Unpacking(Tree):
    def test_a_tree_comes_out_as_it_went_in(self) -> None:
        source = self.root / "source"
        (source / "deep" / ("n" * 120)).mkdir(parents=True)
        (source / "deep" / ("n" * 120) / "ü file").write_bytes(b"content" * 30_000)
        (source / "empty").write_bytes(b"")
        (source / "run").write_text("#!/bin/sh\n")
        (source / "run").chmod(0o755)
        (source / "deep" / "link").symlink_to("../run")
        os.mkfifo(source / "fifo")
        os.utime(source / "run", (1_000_000, 1_000_000))
        sent = b"".join(pack(source, "top"))
        done = self.unpack(sent)
        self.assertEqual((done.entries, done.left_out), (7, []))
        self.assertEqual((self.target / "deep" / ("n" * 120) / "ü file").read_bytes(), b"content" * 30_000)
        self.assertEqual((self.target / "run").stat().st_mode & 0o7777, 0o755)
        self.assertEqual((self.target / "run").stat().st_mtime, 1_000_000)
        self.assertEqual(os.readlink(self.target / "deep" / "link"), "../run")
        self.assertFalse((self.target / "fifo").exists())
        again = self.unpack(sent)
        self.assertEqual(again.entries, 7)

    def test_the_stream_is_what_other_tools_take(self) -> None:
        sent = b"".join(pack_bytes(b"hello", "name", 0o600))
        with tarfile.open(fileobj=io.BytesIO(sent)) as tar:
            (info,) = tar.getmembers()
            self.assertEqual((info.name, info.size, info.mode), ("name", 5, 0o600))

    def test_a_single_file_replaces_the_target_whole(self) -> None:
        self.target.write_text("old")
        self.unpack(stream(file("name", b"new")))
        self.assertEqual(self.target.read_text(), "new")
        self.assertEqual(os.listdir(self.root), ["target"])

    def test_set_user_id_is_dropped(self) -> None:
        self.unpack(stream(folder("top"), file("top/su", mode=0o6755)))
        self.assertEqual((self.target / "su").stat().st_mode & 0o7777, 0o755)


class Hostile(Tree):
    def setUp(self) -> None:
        super().setUp()
        self.outside = self.root / "outside"
        self.outside.mkdir()
        (self.outside / "kept").write_text("kept")

    def assert_untouched(self) -> None:
        self.assertEqual(os.listdir(self.outside), ["kept"])
        self.assertEqual((self.outside / "kept").read_text(), "kept")
        self.assertLessEqual(set(os.listdir(self.root)), {"outside", "target"})
        left = [name for _, _, names in os.walk(self.target) for name in names if name.startswith(".banger")]
        self.assertEqual(left, [])

    def test_names_that_lead_out_are_refused(self) -> None:
        for name in ("../outside/kept", "/outside/kept", "top/../../outside/kept", "top/..", "other/kept", "top"):
            with self.assertRaises(TransferFailed, msg=name):
                self.unpack(stream(folder("top"), file(name)))
            self.assert_untouched()

    def test_a_link_of_the_stream_is_not_followed(self) -> None:
        for target in (str(self.outside), "../outside"):
            for links in ("inside", "all"):
                with self.assertRaises(TransferFailed):
                    self.unpack(stream(folder("top"), link("top/l", target), file("top/l/kept")), links)
                self.assert_untouched()

    def test_a_link_that_was_there_before_is_not_followed(self) -> None:
        self.target.mkdir()
        (self.target / "l").symlink_to(self.outside)
        with self.assertRaises(TransferFailed):
            self.unpack(stream(folder("top"), file("top/l/kept")))
        (self.target / "f").symlink_to(self.outside / "kept")
        self.unpack(stream(folder("top"), file("top/f", b"new")))
        self.assertFalse((self.target / "f").is_symlink())
        self.assert_untouched()

    def test_links_that_lead_out_are_left_out_and_named(self) -> None:
        out = ["/etc/passwd", "../outside", "a/../../outside", "d/../..", ""]
        links = [link(f"top/l{at}", target) for at, target in enumerate(out)]
        inside = [link("top/good", "d/x"), link("top/d/up", "../good")]
        done = self.unpack(stream(folder("top"), folder("top/d"), *links, *inside))
        self.assertEqual(done.left_out, [f"top/l{at}" for at in range(len(out))])
        self.assertEqual(sorted(os.listdir(self.target)), ["d", "good"])
        self.assert_untouched()

    def test_a_link_through_a_link_cannot_leave(self) -> None:
        # `d` leads up inside; `d/../..` would be outside if it were made.
        tree = [
            folder("top"),
            folder("top/a"),
            folder("top/a/b"),
            link("top/a/b/d", "../.."),
            link("top/e", "a/b/d/../x"),
        ]
        done = self.unpack(stream(*tree))
        self.assertEqual(done.left_out, ["top/e"])

    def test_hard_links_devices_and_fifos_are_left_out(self) -> None:
        odd = [link("top/h", str(self.outside / "kept"), tarfile.LNKTYPE), link("top/n", "", tarfile.CHRTYPE)]
        odd.append(link("top/p", "", tarfile.FIFOTYPE))
        done = self.unpack(stream(folder("top"), *odd))
        self.assertEqual(done.left_out, ["top/h", "top/n", "top/p"])
        self.assertEqual(os.listdir(self.target), [])

    def test_more_than_the_limits_is_refused_and_nothing_half_made_stays(self) -> None:
        many = [file(f"top/{at}") for at in range(20)]
        with self.assertRaises(LimitExceeded):
            self.unpack(stream(folder("top"), *many), limits=Limits(entries=10))
        with self.assertRaises(LimitExceeded):
            self.unpack(stream(folder("top"), file("top/big", b"x" * 5000)), limits=Limits(bytes=1000))
        self.assertFalse((self.target / "big").exists())
        self.assert_untouched()

    def test_a_stream_that_is_cut_leaves_no_half_file(self) -> None:
        whole = stream(folder("top"), file("top/big", b"x" * 5000))
        for at in (0, 100, 600, 1500, 3000):
            with self.assertRaises(StreamLost):
                self.unpack(whole[:at])
        self.assertFalse((self.target / "big").exists())
        self.assert_untouched()

    def test_headers_of_any_size_and_malformed_ones_are_refused(self) -> None:
        long = stream(file("x" * (MAX_EXTENSION + 10)))
        broken = bytearray(stream(file("top")))
        broken[0] ^= 1
        for bad in (long, bytes(broken), b"x" * 512, b"\xff" * 512):
            with self.assertRaises(ProtocolError):
                self.unpack(bad)
        for record in (b"5 path=", b"99 path=x\n", b"x path=x\n", b"10 path-xy\n", b"1 \n"):
            info = tarfile.TarInfo("pax")
            info.type, info.size = tarfile.XHDTYPE, len(record)
            header = info.tobuf(tarfile.USTAR_FORMAT) + record.ljust(512, b"\0")
            with self.assertRaises(ProtocolError, msg=record):
                self.unpack(header + stream(file("top")))

    def test_no_bytes_do_more_than_raise_an_error_of_the_package(self) -> None:
        rng = random.Random(3)
        whole = stream(folder("top"), file("top/a", b"y" * 900), link("top/l", "a"), file("top/" + "n" * 150, b"z"))
        for _ in range(400):
            broken = bytearray(whole)
            for _ in range(rng.randrange(1, 6)):
                broken[rng.randrange(len(broken))] = rng.randrange(256)
            # A sum that is right again lets more of it be read.
            for at in range(0, len(broken) - 511, 512):
                block = broken[at : at + 512]
                if any(block) and block[257:262] == b"ustar":
                    total = sum(block) - sum(block[148:156]) + 256
                    broken[at + 148 : at + 156] = b"%06o\0 " % total
            try:
                self.unpack(bytes(broken), limits=Limits(bytes=1 << 20))
            except BangerError:
                pass
            except OSError as error:
                # A name or a mode that this host cannot have, or the top of the tree under another one.
                self.assertNotIn("outside", str(error))
            self.assert_untouched()

    def test_a_file_that_is_no_top_of_a_tree_is_refused(self) -> None:
        for first in (link("top", "/etc"), folder("a/b")):
            with self.assertRaises(TransferFailed):
                self.unpack(stream(first))


class Reading(unittest.TestCase):
    def test_memory_is_bounded_by_a_block(self) -> None:
        reader = TarReader()
        big = tarfile.TarInfo("big")
        big.size = 1 << 40
        pieces = list(reader.feed(big.tobuf(tarfile.PAX_FORMAT)))
        self.assertIsInstance(pieces[0], Entry)
        for _ in range(100):
            self.assertEqual(list(reader.feed(b"x" * 10_000)), [b"x" * 10_000])

    def test_an_empty_file_ends(self) -> None:
        pieces = list(TarReader().feed(stream(file("a", b""))))
        self.assertEqual([type(one) for one in pieces], [Entry, End])


if __name__ == "__main__":
    unittest.main()
