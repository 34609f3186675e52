"""Dagster's event log with kept engines: what it stores is what Dagster's own stores, in the same files, whoever else writes.

`plain` is an instance as Dagster makes it by itself; `kept` is the one of dagster.yaml.
"""

import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import dagster as dg
import psutil
import pytest
from dagster._core.storage.event_log.sqlite.sqlite_event_log import SqliteEventLogStorage

from spymaster_assets.assets.partitions import trading_dates
from spymaster_assets.assets.storage import KEPT, KeptSqliteEventLogStorage
from spymaster_assets.daily import QUIET

PROJECT = Path(__file__).parents[1]
LETTERS = dg.StaticPartitionsDefinition([*"abcdefghijklmnopqrstuvwxyz"])
FIRST, SECOND = dg.AssetKey(["some", "first"]), dg.AssetKey(["some", "second"])
PLAIN = "telemetry:\n  enabled: false\n"


def _spec(name: str, key: dg.AssetKey, blocking: bool = False) -> dg.AssetCheckSpec:
    return dg.AssetCheckSpec(name, asset=key, partitions_def=LETTERS, blocking=blocking)


@dg.asset(key=FIRST, partitions_def=LETTERS, check_specs=[_spec("passes", FIRST), _spec("warns", FIRST)])
def first(context: dg.AssetExecutionContext) -> Iterator[object]:
    yield dg.MaterializeResult(metadata={"rows": 3, "of": context.partition_key}, data_version=dg.DataVersion("one"))
    yield dg.AssetCheckResult(check_name="passes", passed=True, metadata={"measured": 1.5})
    yield dg.AssetCheckResult(check_name="warns", passed=False, severity=dg.AssetCheckSeverity.WARN, description="look")


@dg.asset(key=SECOND, partitions_def=LETTERS, deps=[FIRST], check_specs=[_spec("blocks", SECOND, True)])
def second(context: dg.AssetExecutionContext) -> Iterator[object]:
    yield dg.MaterializeResult(metadata={"note": dg.MetadataValue.md("*here*")}, data_version=dg.DataVersion("two"))
    yield dg.AssetCheckResult(check_name="blocks", passed=context.partition_key != "z")


DEFS = dg.Definitions(
    assets=[first, second], jobs=[dg.define_asset_job("both", selection="*")], executor=dg.in_process_executor
)  # fmt: skip


def run(instance: dg.DagsterInstance, letter: str) -> dg.ExecuteInProcessResult:
    """One run of both assets; 'z' fails by its blocking check."""
    job = DEFS.resolve_job_def("both")
    return job.execute_in_process(instance=instance, partition_key=letter, raise_on_error=False, run_config=QUIET)


@contextmanager
def opened(home: Path, settings: str | None = None) -> Iterator[dg.DagsterInstance]:
    """The instance of a folder by the project's dagster.yaml, or other settings."""
    home.mkdir(parents=True, exist_ok=True)
    (home / "dagster.yaml").write_text(settings or (PROJECT / "spymaster_assets" / "settings" / "dagster.yaml").read_text())
    with dg.DagsterInstance.from_config(str(home)) as instance:
        assert type(instance.event_log_storage) is (SqliteEventLogStorage if settings else KeptSqliteEventLogStorage)
        yield instance


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def known(instance: dg.DagsterInstance) -> dict[str, object]:
    """All that readers ask of an instance: runs and their logs, assets, partitions, checks."""
    checks = [dg.AssetCheckKey(key, name) for key, name in ((FIRST, "passes"), (FIRST, "warns"), (SECOND, "blocks"))]
    log = instance.event_log_storage
    return {
        "logs": {one.run_id: (one.status, instance.all_logs(one.run_id)) for one in instance.get_runs()},
        "keys": instance.all_asset_keys(),
        "partitions": {key: instance.get_materialized_partitions(key) for key in (FIRST, SECOND)},
        "latest": {key: instance.get_latest_materialization_event(key) for key in (FIRST, SECOND)},
        "materializations": [instance.fetch_materializations(key, limit=100).records for key in (FIRST, SECOND)],
        "checks": {str(key): [(r.run_id, r.status, r.partition, r.event) for r in _history(log, key)] for key in checks},
        "runs of assets": [sorted(asset.asset_entry.last_run_id or "" for asset in log.get_asset_records([FIRST, SECOND]))],
    }


