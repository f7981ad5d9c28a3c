"""Answers of the daemon, as typed values. Times are text as the daemon writes them (RFC 3339)."""

from __future__ import annotations

from dataclasses import dataclass, field

from ._schema import answer


@answer("Publish")
@dataclass(frozen=True)
class Publish:
    """A TCP port of a guest at a port of this host."""

    host_ip: str
    host_port: int
    guest_port: int

    @staticmethod
    def parse(text: str) -> Publish:
        """`HOSTPORT:GUESTPORT` or `ADDRESS:HOSTPORT:GUESTPORT`."""
        rest, _, guest = text.rpartition(":")
        address, _, host = rest.rpartition(":")
        if not (guest.isascii() and guest.isdigit() and host.isascii() and host.isdigit()):
            raise ValueError(f'publish "{text}" is not valid: write HOSTPORT:GUESTPORT')
        return Publish(address.strip("[]") or "127.0.0.1", int(host), int(guest))


@answer("OpenPort")
@dataclass(frozen=True)
class OpenPort:
    """A server of a guest that is reached at its sandbox's own address."""

    guest_port: int
    at: str | None = None
    failure: str | None = None


@answer("Port")
@dataclass(frozen=True)
class Port:
    """A socket that listens in a guest; `reach` is where this host reaches it."""

    protocol: str
    address: str
    port: int
    pid: int | None = None
    process: str | None = None
    reach: str | None = None


@answer("NetRule")
@dataclass(frozen=True)
class NetRule:
    """A rule of what a guest may reach."""

    action: str
    rule: str
    by: str
    until: str | None = None


@answer("ExitCause")
@dataclass(frozen=True)
class ExitCause:
    """The cause for which a machine ended by itself."""

    cause: str
    message: str | None = None
    signal: int | None = None


@answer("Condition")
@dataclass(frozen=True)
class Condition:
    """A problem of a running machine."""

    kind: str
    cause: str
    since: str
    vmm_pid: int | None = None


@answer("Vm")
@dataclass(frozen=True)
class Vm:
    """A sandbox's record, as it was at the last answer."""

    id: str
    name: str
    state: str
    image: str
    kernel: str
    engine: str
    vcpu: int
    memory_mib: int
    disk_bytes: int
    overlay_bytes: int
    net: str
    egress: str
    publish: list[Publish]
    created_at: str
    ephemeral: bool
    restart_needed: bool
    stack: str = "slirp"
    rules: list[NetRule] = field(default_factory=list)
    reaches_host: bool = False
    joined: str | None = None
    servers: list[OpenPort] = field(default_factory=list)
    url: str | None = None
    address: str | None = None
    started_at: str | None = None
    restart: str = "no"
    labels: dict[str, str] = field(default_factory=dict)
    error: str | None = None
    exit: ExitCause | None = None
    conditions: list[Condition] = field(default_factory=list)


@answer("Accepted")
@dataclass(frozen=True)
class Accepted:
    """An operation has begun."""

    operation: str
    vm: Vm | None = None
    forks: list[Vm] = field(default_factory=list)


@answer("Checkpoint")
@dataclass(frozen=True)
class Checkpoint:
    """A point in the life of a sandbox's disks, to which it can go back."""

    id: str
    name: str
    current: bool
    created_at: str
    disk_bytes: int
    allocated_bytes: int
    parent: str | None = None
    damage: str | None = None


@answer("ApiError")
@dataclass(frozen=True)
class ErrorAnswer:
    """An error of the daemon, or of an operation."""

    code: str
    message: str
    hint: str | None = None
    op_id: str | None = None


@answer("ErrorBody")
@dataclass(frozen=True)
class ErrorBody:
    """The body of every answer that is an error."""

    error: ErrorAnswer


@answer("StageTime")
@dataclass(frozen=True)
class StageTime:
    """Duration of a stage."""

    stage: str
    us: int


@answer("Operation")
@dataclass(frozen=True)
class Operation:
    """Work that a request has started."""

    id: str
    kind: str
    state: str
    started_at: str
    stages: list[StageTime]
    vm: str | None = None
    finished_at: str | None = None
    error: ErrorAnswer | None = None


@answer("Event")
@dataclass(frozen=True)
class Event:
    """Progress of an operation: `stage`, `stage_done`, `warning` or `finished`."""

    seq: int
    at: str
    event: str
    stage: str | None = None
    detail: str | None = None
    done: int | None = None
    total: int | None = None
    us: int | None = None
    message: str | None = None
    state: str | None = None
    error: ErrorAnswer | None = None


@answer("SystemEvent")
@dataclass(frozen=True)
class SystemEvent:
    """A change of a sandbox, an operation, an image or a kernel, as `event` says.

    Whoever comes back with the `cursor` of the last one gets the next one, also from another daemon.
    """

    cursor: str
    at: str
    event: str
    vm: str | None = None
    name: str | None = None
    state: str | None = None
    from_: str | None = None
    to: str | None = None
    before: str | None = None
    operation: str | None = None
    kind: str | None = None
    image: str | None = None
    kernel: str | None = None
    digest: str | None = None
    error: str | ErrorAnswer | None = None


