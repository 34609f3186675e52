"""SQL over the lake: what the manifests name and nothing else, in memory, in the published file, and by `spymaster sql`."""

import csv
import datetime as dt
import io
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest
from click.testing import CliRunner, Result

from spymaster_assets import dbn
from spymaster_assets.catalog import FILE, connect, publish
from spymaster_assets.cli import main
from spymaster_assets.config import Config
from spymaster_assets.fingerprint import Fingerprint
from spymaster_assets.lake import MANIFEST, Lake
from spymaster_assets.layout import FORMAT_FILE
from spymaster_assets.schema import Table
from spymaster_assets.store import temporary_of
from spymaster_assets.tables import DEFINITIONS, FUTURES_TRADES
from tests.build import DATE, EVE, times, trades

LATER = DATE + dt.timedelta(days=1)
COUNTS = "select date, count(*) from bronze_futures_trades group by all order by all"


def put(lake: Lake, date: dt.date, count: int, key: str = "1", table: Table = FUTURES_TRADES) -> Path:
    """Publish `count` trades as a date; the file."""
    rows = dbn.columns(trades(times(count)), [name for name in table.names if name != "symbol"])
    with lake.write(table, date, Fingerprint({"file": key}, "", "", "")) as writer:
        writer.append({**rows, **({"symbol": pa.array(["ESM5"] * count)} if "symbol" in table.names else {})})
        writer.publish({})
    return lake.path(table, date)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake", Config())


def counts(connection: duckdb.DuckDBPyConnection) -> list[tuple[dt.date, int]]:
    return connection.execute(COUNTS).fetchall()


def opened(lake: Lake) -> duckdb.DuckDBPyConnection:
    """The published file, as any SQL tool opens it."""
    return duckdb.connect(str(lake.root / FILE), read_only=True)


# What a view shows


def test_a_file_that_no_manifest_names_is_not_read(lake: Lake) -> None:
    file = put(lake, DATE, 3)
    (file.parent / "stranger.parquet").write_bytes(file.read_bytes())
    put(lake, EVE, 2)
    (lake.folder(FUTURES_TRADES, EVE) / MANIFEST).unlink()  # as before its writer came to publish
    assert counts(connect(lake)) == [(DATE, 3)]


def test_a_view_shows_what_is_published_at_the_moment_of_the_query(lake: Lake) -> None:
    put(lake, DATE, 3)
    connection = connect(lake)
    assert counts(connection) == [(DATE, 3)]
    put(lake, DATE, 5, key="2")
    assert counts(connection) == [(DATE, 5)]
    put(lake, EVE, 1)
    assert counts(connection) == [(EVE, 1), (DATE, 5)]


def test_what_a_killed_writer_left_is_not_read(lake: Lake) -> None:
    """Its temporary file, and its complete file beside the manifest of the one before."""
    file = put(lake, DATE, 3)
    old = (file.read_bytes(), (file.parent / MANIFEST).read_bytes())
    put(lake, DATE, 5, key="2")
    file.write_bytes(old[0])
    (file.parent / MANIFEST).write_bytes(old[1])
    (file.parent / ".0123456789abcdef.tmp").write_bytes(b"PAR1 not complete")
    assert counts(connect(lake)) == [(DATE, 3)]


def test_the_date_is_the_last_column_and_a_date(lake: Lake) -> None:
    put(lake, DATE, 1)
    described = connect(lake).execute("describe bronze_futures_trades").fetchall()
    assert [row[0] for row in described] == [*FUTURES_TRADES.names, "date"]
    assert described[-1][1] == "DATE"
    assert connect(lake).execute(f"select count(*) from bronze_futures_trades where date > '{EVE}'").fetchone() == (1,)


def test_a_partition_of_an_older_schema_gives_nulls(lake: Lake) -> None:
    older = tuple(column for column in FUTURES_TRADES.columns if column.name not in ("symbol", "ts_in_delta"))
    put(lake, EVE, 2, table=Table("futures_trades", "bronze", "arrival", "as it was", older))
    put(lake, DATE, 3)
    for connection in (connect(lake), duckdb.connect(str(publish(lake)), read_only=True)):
        found = connection.execute(
            "select date, count(*), count(symbol), count(ts_in_delta), sum(size) from bronze_futures_trades group by 1 order by 1"
        ).fetchall()
        assert found == [(EVE, 2, 0, 0, 4), (DATE, 3, 3, 3, 6)]


