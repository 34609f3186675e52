"""The lake on object storage, against a SeaweedFS server: what is written reads back, whoever is killed, races or looks on.

A kill is SIGKILL of a real process, right before or after one of its requests, or in the middle of an upload's bytes.
One file, because its server takes seconds to start.
"""

import contextlib
import datetime as dt
import multiprocessing
import os
import secrets
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from spymaster_assets.catalog import connect
from spymaster_assets.cli import main
from spymaster_assets.config import Bronze, Config, Store, data_root, data_url, name_data
from spymaster_assets.fingerprint import Fingerprint
from spymaster_assets.ingest import Ingested, Intake, ingest_date
from spymaster_assets.lake import MANIFEST, Lake, LakeError, opened
from spymaster_assets.landing import landing_of
from spymaster_assets.lateness import CLOCK
from spymaster_assets.object_store import Bucket, StoreError
from spymaster_assets.quality import examine
from spymaster_assets.sharing import share
from spymaster_assets.tables import FUTURES_TRADES
from tests import build
from tests.build import DATE, EVE
from tests.kinds import ALL_KINDS, NEW, OLD, OTHER, PRINT, columns_of, content, publish, read, with_
from tests.s3_server import BUCKET, SECRET, S3Server, reached, serving

ROW = NEW[0]
SMALL = Config(bronze=Bronze(row_group=16), store=Store(claim_seconds=3))
CHECKOUT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with serving(tmp_path_factory.mktemp("server")) as found, reached(found):
        yield found


@pytest.fixture
def url(server: S3Server) -> str:
    """An empty prefix."""
    return f"s3://{BUCKET}/{secrets.token_hex(4)}"


@pytest.fixture
def lake(url: str, tmp_path: Path) -> Lake:
    return Lake(tmp_path / "machine", SMALL, url)


def other_machine(lake: Lake, name: str = "other") -> Lake:
    """The same lake as another machine sees it: with a folder of its own."""
    return Lake(lake.root.with_name(name), lake.config, lake.url)


def bucket(lake: Lake) -> Bucket:
    assert isinstance(lake.store, Bucket)
    return lake.store


def names(lake: Lake) -> list[str]:
    return sorted(lake.store.names(lake.key(ALL_KINDS, DATE)))


# ---------------------------------------------------------------------------------------------------------- as on a disk


def test_what_is_written_reads_back_on_another_machine_with_the_hash_that_it_has_on_a_disk(lake: Lake, tmp_path: Path) -> None:
    written, disk = publish(lake, NEW, [7]), publish(Lake(tmp_path / "disk", SMALL), NEW, [7])
    assert written.content == disk.content == content(NEW)
    assert {**vars(written), "file": ""} == {**vars(disk), "file": ""}
    other = other_machine(lake)
    assert other.manifest(ALL_KINDS, DATE) == written == other.current(ALL_KINDS, DATE, PRINT)
    assert read(other) == NEW
    assert other.dates(ALL_KINDS) == [DATE]
    assert (other.verify(ALL_KINDS, DATE, fresh=True), other.leftovers(ALL_KINDS, DATE)) == (None, [])
    assert names(lake) == sorted([MANIFEST, written.file])


def test_nothing_of_the_lake_is_on_the_disk_but_copies_and_whose_it_is(lake: Lake) -> None:
    publish(lake, NEW)
    assert {path.relative_to(lake.root).parts[0] for path in lake.root.rglob("*")} == {"cache", "lake.json"}
    shutil.rmtree(lake.root)
    assert read(lake) == NEW


