"""The gateway's stream beside `websockets.broadcast`: `python -m benchmarks.gateway [--seconds N] [--repeats N]`.

A server of each kind in a process of its own tells N clients a message four times a second; one more process holds the clients, and
reads frames without decoding them, so that what is measured is the server. A latency is from the call that tells the message to the
last byte of it at a client (one clock: the machine's). Both take turns; compare ratios of one run.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import itertools
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import uvicorn
import uvloop
from websockets.asyncio.server import ServerConnection, broadcast, serve

from spymaster_assets.config import Config, Live
from spymaster_assets.config import Gateway as Limits
from spymaster_assets.lake import Lake
from spymaster_live import server
from spymaster_live.gateway import stream
from spymaster_live.gateway.aside import Aside
from spymaster_live.gateway.fold import Said
from spymaster_live.gateway.relay import Relay, look_after
from spymaster_live.gateway.serving import application

EVERY_SECONDS = 0.25  # four messages a second, as snaps close
CASES = ((100, 20_000, 20.0), (1000, 2_000, 125.0))  # clients, bytes of a message, the goal for p99 in ms
STALLED = 50
_STAMP = 20  # characters of the time at the start of a message


def message(size: int) -> bytes:
    return f"{time.monotonic_ns():0{_STAMP}}".ljust(size, "x").encode()


async def ticks() -> AsyncIterator[int]:
    """0, 1, ... at fixed times."""
    loop = asyncio.get_running_loop()
    begun = loop.time()
    for number in itertools.count():
        await asyncio.sleep(max(0.0, begun + (number + 1) * EVERY_SECONDS - loop.time()))
        yield number


# ---- servers ----


async def ours(port: int, size: int) -> None:
    """The gateway's application without a bus; messages are told to its hub. Clients that stall stay."""
    patient = Limits(
        clients=5000, clients_per_address=5000, connects_per_second=5000, heartbeat_seconds=3600, patience_seconds=3600,
        send_seconds=3600,
    )  # fmt: skip
    config = Config(live=Live(gateway=patient))
    with tempfile.TemporaryDirectory() as folder:
        relay = Relay("", config)
        lake = Lake(Path(folder), config)
        app = application(relay, lake, Aside(lake), None)
        settings = uvicorn.Config(
            app, port=port, ws=stream.Connection, ws_per_message_deflate=False, ws_ping_interval=None, lifespan="off",
            log_config=None, log_level="warning",
        )  # fmt: skip
        beside = [asyncio.ensure_future(one) for one in (uvicorn.Server(settings).serve(), look_after(relay.hub))]
        async for seq in ticks():
            relay.hub.tell(Said("signals", seq, message(size)))
        await asyncio.gather(*beside)


async def peer(port: int, size: int) -> None:
    """websockets.broadcast."""
    clients: set[ServerConnection] = set()

    async def hold(client: ServerConnection) -> None:
        clients.add(client)
        try:
            await client.wait_closed()
        finally:
            clients.discard(client)

    async with serve(hold, "127.0.0.1", port, compression=None, ping_interval=None):
        async for _ in ticks():
            broadcast(clients, message(size).decode())


# ---- clients ----


@dataclass
class Heard:
    """Latencies of whole messages in ms."""

    ms: list[float] = field(default_factory=list)


def request(port: int) -> bytes:
    """What a client asks for."""
    key = base64.b64encode(os.urandom(16)).decode()
    return (
        f"GET /ws/stream?topics=signals HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n"
    ).encode()


class Reader(asyncio.Protocol):
    """A client that reads frames."""

    def __init__(self, heard: Heard, port: int) -> None:
        self._heard, self._port = heard, port
        self._data, self._open = bytearray(), False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        transport.write(request(self._port))

    def data_received(self, data: bytes) -> None:
        now = time.monotonic_ns()
        self._data += data
        if not self._open:
            if b"\r\n\r\n" not in self._data:
                return
            self._open = True
            del self._data[: self._data.index(b"\r\n\r\n") + 4]
        while len(self._data) >= 4:
            size, head = self._data[1], 2
            if size == 126:
                size, head = int.from_bytes(self._data[2:4], "big"), 4
            if len(self._data) < head + size:
                return
            if size > 1000:  # the first is a snapshot of nothing
                self._heard.ms.append((now - int(self._data[head : head + _STAMP])) / 1e6)
            del self._data[: head + size]


