"""Silver's checks: each passes on a sound date and fails on its own defect; what a failure stops, and what makes a stage stale."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pytest

from spymaster_assets.assets.checks import key_of
from spymaster_assets.assets.stages import stage_assets
from spymaster_assets.compute.stream import Day
from spymaster_assets.config import Config
from spymaster_assets.definitions import build
from spymaster_assets.features import HORIZONS
from spymaster_assets.lake import Lake
from spymaster_assets.maker import Maker, MissingTable
from spymaster_assets.quality import Check, examine
from spymaster_assets.schema import Table
from spymaster_assets.sessions import calendar
from spymaster_assets.silver import SILVER_STAGES
from spymaster_assets.silver_quality import SILVER_CHECKS
from spymaster_assets.states import (
    BOUNCE,
    BREAK,
    BREAK_TRIGGER,
    CENSORED,
    CHOP,
    CRITICAL,
    FOLLOWING,
    FUEL_UNKNOWN,
    OR_HIGH,
    OR_LOW,
    PM_HIGH,
    PM_LOW,
    RESOLVED,
    SMA_200,
    UNOBSERVED,
    UP,
    WEAK,
)
from spymaster_assets.tables import (
    BARS,
    DAY_SUMMARY,
    FEATURE_ROWS,
    FLOW,
    LABELS,
    LEVELS,
    OPEN_INTEREST,
    OPTION_FLOW,
    PRINTS,
    PRIORS,
    SIGNALS,
    SILVER,
    SNAPS,
    TOUCHES,
)
from tests.defects import (
    CONFIG,
    DATE,
    SECOND,
    Defect,
    Edit,
    Text,
    Where,
    add,
    at,
    at_elapsed,
    beside,
    came_out,
    clone,
    double,
    each,
    flip,
    lose,
    made_of,
    measured,
    misses,
    name_of,
    nullable,
    publish,
    put,
    shown,
    swapped,
    wider,
)

TICK = CONFIG.instrument.tick
STAGE = {stage.name: stage for stage in SILVER_STAGES}
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


# Edits


def swap_neighbours(rows: np.ndarray, _: Text) -> None:
    """Two prints of different times exchanged."""
    first = np.flatnonzero(np.diff(rows["ts"]) > 0)[700]
    rows[[first, first + 1]] = rows[[first + 1, first]]


def falling(rows: np.ndarray, _: Text) -> None:
    """Every counter falls once, and recovers."""
    for number, name in enumerate(("records", "prints", "volume", "flow_rows", "resets", "crossed", "late")):
        rows[name][200_000 + 10 * number] -= 1_000


def one_record_less(rows: np.ndarray, _: Text) -> None:
    rows["records"][rows["records"] == rows["records"].max()] -= 1


def too_soon(rows: np.ndarray, _: Text) -> None:
    """The second touch of a level that holds all day comes 299 s after the first."""
    twice = next(kind for kind in (PM_HIGH, PM_LOW, OR_HIGH, OR_LOW) if np.count_nonzero(rows["kind"] == kind) > 1)
    first, second = np.flatnonzero(rows["kind"] == twice)[:2]
    rows["t0"][second] = rows["t0"][first] + 299 * SECOND


def after_the_signals(rows: np.ndarray, _: Text) -> None:
    """The last touch of a premarket level comes 1 ns after the signal window."""
    last = np.flatnonzero(rows["kind"] == PM_HIGH)[-1]
    rows["t0"][last] = calendar(CONFIG).session(DATE).signals.end + 1


def same_id(_: np.ndarray, text: Text) -> None:
    text["event_id"][1] = text["event_id"][0]


def censored(rows: np.ndarray, _: Text) -> None:
    """One label more than a fifth was not observed to its end."""
    rows["outcome_4min"][: len(rows) // 5 + 1] = CENSORED


def half_of(name: str, of: str, where: Where) -> Edit:
    def edit(rows: np.ndarray, _: Text) -> None:
        place = at(rows, where)
        rows[name][place] = rows[of][place] / 2

    return edit


# Defects


def _out_of_range(table: Table, what: str, edit: Edit, also: tuple[str, ...] = ()) -> Defect:
    return Defect(table, "schema", what, edit, {"values_out_of_range": 1}, also)


def _traded(rows: np.ndarray) -> Any:
    return rows["volume"] > 0


def _empty(rows: np.ndarray) -> Any:
    return (rows["volume"] == 0) & (rows["minutes"] == 1)


def _hit(rows: np.ndarray) -> Any:
    return rows["bought"] + rows["sold"] == 1


def _later(rows: np.ndarray) -> Any:
    return (rows["elapsed"] > 0) & (rows["barrier_state"] > UNOBSERVED)


def _fuelled(rows: np.ndarray) -> Any:
    return ~np.isnan(rows["gex_at"])


def _scored(rows: np.ndarray) -> Any:
    return rows["break_score_raw"] >= 0


def _kind(number: int) -> Where:
    return lambda rows: rows["kind"] == number


def _moments(table: Table, also: tuple[str, ...] = ()) -> tuple[Defect, ...]:
    """Of the tables that have a row per touch and landmark. `also`: what else fails where a row's time is wrong."""
    return (
        Defect(table, "known_at_the_moment", "a row at no landmark", add("elapsed", 1, at_elapsed(15)),
               {"not_a_landmark": 1, "another_moment": 1}),
        Defect(table, "known_at_the_moment", "a row 1 ns late", add("ts", 1, 30), {"another_moment": 1}, also),
        Defect(table, "known_at_the_moment", "a row doubled", double(30), {"keys": -1, "joined": 0}),
        Defect(table, "known_at_the_moment", "a row of no touch", put("touch", 9_999, 30), {"keys": -1, "joined": -1}),
    )  # fmt: skip


