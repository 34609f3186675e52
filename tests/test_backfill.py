"""`spymaster backfill` in real processes: it makes what `spymaster day` makes date by date, whatever the number of workers, whoever
is killed and whenever, and a date that cannot be made stands alone.

Processes are killed at seeded moments after their first step is told; the machine's speed decides what they are in the midst of.
One file, because it compares with dates made once, day by day, which takes long.
"""

import datetime as dt
import os
import random
import shutil
import signal
import subprocess
import sys
import termios
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import dagster as dg
import psutil
import pytest
from click.testing import CliRunner, Result
from dagster._core.storage.partition_status_cache import AssetPartitionStatus

from spymaster_assets.assets.checks import key_of
from spymaster_assets.assets.partitions import trading_dates
from spymaster_assets.backfill import PHASES, Pool, Task
from spymaster_assets.catalog import FILE, connect
from spymaster_assets.cli import main, prepare_dagster
from spymaster_assets.config import Config, load
from spymaster_assets.daily import EVERY, PROCESS, Runner
from spymaster_assets.definitions import build
from spymaster_assets.lake import VERDICT, Lake
from spymaster_assets.simulator.write import simulate
from spymaster_assets.status import Status
from spymaster_assets.tables import FUTURES_TRADES, TRAINING
from tests.build import disordered, rewrite

DATES = [dt.date(2025, 3, day) for day in (17, 18, 19, 20)]
MADE = DATES[:3]
ABSENT = dt.date(2025, 3, 14)  # the trading date before; no file serves it
LONG = [*DATES, dt.date(2025, 3, 21), dt.date(2025, 3, 24)]
CHECKOUT = Path(__file__).parents[1]
SETTINGS = """
[quality]  # thin dates may pass
covered_share_min = 0.3
silent_share_max = 0.5
geometry_z_max = 50.0
resolved_share_max = 1.0
censored_share_max = 1.0
[priors]
min_dates = 1
[grid]  # a quarter of the snaps
interval_ns = 1000000000
"""
Contents = dict[tuple[str, dt.date], str]  # (table, date) -> content hash
OPEN = (dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED)


@pytest.fixture(scope="module", autouse=True)
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The configuration of this process and of those it starts."""
    file = tmp_path_factory.mktemp("settings") / "settings.toml"
    file.write_text(SETTINGS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPYMASTER_CONFIG", str(file))
        yield


@contextmanager
def at(root: Path) -> Iterator[None]:
    """This process is about the lake at `root`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPYMASTER_DATA", str(root))
        patch.setenv("DAGSTER_HOME", str(root / "dagster"))
        yield


def spymaster(root: Path, *words: str) -> Result:
    """A command, in this process; workers are processes of their own."""
    with at(root):
        return CliRunner().invoke(main, ["--data", str(root), *words], catch_exceptions=False)


def backfill(root: Path, dates: Sequence[dt.date], workers: int = 2) -> Result:
    return spymaster(root, "backfill", str(dates[0]), str(dates[-1]), "--workers", str(workers))


def lake_at(root: Path) -> Lake:
    return Lake(root, load())


def contents(root: Path, dates: Sequence[dt.date]) -> Contents:
    """Content hash of every published table; each is read back and compared with its manifest."""
    lake, found = lake_at(root), {}
    for table in EVERY:
        for date in dates:
            if (manifest := lake.manifest(table, date)) is not None:
                assert lake.verify(table, date) is None, (table.name, date)
                found[table.name, date] = manifest.content
    return found


def debris(root: Path) -> list[str]:
    """Files that no manifest names, and temporary ones anywhere."""
    lake = lake_at(root)
    left = [path for table in EVERY for date in lake.dates(table) for path in lake.leftovers(table, date)]
    return sorted(str(path.relative_to(root)) for path in {*left, *root.rglob("*.tmp*")})


@contextmanager
def recorded(root: Path) -> Iterator[dg.DagsterInstance]:
    with at(root), dg.DagsterInstance.from_config(str(root / "dagster")) as instance:
        yield instance


