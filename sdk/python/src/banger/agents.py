"""A sandbox client of the OpenAI Agents SDK: agents work in virtual machines of this host.

    from agents.run_config import RunConfig, SandboxRunConfig
    from banger.agents import BangerSandboxClient, BangerSandboxClientOptions

    options = BangerSandboxClientOptions(image="debian-minimal", egress="none")
    run = RunConfig(sandbox=SandboxRunConfig(client=BangerSandboxClient(), options=options))

It needs the package `openai-agents` (`pip install 'banger[agents]'`).
"""

from __future__ import annotations

import io
import tarfile
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

from agents.sandbox.errors import (
    ExecTimeoutError,
    ExecTransportError,
    ExposedPortUnavailableError,
    WorkspaceArchiveReadError,
    WorkspaceArchiveWriteError,
    WorkspaceReadNotFoundError,
    WorkspaceStartError,
    WorkspaceWriteTypeError,
)
from agents.sandbox.manifest import Manifest
from agents.sandbox.session import SandboxSession, SandboxSessionState
from agents.sandbox.session.base_sandbox_session import BaseSandboxSession
from agents.sandbox.session.dependencies import Dependencies
from agents.sandbox.session.manager import Instrumentation
from agents.sandbox.session.mount_lifecycle import with_ephemeral_mounts_removed
from agents.sandbox.session.runtime_helpers import RESOLVE_WORKSPACE_PATH_HELPER, RuntimeHelperScript
from agents.sandbox.session.sandbox_client import BaseSandboxClient, BaseSandboxClientOptions
from agents.sandbox.snapshot import SnapshotBase, SnapshotSpec, resolve_snapshot
from agents.sandbox.types import ExecResult, ExposedPortEndpoint, User
from agents.sandbox.util.tar_utils import validate_tarfile
from agents.sandbox.workspace_paths import sandbox_path_str

from . import errors
from ._exec import Result
from .aio import AsyncClient, AsyncSandbox

MAX_WORKSPACE = 4 * 1024**3
"""Bytes of a workspace that is kept."""

MAX_FILE = 256 * 1024**2
"""Bytes of a file that is read at once."""

LABEL = "openai-agents"
"""The label by which machines of sessions are found; its value is the session's id."""


class BangerSandboxClientOptions(BaseSandboxClientOptions):
    """A machine: what is not said comes from banger's configuration."""

    type: Literal["banger"] = "banger"
    image: str | None = None
    cpus: int | None = None
    memory: str | None = None
    disk: str | None = None
    egress: Literal["public", "none", "list"] = "public"
    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()
    env: dict[str, str] | None = None
    exposed_ports: tuple[int, ...] = ()
    labels: dict[str, str] | None = None
    template: bool = True


class BangerSandboxSessionState(SandboxSessionState):
    """State of a session, from which another process goes on with its machine."""

    type: Literal["banger"] = "banger"
    sandbox_id: str = ""
    options: BangerSandboxClientOptions