def _history(log: object, key: dg.AssetCheckKey) -> list[object]:
    assert isinstance(log, SqliteEventLogStorage)
    return list(log.get_asset_check_execution_history(key, limit=100))


def stored(home: Path) -> Counter[tuple[object, ...]]:
    """Every row of every table of every shard, without what differs from run to run (ids, times, the events' text)."""
    rows: Counter[tuple[object, ...]] = Counter()
    for path in (home / "history" / "runs").glob("*.db"):
        with closing(sqlite3.connect(path)) as connection:
            for (table,) in connection.execute("select name from sqlite_master where type = 'table'").fetchall():
                told = [
                    f'"{name}"'
                    for _, name, kind, *_ in connection.execute(f"pragma table_info({table})")
                    if name not in ("id", "run_id", "event_id", "last_run_id", "event", "evaluation_event", "last_materialization")
                    and not name.endswith("storage_id")
                    and kind not in ("TIMESTAMP", "DATETIME")
                    and "timestamp" not in name
                ]
                for row in connection.execute(f"select {', '.join(told) or 'count(*)'} from {table}").fetchall():
                    rows[(path.name == "index.db", table, *row)] += 1
    return rows


@pytest.mark.parametrize("batch", ["0", "1000"], ids=["event by event", "in batches"])
def test_the_same_runs_leave_the_same_rows_as_with_dagsters_own(
    tmp_path: Path, home: Path, batch: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGSTER_EVENT_BATCH_SIZE", batch)
    found = []
    for folder, settings in ((tmp_path / "plain", PLAIN), (home, None)):
        with opened(folder, settings) as instance:
            assert [run(instance, letter).success for letter in "abza"] == [True, True, False, True]
        found.append(stored(folder))
    assert sum(found[0].values()) > 150
    assert found[0] == found[1]


def test_dagsters_own_reads_the_same_from_the_same_folder_and_writes_on(home: Path) -> None:
    with opened(home) as kept:
        runs = [run(kept, letter).run_id for letter in "abz"]
        told = known(kept)
    with opened(home, PLAIN) as plain:
        assert known(plain) == told
        runs.append(run(plain, "c").run_id)
        told = known(plain)
    with opened(home) as kept:
        assert known(kept) == told
        assert kept.get_materialized_partitions(FIRST) == {*"abcz"}
        assert {one.run_id for one in kept.get_runs()} == set(runs)


def test_a_run_with_checks_is_read_back_as_it_was_told(home: Path) -> None:
    with opened(home) as kept:
        result = run(kept, "z")
        evaluations = {(one.asset_key, one.check_name): one for one in result.get_asset_check_evaluations()}
        told = result.get_asset_materialization_events()
    with opened(home) as kept:
        back = [entry.dagster_event for entry in kept.all_logs(result.run_id) if entry.dagster_event]
        assert [event for event in back if event.is_step_materialization] == told
        read = [event.asset_check_evaluation_data for event in back if event.event_type_value == "ASSET_CHECK_EVALUATION"]
        assert {(one.asset_key, one.check_name): one for one in read} == evaluations
        assert len(evaluations) == 3 and not evaluations[SECOND, "blocks"].passed
        [record] = _history(kept.event_log_storage, dg.AssetCheckKey(FIRST, "warns"))
        assert record.event.asset_check_evaluation == evaluations[FIRST, "warns"]  # type: ignore[attr-defined]
        assert kept.get_run_by_id(result.run_id).status is dg.DagsterRunStatus.FAILURE  # type: ignore[union-attr]


@dg.asset(
    partitions_def=trading_dates, check_specs=[dg.AssetCheckSpec("sound", asset="dated", partitions_def=trading_dates)]
)  # fmt: skip
def dated() -> Iterator[object]:
    yield dg.MaterializeResult()
    yield dg.AssetCheckResult(check_name="sound", passed=True)


def test_a_check_of_a_trading_date_is_planned_and_done_for_that_date_alone(tmp_path: Path, home: Path) -> None:
    """Dagster writes the whole calendar into the plan; here the date stands, and readers find the same."""
    found, sizes = [], []
    for folder, settings in ((tmp_path / "plain", PLAIN), (home, None)):
        with opened(folder, settings) as instance:
            result = dg.materialize([dated], partition_key="2025-06-03", instance=instance, run_config=QUIET)
        with opened(folder, PLAIN) as instance:
            events = [entry.dagster_event for entry in instance.all_logs(result.run_id) if entry.dagster_event]
            [planned] = [event for event in events if event.event_type is dg.DagsterEventType.ASSET_CHECK_EVALUATION_PLANNED]
            data = planned.asset_check_planned_data
            key = dg.AssetCheckKey(dg.AssetKey("dated"), "sound")
            [record] = _history(instance.event_log_storage, key)
            at = record.partition, record.status  # type: ignore[attr-defined]
            assert data.partitions_subset is not None
            found.append((data.asset_key, data.check_name, [*data.partitions_subset.get_partition_keys()], planned.message, at))
            sizes.append(len(dg.serialize_value(planned)))
    assert found[0] == found[1] and found[0][2] == ["2025-06-03"]
    assert sizes[1] < 2_000 < sizes[0]


# Engines and files


def databases(home: Path) -> set[str]:
    """The shards of an instance that this process has open."""
    paths = [Path(file.path) for file in psutil.Process().open_files()]
    return {path.stem for path in paths if path.suffix == ".db" and path.parent == home.resolve() / "history" / "runs"}


def test_engines_of_earlier_runs_are_let_go_and_the_index_is_kept(home: Path) -> None:
    with opened(home) as kept:
        storage = kept.event_log_storage
        assert isinstance(storage, KeptSqliteEventLogStorage)
        runs, index = [], None
        for letter in "abcdefgh":
            runs.append(run(kept, letter).run_id)
            index = index or storage._engines["index"]
            assert len(storage._engines) <= KEPT
            assert databases(home) <= set(storage._engines)
            assert storage._engines["index"] is index
        assert runs[-1] in storage._engines and runs[0] not in storage._engines
        counts = [len(kept.all_logs(one)) for one in runs]  # those let go open again
        assert len(set(counts)) == 1 and counts[0] > 20
        kept.report_engine_event("written later", kept.get_run_by_id(runs[0]))
        assert len(kept.all_logs(runs[0])) == counts[0] + 1
        assert len(databases(home)) <= KEPT
        modes = {path.stat().st_mode for path in (home / "history" / "runs").glob("*.db")}
        assert len(modes) == 1  # copied shards are as readable as made ones
    assert databases(home) == set()


def test_many_threads_may_ask_at_once(home: Path) -> None:
    """As the web server does: more runs than there are engines, read in turn by all."""
    with opened(home) as kept:
        runs = [run(kept, letter).run_id for letter in "abcdefgh"]
        expected = {one: len(kept.all_logs(one)) for one in runs}
        wrong: list[object] = []

        def ask(offset: int) -> None:
            try:
                for turn in range(40):
                    one = runs[(turn + offset) % len(runs)]
                    if len(kept.all_logs(one)) != expected[one]:
                        wrong.append(one)
            except Exception as error:  # a thread's trouble is the test's
                wrong.append(error)

        threads = [threading.Thread(target=ask, args=(offset,)) for offset in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120)
        assert wrong == []


def test_deleting_a_run_takes_its_events_and_no_others(home: Path) -> None:
    with opened(home) as kept:
        gone, left = run(kept, "a").run_id, run(kept, "b").run_id
        before = len(kept.all_logs(left))
        kept.delete_run(gone)
        assert not kept.has_run(gone) and list(kept.all_logs(gone)) == []
        assert kept.get_materialized_partitions(FIRST) == {"b"}
        assert len(kept.all_logs(left)) == before
        assert run(kept, "a").success
        assert kept.get_materialized_partitions(FIRST) == {"a", "b"}
    with opened(home, PLAIN) as plain:
        assert not plain.has_run(gone) and list(plain.all_logs(gone)) == []


def test_after_everything_was_wiped_events_are_stored_as_before(home: Path) -> None:
    with opened(home) as kept:
        gone = run(kept, "a").run_id
        kept.report_runless_asset_event(dg.AssetMaterialization(FIRST, partition="b"))
        kept.wipe()
        assert list(kept.all_logs(gone)) == []
        assert list(kept.get_runs()) == [] and kept.get_materialized_partitions(FIRST) == set()
        kept.report_runless_asset_event(dg.AssetMaterialization(FIRST, partition="c"))
        assert run(kept, "d").success
        told = known(kept)
    with opened(home, PLAIN) as plain:
        assert known(plain) == told
        assert plain.get_materialized_partitions(FIRST) == {"c", "d"}
        assert plain.all_logs("")[-1].dagster_event.partition == "c"  # type: ignore[union-attr]


# What is remembered and what is stored together


def latest(instance: dg.DagsterInstance) -> list[object]:
    """What a check asks: the latest materialization of a partition."""
    asked = dg.AssetRecordsFilter(asset_key=FIRST, asset_partitions=["a"])
    return [record.asset_materialization.metadata["number"].value for record in instance.fetch_materializations(asked, 1).records]  # type: ignore[union-attr]


def materialized(number: int) -> dg.AssetMaterialization:
    return dg.AssetMaterialization(FIRST, partition="a", metadata={"number": number})


def test_the_latest_materialization_is_the_latest_whoever_wrote_it(home: Path) -> None:
    with opened(home) as kept, opened(home) as other:
        assert latest(kept) == []
        for number, writer in enumerate((kept, other, kept, other, other)):
            writer.report_runless_asset_event(materialized(number))
            assert latest(kept) == latest(kept) == latest(other) == [number]
            writer.report_runless_asset_event(dg.AssetObservation(FIRST, partition="a"))
            assert latest(kept) == latest(other) == [number]
        kept.wipe_assets([FIRST])
        assert latest(kept) == latest(other) == []


def test_the_same_question_is_not_read_again(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(home) as kept:
        kept.report_runless_asset_event(materialized(1))
        asked: list[object] = []
        original = SqliteEventLogStorage.fetch_materializations
        monkeypatch.setattr(
            SqliteEventLogStorage, "fetch_materializations", lambda self, *args: asked.append(args) or original(self, *args)
        )
        assert [latest(kept) for _ in range(5)] == [[1]] * 5
        assert len(asked) == 1


def outputs(instance: dg.DagsterInstance, run_id: str) -> list[dg.EventLogEntry]:
    """A run's events that may wait, and nothing else."""
    return [entry for entry in instance.all_logs(run_id) if entry.dagster_event_type is dg.DagsterEventType.STEP_OUTPUT]


def in_file(home: Path, run_id: str) -> int:
    """How many events of a run another process would find."""
    with closing(sqlite3.connect(home / "history" / "runs" / f"{run_id}.db")) as connection:
        return int(connection.execute("select count(*) from event_logs").fetchone()[0])


def test_a_batch_that_fails_is_stored_whole_or_not_at_all(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Dagster then stores its events one by one; none is doubled, and what waited before is not lost."""
    with opened(home) as kept:
        run_id = run(kept, "a").run_id
        waiting = outputs(kept, run_id)
        kind = dg.DagsterEventType.ASSET_MATERIALIZATION
        entries = [entry for entry in kept.all_logs(run_id) if entry.dagster_event_type is kind]
        assert len(waiting) == 5 and len(entries) == 2
        before, events = stored(home), in_file(home, run_id)
        original, left = SqliteEventLogStorage._store_asset_event, [1]

        def full(self: SqliteEventLogStorage, *args: object) -> None:
            left[0] -= 1
            if left[0] < 0:
                raise OSError("no space left on device")
            original(self, *args)  # type: ignore[arg-type]

        monkeypatch.setattr(SqliteEventLogStorage, "_store_asset_event", full)
        for entry in waiting:
            kept.event_log_storage.store_event(entry)
        for _ in range(2):
            left[0] = 1
            with pytest.raises(OSError, match="no space"):
                kept.event_log_storage.store_event_batch(entries)
            assert stored(home) == before
        left[0] = len(entries)
        kept.event_log_storage.store_event_batch(entries)
        assert in_file(home, run_id) == events + len(waiting) + len(entries)


def test_what_waits_is_stored_before_anyone_here_asks_and_with_what_follows(home: Path) -> None:
    with opened(home) as kept:
        run_id, other = run(kept, "a").run_id, run(kept, "b").run_id
        before, waiting = len(kept.all_logs(run_id)), outputs(kept, run_id)
        kept.event_log_storage.store_event_batch(waiting)
        assert in_file(home, run_id) == before
        assert len(kept.all_logs(run_id)) == before + len(waiting) == in_file(home, run_id)
        kept.event_log_storage.store_event_batch(waiting)
        kept.report_engine_event("of another run", kept.get_run_by_id(other))
        assert in_file(home, run_id) == before + 2 * len(waiting)
        for _ in range(30):
            kept.event_log_storage.store_event_batch(waiting)
        assert in_file(home, run_id) >= before + 100  # they wait by the hundred, not for ever
        kept.event_log_storage.store_event_batch(waiting)
    assert in_file(home, run_id) == before + 33 * len(waiting)  # the instance was closed


def test_a_check_told_without_a_run_does_not_wait(home: Path) -> None:
    with opened(home) as kept:
        kept.report_runless_asset_event(dg.AssetCheckEvaluation(FIRST, "passes", True, {}, partition="a"))
        assert in_file(home, "") == 1


# Processes


def process(home: Path, code: str, *words: str) -> subprocess.Popen[str]:
    head = "import os, signal, sys\nimport dagster as dg\nfrom tests.test_storage import FIRST, run\n"
    environment = {**os.environ, "DAGSTER_HOME": str(home)}
    return subprocess.Popen(
        [sys.executable, "-c", head + code, *words], cwd=PROJECT, env=environment, stdout=subprocess.PIPE, text=True
    )


@pytest.mark.parametrize("fresh", [True, False], ids=["the first to write", "written before"])
def test_two_processes_that_write_at_once_lose_nothing(home: Path, fresh: bool) -> None:
    """Each makes runs, which meet in the index, and events without a run, which meet in one shard."""
    with opened(home) as kept:
        length = None if fresh else len(kept.all_logs(run(kept, "a").run_id))
    code = """
other = os.fork()
instance = dg.DagsterInstance.get()
for number, letter in enumerate(sys.argv[1 if other else 2]):
    assert run(instance, letter).success
    for count in range(10):
        instance.report_runless_asset_event(dg.AssetObservation(FIRST, partition=letter, metadata={"number": count}))
if other:
    assert os.waitpid(other, 0)[1] == 0
"""
    with process(home, code, "bcdef", "ghijk") as both:
        assert both.wait(180) == 0
    with opened(home, PLAIN) as plain:
        runs = [one for one in plain.get_runs() if one.tags["dagster/partition"] != "a"]
        assert [one.status for one in runs] == 10 * [dg.DagsterRunStatus.SUCCESS]
        lengths = {len(plain.all_logs(one.run_id)) for one in runs}
        assert len(lengths) == 1 and (length is None or lengths == {length})
        assert plain.get_materialized_partitions(FIRST) >= {*"bcdefghijk"}
        observed = plain.fetch_observations(FIRST, limit=1000).records
        assert Counter(record.asset_observation.partition for record in observed) == dict.fromkeys("bcdefghijk", 10)  # type: ignore[union-attr]
        assert len(plain.all_logs("")) == 100
        assert len(_history(plain.event_log_storage, dg.AssetCheckKey(SECOND, "blocks"))) == 10 + (not fresh)


def test_a_killed_process_loses_no_event_that_it_was_told_is_stored(home: Path) -> None:
    with opened(home):
        pass
    code = """
instance = dg.DagsterInstance.get()
for number in range(60):
    instance.report_runless_asset_event(dg.AssetObservation(FIRST, metadata={"number": number}))
os.kill(os.getpid(), signal.SIGKILL)
"""
    with process(home, code) as killed:
        assert killed.wait(120) == -signal.SIGKILL
    with opened(home) as kept:
        observed = kept.fetch_observations(FIRST, limit=100).records
        found = [record.asset_observation.metadata["number"].value for record in observed]  # type: ignore[union-attr]
        assert sorted(found) == list(range(60))
        assert run(kept, "a").success
