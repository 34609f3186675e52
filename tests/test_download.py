"""`spymaster download` against a double of the vendor that speaks its HTTP API: what is asked for, paid, kept, told, and resumed.

The double serves simulated dates; what they hold, and which hours and contracts are right, is said here by hand.
"""

import contextlib
import datetime as dt
import itertools
import json
import multiprocessing
import os
import pty
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from email.utils import format_datetime
from pathlib import Path

import dagster as dg
import numpy as np
import pytest
from click.testing import CliRunner, Result

from spymaster_assets import dbn
from spymaster_assets.assets.resources import resources
from spymaster_assets.cli import main
from spymaster_assets.config import Config, load
from spymaster_assets.daily import EVERY
from spymaster_assets.definitions import build
from spymaster_assets.download import Way
from spymaster_assets.lacking import Lacking
from spymaster_assets.lake import MANIFEST, Lake
from spymaster_assets.landing import Landing
from spymaster_assets.simulator.write import simulate
from spymaster_assets.staged import alone, damaged, entries
from spymaster_assets.tables import BRONZE, OPTION_QUOTES, OPTION_STATISTICS, OPTION_TRADES, SILVER
from spymaster_live.keys import make
from tests.vendor.bringing import bring
from tests.vendor.historical import KEY, USD_PER_GB, Fault, Historical

DATE = dt.date(2025, 6, 3)
ROLL = [dt.date(2025, 6, 12), dt.date(2025, 6, 13)]  # on the 12th, volume moves from ESM5 to ESU5
HOLIDAY = [dt.date(2025, 6, 18), dt.date(2025, 6, 20)]  # the 19th is a holiday
HALF = dt.date(2025, 7, 3)  # closes at 13:00 New York time
NAMES = ["definitions", "futures_mbp10-ESM5", "futures_trades", "option_quotes", "option_statistics", "option_trades"]
CHECKOUT = Path(__file__).parents[1]
KILLS = 8
FILES = ("download", "timeseries.get_range")
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["tests.vendor.bringing"])
SETTINGS = """
[vendor]
gateway = "{gateway}"
retries = 3
retry_seconds = 0.01
poll_seconds = 0.01
wait_seconds = {wait}
timeout_seconds = 5
{more}
[quality]  # thin dates may pass
covered_share_min = 0.3
silent_share_max = 0.5
geometry_z_max = 50.0
resolved_share_max = 1.0
censored_share_max = 1.0
"""


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A landing folder of the simulator, which the vendor sells."""
    root = tmp_path_factory.mktemp("source") / "landing"
    simulate(root, [DATE], events_per_session=20_000, seed=7, config=Config())
    simulate(root, [*ROLL, *HOLIDAY, HALF], events_per_session=5_000, seed=7, config=Config())
    return root


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("certificates")
    make(folder)
    return folder


@pytest.fixture(scope="module")
def sold(source: Path) -> Historical:
    """A double that has read its data; each test's own shares them."""
    return Historical(source)


@pytest.fixture
def vendor(
    sold: Historical, source: Path, certificates: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Historical]:
    """The double at work, and an environment that leads to it."""
    double = Historical(source)
    double.__dict__ |= {"_files": sold._files, "_parents": sold._parents, "_bodies": sold._bodies}
    with double.serving(certificates):
        for name in ("SPYMASTER_DATA", "DAGSTER_HOME", "DATABENTO_API_KEY_FILE"):
            monkeypatch.setenv(name, "")
            monkeypatch.delenv(name)
        monkeypatch.setenv("DATABENTO_API_KEY", KEY)
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificates / "ca.pem"))
        configure(double, tmp_path, monkeypatch)
        yield double


def configure(double: Historical, folder: Path, monkeypatch: pytest.MonkeyPatch, more: str = "", wait: float = 60) -> None:
    settings = folder / "settings.toml"
    settings.write_text(SETTINGS.format(gateway=double.gateway, more=more, wait=wait))
    monkeypatch.setenv("SPYMASTER_CONFIG", str(settings))


def spymaster(root: Path, *words: str) -> Result:
    return CliRunner().invoke(main, ["--data", str(root), *words], catch_exceptions=False)


def download(root: Path, dates: Sequence[dt.date], *words: str, schemas: str = "") -> Result:
    more = ("--schemas", schemas) if schemas else ()
    return spymaster(root, "download", "--from", str(dates[0]), "--to", str(dates[-1]), *more, *words)


def landing_of(root: Path) -> Landing:
    return Landing(root / "landing", load())


def contents(root: Path) -> dict[str, bytes]:
    """Every file in landing by its path, what is on its way left out."""
    paths = [path for path in (root / "landing").rglob("*") if path.is_file() and ".download" not in path.parts]
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in paths}


def on_its_way(root: Path) -> list[str]:
    return sorted(path.name for path in (root / "landing").rglob(".download/*/*") if path.name != ".lock")


