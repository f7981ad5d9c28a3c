"""The asynchronous face: a client of the daemon, from which sandboxes are made and found."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from .. import _calls as calls
from .. import _operations as operations
from .. import _routes as routes
from .._calls import Labels, Settings
from .._flow import Call, Flow, ask, events
from .._operations import OnEvent
from .._place import Place
from ..models import DaemonStatus, Event, Image, Kernel, Operation, Pruned, Secret, SystemEvent, Template
from ._driver import AsyncDriver
from .sandbox import AsyncSandbox

if TYPE_CHECKING:
    from typing_extensions import Unpack

T = TypeVar("T")


class AsyncClient:
    """A client of this user's daemon. It holds no connection, and may be used by several tasks at once.

    The daemon is found as the command line finds it; `home` is another `BANGER_HOME`, `socket` a socket of its own.
    With `autostart`, a daemon that does not answer is started by the program `banger` (`binary`, `BANGER_BIN`, or on
    `PATH`).
    """

    def __init__(
        self,
        *,
        home: str | os.PathLike[str] | None = None,
        socket: str | os.PathLike[str] | None = None,
        binary: str | os.PathLike[str] | None = None,
        autostart: bool = True,
    ) -> None:
        self._driver = AsyncDriver(Place(home=home, socket=socket, binary=binary, autostart=autostart))

    async def _run(self, flow: Flow[T]) -> T:
        return await self._driver.run(flow)

    async def status(self) -> DaemonStatus:
        """The daemon."""
        status: DaemonStatus = await self._run(ask(Call(routes.DAEMON)))
        return status

    async def create(
        self, *, env: Mapping[str, str] | None = None, on_event: OnEvent | None = None, **settings: Unpack[Settings]
    ) -> AsyncSandbox:
        """Makes a sandbox: see `AsyncSandbox.create`."""
        vm, keeper = await self._run(calls.create(calls.create_body(settings), on_event))
        return AsyncSandbox(self, vm, env=env, keeper=keeper)

    async def sandbox(self, reference: str, *, env: Mapping[str, str] | None = None) -> AsyncSandbox:
        """The sandbox of this name, id or unique beginning of an id."""
        return AsyncSandbox(self, await self._run(ask(Call(routes.VM, reference))), env=env)

    async def sandboxes(self, labels: Labels | None = None) -> list[AsyncSandbox]:
        """All sandboxes that every label selects; a value of `None` stands for any."""
        return [AsyncSandbox(self, vm) for vm in await self._run(calls.vms(labels))]

    async def delete_all(self, labels: Labels) -> list[str]:
        """Deletes every sandbox that all labels select, also running ones; gives their names."""
        return await self._run(calls.delete_all(labels))

    async def prune(self, labels: Labels | None = None, *, dry_run: bool = False) -> Pruned:
        """Deletes sandboxes that do not run."""
        return await self._run(calls.prune(labels, dry_run))

    async def images(self) -> list[Image]:
        """All images."""
        images: list[Image] = await self._run(ask(Call(routes.IMAGES)))
        return images

    async def image(self, name: str) -> Image:
        """The image of this name, with its details."""
        image: Image = await self._run(ask(Call(routes.IMAGE, name)))
        return image

    async def pull(
        self,
        reference: str,
        *,
        name: str | None = None,
        platform: str | None = None,
        replace: bool = False,
        plain_http: bool = False,
        on_event: OnEvent | None = None,
    ) -> None:
        """Makes an image of a container image in a registry."""
        body = calls.pull_body(
            reference, archive=False, name=name, platform=platform, tag=None, replace=replace, plain_http=plain_http
        )
        await self._run(calls.pull(body, on_event))

    async def ensure_image(self, reference: str, *, on_event: OnEvent | None = None) -> str:
        """The name of an image: one that is here by that name, else the reference is pulled, once.

        What is pulled so has a name of its own for each reference, for two registries may have images of one name.
        """
        return await self._run(calls.ensure_image(reference, on_event))

    async def load(
        self,
        path: str | os.PathLike[str],
        *,
        name: str | None = None,
        tag: str | None = None,
        replace: bool = False,
        on_event: OnEvent | None = None,
    ) -> None:
        """Makes an image of an archive or a folder of this host (`docker save`, OCI layouts)."""
        body = calls.pull_body(
            os.fspath(Path(path).absolute()),
            archive=True,
            name=name,
            platform=None,
            tag=tag,
            replace=replace,
            plain_http=False,
        )
        await self._run(calls.pull(body, on_event))

    async def build(
        self, recipe: str, *, name: str | None = None, replace: bool = False, on_event: OnEvent | None = None
    ) -> Image:
        """Builds an image from one of banger's recipes."""
        return await self._run(calls.build(recipe, name, replace, on_event))

    async def delete_image(self, name: str, *, on_event: OnEvent | None = None) -> None:
        """Deletes an image that no sandbox uses."""
        await self._run(operations.run(Call(routes.DELETE_IMAGE, name), on_event))

    async def secrets(self) -> list[Secret]:
        """Secrets that are kept on the host, without their values."""
        secrets: list[Secret] = await self._run(ask(Call(routes.SECRETS)))
        return secrets

    async def set_secret(self, name: str, value: str | bytes) -> Secret:
        """Keeps a secret on the host; sandboxes that use it have the new value at once."""
        content = value.encode("utf-8") if isinstance(value, str) else value
        secret: Secret = await self._run(ask(Call(routes.SET_SECRET, name, raw=content)))
        return secret

    async def delete_secret(self, name: str) -> None:
        """Forgets a secret that no sandbox uses."""
        await self._run(ask(Call(routes.DELETE_SECRET, name)))

    async def kernels(self) -> list[Kernel]:
        """All kernels."""
        kernels: list[Kernel] = await self._run(ask(Call(routes.KERNELS)))
        return kernels

    async def templates(self) -> list[Template]:
        """All templates."""
        templates: list[Template] = await self._run(ask(Call(routes.TEMPLATES)))
        return templates

    async def operations(self, *, vm: str | None = None, limit: int | None = None) -> list[Operation]:
        """The newest operations, newest first; those of deleted sandboxes as well."""
        query = [("vm", vm)] if vm is not None else []
        query += [("limit", str(limit))] if limit is not None else []
        found: list[Operation] = await self._run(ask(Call(routes.OPERATIONS, None, query)))
        return found

    async def operation(self, operation: str) -> Operation:
        """One operation."""
        found: Operation = await self._run(ask(Call(routes.OPERATION, operation)))
        return found

    def events(
        self, *, after: str | None = None, follow: bool = True, vm: str | None = None, limit: int | None = None
    ) -> AsyncIterator[SystemEvent]:
        """Changes of everything, oldest first: from the cursor `after` on (or `"start"`, `"now"`), or the last `limit`.

        With `follow` it waits for more, and for the next daemon when one ends.
        """
        return self._driver.stream(operations.everything(after, follow, vm, limit))

    def follow(self, operation: str) -> AsyncIterator[Event]:
        """Events of an operation that runs, from its first."""
        return self._driver.stream(events(Call(routes.FOLLOW, operation)))

    async def cancel(self, operation: str) -> Operation:
        """Cancels an operation."""
        found: Operation = await self._run(ask(Call(routes.CANCEL, operation)))
        return found