def test_what_is_not_there_is_told(lake: Lake) -> None:
    assert (lake.manifest(ALL_KINDS, DATE), lake.verify(ALL_KINDS, DATE), lake.dates(ALL_KINDS)) == (None, "no manifest", [])
    with pytest.raises(LakeError, match=f"{BUCKET}/.*/date={DATE}: expected a published partition of kinds"):
        lake.arrays(ALL_KINDS, DATE)
    publish(lake, OLD)
    bucket(lake)._delete(f"{lake.key(ALL_KINDS, DATE)}/{names(lake)[0]}")
    assert lake.current(ALL_KINDS, DATE, PRINT) is None
    assert "no such object" in (lake.verify(ALL_KINDS, DATE, fresh=True) or "")
    lake.store.write(f"{lake.key(ALL_KINDS, DATE)}/{MANIFEST}", b"{")
    with pytest.raises(LakeError, match=f"{MANIFEST}: expected a manifest"):
        lake.manifest(ALL_KINDS, DATE)


def test_a_changed_object_is_caught_by_who_reads_it_anew(lake: Lake, server: S3Server) -> None:
    written = publish(lake, NEW)
    key = f"{lake.url.removeprefix(f's3://{BUCKET}/')}/{lake.key(ALL_KINDS, DATE)}/{written.file}"
    raw = server.client.get_object(Bucket=BUCKET, Key=key)["Body"].read()
    server.client.put_object(Bucket=BUCKET, Key=key, Body=raw[:-20] + bytes(20))
    assert lake.verify(ALL_KINDS, DATE, fresh=True) is not None


def test_a_writer_that_does_not_publish_leaves_what_was_there(lake: Lake) -> None:
    publish(lake, OLD)
    before = names(lake)
    with lake.write(ALL_KINDS, DATE, OTHER) as writer:
        writer.append(*columns_of(NEW))
    with pytest.raises(ZeroDivisionError), lake.write(ALL_KINDS, DATE, OTHER) as writer:
        writer.append(*columns_of(NEW))
        raise ZeroDivisionError
    assert (read(lake), names(lake)) == (OLD, before)


def test_a_new_partition_replaces_the_old_file_everywhere(lake: Lake) -> None:
    publish(lake, OLD)
    other = other_machine(lake)
    assert read(other) == OLD
    publish(lake, NEW, fingerprint=OTHER)
    assert (read(other), len(names(lake))) == (NEW, 2)
    assert len(list((lake.root / "cache").rglob("*.parquet"))) == 1


