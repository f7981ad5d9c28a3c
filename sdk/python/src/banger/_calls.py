"""What clients ask for, as flows: the one place where arguments become requests."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypedDict

from . import _operations as operations
from . import _requests as requests
from . import _routes as routes
from ._commands import open_session
from ._exec import Session
from ._flow import Call, Flow, ask, listen, upgrade
from ._flow import Release as ReleaseEffect
from ._operations import OnEvent
from ._routes import Route
from ._size import Size, size_of
from .errors import ApiError, NotFound
from .models import Accepted, Checkpoint, Image, Network, Pruned, Publish, Verdict, Vm

Labels = Mapping[str, "str | None"]
"""Labels that select: a key with its value, or with `None` for any value."""

KEEPER = ["sleep", "2147483647"]
"""The command that keeps a sandbox of one program alive: its stream ends with this process, and so does the sandbox."""


def label_words(labels: Labels | None) -> list[str]:
    """Labels as the API selects by them."""
    return [key if value is None else f"{key}={value}" for key, value in (labels or {}).items()]


def publishes(ports: Iterable[str | Publish] | None) -> list[Publish] | None:
    """Ports to publish, from text where they are text."""
    if ports is None:
        return None
    return [one if isinstance(one, Publish) else Publish.parse(one) for one in ports]


class Settings(TypedDict, total=False):
    """Settings of a new sandbox; what is not said comes from the configuration, then from the host."""

    image: str | None
    name: str | None
    cpus: int | None
    memory: Size | None
    disk: Size | None
    overlay: Size | None
    kernel: str | None
    net: requests.NetMode | None
    stack: requests.NetStack | None
    egress: requests.Egress | None
    allow: Sequence[str] | None
    deny: Sequence[str] | None
    join: str | None
    publish: Iterable[str | Publish] | None
    labels: Mapping[str, str] | None
    start: bool
    ephemeral: bool
    restart: requests.RestartPolicy | None
    replace: bool
    template: bool
    secrets: Sequence[str] | None


def create_body(settings: Settings) -> requests.CreateVm:
    """The request for a sandbox."""
    unknown = sorted(settings.keys() - Settings.__annotations__.keys())
    if unknown:
        raise TypeError(f"a sandbox has no setting {unknown[0]!r}")
    start, ephemeral = settings.get("start", True), settings.get("ephemeral", False)
    if ephemeral and not start:
        raise ValueError("an ephemeral sandbox is started: nothing else would keep it")
    allow, deny, labels = settings.get("allow"), settings.get("deny"), settings.get("labels")
    secrets = settings.get("secrets")
    return requests.CreateVm(
        image=settings.get("image"),
        name=settings.get("name"),
        vcpu=settings.get("cpus"),
        memory=size_of(settings.get("memory")),
        disk_size=size_of(settings.get("disk")),
        overlay_size=size_of(settings.get("overlay")),
        kernel=settings.get("kernel"),
        net=settings.get("net"),
        stack=settings.get("stack"),
        egress=settings.get("egress"),
        allow=None if allow is None else list(allow),
        deny=None if deny is None else list(deny),
        join=settings.get("join"),
        publish=publishes(settings.get("publish")),
        labels=None if labels is None else dict(labels),
        start=start,
        ephemeral=ephemeral or None,
        restart=settings.get("restart"),
        replace=settings.get("replace") or None,
        secrets=None if secrets is None else list(secrets),
        no_template=None if settings.get("template", True) else True,
    )


def create(body: requests.CreateVm, on_event: OnEvent | None) -> Flow[tuple[Vm, Any]]:
    """Makes a sandbox. Going away meanwhile cancels that. An ephemeral one comes with the connection that keeps it."""
    vm = yield from operations.run_vm(Call(routes.CREATE, None, [], body), on_event, cancel=True)
    keeper = (yield from keep(vm.id)) if body.ephemeral else None
    return vm, keeper


def keep(reference: str) -> Flow[Any]:
    """The connection that keeps an ephemeral sandbox."""
    body = requests.Exec(argv=KEEPER, env={}, stdin=False, then_delete=True)
    opened: tuple[Any, Session, list[Any]] = yield from open_session(reference, body)
    return opened[0]


def delete(reference: str, on_event: OnEvent | None = None) -> Flow[None]:
    """Deletes a sandbox, also one that runs. One that is gone already is fine."""
    try:
        yield from operations.run(Call(routes.DELETE, reference, [("force", "true")]), on_event)
    except NotFound:
        return


def change(route: Route, reference: str, body: Any = None, on_event: OnEvent | None = None) -> Flow[Vm]:
    """An operation on a sandbox, and its record afterwards."""
    return (yield from operations.run_vm(Call(route, reference, [], body), on_event))


def save(reference: str, body: requests.SaveVm, on_event: OnEvent | None) -> Flow[Image]:
    """Makes an image of a sandbox that does not run."""
    yield from operations.run(Call(routes.SAVE, reference, [], body), on_event)
    image: Image = yield from ask(Call(routes.IMAGE, body.image))
    return image


def checkpoint(reference: str, name: str | None, on_event: OnEvent | None) -> Flow[Checkpoint]:
    """Makes a checkpoint of a sandbox's disks; it is the current one then."""
    body = requests.CreateCheckpoint(name=name)
    yield from operations.run(Call(routes.CHECKPOINT, reference, [], body), on_event)
    found: list[Checkpoint] = yield from ask(Call(routes.CHECKPOINTS, reference))
    return next(one for one in found if one.current)