def records(root: Path, date: dt.date, name: str) -> np.ndarray:
    """The records of a downloaded file."""
    path = root / "landing" / "download" / str(date) / f"{name}.dbn.zst"
    schema = dbn.read_header(path).schema
    assert schema is not None
    return np.concatenate([chunk.copy() for chunk in dbn.read(path, schema)])


def utc(text: str) -> int:
    return int(dt.datetime.fromisoformat(f"{text}+00:00").timestamp()) * 10**9


# A date


@pytest.fixture
def downloaded(vendor: Historical, sold: Historical, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake with DATE downloaded, and what that cost in the double's books."""
    kept: Path = sold.__dict__.get("kept") or tmp_path_factory.mktemp("kept")
    if "kept" not in sold.__dict__:
        result = download(kept, [DATE], "--yes")
        assert result.exit_code == 0, result.output
        sold.__dict__["kept"], sold.charges = kept, vendor.charges
    vendor.charges = list(sold.charges)
    return Path(shutil.copytree(kept, tmp_path / "lake"))


def test_a_downloaded_date_makes_the_tables_that_the_simulated_date_makes(downloaded: Path, source: Path, tmp_path: Path) -> None:
    """Bronze to Gold by `spymaster day`. Bronze of options has the date's own contracts only; nothing reads the others."""
    shutil.copytree(source, tmp_path / "simulated" / "landing")
    lakes = [Lake(root, load()) for root in (downloaded, tmp_path / "simulated")]
    for lake in lakes:
        made = spymaster(lake.root, "day", str(DATE), "--force")
        assert made.exit_code == 0, made.output
    found, expected = ({table.name: lake.manifest(table, DATE) for table in EVERY} for lake in lakes)
    options = [OPTION_TRADES, OPTION_QUOTES, OPTION_STATISTICS]
    for table in (table for table in EVERY if table not in options):
        assert found[table.name].content == expected[table.name].content, table.name
        assert found[table.name].rows == expected[table.name].rows
    assert {table.name for table in (*BRONZE, *SILVER)} <= found.keys()
    own = {str(symbol) for symbol in lakes[0].arrays(OPTION_TRADES, DATE, ["symbol"])["symbol"]}
    assert {symbol.split()[0] for symbol in own} == {"E1BM5"}  # the first Tuesday of June
    for table in options:
        mine, theirs = (lake.arrays(table, DATE) for lake in lakes)
        chosen = np.array([str(symbol).startswith("E1BM5 ") for symbol in theirs["symbol"]])
        assert 0 < len(mine["symbol"]) == chosen.sum() <= len(chosen)
        for name, values in mine.items():
            np.testing.assert_array_equal(values, theirs[name][chosen], err_msg=f"{table.name} {name}")


def test_a_date_is_priced_exactly_and_bought_once(vendor: Historical, downloaded: Path) -> None:
    held = entries(landing_of(downloaded), DATE)
    assert sorted(held) == NAMES
    for name, entry in held.items():
        rows = records(downloaded, DATE, name)
        assert entry["records"] == len(rows) > 0
        assert entry["billed_bytes"] == rows.nbytes
        assert entry["usd"] == pytest.approx(rows.nbytes / 1e9 * USD_PER_GB)
    assert {(charge.start, charge.end) for charge in vendor.charges} == {(utc("2025-06-02 21:00"), utc("2025-06-03 21:00"))}
    assert sum(charge.usd for charge in vendor.charges) == pytest.approx(sum(entry["usd"] for entry in held.values()))
    before, paid = contents(downloaded), list(vendor.charges)
    vendor.asked.clear()
    again = download(downloaded, [DATE])  # nobody need be asked
    assert again.exit_code == 0 and f"{DATE}  complete, nothing came" in again.output and "0.00 USD" in again.output
    assert vendor.asked == [] and vendor.charges == paid and contents(downloaded) == before
    assert on_its_way(downloaded) == [] and damaged(landing_of(downloaded), DATE) == []


def test_the_book_is_of_one_contract_and_options_are_those_that_expire(downloaded: Path) -> None:
    assert len(set(records(downloaded, DATE, "futures_mbp10-ESM5")["instrument_id"].tolist())) == 1
    assert len(set(records(downloaded, DATE, "futures_trades")["instrument_id"].tolist())) == 3  # front, next, their spread
    header = dbn.read_header(downloaded / "landing" / "download" / str(DATE) / "option_quotes.dbn.zst")
    assert header.schema == "tbbo"
    assert {symbol.split()[0] for symbol in header.symbols} == {"E1BM5"} and len(header.symbols) == 90


def test_what_is_damaged_is_told_and_bought_again(vendor: Historical, downloaded: Path) -> None:
    path = downloaded / "landing" / "download" / str(DATE) / "futures_trades.dbn.zst"
    whole = path.read_bytes()
    path.write_bytes(whole[:-7] + bytes(7))
    doctor = spymaster(downloaded, "doctor")
    assert f"PROBLEM  {path}: expected content" in doctor.output
    vendor.charges.clear()
    assert download(downloaded, [DATE], "--yes").exit_code == 0
    assert [(charge.way, charge.schema, charge.symbols) for charge in vendor.charges] == [("stream", "trades", "ES.FUT")]
    assert path.read_bytes() == whole


def test_what_landing_holds_already_is_not_bought_whoever_brought_it(vendor: Historical, source: Path, tmp_path: Path) -> None:
    root = tmp_path / "lake"
    for path in source.glob("*/*2025060[23].*"):
        target = root / "landing" / path.relative_to(source)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    assert download(root, [DATE], "--yes").exit_code == 0
    assert [charge.schema for charge in vendor.charges] == ["definition"]  # of 27 parents, three were simulated
    (root / "landing" / "options" / "glbx-mdp3-20250602.tbbo.dbn.zst").unlink()
    vendor.charges.clear()
    assert download(root, [DATE], "--yes").exit_code == 0
    assert [charge.schema for charge in vendor.charges] == ["tbbo"]


# Which hours, which contract


def test_hours_and_contracts_of_a_roll_a_holiday_and_a_half_day(vendor: Historical, tmp_path: Path) -> None:
    root = tmp_path / "lake"
    for dates in (ROLL, HOLIDAY, [HALF]):
        result = download(root, dates, "--yes")
        assert result.exit_code == 0, result.output
    books = [(charge.symbols, charge.start, charge.end) for charge in vendor.charges if charge.schema == "mbp-10"]
    assert books == [
        ("ESM5", utc("2025-06-11 21:00"), utc("2025-06-12 21:00")),
        ("ESU5", utc("2025-06-12 21:00"), utc("2025-06-13 21:00")),
        ("ESU5", utc("2025-06-17 21:00"), utc("2025-06-18 21:00")),
        ("ESU5", utc("2025-06-19 21:00"), utc("2025-06-20 21:00")),  # the evening of the holiday, not the day
        ("ESU5", utc("2025-07-02 21:00"), utc("2025-07-03 21:00")),
    ]
    asked = Counter((charge.schema, charge.start) for charge in vendor.charges)
    assert max(asked.values()) == 2 and {schema for (schema, _), n in asked.items() if n == 2} == {"trades"}
    assert len(vendor.charges) == 5 * len(NAMES)
    expiring = {charge.symbols.split()[0] for charge in vendor.charges if charge.start == utc("2025-06-19 21:00")}
    assert "EYCM5" in expiring and "ESM5" not in {name.split()[0] for name in expiring if " " in name}


def test_volume_of_the_day_before_overrules_the_calendar(vendor: Historical, tmp_path: Path) -> None:
    """As in the pipeline: what landing holds of the day before chooses, here against the calendar's ESU5."""
    root = tmp_path / "lake"
    assert download(root, ROLL[:1], "--yes", schemas="definition trades").exit_code == 0
    path = root / "landing" / "download" / str(ROLL[0]) / "futures_trades.dbn.zst"
    header, rows = dbn.read_header(path), records(root, ROLL[0], "futures_trades")
    front = next(interval[0].instrument_id for symbol, interval in header.mappings.items() if symbol == "ESM5")
    with dbn.Writer(
        path, "trades", dataset=header.dataset, start=header.start, end=header.end or 0, symbols=header.symbols,
        mappings=header.mappings, stype_in="parent",
    ) as writer:  # fmt: skip
        writer.write(rows[rows["instrument_id"] == front])
    lacking = Lacking(Lake(root, load()), ["mbp-10"])
    assert [wanted.request.symbols for wanted in lacking.told(ROLL[1])] == [("ESM5",)]


def test_winter_hours_are_an_hour_later(vendor: Historical, tmp_path: Path) -> None:
    [wanted] = Lacking(Lake(tmp_path, load()), ["trades"]).telling(dt.date(2025, 1, 7))
    assert (wanted.request.start, wanted.request.end) == (utc("2025-01-06 22:00"), utc("2025-01-07 22:00"))


def test_more_symbols_than_a_request_may_name_come_in_several_files(
    vendor: Historical, downloaded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure(vendor, tmp_path, monkeypatch, "symbols_max = 50")
    root = tmp_path / "several"
    assert download(root, [DATE], "--yes").exit_code == 0
    parts = [records(root, DATE, f"option_trades-{number}") for number in (1, 2)]
    whole = records(downloaded, DATE, "option_trades")
    assert sum(map(len, parts)) == len(whole) and min(map(len, parts)) > 0
    assert "complete, nothing came" in download(root, [DATE]).output


# Who pays


def test_without_a_terminal_nothing_is_bought_unasked(vendor: Historical, tmp_path: Path) -> None:
    result = download(tmp_path / "lake", [DATE])
    assert result.exit_code == 1
    assert "nothing was bought, as there is no terminal to ask at; --yes agrees" in result.output
    lines = {line.split()[1]: line.split() for line in result.output.splitlines() if line.startswith(str(DATE))}
    assert set(lines) == {"definitions", "futures_trades"} and "total" in result.output
    book = {"schema": "mbp-10", "symbols": "ESM5", "stype_in": "raw_symbol"}
    size = vendor.size_of(book | {"start": str(utc("2025-06-02 21:00")), "end": str(utc("2025-06-03 21:00"))})
    assert f"books, about {size / 1e9 * USD_PER_GB:,.2f} USD" in result.output
    assert vendor.charges == [] and contents(tmp_path / "lake") == {}


def test_at_a_terminal_every_step_is_asked_for(vendor: Historical, tmp_path: Path) -> None:
    root = tmp_path / "lake"
    words = [sys.executable, "-m", "spymaster_assets.cli", "--data", str(root)]
    words[1:3] = ["-c", "from spymaster_assets.cli import main; main()"]
    ours, theirs = pty.openpty()
    asked = ["download", "--from", str(DATE), "--to", str(DATE)]
    with subprocess.Popen([*words, *asked], cwd=CHECKOUT, stdin=theirs, stdout=subprocess.PIPE, text=True) as process:
        os.write(ours, b"y\nn\n")
        said, _ = process.communicate(timeout=60)
    for end in (ours, theirs):
        os.close(end)
    assert process.returncode == 1
    assert said.count("Buy this for") == 2 and "not bought: futures_mbp10-ESM5" in said
    assert [charge.schema for charge in vendor.charges] == ["definition", "trades"]
    assert sorted(entries(landing_of(root), DATE)) == ["definitions", "futures_trades"]


# The key


def test_the_key_stands_nowhere(vendor: Historical, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    root = tmp_path / "lake"
    vendor.warnings = [f"BentoWarning: a remark that repeats {KEY}"]
    vendor.faults["timeseries.get_range"] = [Fault(500, case=f"trouble with {KEY}"), Fault(422, case=f"refused {KEY}")]
    said = [download(root, [DATE], "--yes").output, download(root, [DATE], "--yes", "--batch").output]
    assert "<key>" in said[0]
    assert KEY not in "".join(said) + caplog.text
    assert [path for path in root.rglob("*") if path.is_file() and KEY.encode() in path.read_bytes()] == []


@pytest.mark.parametrize(
    ("key", "file", "message"),
    [
        (None, None, "no key: set DATABENTO_API_KEY, or DATABENTO_API_KEY_FILE to the path of a file that holds it"),
        ("db-wrong", None, "Databento refused the key (DATABENTO_API_KEY or DATABENTO_API_KEY_FILE): 401"),
        ("two words", None, "DATABENTO_API_KEY: expected a key as Databento gives it"),
        (None, "", "the file is empty"),
        (None, "absent", "No such file or directory"),
    ],
)
def test_no_key_or_a_wrong_one_is_one_sentence(
    vendor: Historical, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str | None, file: str | None, message: str
) -> None:
    monkeypatch.delenv("DATABENTO_API_KEY")
    if key:
        monkeypatch.setenv("DATABENTO_API_KEY", key)
    if file is not None:
        (tmp_path / "empty").write_text("\n")
        monkeypatch.setenv("DATABENTO_API_KEY_FILE", str(tmp_path / (file or "empty")))
    result = download(tmp_path / "lake", [DATE], "--yes")
    assert result.exit_code == 1 and message in result.output, result.output
    assert len(result.output.splitlines()) == 1 and (key is None or key not in result.output)
    assert vendor.charges == []


def test_a_key_in_a_file_will_do(vendor: Historical, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DATABENTO_API_KEY")
    (tmp_path / "key").write_text(f"{KEY}\n")
    monkeypatch.setenv("DATABENTO_API_KEY_FILE", str(tmp_path / "key"))
    assert download(tmp_path / "lake", [DATE], "--yes", schemas="definition").exit_code == 0


# Misbehaviour


def in_a_second() -> str:
    return format_datetime(dt.datetime.now(dt.UTC) + dt.timedelta(seconds=1), usegmt=True)


@pytest.mark.parametrize(
    ("faults", "charged"),
    [
        ([Fault(500), Fault(503)], 1),
        ([Fault(429, headers={"Retry-After": "0"})], 1),
        ([Fault(429, headers={"Retry-After": in_a_second()})], 1),
        ([Fault(drop_at=100), Fault(drop_at=20_000)], 3),
        ([Fault(cut_at=0), Fault(cut_at=20_000)], 3),
    ],
    ids=["errors", "busy", "busy until", "dropped", "cut"],
)
def test_a_stream_that_fails_is_tried_again(
    vendor: Historical, downloaded: Path, tmp_path: Path, faults: list[Fault], charged: int
) -> None:
    vendor.charges.clear()
    vendor.faults["timeseries.get_range"] = list(faults)
    result = download(tmp_path / "again", [DATE], "--yes", schemas="trades")
    assert result.exit_code == 1, "definitions were not asked for, so the options are not known"
    assert "option" in result.output and "definitions of the date tell them" in result.output
    [name] = entries(landing_of(tmp_path / "again"), DATE)
    path = f"landing/download/{DATE}/{name}.dbn.zst"
    assert contents(tmp_path / "again")[path] == contents(downloaded)[path]
    assert len(vendor.charges) == charged  # a stream is charged for what it sends, each time


def test_retry_after_is_honoured(vendor: Historical, tmp_path: Path) -> None:
    vendor.faults["metadata.get_cost"] = [Fault(429, headers={"Retry-After": "1"})]
    began = time.monotonic()
    download(tmp_path, [DATE], "--yes", schemas="definition")
    assert time.monotonic() - began >= 1


def test_a_cut_between_frames_and_records_is_seen_by_the_count(vendor: Historical, tmp_path: Path) -> None:
    """What no reader notices: a whole file of fewer records. The second time as few, they are all there are, and that is told."""
    real, short, allowed = vendor.body, [], 1

    def fewer(form: dict[str, str]) -> bytes:
        if form["symbols"] != "ES.FUT" or len(short) == allowed:
            return real(form)
        short.append(1)
        kept, mappings = vendor.select(form)
        with dbn.Writer(
            tmp_path / "short", "trades", dataset=form["dataset"], start=int(form["start"]), end=int(form["end"]),
            symbols=form["symbols"].split(","), mappings=mappings, stype_in=form["stype_in"],
        ) as writer:  # fmt: skip
            writer.write(kept[: len(kept) // 2])
        return (tmp_path / "short").read_bytes()

    vendor.body = fewer  # type: ignore[method-assign]
    for name in ("once", "always"):
        if name == "always":
            short, allowed = [], 9
        result = download(tmp_path / name, [DATE], "--yes", schemas="trades definition")
        assert result.exit_code == 0, result.output
        told = "records came, the vendor had counted" in result.output
        entry = entries(landing_of(tmp_path / name), DATE)["futures_trades"]
        counted = entry["billed_bytes"] // dbn.TRADE.itemsize
        assert (told, entry["records"]) == ((False, counted) if name == "once" else (True, counted // 2))


@pytest.mark.parametrize(
    ("fault", "message", "stopped"),
    [
        (Fault(402, "account_insufficient_funds"), "Databento asks for payment first: 402 account_insufficient_funds", True),
        (Fault(403, "license_not_found"), "Databento refused the key", True),
        (Fault(422, "symbology_invalid"), "futures_trades: a stream of trades: Databento refused: 422 symbology_invalid", False),
        (Fault(500), "gave up after 4 attempts", False),
        (Fault(cut_at=9_000), "gave up after 4 attempts", False),
    ],
    ids=lambda one: str(one.status or "cut") if isinstance(one, Fault) else None,
)
def test_what_is_refused_is_told_and_a_later_run_completes_it(
    vendor: Historical, downloaded: Path, tmp_path: Path, fault: Fault, message: str, stopped: bool
) -> None:
    root = tmp_path / "again"
    vendor.faults["timeseries.get_range"] = [Fault(), *4 * [fault]]
    result = download(root, [DATE], "--yes")
    assert result.exit_code == 1 and message in result.output
    assert list(entries(landing_of(root), DATE)) == ["definitions"]
    assert not stopped or len(result.output.splitlines()) < 8
    vendor.faults.clear()
    vendor.charges.clear()
    assert download(root, [DATE], "--yes").exit_code == 0
    assert Counter(charge.schema for charge in vendor.charges)["definition"] == 0
    assert without_costs(contents(root)) == without_costs(contents(downloaded))
    assert on_its_way(root) == []


def without_costs(files: dict[str, bytes]) -> dict[str, object]:
    """Contents of landing; of manifests, what does not depend on how a file came."""
    found: dict[str, object] = {}
    for name, raw in files.items():
        kept = ("bytes", "digest", "records", "request")
        found[name] = (
            {one: {key: entry[key] for key in kept} for one, entry in json.loads(raw)["files"].items()}
            if name.endswith(MANIFEST)
            else raw
        )
    return found


def test_a_server_that_is_away_is_one_sentence(vendor: Historical, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    vendor.port = 1
    configure(vendor, tmp_path, monkeypatch)
    result = download(tmp_path, [DATE], "--yes")
    assert result.exit_code == 1 and "gave up after 4 attempts" in result.output and "Traceback" not in result.output


def test_what_the_vendor_thinks_of_its_data_is_told_and_kept(vendor: Historical, tmp_path: Path) -> None:
    vendor.conditions = {"2025-06-03": "degraded", "2025-06-13": "pending"}
    vendor.warnings = ["BentoWarning: The streaming request contained one or more days which have reduced quality"]
    result = download(tmp_path, [DATE], "--yes", schemas="definition")
    assert result.exit_code == 0
    assert "the vendor calls 2025-06-03 degraded" in result.output and "reduced quality" in result.output
    [entry] = entries(landing_of(tmp_path), DATE).values()
    assert entry["conditions"] == {"2025-06-03": "degraded"}
    assert entry["remarks"] == ["The streaming request contained one or more days which have reduced quality"]
    pending = download(tmp_path, ROLL, "--yes", schemas="definition")
    assert pending.exit_code == 1 and "not available yet: the vendor calls 2025-06-13 pending" in pending.output
    assert list(entries(landing_of(tmp_path), ROLL[0])) == ["definitions"] and not entries(landing_of(tmp_path), ROLL[1])


def test_a_date_that_is_not_over_at_the_vendors_is_not_bought(vendor: Historical, tmp_path: Path) -> None:
    vendor.available_end = "2025-06-13T20:59:59.000000000Z"
    result = download(tmp_path, ROLL, "--yes", schemas="definition")
    assert result.exit_code == 1
    assert "not available yet: the vendor has GLBX.MDP3 until 2025-06-13 20:59 UTC" in result.output
    assert [charge.start for charge in vendor.charges] == [utc("2025-06-11 21:00")]


def test_two_at_once_are_refused_and_the_sensor_waits(vendor: Historical, downloaded: Path) -> None:
    (downloaded / "landing" / "download" / str(DATE) / "option_quotes.dbn.zst").unlink()

    def tick() -> bool:
        with dg.DagsterInstance.ephemeral() as instance:
            repository = build(downloaded).get_repository_def()
            context = dg.build_sensor_context(instance=instance, repository_def=repository, resources=resources(downloaded))
            return bool(repository.get_sensor_def("landing_sensor").evaluate_tick(context).run_requests)

    with alone(landing_of(downloaded), DATE):
        result = download(downloaded, [DATE], "--yes")
        assert not tick()
    assert result.exit_code == 1 and f"{DATE}: another process downloads it" in result.output
    assert tick()


def test_an_unknown_schema_is_refused(vendor: Historical, tmp_path: Path) -> None:
    result = download(tmp_path, [DATE], "--yes", schemas="mbo,trades")
    assert result.exit_code == 1 and "schema mbo: expected some of definition, trades, mbp-10" in result.output


# Batch jobs


def test_large_requests_go_by_batch_and_small_ones_by_stream(
    vendor: Historical, downloaded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vendor.charges.clear()
    configure(vendor, tmp_path, monkeypatch, "batch_bytes = 4000000")
    root = tmp_path / "again"
    assert download(root, [DATE], "--yes").exit_code == 0
    assert [charge.schema for charge in vendor.charges if charge.way == "batch"] == ["mbp-10"]
    assert len(vendor.charges) == len(NAMES)
    assert without_costs(contents(root)) == without_costs(contents(downloaded))
    entry = entries(landing_of(root), DATE)["futures_mbp10-ESM5"]
    assert entry["job"] in vendor.jobs and len(entry["sha256"]) == 64


@pytest.mark.parametrize("ranges", [True, False])
def test_a_file_that_breaks_off_is_continued(vendor: Historical, downloaded: Path, tmp_path: Path, ranges: bool) -> None:
    vendor.charges.clear()
    vendor.honours_ranges = ranges
    vendor.faults["download"] = [Fault(), Fault(), Fault(drop_at=30_000), Fault(drop_at=20_000), Fault(500), Fault(cut_at=8192)]
    root = tmp_path / "again"
    result = download(root, [DATE], "--yes", "--batch", schemas="definition,trades,mbp-10")
    assert result.exit_code == 1 or ranges, result.output
    assert len(vendor.charges) == 4
    if not ranges:  # every attempt began anew: another run completes it, for nothing
        assert download(root, [DATE], "--yes", "--batch", schemas="definition,trades,mbp-10").exit_code == 0
    assert len(vendor.charges) == 4 and {charge.way for charge in vendor.charges} == {"batch"}
    for name, content in contents(root).items():
        assert name.endswith(MANIFEST) or content == contents(downloaded)[name]
    if ranges:
        [longest] = [job for job, n in Counter(job for job, _, _ in vendor.ranges).items() if n == 4]
        pieces = [(first, sent) for job, first, sent in vendor.ranges if job == longest]
        assert [first for first, _ in pieces] == [0, 30_000, 50_000, 58_192]
        assert sum(sent for _, sent in pieces) == entries(landing_of(root), DATE)["futures_mbp10-ESM5"]["bytes"]


def test_a_wrong_checksum_is_fetched_again_and_never_lands(vendor: Historical, tmp_path: Path) -> None:
    vendor.wrong_checksum = 1
    wrong = download(tmp_path, [DATE], "--yes", "--batch", schemas="definition")
    assert wrong.exit_code == 1 and "gave up after 4 attempts: expected sha256 0000" in wrong.output
    assert contents(tmp_path) == {} and len(vendor.ranges) == 4
    right = download(tmp_path, [DATE], "--yes", "--batch", schemas="definition")
    assert right.exit_code == 0 and len(vendor.charges) == 1


def test_a_files_name_at_the_vendors_leads_nowhere(vendor: Historical, tmp_path: Path) -> None:
    vendor.files_below = "../../../../evil/"
    assert download(tmp_path, [DATE], "--yes", "--batch", schemas="definition").exit_code == 0
    names = ("definitions.dbn.zst", MANIFEST)
    assert {*contents(tmp_path)} == {f"landing/download/{DATE}/{name}" for name in names}


@pytest.mark.parametrize(
    "host", ["https://example.org", "https://127.0.0.1.example.org", "https://evil-databento.com", "http://127.0.0.1"]
)
def test_the_key_is_shown_to_nobody_but_the_vendor(vendor: Historical, tmp_path: Path, host: str) -> None:
    vendor.files_at = host
    result = download(tmp_path, [DATE], "--yes", "--batch", schemas="definition")
    assert result.exit_code == 1 and "expected a file" in result.output and host in result.output
    assert KEY not in result.output and contents(tmp_path) == {} and vendor.ranges == []


@pytest.mark.parametrize("name", ["../../../etc/passwd", "/etc/passwd", "..", "a/b", ""])
def test_a_manifest_names_no_file_outside_its_folder(downloaded: Path, name: str) -> None:
    path = downloaded / "landing" / "download" / str(DATE) / MANIFEST
    manifest = json.loads(path.read_text())
    manifest["files"][name] = manifest["files"].pop("definitions")
    path.write_text(json.dumps(manifest))
    with pytest.raises(ValueError, match="expected the manifest of a download"):
        entries(landing_of(downloaded), DATE)
    result = spymaster(downloaded, "doctor")
    assert result.exit_code == 1 and str(path) in result.output


@pytest.fixture
def slow_jobs(vendor: Historical, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs that are not done before patience is over."""
    configure(vendor, tmp_path, monkeypatch, wait=0.1)
    vendor.looks_until_done = 10**6


@pytest.mark.usefixtures("slow_jobs")
def test_a_job_that_takes_long_is_told_and_found_by_the_next_run(vendor: Historical, tmp_path: Path) -> None:
    first = download(tmp_path, [DATE], "--yes", "--batch", schemas="definition")
    assert first.exit_code == 1 and "is still processing; run again later, it is paid and goes on" in first.output
    vendor.looks_until_done = 0
    second = download(tmp_path, [DATE], "--batch", schemas="definition")  # nothing is to be paid, nobody is asked
    assert second.exit_code == 0, second.output
    assert len(vendor.jobs) == len(vendor.charges) == 1


@pytest.mark.usefixtures("slow_jobs")
def test_a_job_is_never_ordered_twice(vendor: Historical, tmp_path: Path) -> None:
    """Neither where the answer to the order was lost, nor where its state was."""
    vendor.faults["batch.submit_job"] = [Fault(503, act=True)]
    assert download(tmp_path, [DATE], "--yes", "--batch", schemas="definition").exit_code == 1
    assert len(vendor.jobs) == 1
    for state in (tmp_path / "landing").rglob(".download/*/*.json"):
        state.write_text("{")
    vendor.looks_until_done = 0
    assert download(tmp_path, [DATE], "--yes", "--batch", schemas="definition").exit_code == 0
    assert len(vendor.jobs) == len(vendor.charges) == 1


@pytest.mark.usefixtures("slow_jobs")
def test_a_job_that_expired_is_told_and_then_priced_anew(vendor: Historical, tmp_path: Path) -> None:
    download(tmp_path, [DATE], "--yes", "--batch", schemas="definition")
    for job in vendor.jobs.values():
        job.state = "expired"
    vendor.looks_until_done = 0
    told = download(tmp_path, [DATE], "--yes", "--batch", schemas="definition")
    assert told.exit_code == 1 and "has expired at the vendor's; run again to price and order it anew" in told.output
    assert len(vendor.jobs) == 1
    unasked = download(tmp_path, [DATE], "--batch", schemas="definition")
    assert unasked.exit_code == 1 and "nothing was bought" in unasked.output and len(vendor.jobs) == 1
    assert download(tmp_path, [DATE], "--yes", "--batch", schemas="definition").exit_code == 0


# Kills


@pytest.mark.parametrize("way", ["batch", "stream"])
def test_kills_at_random_moments_lose_nothing_and_pay_nothing_twice(
    vendor: Historical, downloaded: Path, tmp_path: Path, way: Way
) -> None:
    """Batch jobs are charged once whatever happens; of streams, at most the one that a kill broke off is charged again."""
    root, chance, kills, trouble = tmp_path / "killed", random.Random(20250603), 0, None
    vendor.charges.clear()
    vendor.seconds_per_block = 0.002
    while trouble is None:
        ours, theirs = FORKS.Pipe()
        process = FORKS.Process(target=bring, args=(root, DATE, way, dict(os.environ), theirs))
        process.start()
        theirs.close()
        assert ours.recv() == "ready"
        ours.send("go")
        if kills < KILLS:  # after some more requests of any kind, or in the midst of a file
            due, before = (chance.randint(1, 12) if kills % 2 else 1), len(vendor.asked)
            while process.is_alive() and sum(one in FILES or kills % 2 for one in vendor.asked[before:]) < due:
                time.sleep(0.002)
            time.sleep(chance.uniform(0, 0.1))
            process.kill()
        else:
            vendor.seconds_per_block = 0.0
        with contextlib.suppress(EOFError, ConnectionError):
            trouble = ours.recv()
        process.join()
        kills += process.exitcode == -signal.SIGKILL
        ours.close()
    assert trouble == {} and kills >= 3, "runs were over before they were killed"
    assert without_costs(contents(root)) == without_costs(contents(downloaded))
    assert on_its_way(root) == []
    paid = Counter((charge.way, charge.schema, charge.symbols) for charge in vendor.charges)
    again = sum(paid.values()) - len(paid)
    assert len(paid) == len(NAMES) and {key[0] for key in paid} == {way}
    assert again == 0 if way == "batch" else again <= kills
    print(f"{way}: {kills} kills, {again} requests charged again, {len(vendor.ranges)} ranges asked for")
    if way == "batch":
        for job in vendor.jobs:
            pieces = sorted((first, first + sent) for name, first, sent in vendor.ranges if name == job)
            assert pieces[0][0] == 0 and all(later[0] <= earlier[1] for earlier, later in itertools.pairwise(pieces))


# Dagster


def materialize(root: Path, usd: float | None = None) -> dg.ExecuteInProcessResult:
    config = {} if usd is None else {"ops": {"vendor__download": {"config": {"usd": usd}}}}
    quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
    with dg.DagsterInstance.ephemeral() as instance:
        return (
            build(root)
            .resolve_job_def("download_job")
            .execute_in_process(instance=instance, partition_key=str(DATE), raise_on_error=False, run_config={**config, **quiet})
        )


def checks(result: dg.ExecuteInProcessResult) -> dict[str, bool]:
    return {found.check_name: found.passed for found in result.get_asset_check_evaluations()}


def test_the_asset_buys_no_more_than_it_may(vendor: Historical, tmp_path: Path) -> None:
    refused = materialize(tmp_path)
    assert refused.success and vendor.charges == [] and checks(refused) == {"complete": False, "intact": True}
    [told] = [found.description or "" for found in refused.get_asset_check_evaluations() if found.check_name == "complete"]
    assert "it may cost 0.00 USD" in told and "definitions" in told
    made = materialize(tmp_path, usd=100.0)
    assert made.success and checks(made) == {"complete": True, "intact": True}
    [event] = made.get_asset_materialization_events()
    metadata = event.step_materialization_data.materialization.metadata
    assert metadata["USD"].value == pytest.approx(sum(charge.usd for charge in vendor.charges))
    assert set(metadata["files"].value) == set(NAMES) and metadata["bytes"].value > 100_000
    before = len(vendor.charges)
    again = materialize(tmp_path)
    assert again.success and len(vendor.charges) == before


def test_the_key_stands_in_nothing_that_dagster_keeps(vendor: Historical, tmp_path: Path) -> None:
    vendor.warnings = [f"BentoWarning: a remark that repeats {KEY}"]
    vendor.faults["timeseries.get_range"] = [Fault(422, case=f"refused {KEY}")]
    results = [materialize(tmp_path, usd=100.0) for _ in range(2)]
    said = "".join(str(event) for result in results for event in result.all_events)
    assert "<key>" in said and KEY not in said
    assert [path for path in tmp_path.rglob("*") if path.is_file() and KEY.encode() in path.read_bytes()] == []


def test_the_asset_without_a_key_buys_nothing(vendor: Historical, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DATABENTO_API_KEY")
    result = materialize(tmp_path)
    [event] = result.get_asset_materialization_events()  # what hangs on it is not skipped
    assert result.success and event.step_materialization_data.materialization.metadata["files"].value == {}
    assert checks(result) == {"complete": False, "intact": True}
    [complete] = [found for found in result.get_asset_check_evaluations() if found.check_name == "complete"]
    assert "no key: set DATABENTO_API_KEY" in (complete.description or "")


def test_the_asset_checks_find_what_is_damaged_and_what_is_missing(vendor: Historical, downloaded: Path) -> None:
    folder = downloaded / "landing" / "download" / str(DATE)
    (folder / "option_quotes.dbn.zst").write_bytes(b"")
    from spymaster_assets.assets.download import judge

    found = {name: outcome for name, outcome in judge(Lake(downloaded, load()), DATE).items()}
    assert not found["intact"].passed and "option_quotes.dbn.zst: expected content" in found["intact"].message
    assert not found["complete"].passed and "option_quotes" in found["complete"].message


def test_the_asset_is_in_no_other_job_and_nothing_hangs_on_it(tmp_path: Path) -> None:
    """A backfill of everything would split at landing, which is only observed, and make models before their training."""
    definitions, key = build(tmp_path), dg.AssetKey(["vendor", "download"])
    graph = definitions.resolve_asset_graph()
    assert graph.get(key).child_keys == set()
    assert graph.get(key).partitions_def is not None and graph.get(key).pools == {"vendor"}
    for job in ("date_job", "bronze_job", "models_job"):
        assert key not in definitions.resolve_job_def(job).asset_layer.executable_asset_keys
