"""Bodies of requests. A field that is `None` is not sent: the configuration and the host decide."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from ._schema import request
from .models import Publish

Egress = Literal["public", "all", "none", "list"]
"""What a guest may reach before any rule is looked at."""

NetMode = Literal["none", "user"]
"""Network mode: no device, or the rootless network."""

NetStack = Literal["own", "slirp"]
"""Carrier of a guest's packets: a process of banger's, which judges, or QEMU itself."""

RestartPolicy = Literal["no", "always"]
"""Fate of a running sandbox after its host went down."""


@request("CreateVm")
@dataclass
class CreateVm:
    name: str | None = None
    image: str | None = None
    kernel: str | None = None
    engine: str | None = None
    vcpu: int | None = None
    memory: int | None = None
    disk_size: int | None = None
    overlay_size: int | None = None
    net: NetMode | None = None
    stack: NetStack | None = None
    egress: Egress | None = None
    join: str | None = None
    allow: list[str] | None = None
    deny: list[str] | None = None
    publish: list[Publish] | None = None
    start: bool | None = None
    ephemeral: bool | None = None
    restart: RestartPolicy | None = None
    labels: dict[str, str] | None = None
    replace: bool | None = None
    no_template: bool | None = None
    secrets: list[str] | None = None


@request("SetVm")
@dataclass
class SetVm:
    name: str | None = None
    kernel: str | None = None
    vcpu: int | None = None
    memory: int | None = None
    disk_size: int | None = None
    net: NetMode | None = None
    join: str | None = None
    leave: bool | None = None
    egress: Egress | None = None
    restart: RestartPolicy | None = None
    labels: dict[str, str | None] | None = None


@request("StopVm")
@dataclass
class StopVm:
    timeout_s: int | None = None


@request("KillVm")
@dataclass
class KillVm:
    signal: str | None = None


@request("Terminal")
@dataclass
class Terminal:
    rows: int
    cols: int


@request("Exec")
@dataclass
class Exec:
    argv: list[str]
    env: dict[str, str] = field(default_factory=dict)
    cwd: str | None = None
    user: str | None = None
    terminal: Terminal | None = None
    term: str | None = None
    stdin: bool | None = None
    timeout_ms: int | None = None
    image_command: bool | None = None
    then_delete: bool | None = None


@request("ChangePorts")
@dataclass
class ChangePorts:
    add: list[Publish] | None = None
    remove: list[Publish] | None = None


@request("ChangeNetwork")
@dataclass
class ChangeNetwork:
    egress: Egress | None = None
    allow: list[str] | None = None
    deny: list[str] | None = None
    remove: list[str] | None = None
    for_s: int | None = None
    secrets: list[str] | None = None
    forget_secrets: list[str] | None = None


@request("CheckNetwork")
@dataclass
class CheckNetwork:
    target: str


@request("SaveVm")
@dataclass
class SaveVm:
    image: str
    work_seed: str | None = None
    seed_size: int | None = None
    replace: bool | None = None


@request("CreateCheckpoint")
@dataclass
class CreateCheckpoint:
    name: str | None = None


@request("RestoreCheckpoint")
@dataclass
class RestoreCheckpoint:
    discard_current: bool | None = None


@request("ForkVm")
@dataclass
class ForkVm:
    checkpoint: str | None = None
    count: int | None = None
    name: str | None = None


@request("BuildImage")
@dataclass
class BuildImage:
    recipe: str
    name: str | None = None
    replace: bool | None = None


@request("PullSource")
@dataclass
class FromRegistry:
    reference: str
    # `from` is a word of Python's.
    from_: Literal["registry"] = "registry"
    plain_http: bool | None = None


@request("PullSource")
@dataclass
class FromPath:
    path: str
    from_: Literal["path"] = "path"
    tag: str | None = None


@request("PullImage")
@dataclass
class PullImage:
    source: FromRegistry | FromPath
    name: str | None = None
    platform: str | None = None
    replace: bool | None = None


@request("PruneVms")
@dataclass
class PruneVms:
    dry_run: bool | None = None
    labels: list[str] | None = None