def restore(reference: str, checkpoint: str, discard: bool, on_event: OnEvent | None) -> Flow[Vm]:
    """Lets a sandbox go back to a checkpoint."""
    body = requests.RestoreCheckpoint(discard_current=discard or None)
    return (yield from operations.run_vm(Call(routes.RESTORE, (reference, checkpoint), [], body), on_event))


def delete_checkpoint(reference: str, checkpoint: str, on_event: OnEvent | None) -> Flow[None]:
    """Forgets a checkpoint."""
    yield from operations.run(Call(routes.DELETE_CHECKPOINT, (reference, checkpoint)), on_event)


def fork(reference: str, body: requests.ForkVm, start: bool, on_event: OnEvent | None) -> Flow[list[Vm]]:
    """Makes sandboxes of another one's disks, and starts them, all at once. None stays when one does not start."""
    accepted = yield from operations.run(Call(routes.FORK, reference, [], body), on_event, cancel=True)
    made: list[Vm] = []
    try:
        begun: list[Accepted] = []
        for one in accepted.forks if start else ():
            begun.append((yield from ask(Call(routes.START, one.id))))
        for operation in begun:
            yield from operations.settle(operation.operation, on_event)
        for one in accepted.forks:
            made.append((yield from ask(Call(routes.VM, one.id))))
    except Exception:
        for one in accepted.forks:
            yield from delete(one.id)
        raise
    return made


def vms(labels: Labels | None) -> Flow[list[Vm]]:
    """All sandboxes that every label selects."""
    query = [("label", word) for word in label_words(labels)]
    found: list[Vm] = yield from ask(Call(routes.VMS, None, query))
    return found


def delete_all(labels: Labels) -> Flow[list[str]]:
    """Deletes every sandbox that all labels select; gives their names. What fails is raised at the end."""
    if not labels:
        raise ValueError("name at least one label: without one, every sandbox of this user would go")
    gone: list[str] = []
    failed: ApiError | None = None
    for vm in (yield from vms(labels)):
        try:
            yield from delete(vm.id)
            gone.append(vm.name)
        except ApiError as error:
            failed = failed or error
    if failed is not None:
        raise failed
    return gone


def prune(labels: Labels | None, dry_run: bool) -> Flow[Pruned]:
    """Deletes sandboxes that do not run."""
    body = requests.PruneVms(dry_run=dry_run, labels=label_words(labels) or None)
    pruned: Pruned = yield from ask(Call(routes.PRUNE, None, [], body))
    for operation in pruned.operations:
        yield from operations.settle(operation, None)
    return pruned


