"""Backfill by several machines over one object store: `python -m benchmarks.shared_backfill [--dates N] [--records N]`.

Every machine is `spymaster backfill --workers 1` with a folder and a Dagster of its own; they share a SeaweedFS server on the same
cores, and nothing else. Beside it the same number of workers on a disk. Dates are simulated. CPU is that of the machines' processes
and of the server; requests are counted by the server.
"""

from __future__ import annotations

import argparse
import datetime as dt
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import psutil
import requests

from spymaster_assets.config import Config
from spymaster_assets.lake import Lake
from spymaster_assets.sessions import calendar
from spymaster_assets.sharing import share
from spymaster_assets.simulator.write import simulate
from tests.s3_server import BUCKET, S3Server, reached, serving

FIRST = dt.date(2025, 3, 3)
COMMAND = [sys.executable, "-c", "import sys; from spymaster_assets.cli import main; main()"]


def cpu() -> float:
    """Seconds of CPU of processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def asked(server: S3Server) -> Counter[str]:
    """Requests that the server has answered so far, by kind."""
    found: Counter[str] = Counter()
    for line in requests.get(server.metrics, timeout=10).text.splitlines():
        if told := re.match(r'SeaweedFS_s3_request_total\{.*type="(\w+)".*\} (\S+)', line):
            found[told[1]] += int(float(told[2]))
    return found


def run(machines: int, workers: int, data: str, root: Path, dates: list[dt.date]) -> tuple[float, float]:
    """Seconds that it took to make the dates, and CPU."""
    before, begun = cpu(), time.perf_counter()
    processes = []
    for number in range(machines):
        own = root / str(number)
        environment = {**os.environ, "SPYMASTER_LOCAL": str(own), "DAGSTER_HOME": str(own / "dagster")}
        words = ["--data", data, "backfill", str(dates[0]), str(dates[-1]), "--workers", str(workers)]
        processes.append(subprocess.Popen([*COMMAND, *words], env=environment, stdout=subprocess.DEVNULL))
    codes = [process.wait() for process in processes]
    if any(codes):
        raise SystemExit(f"exit codes {codes}")
    return time.perf_counter() - begun, cpu() - before


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dates", type=int, default=8)
    parser.add_argument("--records", type=int, default=300_000, help="MBP-10 records of a regular session")
    parser.add_argument("--machines", type=int, nargs="+", default=[1, 2, 4])
    options = parser.parse_args()
    dates = calendar(Config()).dates(FIRST, FIRST + dt.timedelta(2 * options.dates + 7))[: options.dates]
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder) / "server") as server, reached(server):
        root = Path(folder)
        simulate(root / "landing", dates, events_per_session=options.records, seed=7, config=Config())
        size = sum(path.stat().st_size for path in (root / "landing").rglob("*") if path.is_file())
        print(f"{len(dates)} dates of {options.records:,} records, landing {size / 1e6:.0f} MB, {os.cpu_count()} cores")
        heads = f"{'where':<14} {'workers':>7} {'seconds':>8} {'dates/min':>9} {'CPU s/date':>10}"
        print(f"{heads} {'server CPU s/date':>17} requests a date")
        for number in options.machines:
            disk = root / f"disk{number}"
            disk.mkdir()
            (disk / "landing").symlink_to(root / "landing")
            seconds, used = run(1, number, str(disk), root / f"d{number}", dates)
            print(
                f"{'disk':<14} {number:>7} {seconds:>8.1f} {60 * len(dates) / seconds:>9.2f} {used / len(dates):>10.1f}", flush=True
            )
            url = f"s3://{BUCKET}/machines{number}"
            share(Lake(root, Config(), url))
            before, times = asked(server), psutil.Process(server.process.pid).cpu_times()
            seconds, used = run(number, 1, url, root / f"m{number}", dates)
            after = psutil.Process(server.process.pid).cpu_times()
            worked = after.user + after.system - times.user - times.system
            kinds = ", ".join(f"{kind} {count / len(dates):.0f}" for kind, count in sorted((asked(server) - before).items()))
            print(
                f"{'object store':<14} {number:>7} {seconds:>8.1f} {60 * len(dates) / seconds:>9.2f} {used / len(dates):>10.1f}"
                f" {worked / len(dates):>17.1f} {kinds}",
                flush=True,
            )


if __name__ == "__main__":
    main()