class BangerSandboxSession(BaseSandboxSession):
    """A session in a machine of its own."""

    state: BangerSandboxSessionState

    def __init__(self, state: BangerSandboxSessionState, client: AsyncClient) -> None:
        self.state = state
        self._client = client
        self._sandbox: AsyncSandbox | None = None

    def supports_pty(self) -> bool:
        return False

    async def _machine(self) -> AsyncSandbox:
        """The machine; it is made when there is none."""
        if self._sandbox is None:
            options = self.state.options
            labels = {**(options.labels or {}), LABEL: str(self.state.session_id)}
            self._sandbox = await AsyncSandbox.create(
                client=self._client,
                image=options.image,
                cpus=options.cpus,
                memory=options.memory,
                disk=options.disk,
                net="user",
                # The network that enforces what was said.
                stack="own",
                egress=options.egress,
                allow=options.allow,
                deny=options.deny,
                labels=labels,
                template=options.template,
            )
            self.state.sandbox_id = self._sandbox.id
        return self._sandbox

    async def reconnect(self) -> bool:
        """Goes on with the machine of the state, if it still exists."""
        if not self.state.sandbox_id:
            return False
        try:
            sandbox = await self._client.sandbox(self.state.sandbox_id)
            if sandbox.state != "running":
                await sandbox.start()
        except errors.ApiError:
            return False
        self._sandbox = sandbox
        return True

    async def running(self) -> bool:
        if self._sandbox is None:
            return False
        try:
            return (await self._sandbox.refresh()).state == "running"
        except errors.BangerError:
            return False

    async def _shutdown_backend(self) -> None:
        """The machine rests until the session is resumed or deleted."""
        if self._sandbox is not None and await self.running():
            await self._sandbox.stop()

    async def discard(self) -> None:
        """Deletes the machine."""
        sandbox, self._sandbox = self._sandbox, None
        if sandbox is not None:
            await sandbox.delete()

    def _runtime_helpers(self) -> tuple[RuntimeHelperScript, ...]:
        return (RESOLVE_WORKSPACE_PATH_HELPER,)

    async def _validate_path_access(self, path: Path | str, *, for_write: bool = False) -> Path:
        return await self._validate_remote_path_access(path, for_write=for_write)

    async def _prepare_backend_workspace(self) -> None:
        root = self.state.manifest.root
        try:
            made = await (await self._machine()).exec(["mkdir", "-p", "--", root])
        except errors.BangerError as error:
            raise WorkspaceStartError(path=Path(root), cause=error) from error
        if not made.ok:
            raise WorkspaceStartError(path=Path(root), context={"stderr": made.stderr})

    async def exec(
        self,
        *command: str | Path,
        timeout: float | None = None,
        shell: bool | list[str] = True,
        user: str | User | None = None,
    ) -> ExecResult:
        # The guest's agent changes the user: the image needs no sudo.
        words = self._prepare_exec_command(*command, shell=shell, user=None)
        return await self._exec_as(words, timeout, user)

    async def _exec_internal(self, *command: str | Path, timeout: float | None = None) -> ExecResult:
        return await self._exec_as([str(word) for word in command], timeout, None)

    async def _exec_as(self, words: list[str], timeout: float | None, user: str | User | None) -> ExecResult:
        if not words:
            return ExecResult(stdout=b"", stderr=b"", exit_code=0)
        try:
            done = await self._run(words, timeout=timeout, user=user)
        except (errors.NoSuchProgram, errors.NotExecutable) as error:
            # As a shell tells it.
            code = 127 if isinstance(error, errors.NoSuchProgram) else 126
            return ExecResult(stdout=b"", stderr=f"{error}\n".encode(), exit_code=code)
        except errors.BangerError as error:
            raise ExecTransportError(command=words, cause=error, context=self._context()) from error
        if done.timed_out:
            raise ExecTimeoutError(command=words, timeout_s=timeout)
        return ExecResult(stdout=done.stdout_bytes, stderr=done.stderr_bytes, exit_code=done.exit_code)

    async def _run(self, words: list[str], *, user: str | User | None = None, **more: Any) -> Result:
        environment = {**(self.state.options.env or {}), **await self.state.manifest.environment.resolve()}
        # The first commands make the workspace, and run before it is there.
        cwd = self.state.manifest.root if self.state.workspace_root_ready or self._ready else None
        return await (await self._machine()).exec(
            words, cwd=cwd, env=environment, user=user.name if isinstance(user, User) else user, **more
        )

    _ready = False

    async def _start_workspace(self) -> None:
        self._ready = True
        await super()._start_workspace()

    def _context(self) -> dict[str, object]:
        return {"backend": "banger", "sandbox_id": self.state.sandbox_id}

    async def _resolve_exposed_port(self, port: int) -> ExposedPortEndpoint:
        sandbox = await self._machine()
        try:
            servers = (await sandbox.refresh()).servers
        except errors.BangerError as error:
            raise self._no_port(port, error) from error
        at = next((one.at for one in servers if one.guest_port == port and one.at), None)
        if at is None:
            raise self._no_port(port, None)
        host, _, number = at.rpartition(":")
        return ExposedPortEndpoint(host=host, port=int(number), tls=False)

    def _no_port(self, port: int, cause: Exception | None) -> ExposedPortUnavailableError:
        return ExposedPortUnavailableError(
            port=port,
            exposed_ports=self.state.exposed_ports,
            reason="backend_unavailable",
            context={**self._context(), "hint": "nothing listens at this port of the guest yet"},
            cause=cause,
        )

    async def read(self, path: Path, *, user: str | User | None = None) -> io.IOBase:
        checked = await self._validate_path_access(path)
        async with self._reading(checked):
            if user is not None:
                return io.BytesIO(await self._read_as(checked, user))
            return io.BytesIO(await (await self._machine()).read_bytes(sandbox_path_str(checked), max_bytes=MAX_FILE))

    async def _read_as(self, path: Path, user: str | User) -> bytes:
        done = await self._run(["cat", "--", sandbox_path_str(path)], user=user, max_output=MAX_FILE)
        if not done.ok or done.truncated:
            raise errors.TransferFailed(done.stderr.strip() or "it is too large", str(path))
        return done.stdout_bytes

    @asynccontextmanager
    async def _reading(self, path: Path) -> AsyncIterator[None]:
        try:
            yield
        except errors.BangerError as error:
            there = await self._run(["test", "-e", sandbox_path_str(path)])
            if not there.ok:
                raise WorkspaceReadNotFoundError(path=path, cause=error) from error
            raise WorkspaceArchiveReadError(path=path, cause=error) from error

    async def write(self, path: Path, data: io.IOBase, *, user: str | User | None = None) -> None:
        checked = await self._validate_path_access(path, for_write=True)
        content = _bytes_of(data, checked)
        script = 'mkdir -p -- "$(dirname -- "$1")" && cat > "$1"'
        try:
            done = await self._run(["sh", "-c", script, "sh", sandbox_path_str(checked)], stdin=content, user=user)
        except errors.BangerError as error:
            raise WorkspaceArchiveWriteError(path=checked, cause=error) from error
        if not done.ok:
            raise WorkspaceArchiveWriteError(path=checked, context={"stderr": done.stderr})

    async def persist_workspace(self) -> io.IOBase:
        root = Path(self.state.manifest.root)
        return await with_ephemeral_mounts_removed(
            self,
            self._persist,
            error_path=root,
            error_cls=WorkspaceArchiveReadError,
            operation_error_context_key="snapshot_error_before_remount_corruption",
        )

    async def _persist(self) -> io.IOBase:
        root = Path(self.state.manifest.root)
        skipped = sorted(path.as_posix() for path in self._persist_workspace_skip_relpaths())
        excludes = [f"--exclude=./{path}" for path in skipped]
        try:
            done = await self._run(["tar", "cf", "-", "--no-wildcards", *excludes, "."], max_output=MAX_WORKSPACE)
        except errors.BangerError as error:
            raise WorkspaceArchiveReadError(path=root, cause=error) from error
        if not done.ok or done.truncated:
            raise WorkspaceArchiveReadError(path=root, context={"stderr": done.stderr, "truncated": done.truncated})
        return io.BytesIO(done.stdout_bytes)

    async def hydrate_workspace(self, data: io.IOBase) -> None:
        root = Path(self.state.manifest.root)
        content = _bytes_of(data, root)
        await with_ephemeral_mounts_removed(
            self,
            lambda: self._hydrate(root, content),
            error_path=root,
            error_cls=WorkspaceArchiveWriteError,
            operation_error_context_key="hydrate_error_before_remount_corruption",
        )

    async def _hydrate(self, root: Path, content: bytes) -> None:
        try:
            with tarfile.open(fileobj=io.BytesIO(content), mode="r:*") as tar:
                validate_tarfile(tar, allow_external_symlink_targets=False)
            (await (await self._machine()).exec(["mkdir", "-p", "--", str(root)])).check()
            done = await self._run(["tar", "xf", "-", "-C", str(root)], stdin=content)
        except Exception as error:
            raise WorkspaceArchiveWriteError(path=root, cause=error) from error
        if not done.ok:
            raise WorkspaceArchiveWriteError(path=root, context={"stderr": done.stderr})


