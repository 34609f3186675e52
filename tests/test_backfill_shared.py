"""`spymaster backfill` on several machines that share nothing but an object store: each date is made once, whoever is killed.

A machine is a process with a folder and a Dagster of its own; landing reaches it through the store. Minutes: `make test-slow`.
"""

import datetime as dt
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import psutil
import pytest

from spymaster_assets.backfill import PHASES
from spymaster_assets.config import load
from spymaster_assets.daily import EVERY
from spymaster_assets.lake import Lake
from spymaster_assets.sharing import share
from tests.s3_server import BUCKET, S3Server, reached, serving
from tests.test_backfill import SETTINGS, Contents, day_by_day, fresh, landing_of

DATES = [dt.date(2025, 3, day) for day in (17, 18, 19, 20)]
CHECKOUT = Path(__file__).parents[1]
STORE = """
[store]
claim_seconds = 3
"""
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", autouse=True)
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The configuration of this process and of those it starts."""
    file = tmp_path_factory.mktemp("settings") / "settings.toml"
    file.write_text(SETTINGS + STORE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPYMASTER_CONFIG", str(file))
        yield


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with serving(tmp_path_factory.mktemp("server")) as found, reached(found):
        yield found


@pytest.fixture(scope="module")
def landing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return landing_of(DATES, tmp_path_factory.mktemp("landing"))


@pytest.fixture(scope="module")
def expected(landing: Path, tmp_path_factory: pytest.TempPathFactory) -> Contents:
    """What `spymaster day` makes of the dates on a disk, one after the other."""
    return day_by_day(fresh(landing, tmp_path_factory.mktemp("expected")), DATES)


@dataclass(frozen=True)
class Machine:
    """A folder of its own, and the lake that it shares."""

    root: Path
    url: str

    @property
    def lake(self) -> Lake:
        return Lake(self.root, load(), self.url)

    @contextmanager
    def backfill(self, dates: Sequence[dt.date], workers: int = 1) -> Iterator[subprocess.Popen[str]]:
        """The command as a process that leads a group of its own."""
        words = ["--data", self.url, "backfill", str(dates[0]), str(dates[-1]), "--workers", str(workers)]
        code = "import sys; from spymaster_assets.cli import main; main()"
        environment = {**os.environ, "SPYMASTER_LOCAL": str(self.root), "DAGSTER_HOME": str(self.root / "dagster")}
        with subprocess.Popen(
            [sys.executable, "-c", code, *words], cwd=CHECKOUT, env=environment, start_new_session=True, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        ) as process:  # fmt: skip
            try:
                yield process
            finally:
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)

    def runs(self) -> Counter[dg.DagsterRunStatus]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("DAGSTER_HOME", str(self.root / "dagster"))
            with dg.DagsterInstance.from_config(str(self.root / "dagster")) as instance:
                return Counter(run.status for run in instance.get_runs())


def shared(landing: Path, url: str) -> None:
    share(Lake(landing, load(), url))


def contents(lake: Lake, dates: Sequence[dt.date]) -> Contents:
    """Content hash of every published table; each is read from the store and compared with its manifest."""
    found = {}
    for table in EVERY:
        for date in dates:
            if (manifest := lake.manifest(table, date)) is not None:
                assert lake.verify(table, date, fresh=True) is None, (table.name, date)
                assert lake.leftovers(table, date) == [], (table.name, date)
                found[table.name, date] = manifest.content
    return found


def told(lines: Sequence[str], state: str) -> Counter[tuple[str, str]]:
    """(date, phase) of the steps that ended so."""
    steps = [line.rstrip().split(": ")[0].split(" ", 1) for line in lines if line.rstrip().endswith(f": {state}")]
    return Counter((date, phase) for date, phase in steps)


def every_step(dates: Sequence[dt.date]) -> Counter[tuple[str, str]]:
    return Counter((str(date), phase) for date in dates for phase in PHASES)


def test_several_machines_make_each_date_once_and_the_same_as_on_a_disk(
    server: S3Server, landing: Path, expected: Contents, tmp_path: Path
) -> None:
    url = f"s3://{BUCKET}/once"
    shared(landing, url)
    machines = [Machine(tmp_path / name, url) for name in ("one", "two", "three")]
    with ExitStack() as stack:
        processes = [stack.enter_context(one.backfill(DATES, workers)) for one, workers in zip(machines, (1, 1, 2), strict=True)]
        said = [process.communicate(timeout=900)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0], "\n".join(said)
    lines = [line for text in said for line in text.splitlines()]
    assert told(lines, "made") == every_step(DATES)
    assert told(lines, "made") + told(lines, "unchanged") == Counter(dict.fromkeys(every_step(DATES), 3))
    lake = Machine(tmp_path / "onlooker", url).lake
    assert contents(lake, DATES) == expected
    assert lake.store.names("claims") == [] and lake.store.size("claims") == 0
    runs = sum((one.runs() for one in machines), Counter())
    assert runs == {dg.DagsterRunStatus.SUCCESS: len(DATES) * len(PHASES)}
    print("made by each:", [sum(told(text.splitlines(), "made").values()) for text in said])
    assert sum(bool(told(text.splitlines(), "made")) for text in said) >= 2


def claims(server: S3Server) -> dict[tuple[str, dt.date], int]:
    """Every claim, as a phase and a date, and whose process's it is."""
    found, start = {}, "killed/claims/"
    for one in server.client.list_objects_v2(Bucket=BUCKET, Prefix=start).get("Contents", []):
        phase, date = one["Key"].removeprefix(start).split("/")
        with suppress(server.client.exceptions.ClientError):  # it ended meanwhile
            text = server.client.get_object(Bucket=BUCKET, Key=one["Key"])["Body"].read().decode()
            found[phase.replace("_", " "), dt.date.fromisoformat(date)] = int(text.split()[1])
    return found


