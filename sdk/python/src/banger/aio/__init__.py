"""The same for asyncio.

from banger.aio import AsyncSandbox

async with await AsyncSandbox.create(image="debian-minimal", net="none") as sandbox:
    print((await sandbox.exec("uname -r", timeout=10)).stdout)
"""

from .client import AsyncClient
from .process import AsyncProcess
from .sandbox import AsyncSandbox
from .stream import AsyncStream

__all__ = ["AsyncClient", "AsyncProcess", "AsyncSandbox", "AsyncStream"]
