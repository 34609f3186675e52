"""Silver's checks: each passes on a sound date and fails on its own defect."""

from pathlib import Path

import dagster as dg
import numpy as np
import pytest

from spymaster_assets.assets.checks import key_of
from spymaster_assets.assets.stages import stage_assets
from spymaster_assets.lake import Lake
from spymaster_assets.quality import Check, examine
from spymaster_assets.schema import Table
from spymaster_assets.silver_quality import SILVER_CHECKS
from spymaster_assets.states import BOUNCE, BREAK, CRITICAL, FOLLOWING, PM_HIGH, RESOLVED
from spymaster_assets.tables import (
    BARS,
    DAY_SUMMARY,
    FEATURE_ROWS,
    FLOW,
    LABELS,
    LEVELS,
    PRINTS,
    PRIORS,
    SIGNALS,
    SILVER,
    SNAPS,
    TOUCHES,
)
from tests.defects import (
    DATE,
    SECOND,
    Defect,
    add,
    at_elapsed,
    beside,
    came_out,
    each,
    flip,
    made_of,
    measured,
    misses,
    name_of,
    publish,
    put,
    shown,
)
from tests.silver_defects import DEFECTS, _empty, _kind, _later, half_of

COLD = {("priors", "earlier_dates"), ("touches", "volatility_known")}  # warn on a first date
WARNING = {*COLD, ("option_flow", "premium_signs"), ("labels", "outcomes_observed")}


# Lakes


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """A simulated date, without earlier dates."""
    return made_of(tmp_path_factory.mktemp("silver_quality"), events=20_000, seed=5)


