"""banger: private Linux machines on this host, for programs.

    from banger import Sandbox

    with Sandbox.create(image="debian-minimal", net="none") as sandbox:
        print(sandbox.exec("uname -r", timeout=10).stdout)

`banger.aio` is the same for asyncio.
"""

from . import errors
from ._exec import CommandFailed, Ended, Result, SignalTaken, Stderr, Stdout, TimedOut
from ._unpack import Limits, Transfer
from .client import Client
from .errors import ApiError, BangerError, DaemonUnavailable, NotFound, ProtocolError, StreamLost
from .models import Event, Image, Operation, Publish, Vm
from .process import Process
from .sandbox import Sandbox
from .stream import Stream

__version__ = "0.1.0"

__all__ = [
    "ApiError",
    "BangerError",
    "Client",
    "CommandFailed",
    "DaemonUnavailable",
    "Ended",
    "Event",
    "Image",
    "Limits",
    "NotFound",
    "Operation",
    "Process",
    "ProtocolError",
    "Publish",
    "Result",
    "Sandbox",
    "SignalTaken",
    "Stderr",
    "Stdout",
    "Stream",
    "StreamLost",
    "TimedOut",
    "Transfer",
    "Vm",
    "errors",
]