def test_a_table_without_partitions_has_no_view(lake: Lake) -> None:
    put(lake, DATE, 1)
    assert connect(lake).execute("select view_name from duckdb_views() where not internal").fetchall() == [
        ("bronze_futures_trades",)
    ]
    assert connect(Lake(lake.root / "nothing", Config())).execute("show tables").fetchall() == []


@pytest.mark.parametrize(
    "name",
    [
        "it's", 'a "lake"', "l[1]", "[a-z]", "with spaces ", "a**b", "date=2020-01-01", MANIFEST, "x.parquet", "{a,b}", "µ%s",
        "wh?t",
    ],
)  # fmt: skip
def test_a_folders_name_means_nothing_to_a_view(tmp_path: Path, name: str) -> None:
    lake = Lake(tmp_path / name, Config())
    put(lake, DATE, 3)
    put(Lake(tmp_path / "l1", Config()), DATE, 1)  # what a pattern might find
    assert counts(connect(lake)) == [(DATE, 3)]
    file = publish(lake)
    if "?" in name:  # DuckDB itself opens no such path
        file = file.rename(tmp_path / FILE)
    assert counts(duckdb.connect(str(file), read_only=True)) == [(DATE, 3)]


# The published file


def test_a_new_date_shows_in_the_file_that_was_published_before_it(lake: Lake) -> None:
    put(lake, EVE, 2)
    assert publish(lake) == lake.root / FILE
    before = (lake.root / FILE).read_bytes()
    with opened(lake) as connection:
        assert counts(connection) == [(EVE, 2)]
        put(lake, DATE, 3)
        assert counts(connection) == [(EVE, 2), (DATE, 3)]
    with opened(lake) as connection:
        assert counts(connection) == [(EVE, 2), (DATE, 3)]
    assert (lake.root / FILE).read_bytes() == before


HOLD = """
import sys, duckdb
connection = duckdb.connect(sys.argv[1], read_only=sys.argv[2] == "read")
if sys.argv[2] == "write":
    connection.execute("create table notes as select 1 as mine")
print("open", flush=True)
sys.stdin.readline()
print(connection.execute("select count(*) from bronze_futures_trades").fetchone()[0], flush=True)
if sys.argv[2] == "write":
    print(connection.execute("select mine from notes").fetchone()[0], flush=True)
sys.stdin.readline()
"""


@pytest.mark.parametrize("mode", ["read", "write"])
@pytest.mark.parametrize("ended", ["closed", "killed"])
def test_publishing_does_not_mind_who_has_the_old_file_open(lake: Lake, mode: str, ended: str) -> None:
    """Another process reads, or has written a table of its own; what it left beside the old file must not bar the new one."""
    put(lake, DATE, 3)
    file, pipe = publish(lake), subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", HOLD, str(file), mode], stdin=pipe, stdout=pipe, text=True) as holder:
        assert holder.stdin is not None and holder.stdout is not None
        assert holder.stdout.readline() == "open\n"
        put(lake, DATE, 7, key="2")
        with lake.write(DEFINITIONS, DATE, Fingerprint({}, "", "", "")) as writer:
            writer.publish({})
        publish(lake)
        with opened(lake) as connection:
            assert counts(connection) == [(DATE, 7)]
            assert connection.execute("select count(*) from bronze_definitions").fetchone() == (0,)
        holder.stdin.write("go on\n")
        holder.stdin.flush()
        assert holder.stdout.readline() == "7\n"
        if mode == "write":
            assert holder.stdout.readline() == "1\n"
        if ended == "killed":
            holder.kill()
        else:
            holder.stdin.write("end\n")
            holder.stdin.flush()
    with opened(lake) as connection:
        assert counts(connection) == [(DATE, 7)]
        assert connection.execute("show tables").fetchall() == [("bronze_definitions",), ("bronze_futures_trades",)]
    assert sorted(path.name for path in lake.root.iterdir()) == ["bronze", FORMAT_FILE, FILE]


