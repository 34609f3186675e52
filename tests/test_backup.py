"""What is backed up, destroyed and copied back is there again: the lake by its content hashes, and what Dagster knows of it.

The slow test does it with Dagster's history in Postgres, by the commands that stand in docs/operate.md.
"""

import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path

import dagster as dg
import numpy as np
import pytest
from click.testing import CliRunner, Result

from spymaster_assets.backup import back_up
from spymaster_assets.cli import main
from spymaster_assets.config import Config
from spymaster_assets.daily import EVERY
from spymaster_assets.doctor import examine_lake
from spymaster_assets.fingerprint import Fingerprint
from spymaster_assets.lake import Lake
from spymaster_assets.models.artifacts import GEOMETRY, Artifacts
from spymaster_assets.tables import TOUCHES
from spymaster_live.keys import make
from tests.build import DATE, SOUND, lake_at, landing_of_a_date
from tests.composed import Project, postgres_folder

BOOK = ["bronze", "futures_mbp10"]


def spymaster(root: Path, *words: str) -> Result:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPYMASTER_DATA", str(root))
        patch.setenv("DAGSTER_HOME", str(root / "dagster"))
        done = CliRunner().invoke(main, ["--data", str(root), *words], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done


def contents(lake: Lake) -> dict[str, str]:
    """Content hash of every partition of the date; AssertionError if one is not what its manifest says."""
    found = {table.name: manifest.content for table in EVERY if (manifest := lake.manifest(table, DATE))}
    assert [trouble for table in EVERY if (trouble := lake.verify(table, DATE))] == []
    return found


def known(home: Path) -> tuple[set[str], int]:
    """Dates of which Dagster knows the book, and the runs that it knows."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DAGSTER_HOME", str(home))
        instance = dg.DagsterInstance.get()
        return instance.get_materialized_partitions(dg.AssetKey(BOOK)), len(instance.get_run_ids())


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A date that Dagster made, in a SQLite instance, and a champion."""
    root = tmp_path_factory.mktemp("made") / "data"
    landing_of_a_date(root, *SOUND)
    spymaster(root, "day", str(DATE))
    Artifacts(lake_at(root)).crown({"name": GEOMETRY, "since": None, "why": "a test", "verdicts": []})
    return root


def test_what_was_destroyed_is_there_again(made: Path, tmp_path: Path) -> None:
    root, copy = tmp_path / "data", tmp_path / "copy"
    shutil.copytree(made, root)
    before, knew = contents(lake_at(root)), known(root / "dagster")
    assert knew == ({str(DATE)}, 1) and len(before) == len(EVERY)
    told = spymaster(root, "backup", str(copy), "--landing").output
    assert told.startswith(f"{len(EVERY)} partitions, ")
    shutil.rmtree(root)
    subprocess.run(["cp", "-a", f"{copy}/.", str(root)], check=True)
    assert contents(lake_at(root)) == before and known(root / "dagster") == knew
    assert Artifacts(lake_at(root)).champion()["why"] == "a test"
    assert spymaster(root, "day", str(DATE)).output.count("unchanged") == len(EVERY)
    assert known(root / "dagster") == ({str(DATE)}, 2)


def test_a_copy_without_landing_stands_for_itself(made: Path, tmp_path: Path) -> None:
    """And the second time nothing is copied but what says which files count, and Dagster's databases."""
    copy, lake = tmp_path / "copy", lake_at(made)
    first = back_up(lake, made / "dagster", copy)
    again = back_up(lake, made / "dagster", copy)
    assert not (copy / "landing").exists() and first.history
    assert (again.partitions, again.files) == (first.partitions, first.files) and again.bytes < first.bytes
    data = [path.stat().st_ino for path in copy.rglob("*.parquet")]
    back_up(lake, made / "dagster", copy)
    assert [path.stat().st_ino for path in copy.rglob("*.parquet")] == data
    assert [one.message for one in examine_lake(lake_at(copy)) if not one.well and "partitions" in one.message] == []
    assert contents(lake_at(copy)) == contents(lake)


def test_where_a_copy_may_not_go(made: Path, tmp_path: Path) -> None:
    for folder in (made, made / "copy", made.parent):
        with pytest.raises(ValueError, match="expected a folder outside of"):
            back_up(lake_at(made), made / "dagster", folder)


def test_what_is_made_anew_meanwhile_is_copied_whole(tmp_path: Path) -> None:
    """A writer replaces a partition as fast as it can: each copy is one of those that were published."""
    lake, over = Lake(tmp_path / "lake", Config()), threading.Event()

    def publish(number: int) -> str:
        rows = np.zeros(2_000 + number, TOUCHES.dtype)
        text = {column.name: np.array(["x"] * len(rows), object) for column in TOUCHES.columns if column.dtype == "text"}
        with lake.write(TOUCHES, DATE, Fingerprint({"number": str(number)}, "", "", TOUCHES.digest)) as writer:
            writer.append_rows(rows, text)
            return writer.publish({}).content

    allowed = {publish(number) for number in range(3)}

    def again() -> None:
        for number in cycle(range(3)):
            publish(number)
            if over.is_set():
                return

    writing = threading.Thread(target=again)
    writing.start()
    try:
        seen = set()
        for _ in range(25):
            back_up(lake, tmp_path / "none", tmp_path / "copy")
            copy = Lake(tmp_path / "copy", Config())
            assert copy.verify(TOUCHES, DATE) is None and copy.leftovers(TOUCHES, DATE) == []
            manifest = copy.manifest(TOUCHES, DATE)
            assert manifest is not None
            seen.add(manifest.content)
    finally:
        over.set()
        writing.join()
    assert seen <= allowed and len(seen) > 1


def test_a_database_that_is_being_written_to_is_copied_as_of_one_moment(tmp_path: Path) -> None:
    """Two tables that always agree, written to without end: in every copy they agree."""
    import sqlite3

    home, over = tmp_path / "dagster", threading.Event()
    (home / "history").mkdir(parents=True)
    path = home / "history" / "runs.db"
    with sqlite3.connect(path) as made:
        made.execute("pragma journal_mode = wal")
        made.execute("create table one (n)")
        made.execute("create table other (n)")

    def write() -> None:
        with sqlite3.connect(path, timeout=60) as connection:
            number = 0
            while not over.is_set():
                number += 1
                connection.execute("insert into one values (?)", (number,))
                connection.execute("insert into other values (?)", (number,))
                connection.commit()

    (tmp_path / "lake").mkdir()
    writing = threading.Thread(target=write)
    writing.start()
    counts = []
    try:
        for _ in range(10):
            back_up(Lake(tmp_path / "lake", Config()), home, tmp_path / "copy")
            with sqlite3.connect(tmp_path / "copy" / "dagster" / "history" / "runs.db") as copy:
                one, other = (copy.execute(f"select count(*) from {table}").fetchone()[0] for table in ("one", "other"))
            assert one == other
            counts.append(one)
    finally:
        over.set()
        writing.join()
    assert counts == sorted(counts) and counts[-1] > counts[0]


@pytest.fixture
def project() -> Iterator[Project]:
    if postgres_folder() is None:
        pytest.skip("no Postgres: apt-get install postgresql")
    folder = Path(tempfile.mkdtemp(prefix="backup"))
    made = Project(folder, folder / "keys")
    try:
        make(made.keys)
        yield made
    finally:
        made.stop()
        shutil.rmtree(folder)


def served(project: Project) -> None:
    """Postgres runs, and the service `code` may be asked."""
    project.start("postgres")
    project.healthy("postgres")
    project.mount("code")


def code(project: Project, *words: str) -> str:
    done = project.run("code", *words)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


ASKED = """
import dagster as dg
instance = dg.DagsterInstance.get()
print(type(instance.event_log_storage).__name__, *instance.get_materialized_partitions(dg.AssetKey(["bronze", "futures_mbp10"])))
"""


@pytest.mark.slow
def test_with_dagsters_history_in_postgres(project: Project) -> None:
    lake, copy = project.volume("lake"), project.folder / "copy"
    landing_of_a_date(lake, *SOUND)
    served(project)
    assert "Dagster run" in code(project, "spymaster", "day", str(DATE))
    before = contents(lake_at(lake))
    asked = code(project, "python", "-c", ASKED)
    assert "Postgres" in asked and str(DATE) in asked
    with_password = {**os.environ, "PGPASSFILE": str(project.keys / "postgres.pgpass")}
    programs = postgres_folder()
    assert programs is not None

    def database(port: str) -> list[str]:  # in a container the server's socket stands for host and password
        return ["-h", "127.0.0.1", "-p", port, "-U", "dagster", "-d", "dagster"]

    copy.mkdir()
    dump = subprocess.run(
        [programs / "pg_dump", "-Fc", *database(project.ports["5432"])], env=with_password, check=True, capture_output=True
    )
    told = code(project, "spymaster", "backup", str(copy), "--landing")
    assert "Dagster's history is not in it" in told

    project.stop()
    project.processes.clear()
    project._met.clear()
    shutil.rmtree(project.folder / "volumes")
    served(project)
    subprocess.run(
        [programs / "pg_restore", "--clean", "--if-exists", *database(project.ports["5432"])],
        env=with_password, check=True, input=dump.stdout,
    )  # fmt: skip
    subprocess.run(["cp", "-a", f"{copy}/.", str(project.volume("lake"))], check=True)

    assert code(project, "python", "-c", ASKED) == asked
    assert contents(lake_at(lake)) == before and {*before} == {table.name for table in EVERY}
    assert code(project, "spymaster", "day", str(DATE)).count("unchanged") == len(EVERY)
