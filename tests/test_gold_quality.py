"""Gold's checks: each passes on a sound date and fails on its own defect; what it measures, in numbers."""

import datetime as dt
import shutil
from pathlib import Path

import dagster as dg
import duckdb
import numpy as np
import pytest

from spymaster_assets.assets.checks import key_of
from spymaster_assets.assets.stages import stage_assets
from spymaster_assets.compute.labels import label_params, labels_at
from spymaster_assets.features import FEATURES, HORIZONS
from spymaster_assets.gold_quality import GOLD_CHECKS
from spymaster_assets.lake import Lake
from spymaster_assets.maker import Maker
from spymaster_assets.quality import Check, Outcome, Partition
from spymaster_assets.schema import Table
from spymaster_assets.states import BOUNCE, BREAK, CHOP
from spymaster_assets.tables import FEATURE_ROWS, FUTURES_MBP10, GOLD, LABELS, PRINTS, PRIORS, SEQUENCES, SNAPS, TOUCHES, TRAINING
from tests.defects import CONFIG, DATE, SECOND, Edit, Text, beside, each, flip, measured, name_of, publish, shown
from tests.gold_defects import DEFECTS, GoldDefect, earlier, missed
from tests.gold_edits import (
    END,
    START,
    STEPS,
    around_the_session,
    clock,
    first_record_at,
    nothing_counted,
    order_flow,
    shifted_family,
    silent,
    unsound,
)
from tests.gold_lakes import EARLIER, TRAIN, judged, make, sound_date, with_books, with_earlier_dates

WARNING = {("training", "calendar"), ("training", "drift"), ("training", "telling")}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    return sound_date(tmp_path_factory.mktemp("gold_quality"))


@pytest.fixture(scope="module")
def warm(made: Lake, tmp_path_factory: pytest.TempPathFactory) -> Lake:
    return with_earlier_dates(made, tmp_path_factory.mktemp("warm"))


# Defects


@pytest.fixture(scope="module")
def sound(made: Lake, warm: Lake) -> dict[str, dict[tuple[str, str], dg.AssetCheckResult]]:
    """Every result on the date alone (cold) and beside earlier dates (warm)."""
    return {
        name: {(table.name, check): found for table in GOLD for check, found in measured(lake, table).items()}
        for name, lake in (("cold", made), ("warm", warm))
    }


Sound = dict[str, dict[tuple[str, str], dg.AssetCheckResult]]


def test_the_date_has_touches_and_outcomes_of_every_kind(made: Lake) -> None:
    """Otherwise nothing here is measured on anything."""
    rows = made.rows(TRAINING, DATE)
    assert len(np.unique(rows["touch"])) >= 20
    assert all((np.bincount(rows[f"outcome_{name}"], minlength=5)[[BREAK, BOUNCE, CHOP]] >= 20).all() for name in HORIZONS)
    assert len(made.rows(SEQUENCES, DATE)) >= 20 * STEPS


@pytest.mark.parametrize("beside_dates", ["cold", "warm"])
@pytest.mark.parametrize("check", GOLD_CHECKS, ids=name_of)
def test_check_passes_on_a_sound_date(check: Check, beside_dates: str, sound: Sound) -> None:
    found = sound[beside_dates][check.table.name, check.name]
    assert found.passed, (shown(found), found.description)


@pytest.mark.parametrize("check", GOLD_CHECKS, ids=name_of)
def test_check_shows_value_and_threshold(check: Check, sound: Sound) -> None:
    values, limits = shown(sound["warm"][check.table.name, check.name])
    assert values and limits
    assert set(values) & set(limits), "no value stands beside its threshold"


@pytest.mark.parametrize("check", GOLD_CHECKS, ids=name_of)
def test_check_has_a_defect(check: Check) -> None:
    assert any((defect.table, defect.check) == (check.table, check.name) for defect in DEFECTS), f"no defect for {name_of(check)}"


@pytest.mark.parametrize("check", GOLD_CHECKS, ids=name_of)
def test_check_blocks_unless_it_is_one_that_warns(check: Check) -> None:
    asset = next(asset for asset in stage_assets if key_of(check.table) in asset.keys)
    spec = asset.get_spec_for_check_key(dg.AssetCheckKey(key_of(check.table), check.name))
    assert spec.blocking == check.blocking == ((check.table.name, check.name) not in WARNING)
    assert spec.description