def runs(root: Path) -> list[dg.DagsterRun]:
    """All runs, the earliest first."""
    with recorded(root) as instance:
        return list(instance.get_runs())[::-1]


def is_complete(root: Path, date: dt.date) -> bool:
    """As `spymaster status` sees it: every table there, fresh and passed (statistics files may be absent)."""
    with at(root):
        found = Status(lake_at(root), [date])
        return all(found.state(table, date) in ("fresh", "absent") for table in EVERY)


def landing_of(dates: Sequence[dt.date], root: Path) -> Path:
    simulate(root / "landing", dates, events_per_session=20_000, seed=7, config=Config())
    return root


def fresh(landing: Path, root: Path) -> Path:
    shutil.copytree(landing / "landing", root / "landing")
    return root


@pytest.fixture(scope="module")
def landing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return landing_of(DATES, tmp_path_factory.mktemp("landing"))


def day_by_day(root: Path, dates: Sequence[dt.date]) -> Contents:
    """What `spymaster day` makes of dates, one after the other."""
    result = spymaster(root, "day", f"{dates[0]}:{dates[-1]}")
    assert result.exit_code == 0, result.output
    found = contents(root, dates)
    assert set(found) == {(table.name, date) for table in EVERY for date in dates}
    return found


@pytest.fixture(scope="module")
def expected(landing: Path, tmp_path_factory: pytest.TempPathFactory) -> Contents:
    return day_by_day(fresh(landing, tmp_path_factory.mktemp("expected")), MADE)


# What is made, and what is recorded


