"""Which records came behind their watermark: against a twin that follows the clock record by record, and in Bronze of a date."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import given, settings
from hypothesis import strategies as st

from spymaster_assets.ingest import Intake
from spymaster_assets.lateness import CLOCK, NEVER, Lateness, floors
from spymaster_assets.maker import Maker
from spymaster_assets.silver import SILVER_STAGES
from spymaster_assets.tables import FUTURES_MBP10, SNAPS
from tests import build
from tests.build import DATE, EVE, SECOND, SESSION

fast = settings(max_examples=150, deadline=None, derandomize=True, database=None)
GRID = SILVER_STAGES[0]


def clock_at(folder: Path, rows: list[tuple[int, int]]) -> Path:
    """A clock of (watermark, records of the book by then)."""
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({"watermark": [w for w, _ in rows], FUTURES_MBP10.name: [n for _, n in rows]}), folder / CLOCK)
    return folder / CLOCK


@st.composite
def cases(draw):
    """Frames of (event times, watermark after them), which records are kept, and how they are handed in."""
    frames = draw(st.lists(st.tuples(st.lists(st.integers(0, 60), max_size=5), st.integers(0, 60)), min_size=1, max_size=8))
    count = sum(len(times) for times, _ in frames)
    kept = draw(st.lists(st.booleans(), min_size=count, max_size=count))
    return frames, np.array(kept, bool), draw(st.integers(1, 7))


def naive(frames, kept):
    """Effective times of the kept records, and of all of them as live gives them."""
    effective, time, watermark, number = [], NEVER, NEVER, 0
    for times, mark in frames:
        for one in times:
            time = max(one, time, watermark + 1)
            if kept[number]:
                effective.append(time)
            number += 1
        watermark = max(watermark, mark)
    return effective


def followed(folder, frames, kept, size):
    """The lateness of the records, handed in `size` at a time."""
    came = np.cumsum([len(times) for times, _ in frames]).tolist()
    lateness = Lateness(clock_at(folder, [(mark, n) for (_, mark), n in zip(frames, came, strict=True)]), FUTURES_MBP10.name)
    times = np.array([one for part, _ in frames for one in part], np.int64)
    for start in range(0, len(times), size):
        lateness.see(times[start : start + size], kept[start : start + size])
    return lateness, times


@given(cases())
@fast
def test_marks_give_every_record_the_effective_time_it_had_live(tmp_path_factory, case):
    frames, kept, size = case
    folder = tmp_path_factory.mktemp("clock")
    everything = np.full(len(kept), True)
    lateness, times = followed(folder, frames, everything, size)
    mine = np.maximum.accumulate(np.maximum(times, floors(lateness.marks, 0, len(times)))) if len(times) else times
    assert mine.tolist() == naive(frames, everything)
    assert lateness.late <= len(times) and (not lateness.marks) == (lateness.late == 0)
    assert followed(folder, frames, everything, 1)[0].marks == lateness.marks
    rows = np.r_[0, np.cumsum(kept)]
    some, _ = followed(folder, frames, kept, size)  # where some are left out, marks stand before the same records
    assert some.marks == [[int(rows[row]), mark] for row, mark in lateness.marks]


def test_floors_of_a_part_are_those_of_the_whole():
    marks = [[2, 50], [5, 90]]
    assert floors(marks, 0, 7).tolist() == [NEVER, NEVER, 51, 51, 51, 91, 91]
    assert floors(marks, 4, 2).tolist() == [51, 91]
    assert floors([], 3, 2).tolist() == [NEVER, NEVER]


def date_with_a_late_record(root: Path) -> tuple[np.ndarray, np.ndarray]:
    """A book of DATE, captured, whose record 250 came a minute behind the watermark; the event times and effective times."""
    book = build.books(build.times(400, step=200 * SECOND), first_sequence=1)
    capture = root / "landing" / "capture" / str(DATE)
    times = book["ts_event"].astype(np.int64)
    ahead = int(times[250]) + 60 * SECOND
    build.write(capture, "futures_mbp10.dbn.zst", "mbp-10", book, EVE, start=SESSION.bronze.start, end=SESSION.bronze.end)
    clock_at(capture, [(int(times[200]), 201), (ahead, 250), (int(times[-1]), 400)])
    effective = times.copy()
    effective[250] = ahead + 1
    return times, effective


def test_a_captured_date_keeps_its_watermarks_in_bronze_and_its_snaps_are_late(tmp_path: Path) -> None:
    times, effective = date_with_a_late_record(tmp_path)
    lake, landing = build.lake_at(tmp_path), build.landing_at(tmp_path)
    made = Intake(DATE, lake, landing).ingest(FUTURES_MBP10)
    ahead = int(effective[250]) - 1
    assert made.manifest.facts["lateness"] == {"records": 1, "watermarks": [[250, ahead]]}
    assert f"capture/{DATE}/{CLOCK}" in made.manifest.fingerprint.inputs
    assert Maker(DATE, lake).make(GRID)["snaps"].manifest.facts["late"] == 1
    rows = lake.rows(SNAPS, DATE)
    at = np.searchsorted(rows["records"], 251)  # the first snap that holds the record
    assert rows["ts"][at - 1] < effective[250] <= rows["ts"][at] != -(-times[250] // (SECOND // 4)) * (SECOND // 4)


def test_silver_is_made_again_where_the_clock_changed_and_the_records_did_not(tmp_path: Path) -> None:
    times, _ = date_with_a_late_record(tmp_path)
    lake = build.lake_at(tmp_path)
    Intake(DATE, lake, build.landing_at(tmp_path)).ingest(FUTURES_MBP10)
    Maker(DATE, lake).make(GRID)
    clock_at(tmp_path / "landing" / "capture" / str(DATE), [(int(times[-1]), 400)])
    intake = Intake(DATE, lake, build.landing_at(tmp_path))
    assert intake.stale(FUTURES_MBP10) == [f"input capture/{DATE}/{CLOCK} changed"]
    content = lake.manifest(FUTURES_MBP10, DATE).content  # type: ignore[union-attr]
    assert intake.ingest(FUTURES_MBP10).manifest.content == content
    made = Maker(DATE, lake).make(GRID)["snaps"]
    assert not made.unchanged and made.manifest.facts["late"] == 0


def test_behind_a_vendors_file_of_the_evening_the_marks_stand_at_the_same_records(tmp_path: Path) -> None:
    times, effective = date_with_a_late_record(tmp_path)
    lake = build.lake_at(tmp_path)
    Intake(DATE, lake, build.landing_at(tmp_path)).ingest(FUTURES_MBP10)
    alone = lake.manifest(FUTURES_MBP10, DATE)
    book = build.books(times, first_sequence=1)
    build.write(tmp_path / "landing", "evening.dbn.zst", "mbp-10", build.split_days(book)[0][3:], EVE)  # three records fewer
    made = Intake(DATE, lake, build.landing_at(tmp_path)).ingest(FUTURES_MBP10).manifest
    assert alone is not None and made.rows == alone.rows - 3
    assert set(made.facts["coverage"].values()) == {"full (vendor)", "full (capture)"}
    assert made.facts["lateness"]["watermarks"] == [[247, int(effective[250]) - 1]]
