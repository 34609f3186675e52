"""What a user sees of the command line: real commands, real folders."""

import gc
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from spymaster_assets.catalog import connect
from spymaster_assets.cli import main
from spymaster_assets.config import SETTINGS
from spymaster_assets.tables import BRONZE, FUTURES_MBP10, GOLD, SILVER
from spymaster_assets.version import VERSION
from tests import build
from tests.build import DATE, EVE, lake_at


@pytest.fixture(autouse=True)
def _own_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The commands set these two; each test starts without."""
    for name in ("SPYMASTER_DATA", "DAGSTER_HOME"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


def spymaster(root: Path, *words: str) -> Result:
    return CliRunner().invoke(main, ["--data", str(root), *words], catch_exceptions=False)


def test_simulate_day_status_and_doctor_tell_one_story(tmp_path: Path) -> None:
    made = spymaster(tmp_path, "simulate", "--dates", str(DATE), "--events-per-session", "20000", "--seed", "3")
    assert made.exit_code == 0
    assert "1 trading dates in 14 DBN files" in made.output
    day = spymaster(tmp_path, "day", str(DATE))
    assert gc.collect() < 5_000  # a run leaves no cycles that would hold its tables: 47,000 objects, if it did not look for them
    assert day.exit_code == 0, day.output
    rows = lake_at(tmp_path).manifest(FUTURES_MBP10, DATE).rows
    assert f"{rows:,} rows" in day.output and "Dagster run" in day.output
    assert "out of order" not in day.output
    again = spymaster(tmp_path, "day", str(DATE))
    assert again.output.count("unchanged") == len(BRONZE) + len(SILVER) + len(GOLD)
    status = spymaster(tmp_path, "status", "--tables")
    assert f"{rows:,} ✓" in status.output and "stale:" not in status.output
    assert " -" not in status.output.splitlines()[1]  # there are files of every kind
    assert [line[:10] for line in status.output.splitlines() if line.startswith("20")] == 3 * [str(DATE)]  # one a stage
    [line] = [line for line in spymaster(tmp_path, "status").output.splitlines() if line.startswith("20")]
    assert line.count("✓") == 3 and f"{sum(lake_at(tmp_path).manifest(table, DATE).rows for table in BRONZE):,}" in line
    doctor = spymaster(tmp_path, "doctor")
    assert (doctor.exit_code, "all well" in doctor.output) == (0, True), doctor.output


def test_day_says_what_is_missing_and_fails(small_date) -> None:
    root, _, _ = small_date
    for day in (EVE, DATE):
        (root / "landing" / f"book-{day}.dbn.zst").unlink()
    result = spymaster(root, "day", str(DATE))
    assert result.exit_code == 1
    assert "blocked: 2025-06-03: no futures_mbp10 in" in result.output
    assert "100 rows" in result.output  # the trades were made all the same


def test_day_of_an_empty_folder_says_what_to_do(tmp_path: Path) -> None:
    result = spymaster(tmp_path, "day", str(DATE))
    assert result.exit_code == 1
    assert "it is empty: put Databento files there, or run `spymaster simulate`" in result.output


@pytest.mark.parametrize(
    ("dates", "message"),
    [
        ("2023-12-25", "2023-12-25 is a holiday of XNYS, not a trading date; the nearest are 2023-12-22 and 2023-12-26"),
        ("2025-06-07", "2025-06-07 is a weekend, not a trading date; the nearest are 2025-06-06 and 2025-06-09"),
        ("2025-06-07:2025-06-08", "no trading date from 2025-06-07 to 2025-06-08"),
        ("June", "expected a date or FROM:TO, like 2025-06-02"),
    ],
)
def test_dates_that_are_none_are_refused_with_a_reason(tmp_path: Path, dates: str, message: str) -> None:
    result = spymaster(tmp_path, "day", dates)
    assert result.exit_code == 2
    assert message in " ".join(result.output.split())


def test_status_shows_what_is_stale_and_why(tmp_path: Path) -> None:
    book, _ = build.landing_of_a_date(tmp_path, *build.SOUND)
    assert spymaster(tmp_path, "day", str(DATE)).exit_code == 0
    build.write(tmp_path / "landing", f"book-{DATE}.dbn.zst", "mbp-10", build.split_days(book)[1][:-1], DATE)
    result = spymaster(tmp_path, "status")
    assert f"2025-06-03 bronze/futures_mbp10 is stale: input book-{DATE}.dbn.zst changed" in result.output


def test_status_of_nothing_says_what_to_do(tmp_path: Path) -> None:
    result = spymaster(tmp_path, "status")
    assert result.exit_code == 1
    assert "run `spymaster simulate`" in result.output


def test_ingest_takes_sound_files_and_refuses_others(small_date, tmp_path_factory: pytest.TempPathFactory) -> None:
    root, book, _ = small_date
    new = tmp_path_factory.mktemp("new")
    sound = root / "landing" / f"book-{DATE}.dbn.zst"
    cut = new / "cut.dbn.zst"
    cut.write_bytes(sound.read_bytes()[:-30])
    build.write(new, "nq.dbn.zst", "mbp-10", build.books(build.times(3), "NQM5"), EVE, symbols=["NQM5"])
    shutil.copy(sound, new / "sound.dbn.zst")
    result = spymaster(new / "data", "ingest", str(new))
    assert result.exit_code == 1
    lines = {line.split()[1].rsplit("/", 1)[-1].rstrip(":"): line for line in result.output.splitlines()}
    assert "refused" in lines["cut.dbn.zst"] and "of the decoded stream: expected an intact zstd stream" in lines["cut.dbn.zst"]
    assert "refused" in lines["nq.dbn.zst"] and "symbols NQM5; expected futures or options of ES" in lines["nq.dbn.zst"]
    _, late = build.split_days(book)
    assert f"mbp-10, futures, {len(late):,} records, serves trading dates 2025-06-03 to 2025-06-04" in lines["sound.dbn.zst"]
    assert [path.name for path in (new / "data" / "landing").rglob("*") if path.is_file()] == ["sound.dbn.zst"]
    assert "already in landing" in spymaster(new / "data", "ingest", str(new / "sound.dbn.zst")).output


def test_ingest_never_overwrites_a_file_of_the_same_name(small_date, tmp_path: Path) -> None:
    root, book, _ = small_date
    first = root / "landing" / f"book-{DATE}.dbn.zst"
    assert spymaster(tmp_path / "data", "ingest", str(first)).exit_code == 0
    kept = (tmp_path / "data" / "landing" / "futures" / first.name).read_bytes()
    build.write(root / "landing", first.name, "mbp-10", build.split_days(book)[1][:-2], DATE)
    result = spymaster(tmp_path / "data", "ingest", str(first))
    assert result.exit_code == 1 and "exists with other content" in result.output
    assert (tmp_path / "data" / "landing" / "futures" / first.name).read_bytes() == kept


def test_doctor_finds_a_damaged_partition_a_leftover_and_an_unusable_file(small_date) -> None:
    root, _, _ = small_date
    spymaster(root, "day", str(DATE))
    path = lake_at(root).path(FUTURES_MBP10, DATE)
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 3] ^= 0xFF
    path.write_bytes(raw)
    (path.parent / "stranger.parquet").write_bytes(b"")
    (root / "landing" / "notes.dbn").write_text("not DBN")
    result = spymaster(root, "doctor")
    assert result.exit_code == 1
    assert f"PROBLEM  bronze/futures_mbp10 {DATE}: {path.name}" in result.output
    assert "PROBLEM  landing/notes.dbn" in result.output and "expected a DBN file" in result.output


def test_generated_pages_are_up_to_date(tmp_path: Path) -> None:
    assert spymaster(tmp_path, "docs", "--check").exit_code == 0


def test_customer_net_is_passed_on(tmp_path: Path) -> None:
    words = ("simulate", "--dates", str(DATE), "--events-per-session", "20000")
    spymaster(tmp_path / "buy", *words, "--customer-net", str(DATE), "0.9")
    spymaster(tmp_path / "sell", *words, "--customer-net", str(DATE), "-0.9")

    def net(root: Path) -> float:
        return float(connect(lake_at(root)).execute("select avg(customer_side) from truth_option_flow").fetchone()[0])

    assert net(tmp_path / "buy") > 0.5 > -0.5 > net(tmp_path / "sell")


def test_simulate_replaces_neither_a_vendors_file_nor_a_date_it_was_not_asked_for(small_date, tmp_path: Path) -> None:
    root, _, _ = small_date
    words = ("--events-per-session", "5000", "--seed", "1")
    before = {path: path.read_bytes() for path in (root / "landing").rglob("*.zst")}
    vendor = spymaster(root, "simulate", "--dates", str(DATE), *words)
    assert vendor.exit_code == 1 and "is not the simulator's" in vendor.output
    assert before == {path: path.read_bytes() for path in (root / "landing").rglob("*.zst")}
    other = tmp_path / "other"
    assert spymaster(other, "simulate", "--dates", str(DATE), *words).exit_code == 0
    next_day = spymaster(other, "simulate", "--dates", "2025-06-04", *words)
    assert next_day.exit_code == 1 and "holds simulated 2025-06-03 too" in next_day.output
    both = spymaster(other, "simulate", "--dates", "2025-06-03:2025-06-04", *words)
    assert both.exit_code == 0
    assert spymaster(other, "simulate", "--dates", "2025-06-03:2025-06-04", *words).exit_code == 0


def test_simulate_refuses_a_net_that_is_none(tmp_path: Path) -> None:
    words = ("simulate", "--dates", str(DATE), "--events-per-session", "5000", "--customer-net", str(DATE))
    assert "customer_net outside [-1, 1]" in spymaster(tmp_path, *words, "3").output
    assert spymaster(tmp_path, "simulate", "--dates", str(DATE), "--customer-net", "June", "0.5").exit_code == 1


def test_a_wrong_settings_file_is_one_line_not_a_traceback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "typo.toml").write_text("[quality]\ngap_second = 1\n")
    monkeypatch.setenv("SPYMASTER_CONFIG", str(tmp_path / "typo.toml"))
    result = spymaster(tmp_path, "status")
    assert result.exit_code == 1 and "typo.toml" in result.output and "gap_second" in result.output


def test_a_date_that_no_file_serves_publishes_nothing(tmp_path: Path) -> None:
    assert spymaster(tmp_path, "day", str(DATE)).exit_code == 1
    assert not list(tmp_path.rglob("manifest.json"))


def test_settings_are_copied_and_what_is_there_stays(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    made = spymaster(tmp_path, "settings", str(mine)).output.split("wrote ")[1:]
    assert len(made) == 8 and (mine / "instruments" / "NQ.toml").read_text() == (SETTINGS / "instruments" / "NQ.toml").read_text()
    (mine / "workspace.yaml").write_text("mine")
    (mine / "dagster.yaml").unlink()
    assert spymaster(tmp_path, "settings", str(mine)).output == f"wrote {mine / 'dagster.yaml'}\n"
    assert (mine / "workspace.yaml").read_text() == "mine"


def test_it_says_its_version(tmp_path: Path) -> None:
    assert spymaster(tmp_path, "--version").output == f"spymaster, version {VERSION}\n"


PROGRAM = """
import atexit, sys
from spymaster_assets.cli import run
atexit.register(lambda: print("at exit"))
run()
"""


ENDS = ((["--version"], 0, VERSION), (["sql"], 2, "Missing argument"), (["inspect", "x"], 2, "'x'"))


@pytest.mark.parametrize(("words", "code", "told"), ENDS)
def test_the_program_ends_with_its_exit_code_and_loses_no_word(words: list[str], code: int, told: str) -> None:
    """It does not take apart what was loaded; what is registered for the end is done all the same."""
    done = subprocess.run([sys.executable, "-c", PROGRAM, *words], capture_output=True, text=True, timeout=60)
    assert done.returncode == code
    assert told in done.stdout + done.stderr
    assert done.stdout.endswith("at exit\n")


@pytest.mark.parametrize(("closed", "heard"), [("1>&-", ""), ("2>&-", "refused"), ("0<&- 1>&- 2>&-", "")])
def test_the_program_ends_well_where_nobody_hears_it(tmp_path: Path, closed: str, heard: str) -> None:
    """As a service may begin it: without standard streams, whose numbers no file may get."""
    (tmp_path / "broken.dbn").write_bytes(b"nothing")
    words = [sys.executable, "-c", "from spymaster_assets.cli import run; run()", "--data", str(tmp_path / "data")]
    for more, code, told in ((["--version"], 0, VERSION), (["ingest", str(tmp_path / "broken.dbn")], 1, "refused")):
        done = subprocess.run(["sh", "-c", f'exec "$@" {closed}', "sh", *words, *more], capture_output=True, text=True, timeout=60)
        assert (done.returncode, done.stderr) == (code, "")
        assert told in done.stdout or not heard