@pytest.fixture(scope="module")
def filled(landing: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    """A lake made by two workers, and what the command said; no file serves the first date asked for."""
    root = fresh(landing, tmp_path_factory.mktemp("filled"))
    return root, backfill(root, [ABSENT, *MADE])


def test_two_workers_make_what_one_day_after_the_other_makes(filled: tuple[Path, Result], expected: Contents) -> None:
    root, result = filled
    assert "3 of 4 trading dates are complete, 0 of them were so before" in result.output
    assert contents(root, [ABSENT, *MADE]) == expected
    assert debris(root) == []
    assert all(is_complete(root, date) for date in MADE)
    counted = connect(lake_at(root)).execute("select count(distinct date) from gold_training").fetchone()
    assert counted == (len(MADE),) and (root / FILE).exists()


def test_every_step_is_told_and_phases_come_one_after_the_other(filled: tuple[Path, Result]) -> None:
    steps = [line.split(": ") for line in filled[1].output.splitlines() if line.endswith(": made")]
    told = [tuple(step[0].split(" ", 1)) for step in steps]
    assert sorted(told) == sorted((str(date), phase) for date in MADE for phase in PHASES)
    assert [phase for _, phase in told] == [phase for phase in PHASES for _ in MADE]


def test_a_date_without_files_is_listed_as_absent(filled: tuple[Path, Result]) -> None:
    root, result = filled
    assert result.exit_code == 1
    assert f"no book in landing: {ABSENT}\n" in result.output and "bad: " not in result.output
    assert str(ABSENT) not in {run.tags["dagster/partition"] for run in runs(root)}


def test_runs_are_recorded_with_their_partitions(filled: tuple[Path, Result]) -> None:
    root, _ = filled
    found = runs(root)
    assert {run.status for run in found} == {dg.DagsterRunStatus.SUCCESS}
    dates = Counter(run.tags["dagster/partition"] for run in found)
    assert dates == {str(date): len(PHASES) for date in MADE}
    assert {run.tags["spymaster/backfill"] for run in found} == {f"{ABSENT}:{MADE[-1]}"}
    assert len({run.tags[PROCESS] for run in found}) == 2 and str(os.getpid()) not in {run.tags[PROCESS] for run in found}
    with recorded(root) as instance:
        for table in EVERY:
            assert instance.get_materialized_partitions(key_of(table)) == {str(date) for date in MADE}, table.name
        assert len(instance.fetch_materializations(key_of(TRAINING), limit=100).records) == len(MADE)
        content = {
            r.partition_key: r.asset_materialization for r in instance.fetch_materializations(key_of(TRAINING), limit=9).records
        }
    for date in MADE:
        manifest, shown = lake_at(root).manifest(TRAINING, date), content[str(date)]
        assert manifest is not None and shown is not None
        assert shown.metadata["content hash"].value == manifest.content


def test_what_is_there_is_not_run_again(filled: tuple[Path, Result]) -> None:
    root, _ = filled
    before, stamps = len(runs(root)), stamped(root, MADE)
    result = backfill(root, MADE, 1)
    assert result.exit_code == 0
    assert "3 of 3 trading dates are complete, 3 of them were so before" in result.output
    assert result.output.count(": unchanged") == len(MADE) * len(PHASES)
    assert (len(runs(root)), stamped(root, MADE)) == (before, stamps)


def test_a_date_whose_run_was_killed_is_told_to_dagster_again(filled: tuple[Path, Result], tmp_path: Path) -> None:
    """The lake may have everything while Dagster was not told all: a killed run is closed, and the date run again."""
    root = tmp_path / "lake"
    shutil.copytree(filled[0], root)
    job = build(root).resolve_job_def("date_job")
    with recorded(root) as instance:
        tags = {PROCESS: "999999999", "dagster/partition": str(DATES[0])}
        killed = instance.create_run_for_job(job, tags=tags, status=dg.DagsterRunStatus.STARTED)
    before = stamped(root, DATES[:1])
    result = backfill(root, DATES[:1], 1)
    assert result.exit_code == 0 and result.output.count(": made") == len(PHASES)
    assert [run.status for run in runs(root) if run.run_id == killed.run_id] == [dg.DagsterRunStatus.FAILURE]
    assert {path for path, time in stamped(root, DATES[:1]).items() if time != before[path]} == set()
    assert backfill(root, DATES[:1], 1).output.count(": unchanged") == len(PHASES)


def stamped(root: Path, dates: Sequence[dt.date]) -> dict[str, int]:
    """When each file of the dates was last written, verdicts too."""
    lake = lake_at(root)
    folders = [lake.folder(table, date) for table in EVERY for date in dates]
    return {str(path): path.stat().st_mtime_ns for folder in folders if folder.exists() for path in folder.iterdir()}


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2, 3])
def test_any_number_of_workers_makes_the_same_of_a_week(workers: int, week: tuple[Path, Contents], tmp_path: Path) -> None:
    landing, expected = week
    root = fresh(landing, tmp_path / "lake")
    result = backfill(root, LONG, workers)
    assert (result.exit_code, contents(root, LONG)) == (0, expected), result.output
    assert debris(root) == []
    assert len({run.tags[PROCESS] for run in runs(root)}) == workers


@pytest.fixture(scope="module")
def week(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Contents]:
    """Landing of six dates over a weekend, and what `spymaster day` makes of them."""
    landing = landing_of(LONG, tmp_path_factory.mktemp("week"))
    root = fresh(landing, tmp_path_factory.mktemp("week_expected"))
    assert spymaster(root, "day", f"{LONG[0]}:{LONG[-1]}").exit_code == 0
    return landing, contents(root, LONG)


# Kills


@contextmanager
def started(root: Path, dates: Sequence[dt.date], workers: int = 2) -> Iterator[subprocess.Popen[str]]:
    """The command as a process that leads a group of its own."""
    words = ["backfill", str(dates[0]), str(dates[-1]), "--workers", str(workers)]
    code = "import sys; from spymaster_assets.cli import main; main()"
    environment = {name: value for name, value in os.environ.items() if name not in ("SPYMASTER_DATA", "DAGSTER_HOME")}
    with subprocess.Popen(
        [sys.executable, "-c", code, "--data", str(root), *words],
        cwd=CHECKOUT, env=environment, start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        try:
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)


def heard(stream: IO[str] | None) -> str:
    assert stream is not None
    return stream.readline()