def pull(body: requests.PullImage, on_event: OnEvent | None) -> Flow[None]:
    """Makes an image of a container image. Going away meanwhile cancels that."""
    yield from operations.run(Call(routes.PULL_IMAGE, None, [], body), on_event, cancel=True)


def ensure_image(reference: str, on_event: OnEvent | None) -> Flow[str]:
    """The name of an image: one that is here by that name, else the reference is pulled."""
    images: list[Image] = yield from ask(Call(routes.IMAGES))
    here = {image.name for image in images if not image.superseded}
    pulled = image_name_of(reference)
    for name in (reference, pulled):
        if name in here:
            return name
    body = requests.PullImage(source=requests.FromRegistry(reference), name=pulled)
    yield from pull(body, on_event)
    return pulled


def image_name_of(reference: str) -> str:
    """The name of the image that is made of a reference: readable, and another one for each reference."""
    last = reference.split("@")[0].rsplit("/", 1)[-1].lower()
    slug = re.sub(r"[^a-z0-9._-]+", "-", last).strip("._-")[:40]
    digest = hashlib.sha256(reference.encode("utf-8", "surrogateescape")).hexdigest()[:12]
    return f"{slug or 'image'}-{digest}"


def pull_body(
    source: str,
    *,
    archive: bool,
    name: str | None,
    platform: str | None,
    tag: str | None,
    replace: bool,
    plain_http: bool,
) -> requests.PullImage:
    """The request for an image of a registry, or of a path of this host."""
    where: requests.FromRegistry | requests.FromPath
    if archive:
        where = requests.FromPath(source, tag=tag)
    else:
        where = requests.FromRegistry(source, plain_http=plain_http or None)
    return requests.PullImage(source=where, name=name, platform=platform, replace=replace or None)


def build(recipe: str, name: str | None, replace: bool, on_event: OnEvent | None) -> Flow[Image]:
    """Builds an image from a recipe. Going away meanwhile cancels that."""
    body = requests.BuildImage(recipe=recipe, name=name, replace=replace or None)
    yield from operations.run(Call(routes.BUILD_IMAGE, None, [], body), on_event, cancel=True)
    image: Image = yield from ask(Call(routes.IMAGE, name or recipe))
    return image


def change_network(
    reference: str,
    egress: requests.Egress | None,
    allow: Sequence[str],
    deny: Sequence[str],
    remove: Sequence[str],
    for_seconds: int | None,
    secrets: Sequence[str],
    forget_secrets: Sequence[str],
) -> Flow[Network]:
    """Changes what a guest may reach."""
    body = requests.ChangeNetwork(
        egress=egress,
        allow=list(allow),
        deny=list(deny),
        remove=list(remove),
        for_s=for_seconds,
        # An older daemon knows neither.
        secrets=list(secrets) or None,
        forget_secrets=list(forget_secrets) or None,
    )
    network: Network = yield from ask(Call(routes.CHANGE_NETWORK, reference, [], body))
    return network


def check_network(reference: str, target: str) -> Flow[Verdict]:
    """The judgement about one target."""
    verdict: Verdict = yield from ask(Call(routes.CHECK_NETWORK, reference, [], requests.CheckNetwork(target)))
    return verdict


def logs(reference: str, follow: bool, tail: int | None) -> Flow[None]:
    """The console's log."""
    query = [("follow", "true")] if follow else []
    query += [("tail", str(tail))] if tail is not None else []
    return (yield from listen(Call(routes.LOGS, reference, query)))


def connect(reference: str, target: int | str) -> Flow[tuple[Any, bytes]]:
    """A connection to a TCP port of the guest's loopback, or to a Unix socket of it."""
    query = ("port", str(target)) if isinstance(target, int) else ("socket", target)
    first = yield from upgrade(Call(routes.CONNECT, reference, [query]))
    return (yield ReleaseEffect()), first
