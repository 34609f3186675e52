"""The same records through nautilus_trader: its own Databento loader, then its BacktestEngine with an actor that counts the books.

`python -m benchmarks.nautilus LAKE RECORDS` prints the Figures of a lake's first records as one line of JSON. nautilus_trader does
not fit our pins, so it runs as a process of the interpreter that `SPYMASTER_NAUTILUS_PYTHON` names (default: this one). That
process imports nothing of spymaster_assets: its file is made by the caller and handed over as `--file`.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Figures:
    """One run: events counted, CPU and wall seconds to load and to replay, peak memory in bytes, all of the nautilus process."""

    count: int
    load_cpu: float
    load_wall: float
    replay_cpu: float
    replay_wall: float
    peak: int


def figures(paths: list[Path], records: int) -> Figures:
    """Load the first `records` MBP-10 records with nautilus_trader and replay them, in a process of its own.

    Definitions are read from the folder of the first path.
    """
    from spymaster_assets import dbn

    with tempfile.TemporaryDirectory() as folder:
        file = first_records(paths, records, Path(folder) / "first.mbp-10.dbn.zst")
        held = sum(len(chunk) for chunk in dbn.read(file, "mbp-10"))
        python = os.environ.get("SPYMASTER_NAUTILUS_PYTHON", sys.executable)
        command = [python, "-m", "benchmarks.nautilus", str(paths[0].resolve().parent), str(held), "--file", str(file)]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[1])
    return Figures(**json.loads(done.stdout.splitlines()[-1]))


def first_records(paths: list[Path], records: int, target: Path) -> Path:
    """One DBN file of the first `records` MBP-10 records of `paths` (of all, if they are fewer)."""
    from spymaster_assets import dbn

    headers = [dbn.read_header(path) for path in paths]
    maps: dict[str, tuple[dbn.Interval, ...]] = {}
    for header in headers:
        for symbol, intervals in header.mappings.items():
            maps[symbol] = tuple(dict.fromkeys((*maps.get(symbol, ()), *intervals)))
    with dbn.Writer(
        target,
        "mbp-10",
        dataset=headers[0].dataset,
        start=min(header.start for header in headers),
        end=max(header.end or header.start for header in headers),
        symbols=sorted({symbol for header in headers for symbol in header.symbols}),
        mappings=maps,
    ) as writer:
        for path in paths:
            if writer.rows < records:
                for chunk in dbn.read(path, "mbp-10"):
                    writer.write(chunk[: records - writer.rows])
                    if writer.rows == records:
                        break
    return target


def replay(file: Path, definitions: list[Path], records: int) -> Figures:
    """Load a file of `records` records and replay it, in this process, the fastest way that nautilus_trader documents.

    Imports, definitions and the building of the engine are outside the clock. The engine takes the loader's Cython objects only
    (`as_legacy_cython`). Logging is bypassed, not just "OFF" (which still formats every book: about three times as slow); no book
    is kept besides the simulated venue's own, which cannot be left out; records come sorted.
    """
    from nautilus_trader.adapters.databento.loaders import DatabentoDataLoader
    from nautilus_trader.backtest.engine import BacktestEngine, BacktestEngineConfig
    from nautilus_trader.common.actor import Actor
    from nautilus_trader.config import LoggingConfig
    from nautilus_trader.model.currencies import USD
    from nautilus_trader.model.enums import AccountType, BookType, OmsType
    from nautilus_trader.model.objects import Money

    class Counter(Actor):
        """Counts the books of every instrument it knows."""

        count = 0

        def on_start(self) -> None:
            for known in self.cache.instruments():
                self.subscribe_order_book_depth(known.id, depth=10, managed=False)

        def on_order_book_depth(self, depth: Any) -> None:
            self.count += 1

    loader = DatabentoDataLoader()
    instruments = {found.id: found for path in definitions for found in loader.from_dbn_file(path)}
    engine = BacktestEngine(BacktestEngineConfig(logging=LoggingConfig(bypass_logging=True), run_analysis=False))
    for venue in {one.venue for one in instruments}:
        engine.add_venue(venue, OmsType.NETTING, AccountType.MARGIN, [Money(1_000_000, USD)], USD, book_type=BookType.L2_MBP)
    for instrument in instruments.values():
        engine.add_instrument(instrument)
    counter = Counter()
    engine.add_actor(counter)

    start = _clocks()
    data = loader.from_dbn_file(file)
    loaded = _clocks()
    engine.add_data(data, sort=False)
    engine.run()
    end = _clocks()
    assert counter.count == len(data) == records, f"{counter.count:,} counted, {len(data):,} loaded, {records:,} in the file"
    return Figures(counter.count, loaded[0] - start[0], loaded[1] - start[1], end[0] - loaded[0], end[1] - loaded[1], _peak())


def _clocks() -> tuple[float, float]:
    """CPU and wall seconds."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime, time.perf_counter()


def _peak() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("lake", type=Path, help="a lake folder; with --file, a folder below which the definitions lie")
    parser.add_argument("records", type=int, help="how many to take; with --file, how many the file holds")
    parser.add_argument("--file", type=Path, help="the records, already made: replay them in this very process")
    options = parser.parse_args()
    if options.file:
        found = replay(options.file, sorted(options.lake.rglob("*definition*.dbn.zst")), options.records)
    else:
        from benchmarks.stages import files

        found = figures(files(options.lake), options.records)
    print(json.dumps(asdict(found)))


if __name__ == "__main__":
    main()
