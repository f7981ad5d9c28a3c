"""A sandbox of the synchronous face: a virtual machine of one's own."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from . import _calls as calls
from . import _commands as commands
from . import _files as files
from . import _requests as requests
from . import _routes as routes
from ._calls import Settings
from ._commands import MAX_OUTPUT, OnOutput, Stdin
from ._exec import Command, Result
from ._files import MAX_READ
from ._flow import Call, Flow, ask
from ._operations import OnEvent
from ._requests import Egress, RestartPolicy
from ._size import Size, size_of
from ._unpack import Limits, Links, Transfer
from .models import (
    Checkpoint,
    DetachedCommand,
    Health,
    Image,
    KeptWorkspace,
    Network,
    Port,
    Publish,
    Stats,
    Verdict,
    Vm,
)
from .process import Process
from .stream import Stream

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from .client import Client

T = TypeVar("T")


class Sandbox:
    """A virtual machine. Its context deletes it.

    with Sandbox.create(image="debian-minimal") as sandbox:
        print(sandbox.exec("uname -a").stdout)
    """

    def __init__(self, client: Client, vm: Vm, *, env: Mapping[str, str] | None = None, keeper: Any = None) -> None:
        self._client = client
        self._keeper = keeper
        self.vm = vm
        """Its record, as it was at the last answer."""
        self.env = dict(env or {})
        """Variables of every command; they are kept here, not in the guest."""

    @classmethod
    def create(
        cls,
        *,
        client: Client | None = None,
        env: Mapping[str, str] | None = None,
        on_event: OnEvent | None = None,
        **settings: Unpack[Settings],
    ) -> Sandbox:
        """Makes a sandbox and starts it. What is not said comes from the configuration, then from the host.

        `image`, `name`, `cpus`, `memory`, `disk`, `overlay` (sizes as `"4G"`, or bytes), `kernel`; `net` (`"none"`,
        `"user"`), `stack` (`"own"`, `"slirp"`), `egress` (`"public"`, `"all"`, `"none"`, `"list"`), `allow` and `deny`
        (rules as `"github.com:443"`), `secrets` (`"token=api.example.com"`), `join` (a network of sandboxes), `publish`
        (`"8080:80"`); `labels`; `start`; `ephemeral`: it goes when this object or its process goes, however that comes
        about; `restart`; `replace`: in the place of the one that has the name; `template=False`: boots where it could
        wake. `on_event` hears the progress.
        """
        from .client import Client

        return (client or Client()).create(env=env, on_event=on_event, **settings)

    def _run(self, flow: Flow[T]) -> T:
        return self._client._run(flow)

    @property
    def id(self) -> str:
        """Its id, which never changes."""
        return self.vm.id

    @property
    def name(self) -> str:
        """Its name."""
        return self.vm.name

    @property
    def state(self) -> str:
        """Its state at the last answer: `created`, `running`, `stopped`, `suspended`, `error` …"""
        return self.vm.state

    @property
    def labels(self) -> dict[str, str]:
        """Its labels at the last answer."""
        return dict(self.vm.labels)

    @property
    def address(self) -> str | None:
        """The address of its servers on this host, on banger's own network."""
        return self.vm.address

    @property
    def url(self) -> str | None:
        """The address of its servers for browsers of this host."""
        return self.vm.url

    def refresh(self) -> Vm:
        """Its record, asked for anew."""
        self.vm = self._run(ask(Call(routes.VM, self.id)))
        return self.vm

    def _change(self, flow: Flow[Vm]) -> Vm:
        self.vm = self._run(flow)
        return self.vm

    def start(self, *, on_event: OnEvent | None = None) -> Vm:
        """Starts it; one that is suspended goes on."""
        return self._change(calls.change(routes.START, self.id, None, on_event))

    def stop(self, *, timeout: int | None = None, on_event: OnEvent | None = None) -> Vm:
        """Has its guest shut down; after `timeout` seconds (10) it is killed."""
        return self._change(calls.change(routes.STOP, self.id, requests.StopVm(timeout), on_event))

    def restart(self, *, timeout: int | None = None, on_event: OnEvent | None = None) -> Vm:
        """Stops it and starts it again."""
        return self._change(calls.change(routes.RESTART, self.id, requests.StopVm(timeout), on_event))

    def kill(self, *, signal: str | None = None, on_event: OnEvent | None = None) -> Vm:
        """Pulls the plug. One that is suspended forgets its memory."""
        return self._change(calls.change(routes.KILL, self.id, requests.KillVm(signal), on_event))

    def suspend(self, *, on_event: OnEvent | None = None) -> Vm:
        """Writes its memory to the disk and ends its machine; `start` lets it go on."""
        return self._change(calls.change(routes.SUSPEND, self.id, None, on_event))

    def pause(self, *, on_event: OnEvent | None = None) -> Vm:
        """Lets it stand still."""
        return self._change(calls.change(routes.PAUSE, self.id, None, on_event))

    def resume(self, *, on_event: OnEvent | None = None) -> Vm:
        """Lets one that stands still go on."""
        return self._change(calls.change(routes.RESUME, self.id, None, on_event))

    def delete(self, *, on_event: OnEvent | None = None) -> None:
        """Deletes it with all its files, also while it runs. One that is gone already is fine."""
        try:
            self._run(calls.delete(self.id, on_event))
        finally:
            self._let_go()

    def _let_go(self) -> None:
        keeper, self._keeper = self._keeper, None
        if keeper is not None:
            keeper.close()

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.delete()

    def save(
        self, image: str, *, work_seed: str | None = None, replace: bool = False, on_event: OnEvent | None = None
    ) -> Image:
        """Makes an image of it; it does not run then."""
        body = requests.SaveVm(image=image, work_seed=work_seed, replace=replace or None)
        return self._run(calls.save(self.id, body, on_event))

    def checkpoints(self) -> list[Checkpoint]:
        """The points to which its disks can go back, the oldest first."""
        found: list[Checkpoint] = self._run(ask(Call(routes.CHECKPOINTS, self.id)))
        return found

    def checkpoint(self, name: str | None = None, *, on_event: OnEvent | None = None) -> Checkpoint:
        """Keeps its disks as they are now, while it runs or not; memory is not kept."""
        return self._run(calls.checkpoint(self.id, name, on_event))

    def restore(self, checkpoint: str, *, discard_current: bool = False, on_event: OnEvent | None = None) -> Vm:
        """Lets its disks go back to a checkpoint; one that runs starts again. What is there now is made a checkpoint
        first, or discarded."""
        return self._change(calls.restore(self.id, checkpoint, discard_current, on_event))

    def delete_checkpoint(self, checkpoint: str, *, on_event: OnEvent | None = None) -> None:
        """Forgets a checkpoint."""
        self._run(calls.delete_checkpoint(self.id, checkpoint, on_event))

    def fork(
        self,
        count: int = 1,
        *,
        checkpoint: str | None = None,
        name: str | None = None,
        start: bool = True,
        on_event: OnEvent | None = None,
    ) -> list[Sandbox]:
        """Makes sandboxes that go on from its disks as they are now, or from a checkpoint, each on its own."""
        body = requests.ForkVm(checkpoint=checkpoint, count=count, name=name)
        made = self._run(calls.fork(self.id, body, start, on_event))
        return [Sandbox(self._client, vm, env=self.env) for vm in made]

    def set(
        self,
        *,
        name: str | None = None,
        cpus: int | None = None,
        memory: Size | None = None,
        disk: Size | None = None,
        kernel: str | None = None,
        egress: Egress | None = None,
        join: str | None = None,
        leave: bool = False,
        restart: RestartPolicy | None = None,
        labels: Mapping[str, str | None] | None = None,
    ) -> Vm:
        """Changes its settings. Sizes apply at the next start, the disk and `labels` at once; a label that is `None`
        goes, those that are not named stay."""
        body = requests.SetVm(
            name=name,
            vcpu=cpus,
            memory=size_of(memory),
            disk_size=size_of(disk),
            kernel=kernel,
            egress=egress,
            join=join,
            leave=leave or None,
            restart=restart,
            labels=None if labels is None else dict(labels),
        )
        return self._change(ask(Call(routes.SET, self.id, [], body)))

    def exec(
        self,
        command: Command,
        *,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        timeout: float | None = None,
        user: str | int | None = None,
        stdin: Stdin = None,
        on_stdout: OnOutput | None = None,
        on_stderr: OnOutput | None = None,
        max_output: int = MAX_OUTPUT,
    ) -> Result:
        """Runs a command to its end. Text is run by `/bin/sh -c`, a list is a program with its arguments.

        After `timeout` seconds the command and all its children are ended (`timed_out`). `on_stdout` and `on_stderr`
        hear output as it comes; the result keeps the first `max_output` bytes of each. A command that was not started
        is an error (`NoSuchProgram`, `NotExecutable`); one that ends with another code than 0 is none: see
        `Result.check`.
        """
        body = self._exec_body(command, cwd, env, user, timeout, stdin is not None)
        return self._run(commands.run(self.id, body, stdin, on_stdout, on_stderr, max_output))

    def popen(
        self,
        command: Command,
        *,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        timeout: float | None = None,
        user: str | int | None = None,
        stdin: bool = True,
        terminal: tuple[int, int] | None = None,
    ) -> Process:
        """Starts a command, and gives it while it runs. `terminal` is rows and columns of a terminal of its own."""
        body = self._exec_body(command, cwd, env, user, timeout, stdin, terminal)
        return Process(*self._run(commands.open_session(self.id, body)))

    def detach(
        self,
        command: Command,
        *,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        timeout: float | None = None,
        user: str | int | None = None,
    ) -> DetachedCommand:
        """Starts a command that goes on without this process; the guest keeps the last 2 MiB of its output."""
        body = self._exec_body(command, cwd, env, user, timeout, False)
        body.stdin = None
        return self._run(commands.detach(self.id, body))

    def _exec_body(
        self,
        command: Command,
        cwd: str | None,
        env: Mapping[str, str] | None,
        user: str | int | None,
        timeout: float | None,
        stdin: bool,
        terminal: tuple[int, int] | None = None,
    ) -> requests.Exec:
        env = {**self.env, **(env or {})}
        body = commands.exec_body(command, cwd=cwd, env=env, user=user, timeout=timeout, stdin=stdin)
        if terminal is not None:
            body.terminal = requests.Terminal(*terminal)
        return body

    def detached(self) -> list[DetachedCommand]:
        """Commands that were detached since its start."""
        found: list[DetachedCommand] = self._run(ask(Call(routes.DETACHED, self.id)))
        return found

    def attach(self, number: int, *, on_stdout: OnOutput | None = None, on_stderr: OnOutput | None = None) -> Result:
        """Waits for a detached command, with what it has put out and puts out."""
        return self._run(commands.attach(self.id, number, on_stdout, on_stderr))

    def read_bytes(self, path: str, *, max_bytes: int = MAX_READ) -> bytes:
        """The content of a file of the guest."""
        return self._run(files.read(self.id, path, max_bytes))

    def read_text(self, path: str, *, max_bytes: int = MAX_READ) -> str:
        """The content of a file of the guest, as UTF-8."""
        return self.read_bytes(path, max_bytes=max_bytes).decode("utf-8")

    def write_bytes(self, path: str, content: bytes, *, mode: int = 0o644) -> None:
        """Makes a file of the guest, in a folder that is there."""
        self._run(files.write(self.id, path, content, mode))

    def write_text(self, path: str, content: str, *, mode: int = 0o644) -> None:
        """Makes a file of the guest, in a folder that is there, as UTF-8."""
        self.write_bytes(path, content.encode("utf-8"), mode=mode)

    def put(self, local: str | os.PathLike[str], remote: str) -> Transfer:
        """The file or folder `local` of this host becomes `remote`. A folder that is there gets the contents."""
        return self._run(files.put(self.id, Path(local), remote))

    def get(
        self, remote: str, local: str | os.PathLike[str], *, limits: Limits | None = None, links: Links = "inside"
    ) -> Transfer:
        """The file or folder `remote` of the guest becomes `local`. A folder that is there gets the contents.

        The guest is not trusted: nothing is made outside of `local`, and links that lead out of it are left out.
        """
        return self._run(files.get(self.id, remote, Path(local), limits or Limits(), links))

    def ports(self) -> list[Port]:
        """What listens in the guest, and where this host reaches it."""
        found: list[Port] = self._run(ask(Call(routes.PORTS, self.id)))
        return found

    def publish(self, add: Sequence[str | Publish] = (), *, remove: Sequence[str | Publish] = ()) -> Vm:
        """Publishes ports on this host (`"8080:80"`), and others no more."""
        body = requests.ChangePorts(add=calls.publishes(add), remove=calls.publishes(remove))
        return self._change(ask(Call(routes.CHANGE_PORTS, self.id, [], body)))

    def connect(self, target: int | str) -> Stream:
        """A connection to a TCP port of the guest's loopback, or to a Unix socket of it."""
        return Stream(*self._run(calls.connect(self.id, target)))

    def logs(self, *, follow: bool = False, tail: int | None = None) -> Iterator[bytes]:
        """Its console's log, in pieces; with `follow` as it comes."""
        return self._client._driver.stream(calls.logs(self.id, follow, tail))

    def stats(self) -> Stats:
        """What it uses."""
        stats: Stats = self._run(ask(Call(routes.STATS, self.id)))
        return stats

    def health(self) -> Health:
        """Tells whether its guest answers."""
        health: Health = self._run(ask(Call(routes.HEALTH, self.id)))
        return health

    def network(self) -> Network:
        """What its guest may reach, and who says so."""
        network: Network = self._run(ask(Call(routes.NETWORK, self.id)))
        return network

    def change_network(
        self,
        *,
        egress: Egress | None = None,
        allow: Sequence[str] = (),
        deny: Sequence[str] = (),
        remove: Sequence[str] = (),
        for_seconds: int | None = None,
        secrets: Sequence[str] = (),
        forget_secrets: Sequence[str] = (),
    ) -> Network:
        """Changes what its guest may reach, and the secrets that it uses there. It holds at once, on banger's own
        network."""
        return self._run(
            calls.change_network(self.id, egress, allow, deny, remove, for_seconds, secrets, forget_secrets)
        )

    def check_network(self, target: str) -> Verdict:
        """The judgement about one target, as `"github.com:443"`."""
        return self._run(calls.check_network(self.id, target))

    def workspaces(self) -> list[KeptWorkspace]:
        """Workspaces that the command line has sent. `banger vm workspace` sends and exports them."""
        found: list[KeptWorkspace] = self._run(ask(Call(routes.WORKSPACES, self.id)))
        return found

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name} {self.state}>"
