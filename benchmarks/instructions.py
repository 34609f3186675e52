"""How many instructions the kernels execute, beside those kept in instructions.json: `python -m benchmarks.instructions [--keep]`.

Times depend on the machine and on what else it does; the number of instructions does not. Valgrind counts them, in code that numba
compiles for a plain x86-64 machine, on records that are the same everywhere. What needs 15 % more than is kept fails by name; after
a change that is meant, `--keep` renews the file.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

KEPT: Final = Path(__file__).with_name("instructions.json")
TOLERATED: Final = 0.15
PLAIN: Final = {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": ""}
RECORDS, TIMES, OPTIONS = 20_000, 4, 50_000

Work = Callable[[], int]  # does it once, and says how many pieces that were


def works() -> dict[str, Work]:
    """What is counted, by its name and piece. All of it ran once: compiled, and its memory is there."""
    import numpy as np

    from benchmarks import options
    from spymaster_assets.compute.stream import Day
    from spymaster_assets.compute.transpose import Columns, field_places
    from spymaster_assets.dbn import MBP10
    from spymaster_assets.tables import FUTURES_MBP10
    from tests import short_day

    records = short_day.records()[-RECORDS:]
    day = short_day.run(short_day.records(), short_day.priors())
    columns = Columns(MBP10, field_places(MBP10, FUTURES_MBP10.names), RECORDS)
    drawn = options.options(OPTIONS)

    def grid() -> int:
        for _ in range(TIMES):
            Day(short_day.SESSION, short_day.CONFIG).take(records)
        return TIMES * RECORDS

    def transpose() -> int:
        for _ in range(TIMES):
            columns.clear()
            columns.fill(records)
        return TIMES * RECORDS

    def features() -> int:
        day.features.count, day.approach.count, day._features_until = 0, 0, 0
        day.advance_features()
        return day.features.count

    def signals() -> int:
        day.signals.count, day.scoring.count, day._signals_until = 0, 0, 0
        day.scoring.array[:] = np.zeros(1, day.scoring.array.dtype)
        day.advance_signals()
        return day.signals.count

    def labels() -> int:
        return len(day.labels())

    def implied() -> int:
        options.invert(*drawn)
        return OPTIONS

    found = {
        "rows to columns, a record": transpose, "grid, a record": grid, "features, a moment": features,
        "score, a touch and snap": signals, "labels, a row": labels, "implied volatility, an option": implied,
    }  # fmt: skip
    for work in found.values():
        work()
    return found


def _command(*words: str) -> None:
    """Tell Callgrind something. It listens while code runs, so this waits without standing still."""
    told = subprocess.Popen(["vgdb", f"--pid={os.getpid()}", *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while told.poll() is None:
        time.sleep(0.001)


def inside() -> None:
    """Under Callgrind: a part of its output for each work, after one for nothing at all; the pieces of each, as JSON."""
    pieces = {}
    for name, work in {"": lambda: 1, **works()}.items():
        _command("instrumentation", "on")
        _command("zero")
        pieces[name] = work()
        _command("dump")
        _command("instrumentation", "off")
    print(json.dumps(pieces))


def counted() -> dict[str, float]:
    """Instructions a piece."""
    from tests import short_day

    short_day.simulated()  # for the processes below
    environment, call = os.environ | PLAIN, [sys.executable, "-m", "benchmarks.instructions"]
    subprocess.run([*call, "--warm"], check=True, env=environment)  # compiled outside of Valgrind
    with tempfile.TemporaryDirectory() as folder:
        tool = [
            "valgrind",
            "--tool=callgrind",
            "--vgdb-poll=200",
            "--instr-atstart=no",
            "--log-file=/dev/null",
            f"--callgrind-out-file={folder}/out",
        ]
        done = subprocess.run([*tool, *call, "--inside"], check=True, env=environment, capture_output=True, text=True)
        parts = [Path(folder, f"out.{number}").read_text() for number in range(1, done.stdout.count(": ") + 1)]
    nothing, *totals = (int(re.search(r"^summary: (\d+)", part, re.MULTILINE)[1]) for part in parts)
    pieces = list(json.loads(done.stdout.splitlines()[-1]).items())[1:]
    return {name: (total - nothing) / count for (name, count), total in zip(pieces, totals, strict=True)}


def grown(found: dict[str, float], kept: dict[str, float]) -> list[str]:
    """The names of what needs too many more instructions than are kept, or of which none are."""
    return [name for name, count in found.items() if count > (1 + TOLERATED) * kept.get(name, 0)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keep", action="store_true", help="keep what is counted")
    parser.add_argument("--warm", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.warm or options.inside:
        works() if options.warm else inside()
        return
    if not shutil.which("valgrind"):
        print("valgrind is not installed: instructions are not counted")
        return
    found = {name: round(count) for name, count in counted().items()}
    if options.keep:
        KEPT.write_text(json.dumps(found, indent=1) + "\n")
    kept = json.loads(KEPT.read_text())
    more = grown(found, kept)
    for name, count in found.items():
        print(f"{name}: {count:,} instructions, kept {kept.get(name, 0):,}{'  <- more' if name in more else ''}")
    if more:
        sys.exit(f"more than {TOLERATED:.0%} above {KEPT.name}: {', '.join(more)}; if it is meant: --keep")


if __name__ == "__main__":
    main()