def test_a_reader_overtaken_by_a_writer_sees_the_old_partition_or_the_new(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    """The writer publishes, and sweeps, between the reader's look at the manifest and its look at the file."""
    publish(lake, OLD)
    reader = other_machine(lake)
    opening, waiting = Bucket.file, [lambda: publish(lake, NEW, fingerprint=OTHER)]

    def overtaken(store: Bucket, *args: Any) -> Path:
        if waiting:
            waiting.pop()()
        return opening(store, *args)

    monkeypatch.setattr(Bucket, "file", overtaken)
    assert len(reader.arrays(ALL_KINDS, DATE)["number"]) == len(NEW)


def test_copies_that_take_too_much_go_the_longest_unused_first(lake: Lake) -> None:
    tight = Lake(lake.root, lake.config.model_copy(update={"store": Store(cache_bytes=1)}), lake.url)
    paths = {date: publish(lake, OLD, date=date) and lake.path(ALL_KINDS, date) for date in (EVE, DATE)}
    left = lake.root / "cache" / ".making-killed" / ".tmp"
    left.parent.mkdir()
    left.write_bytes(b"")
    for path in (paths[EVE], left):
        os.utime(path, (1, 1))
    publish(tight, OLD, date=DATE + dt.timedelta(1))
    assert (paths[EVE].exists(), paths[DATE].exists(), left.parent.exists()) == (False, True, False)
    assert len(lake.arrays(ALL_KINDS, EVE)["number"]) == len(OLD)


# ----------------------------------------------------------------------------------------------------------------- kills

WRITER = """
import os, signal, sys
from pathlib import Path
from spymaster_assets.lake import Lake
from spymaster_assets.object_store import Bucket
from tests.kinds import NEW, OTHER, publish
from tests.test_object_store import SMALL

asking = Bucket._ask

def kill():
    os.kill(os.getpid(), signal.SIGKILL)

class Half:  # a file whose reader dies half way through
    def __init__(self, file):
        self.file, self.size = file, os.fstat(file.fileno()).st_size
    def read(self, size=-1):
        if self.file.tell() >= self.size // 2:
            kill()
        return self.file.read(min(size, self.size // 2) if size > 0 else self.size // 2)
    def __len__(self):
        return self.size
    def __getattr__(self, name):
        return getattr(self.file, name)

def dying(step):
    count = iter(range(step, -1, -1))
    def ask(store, *of, **more):
        if next(count, -1) == 0:
            kill()
        return asking(store, *of, **more)
    Bucket._ask = ask

def half(request):
    request.body = Half(request.body)

for line in sys.stdin:
    root, url, step = line.split()
    if (process := os.fork()) == 0:
        lake = Lake(Path(root), SMALL, url)
        lake.store.prove()
        if step == "half":
            lake.store._client.meta.events.register("before-send.s3.PutObject", lambda request, **_: half(request))
        else:
            dying(int(step))
        publish(lake, NEW, fingerprint=OTHER)
        os._exit(0)
    _, status = os.waitpid(process, 0)
    print(os.waitstatus_to_exitcode(status), flush=True)
"""


@pytest.fixture(scope="module")
def writer(server: S3Server) -> Iterator[Callable[[Lake, object], int]]:
    """Writes NEW in a process that is killed before a request, or half way through an upload; its exit code."""
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", WRITER], cwd=CHECKOUT, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdin is not None and process.stdout is not None

        def write(lake: Lake, step: object) -> int:
            assert process.stdin is not None and process.stdout is not None
            process.stdin.write(f"{lake.root} {lake.url} {step}\n")
            process.stdin.flush()
            return int(process.stdout.readline())

        try:
            yield write
        finally:
            process.kill()


def test_a_kill_at_any_request_leaves_the_old_partition_or_the_new(writer: Callable[[Lake, object], int], tmp_path: Path) -> None:
    seen, littered, code = [], [], -signal.SIGKILL
    while code == -signal.SIGKILL:
        step = len(seen)
        lake = Lake(tmp_path / f"step{step}", SMALL, f"s3://{BUCKET}/{secrets.token_hex(4)}")
        publish(lake, OLD)
        code = writer(other_machine(lake, f"killed{step}"), step)
        there = lake.manifest(ALL_KINDS, DATE)
        assert there is not None and lake.current(ALL_KINDS, DATE, there.fingerprint) == there
        assert lake.verify(ALL_KINDS, DATE, fresh=True) is None
        seen.append(read(lake))
        littered.append(bool(lake.leftovers(ALL_KINDS, DATE)))
        publish(lake, NEW, fingerprint=OTHER)
        assert (read(lake), lake.leftovers(ALL_KINDS, DATE)) == (NEW, [])
    assert code == 0
    assert seen == [OLD, OLD, OLD, OLD, NEW, NEW]  # killed before: looks at format and manifest, data, manifest, removal of the old
    assert littered == [False, False, False, True, True, False]


def test_a_kill_in_the_middle_of_an_upload_leaves_nothing(lake: Lake, writer: Callable[[Lake, object], int]) -> None:
    publish(lake, OLD)
    before = names(lake)
    assert writer(other_machine(lake), "half") == -signal.SIGKILL
    assert (names(lake), read(lake)) == (before, OLD)


def _write_often(root: Path, url: str, number: int, start: Any) -> None:
    lake = Lake(root / str(number), SMALL, url)
    start.wait(60)
    for turn in range(8):
        rows = [with_(ROW, number=number, step=turn)] * (40 + number)
        publish(lake, rows, [13], fingerprint=Fingerprint({"writer": f"{number}-{turn}"}, "", "", ""))


def test_racing_writers_all_finish_and_the_partition_is_whole_at_every_moment(lake: Lake) -> None:
    context = multiprocessing.get_context("spawn")
    start = context.Barrier(3)
    writers = [context.Process(target=_write_often, args=(lake.root, lake.url, number, start)) for number in (1, 2)]
    for writer in writers:
        writer.start()
    start.wait(60)
    seen = set()
    while any(writer.is_alive() for writer in writers):
        if lake.manifest(ALL_KINDS, DATE):
            found = lake.arrays(ALL_KINDS, DATE, ["number", "step"])
            [version] = {*zip(found["number"].tolist(), found["step"].tolist(), strict=True)}
            assert len(found["step"]) == 40 + version[0]
            seen.add(version)
    assert [writer.exitcode for writer in writers] == [0, 0]
    assert {number for number, _ in seen} == {1, 2} and len(seen) > 2
    assert (lake.verify(ALL_KINDS, DATE, fresh=True), lake.leftovers(ALL_KINDS, DATE)) == (None, [])
    rows = read(lake)
    assert rows == [with_(ROW, number=rows[0][2], step=7)] * (40 + rows[0][2])


def test_a_writer_overtaken_between_its_data_and_its_manifest_begins_again(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other one publishes, and sweeps what it finds, which is our data: no manifest may name that."""
    publish(lake, OLD)
    putting, waiting, swept = Bucket.put, [lambda: publish(other_machine(lake), OLD)], []

    def overtaken(store: Bucket, key: str, path: Path) -> None:
        putting(store, key, path)
        if waiting:
            waiting.pop()()
            swept.append(store.stat(key) is None)

    monkeypatch.setattr(Bucket, "put", overtaken)
    written = publish(lake, NEW, fingerprint=OTHER)
    assert swept == [True]
    assert names(lake) == sorted([MANIFEST, written.file])
    assert (lake.verify(ALL_KINDS, DATE, fresh=True), read(lake)) == (None, NEW)


def test_an_answer_that_was_lost_is_not_taken_for_another_writer(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    """The manifest was replaced, but its writer did not hear so and asked again."""
    asking, twice = Bucket._ask, [True]

    def ask(store: Bucket, what: str, key: str, **more: Any) -> Any:
        if key.endswith(MANIFEST) and what == "put_object" and twice:
            twice.pop()
            asking(store, what, key, **more)
        return asking(store, what, key, **more)

    lake.store.prove()
    monkeypatch.setattr(Bucket, "_ask", ask)
    written = publish(lake, NEW)
    assert twice == [] and names(lake) == sorted([MANIFEST, written.file])


def test_a_server_that_takes_no_notice_of_conditions_is_refused(lake: Lake) -> None:
    """The conditions never reach this server."""

    def forget(request: Any, **_: Any) -> None:
        for name in ("If-Match", "If-None-Match"):
            del request.headers[name]

    bucket(lake)._client.meta.events.register("before-sign.s3.PutObject", forget)
    with pytest.raises(StoreError, match="takes no notice of If-Match and If-None-Match"):
        publish(lake, NEW)
    assert lake.dates(ALL_KINDS) == []


# ---------------------------------------------------------------------------------------------------------------- claims


def test_a_claim_is_one_machines_until_it_ends(lake: Lake) -> None:
    other = other_machine(lake)
    with lake.store.claim("trades/2025-06-03") as ours, other.store.claim("trades/2025-06-03") as theirs:
        assert (ours, theirs) == (True, False)
        with other.store.claim("trades/2025-06-04") as another:
            assert another
    with other.store.claim("trades/2025-06-03") as theirs, lake.store.claim("trades/2025-06-03") as ours:
        assert (ours, theirs) == (False, True)
    with Lake(lake.root, SMALL).store.claim("trades/2025-06-03") as on_a_disk:
        assert on_a_disk


def test_a_claim_is_renewed_while_it_lasts_and_free_some_time_after_a_kill(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    code = f"""
import os, signal, sys, time
from pathlib import Path
from spymaster_assets.lake import Lake
from tests.test_object_store import SMALL
with Lake(Path({str(lake.root)!r}), SMALL, {lake.url!r}).store.claim("work") as ours:
    print(ours, flush=True)
    time.sleep(600)
"""
    other = other_machine(lake)

    def free() -> bool:
        with other.store.claim("work") as ours:
            return ours

    with subprocess.Popen([sys.executable, "-c", code], cwd=CHECKOUT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "True\n"
        until = time.monotonic() + 2 * SMALL.store.claim_seconds
        while time.monotonic() < until:
            assert not free()
            time.sleep(0.2)
        process.kill()
    until = time.monotonic() + 30
    while not free():
        assert time.monotonic() < until
        time.sleep(0.2)


def test_of_many_that_ask_at_once_one_is_given_a_claim(lake: Lake) -> None:
    stores = [other_machine(lake, f"m{number}").store for number in range(8)]
    start, ended, given = threading.Barrier(8), threading.Barrier(8), []

    def ask(store: Any) -> None:
        start.wait()
        with store.claim("work") as ours:
            given.append(ours)
            ended.wait()

    threads = [threading.Thread(target=ask, args=(store,)) for store in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(given) == [False] * 7 + [True]


# --------------------------------------------------------------------------------------------------- landing, and a date


@pytest.fixture
def machines(url: str, tmp_path: Path) -> tuple[Lake, Lake]:
    """A machine whose landing has a small date and is shared, and one that has nothing."""
    build.landing_of_a_date(tmp_path / "first")
    first = Lake(tmp_path / "first", build.CONFIG, url)
    return first, other_machine(first, "second")


def made(lake: Lake) -> dict[str, str]:
    """Bronze of the date, as this machine's landing and the shared one give it."""
    results = ingest_date(Intake(DATE, lake, landing_of(lake)))
    return {name: one.manifest.content for name, one in results.items() if isinstance(one, Ingested)}


def test_a_machine_with_nothing_makes_the_date_from_what_another_shared(machines: tuple[Lake, Lake], tmp_path: Path) -> None:
    first, second = machines
    assert landing_of(second).scan() == []
    files, size = share(first)
    assert (files, size) == (4, sum(path.stat().st_size for path in (first.root / "landing").iterdir()))
    assert share(first) == (0, 0)
    assert landing_of(second).scan() == landing_of(first).scan() == landing_of(Lake(first.root, build.CONFIG)).scan()
    found = made(second)
    assert found == made(Lake(first.root, build.CONFIG)) and len(found) >= 2
    assert not (second.root / "landing").exists()
    again = ingest_date(Intake(DATE, first, landing_of(first)))
    assert all(one.unchanged for one in again.values() if isinstance(one, Ingested))
    judged = examine(second, FUTURES_TRADES, DATE)
    assert judged["schema"].passed and judged["order"].passed
    shutil.rmtree(second.root)  # what was found is kept beside the partition
    assert examine(first, FUTURES_TRADES, DATE, connection=None) == judged


def test_the_clock_beside_a_captured_file_is_shared_with_it(machines: tuple[Lake, Lake]) -> None:
    first, second = machines
    folder = first.root / "landing" / "capture" / str(DATE)
    build.write(folder, "futures_trades.dbn.zst", "trades", build.trades(build.times(5)), EVE)
    (folder / CLOCK).write_bytes(b"ticks")
    share(first)
    landing = landing_of(second)
    [captured] = [file for file in landing.scan() if file.origin == "capture"]
    found = landing.beside(captured, CLOCK)
    assert found is not None and found.read_bytes() == b"ticks"
    assert landing.beside(captured, "nothing") is None


def test_a_file_that_was_written_again_is_another_file(machines: tuple[Lake, Lake]) -> None:
    first, second = machines
    share(first)
    path = first.root / "landing" / f"trades-{DATE}.dbn.zst"
    before = {file.path: landing_of(second).path(file) for file in landing_of(second).scan()}[path.name]
    build.rewrite(path, lambda rows: rows[:-1])
    assert share(first)[0] == 1
    after = {file.path: landing_of(second).path(file) for file in landing_of(second).scan()}[path.name]
    assert before != after and after.read_bytes() == path.read_bytes()


def test_two_machines_that_share_at_once_lose_nothing_of_each_other(url: str, tmp_path: Path) -> None:
    lakes = []
    for number, symbol in enumerate(("ESM5", "ESU5")):
        lakes.append(Lake(tmp_path / str(number), build.CONFIG, url))
        build.write(
            lakes[-1].root / "landing", f"{symbol}.dbn.zst", "trades", build.trades(build.times(5), symbol), DATE, symbols=(symbol,)
        )
    threads = [threading.Thread(target=share, args=(lake,)) for lake in lakes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert [file.path for file in landing_of(Lake(tmp_path / "third", build.CONFIG, url)).scan()] == [
        "ESM5.dbn.zst",
        "ESU5.dbn.zst",
    ]


def test_sql_reads_what_is_published(machines: tuple[Lake, Lake]) -> None:
    first, second = machines
    share(first)
    made(first)
    on_disk = Lake(first.root, build.CONFIG)
    made(on_disk)
    query = """select date, count(*) as rows, sum(size) as lots, min(ts_event) as first, any_value(symbol) as symbol
               from bronze_futures_trades group by date order by date"""
    [row] = connect(second, query=query).execute(query).fetchall()
    assert [row] == connect(on_disk, query=query).execute(query).fetchall()
    assert row[0] == DATE and row[1] == 100
    assert connect(second).execute("show tables").fetchall() == connect(on_disk).execute("show tables").fetchall()
    assert not (second.root / "cache" / "bronze").exists()


# ----------------------------------------------------------------------------------------------------- commands, trouble


@contextlib.contextmanager
def at(lake: Lake) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPYMASTER_DATA", "")
        patch.setenv("SPYMASTER_LOCAL", str(lake.root))
        patch.setenv("DAGSTER_HOME", str(lake.root / "dagster"))
        yield


def test_the_commands_take_a_bucket_for_the_data_folder(machines: tuple[Lake, Lake]) -> None:
    first, second = machines
    with at(first):
        said = CliRunner().invoke(main, ["--data", first.url, "share"])
        assert said.exit_code == 0 and said.output.startswith("4 files, ")
        assert (data_url(), data_root()) == (first.url, first.root) and opened(build.CONFIG) == first
    made(first)
    with at(second):
        said = CliRunner().invoke(main, ["--data", second.url, "status", "--tables"])
        assert said.exit_code == 0 and str(DATE) in said.output
        assert f"bronze   {first.store.size('bronze') / 1e6:>12,.1f} MB" in said.output
        said = CliRunner().invoke(main, ["--data", second.url, "sql", "--csv", "select count(*) as n from bronze_futures_mbp10"])
        assert said.output.splitlines() == ["n", "500"]
        said = CliRunner().invoke(main, ["--data", second.url, "doctor"])
        assert f"ok       {second.url} can be written to, and puts there depend on what is there" in said.output
        assert "landing: 4 DBN files, 4 used" in said.output and "of 6 partitions are what their manifests say" in said.output


@pytest.mark.parametrize("named", ["s3://", "s3:///prefix", "s3://bucket//prefix"])
def test_a_name_that_is_no_bucket_is_refused(monkeypatch: pytest.MonkeyPatch, named: str) -> None:
    monkeypatch.setenv("SPYMASTER_DATA", "")
    with pytest.raises(ValueError, match="expected s3://BUCKET or s3://BUCKET/PREFIX"):
        name_data(named)


def test_a_store_that_does_not_let_us_in_is_told_without_the_key(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", f"not-{SECRET}")
    refused = other_machine(lake, "refused")
    with pytest.raises(StoreError) as told:
        publish(refused, OLD)
    assert SECRET not in str(told.value) and BUCKET in str(told.value)


def test_a_store_that_is_away_is_told(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    away = Lake(lake.root, Config(store=Store(endpoint="http://127.0.0.1:9")), lake.url)
    with pytest.raises(StoreError, match="127\\.0\\.0\\.1:9"):
        away.manifest(ALL_KINDS, DATE)


def test_a_bucket_that_is_not_there_is_told(server: S3Server, tmp_path: Path) -> None:
    with pytest.raises(StoreError):
        publish(Lake(tmp_path, SMALL, "s3://nobodys/lake"), OLD)