def workers_of(process: subprocess.Popen[str]) -> list[psutil.Process]:
    """The processes that do the work, not the one that keeps track of resources."""
    return [child for child in psutil.Process(process.pid).children() if "spawn_main" in " ".join(child.cmdline())]


def interrupt(process: subprocess.Popen[str]) -> None:
    """As Ctrl-C does: to the whole group."""
    os.killpg(process.pid, signal.SIGINT)


def kill_group(process: subprocess.Popen[str]) -> None:
    os.killpg(process.pid, signal.SIGKILL)


def kill_parent(process: subprocess.Popen[str]) -> None:
    os.kill(process.pid, signal.SIGKILL)


@pytest.mark.slow
def test_killed_again_and_again_it_ends_as_if_undisturbed(landing: Path, expected: Contents, tmp_path: Path) -> None:
    """Interrupted, then killed whole twice, then the parent alone, whose workers end by themselves; then it runs to its end."""
    root, dates, chance = fresh(landing, tmp_path / "lake"), DATES[:2], random.Random(20250317)
    wanted = {key: content for key, content in expected.items() if key[1] in dates}
    made, broken_off = [0], 0
    for end, steps in ((interrupt, 1), (kill_group, 2), (kill_group, 3), (kill_parent, 3)):
        moment = chance.uniform(0, 3)
        with started(root, dates) as process:
            assert all(heard(process.stdout).startswith("2025-") for _ in range(steps))
            time.sleep(moment)
            workers = workers_of(process)
            assert len(workers) == 2 and process.poll() is None
            end(process)
            _, alive = psutil.wait_procs(workers, timeout=60)
            assert alive == []
            code, complaint = process.wait(60), process.stderr.read() if process.stderr else ""
        assert (code, complaint.strip()) == ((1, "Aborted!") if end is interrupt else (-signal.SIGKILL, ""))
        found, statuses = contents(root, dates), Counter(run.status for run in runs(root))
        assert found.items() <= wanted.items()
        still_open = sum(statuses[status] for status in OPEN)
        assert end is kill_group or still_open == 0  # interrupted, they were closed; without a parent they came to their end
        broken_off += still_open
        made.append(len(found))
        print(f"{end.__name__} after {moment:.2f} s: {len(found)} of {len(wanted)} tables there, {dict(statuses)}")
    assert made == sorted(made) and broken_off > 0
    result = backfill(root, dates, 1)
    assert result.exit_code == 0, result.output
    assert contents(root, dates) == wanted
    assert debris(root) == []
    assert all(is_complete(root, date) for date in dates)
    statuses = Counter(run.status for run in runs(root))
    assert set(statuses) == {dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE}
    assert statuses[dg.DagsterRunStatus.FAILURE] >= broken_off
    names = [str(date) for date in dates]
    with recorded(root) as instance:
        for table in EVERY:
            assert instance.get_materialized_partitions(key_of(table)) == {*names}, table.name
            told = instance.get_status_by_partition(key_of(table), names, trading_dates)
            assert told == dict.fromkeys(names, AssetPartitionStatus.MATERIALIZED), table.name


def test_a_worker_that_died_takes_one_task_with_it_and_is_replaced(landing: Path, tmp_path: Path) -> None:
    root, dates = fresh(landing, tmp_path / "lake"), DATES[:3]
    with at(root):
        prepare_dagster(root)
        Runner(lake_at(root))  # as a backfill does first: two workers would both make the instance's tables
        pool = Pool(2, root, "a test")
        try:
            victim = pool._workers[0].process
            victim.kill()
            victim.join()
            found = {done.task.date: done for done in pool.run([Task("trades", date) for date in dates])}
            assert len({worker.process.pid for worker in pool._workers} - {victim.pid}) == 2
        finally:
            pool.close()
    assert found[dates[0]].trouble == ["the worker ended with exit code -9 (out of memory?)"]
    assert {date: (found[date].ran, found[date].trouble) for date in dates[1:]} == dict.fromkeys(dates[1:], (True, []))
    assert lake_at(root).dates(FUTURES_TRADES) == dates[1:]


