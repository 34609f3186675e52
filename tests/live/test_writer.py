"""The writer with real processes: what it captured is what was on the bus and in landing, whatever happened, byte for byte."""

import datetime as dt
import random
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import databento
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from nats.aio.client import Client

from spymaster_assets import dbn
from spymaster_assets.assets.resources import resources
from spymaster_assets.columnar import to_numpy
from spymaster_assets.config import Config, load
from spymaster_assets.definitions import build
from spymaster_assets.ingest import Intake, ingest_date
from spymaster_assets.lake import Lake
from spymaster_assets.landing import Landing
from spymaster_assets.schema import TEXT
from spymaster_assets.sessions import calendar
from spymaster_assets.tables import BRONZE, FUTURES_MBP10, OPEN_INTEREST, OPTION_FLOW, SIGNALS, SILVER, SNAPS, TABLES
from spymaster_live import bus, capture, messages
from spymaster_live.__main__ import main
from spymaster_live.batches import CLOCK_COLUMNS
from spymaster_live.feed import NS, plan
from spymaster_live.handover import Reconciled, Refused, hand_over, reconcile
from spymaster_live.messages import CHANNELS, ROWS, Message
from spymaster_live.parity import differences
from tests.live.rig import Rig, make_silver, publish, rig, short, small_lake

DATE = dt.date(2025, 6, 3)
OFTEN = "[live]\ncapture_seconds = 0.2\ncapture_bytes = 2000000\n"


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small date with its Silver and an hour of signals."""
    return small_lake(tmp_path_factory.mktemp("lake"), DATE, 20_000, silver=True)


@pytest.fixture(scope="module")
def live(lake: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """A date with an engine and a writer that was killed again and again while it wrote; its capture lies in a lake of its own."""
    folder, rng = tmp_path_factory.mktemp("live"), random.Random(7)
    own = folder / "own"
    shutil.copytree(lake, own)
    with rig(own, folder, {"": short(folder / "often.toml", OFTEN)}) as made:
        made.feed(DATE, "--speed", "0")
        made.engine()
        made.start("writer", "writer", "--until-done")
        due = time.monotonic()

        def kill() -> None:
            nonlocal due
            if time.monotonic() > due and made.kills < 12 and made.processes["writer"].poll() is None:
                made.kill("writer")
                made.start("writer")
                due = time.monotonic() + rng.uniform(0.2, 1.2)

        made.finish(meanwhile=kill)
        yield made


@pytest.fixture(scope="module")
def run(live: Rig) -> Path:
    """The folder of the captured run."""
    return live.lake / "capture" / str(DATE) / live.run()


def lake_at(root: Path) -> Lake:
    return Lake(root, load(root / "short.toml"))


def segments(run: Path, channel: str) -> list[Path]:
    return sorted((run / channel).glob("*.dbn.zst"), key=capture.span)


def records_of(paths: list[Path]) -> bytes:
    """The records of DBN files, one after the other."""
    return b"".join(chunk.tobytes() for path in paths for chunk in dbn.read(path, dbn.read_header(path).schema or ""))


def landed(lake: Lake, channel: str) -> bytes:
    """The records of a channel as landing's files of the date have them."""
    intake = Intake(DATE, lake, Landing(lake.root / "landing", lake.config))
    return b"".join(chunk.tobytes() for chunk in intake.records(TABLES[f"bronze/{channel}"]))


def parquet(run: Path, folder: str) -> pa.Table:
    """The Parquet files of a folder, in order of their sequences."""
    paths = sorted((run / folder).glob("*.parquet"), key=capture.span)
    return pa.concat_tables([pq.read_table(path) for path in paths]).combine_chunks()


def test_records_are_those_of_landing_whenever_the_writer_was_killed(live: Rig, run: Path, lake: Path) -> None:
    assert live.kills >= 5
    for channel in CHANNELS:
        assert records_of(segments(run, channel)) == landed(lake_at(lake), channel) != b"", channel


