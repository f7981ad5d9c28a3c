"""An environment of Harbor's: each trial in a virtual machine of its own, without Docker and without KVM.

    harbor run --path TASK --agent oracle --env banger.harbor:BangerEnvironment

It needs the package `harbor` (`pip install 'banger[harbor]'`, Python 3.12).
"""

from __future__ import annotations

import asyncio
import codecs
import os
import re
import uuid
from collections.abc import Awaitable, Callable
from ipaddress import ip_address, ip_network
from pathlib import Path, PurePosixPath
from typing import Any

from harbor.environments.base import BaseEnvironment, ExecResult, OutputStream
from harbor.environments.capabilities import EnvironmentCapabilities, EnvironmentResourceCapabilities
from harbor.environments.options import EnvironmentOptions
from harbor.models.task.config import NetworkMode, NetworkPolicy
from pydantic import Field

from . import errors
from ._requests import Egress
from .aio import AsyncClient, AsyncSandbox
from .client import Client

SHELL = 'if command -v bash >/dev/null 2>&1; then exec bash -c "$1"; fi; exec sh -c "$1"'
"""Runs a command as Harbor's other environments do, by bash where there is one."""

TIMED_OUT = 124
"""Exit code of timeout(1) for a command that has had its time."""


class BangerOptions(EnvironmentOptions):
    """What users may set: `--ek NAME=VALUE`."""

    image: str | None = Field(default=None, description="Image of banger's for every task, whatever the task names.")
    home: str | None = Field(default=None, description="Another BANGER_HOME.")
    binary: str | None = Field(default=None, description="The program banger; by default BANGER_BIN or on PATH.")
    template: bool = Field(default=True, description="False: boots where it could wake from a template.")
    ephemeral: bool = Field(
        default=True, description="The machine goes when this process goes. False: for --no-delete, which keeps it."
    )


