"""The core without a daemon: what may come over a wire, also from somebody who means harm."""

from __future__ import annotations

import json
import os
import random
import socket
import struct
import tempfile
import threading
import unittest
from pathlib import Path

from banger import Client, errors
from banger import _frames as frames
from banger import _routes as routes
from banger._exec import Ended, Session, Stderr, Stdout, TimedOut
from banger._frames import Frames
from banger._http import MAX_CHUNK_LINE, MAX_HEAD, Answer, request
from banger._schema import decode
from banger._size import size_of
from banger._sse import MAX_EVENT, MAX_LINE, Events
from banger.errors import ProtocolError, StreamLost
from banger.models import Publish, Vm


def cut(data: bytes, rng: random.Random) -> list[bytes]:
    """The same bytes in pieces."""
    pieces = []
    while data:
        size = rng.randrange(1, 40)
        pieces.append(data[:size])
        data = data[size:]
    return pieces


class Http(unittest.TestCase):
    def body(self, text: bytes, seed: int = 0, end: bool = False) -> bytes:
        answer, body = Answer(), b""
        for piece in cut(text, random.Random(seed)):
            body += b"".join(answer.feed(piece))
        if end:
            answer.end()
        self.assertTrue(answer.complete)
        return body

    def test_bodies_by_length_in_chunks_and_until_the_end_come_whole_however_they_are_cut(self) -> None:
        for seed in range(50):
            self.assertEqual(self.body(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", seed), b"hello")
            chunked = (
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nhel\r\n2\r\nlo\r\n0\r\nA: b\r\n\r\n"
            )
            self.assertEqual(self.body(chunked, seed), b"hello")
            self.assertEqual(self.body(b"HTTP/1.1 200 OK\r\n\r\nhello", seed, end=True), b"hello")

    def test_an_answer_before_the_answer_is_passed_over(self) -> None:
        text = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx"
        self.assertEqual(self.body(text), b"x")

    def test_what_follows_an_upgrade_is_kept(self) -> None:
        answer = Answer()
        self.assertEqual(answer.feed(b"HTTP/1.1 101 Switching\r\nUpgrade: banger-stream\r\n\r\n\x11abc"), [])
        self.assertEqual(answer.rest(), b"\x11abc")

    def test_heads_and_lines_without_an_end_are_refused_at_their_limit(self) -> None:
        with self.assertRaises(ProtocolError):
            Answer().feed(b"HTTP/1.1 200 OK\r\nX: " + b"x" * MAX_HEAD)
        answer = Answer()
        answer.feed(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        with self.assertRaises(ProtocolError):
            answer.feed(b"1" * (MAX_CHUNK_LINE + 1))

    def test_what_is_no_http_is_refused(self) -> None:
        for text in (
            b"SSH-2.0-OpenSSH\r\n\r\n",
            b"HTTP/1.1 abc\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
            b"HTTP/1.1 100 Continue\r\n\r\n" * 9,
        ):
            with self.assertRaises(ProtocolError, msg=text):
                Answer().feed(text)

    def test_an_answer_that_is_cut_off_is_lost(self) -> None:
        for text in (b"HTTP/1.1 2", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel"):
            answer = Answer()
            answer.feed(text)
            with self.assertRaises(StreamLost):
                answer.end()

    def test_a_name_is_one_part_of_a_path_and_nothing_more(self) -> None:
        self.assertEqual(routes.START.target(("a/../b?c#d%2e",), []), "/v1/vms/a%2F..%2Fb%3Fc%23d%252e/start")
        self.assertEqual(routes.VM.target(("Ü",), []), "/v1/vms/%C3%9C")
        for wrong in ((), ("",), ("..",), ("a", "b")):
            with self.assertRaises(ValueError, msg=wrong):
                routes.START.target(wrong, [])

    def test_a_path_cannot_smuggle_a_second_request(self) -> None:
        with self.assertRaises(ProtocolError):
            request("GET", "/v1/vms HTTP/1.1\r\nX: y")


class FramesOfAGuest(unittest.TestCase):
    def test_frames_come_back_however_they_are_cut(self) -> None:
        sent = [(frames.STDOUT, b"x" * frames.MAX_FRAME), (frames.STDERR, b""), (frames.SIGNAL_TAKEN, b"\x02")]
        text = b"".join(frames.encode(kind, payload) for kind, payload in sent)
        for seed in range(3):
            decoder, heard = Frames(), []
            for piece in cut(text, random.Random(seed)):
                heard += decoder.feed(piece)
            decoder.end()
            self.assertEqual(heard, sent)

    def test_a_frame_above_the_limit_is_refused_by_its_header_alone(self) -> None:
        with self.assertRaises(ProtocolError):
            Frames().feed(struct.pack(">BI", frames.STDOUT, frames.MAX_FRAME + 1))
        with self.assertRaises(ProtocolError):
            frames.encode(frames.STDIN, b"x" * (frames.MAX_FRAME + 1))

    def test_unknown_kinds_wrong_lengths_and_wrong_json_are_refused(self) -> None:
        for kind, payload in [(99, b""), (frames.SIGNAL, b""), (frames.END, b"x"), (frames.STDIN_TAKEN, b"1")]:
            with self.assertRaises(ProtocolError):
                Frames().feed(struct.pack(">BI", kind, len(payload)) + payload)
        for payload in (b"{", b"[]", b"\xff", b"[" * 60000):
            with self.assertRaises(ProtocolError):
                frames.fields(frames.EXIT, payload)

    def test_a_stream_that_ends_inside_a_frame_is_lost(self) -> None:
        decoder = Frames()
        decoder.feed(frames.encode(frames.STDOUT, b"abc")[:-1])
        with self.assertRaises(StreamLost):
            decoder.end()

    def test_no_bytes_do_more_than_raise_an_error_of_the_package(self) -> None:
        rng = random.Random(7)
        for _ in range(2000):
            session = Session(stdin=False)
            try:
                for piece in cut(rng.randbytes(60), rng):
                    session.feed(piece)
            except errors.BangerError:
                pass

    def test_words_of_a_guest_are_one_short_line(self) -> None:
        said = frames.harmless("a\n\x1b[2J" + "x" * 9000)
        self.assertTrue(said.startswith("a  [2Jx") and len(said) <= frames.MAX_GUEST_TEXT, said)


class ACommand(unittest.TestCase):
    def test_it_is_heard_from_its_start_to_its_end(self) -> None:
        session = Session(stdin=False)
        text = frames.encode(frames.STDIN_TAKEN, bytes(8)) + frames.encode(frames.STARTED, bytes(4))
        text += frames.encode(frames.STDOUT, b"out") + frames.encode(frames.STDERR, b"err")
        text += frames.encode(frames.TIMED_OUT) + frames.encode(frames.EXIT, b'{"signal":15}')
        self.assertEqual(session.feed(text), [Stdout(b"out"), Stderr(b"err"), TimedOut(), Ended(143, 15)])
        self.assertTrue(session.started and session.timed_out)

    def test_a_command_that_is_not_started_has_a_typed_error(self) -> None:
        for kind, error in [("not_found", errors.NoSuchProgram), ("user", errors.InvalidArgument)]:
            failed = json.dumps({"kind": kind, "message": "no\nway"}).encode()
            with self.assertRaisesRegex(error, "^no way$"):
                Session(stdin=False).feed(frames.encode(frames.FAILED, failed))

    def test_the_end_of_the_stream_before_that_of_the_command_is_an_error(self) -> None:
        with self.assertRaises(StreamLost):
            Session(stdin=False).feed(b"")

    def test_frames_of_other_calls_have_no_place(self) -> None:
        for kind in (frames.DATA, frames.STDIN):
            with self.assertRaises(ProtocolError):
                Session(stdin=False).feed(frames.encode(kind, b""))
        ended = frames.encode(frames.EXIT, b'{"code":0}')
        with self.assertRaises(ProtocolError):
            Session(stdin=False).feed(ended + ended)
        with self.assertRaises(ProtocolError):
            Session(stdin=False).feed(frames.encode(frames.EXIT, b'{"code":"0"}'))

    def test_input_waits_for_the_guest_and_a_signal_does_not(self) -> None:
        session = Session(stdin=True)
        session.feed(frames.encode(frames.STDIN_TAKEN, bytes(8)))
        session.write(b"x" * 1_000_000)
        sent = 0
        while out := len(session.outgoing()):
            session.sent(out)
            sent += out
        self.assertLess(sent, 257 * 1024)
        session.signal(2)
        self.assertEqual(bytes(session.outgoing()), frames.encode(frames.SIGNAL, b"\x02"))
        session.sent(6)
        session.feed(frames.encode(frames.STDIN_TAKEN, struct.pack(">Q", 100)))
        self.assertEqual(bytes(session.outgoing()), frames.encode(frames.STDIN, b"x" * 100))

    def test_the_end_of_input_comes_behind_the_input(self) -> None:
        session = Session(stdin=True)
        session.write(b"ab")
        session.close_stdin()
        expected = frames.encode(frames.STDIN, b"ab") + frames.encode(frames.STDIN_EOF)
        self.assertEqual(bytes(session.outgoing()), expected)


class EventStreams(unittest.TestCase):
    def test_events_come_whole_however_they_are_cut_and_whatever_ends_a_line(self) -> None:
        text = b": hi\nid: 1\ndata: a\r\ndata: b\r\n\r\ndata:c\r\rdata: d\n\n"
        for seed in range(100):
            decoder, heard = Events(), []
            for piece in cut(text, random.Random(seed)):
                heard += decoder.feed(piece)
            self.assertEqual(heard, ["a\nb", "c", "d"])
        decoder = Events()
        heard = [one for byte in text for one in decoder.feed(bytes([byte]))]
        self.assertEqual(heard, ["a\nb", "c", "d"])

    def test_lines_and_events_without_an_end_are_refused(self) -> None:
        with self.assertRaises(ProtocolError):
            Events().feed(b"x" * (MAX_LINE + 1))
        decoder = Events()
        with self.assertRaises(ProtocolError):
            for _ in range(MAX_EVENT // 100_000 + 1):
                decoder.feed(b"data: " + b"x" * 100_000 + b"\n")

    def test_what_is_no_text_is_refused(self) -> None:
        with self.assertRaises(ProtocolError):
            Events().feed(b"data: \xff\n\n")


class Values(unittest.TestCase):
    def test_a_newer_field_is_passed_over_and_a_missing_or_wrong_one_named(self) -> None:
        told = {"host_ip": "127.0.0.1", "host_port": 1, "guest_port": 2}
        self.assertEqual(decode(Publish, {**told, "colour": "red"}), Publish("127.0.0.1", 1, 2))
        broken: object
        for broken in ({**told, "host_port": "1"}, {**told, "host_port": True}, {"host_ip": "x"}, [], None):
            with self.assertRaises(ProtocolError):
                decode(Publish, broken)
        with self.assertRaisesRegex(ProtocolError, "has no id"):
            decode(Vm, {})

    def test_sizes_are_read_as_people_write_them(self) -> None:
        self.assertEqual(
            [size_of(one) for one in ("4G", "512M", "512", 7, None)], [4 << 30, 512 << 20, 512 << 20, 7, None]
        )
        for bad in ("", "G", "-1", "4X", "1.5G", 0, -1, True):
            with self.assertRaises(ValueError, msg=bad):
                size_of(bad)

    def test_every_code_has_its_class(self) -> None:
        error = errors.of_code("not_found", "no", hint="banger ps")
        self.assertIsInstance(error, errors.NotFound)
        self.assertEqual(str(error), "no (hint: banger ps)")
        newer = errors.of_code("melted", "no")
        self.assertEqual((type(newer), newer.code), (errors.ApiError, "melted"))


class Server:
    """Something that listens at a socket and says the same to everybody."""

    def __init__(self, said: bytes, hold: bool = False) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "s"
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(self.path))
        self._listener.listen()
        self._said, self._hold = said, hold
        self._held: list[socket.socket] = []
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            try:
                connection.recv(4096)
                connection.sendall(self._said)
            except OSError:
                pass
            self._held.append(connection)
            if not self._hold:
                connection.close()

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._held:
            connection.close()
        self._thread.join()
        self.folder.cleanup()


class AClient(unittest.TestCase):
    def test_whatever_listens_gives_an_error_of_the_package(self) -> None:
        ok = b"HTTP/1.1 200 OK\r\nContent-Length: "
        for said in (
            b"",
            b"\0" * 100_000,
            b"HTTP/1.1 200 OK\r\nX: " + b"y" * 200_000,
            ok + b"3\r\n\r\n{}}",
            ok + b"2\r\n\r\n[]",
            ok + b"99999999999999999\r\n\r\n" + b" " * 1000,
            b"HTTP/1.1 500 No\r\nContent-Length: 2\r\n\r\nno",
            b'HTTP/1.1 404 No\r\nContent-Length: 15\r\n\r\n{"error":["x"]}',
        ):
            with Server(said) as server, self.assertRaises(errors.BangerError, msg=said[:40]):
                Client(socket=server.path).status()

    def test_an_error_of_the_daemon_has_its_class_code_and_hint(self) -> None:
        body = b'{"error":{"code":"not_found","message":"no VM \\"x\\"","hint":"banger ps","op_id":"7"}}'
        said = b"HTTP/1.1 404 Not Found\r\nContent-Length: %d\r\n\r\n" % len(body) + body
        with Server(said, hold=True) as server, self.assertRaises(errors.NotFound) as raised:
            Client(socket=server.path).sandbox("x")
        error = raised.exception
        self.assertEqual((error.code, error.hint, error.op_id, error.status), ("not_found", "banger ps", "7", 404))

    def test_nobody_at_the_socket_is_said_and_nothing_is_started(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            with self.assertRaises(errors.DaemonUnavailable):
                Client(socket=Path(folder) / "s").status()
            with self.assertRaises(errors.DaemonUnavailable):
                Client(home=folder, autostart=False).status()
            self.assertEqual(os.listdir(folder), [])

    def test_a_path_longer_than_an_address_is_reached(self) -> None:
        body = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]"
        with Server(body, hold=True) as server:
            folder = Path(server.folder.name) / ("d" * 200)
            folder.mkdir()
            server.path.rename(folder / "s")
            self.assertEqual(Client(socket=folder / "s").images(), [])

    def test_a_program_that_cannot_start_a_daemon_is_named(self) -> None:
        with tempfile.TemporaryDirectory() as folder, self.assertRaisesRegex(errors.DaemonUnavailable, "/bin/false"):
            Client(home=folder, binary="/bin/false").status()


if __name__ == "__main__":
    unittest.main()