def _bytes_of(data: io.IOBase, path: Path) -> bytes:
    content: object = data.read()
    if isinstance(content, str):
        return content.encode("utf-8")
    if not isinstance(content, (bytes, bytearray)):
        raise WorkspaceWriteTypeError(path=path, actual_type=type(content).__name__)
    return bytes(content)


class BangerSandboxClient(BaseSandboxClient[BangerSandboxClientOptions]):
    """Makes, resumes and deletes sessions."""

    backend_id = "banger"
    supports_default_options = True

    def __init__(
        self,
        *,
        client: AsyncClient | None = None,
        instrumentation: Instrumentation | None = None,
        dependencies: Dependencies | None = None,
    ) -> None:
        super().__init__()
        self._client = client or AsyncClient()
        self._instrumentation = instrumentation or Instrumentation()
        self._dependencies = dependencies

    async def create(
        self,
        *,
        snapshot: SnapshotSpec | SnapshotBase | None = None,
        manifest: Manifest | None = None,
        options: BangerSandboxClientOptions | None = None,
    ) -> SandboxSession:
        options = options or BangerSandboxClientOptions()
        manifest = self._validate_manifest_for_create(manifest or Manifest())
        session_id = uuid.uuid4()
        state = BangerSandboxSessionState(
            session_id=session_id,
            manifest=manifest,
            snapshot=resolve_snapshot(snapshot, str(session_id)),
            exposed_ports=options.exposed_ports,
            options=options,
        )
        inner = BangerSandboxSession(state, self._client)
        await inner._machine()
        return self._wrap_session(inner, instrumentation=self._instrumentation)

    async def delete(self, session: SandboxSession) -> SandboxSession:
        inner = session._inner
        if not isinstance(inner, BangerSandboxSession):
            raise TypeError("BangerSandboxClient.delete expects a BangerSandboxSession")
        await inner.discard()
        return session

    async def resume(self, state: SandboxSessionState) -> SandboxSession:
        if not isinstance(state, BangerSandboxSessionState):
            raise TypeError("BangerSandboxClient.resume expects a BangerSandboxSessionState")
        state.assert_path_grants_rebound()
        inner = BangerSandboxSession(state, self._client)
        preserved = await inner.reconnect()
        if not preserved:
            state.workspace_root_ready = False
            await inner._machine()
        inner._set_start_state_preserved(preserved)
        return self._wrap_session(inner, instrumentation=self._instrumentation)

    def deserialize_session_state(self, payload: dict[str, object]) -> SandboxSessionState:
        return self._deserialize_session_state_payload(payload, BangerSandboxSessionState)


__all__ = [
    "BangerSandboxClient",
    "BangerSandboxClientOptions",
    "BangerSandboxSession",
    "BangerSandboxSessionState",
]
