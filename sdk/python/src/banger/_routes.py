"""The calls of the API that this package makes: one table, compared by the tests with the published document."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from . import _requests as requests
from . import models


@dataclass(frozen=True)
class Route:
    """One call: method and path of the document, query names, body, and the type of the answer.

    `answers` is `json`, `bytes` (read as it comes), `events` (server-sent) or `upgrade`. A patient call has
    no deadline: a guest may need long for its answer.
    """

    method: str
    path: str
    answer: Any = None
    body: type | None = None
    query: tuple[str, ...] = ()
    answers: str = "json"
    patient: bool = False
    raw: bool = False
    """True: the body is bytes as they are."""

    def target(self, references: tuple[str, ...], query: list[tuple[str, str]]) -> str:
        """The path of a request, with its variables and its query."""
        head, *variables = self.path.split("{")
        if len(variables) != len(references):
            raise ValueError(f"{self.path} has {len(variables)} variables, not {len(references)}")
        path = head
        for variable, reference in zip(variables, references, strict=True):
            if reference in ("", ".", ".."):
                raise ValueError(f"{reference!r} names nothing")
            path += encode(reference) + variable.partition("}")[2]
        unknown = [name for name, _ in query if name not in self.query]
        if unknown:
            raise ValueError(f"{self.method} {self.path} has no {unknown[0]}")
        words = "&".join(f"{name}={encode(value)}" for name, value in query)
        return f"{path}?{words}" if words else path


def encode(value: str) -> str:
    """`value` percent-encoded for a path segment or a query value."""
    return quote(value.encode("utf-8", "surrogateescape"), safe="-._~")


DAEMON = Route("GET", "/v1/daemon", models.DaemonStatus)
VMS = Route("GET", "/v1/vms", list[models.Vm], query=("label",))
CREATE = Route("POST", "/v1/vms", models.Accepted, requests.CreateVm)
PRUNE = Route("POST", "/v1/vms/prune", models.Pruned, requests.PruneVms)
VM = Route("GET", "/v1/vms/{ref}", models.Vm)
SET = Route("PATCH", "/v1/vms/{ref}", models.Vm, requests.SetVm, patient=True)
DELETE = Route("DELETE", "/v1/vms/{ref}", models.Accepted, query=("force",))
START = Route("POST", "/v1/vms/{ref}/start", models.Accepted)
STOP = Route("POST", "/v1/vms/{ref}/stop", models.Accepted, requests.StopVm)
RESTART = Route("POST", "/v1/vms/{ref}/restart", models.Accepted, requests.StopVm)
KILL = Route("POST", "/v1/vms/{ref}/kill", models.Accepted, requests.KillVm)
SUSPEND = Route("POST", "/v1/vms/{ref}/suspend", models.Accepted)
PAUSE = Route("POST", "/v1/vms/{ref}/pause", models.Accepted)
RESUME = Route("POST", "/v1/vms/{ref}/resume", models.Accepted)
SAVE = Route("POST", "/v1/vms/{ref}/save", models.Accepted, requests.SaveVm)
CHECKPOINTS = Route("GET", "/v1/vms/{ref}/checkpoints", list[models.Checkpoint])
CHECKPOINT = Route("POST", "/v1/vms/{ref}/checkpoints", models.Accepted, requests.CreateCheckpoint)
RESTORE = Route("POST", "/v1/vms/{ref}/checkpoints/{checkpoint}/restore", models.Accepted, requests.RestoreCheckpoint)
DELETE_CHECKPOINT = Route("DELETE", "/v1/vms/{ref}/checkpoints/{checkpoint}", models.Accepted)
FORK = Route("POST", "/v1/vms/{ref}/fork", models.Accepted, requests.ForkVm)
EXEC = Route("POST", "/v1/vms/{ref}/exec", body=requests.Exec, query=("reports",), answers="upgrade")
DETACH = Route("POST", "/v1/vms/{ref}/detached", models.DetachedCommand, requests.Exec, patient=True)
DETACHED = Route("GET", "/v1/vms/{ref}/detached", list[models.DetachedCommand], patient=True)
ATTACH = Route("POST", "/v1/vms/{ref}/detached/attach", query=("id", "output"), answers="upgrade")
PUT = Route("POST", "/v1/vms/{ref}/files/put", query=("path", "contents"), answers="upgrade")
GET = Route("POST", "/v1/vms/{ref}/files/get", query=("path", "follow"), answers="upgrade")
CONNECT = Route("POST", "/v1/vms/{ref}/connect", query=("port", "socket"), answers="upgrade")
LOGS = Route("GET", "/v1/vms/{ref}/logs", query=("follow", "tail"), answers="bytes")
STATS = Route("GET", "/v1/vms/{ref}/stats", models.Stats, patient=True)
HEALTH = Route("GET", "/v1/vms/{ref}/health", models.Health, patient=True)
PORTS = Route("GET", "/v1/vms/{ref}/ports", list[models.Port], patient=True)
CHANGE_PORTS = Route("PATCH", "/v1/vms/{ref}/ports", models.Vm, requests.ChangePorts, patient=True)
NETWORK = Route("GET", "/v1/vms/{ref}/network", models.Network)
CHANGE_NETWORK = Route("PATCH", "/v1/vms/{ref}/network", models.Network, requests.ChangeNetwork)
CHECK_NETWORK = Route("POST", "/v1/vms/{ref}/network/check", models.Verdict, requests.CheckNetwork)
SECRETS = Route("GET", "/v1/secrets", list[models.Secret])
SET_SECRET = Route("PUT", "/v1/secrets/{name}", models.Secret, raw=True)
DELETE_SECRET = Route("DELETE", "/v1/secrets/{name}", models.Secret)
WORKSPACES = Route("GET", "/v1/vms/{ref}/workspaces", list[models.KeptWorkspace])
IMAGES = Route("GET", "/v1/images", list[models.Image])
IMAGE = Route("GET", "/v1/images/{ref}", models.Image)
BUILD_IMAGE = Route("POST", "/v1/images/build", models.Accepted, requests.BuildImage)
PULL_IMAGE = Route("POST", "/v1/images/pull", models.Accepted, requests.PullImage)
DELETE_IMAGE = Route("DELETE", "/v1/images/{ref}", models.Accepted)
KERNELS = Route("GET", "/v1/kernels", list[models.Kernel])
TEMPLATES = Route("GET", "/v1/templates", list[models.Template])
OPERATIONS = Route("GET", "/v1/operations", list[models.Operation], query=("vm", "limit"))
OPERATION = Route("GET", "/v1/operations/{id}", models.Operation)
CANCEL = Route("POST", "/v1/operations/{id}/cancel", models.Operation)
EVENTS = Route("GET", "/v1/events", models.SystemEvent, query=("after", "follow", "vm", "limit"), answers="events")
FOLLOW = Route("GET", "/v1/operations/{id}/events", models.Event, query=("cancel_on_disconnect",), answers="events")

ALL: dict[str, Route] = {name: one for name, one in list(globals().items()) if isinstance(one, Route)}
"""Every call, by name."""
