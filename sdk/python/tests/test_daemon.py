"""Both faces against a real daemon and one guest.

    BANGER_HOME=DIR BANGER_BIN=…/banger python3 -m unittest test_daemon

`DIR` has the default kernel and the image `debian-minimal`. Nothing is left behind in it.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unittest
from collections.abc import Callable
from pathlib import Path
from typing import Any

from openapi import problems

from banger import ApiError, Client, CommandFailed, Ended, Sandbox, Stdout, errors
from banger._place import Place
from banger.aio import AsyncClient, AsyncSandbox
from banger.errors import LimitExceeded, TransferFailed
from banger.models import Event

HOME = os.environ.get("BANGER_HOME")
SMALL: dict[str, Any] = {"image": "debian-minimal", "net": "none", "cpus": 1, "memory": "512M"}
LABELS = {"sdk-test": "guest", "run": str(os.getpid())}


def eventually(what: str, true: Callable[[], bool], seconds: float = 30) -> None:
    """Waits until something is so."""
    until = time.monotonic() + seconds
    while not true():
        if time.monotonic() > until:
            raise AssertionError(f"{what} within {seconds} s")
        time.sleep(0.05)


client: Client
guest: Sandbox
seen: list[Event] = []


def setUpModule() -> None:
    global client, guest
    if not HOME or not os.environ.get("BANGER_BIN"):
        raise unittest.SkipTest("BANGER_HOME and BANGER_BIN name no daemon")
    client = Client()
    env = {"GIVEN": "by the sandbox"}
    guest = Sandbox.create(client=client, labels=LABELS, env=env, on_event=seen.append, **SMALL)


def tearDownModule() -> None:
    if "guest" in globals():
        guest.delete()


class Commands(unittest.TestCase):
    def test_output_input_and_exit_code_are_those_of_the_command(self) -> None:
        done = guest.exec("cat; echo trouble >&2; exit 42", stdin="given")
        self.assertEqual((done.exit_code, done.stdout, done.stderr, done.ok), (42, "given", "trouble\n", False))
        with self.assertRaisesRegex(CommandFailed, "ended with 42: trouble"):
            done.check()
        self.assertEqual(guest.exec("kill -KILL $$").signal, 9)

    def test_a_list_is_no_text_for_a_shell(self) -> None:
        self.assertEqual(guest.exec(["printf", "%s|", "a b", "$HOME", "';"]).check().stdout, "a b|$HOME|';|")

    def test_folder_user_and_variables_are_those_that_were_said(self) -> None:
        done = guest.exec("pwd; id -u; echo $GIVEN $MORE", cwd="/tmp", user="nobody", env={"MORE": "by the call"})
        self.assertEqual(done.check().stdout, "/tmp\n65534\nby the sandbox by the call\n")

    def test_a_command_has_its_time_and_its_children_with_it(self) -> None:
        begun = time.monotonic()
        done = guest.exec("sleep 987 & sleep 986; wait", timeout=0.5)
        self.assertTrue(done.timed_out and not done.ok)
        self.assertLess(time.monotonic() - begun, 8)
        self.assertEqual(guest.exec("pgrep -f 'sleep 98[67]' || true").stdout, "")

    def test_a_command_that_is_not_started_says_why(self) -> None:
        for error, words, more in [
            (errors.NoSuchProgram, ["no-such-program"], {}),
            (errors.NotExecutable, ["/etc/passwd"], {}),
            (errors.InvalidArgument, ["true"], {"user": "no-such-user"}),
            (errors.InvalidArgument, ["true"], {"cwd": "/no/such/folder"}),
        ]:
            with self.assertRaises(error):
                guest.exec(words, **more)  # type: ignore[arg-type]

    def test_megabytes_go_in_and_come_out_at_the_same_time(self) -> None:
        content = os.urandom(3_000_000)
        heard: list[bytes] = []
        pieces = (content[at : at + 100_000] for at in range(0, len(content), 100_000))
        done = guest.exec(["cat"], stdin=pieces, on_stdout=heard.append, max_output=1000)
        self.assertEqual(b"".join(heard), content)
        self.assertTrue(done.truncated)
        self.assertEqual(done.stdout_bytes, content[:1000])

    def test_a_command_that_reads_nothing_ends_all_the_same(self) -> None:
        self.assertEqual(guest.exec(["true"], stdin=b"x" * 2_000_000).exit_code, 0)

    def test_several_threads_use_one_client(self) -> None:
        found: list[str] = []
        run = lambda at: found.append(guest.exec(["echo", str(at)]).check().stdout.strip())  # noqa: E731
        threads = [threading.Thread(target=run, args=(at,)) for at in range(8)]
        for one in threads:
            one.start()
        for one in threads:
            one.join()
        self.assertEqual(sorted(found), [str(at) for at in range(8)])

    def test_an_error_in_a_listener_reaches_the_caller_and_ends_the_command(self) -> None:
        def listener(_: bytes) -> None:
            raise ZeroDivisionError

        with self.assertRaises(ZeroDivisionError):
            guest.exec("echo x; sleep 985", on_stdout=listener)
        eventually("the command is gone", lambda: guest.exec("pgrep -f 'sleep 98[5]'").exit_code == 1)


class Processes(unittest.TestCase):
    def test_a_conversation_signals_and_the_end(self) -> None:
        with guest.popen(["sh"]) as process:
            process.write(b"trap 'echo caught' INT; echo ready; sleep 0.2\n")
            self.assertEqual(process.read(10), Stdout(b"ready\n"))
            process.signal(signal.SIGINT)
            process.write(b"exit 7\n")
            events = list(process)
        self.assertIn(Stdout(b"caught\n"), events)
        self.assertEqual(events[-1], Ended(7, None))
        self.assertEqual(process.exit_code, 7)
        with self.assertRaises(BrokenPipeError):
            process.write(b"more")

    def test_a_signal_passes_input_that_waits(self) -> None:
        with guest.popen(["sleep", "984"]) as process:
            writer = threading.Thread(target=self.write_much, args=(process,))
            writer.start()
            time.sleep(0.2)
            process.kill()
            self.assertEqual(process.wait(10), Ended(137, 9))
            writer.join(10)
            self.assertFalse(writer.is_alive())

    def write_much(self, process: Any) -> None:
        with self.assertRaises(BrokenPipeError):
            process.write(b"x" * 5_000_000)

    def test_leaving_ends_the_command(self) -> None:
        with guest.popen(["sleep", "983"]):
            self.assertEqual(guest.exec("pgrep -fc 'sleep 98[3]'").stdout, "1\n")
        eventually("the command is gone", lambda: guest.exec("pgrep -f 'sleep 98[3]'").exit_code == 1)

    def test_nothing_said_in_time_is_no_end(self) -> None:
        with guest.popen(["cat"]) as process:
            with self.assertRaises(TimeoutError):
                process.read(0.1)
            process.write(b"x")
            self.assertEqual(process.read(10), Stdout(b"x"))
            process.close_stdin()
            self.assertEqual(process.wait(10), Ended(0, None))

    def test_a_terminal_has_its_size(self) -> None:
        with guest.popen("stty size; read x; stty size", terminal=(30, 90)) as process:
            first = b""
            while not first.endswith(b"\n"):
                event = process.read(10)
                assert isinstance(event, Stdout)
                first += event.data
            self.assertEqual(first, b"30 90\r\n")
            process.resize(40, 100)
            process.write(b"\n")
            said = b"".join(one.data for one in process if isinstance(one, Stdout))
        self.assertIn(b"40 100", said)

    def test_a_detached_command_goes_on_by_itself(self) -> None:
        command = guest.detach("echo out; echo err >&2; sleep 0.3; exit 9", cwd="/tmp")
        self.assertIn(command.id, [one.id for one in guest.detached()])
        done = guest.attach(command.id)
        self.assertEqual((done.exit_code, done.stdout, done.stderr), (9, "out\n", "err\n"))


class Files(unittest.TestCase):
    def test_bytes_and_text_come_back(self) -> None:
        content = bytes(range(256)) * 1000
        guest.write_bytes("/root/with space & ü.bin", content, mode=0o640)
        self.assertEqual(guest.read_bytes("/root/with space & ü.bin"), content)
        self.assertEqual(guest.exec("stat -c %a /root/with*.bin").stdout, "640\n")
        guest.write_text("/root/with space & ü.bin", "short")
        self.assertEqual(guest.read_text("/root/with space & ü.bin"), "short")
        guest.write_bytes("/root/empty", b"")
        self.assertEqual(guest.read_bytes("/root/empty"), b"")

    def test_what_cannot_be_read_or_written_says_why(self) -> None:
        for path in ("/no/such", "/etc", "/dev/null"):
            with self.assertRaises(TransferFailed, msg=path):
                guest.read_bytes(path)
        with self.assertRaises(LimitExceeded):
            guest.read_bytes("/etc/passwd", max_bytes=10)
        with self.assertRaises(TransferFailed):
            guest.write_bytes("/no/such/file", b"x")
        for path in ("relative", "/root/", "/root/.."):
            with self.assertRaises(ValueError, msg=path):
                guest.write_bytes(path, b"x")

    def test_folders_go_there_and_back(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder) / "source"
            (source / "deep").mkdir(parents=True)
            (source / "deep" / "file").write_bytes(os.urandom(200_000))
            (source / "deep" / "link").symlink_to("file")
            put = guest.put(source, "/root/tree")
            self.assertEqual(put.entries, 4)
            # A second time into the folder that is there.
            guest.put(source, "/root/tree")
            self.assertEqual(guest.exec("find /root/tree | wc -l").stdout, "4\n")
            back = Path(folder) / "back"
            guest.get("/root/tree", back)
            self.assertEqual((back / "deep" / "file").read_bytes(), (source / "deep" / "file").read_bytes())
            self.assertEqual(os.readlink(back / "deep" / "link"), "file")
            guest.put(source / "deep" / "file", "/root/one file")
            guest.get("/root/one file", Path(folder) / "one")
            self.assertEqual((Path(folder) / "one").read_bytes(), (source / "deep" / "file").read_bytes())

    def test_a_guest_does_not_write_elsewhere_on_this_host(self) -> None:
        guest.exec(
            "mkdir -p /root/bad && cd /root/bad && ln -sf /etc/passwd a && ln -sf ../../.. b && mkfifo c; echo ok >d"
        )
        with tempfile.TemporaryDirectory() as folder:
            done = guest.get("/root/bad", Path(folder) / "bad")
            self.assertEqual(sorted(done.left_out), ["bad/a", "bad/b"])
            with self.assertRaises(TransferFailed):
                guest.get("/dev/null", Path(folder) / "null")
            self.assertEqual(os.listdir(Path(folder) / "bad"), ["d"])


class Life(unittest.TestCase):
    def test_progress_was_told_to_the_end(self) -> None:
        self.assertEqual(seen[-1].event, "finished")
        self.assertEqual(seen[-1].state, "done")
        self.assertEqual([one.seq for one in seen], list(range(len(seen))))
        (made,) = [one for one in client.operations(vm=guest.id) if one.kind == "create_vm"]
        self.assertEqual((made.state, made.vm), ("done", guest.id))

    def test_sandboxes_are_found_by_their_labels(self) -> None:
        self.assertEqual([one.id for one in client.sandboxes(LABELS)], [guest.id])
        self.assertEqual([one.id for one in client.sandboxes({"sdk-test": None})], [guest.id])
        self.assertEqual(client.sandboxes({"sdk-test": "other"}), [])
        guest.set(labels={"extra": "1"})
        guest.set(labels={"extra": None, "more": "2"})
        self.assertEqual(guest.refresh().labels, {**LABELS, "more": "2"})
        with self.assertRaises(ValueError):
            client.delete_all({})

    def test_what_it_uses_listens_and_says(self) -> None:
        stats = guest.stats()
        self.assertTrue(stats.guest and stats.guest.memory.total_bytes > 300 << 20)
        self.assertTrue(guest.health().healthy)
        self.assertEqual(guest.network().egress, guest.vm.egress)
        self.assertIn(b"started at", b"".join(guest.logs()))
        self.assertEqual(guest.workspaces(), [])

    def test_a_server_of_the_guest_is_reached(self) -> None:
        script = (
            "use IO::Socket::INET; my $s = IO::Socket::INET->new(LocalAddr=>'127.0.0.1', LocalPort=>8123, Listen=>5)"
            " or die; while (my $c = $s->accept) { while (<$c>) { print $c uc } close $c }"
        )
        with guest.popen(["perl", "-e", script]):
            eventually("it listens", lambda: 8123 in [one.port for one in guest.ports()])
            with guest.connect(8123) as stream:
                stream.send(b"hello\n")
                self.assertEqual(stream.receive(timeout=10), b"HELLO\n")
                stream.finish()
                self.assertEqual(stream.receive(timeout=10), b"")

    def test_errors_have_their_classes(self) -> None:
        with self.assertRaises(errors.NotFound):
            client.sandbox("no-such-vm")
        with self.assertRaises(errors.NameTaken) as taken:
            client.create(name=guest.name, **SMALL)
        self.assertEqual(taken.exception.code, "name_taken")
        with self.assertRaises(errors.InvalidArgument):
            client.create(image="UPPER")
        with self.assertRaises(errors.WrongState):
            guest.save("sdk-running")
        with self.assertRaises(ApiError):
            client.operation("00000000-0000-7000-8000-000000000000")

    def test_it_stands_still_sleeps_and_goes_on(self) -> None:
        guest.exec("echo here >/dev/shm/kept")
        guest.pause()
        self.assertFalse(guest.health().healthy)
        guest.resume()
        guest.suspend()
        self.assertEqual(guest.state, "suspended")
        guest.start()
        self.assertEqual((guest.state, guest.exec("cat /dev/shm/kept").stdout), ("running", "here\n"))

    def test_a_secret_is_kept_and_its_value_is_in_no_answer(self) -> None:
        kept = client.set_secret("sdk-token", "value-of-it")
        self.assertEqual((kept.name, kept.vms), ("sdk-token", []))
        self.assertIn("sdk-token", [one.name for one in client.secrets()])
        self.assertNotIn("value-of-it", repr(client.secrets()))
        client.delete_secret("sdk-token")
        with self.assertRaises(errors.NotFound):
            client.delete_secret("sdk-token")
        with self.assertRaises(errors.InvalidArgument):
            client.set_secret("NO NAME", "x")

    def test_an_image_is_taken_as_it_is_here_or_pulled(self) -> None:
        self.assertEqual(client.ensure_image("debian-minimal"), "debian-minimal")
        with self.assertRaises(errors.RegistryFailed):
            # Nobody listens there.
            client.ensure_image("127.0.0.1:1/team/none:1")
        self.assertEqual([one.name for one in client.images() if one.name.startswith("none")], [])

    def test_it_goes_back_to_a_checkpoint_and_is_forked(self) -> None:
        with client.create(labels=LABELS, **SMALL) as other:
            other.exec("echo one >/root/file; echo one >/etc/file").check()
            first = other.checkpoint("first")
            self.assertEqual((first.name, first.current), ("first", True))
            other.exec("echo two >/root/file; rm /etc/file").check()
            other.restore("first", discard_current=True)
            self.assertEqual([one.name for one in other.checkpoints()], ["first"])
            self.assertEqual(other.exec("cat /root/file /etc/file").stdout, "one\none\n")
            forks = other.fork(2, checkpoint="first")
            try:
                self.assertEqual(len({one.name for one in forks}), 2)
                for one in forks:
                    self.assertEqual(one.exec("cat /root/file").stdout, "one\n")
            finally:
                for one in forks:
                    one.delete()
            other.delete_checkpoint("first")
            with self.assertRaises(errors.NotFound):
                other.restore("first")

    def test_it_becomes_an_image(self) -> None:
        with client.create(labels=LABELS, **SMALL) as other:
            other.exec("echo kept >/etc/kept").check()
            other.stop()
            image = other.save("sdk-saved")
            self.assertIn("sdk-saved", [one.name for one in client.images()])
            self.assertEqual(image.name, client.image("sdk-saved").name)
        client.delete_image("sdk-saved")
        self.assertNotIn("sdk-saved", [one.name for one in client.images()])
        self.assertNotIn(other.id, [one.id for one in client.sandboxes()])

    def test_an_ephemeral_sandbox_goes_with_the_process_that_made_it(self) -> None:
        label = f"dies-{os.getpid()}"
        script = f"""
