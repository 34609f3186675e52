"""`spymaster download` against a double of the vendor: what is asked for, paid and kept, by command and in Dagster.

The double serves simulated dates; what they hold, and which hours and contracts are right, is said here by hand.
"""

import datetime as dt
import os
import pty
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import dagster as dg
import numpy as np
import pytest

from spymaster_assets import dbn
from spymaster_assets.config import load
from spymaster_assets.daily import EVERY
from spymaster_assets.definitions import build
from spymaster_assets.lacking import Lacking
from spymaster_assets.lake import Lake
from spymaster_assets.staged import damaged, entries
from spymaster_assets.tables import BRONZE, OPTION_QUOTES, OPTION_STATISTICS, OPTION_TRADES, SILVER
from tests.vendor.buying import (
    DATE,
    HALF,
    HOLIDAY,
    NAMES,
    ROLL,
    configure,
    contents,
    download,
    landing_of,
    materialize,
    on_its_way,
    records,
    spymaster,
    utc,
)
from tests.vendor.historical import KEY, USD_PER_GB, Fault, Historical

CHECKOUT = Path(__file__).parents[2]


# A date


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


# Dagster


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
