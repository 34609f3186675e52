"""The defects that Silver's checks must find, each with the values that it puts beyond their thresholds, and what else fails."""

from typing import Any

import numpy as np

from spymaster_assets.features import HORIZONS
from spymaster_assets.schema import Table
from spymaster_assets.sessions import calendar
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
    came_out,
    double,
    each,
    lose,
    nullable,
    put,
    swapped,
    wider,
)

TICK = CONFIG.instrument.tick


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