@pytest.mark.parametrize("defect", DEFECTS, ids=str)
def test_defect_fails_its_check_and_no_other(defect: GoldDefect, made: Lake, warm: Lake, sound: Sound, tmp_path: Path) -> None:
    lake = defect.lake(made, warm, tmp_path)
    defect.damage(lake)
    found = judged(lake, defect.table) if defect.of else measured(lake, defect.table)
    failed = {name for name, result in found.items() if not result.passed}
    if defect.table is SEQUENCES and defect.check != "steps_are_snaps":
        failed -= {"steps_are_snaps"}  # recomputes everything, so it sees most of what the others name
    assert failed == {defect.check, *defect.also}
    result = found[defect.check]
    blocking = (defect.table.name, defect.check) not in WARNING
    assert result.severity is (dg.AssetCheckSeverity.ERROR if blocking else dg.AssetCheckSeverity.WARN)
    missed(result, defect)
    message = result.description or ""
    assert " " in message and message != sound["warm"][defect.table.name, defect.check].description


# What is measured, in numbers


def outcome_of(lake: Lake, name: str) -> Outcome:
    """One check of training, alone."""
    [check] = [check for check in GOLD_CHECKS if (check.table, check.name) == (TRAINING, name)]
    return check.measure(Partition(lake, TRAINING, DATE, duckdb.connect()))


@pytest.mark.parametrize(
    ("edit", "seconds", "longest", "passed"),
    [
        (silent(clock("12:00"), 1200), 1200, 1200, False),
        (silent(clock("12:00"), 1080), 1080, 1080, True),
        (each(silent(clock("12:00"), 600), silent(clock("14:00"), 600)), 1200, 600, False),
        (silent(START - 1800 * SECOND, 3000), 1200, 1200, False),
        (silent(END - 1200 * SECOND, 1500), 1200, 1200, False),
        (each(*(silent(clock("12:00") + 120 * SECOND * n, 61) for n in range(20))), 1220, 61, False),
        (each(*(silent(clock("12:00") + 120 * SECOND * n, 60) for n in range(60))), 0, 60, True),
        (first_record_at(START + 300 * SECOND), 299.75, 299.75, True),
        (lambda rows, _: rows["ts"] > END, 22_500, 22_500, False),
    ],
    ids=[
        "20 minutes", "18 minutes", "twice 10 minutes", "from before 09:30 to 09:50", "from 15:25 to after the end",
        "20 halts of 61 seconds", "often a minute, which is no gap", "the date's first record at 09:35", "no snap of the session",
    ],
)  # fmt: skip
def test_seconds_without_records_are_counted_from_half_past_nine(
    edit: Edit, seconds: float, longest: float, passed: bool, made: Lake, tmp_path: Path
) -> None:
    lake = beside(made, tmp_path, SNAPS, TRAINING)
    publish(lake, SNAPS, around_the_session(edit))
    found = outcome_of(lake, "gaps")
    values, limits = found.measured, found.threshold
    assert found.passed == passed
    assert (values["silent_seconds"], values["longest_seconds"]) == (seconds, pytest.approx(longest, abs=20 if longest < 60 else 0))
    assert values["silent_share"] == pytest.approx(seconds / 22_500)
    assert (limits["silent_share"], limits["longer_than_seconds"]) == (0.05, 60)


@pytest.mark.parametrize(("share", "passed"), [(0.01, True), (0.0125, False)])
def test_a_book_may_be_unsound_in_one_snap_of_a_hundred(share: float, passed: bool, made: Lake, tmp_path: Path) -> None:
    lake = beside(made, tmp_path, SNAPS, TRAINING)
    publish(lake, SNAPS, around_the_session(unsound(share)))
    found = outcome_of(lake, "crossed")
    values, limits = found.measured, found.threshold
    assert found.passed == passed
    assert (values["share"], limits["share"], values["snaps"]) == (share, 0.01, 90_000)


@pytest.mark.parametrize(("end", "minutes", "passed"), [("12:30", 30, True), ("13:00", 60, False)])
def test_minutes_without_records_are_not_covered(end: str, minutes: int, passed: bool, made: Lake, tmp_path: Path) -> None:
    before = outcome_of(made, "coverage").measured
    lake = beside(made, tmp_path, SNAPS, TRAINING)
    publish(lake, SNAPS, nothing_counted("12:00", end))
    found = outcome_of(lake, "coverage")
    values, limits = found.measured, found.threshold
    assert found.passed == passed
    assert (before["covered_share"] - values["covered_share"]) * 705 == pytest.approx(minutes, abs=1.1)
    assert (limits["covered_share"], values["minutes"], values["2025-06-03"]) == (0.95, 705, "full (vendor)")


def test_steps_that_nobody_observed_are_sound_where_the_snaps_say_so(made: Lake, tmp_path: Path) -> None:
    lake = beside(made, tmp_path, SNAPS, *GOLD)
    publish(lake, SNAPS, unsound(0.005))
    for table in GOLD:
        assert all(result.passed for result in judged(lake, table).values())
    unobserved = np.mean(lake.rows(SEQUENCES, DATE)["observed"] == 0)
    assert 0 < unobserved < 0.05