def test_what_a_killed_writer_of_the_old_file_left_does_not_bar_the_new_one(lake: Lake) -> None:
    put(lake, DATE, 3)
    file, pipe = publish(lake), subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", HOLD, str(file), "write"], stdin=pipe, stdout=pipe, text=True) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == "open\n"
        holder.kill()
    assert (lake.root / f"{FILE}.wal").exists()
    publish(lake)
    with opened(lake) as connection:
        assert counts(connection) == [(DATE, 3)]


def test_what_a_killed_publisher_left_is_swept_by_the_next(lake: Lake) -> None:
    put(lake, DATE, 3)
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        pass
    here = temporary_of(lake.root / FILE).name
    (lake.root / here.replace(f".{os.getpid()}.", f".{ended.pid}.")).write_bytes(b"")
    publish(lake)
    assert sorted(path.name for path in lake.root.iterdir()) == ["bronze", FORMAT_FILE, FILE]


def test_two_publish_at_once(lake: Lake) -> None:
    put(lake, DATE, 3)
    code = (
        "import sys, pathlib\nfrom spymaster_assets.catalog import publish\nfrom spymaster_assets.config import Config\n"
        "from spymaster_assets.lake import Lake\n[publish(Lake(pathlib.Path(sys.argv[1]), Config())) for _ in range(20)]\n"
    )
    both = [subprocess.Popen([sys.executable, "-c", code, str(lake.root)], cwd=Path(__file__).parents[1]) for _ in range(2)]
    assert [process.wait(120) for process in both] == [0, 0]
    with opened(lake) as connection:
        assert counts(connection) == [(DATE, 3)]
    assert sorted(path.name for path in lake.root.iterdir()) == ["bronze", FORMAT_FILE, FILE]


# spymaster sql


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPYMASTER_DATA", "")  # the command sets it


def sql(root: Path, *words: str) -> Result:
    return CliRunner().invoke(main, ["--data", str(root), "sql", *words], catch_exceptions=False)


@pytest.fixture
def two_dates(lake: Lake) -> Path:
    put(lake, EVE, 2)
    put(lake, DATE, 3)
    return lake.root


def test_an_answer_is_a_table(two_dates: Path) -> None:
    result = sql(two_dates, COUNTS)
    assert result.exit_code == 0
    cells = [[cell.strip() for cell in line.strip("│").split("│")] for line in result.output.splitlines() if line.startswith("│")]
    assert cells[0][0] == "date" and cells[-2:] == [[str(EVE), "2"], [str(DATE), "3"]]


def test_an_answer_as_csv_has_every_row(lake: Lake) -> None:
    put(lake, DATE, 1000)
    query = "select date, sequence, null as nothing, 'a,\"b' as text from bronze_futures_trades order by sequence"
    result = sql(lake.root, "--csv", query)
    rows = list(csv.reader(io.StringIO(result.output)))
    assert (result.exit_code, rows[0], len(rows)) == (0, ["date", "sequence", "nothing", "text"], 1001)
    assert rows[1:] == [[str(DATE), str(number), "", 'a,"b'] for number in range(1, 1001)]


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("select * from nothing", "Table with name nothing does not exist"),
        ("selec 1", 'syntax error at or near "selec"'),
        ("select\n  sise\nfrom bronze_futures_trades", 'Referenced column "sise" not found'),
        ("select action::int from bronze_futures_trades", "Could not convert string 'T'"),
    ],
)
@pytest.mark.parametrize("form", [(), ("--csv",)])
def test_an_error_is_one_line(two_dates: Path, query: str, message: str, form: Sequence[str]) -> None:
    result = sql(two_dates, *form, query)
    assert result.exit_code == 1
    [line] = [line for line in result.stderr.splitlines() if line]
    assert line.startswith("Error: ") and message in line
    assert "Traceback" not in result.output


def test_a_statement_without_rows_says_nothing_and_is_well(two_dates: Path) -> None:
    result = sql(two_dates, "")
    assert (result.exit_code, result.output) == (0, "")


def test_a_folder_that_is_not_there_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    result = sql(tmp_path / "nowhere", "select 1")
    assert result.exit_code == 1 and "simulate or ingest something first" in result.output
    assert not (tmp_path / "nowhere").exists()