class BangerEnvironment(BaseEnvironment):
    """A trial's virtual machine."""

    options_model = BangerOptions
    options: BangerOptions

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._sandbox: AsyncSandbox | None = None
        self._rules: list[str] = []
        super().__init__(*args, **kwargs)
        self._client = AsyncClient(home=self.options.home, binary=self.options.binary)

    @staticmethod
    def type() -> str:
        return "banger"

    @classmethod
    def preflight(cls, kwargs: dict[str, Any] | None = None) -> None:
        super().preflight(kwargs)
        options = cls.parse_options(kwargs)
        assert isinstance(options, BangerOptions)
        try:
            Client(home=options.home, binary=options.binary).status()
        except errors.BangerError as error:
            raise SystemExit(f"banger does not answer: {error}") from None

    @property
    def capabilities(self) -> EnvironmentCapabilities:
        return EnvironmentCapabilities(
            disable_internet=True,
            network_allowlist=True,
            network_allowlist_hostnames=True,
            network_allowlist_wildcard_hostnames=True,
            network_allowlist_ipv4_addresses=True,
            network_allowlist_ipv6_addresses=True,
            network_allowlist_ipv4_cidrs=True,
            network_allowlist_ipv6_cidrs=True,
            dynamic_network_policy=True,
        )

    @classmethod
    def resource_capabilities(cls) -> EnvironmentResourceCapabilities:
        # A machine has exactly what it is given.
        return EnvironmentResourceCapabilities(cpu_limit=True, memory_limit=True)

    def _validate_definition(self) -> None:
        if not (self.options.image or self.task_env_config.docker_image):
            raise FileNotFoundError(
                f"{self.environment_dir}: banger builds no Dockerfile. Name docker_image in [environment] of the task, "
                "or an image of banger's with --ek image=NAME"
            )

    async def start(self, force_build: bool) -> None:
        if self._sandbox is not None:
            return
        if force_build and not self.options.image and (self.environment_dir / "Dockerfile").exists():
            raise ValueError("banger builds no Dockerfile: leave out --force-build, or name --ek image=NAME")
        cpus, storage = self._effective_cpus, self._effective_storage_mb
        memory = self._effective_memory_mb
        egress, self._rules = egress_of(self._network_policy)
        # Without a device there is nothing to change later.
        never = all(
            policy.network_mode == NetworkMode.NO_NETWORK
            for policy in (self._network_policy, *self._phase_network_policies)
        )
        network: dict[str, Any] = {"net": "none"}
        if not never:
            network = {"net": "user", "stack": "own", "egress": egress, "allow": self._rules}
        self._sandbox = await AsyncSandbox.create(
            client=self._client,
            image=await self._image(),
            name=name_of(self.session_id),
            labels=labels_of(self.environment_name, self.session_id, self.context_id),
            cpus=None if cpus is None else max(1, int(cpus)),
            memory=None if memory is None else memory << 20,
            disk=None if storage is None else storage << 20,
            overlay=None if storage is None else storage << 20,
            ephemeral=self.options.ephemeral,
            template=self.options.template,
            **network,
        )
        try:
            await self.ensure_dirs(self._mount_targets(writable_only=True))
            await self._upload_environment_dir_after_start()
        except BaseException:
            await asyncio.shield(self.stop(delete=True))
            raise

    async def _image(self) -> str:
        """The image: one that is here by that name, else a reference that is pulled."""
        if self.options.image and not re.search("[/:]", self.options.image):
            # A recipe of banger's is built by the first machine that wants it.
            return self.options.image
        wanted = self.options.image or self.task_env_config.docker_image
        assert wanted
        return await self._client.ensure_image(wanted)

    def _running(self) -> AsyncSandbox:
        if self._sandbox is None:
            raise RuntimeError("the environment was not started")
        return self._sandbox

    async def stop(self, delete: bool) -> None:
        sandbox, self._sandbox = self._sandbox, None
        if sandbox is None:
            return
        if delete or self.options.ephemeral:
            if not delete:
                self.logger.warning("the machine goes with this process: --ek ephemeral=false keeps it")
            await sandbox.delete()
            return
        await sandbox.stop()

    async def _apply_network_policy(self, network_policy: NetworkPolicy) -> None:
        egress, rules = egress_of(network_policy)
        remove = [rule for rule in self._rules if rule not in rules]
        add = [rule for rule in rules if rule not in self._rules]
        await self._running().change_network(egress=egress, allow=add, remove=remove)
        self._rules = rules

    async def exec(
        self,
        command: str,
        cwd: str | None = None,
        env: dict[str, str] | None = None,
        timeout_sec: int | None = None,
        user: str | int | None = None,
    ) -> ExecResult:
        callback = self._output_callback()
        told = {name: _listener(callback, name) for name in ("stdout", "stderr")} if callback else {}
        done = await self._running().exec(
            ["/bin/sh", "-c", SHELL, "harbor", command],
            cwd=cwd or self.task_env_config.workdir,
            env=self._merge_env(env),
            timeout=timeout_sec or None,
            user=self._resolve_user(user),
            on_stdout=told.get("stdout"),
            on_stderr=told.get("stderr"),
        )
        if done.timed_out:
            return ExecResult(
                stdout=done.stdout or None,
                stderr=f"{done.stderr}the command was ended after {timeout_sec} s\n",
                return_code=TIMED_OUT,
            )
        return ExecResult(stdout=done.stdout or None, stderr=done.stderr or None, return_code=done.exit_code)

    async def _make_folder(self, path: str) -> None:
        done = await self._running().exec(["mkdir", "-p", "--", path], user="root")
        if not done.ok:
            raise RuntimeError(f"cannot make {path}: {done.stderr.strip()}")

    async def _absolute(self, path: str) -> str:
        if path.startswith("/"):
            return path
        where = await self._running().exec(["pwd"], cwd=self.task_env_config.workdir)
        return str(PurePosixPath(where.check().stdout.rstrip("\n")) / path)

    async def upload_file(self, source_path: Path | str, target_path: str) -> None:
        if Path(source_path).is_dir():
            raise IsADirectoryError(source_path)
        target = await self._absolute(target_path)
        await self._make_folder(str(PurePosixPath(target).parent))
        await self._running().put(source_path, target)

    async def upload_dir(self, source_dir: Path | str, target_dir: str) -> None:
        if not Path(source_dir).is_dir():
            raise NotADirectoryError(source_dir)
        target = await self._absolute(target_dir)
        await self._make_folder(target)
        await self._running().put(source_dir, target)

    async def download_file(self, source_path: str, target_path: Path | str) -> None:
        target = Path(target_path)
        target.parent.mkdir(parents=True, exist_ok=True)
        await self._running().get(await self._absolute(source_path), target)

    async def download_dir(self, source_dir: str, target_dir: Path | str) -> None:
        target = Path(target_dir)
        target.mkdir(parents=True, exist_ok=True)
        done = await self._running().get(await self._absolute(source_dir), target)
        if done.left_out:
            self.logger.warning("left out of %s: %s", source_dir, ", ".join(done.left_out[:10]))

    async def attach(self) -> None:
        sandbox = self._running()
        binary = self.options.binary or os.environ.get("BANGER_BIN") or "banger"
        if self.options.home:
            os.environ["BANGER_HOME"] = self.options.home
        os.execvp(binary, [binary, "exec", "-it", sandbox.name])


