"""The defects that Gold's checks must find, each with the values that it puts beyond their thresholds, and what else fails."""

import datetime as dt
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import numpy as np

from spymaster_assets.lake import Lake
from spymaster_assets.schema import Table
from spymaster_assets.sessions import calendar
from spymaster_assets.states import BOUNCE, BREAK, CENSORED, CHOP, RESOLVED
from spymaster_assets.tables import FEATURE_ROWS, FUTURES_MBP10, GOLD, LABELS, PRIORS, SEQUENCES, SIGNALS, SNAPS, TOUCHES, TRAINING
from tests.defects import (
    CONFIG,
    DATE,
    SECOND,
    Defect,
    Edit,
    Text,
    add,
    at_elapsed,
    beside,
    came_out,
    double,
    each,
    lose,
    misses,
    publish,
    put,
    shown,
    store,
    wider,
)
from tests.gold_edits import (
    STEPS,
    UNKNOWN,
    a_step_early,
    another_landmark,
    clock,
    earlier_distances,
    every,
    every_touch_but,
    ids_of_the_touch_before,
    instead,
    last_step,
    lost,
    lost_and_doubled,
    nothing_counted,
    nothing_observed,
    read_on,
    reverse,
    reversed_channel,
    same_id,
    scaled_sizes,
    shifted_family,
    silent,
    turned_around,
    two_ids,
    two_sequences_exchanged,
    two_steps_exchanged,
    unknown_family,
    unseen,
    unsound,
)
from tests.gold_lakes import EARLIER, noise, with_books


def earlier(*days: int) -> list[str]:
    """Names of the trading dates so many before."""
    before = calendar(CONFIG).before(DATE, max(days, default=1))
    return [before[day - 1].isoformat() for day in days]


Off = dict[str, float | str | None]  # as in Defect


@dataclass(frozen=True)
class GoldDefect(Defect):
    """`of`: a table of Silver, from which Gold is made; `warm`: beside earlier dates; `books`: earlier dates that the lake has.

    `everywhere`: the earlier dates' training has the damage too.
    """

    warm: bool = False
    books: tuple[str, ...] = ()
    everywhere: bool = False

    @property
    def damaged(self) -> Table:
        return self.of or self.table

    def lake(self, made: Lake, warm: Lake, root: Path, *copied: Table) -> Lake:
        """A lake in which the damage can be done."""
        books = (FUTURES_MBP10,) if self.books else ()
        lake = beside(warm if self.warm else made, root, self.damaged, *GOLD, *books, *copied)
        with_books(lake, [dt.date.fromisoformat(date) for date in self.books])
        for number, date in enumerate(EARLIER if self.everywhere else ()):
            publish(lake, TRAINING, _noisy(number, self.spoil), date=date)
        return lake

    def damage(self, lake: Lake) -> None:
        if self.stored:
            store(lake, self.damaged, self.stored)
        else:
            publish(lake, self.damaged, self.spoil, self.facts)


def _noisy(number: int, spoil: Edit | None) -> Edit:
    """An earlier date with noise, and the damage."""

    def edit(rows: np.ndarray, text: Text) -> None:
        noise(number)(rows, text)
        if spoil:
            spoil(rows, text)

    return edit


def _out_of_range(table: Table, what: str, edit: Edit, of: Table | None = None, also: tuple[str, ...] = ()) -> tuple[Defect, ...]:
    """What no column may hold fails both the check of the file and that of the numbers."""
    return (
        GoldDefect(table, "schema", what, edit, {"values_out_of_range": 1}, ("ranges", *also), of),
        GoldDefect(table, "ranges", what, edit, {"out_of_range": 1, "not_finite": 0}, ("schema", *also), of),
    )


def _as_written(table: Table, lost: tuple[str, ...]) -> tuple[Defect, ...]:
    """Files that are not what their manifest says. `lost`: what else a lost row fails."""
    return (
        GoldDefect(table, "schema", "a row lost from the file", None, {"rows": -1}, lost, stored=lambda file: file.slice(1)),
        GoldDefect(table, "schema", "a column of another type", None, {"columns_wrong": "touch"}, stored=wider("touch")),
        GoldDefect(table, "schema", "the same rows in another file", None, {"damage": "bytes"}, stored=lambda file: file),
    )