def _windows(name: str, seconds: int) -> tuple[Defect, ...]:
    """Of the labels of one horizon."""

    def one(what: str, edit: Edit, rule: str) -> Defect:
        return Defect(LABELS, "label_windows", f"{name}, {what}", edit, {f"{rule}_{name}": 1})

    broke, bounced, chopped = (came_out(name, outcome) for outcome in (BREAK, BOUNCE, CHOP))
    to_break, to_bounce = f"time_to_break_2_{name}", f"time_to_bounce_2_{name}"
    return (
        one("an end one second off", add(f"label_end_{name}", SECOND, 5), "end"),
        one("a time that is not after the moment", put(f"time_to_break_1_{name}", 0, broke), "not_after"),
        one("a time beyond the horizon", put(f"time_to_bounce_1_{name}", seconds + 0.5, broke), "not_after"),
        one("BREAK without a time", put(to_break, np.nan, broke), "break_untimed"),
        one("BOUNCE without a time", put(to_bounce, np.nan, bounced), "bounce_untimed"),
        one("CHOP with a time", put(to_break, 10, chopped), "chop_reached"),
        one("BREAK after a bounce", half_of(to_bounce, to_break, broke), "order"),
    )


DEFECTS = (
    _out_of_range(PRIORS, "a share above 1", put("consumed_share", 1.5, 7)),
    Defect(PRIORS, "earlier_dates", "one date too few", None, {"dates": -1}, facts={"dates": ["2025-05-30", "2025-06-02"]}),
    #
    _out_of_range(SNAPS, "a flag of 2", put("book_ok", 2, 5_000)),
    Defect(SNAPS, "dense", "a snap missing", lose(5_000), {"rows": -1}),
    Defect(SNAPS, "dense", "a snap doubled", double(5_000), {"rows": 1, "falling_counters": 0}),
    Defect(SNAPS, "dense", "a snap 1 ns late", add("ts", 1, 5_000), {"off_the_grid": 1}),
    Defect(SNAPS, "dense", "counters that fall", falling, {"falling_counters": 7, "records": 0}),
    Defect(SNAPS, "dense", "a record in no snap", one_record_less, {"records": -1, "falling_counters": 0}),
    #
    _out_of_range(PRINTS, "a cluster of -1 lots", put("cluster_size", -1, 700)),
    Defect(PRINTS, "prints_are_trades", "a print lost", lose(700), {"prints": -1, "counted": 0, "lots": None}),
    Defect(PRINTS, "prints_are_trades", "a print doubled", double(700), {"prints": 1, "counted": 0, "lots": None}),
    Defect(PRINTS, "prints_are_trades", "a lot too many", add("size", 1, 700), {"lots": 1, "prints": 0}),
    Defect(PRINTS, "prints_are_trades", "two prints exchanged", swap_neighbours, {"backward": 1, "prints": 0}),
    Defect(PRINTS, "prints_are_trades", "a print that snaps do not count, and a lot that only they count",
           each(add("prints", -1, slice(-90_000, None)), add("volume", 1, slice(-9, None))),
           {"counted": -1, "counted_lots": 1, "prints": 0}, of=SNAPS),
    #
    _out_of_range(FLOW, "-1 lots pulled", put("pulled", -1, lambda rows: rows["pulled"] == 0)),
    Defect(FLOW, "volume_conservation", "a lot filled that was not traded", add("filled", 1, _hit), {"filled_beyond_traded": 1}),
    Defect(FLOW, "volume_conservation", "a lot traded that was not filled", add("filled", -1, _hit), {"attributed": 0}),
    Defect(FLOW, "volume_conservation", "a lot bought too many", add("bought", 1, _hit), {"attributed": 1}),
    Defect(FLOW, "volume_conservation", "a row lost", lose(_hit), {"attributed": -1}, also=("flow_identity",)),
    Defect(FLOW, "volume_conservation", "more discarded than traded", None, {"attributed": 0}, facts={"lots_discarded": 10**6}),
    Defect(FLOW, "flow_identity", "a lot too many here and there", add("added", 1, slice(None, None, 400)), {"share_wrong": None}),
    Defect(FLOW, "flow_identity", "added and pulled exchanged", swapped("added", "pulled"), {"share_wrong": None}),
    #
    _out_of_range(OPTION_FLOW, "a right that is neither call nor put", put("call", 2, 9)),
    Defect(OPTION_FLOW, "premium_signs", "more signed than traded", add("signed", 1_000, _traded), {"signed_beyond_volume": 1}),
    Defect(OPTION_FLOW, "premium_signs", "a row of nothing", each(put("trades", 0, 0), put("quotes", 0, 0), put("volume", 0, 0),
           put("signed", 0, 0), put("unsigned", 0, 0)), {"nothing_happened": 1}),
    Defect(OPEN_INTEREST, "reported_once", "a report after the open", add("ts", 86_400_000_000_000, 3), {"late": 1}),
    Defect(OPEN_INTEREST, "reported_once", "a contract twice", double(3), {"doubled": 2}),
    _out_of_range(OPEN_INTEREST, "a negative number of contracts", put("quantity", -1, 2)),
    Defect(OPTION_FLOW, "premium_signs", "lots without a trade", put("trades", 0, _traded), {"volume_without_trades": 1}),
    Defect(OPTION_FLOW, "premium_signs", "a trade without lots", each(put("signed", 0, _traded), put("volume", 0, _traded)),
           {"volume_without_trades": 1}),
    #
    _out_of_range(BARS, "-1 prints", put("prints", -1, _traded), also=("bars_hold_prints",)),
    Defect(BARS, "bars_hold_prints", "a lot too many", add("volume", 1, _traded), {"unlike_their_prints": 1}),
    Defect(BARS, "bars_hold_prints", "a lot lost", add("volume", -1, lambda rows: rows["volume"] > 1),
           {"unlike_their_prints": 1}),
    Defect(BARS, "bars_hold_prints", "a bar missing", lose(_empty), {"rows": -1, "misplaced": None}),
    Defect(BARS, "bars_hold_prints", "a length missing", lambda rows, _: rows["minutes"] == 1, {"rows": -690}),
    Defect(BARS, "bars_hold_prints", "a high below the close", add("high", -10_000, _traded), {"disordered": 1}),
    Defect(BARS, "bars_hold_prints", "prints without lots", put("prints", 1, _empty), {"unlike_their_prints": 1}),
    #
    Defect(LEVELS, "schema", "a row lost from the file", None, {"rows": -1}, stored=lambda file: file.slice(1)),
    Defect(LEVELS, "schema", "a column of another type", None, {"columns_wrong": "ticks"}, stored=wider("ticks")),
    *(
        Defect(LEVELS, "levels_are_extremes", f"{name} one tick off", add("price", step * TICK, _kind(number)), {name: step * TICK})
        for number, (name, step) in enumerate((("PM_HIGH", 1), ("PM_LOW", 1), ("OR_HIGH", -1), ("OR_LOW", -1)))
    ),
    Defect(LEVELS, "levels_are_extremes", "a level missing", lose(_kind(PM_HIGH)), {"PM_HIGH": "None"}),
    Defect(LEVELS, "levels_are_extremes", "an average beyond the closes", put("price", 0, _kind(SMA_200)), {"averages_outside": 1}),
    Defect(LEVELS, "levels_are_extremes", "a level doubled", double(100), {"doubled": 1}),
    Defect(LEVELS, "levels_are_extremes", "a level that ends before it begins", put("valid_to", 0, _kind(PM_HIGH)), {"invalid": 1}),
    #
    _out_of_range(TOUCHES, "a negative volatility", put("sigma", -1, 3)),
    Defect(TOUCHES, "touch_rules", "a touch after the signal window", after_the_signals, {"outside_signals": 1}),
    Defect(TOUCHES, "touch_rules", "two touches too close", too_soon, {"too_soon": 1}),
    Defect(TOUCHES, "touch_rules", "a price that no level had", add("price", 1, lambda rows: rows["direction"] != UP),
           {"level_not_in_force": 1}),
    Defect(TOUCHES, "touch_rules", "prints that do not reach the level",
           add("entry_high", -100, lambda rows: rows["direction"] == UP), {"not_at_the_level": 1}),
    Defect(TOUCHES, "touch_rules", "an attempt counted twice", put("attempt_index", 2, _kind(PM_HIGH)),
           {"attempts_out_of_order": 1}),
    Defect(TOUCHES, "touch_rules", "two touches of one id", same_id, {"ids_doubled": 2}),
    Defect(TOUCHES, "touch_rules", "a longer horizon with a nearer barrier", put("theta_4min", 90_000, 0), {"thetas_falling": 1}),
    Defect(TOUCHES, "volatility_known", "a touch without volatility", put("sigma", np.nan, 3), {"no_volatility": 1, "cold": 0}),
    Defect(TOUCHES, "volatility_known", "a touch without priors", put("sigma_cold", 1, 3), {"cold": 1, "no_volatility": 0}),
    #
    _out_of_range(FEATURE_ROWS, "a share of 2", put("barrier_observed", 2, 30)),
    Defect(FEATURE_ROWS, "null_policy", "a null where none may be", None, {"excursion_max_unexpected_null": 1}, ("schema",),
           stored=nullable("excursion_max")),
    Defect(FEATURE_ROWS, "null_policy", "an effect of unknown numbers", put("gamma_exposure", np.nan, _fuelled),
           {"fuel_without_numbers": 1}),
    Defect(FEATURE_ROWS, "null_policy", "numbers of unknown fuel",
           each(put("fuel_effect", FUEL_UNKNOWN, _fuelled), put("gamma_exposure", np.nan, _fuelled)),
           {"numbers_of_unknown_fuel": 1}),
    Defect(FEATURE_ROWS, "null_policy", "a reaction at e = 0", put("tape_prints", 0, at_elapsed(0)), {"tape_prints_at_e_0": 1}),
    Defect(FEATURE_ROWS, "null_policy", "a state of the reaction at e = 0", put("barrier_state", WEAK, at_elapsed(0)),
           {"barrier_state_at_e_0": 1, "states_without_numbers": 1}),
    Defect(FEATURE_ROWS, "null_policy", "a state without numbers", put("barrier_turnover", np.nan, _later),
           {"states_without_numbers": 1}),
    Defect(FEATURE_ROWS, "null_policy", "numbers of what was not observed", put("barrier_state", UNOBSERVED, _later),
           {"numbers_unobserved": 1}),
    *_moments(FEATURE_ROWS),
    #
    _out_of_range(SIGNALS, "a score of 101", put("score_liquidity", 101, lambda rows: rows["score_liquidity"] >= 0)),
    Defect(SIGNALS, "signal_rules", "a snap skipped", lose(500), {"snaps_skipped": 1}),
    Defect(SIGNALS, "signal_rules", "the snap of the touch missing", lose(0), {"snaps_skipped": 1}),
    Defect(SIGNALS, "signal_rules", "a snap doubled", double(500), {"snaps_skipped": 1}),
    Defect(SIGNALS, "signal_rules", "a touch followed for too long", put("elapsed", 240.25, 500), {"too_long": 1}),
    Defect(SIGNALS, "signal_rules", "no score of known parts",
           put("break_score_raw", np.nan, lambda rows: rows["score_liquidity"] >= 0), {"score_of_nothing": 1}),
    Defect(SIGNALS, "signal_rules", "a score of unknown parts",
           each(put("score_hedge", np.nan, _scored), put("score_liquidity", np.nan, _scored)), {"score_of_nothing": 1}),
    Defect(SIGNALS, "signal_rules", "a signal outside the band",
           put("signal", BREAK_TRIGGER, lambda rows: rows["phase"] == FOLLOWING), {"signal_outside_band": 1}),
    Defect(SIGNALS, "signal_rules", "a signal that was not triggered",
           put("signal", BREAK_TRIGGER, lambda rows: (rows["phase"] == CRITICAL) & (rows["trigger"] != BREAK_TRIGGER)),
           {"signal_unlike_trigger": 1}),
    #
    _out_of_range(LABELS, "a flag of 2", put("tradeable_1_4min", 2, 30)),
    *(defect for name, seconds in HORIZONS.items() for defect in _windows(name, seconds)),
    *_moments(LABELS, ("label_windows",)),  # whose ends are counted from the same time
    Defect(LABELS, "outcomes_observed", "too many labels censored", censored, {"censored_share": None}),
    #
    _out_of_range(DAY_SUMMARY, "a bucket after the last", put("bucket", 144, 143), also=("buckets",)),
    Defect(DAY_SUMMARY, "schema", "a column missing", None, {"columns_wrong": "atr", "damage": "expected"},
           stored=lambda file: file.drop_columns(["atr"])),
)  # fmt: skip


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