def test_segments_are_files_that_databentos_own_reader_takes(run: Path) -> None:
    path = segments(run, "futures_mbp10")[-1]
    store = databento.DBNStore.from_bytes(path.read_bytes())
    assert (store.dataset, str(store.schema), store.symbols) == ("GLBX.MDP3", "mbp-10", ["ESM5"])
    rows = store.to_ndarray()
    assert len(rows) == capture.span(path)[1] - capture.span(path)[0] + 1
    assert rows.tobytes() == records_of([path])
    assert set(store.to_df()["symbol"]) == {"ESM5"}


def test_the_clock_is_every_watermark_with_what_had_come_of_each_channel(live: Rig, run: Path) -> None:
    async def watermarks(client: Client) -> list[tuple[int, ...]]:
        state, found = (await client.jsm().stream_info(bus.MARKET)).state, []
        reader, came = bus.Reader(client, bus.MARKET, 1), dict.fromkeys(CHANNELS, 0)
        while reader.next <= state.last_seq:
            for sequence, message in await reader.read():
                item = messages.read(message.subject, message.headers, message.data)
                if isinstance(item, messages.Frame):
                    came[item.channel] += len(item.records)
                if not isinstance(item, messages.Session):
                    found.append((sequence, item.watermark, *came.values()))
        await reader.close()
        return found

    told = np.array(live.ask(watermarks))
    clock = parquet(run, "clock")
    assert tuple(clock.column_names) == CLOCK_COLUMNS
    assert np.array_equal(np.array([column.to_numpy() for column in clock.columns]).T, told)


def test_signals_and_rows_are_those_of_the_stream(live: Rig, run: Path) -> None:
    said = live.said()
    signals = parquet(run, "signals")
    lines = {snap: line.encode() for snap, line in zip(*signals.select(["snap", "payload"]).to_pydict().values(), strict=True)}
    assert lines == dict(said.lines) != {}
    assert len(signals) == len(said.lines)
    for table in ROWS:
        if len(rows := said.rows[table.name]):
            held = parquet(run, f"rows/{table.name}").unify_dictionaries()
            for column in table.columns:
                if column.dtype != TEXT:
                    mine = np.concatenate([to_numpy(column, chunk) for chunk in held[column.name].chunks])
                    np.testing.assert_array_equal(mine, table.place(column, rows), f"{table.name}.{column.name}")


def test_what_was_killed_left_nothing_behind(live: Rig, run: Path) -> None:
    """Sequences of both streams without a hole or a repetition, no file that no manifest names, everything as it was written."""
    assert capture.verify(run) == []
    named = {name for stream in (bus.MARKET, bus.LEVELS) for facts in capture.batches(run, stream) for name in facts["files"]}
    there = {str(path.relative_to(run)) for path in run.rglob("*") if path.is_file()}
    assert named == {name for name in there if not name.startswith(("market/", "levels/"))}
    for stream in (bus.MARKET, bus.LEVELS):
        spans = [capture.span(path) for path in capture.manifests(run, stream)]
        assert [first for first, _ in spans] == [1, *(last + 1 for _, last in spans[:-1])]
        assert all(facts["lost"] == facts["dead"] == [] for facts in capture.batches(run, stream))


def test_beside_the_vendors_files_the_captured_ones_are_reconciled_and_serve_nothing(live: Rig, lake: Path) -> None:
    """The writer has handed the date over itself; again it says so, and that both hold the same records."""
    own = lake_at(live.lake)
    assert hand_over(own, DATE) == f"{DATE} was handed over before, by run {live.run()}"
    rows = {table.name: vendors.rows for table in BRONZE if (vendors := lake_at(lake).manifest(table, DATE))}
    assert reconcile(own, DATE) == {name: Reconciled(count, 0, 0, 0) for name, count in rows.items()}
    landing = Landing(own.root / "landing", Config())
    assert {file.origin for file in landing.scan() if not file.problem} == {"vendor", "capture"}
    intake = Intake(DATE, Lake(own.root, Config()), landing)
    assert [intake.stale(table) for table in BRONZE] == [[]] * len(BRONZE)