def in_hand(server: S3Server, lake: Lake, workers: set[int]) -> set[tuple[str, dt.date]]:
    """What these processes have claimed and not made yet."""
    held = {work for work, process in claims(server).items() if process in workers}
    return {(phase, date) for phase, date in held if lake.manifest(PHASES[phase][-1], date) is None}


def kill_at_work(server: S3Server, lake: Lake, machine: subprocess.Popen[str]) -> bool:
    """Kill a machine in the midst of its work; whether it left any behind."""
    while machine.poll() is None:
        workers = psutil.Process(machine.pid).children(recursive=True)
        if in_hand(server, lake, {worker.pid for worker in workers}):
            time.sleep(0.5)
            os.killpg(machine.pid, signal.SIGKILL)
            psutil.wait_procs(workers, timeout=60)
            return bool(in_hand(server, lake, {worker.pid for worker in workers}))
        time.sleep(0.05)
    return False


def test_machines_that_are_killed_leave_their_dates_to_the_others(
    server: S3Server, landing: Path, expected: Contents, tmp_path: Path
) -> None:
    """Three are killed one after the other, at work; one is left, and a new one finds all done."""
    url = f"s3://{BUCKET}/killed"
    shared(landing, url)
    last, onlooker, *victims = (Machine(tmp_path / name, url) for name in ("last", "onlooker", "first", "second", "third"))
    lake = onlooker.lake
    with last.backfill(DATES, 1) as survivor:
        left = []
        for victim in victims:
            with victim.backfill(DATES, 1) as process:
                left.append(kill_at_work(server, lake, process))
        said = survivor.communicate(timeout=900)[0]
        assert survivor.returncode == 0, said
    assert contents(lake, DATES) == expected
    print(f"killed at work: {left}; the survivor made {sum(told(said.splitlines(), 'made').values())} steps")
    assert any(left)
    with Machine(tmp_path / "new", url).backfill(DATES, 2) as process:
        said = process.communicate(timeout=600)[0]
    assert process.returncode == 0
    assert told(said.splitlines(), "unchanged") == every_step(DATES)
    assert claims(server) == {}