import os, signal
from banger import Sandbox
sandbox = Sandbox.create(ephemeral=True, labels={{"sdk-test": "{label}"}}, **{SMALL!r})
print(sandbox.exec("echo alive").stdout, end="", flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
        done = subprocess.run([sys.executable, "-c", script], stdout=subprocess.PIPE, timeout=120, check=False)
        self.assertEqual((done.returncode, done.stdout), (-signal.SIGKILL, b"alive\n"))
        eventually("it is gone", lambda: client.sandboxes({"sdk-test": label}) == [])

    def test_events_of_everything_go_on_over_the_end_of_a_daemon(self) -> None:
        made = list(client.events(after="start", follow=False, vm=guest.id))
        self.assertEqual([one.event for one in made[:2]], ["operation_began", "vm_created"])
        self.assertEqual({(one.vm, one.name) for one in made}, {(guest.id, guest.name)})
        heard: list[str] = []
        cursors: list[str] = []

        def listen() -> None:
            for event in client.events(after=made[-1].cursor, vm=guest.id):
                heard.append(f"{event.event} {event.from_}>{event.to} {event.kind}")
                cursors.append(event.cursor)
                if event.event == "operation_ended" and event.kind == "resume_vm":
                    return

        listening = threading.Thread(target=listen)
        listening.start()
        guest.pause()
        eventually("the pause is heard", lambda: "operation_ended None>None pause_vm" in heard)
        subprocess.run([os.environ["BANGER_BIN"], "daemon", "stop", "--force"], check=True, stdout=subprocess.DEVNULL)
        guest.resume()
        listening.join(30)
        self.assertFalse(listening.is_alive(), heard)
        self.assertEqual(len(set(cursors)), len(cursors))
        # The same from the store, for whoever comes later.
        again = [one.cursor for one in client.events(after=made[-1].cursor, follow=False, vm=guest.id)]
        self.assertEqual(again[: len(cursors)], cursors)
        with self.assertRaises(errors.InvalidArgument):
            list(client.events(after="no cursor", follow=False))

    def test_a_daemon_that_went_down_is_started_again(self) -> None:
        before = client.status().pid
        subprocess.run([os.environ["BANGER_BIN"], "daemon", "stop", "--force"], check=True, stdout=subprocess.DEVNULL)
        self.assertEqual(guest.exec("echo still").stdout, "still\n")
        self.assertNotEqual(client.status().pid, before)

    def test_the_daemon_says_of_itself_what_this_package_uses(self) -> None:
        connection = http.client.HTTPConnection("banger")
        connection.sock = Place().connect()
        assert connection.sock is not None
        connection.sock.setblocking(True)
        connection.request("GET", "/v1/openapi.json")
        document = json.loads(connection.getresponse().read())
        connection.close()
        self.assertEqual(problems(document), [])


class Asynchronous(unittest.TestCase):
    def test_the_other_face_does_the_same(self) -> None:
        asyncio.run(asyncio.wait_for(self.everything(), 120))

    async def everything(self) -> None:
        other = AsyncClient()
        same = await other.sandbox(guest.name, env={"GIVEN": "x"})
        heard: list[bytes] = []

        async def hear(data: bytes) -> None:
            await asyncio.sleep(0)
            heard.append(data)

        done = await same.exec("cat; echo $GIVEN >&2; exit 3", stdin=b"in", on_stdout=hear)
        self.assertEqual((done.exit_code, done.stdout, done.stderr, heard), (3, "in", "x\n", [b"in"]))
        several = await asyncio.gather(*(same.exec(["echo", str(at)]) for at in range(8)))
        self.assertEqual([one.stdout for one in several], [f"{at}\n" for at in range(8)])
        async with await same.popen(["cat"]) as process:
            content = os.urandom(2_000_000)
            writing = asyncio.create_task(process.write(content))
            came = b""
            while len(came) < len(content):
                event = await process.read(10)
                assert isinstance(event, Stdout)
                came += event.data
            await writing
            self.assertEqual(came, content)
            await process.close_stdin()
            self.assertEqual(await process.wait(10), Ended(0, None))
            self.assertEqual([one async for one in process], [])
        await same.write_text("/root/async", "text")
        self.assertEqual(await same.read_text("/root/async"), "text")
        self.assertIn(b"started at", b"".join([one async for one in same.logs()]))
        last = [one async for one in other.events(limit=1, follow=False)]
        self.assertEqual(len(last), 1)
        with self.assertRaises(errors.NotFound):
            await other.sandbox("no-such-vm")
        with self.assertRaises(errors.NoSuchProgram):
            await same.exec(["no-such-program"])

    def test_cancelling_a_command_ends_it_and_cancelling_a_creation_leaves_nothing(self) -> None:
        asyncio.run(asyncio.wait_for(self.cancelled(), 120))

    async def cancelled(self) -> None:
        same = await AsyncClient().sandbox(guest.name)
        with self.assertRaises(asyncio.TimeoutError):
            await asyncio.wait_for(same.exec(["sleep", "982"]), 0.5)
        while (await same.exec("pgrep -f 'sleep 98[2]'")).exit_code == 0:
            await asyncio.sleep(0.1)
        label = {"sdk-test": f"cancelled-{os.getpid()}"}
        begun = asyncio.Event()
        making = asyncio.create_task(
            AsyncSandbox.create(labels=label, on_event=lambda _: begun.set(), template=False, **SMALL)
        )
        await begun.wait()
        making.cancel()
        with self.assertRaises(asyncio.CancelledError):
            await making
        while await AsyncClient().sandboxes(label):
            await asyncio.sleep(0.1)

    def test_a_creation_that_is_cancelled_at_any_moment_leaves_nothing(self) -> None:
        asyncio.run(asyncio.wait_for(self.cancelled_at_any_moment(), 120))

    async def cancelled_at_any_moment(self) -> None:
        label = {"sdk-test": f"moments-{os.getpid()}"}
        for moment in range(0, 24, 2):
            making = asyncio.create_task(AsyncSandbox.create(labels=label, template=False, **SMALL))
            await asyncio.sleep(moment / 1000)
            making.cancel()
            with self.assertRaises(asyncio.CancelledError):
                await making
        # Behind all of them in the daemon: by then the last one is on record, if it ever comes.
        await asyncio.sleep(1)
        while await AsyncClient().sandboxes(label):
            await asyncio.sleep(0.1)


if __name__ == "__main__":
    unittest.main()
