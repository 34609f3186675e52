"""kill -9 at random moments of Bronze: never a partial partition, and the next run completes as if nothing had happened.

Five runs are killed over an empty lake, five over the Bronze of an earlier landing folder. A run is a process of its own, forked
from one that has done the imports; the moments are spread over the measured time of a whole run.
"""

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from spymaster_assets.config import Bronze, Config
from spymaster_assets.ingest import Ingested, Intake, MissingInput, ingest_date
from spymaster_assets.lake import MANIFEST, Lake
from spymaster_assets.landing import Landing
from spymaster_assets.layout import FORMAT_FILE
from spymaster_assets.tables import BRONZE
from tests.build import DATE, EVE, FRONT, SESSION, books, definitions, split_days, times, trades, write

CONFIG = Config(bronze=Bronze(row_group=8192))
COUNT = 80_000  # MBP-10 rows
KILLS = 10
CHECKOUT = Path(__file__).parents[1]
OPTIONS = ("E1BM5 C6000", "E1BM5 P6000")
RUNS = f"""
import os, sys
from pathlib import Path
from spymaster_assets.config import Bronze, Config
from spymaster_assets.ingest import Intake, ingest_date
from spymaster_assets.lake import Lake
from spymaster_assets.landing import Landing
from spymaster_assets.sessions import calendar
from tests.build import DATE
config = Config(bronze=Bronze(row_group={CONFIG.bronze.row_group}))
calendar(config)
for line in sys.stdin:
    root = Path(line.strip())
    if (process := os.fork()) == 0:
        intake = Intake(DATE, Lake(root, config), Landing(root / "landing", config))
        print(os.getpid(), flush=True)
        ingest_date(intake)
        os._exit(0)
    _, status = os.waitpid(process, 0)
    print(os.waitstatus_to_exitcode(status), flush=True)
"""