# What a defect does downstream


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as ephemeral:
        yield ephemeral


def test_a_corrupt_grid_stops_everything_that_reads_it_in_the_same_run(
    made: Lake, tmp_path: Path, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    complete = Day.complete

    def corrupt(day: Day, watermark: int) -> None:
        complete(day, watermark)
        day.flow.rows["filled"][0] += 1

    monkeypatch.setattr(Day, "complete", corrupt)
    lake = clone(made, tmp_path, "landing", "bronze")
    result = build(tmp_path).resolve_job_def("date_job").execute_in_process(
        instance=instance, partition_key=str(DATE), raise_on_error=False,
        run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
    )  # fmt: skip
    assert not result.success

    checks = {(found.asset_key.path[-1], found.check_name): found for found in result.get_asset_check_evaluations()}
    failed = {key for key, found in checks.items() if not found.passed and found.blocking}
    assert failed == {("flow", "volume_conservation")}
    flow = checks["flow", "volume_conservation"]
    assert flow.severity is dg.AssetCheckSeverity.ERROR
    assert flow.description == "flow and prints tell different volumes"
    assert flow.metadata["filled_beyond_traded"].value == 1 > flow.metadata["threshold: filled_beyond_traded"].value
    assert [event.step_key for event in result.get_step_failure_events()] == ["silver_grid"]

    started = {event.step_key for event in result.all_events if event.event_type_value == "STEP_START"}
    others = {"silver_option_flow", "silver_priors"}  # read nothing of it
    assert {step for step in started if step and step.startswith("silver")} == {"silver_grid", *others}
    events = [event.step_materialization_data.materialization.asset_key for event in result.get_asset_materialization_events()]
    reported = {key.path[-1] for key in events if key.path[0] == "silver"}
    stored = {table.name for table in SILVER if lake.manifest(table, DATE)}
    assert reported == stored == {"snaps", "prints", "flow", "option_flow", "open_interest", "priors"}


# When a stage is stale


def reasons(lake: Lake) -> dict[str, list[str]]:
    """Stage -> why it would be made again, of those that would; all tables of a stage say the same."""
    silver = Maker(DATE, lake)
    found = {stage.name: [silver.stale(stage, table) for table in stage.tables] for stage in SILVER_STAGES}
    assert all(same == words[0] for words in found.values() for same in words)
    return {name: words[0] for name, words in found.items() if words[0]}


@pytest.mark.parametrize(
    ("group", "name", "value", "stale"),
    [
        ("touches", "monitor_band", 0.5, {"touches", "features", "signals", "labels"}),
        ("score", "tau_score", 3.0, {"signals"}),
        ("fuel", "w_g", 30.0, {"day_summary", "levels", "features", "signals"}),
        ("labels", "halt_seconds", 30.0, {"day_summary", "touches", "features", "labels"}),
        ("levels", "atr_bars", 10, {"bars", "levels", "day_summary", "touches", "features"}),
        ("grid", "reference_clusters", 100, set(STAGE)),
        ("quality", "identity_share_max", 0.5, set()),
        ("bronze", "zstd_level", 3, set()),
    ],
)
def test_an_edited_parameter_makes_the_stages_stale_that_read_its_group(
    made: Lake, group: str, name: str, value: float, stale: set[str]
) -> None:
    edited = Config.model_validate({group: {name: value}})
    assert reasons(Lake(made.root, edited)) == {name: ["config"] for name in stale}
    assert stale == {stage.name for stage in SILVER_STAGES if group in stage.groups}


def test_a_wider_band_remakes_the_touches_and_what_reads_them_and_not_the_snaps(made: Lake, tmp_path: Path) -> None:
    clone(made, tmp_path)
    lake = Lake(tmp_path, Config.model_validate({"touches": {"monitor_band": 1.0}}))
    silver = Maker(DATE, lake)
    remade = {name for stage in SILVER_STAGES for name, one in silver.make(stage).items() if not one.unchanged}
    assert remade == {"touches", "features", "signals", "labels"}
    for table in SILVER:
        before, after = made.manifest(table, DATE), lake.manifest(table, DATE)
        assert before is not None and after is not None
        assert (before.content != after.content) == (table.name in remade), table.name
    assert reasons(lake) == {}


def test_touches_with_other_content_make_stale_what_reads_them_and_say_so(made: Lake, tmp_path: Path) -> None:
    lake = beside(made, tmp_path, TOUCHES)
    publish(lake, TOUCHES, add("theta_2min", 1, 0))
    assert reasons(lake) == {name: ["input silver/touches changed"] for name in ("features", "signals", "labels")}


def test_the_same_touches_published_again_make_nothing_stale(made: Lake, tmp_path: Path) -> None:
    lake = beside(made, tmp_path, TOUCHES)
    publish(lake, TOUCHES)
    assert reasons(lake) == {}


def test_where_nothing_changed_nothing_is_written(made: Lake, tmp_path: Path) -> None:
    lake = clone(made, tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    silver = Maker(DATE, lake)
    again = {name: one for stage in SILVER_STAGES for name, one in silver.make(stage).items()}
    assert set(again) == {table.name for table in SILVER}
    assert all(one.unchanged for one in again.values())
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


# What is missing


def test_without_the_book_silver_says_so_and_leaves_nothing_behind(made: Lake, tmp_path: Path) -> None:
    lake = beside(made, tmp_path)
    (tmp_path / "bronze" / "futures_mbp10").unlink()
    shutil.rmtree(tmp_path / "silver")
    silver, sentence = Maker(DATE, lake), f"{DATE}: no Silver without the date's book (bronze/futures_mbp10); make Bronze first"
    with pytest.raises(MissingTable) as error:
        silver.make(STAGE["grid"])
    assert str(error.value) == sentence
    assert not (tmp_path / "silver").exists()


@pytest.mark.parametrize("stage", [name for name, stage in STAGE.items() if stage.inputs and name != "grid"])
def test_a_stage_without_its_input_says_which_and_leaves_nothing_behind(stage: str, tmp_path: Path) -> None:
    first = STAGE[stage].inputs[0]
    sentence = f"{DATE}: {stage} needs {first.stage}/{first.name}, which is not there"
    silver = Maker(DATE, Lake(tmp_path, CONFIG))
    with pytest.raises(MissingTable) as error:
        silver.make(STAGE[stage])
    assert str(error.value) == sentence
    assert list(tmp_path.iterdir()) == []


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


def test_priors_need_the_book_of_their_date(tmp_path: Path) -> None:
    with pytest.raises(MissingTable):
        Maker(DATE, Lake(tmp_path, CONFIG)).make(STAGE["priors"])