@pytest.fixture(scope="module")
def handed(live: Rig, tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """A lake whose landing holds nothing but what was handed over, with Bronze and Silver made from it."""
    root = tmp_path_factory.mktemp("handed")
    shutil.copytree(live.lake / "landing" / "capture", root / "landing" / "capture")
    shutil.copy(live.lake / "short.toml", root)
    lake = lake_at(root)
    made = ingest_date(Intake(DATE, lake, Landing(root / "landing", lake.config)))
    assert not [one for one in made.values() if isinstance(one, Exception)]
    make_silver(root, DATE)
    return lake


def test_bronze_and_silver_of_the_captured_date_are_those_of_the_vendors(handed: Lake, lake: Path) -> None:
    vendors = lake_at(lake)
    for table in (*BRONZE, *SILVER):
        mine, theirs = handed.manifest(table, DATE), vendors.manifest(table, DATE)
        assert mine is not None and theirs is not None, table.name
        assert (mine.rows, mine.content) == (theirs.rows, theirs.content), table.name
    assert handed.path(FUTURES_MBP10, DATE).read_bytes() == vendors.path(FUTURES_MBP10, DATE).read_bytes()
    book = handed.manifest(FUTURES_MBP10, DATE)
    assert book is not None and set(book.facts["coverage"].values()) == {"full (capture)"}
    assert book.facts["contract"] == vendors.manifest(FUTURES_MBP10, DATE).facts["contract"]  # type: ignore[union-attr]
    assert book.facts["lateness"] == {"records": 0, "watermarks": []}


def test_the_landing_sensor_sees_a_date_that_was_handed_over_and_the_assets_make_it(live: Rig, tmp_path: Path) -> None:
    shutil.copytree(live.lake / "landing" / "capture", tmp_path / "landing" / "capture")
    definitions = build(tmp_path)
    with dg.DagsterInstance.ephemeral() as instance:
        repository = definitions.get_repository_def()
        context = dg.build_sensor_context(instance=instance, repository_def=repository, resources=resources(tmp_path))
        [request] = repository.get_sensor_def("landing_sensor").evaluate_tick(context).run_requests or []
        assert request.partition_key == str(DATE)
        job = definitions.resolve_job_def("bronze_job")
        quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
        assert job.execute_in_process(quiet, instance, partition_key=str(DATE), raise_on_error=False).success
    lake = Lake(tmp_path, Config())
    for table in BRONZE:
        manifest = lake.manifest(table, DATE)
        assert manifest is not None and {file["origin"] for file in manifest.facts["files"]} == {"capture"}


def test_a_damaged_segment_is_told_with_its_sequences_and_not_handed_over(live: Rig, run: Path, tmp_path: Path) -> None:
    shutil.copytree(live.lake / "capture", tmp_path / "capture")
    there = tmp_path / "capture" / str(DATE) / run.name
    path = segments(there, "futures_mbp10")[1]
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)
    [wrong] = capture.verify(there)
    assert wrong.startswith(f"{path} (MARKET sequences ") and "expected xxh3" in wrong
    with pytest.raises(capture.CaptureError, match=path.name):
        hand_over(Lake(tmp_path, load()), DATE)
    assert not (tmp_path / "landing" / "capture" / str(DATE)).exists()
    capture.manifests(there, bus.MARKET)[1].unlink()
    assert any("no manifest of MARKET sequences after" in wrong for wrong in capture.verify(there))
    done = CliRunner().invoke(main, ["--data", str(tmp_path), "verify", str(DATE)], env={"SPYMASTER_DATA": ""})
    assert done.exit_code == 1 and "files are not what was written" in done.output


