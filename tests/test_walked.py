"""What an operator met on the way: files that come twice, dates without touches, a damaged file, and what is said of it."""

import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from spymaster_assets.cli import main
from spymaster_assets.tables import FUTURES_MBP10, TRAINING
from tests import build
from tests.build import DATE, EVE, lake_at


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The commands set these two; each test starts without."""
    for name in ("SPYMASTER_DATA", "DAGSTER_HOME"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


def spymaster(root: Path, *words: str) -> Result:
    return CliRunner().invoke(main, ["--data", str(root), *words], catch_exceptions=False)


def test_a_file_under_another_name_is_not_taken_twice(small_date, tmp_path: Path) -> None:
    """Neither in one call nor in the next; what was taken stays alone, so that nobody is told to remove it."""
    root, _, _ = small_date
    sound, data = root / "landing" / f"book-{DATE}.dbn.zst", tmp_path / "data"
    brought = tmp_path / "brought"
    brought.mkdir()
    for name in ("a.dbn.zst", "b.dbn.zst"):
        shutil.copy(sound, brought / name)
    first = spymaster(data, "ingest", str(brought))
    assert first.exit_code == 0
    assert first.output.splitlines()[1] == f"taken    {brought}/b.dbn.zst: already in landing, as futures/a.dbn.zst"
    assert "b.dbn.zst: already in landing, as futures/a.dbn.zst" in spymaster(data, "ingest", str(brought / "b.dbn.zst")).output
    assert [path.name for path in (data / "landing").rglob("*") if path.is_file()] == ["a.dbn.zst"]
    assert "a copy of" not in spymaster(data, "status").output


def test_what_is_refused_is_named_once(tmp_path: Path) -> None:
    path = tmp_path / "notes.dbn"
    path.write_text("hello")
    [line] = spymaster(tmp_path / "data", "ingest", str(path)).output.splitlines()
    assert line.count("notes.dbn") == 1 and line.endswith("expected a DBN file, plain or zstd, found b'hell'")


def test_status_of_files_without_a_book_says_which_dates_they_touch(small_date) -> None:
    root, _, _ = small_date
    for day in (EVE, DATE):
        (root / "landing" / f"book-{day}.dbn.zst").unlink()
    result = spymaster(root, "status")
    assert result.exit_code == 1
    assert "put Databento files into" not in result.output
    assert f"They touch {EVE}, {DATE}" in result.output and "spymaster day DATE makes what there is" in result.output


def test_outcomes_of_dates_without_touches_are_a_sentence(tmp_path: Path) -> None:
    build.landing_of_a_date(tmp_path, *build.SOUND)
    spymaster(tmp_path, "day", str(DATE))
    assert lake_at(tmp_path).manifest(TRAINING, DATE).rows == 0
    result = spymaster(tmp_path, "outcomes")
    assert result.exit_code == 0
    assert result.output.startswith("No touch of a key level on 1 dates whose outcome is known")


def test_a_damaged_file_is_refused_by_status_until_it_is_made_again_as_that_says(tmp_path: Path) -> None:
    build.landing_of_a_date(tmp_path, *build.SOUND)
    assert spymaster(tmp_path, "day", str(DATE)).exit_code == 0
    path = lake_at(tmp_path).path(FUTURES_MBP10, DATE)
    sound = path.read_bytes()
    path.write_bytes(sound[: len(sound) // 2] + bytes(64) + sound[len(sound) // 2 + 64 :])
    again = f"spymaster day {DATE} --force"
    assert again in spymaster(tmp_path, "doctor").output
    day = spymaster(tmp_path, "day", str(DATE))
    assert day.exit_code == 1 and f"blocked: schema: the stored file cannot be read; make it again: {again}" in day.output
    status = spymaster(tmp_path, "status").output
    assert f"{DATE} bronze/futures_mbp10, check schema failed: the stored file cannot be read; make it again: {again}" in status
    assert spymaster(tmp_path, *again.split()[1:]).exit_code == 0
    assert path.read_bytes() == sound
    assert "failed:" not in spymaster(tmp_path, "status").output and again not in spymaster(tmp_path, "doctor").output


def test_what_landing_loses_once_bronze_is_made_is_no_trouble(tmp_path: Path) -> None:
    """docs/operate.md says that it may go; whether the date was covered is what was known when it was made."""
    build.landing_of_a_date(tmp_path, *build.SOUND)
    assert spymaster(tmp_path, "day", str(DATE)).exit_code == 0
    before = [line for line in spymaster(tmp_path, "doctor").output.splitlines() if line.startswith("PROBLEM")]
    (tmp_path / "landing" / f"book-{EVE}.dbn.zst").unlink()
    after = [line for line in spymaster(tmp_path, "doctor").output.splitlines() if line.startswith("PROBLEM")]
    assert after == before and not any("coverage" in line for line in after)


def test_doctor_names_a_date_that_was_made_of_half_its_files(tmp_path: Path) -> None:
    build.landing_of_a_date(tmp_path, *build.SOUND)
    (tmp_path / "landing" / f"book-{EVE}.dbn.zst").unlink()
    spymaster(tmp_path, "day", str(DATE))
    assert f"PROBLEM  {DATE}: MBP-10 coverage {EVE} missing, {DATE} full (vendor)" in spymaster(tmp_path, "doctor").output