Callback = Callable[[str, OutputStream], Awaitable[None]]


def _listener(callback: Callback, stream: Any) -> Callable[[bytes], Awaitable[None]]:
    """A listener for bytes that tells text: a character that is cut in two waits for its rest."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")

    async def hear(data: bytes) -> None:
        text = decoder.decode(data)
        if text:
            await callback(text, stream)

    return hear


def egress_of(policy: NetworkPolicy) -> tuple[Egress, list[str]]:
    """What banger calls a policy of Harbor's."""
    if policy.network_mode == NetworkMode.PUBLIC:
        return "public", []
    if policy.network_mode == NetworkMode.NO_NETWORK:
        return "none", []
    return "list", [rule_of(host) for host in policy.allowed_hosts]


_NAME = re.compile(r"(\*\.)?[a-z0-9_-]+(\.[a-z0-9_-]+)*", re.IGNORECASE)


def rule_of(host: str) -> str:
    """The rule that allows a host of Harbor's: a name, `*.NAME`, an address or a network.

    Nothing of a task becomes another word of rules: `host` would open this host's own servers.
    """
    try:
        network = ip_network(host, strict=True) if "/" in host else ip_address(host)
    except ValueError:
        if not _NAME.fullmatch(host) or host.lower() in ("host", "tcp", "udp", "icmp", "any", "vm"):
            raise ValueError(f"{host!r} is no name that a rule can allow") from None
        return host
    return str(network) if network.version == 4 else f"[{network}]"


def name_of(session: str) -> str:
    """A name for a machine, of any text: at most 63 of `a-z`, `0-9` and `-`, and never the same twice."""
    slug = re.sub(r"[^a-z0-9]+", "-", session.lower()).strip("-")[:48].strip("-")
    return f"{slug or 'trial'}-{uuid.uuid4().hex[:8]}"


def labels_of(environment: str, session: str, context: object) -> dict[str, str]:
    """Labels by which a harness finds its machines again: `harbor` has the environment's name."""
    labels = {"harbor": environment, "harbor/session": session, "harbor/context": str(context or "")}
    return {key: _one_line(value) for key, value in labels.items() if value}


def _one_line(text: str) -> str:
    shown = "".join(c if c.isprintable() else "?" for c in text.encode("utf-8", "replace").decode("utf-8"))
    return shown[:512]


__all__ = ["BangerEnvironment", "BangerOptions", "egress_of", "labels_of", "name_of", "rule_of"]
