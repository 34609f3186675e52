"""Dates of a million records and of several: nothing is lost, and memory is that of a chunk, not of a day."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from spymaster_assets import dbn
from spymaster_assets.quality import examine
from spymaster_assets.simulator.write import simulate
from spymaster_assets.tables import FUTURES_MBP10
from tests.build import CONFIG, DATE, lake_at

FEW, MANY = 750_000, 3_000_000  # events of a session
LIMIT = 900_000_000  # bytes of private memory that the process is given at all
SCRIPT = """
import datetime as dt, json, resource, sys
from pathlib import Path
from spymaster_assets.config import Config
from spymaster_assets.ingest import Intake
from spymaster_assets.lake import Lake
from spymaster_assets.landing import Landing
from spymaster_assets.tables import FUTURES_MBP10
resource.setrlimit(resource.RLIMIT_DATA, (int(sys.argv[3]), int(sys.argv[3])))
lake = Lake(Path(sys.argv[1]), Config())
made = Intake(dt.date.fromisoformat(sys.argv[2]), lake, Landing(lake.root / "landing", lake.config)).ingest(FUTURES_MBP10)
peak = next(line.split()[1] for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
print(json.dumps([made.manifest.rows, made.manifest.size, int(peak) * 1024]))
"""


def ingested(root: Path, events: int) -> tuple[int, int, int, int]:
    """Records written by the simulator; rows, bytes and peak memory (bytes) of their Bronze, made under LIMIT."""
    files = simulate(root / "landing", [DATE], events_per_session=events, seed=5, config=CONFIG)
    books = [path for path in files if "mbp-10" in path.name]
    written = sum(len(chunk) for path in books for chunk in dbn.read(path, "mbp-10"))
    words = [sys.executable, "-c", SCRIPT, str(root), str(DATE), str(LIMIT)]
    rows, size, peak = json.loads(subprocess.run(words, check=True, capture_output=True, text=True).stdout)
    return written, rows, size, peak


@pytest.mark.slow
def test_millions_of_records_arrive_whole_in_the_memory_of_a_chunk(tmp_path: Path) -> None:
    peaks = []
    for events in (FEW, MANY):
        root = tmp_path / str(events)
        written, rows, size, peak = ingested(root, events)
        facts = lake_at(root).manifest(FUTURES_MBP10, DATE).facts
        assert rows + sum(sum(file["other_instruments"].values()) for file in facts["files"]) == written
        assert rows > events
        assert size / rows < 24  # bytes; 17.3 at 15 million records, more where books are thinner
        peaks.append(peak)
    print(f"peaks of {FEW:,} and {MANY:,} events: {peaks[0] / 1e6:.0f} and {peaks[1] / 1e6:.0f} MB")
    assert peaks[1] < 1.1 * peaks[0]
    outcomes = examine(lake_at(root), FUTURES_MBP10, DATE)
    assert [name for name, outcome in outcomes.items() if not outcome.passed] == [
        "reconciliation",
        "contract",
    ]  # no trades