async def listen(port: int, clients: int, stalled: int, seconds: float, used: Callable[[], float]) -> tuple[list[float], float]:
    """Latencies of what `clients` heard in some seconds, after one second more in which they got used to it; what was used then."""
    loop, heard = asyncio.get_running_loop(), Heard()
    deaf = []
    for _ in range(stalled):
        one = socket.create_connection(("127.0.0.1", port))
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)  # a small buffer, which is full at once
        one.sendall(request(port))
        deaf.append(one)
    held = [await loop.create_connection(lambda: Reader(heard, port), "127.0.0.1", port) for _ in range(clients)]
    await asyncio.sleep(1 if not stalled else 10)  # until the buffers of those who stall are full
    heard.ms.clear()
    before = used()
    await asyncio.sleep(seconds)
    spent = used() - before
    for transport, _ in held:
        transport.abort()
    for one in deaf:
        one.close()
    return heard.ms, spent


class Run(NamedTuple):
    """One run with a server of its own: latencies in ms, CPU seconds of the server."""

    p50: float
    p99: float
    cpu: float


def on_cpu(process: int) -> float:
    """Seconds that a process has run so far, counted by the kernel in ns."""
    return sum(int(path.read_text().split()[0]) for path in Path(f"/proc/{process}/task").glob("*/schedstat")) / 1e9


def measured(which: str, clients: int, size: int, seconds: float, stalled: int = 0) -> Run:
    """One run with a server of its own."""
    port = server.free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.gateway", "--serve", which, "--port", str(port), "--size", str(size)]
    )
    try:
        server.wait(port)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            ms, cpu = runner.run(listen(port, clients, stalled, seconds, lambda: on_cpu(process.pid)))
    finally:
        process.kill()
        process.wait()
    expected = clients * seconds / EVERY_SECONDS
    assert len(ms) > 0.8 * expected, f"{which}: {len(ms)} messages heard of {expected:.0f}"
    p50, p99 = np.quantile(ms, [0.5, 0.99])
    return Run(float(p50), float(p99), cpu)


def _median(runs: list[Run]) -> tuple[float, float]:
    return statistics.median(run.p50 for run in runs), statistics.median(run.p99 for run in runs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--serve", choices=["ours", "peer"], help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--size", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serving = {"ours": ours, "peer": peer}[options.serve](options.port, options.size)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner, contextlib.suppress(KeyboardInterrupt):
            runner.run(serving)
        return
    print(json.dumps({"cores": os.cpu_count(), "seconds": options.seconds, "repeats": options.repeats}))
    print("| clients | bytes | gateway p50, p99 ms (goal) | websockets.broadcast p50, p99 ms | peer / this, p99 |")
    print("|---|---|---|---|---|")
    for clients, size, goal in CASES:
        runs: dict[str, list[Run]] = {"ours": [], "peer": []}
        for _ in range(options.repeats):
            for which, found in runs.items():
                found.append(measured(which, clients, size, options.seconds))
        (a50, a99), (b50, b99) = _median(runs["ours"]), _median(runs["peer"])
        print(f"| {clients} | {size} | {a50:.1f}, {a99:.1f} ({goal:.0f}) | {b50:.1f}, {b99:.1f} | {b99 / a99:.2f} |", flush=True)
    clients, size, _ = CASES[0]
    pairs = [
        [measured("ours", clients, size, 3 * options.seconds, stalled) for stalled in (0, STALLED)] for _ in range(options.repeats)
    ]  # long: the worst of 32 messages decides the p99 of 8 s
    alone, beside = (_median([pair[which] for pair in pairs]) for which in (0, 1))
    print(f"\n{clients} clients beside {STALLED} that stall: p50 {beside[0]:.1f} ms, p99 {beside[1]:.1f} ms; "
          f"without them {alone[0]:.1f}, {alone[1]:.1f}: p99 {beside[1] / alone[1]:.2f} times")  # fmt: skip


if __name__ == "__main__":
    main()