@pytest.mark.parametrize(
    ("dates", "missing", "books", "share", "holes"),
    [
        (earlier(1, 2, 3), earlier(4, 5, 6), earlier(3), 1.0, 0),  # what lies before the lake's first date is not missed
        (earlier(*range(1, 10)), earlier(10, 11), earlier(10), 0.9, 1),
        ([], earlier(1, 2, 3), [], 1.0, 0),  # a first date
    ],
)
def test_only_dates_since_the_lakes_first_one_are_missed(
    dates: list[str], missing: list[str], books: list[str], share: float, holes: int, made: Lake, tmp_path: Path
) -> None:
    lake = beside(made, tmp_path, PRIORS, FUTURES_MBP10, TRAINING)
    with_books(lake, [dt.date.fromisoformat(date) for date in books])
    publish(lake, PRIORS, facts={"dates": dates, "missing": missing})
    found = outcome_of(lake, "calendar")
    values, limits = found.measured, found.threshold
    assert found.passed
    assert (values["share"], values["dates"], values["missing"], limits["share"]) == (share, len(dates), holes, 0.9)


def test_missing_dates_are_named(made: Lake, tmp_path: Path) -> None:
    lake = beside(made, tmp_path, PRIORS, FUTURES_MBP10, TRAINING)
    with_books(lake, [dt.date.fromisoformat(earlier(12)[0])])
    publish(lake, PRIORS, facts={"dates": earlier(1), "missing": earlier(*range(2, 13))})
    named = ", ".join(earlier(*range(12, 2, -1)))
    assert outcome_of(lake, "calendar").message == f"missing: {named} ..."


def test_four_earlier_dates_tell_nothing_of_drift(warm: Lake, tmp_path: Path) -> None:
    lake = beside(warm, tmp_path, FEATURE_ROWS, *GOLD)
    for date in EARLIER[:2]:
        shutil.rmtree(lake.folder(TRAINING, date))
    publish(lake, FEATURE_ROWS, shifted_family)
    make(lake, TRAIN)
    found = outcome_of(lake, "drift")
    assert found.passed and found.message == "too few earlier dates to compare with"
    assert (found.measured, found.threshold) == ({"dates": 4}, {"dates": 5})


def test_drift_names_the_features(warm: Lake, tmp_path: Path) -> None:
    lake = beside(warm, tmp_path, FEATURE_ROWS, *GOLD)
    publish(lake, FEATURE_ROWS, shifted_family)
    make(lake, TRAIN)
    found, family = outcome_of(lake, "drift"), order_flow()
    assert not found.passed
    values = dict(found.measured)
    assert set(str(values.pop("farthest")).split(", ")) < set(family)
    assert float(values.pop("farthest_z") or 0) > 6
    features = len([feature for feature in FEATURES if not feature.categories and feature.null != "always"])
    assert values == {"drifted_share": len(family) / features, "features": features, "drifted": len(family), "dates": 6}
    assert found.threshold == {"drifted_share": 0.1, "drifted_beyond_z": 6}


@pytest.mark.parametrize(("factor", "failed"), [(0.7, {"outcomes"}), (1.3, {"outcomes"}), (2.5, {"outcomes", "geometry"})])
def test_labels_made_with_another_barrier_are_found(factor: float, failed: set[str], made: Lake, tmp_path: Path) -> None:
    """Exactly, by their own numbers; where the barrier is a far one, by geometry too."""
    day = Maker(DATE, made).day(SNAPS, PRINTS, TOUCHES)
    touches, params = made.rows(TOUCHES, DATE), label_params(CONFIG, SECOND // CONFIG.grid.interval_ns)
    for name in HORIZONS:
        touches[f"theta_{name}"] = touches[f"theta_{name}"] * factor

    def of_another_barrier(rows: np.ndarray, _: Text) -> None:
        for row in rows.reshape(-1, 1):
            touch = touches[row["touch"]]
            labels_at(int(row["k"][0]), day.snaps, day.prints.rows, touch, params, day.clock, row)

    lake = beside(made, tmp_path, LABELS, *GOLD)
    publish(lake, LABELS, of_another_barrier)
    found = judged(lake, TRAINING)
    assert {name for name, result in found.items() if not result.passed} == failed
    assert shown(found["outcomes"])[0]["unlike_their_barriers"] > len(touches)


@pytest.mark.parametrize("table", GOLD, ids=lambda table: table.name)
def test_a_flipped_bit_in_the_file_fails_the_schema_check(table: Table, made: Lake, tmp_path: Path) -> None:
    """In the last bytes of a column without a range: nothing but the checksum can tell."""
    lake = beside(made, tmp_path, table)
    flip(lake, table, next(number for number, c in enumerate(table.columns) if c.low is c.high is None and not c.is_text))
    found = measured(lake, table)
    assert not any(result.passed for result in found.values())  # nothing is vouched for
    assert "checksum" in shown(found["schema"])[0]["damage"]
    assert found["schema"].description == f"the stored file cannot be read; make it again: spymaster day {DATE} --force"
