"""The Agents SDK's own package with sessions in real guests; the model is a script.

BANGER_HOME=DIR BANGER_BIN=…/banger python3 -m unittest test_agents      (`make harbor-trial` runs it as well)
"""

from __future__ import annotations

import asyncio
import io
import tempfile
import unittest
from collections.abc import Awaitable, Callable
from pathlib import Path

from agents import Runner, set_tracing_disabled
from agents.run_config import RunConfig, SandboxRunConfig
from agents.sandbox import Dir, ExecTimeoutError, LocalSnapshotSpec, Manifest, SandboxAgent, WorkspaceReadNotFoundError
from agents.sandbox.entries import File
from agents.sandbox.errors import ExposedPortUnavailableError, WorkspaceArchiveWriteError
from agents.testing import ScriptedModel, assistant_message, function_call

from banger import Client
from banger.agents import LABEL, BangerSandboxClient, BangerSandboxClientOptions

OPTIONS = BangerSandboxClientOptions(
    image="debian-minimal", cpus=1, memory="512M", egress="none", env={"GIVEN": "x y"}, exposed_ports=(8124, 8125)
)
MANIFEST = Manifest(root="/workspace", entries={"src": Dir(children={"hello.txt": File(content=b"hello\n")})})


def machines() -> list[str]:
    return [one.name for one in Client().sandboxes({LABEL: None})]


class Sessions(unittest.TestCase):
    def setUp(self) -> None:
        set_tracing_disabled(True)

    def tearDown(self) -> None:
        self.assertEqual(machines(), [])

    def run_now(self, steps: Callable[[], Awaitable[None]]) -> None:
        async def bounded() -> None:
            await asyncio.wait_for(steps(), 150)

        asyncio.run(bounded())

    def test_a_session_has_its_workspace_commands_files_and_ports(self) -> None:
        async def steps() -> None:
            client = BangerSandboxClient()
            session = await client.create(manifest=MANIFEST, options=OPTIONS)
            try:
                await session.start()
                done = await session.exec("pwd; cat src/hello.txt; echo $GIVEN; echo no >&2; exit 3")
                self.assertEqual((done.exit_code, done.stderr), (3, b"no\n"))
                self.assertEqual(done.stdout, b"/workspace\nhello\nx y\n")
                self.assertEqual((await session.exec("id", "-un", shell=False, user="nobody")).stdout, b"nobody\n")
                self.assertEqual((await session.exec("no-such-program", shell=False)).exit_code, 127)
                with self.assertRaises(ExecTimeoutError):
                    await session.exec("sleep 600", timeout=0.5)
                await session.write(Path("deep/er/file"), io.BytesIO(b"\0\xff" * 1000))
                self.assertEqual((await session.read(Path("deep/er/file"))).read(), b"\0\xff" * 1000)
                self.assertEqual((await session.read(Path("src/hello.txt"), user="nobody")).read(), b"hello\n")
                with self.assertRaises(WorkspaceReadNotFoundError):
                    await session.read(Path("no/such"))
                with self.assertRaises(Exception):  # noqa: B017
                    await session.read(Path("/etc/shadow"))
                await session.exec("ln -s /etc/passwd out")
                with self.assertRaises(Exception):  # noqa: B017
                    await session.read(Path("out"))
                self.assertTrue(await session.running())
                await self.port(session)
            finally:
                await client.delete(session)

        self.run_now(steps)

    async def port(self, session: object) -> None:
        script = (
            "use IO::Socket::INET; my $s = IO::Socket::INET->new(LocalAddr=>'127.0.0.1', LocalPort=>8124, Listen=>5)"
            " or die; while (my $c = $s->accept) { print $c 'here'; close $c }"
        )
        await session.exec(f'setsid perl -e "{script.replace("$", chr(92) + "$")}" >/dev/null 2>&1 &')  # type: ignore[attr-defined]
        for _ in range(100):
            try:
                at = await session.resolve_exposed_port(8124)  # type: ignore[attr-defined]
                break
            except ExposedPortUnavailableError:
                await asyncio.sleep(0.2)
        reader, writer = await asyncio.open_connection(at.host, at.port)
        self.assertEqual(await reader.read(), b"here")
        writer.close()
        with self.assertRaises(ExposedPortUnavailableError):
            await session.resolve_exposed_port(8125)  # type: ignore[attr-defined]

    def test_a_session_goes_on_in_its_machine_and_a_snapshot_in_another(self) -> None:
        async def steps() -> None:
            with tempfile.TemporaryDirectory() as folder:
                client = BangerSandboxClient()
                snapshot = LocalSnapshotSpec(base_path=Path(folder))
                session = await client.create(manifest=MANIFEST, options=OPTIONS, snapshot=snapshot)
                await session.start()
                await session.exec("echo work >src/made; echo system >/etc/made")
                await session.aclose()
                payload = client.serialize_session_state(session.state)
                # Another process.
                other = BangerSandboxClient()
                again = await other.resume(other.deserialize_session_state(dict(payload)))
                await again.start()
                self.assertEqual((await again.exec("cat src/made /etc/made")).stdout, b"work\nsystem\n")
                await other.delete(again)
                # The machine is gone; the snapshot has the workspace.
                fresh = await other.resume(other.deserialize_session_state(dict(payload)))
                try:
                    await fresh.start()
                    self.assertEqual((await fresh.exec("cat src/made src/hello.txt")).stdout, b"work\nhello\n")
                    self.assertEqual((await fresh.exec("test -e /etc/made")).exit_code, 1)
                    with self.assertRaises(WorkspaceArchiveWriteError):
                        await fresh.hydrate_workspace(io.BytesIO(b"no tar" * 200))
                finally:
                    await other.delete(fresh)

        self.run_now(steps)

    def test_an_agent_works_in_a_machine(self) -> None:
        async def steps() -> None:
            model = ScriptedModel(
                [
                    [function_call("exec_command", {"cmd": "tr a-z A-Z <src/hello.txt; uname -s"}, call_id="1")],
                    [assistant_message("done")],
                ]
            )
            agent = SandboxAgent(name="worker", model=model, default_manifest=MANIFEST)
            run = RunConfig(sandbox=SandboxRunConfig(client=BangerSandboxClient(), options=OPTIONS))
            result = await Runner.run(agent, "shout", run_config=run)
            self.assertEqual(result.final_output, "done")
            said = str(model.calls[-1].input)
            self.assertIn("HELLO", said)
            self.assertIn("Linux", said)
            model.assert_complete()

        self.run_now(steps)


if __name__ == "__main__":
    unittest.main()
