"""A date of several million records: nothing is lost and memory stays bounded, in a process of its own."""

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

EVENTS = 3_000_000
SCRIPT = """
import datetime as dt, json, sys
from pathlib import Path
from spymaster_assets.config import Config
from spymaster_assets.ingest import Intake
from spymaster_assets.lake import Lake
from spymaster_assets.landing import Landing
from spymaster_assets.tables import FUTURES_MBP10
lake = Lake(Path(sys.argv[1]), Config())
made = Intake(dt.date.fromisoformat(sys.argv[2]), lake, Landing(lake.root / "landing", lake.config)).ingest(FUTURES_MBP10)
peak = next(line.split()[1] for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
print(json.dumps([made.manifest.rows, made.manifest.size, int(peak) * 1024]))
"""


@pytest.mark.slow
def test_millions_of_records_arrive_whole_in_bounded_memory(tmp_path: Path) -> None:
    files = simulate(tmp_path / "landing", [DATE], events_per_session=EVENTS, seed=5, config=CONFIG)
    books = [path for path in files if "mbp-10" in path.name]
    written = sum(len(chunk) for path in books for chunk in dbn.read(path, "mbp-10"))
    done = subprocess.run([sys.executable, "-c", SCRIPT, str(tmp_path), str(DATE)], check=True, capture_output=True, text=True)
    rows, size, peak = json.loads(done.stdout)
    facts = lake_at(tmp_path).manifest(FUTURES_MBP10, DATE).facts
    assert rows + sum(sum(file["other_instruments"].values()) for file in facts["files"]) == written
    assert rows > EVENTS
    assert peak < 1_000_000_000
    assert size / rows < 24  # bytes; 17.7 at 15 million records, more where books are thinner
    outcomes = examine(lake_at(tmp_path), FUTURES_MBP10, DATE)
    assert [name for name, outcome in outcomes.items() if not outcome.passed] == [
        "reconciliation",
        "contract",
    ]  # no trades