@answer("DetachedCommand")
@dataclass(frozen=True)
class DetachedCommand:
    """A command that runs in a guest by itself: `running`, `ended` or `lost`."""

    id: int
    argv: list[str]
    pid: int
    state: str
    started_at: str
    log_bytes: int
    log_cut: bool
    exit_code: int | None = None
    ended_at: str | None = None


@answer("GuestCommand")
@dataclass(frozen=True)
class GuestCommand:
    """A command of a guest with all that it has started."""

    pid: int
    command: str
    processes: int
    cpu_ms: int
    memory_bytes: int


@answer("GuestMemory")
@dataclass(frozen=True)
class GuestMemory:
    """A guest's memory, in bytes."""

    total_bytes: int
    available_bytes: int


@answer("GuestUse")
@dataclass(frozen=True)
class GuestUse:
    """Use of a guest's resources, in its own words."""

    cpus: int
    memory: GuestMemory
    load: list[float]
    uptime_ms: int
    processes: int
    boot_id: str
    commands: list[GuestCommand] = field(default_factory=list)


@answer("VmStats")
@dataclass(frozen=True)
class Stats:
    """What a sandbox uses. The guest's own words are in `guest`."""

    id: str
    name: str
    state: str
    disk_allocated_bytes: int
    overlay_allocated_bytes: int
    host_cpu_ms: int | None = None
    host_memory_bytes: int | None = None
    guest: GuestUse | None = None
    conditions: list[Condition] = field(default_factory=list)


@answer("VmHealth")
@dataclass(frozen=True)
class Health:
    """Tells whether a guest answers."""

    id: str
    name: str
    state: str
    healthy: bool
    round_trip_us: int | None = None
    cause: str | None = None
    conditions: list[Condition] = field(default_factory=list)


@answer("VmNetwork")
@dataclass(frozen=True)
class Network:
    """What a guest may reach, and who says so."""

    id: str
    name: str
    stack: str
    egress: str
    rules: list[NetRule]
    generation: int
    secrets: list[str] = field(default_factory=list)


@answer("Secret")
@dataclass(frozen=True)
class Secret:
    """A secret that is kept on the host; its value is in no answer."""

    name: str
    updated_at: str
    vms: list[str]


@answer("NetVerdict")
@dataclass(frozen=True)
class Verdict:
    """The judgement about one target."""

    allowed: bool
    reason: str
    addresses: list[str]
    rule_to_add: str | None = None


@answer("ContainerSource")
@dataclass(frozen=True)
class ContainerSource:
    """The container image of which an image was made."""

    reference: str
    digest: str
    labels: dict[str, str]


@answer("ImageRun")
@dataclass(frozen=True)
class ImageRun:
    """What an image says about running it."""

    env: list[str]
    user: str
    working_dir: str
    entrypoint: list[str]
    cmd: list[str]
    stop_signal: str | None = None


@answer("ImageDetails")
@dataclass(frozen=True)
class ImageDetails:
    """More of an image; absent in lists."""

    base_digest: str
    vms: list[str]
    run: ImageRun
    container: ContainerSource | None = None
    warnings: list[str] = field(default_factory=list)


@answer("Image")
@dataclass(frozen=True)
class Image:
    """An image, of which sandboxes are made."""

    name: str
    digest: str
    source: str
    init: str
    base_bytes: int
    allocated_bytes: int
    shared_bytes: int
    used_by: int
    created_at: str
    superseded: bool = False
    seed_bytes: int | None = None
    error: str | None = None
    details: ImageDetails | None = None


@answer("Kernel")
@dataclass(frozen=True)
class Kernel:
    """A kernel, which sandboxes boot."""

    name: str
    digest: str
    version: str


@answer("Template")
@dataclass(frozen=True)
class Template:
    """A machine that was booted once, from which sandboxes wake."""

    key: str
    kernel: str
    vcpu: int
    memory_mib: int
    bytes: int
    created_at: str
    used_at: str


@answer("DaemonStatus")
@dataclass(frozen=True)
class DaemonStatus:
    """The daemon."""

    pid: int
    version: str
    build: str
    socket: str
    uptime_s: int
    running_vms: int
    memory_bytes: int


@answer("Pruned")
@dataclass(frozen=True)
class Pruned:
    """Sandboxes that a prune removes, or would remove."""

    vms: list[Vm]
    freed_bytes: int
    operations: list[str]


@answer("KeptWorkspace")
@dataclass(frozen=True)
class KeptWorkspace:
    """A workspace that a client has sent; `head` is in that client's own words."""

    head: str
    kept_at: str
    key: str | None = None