def make_landing(root: Path) -> None:
    """Two UTC days of book and trades of the future and trades of two options, with definitions."""
    step = (SESSION.globex.end - SESSION.globex.start) // (COUNT + 2)
    prints = trades(times(COUNT // 4, step=4 * step))
    sold = np.concatenate([trades(times(COUNT // 8, step=8 * step), symbol) for symbol in OPTIONS])
    sold = sold[np.argsort(sold["ts_recv"], kind="stable")]
    for schema, name, records, symbols in (
        ("mbp-10", "book", books(times(COUNT, step=step)), (FRONT,)),
        ("trades", "trades", prints, (FRONT,)),
        ("trades", "options", sold, OPTIONS),
    ):
        for day, rows in zip((EVE, DATE), split_days(records), strict=True):
            write(root / "landing", f"{name}-{day}.dbn.zst", schema, rows, day, symbols=symbols)
    write(root / "landing", "definitions.dbn.zst", "definition", definitions((FRONT, *OPTIONS), DATE), DATE)


def fresh(root: Path, landing: Path, bronze: Path | None) -> Path:
    """A data folder with the landing folder's files and, if given, an earlier Bronze."""
    shutil.copytree(landing, root / "landing")
    if bronze is not None:
        shutil.copytree(bronze, root / "bronze")
    return root


@pytest.fixture
def runs() -> Iterator[subprocess.Popen[str]]:
    """A process that forks one that ingests DATE for each folder that it is told, so that imports are done once.

    It says the process that begins, and its exit code.
    """
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", RUNS], cwd=CHECKOUT, stdin=pipe, stdout=pipe, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def begun(process: subprocess.Popen[str], root: Path) -> int:
    """Begin a run of a folder; its process."""
    assert process.stdin is not None
    process.stdin.write(f"{root}\n")
    process.stdin.flush()
    return heard(process)


def heard(process: subprocess.Popen[str]) -> int:
    assert process.stdout is not None
    return int(process.stdout.readline())


def contents(root: Path) -> dict[str, str]:
    """Content hash of every published table; each is read back and compared with its manifest."""
    lake = Lake(root, CONFIG)
    found = {}
    for table in BRONZE:
        manifest = lake.manifest(table, DATE)
        if manifest is not None:
            assert lake.verify(table, DATE) is None, table.name
            found[table.name] = manifest.content
    return found


def debris(root: Path) -> list[str]:
    """Every file of the data folder that is neither landing's, nor the index, nor the format, nor a lock, nor published."""
    named = {".lock", MANIFEST, *(f"{m.file}" for table in BRONZE if (m := Lake(root, CONFIG).manifest(table, DATE)))}
    files = (path for path in root.rglob("*") if path.is_file() and "landing" not in path.relative_to(root).parts)
    return sorted(path.name for path in files if path.name not in named | {"landing_index.json", FORMAT_FILE})


def complete(root: Path) -> None:
    made = ingest_date(Intake(DATE, Lake(root, CONFIG), Landing(root / "landing", CONFIG)))
    assert {name for name, result in made.items() if isinstance(result, MissingInput)} == set()
    assert all(isinstance(result, Ingested) for result in made.values())


def test_ten_kills_at_random_moments_lose_nothing_and_leave_nothing(runs: subprocess.Popen[str], tmp_path: Path) -> None:
    make_landing(tmp_path / "files")
    landing = tmp_path / "files" / "landing"
    earlier = fresh(tmp_path / "earlier", landing, None)
    for path in (earlier / "landing").glob(f"*-{DATE}.dbn.zst"):
        path.unlink()
    complete(earlier)
    before = contents(earlier)

    undisturbed = fresh(tmp_path / "undisturbed", landing, None)
    begun(runs, undisturbed)
    began = time.perf_counter()
    assert heard(runs) == 0
    length = time.perf_counter() - began
    expected = contents(undisturbed)
    assert set(expected) == {table.name for table in BRONZE}
    assert before["futures_mbp10"] != expected["futures_mbp10"]

    chance = random.Random(20250603)
    moments = [length * (i + chance.random()) / KILLS for i in range(KILLS)]
    chance.shuffle(moments)
    print(f"a run takes {length:.2f} s; killed after " + ", ".join(f"{moment:.2f}" for moment in moments))
    roots = [fresh(tmp_path / f"kill{i}", landing, earlier / "bronze" if i % 2 else None) for i in range(KILLS)]
    in_the_act = 0
    for root, moment in zip(roots, moments, strict=True):
        process = begun(runs, root)
        time.sleep(moment)
        with contextlib.suppress(ProcessLookupError):  # it has done its work
            os.kill(process, signal.SIGKILL)
        assert heard(runs) in (-signal.SIGKILL, 0)
        old = before if root in roots[1::2] else {}
        left = debris(root)
        found = contents(root)
        assert all(content in (old.get(name), expected[name]) for name, content in found.items())
        assert set(found) >= set(old)
        in_the_act += bool(left) or (found != old and found != expected)
        complete(root)
        assert contents(root) == expected
        assert debris(root) == []
        shutil.rmtree(root)
    print(f"{in_the_act} kills in the act of writing")
    assert in_the_act > 0


SCAN = """
import os, signal, sys
from pathlib import Path
from spymaster_assets.config import Config
from spymaster_assets.landing import Landing
Path.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
Landing(Path(sys.argv[1]) / "landing", Config()).scan()
"""


def test_a_kill_while_the_landing_index_is_written_leaves_nothing_for_long(tmp_path: Path) -> None:
    rows = trades(times(5))
    write(tmp_path / "landing", "trades.dbn.zst", "trades", rows, EVE)
    killed = subprocess.run([sys.executable, "-c", SCAN, str(tmp_path)], cwd=CHECKOUT, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert debris(tmp_path) != []
    Landing(tmp_path / "landing", CONFIG).scan()
    assert debris(tmp_path) == []
