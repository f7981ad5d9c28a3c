"""What the package costs, beside the API without it, by turns in one run.

    BANGER_HOME=DIR BANGER_BIN=…/banger PYTHONPATH=src python3 benches/measure.py [RUNS]

`DIR` has the default kernel and `debian-minimal`. With `[templates] enabled = true` in its config.toml, sandboxes are
measured from a template as well. Use a release build, on a machine that does nothing else.
"""

from __future__ import annotations

import asyncio
import json
import socket
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

from banger import Client, Sandbox
from banger.aio import AsyncClient, AsyncSandbox

SMALL: dict[str, Any] = {"image": "debian-minimal", "net": "none", "cpus": 1, "memory": "512M"}
EXITED = b'\x13\x00\x00\x00\x0a{"code":0}'
"""The last frame of a command that ends with 0."""


def by_hand(path: str, vm: str) -> None:
    """`exec true` with bytes that are written and looked for, and nothing else."""
    body = json.dumps({"argv": ["true"], "env": {}, "stdin": False}).encode()
    head = (
        f"POST /v1/vms/{vm}/exec?reports=true HTTP/1.1\r\nHost: banger\r\nConnection: Upgrade\r\n"
        f"Upgrade: banger-stream\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(path)
        connection.sendall(head.encode() + body)
        came = b""
        while EXITED not in came:
            data = connection.recv(65536)
            if not data:
                raise SystemExit("the command was lost")
            came += data


def timed(run: Callable[[], object]) -> float:
    begun = time.perf_counter()
    run()
    return (time.perf_counter() - begun) * 1000


def commands(runs: int) -> None:
    with Sandbox.create(**SMALL) as sandbox:
        path = Client().status().socket
        loop = asyncio.new_event_loop()
        later = loop.run_until_complete(AsyncClient().sandbox(sandbox.name))
        ways: dict[str, Callable[[], object]] = {
            "API, bytes by hand": lambda: by_hand(path, sandbox.id),
            "banger": lambda: sandbox.exec(["true"]),
            "banger.aio": lambda: loop.run_until_complete(later.exec(["true"])),
        }
        took: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(runs):
            for name, run in ways.items():
                took[name].append(timed(run))
        loop.close()
    first = took["API, bytes by hand"]
    for name, times in took.items():
        more = statistics.median(ours - theirs for ours, theirs in zip(times, first, strict=True))
        print(f"exec, {name:20} {statistics.median(times):7.2f} ms; by pairs {more:+.2f} ms")


def sandboxes(template: bool, turns: int = 3) -> None:
    settings = {**SMALL, "template": template}

    async def one() -> None:
        async with await AsyncSandbox.create(**settings) as sandbox:
            (await sandbox.exec(["true"])).check()

    async def eight() -> None:
        await asyncio.gather(*(one() for _ in range(8)))

    def in_turn() -> None:
        for _ in range(8):
            with Sandbox.create(**settings) as sandbox:
                sandbox.exec(["true"]).check()

    at_once = statistics.median(timed(lambda: asyncio.run(eight())) for _ in range(turns))
    one_by_one = statistics.median(timed(in_turn) for _ in range(turns))
    how = "from a template" if template else "by a boot"
    print(f"eight sandboxes {how}: {8000 / at_once:.2f} a second at once, {8000 / one_by_one:.2f} one by one")


def main() -> None:
    commands(int(sys.argv[1]) if len(sys.argv) > 1 else 100)
    sandboxes(template=False)
    if Client().templates():
        sandboxes(template=True)


if __name__ == "__main__":
    main()