def _labelled(check: str, what: str, edit: Edit, off: Off, also: tuple[str, ...] = ()) -> GoldDefect:
    """Gold made from wrong labels."""
    return GoldDefect(TRAINING, check, what, edit, off, also, LABELS)


def _trained(check: str, what: str, edit: Edit, off: Off, also: tuple[str, ...] = ()) -> GoldDefect:
    """Gold made wrongly from sound tables."""
    return GoldDefect(TRAINING, check, what, edit, off, also)


def _in_the_snaps(check: str, what: str, edit: Edit, off: Off, also: tuple[str, ...] = ()) -> GoldDefect:
    return GoldDefect(TRAINING, check, what, edit, off, also, SNAPS)


def _stepped(check: str, what: str, edit: Edit, off: Off, also: tuple[str, ...] = ()) -> GoldDefect:
    return GoldDefect(SEQUENCES, check, what, edit, off, also)


def _of_features(check: str, what: str, edit: Edit, off: Off, also: tuple[str, ...] = ()) -> GoldDefect:
    return GoldDefect(TRAINING, check, what, edit, off, also, FEATURE_ROWS)


def _drifting(what: str, edit: Edit) -> GoldDefect:
    return GoldDefect(TRAINING, "drift", what, edit, {"drifted_share": None}, of=FEATURE_ROWS, warm=True)


def _incomplete(what: str, dates: list[str], missing: list[str], books: list[str], share: float) -> GoldDefect:
    limit = CONFIG.quality.calendar_share_min
    return GoldDefect(
        TRAINING, "calendar", what, None, {"share": share - limit}, of=PRIORS, facts={"dates": dates, "missing": missing},
        books=tuple(books),
    )  # fmt: skip