@pytest.mark.slow
def test_a_killed_worker_takes_only_its_date_with_it(landing: Path, expected: Contents, tmp_path: Path) -> None:
    """Killed while it makes the summaries of the second date; the others are made by the worker left and a new one."""
    root, dates = fresh(landing, tmp_path / "lake"), DATES[:3]
    with started(root, dates) as process:
        while f"{dates[-1]} trades" not in heard(process.stdout):
            pass
        with recorded(root) as instance:
            busy: list[dg.DagsterRun] = []
            while not busy:
                filters = dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED], tags={"dagster/partition": str(dates[1])})
                busy = list(instance.get_runs(filters))
        victim = int(busy[0].tags[PROCESS])
        assert victim in [worker.pid for worker in workers_of(process)]
        os.kill(victim, signal.SIGKILL)
        said = process.stdout.read() if process.stdout else ""
        assert process.wait(300) == 1
    assert f"bad: {dates[1]}: the worker ended with exit code -9" in said
    assert "2 of 3 trading dates are complete, 0 of them were so before" in said
    assert is_complete(root, dates[0]) and is_complete(root, dates[2]) and not is_complete(root, dates[1])
    processes = {run.tags[PROCESS] for run in runs(root)}
    assert len(processes) == 3  # two and the one that replaced the victim
    result = backfill(root, dates, 1)  # the second date, and of the third what its summary changes
    assert result.exit_code == 0, result.output
    assert contents(root, dates) == {key: content for key, content in expected.items() if key[1] in dates}
    assert debris(root) == []
    assert not [run for run in runs(root) if run.status in OPEN]
    [failed] = [run for run in runs(root) if run.status is dg.DagsterRunStatus.FAILURE]
    assert failed.run_id == busy[0].run_id


# Bad dates


Spoilt = dict[Path, bytes]  # files of a landing folder -> what they were before
GOOD, BAD = [DATES[0], DATES[2]], [DATES[1], DATES[3]]