@pytest.fixture(scope="module")
def warm(made: Lake, tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """The same as if three earlier dates had been there: nothing warns."""
    lake = beside(made, tmp_path_factory.mktemp("warm"), TOUCHES, PRIORS)
    publish(lake, TOUCHES, put("sigma_cold", 0, slice(None)))
    publish(lake, PRIORS, facts={"dates": ["2025-05-29", "2025-05-30", "2025-06-02"]})
    return lake


# Defects


@pytest.fixture(scope="module")
def sound(made: Lake, warm: Lake) -> dict[str, dict[tuple[str, str], dg.AssetCheckResult]]:
    """Every result on the date as it is (cold), and on it as if earlier dates had been there (warm)."""
    return {
        name: {(table.name, check): found for table in SILVER for check, found in measured(lake, table).items()}
        for name, lake in (("cold", made), ("warm", warm))
    }


@pytest.mark.parametrize("check", SILVER_CHECKS, ids=name_of)
def test_check_passes_on_a_sound_date(check: Check, sound: dict[str, dict[tuple[str, str], dg.AssetCheckResult]]) -> None:
    """A first date warns that it knows nothing of earlier ones."""
    key = check.table.name, check.name
    first, later = sound["cold"][key], sound["warm"][key]
    assert first.passed == (key not in COLD), (shown(first), first.description)
    assert later.passed, (shown(later), later.description)


@pytest.mark.parametrize("check", SILVER_CHECKS, ids=name_of)
def test_check_shows_value_and_threshold(check: Check, sound: dict[str, dict[tuple[str, str], dg.AssetCheckResult]]) -> None:
    values, limits = shown(sound["cold"][check.table.name, check.name])
    assert values and limits
    assert set(limits) <= set(values), "a threshold of something that is not measured"


@pytest.mark.parametrize("check", SILVER_CHECKS, ids=name_of)
def test_check_has_a_defect(check: Check) -> None:
    seeded = {(defect.table.name, defect.check) for defect in (*DEFECTS, *FOUND_LATER)}
    assert (check.table.name, check.name) in seeded, f"no defect is seeded for {name_of(check)}"


@pytest.mark.parametrize("check", SILVER_CHECKS, ids=name_of)
def test_check_blocks_unless_it_is_one_that_warns(check: Check) -> None:
    asset = next(asset for asset in stage_assets if key_of(check.table) in asset.keys)
    spec = asset.get_spec_for_check_key(dg.AssetCheckKey(key_of(check.table), check.name))
    assert spec.blocking == check.blocking == ((check.table.name, check.name) not in WARNING)
    assert spec.description


@pytest.mark.parametrize("defect", DEFECTS, ids=str)
def test_defect_fails_its_check_and_no_other(
    defect: Defect, warm: Lake, sound: dict[str, dict[tuple[str, str], dg.AssetCheckResult]], tmp_path: Path
) -> None:
    found = measured(defect.apply(warm, tmp_path), defect.table)
    assert {name for name, result in found.items() if not result.passed} == {defect.check, *defect.also}
    result = found[defect.check]
    blocking = (defect.table.name, defect.check) not in WARNING
    assert result.severity is (dg.AssetCheckSeverity.ERROR if blocking else dg.AssetCheckSeverity.WARN)

    misses(result, defect.off)
    message = result.description or ""
    assert " " in message and message != sound["warm"][defect.table.name, defect.check].description


def _without_range(table: Table) -> list[int]:
    return [number for number, c in enumerate(table.columns) if c.low is None and c.high is None and not c.is_text]


@pytest.mark.parametrize("table", [table for table in SILVER if _without_range(table)], ids=lambda table: table.name)
def test_a_flipped_byte_in_the_file_fails_the_schema_check(table: Table, warm: Lake, tmp_path: Path) -> None:
    """In the last bytes of a column without a range: nothing but the checksum can tell."""
    lake = beside(warm, tmp_path, table)
    flip(lake, table, _without_range(table)[0])
    [outcome] = examine(lake, table, DATE, [check for check in SILVER_CHECKS if check.name == "schema"]).values()
    assert not outcome.passed
    assert "checksum" in str(outcome.measured["damage"])
    assert outcome.message == f"the stored file cannot be read; make it again: spymaster day {DATE} --force"
    assert not any(one.passed for one in examine(lake, table, DATE, SILVER_CHECKS).values())  # nothing is vouched for


# Defects that an earlier form of the checks let through

HOUR = 3600 * SECOND


def doubled_and_missing(rows, _):
    return np.r_[0:5000, 5001, 5001 : len(rows)]


def exchanged(rows, _):
    rows[[4999, 200_000]] = rows[[200_000, 4999]]


def no_trades_less(rows, _):
    return rows["bought"] + rows["sold"] > 0


def reverse(rows, _):
    return np.arange(len(rows))[::-1]


def bar_twice(rows, _):
    e = np.flatnonzero(_empty(rows))
    rows[e[0]] = rows[e[1]]


def other_side(rows, _):
    i = np.flatnonzero(rows["side"] == ord("A"))[3]
    rows["side"][i] = ord("B")


def early(rows, _):
    rows["valid_from"][rows["kind"] == PM_HIGH] -= 5 * HOUR


def no_e0(rows, _):
    return rows["elapsed"] != 0


def hole30(rows, _):
    return rows["elapsed"] != 30


def touch3(rows, _):
    return rows["touch"] != 3


def one_id(_, text):
    text["event_id"][:] = text["event_id"][0]


def nonsense(_, text):
    text["event_id"][5] = "nonsense"


def a_tenth_less(rows, _):
    return (rows["bought"] + rows["sold"] > 0) | (np.arange(len(rows)) % 10 > 0)


def nothing_left(rows, _):
    return np.zeros(0, int)


def halved(rows, _):
    rows["elapsed"] /= 2


FOUND_LATER = (
    Defect(SNAPS, "dense", "a snap doubled and another missing", doubled_and_missing, {}),
    Defect(SNAPS, "dense", "two snaps exchanged in the file", exchanged, {}),
    Defect(SNAPS, "dense", "buy_volume falls", add("buy_volume", -50, slice(200_000, None)), {}),
    Defect(PRINTS, "prints_are_trades", "a price one tick off", add("ticks", 1, 700), {}),
    Defect(PRINTS, "prints_are_trades", "another aggressor", other_side, {}),
    Defect(PRINTS, "prints_are_trades", "a print in another snap", add("k", 40, 700), {}),
    Defect(FLOW, "flow_identity", "every row without a trade lost", no_trades_less, {}),
    Defect(FLOW, "flow_identity", "a tenth of the rows without a trade lost", a_tenth_less, {}),
    Defect(FLOW, "flow_identity", "snaps count another number of rows", add("flow_rows", 5, slice(200_000, None)), {}, of=SNAPS),
    Defect(FLOW, "flow_identity", "rows out of order", reverse, {}),
    Defect(BARS, "bars_hold_prints", "a bar doubled and another missing", bar_twice, {}),
    Defect(BARS, "bars_hold_prints", "a high far above all prints", add("high", 1000, 900), {}),
    Defect(BARS, "bars_hold_prints", "no bars at all", nothing_left, {}),
    Defect(LEVELS, "levels_are_extremes", "PM_HIGH known five hours early", early, {}),
    Defect(LEVELS, "levels_are_extremes", "ticks of a level a point off", add("ticks", 4, _kind(PM_HIGH)), {}),
    Defect(TOUCHES, "touch_rules", "k of another snap than t0", add("k", 9, 3), {}),
    Defect(TOUCHES, "touch_rules", "numbers that do not begin at 0", add("touch", 1, slice(None)), {}),
    Defect(TOUCHES, "touch_rules", "an id that is none", nonsense, {}),
    Defect(FEATURE_ROWS, "null_policy", "NaN where no null may be", put("excursion_max", np.nan, 30), {}),
    Defect(FEATURE_ROWS, "null_policy", "NaN where no null may be (approach)", put("approach_tape_prints", np.nan, 30), {}),
    Defect(FEATURE_ROWS, "null_policy", "a reaction null at e > 0", put("tape_prints", np.nan, at_elapsed(30)), {}),
    Defect(FEATURE_ROWS, "null_policy", "a reaction state null at e > 0", each(put("barrier_state", -1, _later)), {}),
    *(
        Defect(t, "known_at_the_moment", what, edit, {})
        for t in (FEATURE_ROWS, LABELS)
        for what, edit in (
            ("no row at e = 0", no_e0),
            ("no row at e = 30 though at e = 60", hole30),
            ("a touch without rows", touch3),
            ("k of another snap than ts", add("k", 1, slice(None))),
            ("ids of another touch", one_id),
        )
    ),
    Defect(SIGNALS, "signal_rules", "rows of touches that do not exist", add("touch", 1000, slice(None)), {}),
    Defect(SIGNALS, "signal_rules", "a touch without signals", touch3, {}),
    Defect(SIGNALS, "signal_rules", "times a second off", add("ts", SECOND, slice(None)), {}),
    Defect(SIGNALS, "signal_rules", "elapsed halved", halved, {}),
    Defect(
        SIGNALS,
        "signal_rules",
        "critical far from the level",
        put("phase", CRITICAL, lambda r: (r["phase"] == FOLLOWING) & (r["trigger"] == 0)),
        {},
    ),
    Defect(
        LABELS,
        "label_windows",
        "BOUNCE after a break",
        half_of("time_to_break_2_4min", "time_to_bounce_2_4min", came_out("4min", BOUNCE)),
        {},
    ),
    Defect(LABELS, "label_windows", "RESOLVED with times", put("outcome_4min", RESOLVED, came_out("4min", BREAK)), {}),
    Defect(
        LABELS,
        "label_windows",
        "theta reached but .33 theta not",
        put("time_to_break_1_4min", np.nan, came_out("4min", BREAK)),
        {},
    ),
    Defect(
        LABELS, "label_windows", "theta reached before .33 theta", add("time_to_break_1_4min", 100, came_out("4min", BREAK)), {}
    ),
    Defect(PRIORS, "buckets", "a bucket twice", put("bucket", 4, 3), {}),
    Defect(DAY_SUMMARY, "buckets", "a bucket twice", put("bucket", 4, 3), {}),
)


@pytest.mark.parametrize("defect", FOUND_LATER, ids=str)
def test_defect_found_later_fails_its_check(defect: Defect, warm: Lake, tmp_path: Path) -> None:
    found = measured(defect.apply(warm, tmp_path), defect.table)
    assert not found[defect.check].passed


def test_a_cut_file_fails_every_check_and_raises_nothing(warm: Lake, tmp_path: Path) -> None:
    lake = beside(warm, tmp_path, FLOW)
    path = lake.path(FLOW, DATE)
    path.write_bytes(path.read_bytes()[:-100])
    assert not any(outcome.passed for outcome in examine(lake, FLOW, DATE, SILVER_CHECKS).values())
