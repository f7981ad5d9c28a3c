"""Harbor's own package and its own command line, with trials in real guests: no Docker, no KVM.

BANGER_HOME=DIR BANGER_BIN=…/banger python3.12 -m unittest test_harbor      (`make harbor-trial` does all of it)
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import subprocess
import sys
import tempfile
import time
import unittest
import uuid
from pathlib import Path
from typing import Any

from harbor.models.task.config import EnvironmentConfig, NetworkMode, NetworkPolicy
from harbor.models.trial.paths import TrialPaths

from banger import Client, errors
from banger._calls import image_name_of
from banger.harbor import BangerEnvironment, egress_of, labels_of, name_of, rule_of

TASKS = Path(__file__).parent / "tasks"
HARBOR = Path(sys.executable).with_name("harbor")
NONE = NetworkPolicy(network_mode=NetworkMode.NO_NETWORK)
PUBLIC = NetworkPolicy(network_mode=NetworkMode.PUBLIC)


def policy(*hosts: str) -> NetworkPolicy:
    return NetworkPolicy(network_mode=NetworkMode.ALLOWLIST, allowed_hosts=list(hosts))


def machines() -> list[str]:
    return [one.name for one in Client().sandboxes({"harbor": None})]


class Folder(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def tearDown(self) -> None:
        self.assertEqual(machines(), [], "a trial leaves no machine behind")

    def harbor(self, *words: str, task: Path = TASKS / "hello") -> subprocess.CompletedProcess[str]:
        command = [str(HARBOR), *words, "--path", str(task), "--env", "banger.harbor:BangerEnvironment"]
        return subprocess.run(
            command, cwd=self.folder, capture_output=True, text=True, timeout=300, check=False, stdin=subprocess.DEVNULL
        )

    def results(self) -> list[dict[str, Any]]:
        found = [json.loads(path.read_text()) for path in self.folder.rglob("result.json")]
        return [one for one in found if "verifier_result" in one]

    def rewards(self) -> list[float]:
        return [one["verifier_result"]["rewards"]["reward"] for one in self.results()]


class Trials(Folder):
    def test_the_oracle_is_rewarded(self) -> None:
        done = self.harbor("trial", "start", "--agent", "oracle", "--trials-dir", "trials")
        self.assertEqual((done.returncode, self.rewards()), (0, [1.0]), done.stdout + done.stderr)

    def test_who_does_nothing_is_not(self) -> None:
        done = self.harbor("trial", "start", "--agent", "nop", "--trials-dir", "trials")
        self.assertEqual((done.returncode, self.rewards()), (0, [0.0]), done.stdout + done.stderr)

    def test_a_job_of_several_trials_at_once(self) -> None:
        count = int(os.environ.get("HARBOR_TRIALS", "6"))
        at_once = os.environ.get("HARBOR_AT_ONCE", "3")
        begun = time.monotonic()
        done = self.harbor(
            "run", "--agent", "oracle", "-k", str(count), "-n", at_once, "-o", "jobs", "--yes", "--quiet"
        )
        took = time.monotonic() - begun
        self.assertEqual(
            (done.returncode, self.rewards()), (0, [1.0] * count), done.stdout[-4000:] + done.stderr[-4000:]
        )
        print(f"\n{count} trials, {at_once} at once: {took:.1f} s, {60 * count / took:.1f} a minute", file=sys.stderr)

    def test_a_solution_that_takes_too_long_is_ended(self) -> None:
        task = self.task("sleep 600")
        (task / "task.toml").write_text(
            (task / "task.toml").read_text().replace("timeout_sec = 60.0", "timeout_sec = 2.0")
        )
        done = self.harbor("trial", "start", "--agent", "oracle", "--trials-dir", "trials", task=task)
        (result,) = self.results()
        self.assertEqual(result["exception_info"]["exception_type"], "AgentTimeoutError", done.stdout)

    def test_a_harness_that_is_killed_leaves_no_machine_behind(self) -> None:
        command = [str(HARBOR), "trial", "start", "--agent", "oracle", "--path", str(self.task("sleep 600"))]
        command += ["--env", "banger.harbor:BangerEnvironment", "--trials-dir", "trials"]
        running = subprocess.Popen(command, cwd=self.folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            self.wait(
                "a machine runs", lambda: [one.state for one in Client().sandboxes({"harbor": None})] == ["running"]
            )
        finally:
            time.sleep(1)
            running.send_signal(signal.SIGKILL)
            running.wait()
        self.wait("it is gone", lambda: machines() == [])

    @unittest.skipUnless("HARBOR_REFERENCE" in os.environ, "no registry is there: make harbor-trial")
    def test_an_image_of_a_registry_is_pulled_once_for_several_trials(self) -> None:
        reference = os.environ["HARBOR_REFERENCE"]
        task = self.task("echo hello > /root/hello.txt")
        text = (task / "task.toml").read_text()
        (task / "task.toml").write_text(text.replace('"debian-minimal"', f'"{reference}"'))
        done = self.harbor(
            "run", "--agent", "oracle", "-k", "2", "-n", "2", "-o", "jobs", "--yes", "--quiet", task=task
        )
        self.assertEqual((done.returncode, self.rewards()), (0, [1.0] * 2), done.stdout[-4000:] + done.stderr[-4000:])
        self.assertIn(image_name_of(reference), [one.name for one in Client().images()])
        Client().delete_image(image_name_of(reference))

    def test_a_task_with_a_dockerfile_alone_is_refused_and_says_what_to_do(self) -> None:
        task = self.task("true")
        text = (task / "task.toml").read_text()
        (task / "task.toml").write_text(text.replace('docker_image = "debian-minimal"\n', ""))
        (task / "environment").mkdir(exist_ok=True)
        (task / "environment" / "Dockerfile").write_text("FROM debian\n")
        words = ("trial", "start", "--agent", "oracle", "--trials-dir", "trials")
        done = self.harbor(*words, task=task)
        self.assertIn("banger builds no Dockerfile", done.stdout + done.stderr + self.logs())
        self.assertEqual(self.rewards(), [])

    def logs(self) -> str:
        return "".join(path.read_text() for path in self.folder.rglob("*") if path.suffix in (".log", ".txt", ".json"))

    def task(self, solution: str) -> Path:
        task = self.folder / "task"
        subprocess.run(["cp", "-r", str(TASKS / "hello"), str(task)], check=True)
        (task / "solution" / "solve.sh").write_text(f"#!/bin/bash\n{solution}\n")
        return task

    def wait(self, what: str, true: Any) -> None:
        until = time.monotonic() + 60
        while not true():
            self.assertLess(time.monotonic(), until, what)
            time.sleep(0.1)


class Environment(Folder):
    def environment(self, name: str = "task", **more: Any) -> BangerEnvironment:
        more.setdefault("network_policy", NONE)
        paths = TrialPaths(self.folder / "trial")
        paths.mkdir()
        (self.folder / "environment").mkdir(exist_ok=True)
        config = EnvironmentConfig(docker_image="debian-minimal", cpus=1, memory_mb=512)
        return BangerEnvironment(
            environment_dir=self.folder / "environment",
            environment_name=name,
            session_id=f"{name}__{uuid.uuid4().hex}__env",
            trial_paths=paths,
            task_env_config=config,
            logger=logging.getLogger("test"),
            **more,
        )

    def run_in(self, environment: BangerEnvironment, steps: Any) -> None:
        async def whole() -> None:
            await environment.start(force_build=False)
            try:
                await steps(environment)
            finally:
                await environment.stop(delete=True)

        asyncio.run(asyncio.wait_for(whole(), 120))

    def test_every_method_does_what_harbor_expects(self) -> None:
        async def steps(environment: BangerEnvironment) -> None:
            self.assertEqual(environment.type(), "banger")
            done = await environment.exec("echo out; echo err >&2; exit 3")
            self.assertEqual((done.return_code, done.stdout, done.stderr), (3, "out\n", "err\n"))
            self.assertIsNone((await environment.exec("true")).stdout)
            done = await environment.exec(
                "pwd; id -un; echo $A; [[ x == x ]]", cwd="/tmp", env={"A": "b c"}, user="nobody"
            )
            self.assertEqual((done.return_code, done.stdout), (0, "/tmp\nnobody\nb c\n"))
            done = await environment.exec("echo begun; sleep 600", timeout_sec=1)
            self.assertEqual((done.return_code, done.stdout), (124, "begun\n"))
            self.assertIn("ended after 1 s", done.stderr or "")
            await self.files(environment)
            heard: list[tuple[str, str]] = []

            async def hear(text: str, stream: str) -> None:
                heard.append((text, stream))

            with environment.scoped_output_callback(hear):
                await environment.exec("printf 'ü'; sleep 0.1; echo no >&2")
            self.assertEqual(heard, [("ü", "stdout"), ("no\n", "stderr")])

        self.run_in(self.environment(), steps)

    async def files(self, environment: BangerEnvironment) -> None:
        source = self.folder / "source"
        (source / "deep").mkdir(parents=True)
        (source / "deep" / "a b").write_text("text")
        await environment.upload_dir(source, "/made/for this")
        self.assertTrue(await environment.is_file("/made/for this/deep/a b"))
        await environment.upload_file(source / "deep" / "a b", "/else/where/c")
        self.assertTrue(await environment.is_dir("/else/where"))
        await environment.exec("ln -s /etc/passwd '/made/for this/out'")
        await environment.download_dir("/made/for this", self.folder / "back")
        self.assertEqual(sorted(os.listdir(self.folder / "back")), ["deep"])
        await environment.download_file("/else/where/c", self.folder / "new" / "c")
        self.assertEqual((self.folder / "new" / "c").read_text(), "text")
        for wrong in ("/no/such", "/dev/null"):
            with self.assertRaises(errors.TransferFailed):
                await environment.download_file(wrong, self.folder / "wrong")
        self.assertFalse((self.folder / "wrong").exists())

    def test_hostile_names_are_labels_and_never_more(self) -> None:
        name = "../../$(reboot)\n\x1b[2J'; --rm " + "x" * 200 + "Ü"

        async def steps(environment: BangerEnvironment) -> None:
            (machine,) = Client().sandboxes({"harbor": None})
            self.assertRegex(machine.name, r"^[a-z0-9][a-z0-9-]{0,62}$")
            self.assertTrue(machine.labels["harbor"].startswith("../../$(reboot)??[2J'; --rm xxx"))
            self.assertEqual(len(Client().sandboxes({"harbor": machine.labels["harbor"]})), 1)

        self.run_in(self.environment(name), steps)

    def test_a_policy_is_enforced_and_changes_while_the_machine_runs(self) -> None:
        async def verdict(environment: BangerEnvironment, target: str) -> bool:
            sandbox = environment._sandbox
            assert sandbox is not None
            return (await sandbox.check_network(target)).allowed

        async def steps(environment: BangerEnvironment) -> None:
            here, other = "192.0.2.1:443", "198.51.100.7:443"
            first = policy("192.0.2.1", "*.example.org", "example.com", "2001:db8::/32")
            await environment.set_network_policy(first)
            self.assertEqual([await verdict(environment, one) for one in (here, other)], [True, False])
            self.assertTrue(await verdict(environment, "[2001:db8::7]:443"))
            await environment.set_network_policy(policy("198.51.100.0/24", "example.com"))
            self.assertEqual([await verdict(environment, one) for one in (here, other)], [False, True])
            self.assertFalse(await verdict(environment, "[2001:db8::7]:443"))
            # An address of the internet, and the one behind which a cloud's metadata and this host would be.
            public, private = "1.1.1.1:443", "169.254.169.254:80"
            self.assertFalse(await verdict(environment, public))
            await environment.set_network_policy(PUBLIC)
            self.assertEqual([await verdict(environment, one) for one in (public, private)], [True, False])
            await environment.set_network_policy(NONE)
            self.assertEqual([await verdict(environment, one) for one in (public, here, other)], [False] * 3)

        self.run_in(self.environment(network_policy=NONE, phase_network_policies=[policy("192.0.2.1"), PUBLIC]), steps)

    def test_no_network_has_no_device(self) -> None:
        async def steps(environment: BangerEnvironment) -> None:
            self.assertEqual((await environment.exec("ls /sys/class/net")).stdout, "lo\n")

        self.run_in(self.environment(), steps)

    def test_a_start_that_fails_leaves_nothing_and_can_be_cancelled(self) -> None:
        async def steps() -> None:
            environment = self.environment()
            starting = asyncio.create_task(environment.start(force_build=False))
            while not machines():
                await asyncio.sleep(0.05)
            starting.cancel()
            with self.assertRaises(asyncio.CancelledError):
                await starting
            while machines():
                await asyncio.sleep(0.05)
            wrong = self.environment(image="UPPER/../case")
            with self.assertRaises(errors.BangerError):
                await wrong.start(force_build=False)

        asyncio.run(asyncio.wait_for(steps(), 120))


class Words(unittest.TestCase):
    def test_policies_are_rules_and_no_host_of_a_task_is_another_word_of_them(self) -> None:
        self.assertEqual((egress_of(PUBLIC), egress_of(NONE)), (("public", []), ("none", [])))
        hosts = ["example.com", "*.example.com", "192.0.2.1", "192.0.2.0/24", "2001:db8::1", "2001:db8::/32"]
        rules = [*hosts[:4], "[2001:db8::1]", "[2001:db8::/32]"]
        self.assertEqual([rule_of(host) for host in hosts], rules)
        for word in ("host", "HOST", "any", "@debian", "vm:db:5432", "tcp:x", "a b", "x:1", "*", "", "host:22", "a\n"):
            with self.assertRaises(ValueError, msg=word):
                rule_of(word)

    def test_names_are_names_whatever_they_are_made_of(self) -> None:
        for text in ("", "___", "-x-", "Ü", "a" * 300, "A b\n../c"):
            self.assertRegex(name_of(text), r"^[a-z0-9][a-z0-9-]{0,62}$")
            self.assertRegex(image_name_of(text), r"^[a-z0-9][a-z0-9._-]{0,62}$")
        self.assertNotEqual(name_of("x"), name_of("x"))
        self.assertNotEqual(image_name_of("one/debian:12"), image_name_of("two/debian:12"))
        for value in labels_of("x\0\n\x7f\ud800", "s" * 9000, uuid.uuid4()).values():
            self.assertTrue(value.isprintable() and len(value.encode()) <= 2048)

    def test_what_is_wrong_with_an_option_is_said(self) -> None:
        with self.assertRaisesRegex(ValueError, "Unknown option 'imagine'"):
            BangerEnvironment.parse_options({"imagine": "x"})
        with self.assertRaisesRegex(SystemExit, "banger does not answer"):
            BangerEnvironment.preflight({"home": "/no/such/home", "binary": "/bin/false"})


if __name__ == "__main__":
    unittest.main()
