"""Live on real processes: `python -m benchmarks.live --data LAKE --date D [--seconds N] [--paced]`.

Three measurements with a server, a feed and an engine, acknowledged and on the disk:
1. a date as fast as possible: records a second that the engine has worked on, and the CPU of each process;
2. at real time and at ten times real time from 09:45 New York on: from a frame's arrival at the server to the arrival of the
   signals that it caused, both seen by one subscriber; 3. beside it, the engine's own work for a snap.
"""

from __future__ import annotations

import argparse
import asyncio
import datetime as dt
import subprocess
import sys
import tempfile
import time
from bisect import bisect_left
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import psutil
from nats.aio.msg import Msg

from spymaster_assets.config import load
from spymaster_assets.lake import Lake
from spymaster_assets.sessions import calendar
from spymaster_live import bus, server


@dataclass
class Ear:
    """Hears frames and signals, and how long one takes to the other. `open`, `interval`: ns of the date's snaps."""

    open: int
    interval: int
    since: int
    watermarks: list[int] = field(default_factory=list)
    heard: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    status: dict[str, Any] = field(default_factory=dict)
    progress: list[tuple[float, int]] = field(default_factory=list)

    async def market(self, message: Msg) -> None:
        mark = int((message.headers or {}).get("Watermark", 0))
        if not self.watermarks or mark > self.watermarks[-1]:
            self.watermarks.append(mark)
            self.heard.append(time.perf_counter())

    async def signals(self, message: Msg) -> None:
        now, end = time.perf_counter(), self.open + int((message.headers or {})["Snaps"].split("-")[-1]) * self.interval
        at = bisect_left(self.watermarks, end)
        if end > self.since and at < len(self.heard):
            self.seconds.append(now - self.heard[at])

    async def state(self, message: Msg) -> None:
        self.status = orjson.loads(message.data)
        self.progress.append((time.perf_counter(), sum(self.status.get("records", {}).values())))


async def measure(lake: Lake, date: dt.date, words: list[str], seconds: float | None, since: int = 0) -> None:
    """One run: until it is over, or for some seconds after the signals have begun to be paced."""
    session = calendar(lake.config).session(date)
    ear = Ear(session.globex.start, lake.config.grid.interval_ns, since)
    with tempfile.TemporaryDirectory() as folder:
        port = server.free_port()
        url = f"nats://127.0.0.1:{port}"

        def begin(part: str, *words: str) -> subprocess.Popen[bytes]:
            command = [sys.executable, "-m", "spymaster_live", "--data", str(lake.root), part, "--nats", url, *words]
            return subprocess.Popen(command, stdout=sys.stderr)

        processes = {"server": server.start(port, Path(folder))}
        await server.listening(port)
        try:
            async with bus.connected(url, "benchmark") as client:
                await bus.provision(client, lake.config)
                await client.subscribe("levels.status", cb=ear.state)
                if seconds is not None:
                    await client.subscribe("market.>", cb=ear.market)
                    await client.subscribe("levels.signals", cb=ear.signals)
                processes["engine"] = begin("engine", *([] if seconds else ["--until-done"]))
                while ear.status.get("state") != "waiting for a session":
                    await asyncio.sleep(0.1)
                started = time.perf_counter()
                processes["feed"] = begin("feed", "--date", str(date), *words)
                if seconds is None:
                    while processes["engine"].poll() is None:
                        cpu = {name: _cpu(one) for name, one in processes.items()}
                        await asyncio.sleep(0.2)
                    _rate(ear, started, cpu)
                else:
                    while not ear.seconds:
                        await asyncio.sleep(0.2)
                    await asyncio.sleep(5)  # what came before is caught up with
                    ear.seconds.clear()
                    await asyncio.sleep(seconds)
                    _latency(ear, words)
        finally:
            for process in processes.values():
                process.kill()
                process.wait()


def _cpu(process: subprocess.Popen[bytes]) -> float:
    try:
        times = psutil.Process(process.pid).cpu_times()
    except psutil.Error:
        return float("nan")
    return times.user + times.system


def _rate(ear: Ear, started: float, cpu: dict[str, float]) -> None:
    records, wall = ear.progress[-1][1], ear.progress[-1][0] - started
    print(f"as fast as possible: {records:,} records in {wall:.1f} s from the feed's start: {records / wall:,.0f} a second")
    times, counts = np.array([at for at, _ in ear.progress]), np.array([count for _, count in ear.progress])
    if wall > 60:
        best = max(counts[np.searchsorted(times, at + 60) - 1] - count for at, count in ear.progress if at + 60 <= times[-1])
        print(f"  best minute: {best / 60:,.0f} a second")
    print("  CPU s: " + ", ".join(f"{name} {used:.1f}" for name, used in cpu.items()) + "  (feed: as far as it was seen)")
    print(f"  engine, a snap (snaps closed many at a time): {ear.status['microseconds_a_snap']}")
    print("  " + ", ".join(f"{name} {ear.status[name]}" for name in ("missing", "dead", "lost", "repeated")))


def _latency(ear: Ear, words: list[str]) -> None:
    p50, p99 = np.quantile(ear.seconds, [0.5, 0.99]) * 1000
    print(f"{' '.join(words)}: frame to signals p50 {p50:.1f} ms, p99 {p99:.1f} ms over {len(ear.seconds)} messages")
    print(f"  engine, a snap one at a time: {ear.status['microseconds_a_snap']}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--date", type=dt.date.fromisoformat, required=True)
    parser.add_argument("--seconds", type=float, default=60.0, help="of the paced measurements; 0: none")
    parser.add_argument("--paced", action="store_true", help="only those")
    options = parser.parse_args()
    lake = Lake(options.data.absolute(), load())
    since = calendar(lake.config).session(options.date).opening_range.end
    if not options.paced:
        asyncio.run(measure(lake, options.date, ["--speed", "0"], None))
    for speed in ("1", "10") if options.seconds else ():
        asyncio.run(measure(lake, options.date, ["--speed", speed, "--from", "09:45"], options.seconds, since))


if __name__ == "__main__":
    main()