def spoil(root: Path) -> Spoilt:
    """Trades of the second date out of order, the book of the last one cut in the middle."""
    folder = root / "landing" / "futures"
    trades, book = folder / f"glbx-mdp3-{BAD[0]:%Y%m%d}.trades.dbn.zst", folder / f"glbx-mdp3-{BAD[1]:%Y%m%d}.mbp-10.dbn.zst"
    whole = {path: path.read_bytes() for path in (trades, book)}
    rewrite(trades, disordered)
    book.write_bytes(whole[book][: len(whole[book]) // 2])
    return whole


def check_told(result: Result) -> None:
    """Both bad dates with their reasons."""
    assert result.exit_code == 1
    [one, other] = [line for line in result.output.splitlines() if line.startswith("bad: ")]
    assert one.startswith(f"bad: {BAD[0]}: futures_trades: order: records are out of order")
    assert other.startswith(f"bad: {BAD[1]}: futures_mbp10: ") and "expected an intact zstd stream" in other
    assert "; snaps: skipped" in other


def test_bad_dates_are_told_with_their_reasons_and_stop_only_themselves(landing: Path, expected: Contents, tmp_path: Path) -> None:
    root = fresh(landing, tmp_path / "lake")
    spoil(root)
    first = backfill(root, DATES)
    check_told(first)
    assert "2 of 4 trading dates are complete, 0 of them were so before" in first.output
    assert [is_complete(root, date) for date in DATES] == [True, False, True, False]
    assert contents(root, DATES[:1]) == {key: content for key, content in expected.items() if key[1] == DATES[0]}
    assert lake_at(root).dates(TRAINING) == GOOD
    before, stamps = Counter(run.tags["dagster/partition"] for run in runs(root)), stamped(root, GOOD)

    again = backfill(root, DATES, 1)
    check_told(again)
    assert "2 of 4 trading dates are complete, 2 of them were so before" in again.output
    after = Counter(run.tags["dagster/partition"] for run in runs(root))
    assert {str(date): after[str(date)] for date in GOOD} == {str(date): len(PHASES) for date in GOOD}
    assert all(after[str(date)] > before[str(date)] for date in BAD)
    assert stamped(root, GOOD) == stamps
    assert {run.status for run in runs(root)} == {dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE}


@pytest.mark.slow
def test_with_sound_files_bad_dates_become_as_if_they_had_never_been(landing: Path, tmp_path: Path) -> None:
    """And later dates too, which were made without them."""
    root, expected = fresh(landing, tmp_path / "lake"), day_by_day(fresh(landing, tmp_path / "expected"), DATES)
    whole = spoil(root)
    check_told(backfill(root, DATES))
    for path, raw in whole.items():
        path.write_bytes(raw)
    repaired = backfill(root, DATES)
    assert repaired.exit_code == 0, repaired.output
    assert contents(root, DATES) == expected
    assert debris(root) == []


def test_a_date_that_was_not_judged_is_judged(filled: tuple[Path, Result], tmp_path: Path) -> None:
    """All tables are there, one without the verdict on it (its maker was killed before): the date is not complete yet."""
    root = tmp_path / "lake"
    shutil.copytree(filled[0], root)
    verdict = lake_at(root).folder(TRAINING, DATES[0]) / VERDICT
    verdict.unlink()
    before = contents(root, MADE)
    result = backfill(root, DATES[:2], 1)
    assert result.exit_code == 0 and f"{DATES[0]} the rest: made" in result.output
    assert "2 of 2 trading dates are complete, 1 of them were so before" in result.output
    assert verdict.exists() and contents(root, MADE) == before


BARS = """
import sys, time
from spymaster_assets import progress
if sys.argv[1] == "silent":
    progress.silence()
show = progress.terminal()
for done in range(15):
    show("grid", done, 99)
    time.sleep(0.15)
"""


@pytest.mark.parametrize(("mode", "bars"), [("as usual", True), ("silent", False)])
def test_workers_leave_the_terminal_to_whoever_started_them(mode: str, bars: bool) -> None:
    ours, theirs = os.openpty()
    termios.tcsetwinsize(theirs, (24, 100))
    with subprocess.Popen([sys.executable, "-c", BARS, mode], cwd=CHECKOUT, stderr=theirs) as process:
        assert process.wait(60) == 0
    os.write(theirs, b"end")
    written = b""
    while not written.endswith(b"end"):
        written += os.read(ours, 100_000)
    os.close(ours)
    os.close(theirs)
    assert (b"grid" in written) == bars


@pytest.mark.parametrize(("first", "last"), [("2025-03-20", "2025-03-17"), ("2025-03-22", "2025-03-23")])
def test_a_range_without_trading_dates_is_refused(tmp_path: Path, first: str, last: str) -> None:
    result = spymaster(tmp_path, "backfill", first, last)
    assert result.exit_code == 1 and f"no trading date from {first} to {last}" in result.output


def test_a_date_that_is_not_over_is_told_and_left_to_day(tmp_path: Path) -> None:
    simulate(tmp_path / "landing", DATES[:1], events_per_session=5_000, seed=7, config=Config())
    with dg.partition_loading_context(effective_dt=dt.datetime(2025, 3, 17, 20, tzinfo=dt.UTC)):
        result = backfill(tmp_path, DATES[:2])
    assert result.exit_code == 1
    assert f"bad: {DATES[0]}: not over yet: spymaster day {DATES[0]} makes what there is of it\n" in result.output
    assert f"no book in landing: {DATES[1]}" in result.output
    assert not list(tmp_path.rglob("manifest.json"))


def test_a_range_without_files_makes_nothing(tmp_path: Path) -> None:
    result = backfill(tmp_path, DATES[:2])
    assert result.exit_code == 1
    assert f"no book in landing: {DATES[0]}, {DATES[1]}" in result.output
    assert not list(tmp_path.rglob("manifest.json"))