DEFECTS = (
    *_as_written(TRAINING, ("reconciliation", "outcomes")),
    *_out_of_range(TRAINING, "a share of 2", put("barrier_observed", 2, 30), FEATURE_ROWS),
    _of_features("ranges", "a number beyond all numbers", put("position", np.inf, 30), {"not_finite": 1, "out_of_range": 0}),
    _of_features("ranges", "odds that do not sum to 1",
                 put("geometry_chop_8min", 0.2, lambda rows: rows["geometry_chop_8min"] > 0.3), {"odds_not_summing_to_1": 1}),
    GoldDefect(TRAINING, "ranges", "a longer horizon with a nearer barrier", put("theta_2min", 90_000, 0), {"thetas_falling": None},
               ("outcomes",), TOUCHES),
    #
    _labelled("nulls", "BREAK without a time", put("time_to_break_2_4min", np.nan, came_out("4min", BREAK)), {"untimed_4min": 1}),
    _labelled("nulls", "BOUNCE without a time", put("time_to_bounce_2_8min", np.nan, came_out("8min", BOUNCE)),
              {"untimed_8min": 1}),
    _labelled("nulls", "CHOP with a time", put("outcome_2min", CHOP, came_out("2min", BREAK)), {"timed_2min": 1},
              ("outcomes",)),
    _labelled("nulls", "CHOP without numbers", put("future_price_4min", UNKNOWN, came_out("4min", CHOP)),
              {"chop_without_numbers_4min": 1}),
    _labelled("nulls", "RESOLVED with a time", put("time_to_break_1_4min", 9, came_out("4min", RESOLVED)),
              {"resolved_with_numbers_4min": 1}),
    _labelled("nulls", "RESOLVED with an excursion", put("excursion_max_4min", 1, came_out("4min", RESOLVED)),
              {"resolved_with_numbers_4min": 1}),
    _labelled("nulls", "CENSORED with numbers", put("outcome_8min", CENSORED, came_out("8min", CHOP)),
              {"censored_with_numbers_8min": 1}),
    _of_features("nulls", "an effect of unknown numbers", put("gamma_exposure", np.nan, lambda rows: rows["fuel_effect"] > 0),
                 {"fuel_without_numbers": 1}),
    _of_features("nulls", "a reaction at e = 0", put("tape_prints", 0, at_elapsed(0)), {"tape_prints_at_e_0": 1}),
    _of_features("nulls", "a reaction unknown later", put("tape_prints", np.nan, at_elapsed(30)), {"tape_prints_null_later": 1}),
    _of_features("nulls", "no number where one must be", put("excursion_max", np.nan, 30), {"excursion_max_unexpected_null": 1},
                 ("ranges",)),
    GoldDefect(TRAINING, "nulls", "a score of unknown parts",
               each(*(put(name, np.nan, lambda rows: (rows["elapsed"] == 60) & (rows["break_score_raw"] >= 0))
                      for name in ("score_liquidity", "score_hedge"))),
               {"score_of_nothing": 1}, of=SIGNALS),
    #
    _trained("duplicates", "a row doubled and the next one lost", lost_and_doubled, {"rows_doubled": 1, "ids_doubled": 1}),
    _trained("duplicates", "a row doubled", double(30), {"rows_doubled": 1, "ids_doubled": 1}, ("reconciliation",)),
    _trained("duplicates", "two touches of one id", same_id, {"touches_of_an_id": 1, "rows_doubled": 0},
             ("reconciliation", "label_after_decision")),
    _trained("duplicates", "a touch of two ids", two_ids, {"ids_of_a_touch": 1, "rows_doubled": 0}, ("reconciliation",)),
    _trained("duplicates", "rows in another order", reverse, {"backward": None, "rows_doubled": 0}),
    #
    _trained("label_after_decision", "labels that read from the moment itself on", add("t_label_start", -1, slice(None)),
             {"order": None, "start": None, "moment": 0}),
    _trained("label_after_decision", "a label that is said to read from a second later on", add("t_label_start", SECOND, 30),
             {"order": 0, "start": 1}),
    _trained("label_after_decision", "a label that is said to end earlier", add("t_label_end", -1, 30), {"end": 1, "order": 0}),
    _trained("label_after_decision", "a feature from after the moment", read_on, {"order": None, "start": 0}, ("reconciliation",)),
    _trained("label_after_decision", "a moment off the grid", add("t_decision", 1, 30), {"moment": 1, "elapsed": 1},
             ("reconciliation",)),
    _trained("label_after_decision", "seconds that are not since the touch", add("elapsed", 1, 30), {"elapsed": 1, "moment": 0},
             ("reconciliation",)),
    _labelled("label_after_decision", "a label's end shifted", add("label_end_4min", SECOND, 30), {"end_4min": 1, "end": 0}),
    _labelled("label_after_decision", "the longest label's end shifted", add("label_end_8min", SECOND, 30),
              {"end_8min": 1, "end": 0}),
    _labelled("label_after_decision", "an outcome at the moment itself", put("time_to_break_1_4min", 0, came_out("4min", BREAK)),
              {"outside_4min": 1}),
    _labelled("label_after_decision", "an outcome before its moment", put("time_to_bounce_2_8min", -1, came_out("8min", BOUNCE)),
              {"outside_8min": 1}, ("schema", "ranges")),
    _labelled("label_after_decision", "an outcome after the horizon", put("time_to_break_2_2min", 120.5, came_out("2min", BREAK)),
              {"outside_2min": 1}),
    #
    _labelled("geometry", "BREAK and BOUNCE exchanged", turned_around, {"slope_z": None, "CHOP_and_slope_z": None}),
    _labelled("geometry", "every label CHOP", every(CHOP), {"CHOP_z": None, "CHOP_and_slope_z": None}, ("outcomes",)),
    _labelled("geometry", "every label BREAK", every(BREAK), {"BREAK_z": None}, ("outcomes",)),
    _labelled("geometry", "every label BOUNCE", every(BOUNCE), {"BOUNCE_z": None}, ("outcomes",)),
    #
    _labelled("outcomes", "more than a fifth of the labels cut off", lost(CENSORED, 0.2), {"censored_share": None}),
    _labelled("outcomes", "most outcomes out before their moment", lost(RESOLVED, 0.6), {"resolved_share": None}),
    _labelled("outcomes", "CHOP though the barrier was reached", instead("8min", BREAK, CHOP), {"unlike_their_barriers": 1}),
    _labelled("outcomes", "BREAK though it was not", instead("8min", CHOP, BREAK), {"unlike_their_barriers": 1}),
    _labelled("outcomes", "BOUNCE though it was not", instead("4min", CHOP, BOUNCE), {"unlike_their_barriers": 1}),
    _labelled("outcomes", "RESOLVED though nothing had come out", instead("2min", CHOP, RESOLVED), {"unlike_their_barriers": 1}),
    _trained("outcomes", "a row to learn from that has no outcome", put("trainable_4min", 1, came_out("4min", RESOLVED)),
             {"trainable_wrong": 1}),
    _trained("outcomes", "a row withheld though its outcome is known", put("trainable_8min", 0, came_out("8min", BREAK)),
             {"trainable_wrong": 1}),
    #
    _trained("reconciliation", "a feature changed", add("position_theta_4min", 1e-6, 30), {"features_unlike": 1}),
    _trained("reconciliation", "a feature unknown", put("approach_tape_rate", np.nan, 30), {"features_unlike": 1}),
    _trained("reconciliation", "a label changed", add("future_price_4min", 1, came_out("4min", CHOP)), {"labels_unlike": 1}),
    _trained("reconciliation", "a score changed", add("score_tape", -0.5, lambda rows: rows["score_tape"] > 1),
             {"signals_unlike": 1}),
    _trained("reconciliation", "a barrier changed", add("theta_8min", 1, 30), {"touches_unlike": 1}),
    _trained("reconciliation", "a record said to be older than it is", add("t_feature", -1, 30), {"snaps_unlike": 1}),
    _trained("reconciliation", "a row lost", lose(30), {"features": 1, "labels": 1, "features_matched": 0, "features_unlike": 0}),
    _trained("reconciliation", "a touch lost", every_touch_but(3), {"features": None, "touches_matched": 0}),
    _trained("reconciliation", "a row doubled", double(30), {"features": -1, "labels": -1}, ("duplicates",)),
    _trained("reconciliation", "a row of no touch", put("touch", 9_999, -1), {"features_matched": -1, "touches_matched": -1},
             ("duplicates",)),
    #
    _in_the_snaps("gaps", "no record for 20 minutes", silent(clock("12:00"), 1200), {"silent_share": None}),
    _in_the_snaps("gaps", "no record at all", put("gap_ns", -1, slice(None)), {"silent_share": None}),
    #
    _in_the_snaps("crossed", "2 % of the books not sound", unsound(0.02), {"share": None}),
    _in_the_snaps("coverage", "no record for an hour", nothing_counted("12:00", "13:00"), {"covered_share": None}),
    _in_the_snaps("coverage", "no record before 08:00", nothing_counted("00:00", "08:00"), {"covered_share": None}),
    #
    _incomplete("2 of 10 dates missing", earlier(1, 2, 3, 4, 6, 7, 9, 10), earlier(5, 8, 11, 12), earlier(10), 0.8),
    _incomplete("the only earlier date missing", [], earlier(*range(1, 21)), earlier(1), 0.0),
    #
    _drifting("a family of features shifted", shifted_family),
    _drifting("a family of features unknown", unknown_family),
    _drifting("contracts counted in tens", scaled_sizes),
    GoldDefect(TRAINING, "telling", "a feature that never changes", put("ofi_60s", 0.25, slice(None)), {"constant": 1, "alike": 0},
               of=FEATURE_ROWS, warm=True, everywhere=True),
    #
    *_as_written(SEQUENCES, ("steps_complete",)),
    *_out_of_range(SEQUENCES, "an imbalance of 2", put("queue_imbalance", 2, 30)),
    _stepped("ranges", "a number beyond all numbers", put("microprice", -np.inf, 30), {"not_finite": 1, "out_of_range": 0}),
    _stepped("duplicates", "a step doubled", double(30), {"rows_doubled": 1, "ids_doubled": 1}, ("steps_complete",)),
    _stepped("duplicates", "a touch of two ids", two_ids, {"ids_of_a_touch": 1, "rows_doubled": 0}, ("steps_complete",)),
    _stepped("duplicates", "two touches of one id", same_id, {"touches_of_an_id": 1, "rows_doubled": 0}, ("steps_complete",)),
    _stepped("steps_complete", "a step lost", lose(30), {"rows": -1, "misplaced": 1}),
    _stepped("steps_complete", "the first step lost", lose(0), {"rows": -1}),
    _stepped("steps_complete", "a scale lost", lose(slice(300, 420)), {"rows": -120}),
    _stepped("steps_complete", "a sequence lost", lose(slice(4 * STEPS, 5 * STEPS)), {"rows": -STEPS}),
    _stepped("steps_complete", "a step doubled and the next one lost", lost_and_doubled, {"misplaced": None, "rows": 0},
             ("duplicates",)),
    _stepped("steps_complete", "steps counted from 1", add("step", 1, slice(None)), {"misplaced": None, "rows": 0},
             ("end_at_the_moment",)),
    _stepped("steps_complete", "a step of an unknown length", put("scale", 7, 419), {"misplaced": None, "rows": 0},
             ("end_at_the_moment",)),
    _stepped("steps_complete", "two steps exchanged", two_steps_exchanged, {"misplaced": None, "rows": 0}),
    _stepped("steps_complete", "two sequences exchanged", two_sequences_exchanged, {"misplaced": None, "rows": 0}, ("duplicates",)),
    _stepped("steps_complete", "a sequence of a touch that is not there", put("touch", 9_999, slice(-STEPS, None)),
             {"without_a_moment": STEPS}),
    _stepped("steps_complete", "a sequence of another landmark", another_landmark,
             {"without_a_moment": STEPS, "another_moment": STEPS}, ("end_at_the_moment",)),
    _stepped("steps_complete", "a moment 1 ns late", add("ts", 1, 30), {"another_moment": 1}),
    _stepped("steps_complete", "ids of other touches", ids_of_the_touch_before, {"another_moment": None, "misplaced": 0}),
    #
    _stepped("end_at_the_moment", "sequences that end a step early", a_step_early, {"apart": None, "observed_wrong": 0}),
    _stepped("end_at_the_moment", "a last step without a price", put("distance", np.nan, last_step), {"apart": 1}),
    _stepped("end_at_the_moment", "a last step at another price", add("distance", 1e-3, last_step), {"apart": 1}),
    _stepped("end_at_the_moment", "a step observed without a book", put("spread", np.nan, 30), {"observed_but_null": 1}),
    _stepped("end_at_the_moment", "numbers of what was not observed", put("observed", 0, 30),
             {"unobserved_but_known": 1, "observed_wrong": 1}),
    _stepped("end_at_the_moment", "a step not observed though the book was sound", unseen,
             {"observed_wrong": 1, "unobserved_but_known": 0}),
    _stepped("end_at_the_moment", "nothing observed at all", nothing_observed, {"observed_wrong": None, "compared": 0}),
    #
    *(
        _stepped("steps_are_snaps", f"{name} of other steps", reversed_channel(name), {name: None})
        for name in ("return", "microprice", "queue_imbalance", "signed_volume", "trades", "ofi_0", "ofi_1_4")
    ),
    _stepped("steps_are_snaps", "earlier distances", earlier_distances, {"distance": None}),
    _stepped("steps_are_snaps", "depths that nobody knows", put("defending_depth", np.nan, slice(None)), {"defending_depth": None}),
    _stepped("steps_are_snaps", "an exposure of another moment", put("exposure", 99, lambda rows: rows["step"] == 299),
             {"exposure": 1}),
)  # fmt: skip


def missed(result: dg.AssetCheckResult | dg.AssetCheckEvaluation, defect: GoldDefect) -> None:
    """Assert that the values named miss their thresholds: by a number, or (None) lying beyond, on the wrong side."""
    values, limits = shown(result)
    misses(result, {name: off for name, off in defect.off.items() if off is not None})
    for name in (name for name, off in defect.off.items() if off is None):
        least = name == "covered_share"
        assert values[name] < limits[name] if least else abs(values[name]) > limits[name], name