def test_the_commands_hand_over_and_verify(live: Rig, run: Path) -> None:
    words = ["--data", str(live.lake)]
    done = CliRunner().invoke(main, [*words, "hand-over", str(DATE)], env={"SPYMASTER_DATA": ""})
    assert done.exit_code == 0 and "was handed over before" in done.output and "alone, 0 in ours alone" in done.output
    done = CliRunner().invoke(main, [*words, "verify"], env={"SPYMASTER_DATA": ""})
    assert done.exit_code == 0 and "1 runs: sound" in done.output


def test_a_run_that_another_took_the_place_of_is_refused(live: Rig) -> None:
    with pytest.raises(Refused, match="was handed over by run"):
        hand_over(lake_at(live.lake), DATE, "2025-06-03.77")
    with pytest.raises(Refused, match="no run of it is captured"):
        hand_over(lake_at(live.lake), dt.date(2025, 6, 4))


# Records that come after their watermark


def hasty(said: list[Message]) -> list[Message]:
    """Watermarks ahead of what is still to come, open interest after the open, option trades a minute late."""
    opened = calendar(Config()).session(DATE).regular.start
    found = list(said)
    for minutes, ahead in ((2, 90), (9, 7), (20, 30), (41, 61)):
        due = opened + minutes * 60 * NS
        at = next(n for n, one in enumerate(found) if of(one, "futures_mbp10") and int(one.headers["End"]) > due)
        mark = int(found[at].headers["End"]) + ahead * NS
        found[at] = Message(found[at].subject, {**found[at].headers, "Watermark": str(mark)}, found[at].data)
    late = next(n for n in range(len(found) - 1, 0, -1) if of(found[n], "option_statistics"))
    after = next(n for n, one in enumerate(found) if int(one.headers.get("Watermark", 0)) > opened)
    found.insert(after, found.pop(late))
    trades = [n for n, one in enumerate(found) if of(one, "option_trades") and int(one.headers["End"]) > opened]
    found.insert(trades[11] - 1, found.pop(trades[10]))
    return found


def of(message: Message, channel: str) -> bool:
    return message.subject == CHANNELS[channel]


def test_a_date_with_late_records_is_made_into_what_live_said(lake: Path, tmp_path: Path) -> None:
    """Handed over, its Bronze keeps the watermarks, and Silver has the rows of live and not those of a date in good order."""
    shutil.copytree(lake, tmp_path / "lake")
    with rig(tmp_path / "lake", tmp_path / "live", {"": lake / "short.toml"}) as live:
        items = [item.message() for item in plan(lake_at(lake), DATE, 0).messages("2025-06-03.1")]
        publish(live, hasty(items))
        live.engine()
        live.start("writer", "writer", "--until-done")
        live.finish()
        told = live.said()
        behind = [one for one in live.status() if one["state"] == "done"][-1]["late"]
    shutil.rmtree(tmp_path / "lake" / "bronze")
    shutil.rmtree(tmp_path / "lake" / "silver")
    for vendors in ("futures", "options"):
        shutil.rmtree(tmp_path / "lake" / "landing" / vendors)
    handed = lake_at(tmp_path / "lake")
    ingest_date(Intake(DATE, handed, Landing(handed.root / "landing", handed.config)))
    make_silver(handed.root, DATE)
    found, counts = differences(handed, DATE, told)
    assert found == [] and min(counts.values()) > 0
    assert int(handed.rows(SNAPS, DATE)["late"][-1]) == behind > 0
    for table in (SNAPS, OPTION_FLOW, OPEN_INTEREST, SIGNALS):
        mine, theirs = handed.manifest(table, DATE), lake_at(lake).manifest(table, DATE)
        assert mine and theirs and mine.content != theirs.content, table.name
    for table in BRONZE:
        mine, theirs = handed.manifest(table, DATE), lake_at(lake).manifest(table, DATE)
        assert mine and theirs and mine.content == theirs.content, table.name
