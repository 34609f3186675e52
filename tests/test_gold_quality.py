"""Gold's checks: each passes on a sound date and fails on its own defect; what a failure stops; how long a verdict holds."""

import datetime as dt
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import wraps
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import numpy as np
import pytest

from spymaster_assets import quality
from spymaster_assets.assets import stages
from spymaster_assets.assets.checks import key_of
from spymaster_assets.assets.partitions import trading_dates
from spymaster_assets.assets.resources import resources
from spymaster_assets.assets.stages import stage_assets
from spymaster_assets.compute.labels import label_params, labels_at
from spymaster_assets.config import Config
from spymaster_assets.features import CHANNELS, FEATURES, HORIZONS
from spymaster_assets.gold import GOLD_STAGES
from spymaster_assets.gold_quality import GOLD_CHECKS
from spymaster_assets.lake import MANIFEST, VERDICT, Lake
from spymaster_assets.maker import Maker, Stage
from spymaster_assets.quality import Check, Outcome, Partition, examine, recall
from spymaster_assets.schema import Table
from spymaster_assets.sessions import calendar, wall
from spymaster_assets.states import BOUNCE, BREAK, CENSORED, CHOP, RESOLVED
from spymaster_assets.tables import (
    FEATURE_ROWS,
    FUTURES_MBP10,
    GOLD,
    LABELS,
    OPTION_FLOW,
    PRINTS,
    PRIORS,
    SEQUENCES,
    SIGNALS,
    SNAPS,
    TOUCHES,
    TRAINING,
)
from tests.defects import (
    CONFIG,
    DATE,
    SECOND,
    Defect,
    Edit,
    Found,
    Text,
    add,
    at,
    at_elapsed,
    beside,
    came_out,
    double,
    each,
    flip,
    lose,
    made_of,
    measured,
    misses,
    name_of,
    publish,
    put,
    shown,
    store,
    wider,
)

SESSION = calendar(CONFIG).session(DATE)
START, END = SESSION.regular.start, SESSION.end
EARLIER = calendar(CONFIG).before(DATE, 6)[::-1]
TRAIN, SEQUENCE = GOLD_STAGES
STEPS = sum(CONFIG.sequences.steps)
UNKNOWN = -(2**31)
WARNING = {("training", "calendar"), ("training", "drift"), ("training", "telling")}
NUMBERS = ("excursion_max", "excursion_min", "strength_signed", "strength_abs", "tradeable_1", "tradeable_2", "future_price")


def clock(time: str) -> int:
    return wall(DATE, time, "America/New_York")


def earlier(*days: int) -> list[str]:
    """Names of the trading dates so many before."""
    before = calendar(CONFIG).before(DATE, max(days, default=1))
    return [before[day - 1].isoformat() for day in days]


Off = dict[str, float | str | None]  # as in Defect

# Lakes


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """A simulated date from landing to sequences, without earlier dates."""
    lake = made_of(tmp_path_factory.mktemp("gold_quality"), events=60_000, seed=1)
    maker = Maker(DATE, lake)
    for table in {table for stage in GOLD_STAGES for table in stage.inputs}:
        maker.rows(table)
    _sound.update(maker._held)
    return lake


_sound: dict[tuple[str, str], np.ndarray] = {}  # (table, content hash) -> rows of the sound date, read once


def knowing(lake: Lake) -> Maker:
    """A maker that has the sound date in memory."""
    maker = Maker(DATE, lake)
    maker._held.update(_sound)
    return maker


def make(lake: Lake, *those: Stage) -> None:
    """Make tables from what the lake holds now."""
    maker = knowing(lake)
    for stage in those:
        maker.make(stage)


@pytest.fixture(scope="module")
def warm(made: Lake, tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """The same as if six earlier dates had been there, much like it."""
    lake = beside(made, tmp_path_factory.mktemp("warm"), *GOLD, PRIORS, FUTURES_MBP10)
    for number, date in enumerate(EARLIER):
        publish(lake, TRAINING, noise(number), date=date)
    with_books(lake, EARLIER)
    publish(lake, PRIORS, facts={"dates": [date.isoformat() for date in EARLIER], "missing": []})
    return lake


def with_books(lake: Lake, dates: list[dt.date]) -> None:
    """Books of other dates, as far as anyone asks: that they are there."""
    for date in dates:
        folder = lake.folder(FUTURES_MBP10, date)
        folder.mkdir()
        shutil.copy(lake.folder(FUTURES_MBP10, DATE) / MANIFEST, folder)


def noise(number: int) -> Edit:
    """Every feature up to 1 % off; on the first date others too, and those known that the rest do not have, for want of priors."""

    def edit(rows: np.ndarray, _: Text) -> None:
        of = np.random.default_rng(number)
        for feature in FEATURES:
            if not feature.categories:
                rows[feature.name] *= of.uniform(0.99, 1.01, len(rows))
                if number == 0 and np.unique(rows[feature.name][~np.isnan(rows[feature.name])]).size < 2:
                    rows[feature.name] = of.normal(size=len(rows))
            elif number == 0:
                rows[feature.name][::2] = (rows[feature.name][::2] + 1) % len(feature.categories)

    return edit


# Edits


def without_numbers(rows: np.ndarray, name: str, where: Any) -> None:
    """Labels of one horizon of which nothing is known but the outcome."""
    for column in NUMBERS:
        unknown = UNKNOWN if column == "future_price" else -1 if column.startswith("tradeable") else np.nan
        rows[f"{column}_{name}"][where] = unknown
    for time in times(name):
        rows[time][where] = np.nan


def times(name: str) -> list[str]:
    return [f"time_to_{side}_{step}_{name}" for side in ("break", "bounce") for step in (1, 2)]


def turned_around(rows: np.ndarray, _: Text) -> None:
    """BREAK and BOUNCE exchanged, with their numbers."""
    for name in HORIZONS:
        rows[f"outcome_{name}"] = np.array([BOUNCE, BREAK, CHOP, CENSORED, RESOLVED])[rows[f"outcome_{name}"]]
        for one, other in (("time_to_break_1", "time_to_bounce_1"), ("time_to_break_2", "time_to_bounce_2"), NUMBERS[:2]):
            one, other = f"{one}_{name}", f"{other}_{name}"
            rows[one], rows[other] = rows[other].copy(), rows[one].copy()
        rows[f"strength_signed_{name}"] *= -1


def every(outcome: int) -> Edit:
    """All labels that were BREAK, BOUNCE or CHOP are one of these."""

    def edit(rows: np.ndarray, _: Text) -> None:
        for name in HORIZONS:
            known = rows[f"outcome_{name}"] <= CHOP
            rows[f"outcome_{name}"][known] = outcome
            for side, of in (("break", BREAK), ("bounce", BOUNCE)):
                time = rows[f"time_to_{side}_2_{name}"]
                time[known] = np.where(np.isnan(time[known]), 60.0, time[known]) if of == outcome else np.nan
            for column in NUMBERS:
                numbers = rows[f"{column}_{name}"]
                numbers[known & (np.isnan(numbers) if numbers.dtype.kind == "f" else numbers < 0)] = 0

    return edit


def instead(name: str, outcome: int, other: int) -> Edit:
    """The first label of an outcome has another, with the times that it needs."""

    def edit(rows: np.ndarray, _: Text) -> None:
        place = at(rows, lambda rows: (rows[f"outcome_{name}"] == outcome) & (rows[f"strength_abs_{name}"] >= 0))
        rows[f"outcome_{name}"][place] = other
        for side, of in (("break", BREAK), ("bounce", BOUNCE)):
            rows[f"time_to_{side}_2_{name}"][place] = 60.0 if of == other else np.nan
        if other == RESOLVED:
            without_numbers(rows, name, place)

    return edit


def lost(outcome: int, share: float) -> Edit:
    """A share of the labels, and one more, tell no outcome of the primary horizon."""

    def edit(rows: np.ndarray, _: Text) -> None:
        known = rows["outcome_4min"] <= CHOP
        some = known & (np.cumsum(known) <= share * len(rows) + 1)
        rows["outcome_4min"][some] = outcome
        without_numbers(rows, "4min", some)

    return edit


def whole_touch(number: int) -> Callable[[np.ndarray], Any]:
    return lambda rows: rows["touch"] == number


def every_touch_but(number: int) -> Edit:
    return lambda rows, _: rows["touch"] != number


def lost_and_doubled(rows: np.ndarray, _: Text) -> np.ndarray:
    """One row stands twice, in the place of the next."""
    return np.where(np.arange(len(rows)) == 31, 30, np.arange(len(rows)))


def read_on(rows: np.ndarray, _: Text) -> None:
    """Features that read 1 ns too far."""
    rows["t_feature"] = rows["t_decision"] + 1


def reverse(rows: np.ndarray, _: Text) -> np.ndarray:
    return np.arange(len(rows))[::-1]


def same_id(rows: np.ndarray, text: Text) -> None:
    """Touches 1 and 0 under one id."""
    text["event_id"][rows["touch"] == 1] = text["event_id"][rows["touch"] == 0][0]


def two_ids(_: np.ndarray, text: Text) -> None:
    text["event_id"][30] = f"x{text['event_id'][30]}"


def ids_of_the_touch_before(rows: np.ndarray, text: Text) -> None:
    first = {touch: word for touch, word in zip(rows["touch"].tolist(), text["event_id"], strict=True)}
    of = list(first)
    text["event_id"][:] = [first[of[of.index(touch) - 1]] for touch in rows["touch"].tolist()]


def silent(start: int, seconds: float) -> Edit:
    """No record comes for a time."""

    def edit(rows: np.ndarray, _: Text) -> None:
        during = (rows["ts"] > start) & (rows["ts"] <= start + seconds * SECOND)
        rows["gap_ns"][during] = rows["ts"][during] - start

    return edit


def first_record_at(time: int) -> Edit:
    def edit(rows: np.ndarray, _: Text) -> None:
        rows["gap_ns"][rows["ts"] < time] = -1

    return edit


def unsound(share: float) -> Edit:
    """That share of the snaps from 09:30 on has no sound book."""

    def edit(rows: np.ndarray, _: Text) -> None:
        during = np.flatnonzero((rows["ts"] > START) & (rows["ts"] <= END))
        rows["book_ok"][during[:: round(1 / share)]] = 0

    return edit


def around_the_session(edit: Edit) -> Edit:
    """An edit of the snaps from 08:30 to 16:15; the others are not stored."""

    def edited(rows: np.ndarray, text: Text) -> np.ndarray:
        kept = edit(rows, text)
        during = (rows["ts"] > START - 3600 * SECOND) & (rows["ts"] <= END + 1800 * SECOND)
        return during if kept is None else during & kept

    return edited


def nothing_counted(start: str, end: str) -> Edit:
    """The records of some hours are not there."""

    def edit(rows: np.ndarray, _: Text) -> None:
        during = (rows["ts"] > clock(start)) & (rows["ts"] <= clock(end))
        rows["records"][during] = rows["records"][rows["ts"] <= clock(start)][-1]

    return edit


def shifted_family(rows: np.ndarray, _: Text) -> None:
    """What is said of the order flow is ten times its spread higher."""
    for feature in _order_flow():
        rows[feature] += 10 * np.nanstd(rows[feature]) + 1


def unknown_family(rows: np.ndarray, _: Text) -> None:
    for feature in _order_flow():
        rows[feature] = np.nan


def _order_flow() -> list[str]:
    """Features of the order flow, but for those that need priors."""
    return [f.name for f in FEATURES if f.family == "order flow" and "integrated" not in f.name]


def scaled_sizes(rows: np.ndarray, _: Text) -> None:
    """Contracts counted in tens."""
    for feature in FEATURES:
        if feature.unit in ("contracts", "contracts/s", "contracts/point", "count", "D", "D/s") and feature.low != 1:
            rows[feature.name] /= 10


def two_steps_exchanged(rows: np.ndarray, _: Text) -> None:
    rows[[100, 101]] = rows[[101, 100]]


def two_sequences_exchanged(rows: np.ndarray, _: Text) -> Any:
    places = np.arange(len(rows)).reshape(-1, STEPS)
    places[[3, 6]] = places[[6, 3]]
    return places.ravel()


def another_landmark(rows: np.ndarray, _: Text) -> None:
    """The sequence of a touch's second landmark says that it is of its third."""
    second = np.flatnonzero(rows["elapsed"] == 60)[:STEPS]
    rows["elapsed"][second] = 30


def a_step_early(rows: np.ndarray, _: Text) -> None:
    """Every sequence ends a second, or a minute, before its moment."""
    for channel in CHANNELS:
        rows[channel.name] = np.roll(rows[channel.name], 1)


def last_step(rows: np.ndarray) -> Any:
    return (rows["scale"] == 60) & (rows["step"] == 119)


def nothing_observed(rows: np.ndarray, _: Text) -> None:
    rows["observed"] = 0
    for channel in CHANNELS:
        rows[channel.name] = np.nan


def unseen(rows: np.ndarray, _: Text) -> None:
    """One step was not observed, they say."""
    rows["observed"][30] = 0
    for channel in CHANNELS:
        rows[channel.name][30] = np.nan


# Defects


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


def reversed_channel(name: str) -> Edit:
    """A channel from last to first, where observed: values of later steps and of other touches."""

    def edit(rows: np.ndarray, _: Text) -> None:
        seen = rows["observed"] == 1
        rows[name][seen] = rows[name][seen][::-1]

    return edit


def earlier_distances(rows: np.ndarray, _: Text) -> None:
    """The distance of the step before, but for the last ones."""
    moved = np.roll(rows["distance"], 1)
    inner = (rows["observed"] == 1) & (np.roll(rows["observed"], 1) == 1) & (rows["step"] > 0) & (rows["step"] < 119)
    rows["distance"][inner] = moved[inner]


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


def judged(lake: Lake, table: Table) -> Found:
    """The checks of a table of Gold, made from what the lake holds now."""
    make(lake, TRAIN, *([SEQUENCE] if table is SEQUENCES else []))
    return measured(lake, table)


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


def missed(result: dg.AssetCheckResult | dg.AssetCheckEvaluation, defect: GoldDefect) -> None:
    """Assert that the values named miss their thresholds: by a number, or (None) lying beyond, on the wrong side."""
    values, limits = shown(result)
    misses(result, {name: off for name, off in defect.off.items() if off is not None})
    for name in (name for name, off in defect.off.items() if off is None):
        least = name == "covered_share"
        assert values[name] < limits[name] if least else abs(values[name]) > limits[name], name


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
    found, family = outcome_of(lake, "drift"), _order_flow()
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


# What a defect does downstream


@pytest.fixture
def unpictured(monkeypatch: pytest.MonkeyPatch) -> None:
    """The date's picture takes half of a run's time."""
    monkeypatch.setattr(stages, "gold_picture", lambda *_: "")


@pytest.fixture(scope="module")
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as ephemeral:
        yield ephemeral


def run(lake: Lake, instance: dg.DagsterInstance) -> tuple[dg.ExecuteInProcessResult, set[str]]:
    """One run of Gold and of two assets downstream; with what was made in it."""
    stages._latest[:] = [knowing(lake)]
    after = [_downstream("report", TRAINING), _downstream("model", SEQUENCES)]
    gold = [asset for asset in stage_assets if asset.keys & {key_of(table) for table in GOLD}]
    result = dg.materialize(
        [*gold, *after], partition_key=str(DATE), resources=resources(lake.root), instance=instance, raise_on_error=False,
        run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
    )  # fmt: skip
    events = [event.step_materialization_data.materialization for event in result.get_asset_materialization_events()]
    return result, {event.asset_key.path[-1] for event in events}


def _downstream(name: str, table: Table) -> dg.AssetsDefinition:
    @dg.asset(name=name, deps=[key_of(table)], partitions_def=trading_dates)
    def asset() -> None:
        pass

    return asset


def spoiling(defect: GoldDefect, monkeypatch: pytest.MonkeyPatch) -> None:
    """A maker that publishes the defect in place of what it made."""
    sound = Maker._publish

    def spoiled(maker: Maker, table: Table, *rest: Any) -> Any:
        manifest = sound(maker, table, *rest)
        if table is defect.damaged:
            defect.damage(maker.lake)
        return maker.lake.manifest(table, maker.date) or manifest

    monkeypatch.setattr(Maker, "_publish", spoiled)


def damaged_in_the_run(defect: GoldDefect, made: Lake, warm: Lake, root: Path, monkeypatch: pytest.MonkeyPatch) -> Lake:
    """A lake without Gold, in which it will be made with the defect: from damaged tables, or damaged as it is published."""
    lake = defect.lake(made, warm, root)
    for table in GOLD:
        shutil.rmtree(lake.folder(table, DATE))
    if defect.of:
        defect.damage(lake)
    else:
        spoiling(defect, monkeypatch)
    return lake


STOPPING = [check for check in GOLD_CHECKS if check.blocking and (check.table is TRAINING or check.name == "steps_complete")]


def evaluations(result: dg.ExecuteInProcessResult) -> dict[tuple[str, str], dg.AssetCheckEvaluation]:
    return {(found.asset_key.path[-1], found.check_name): found for found in result.get_asset_check_evaluations()}


def alone(check: Check) -> GoldDefect:
    """The first defect that fails a check, and only it where there is such a one."""
    its = [defect for defect in DEFECTS if (defect.table, defect.check) == (check.table, check.name)]
    return min(its, key=lambda defect: len(defect.also))


def test_a_sound_date_runs_through_to_sequences_and_beyond(made: Lake, tmp_path: Path, instance: dg.DagsterInstance) -> None:
    lake = beside(made, tmp_path, *GOLD)
    for table in GOLD:
        shutil.rmtree(lake.folder(table, DATE))
    result, there = run(lake, instance)
    assert result.success
    assert there == {"training", "sequences", "report", "model"}
    found = evaluations(result)
    assert set(found) == {(check.table.name, check.name) for check in GOLD_CHECKS}
    assert all(one.passed for one in found.values())
    for table in GOLD:
        ours, theirs = lake.manifest(table, DATE), made.manifest(table, DATE)
        assert ours is not None and theirs is not None and ours.content == theirs.content


@pytest.mark.usefixtures("unpictured")
@pytest.mark.parametrize("check", STOPPING, ids=name_of)
def test_a_blocking_check_that_fails_stops_what_lies_downstream_in_the_same_run(
    check: Check, made: Lake, warm: Lake, tmp_path: Path, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    defect = alone(check)
    lake = damaged_in_the_run(defect, made, warm, tmp_path, monkeypatch)
    result, there = run(lake, instance)
    assert not result.success
    found = evaluations(result)
    wrong = {(check.table.name, name) for name in (check.name, *defect.also)}
    assert {key for key, one in found.items() if not one.passed} == wrong
    failed = found[check.table.name, check.name]
    assert failed.blocking and failed.severity is dg.AssetCheckSeverity.ERROR
    missed(failed, defect)

    before = {"training"} if check.table is TRAINING else {"training", "report", "sequences"}
    assert there == before  # the table itself is published and says what is wrong with it
    started = {event.step_key for event in result.all_events if event.event_type_value == "STEP_START"}
    assert started & {"gold_sequences", "report", "model"} == (set() if check.table is TRAINING else {"gold_sequences", "report"})
    assert (lake.manifest(SEQUENCES, DATE) is not None) == (check.table is SEQUENCES)


@pytest.mark.usefixtures("unpictured")
@pytest.mark.parametrize("check", [check for check in GOLD_CHECKS if not check.blocking], ids=name_of)
def test_a_check_that_warns_lets_the_run_go_on(
    check: Check, made: Lake, warm: Lake, tmp_path: Path, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    defect = alone(check)
    result, there = run(damaged_in_the_run(defect, made, warm, tmp_path, monkeypatch), instance)
    assert result.success
    assert there == {"training", "sequences", "report", "model"}
    found = evaluations(result)
    assert {key for key, one in found.items() if not one.passed} == {(check.table.name, check.name)}
    failed = found[check.table.name, check.name]
    assert not failed.blocking and failed.severity is dg.AssetCheckSeverity.WARN
    missed(failed, defect)


# How long a verdict holds


KEPT = [
    check for check in GOLD_CHECKS if check.table is TRAINING and check.name in ("ranges", "geometry", "reconciliation", "calendar")
]


class Counted:
    """Some checks of training, and how often each has measured."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.checks = [replace(check, measure=self._counted(check)) for check in KEPT]

    def _counted(self, check: Check) -> Callable[[Partition], Outcome]:
        @wraps(check.measure)
        def measure(part: Partition) -> Outcome:
            self.calls[check.name] += 1
            return check.measure(part)

        return measure

    def measured(self, lake: Lake, checks: list[Check] | None = None) -> bool:
        """Examine; whether every check measured anew (none did otherwise)."""
        self.calls.clear()
        asked = self.checks if checks is None else checks
        found = examine(lake, TRAINING, DATE, asked)
        assert set(found) == {check.name for check in asked}
        assert self.calls in (Counter(), Counter(found.keys()))
        return bool(self.calls)


@pytest.fixture
def judged_before(made: Lake, tmp_path: Path) -> tuple[Lake, Counted]:
    """A lake of its own whose training has a verdict."""
    lake, counted = beside(made, tmp_path, TRAINING, LABELS, SNAPS, OPTION_FLOW, PRIORS), Counted()
    assert counted.measured(lake), "a partition that nobody looked at has no verdict"
    return lake, counted


def test_the_same_content_is_measured_once(judged_before: tuple[Lake, Counted]) -> None:
    lake, counted = judged_before
    verdict = lake.folder(TRAINING, DATE) / VERDICT
    before = verdict.read_bytes()
    first = recall(lake, TRAINING, DATE, counted.checks)
    assert not counted.measured(lake)
    assert first == examine(lake, TRAINING, DATE, counted.checks)
    assert verdict.read_bytes() == before


def test_a_recalled_verdict_is_what_was_measured(judged_before: tuple[Lake, Counted]) -> None:
    lake, counted = judged_before
    part = Partition(lake, TRAINING, DATE, duckdb.connect())
    anew = {check.name: check.measure(part) for check in KEPT}
    assert recall(lake, TRAINING, DATE, counted.checks) == anew


def test_a_failure_is_kept_too(judged_before: tuple[Lake, Counted]) -> None:
    lake, counted = judged_before
    publish(lake, TRAINING, lose(30))
    assert counted.measured(lake)
    assert not counted.measured(lake)
    found = recall(lake, TRAINING, DATE, counted.checks)
    assert found is not None and not found["reconciliation"].passed and found["geometry"].passed


def _published_again(lake: Lake) -> Lake:
    publish(lake, TRAINING, add("theta_8min", 1, 30))
    return lake


def _other_facts(lake: Lake) -> Lake:
    publish(lake, TRAINING, facts={"touches": 0})
    return lake


def _file_touched(lake: Lake) -> Lake:
    path = lake.path(TRAINING, DATE)
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 1))
    return lake


def _file_exchanged(lake: Lake) -> Lake:
    store(lake, TRAINING, lambda file: file)
    return lake


def _other_labels(lake: Lake) -> Lake:
    publish(lake, LABELS, add("label_version", 1, 30))
    return lake


def _other_priors(lake: Lake) -> Lake:
    publish(lake, PRIORS, put("dates", 1, slice(None)))
    return lake


def _other_threshold(lake: Lake) -> Lake:
    return Lake(lake.root, Config.model_validate({"quality": {"geometry_z_max": 4.0}}))


@pytest.mark.parametrize(
    "change",
    [_published_again, _other_facts, _file_touched, _file_exchanged, _other_labels, _other_priors, _other_threshold],
    ids=lambda change: change.__name__.strip("_").replace("_", " "),
)
def test_what_changed_is_measured_again(change: Callable[[Lake], Lake], judged_before: tuple[Lake, Counted]) -> None:
    lake, counted = judged_before
    changed = change(lake)
    assert recall(changed, TRAINING, DATE, counted.checks) is None
    assert counted.measured(changed)


def test_other_code_of_the_checks_measures_again(judged_before: tuple[Lake, Counted], monkeypatch: pytest.MonkeyPatch) -> None:
    lake, counted = judged_before
    digest = quality.code_digest
    for module in ("spymaster_assets.gold_quality", "spymaster_assets.quality"):
        with monkeypatch.context() as patch:
            patch.setattr(quality, "code_digest", lambda *names, module=module: digest(*names) + "*" * (module in names))
            assert counted.measured(lake), module
            assert not counted.measured(lake)
        assert counted.measured(lake)


def test_other_checks_measure_again(judged_before: tuple[Lake, Counted]) -> None:
    lake, counted = judged_before
    assert counted.measured(lake, counted.checks[:2])
    assert counted.measured(lake)


def test_a_table_that_no_check_reads_does_not_matter(judged_before: tuple[Lake, Counted]) -> None:
    lake, counted = judged_before
    publish(lake, OPTION_FLOW, lose(0))
    assert not counted.measured(lake)


def test_the_same_labels_published_again_do_not_matter(judged_before: tuple[Lake, Counted]) -> None:
    lake, counted = judged_before
    publish(lake, LABELS)
    assert not counted.measured(lake)


@pytest.mark.parametrize(
    "content", [b"", b"{", b"\xff\x00", b"{}", b"[]", None], ids=["empty", "cut", "binary", "other", "list", "gone"]
)
def test_a_verdict_that_cannot_be_read_is_ignored(content: bytes | None, judged_before: tuple[Lake, Counted]) -> None:
    lake, counted = judged_before
    verdict = lake.folder(TRAINING, DATE) / VERDICT
    verdict.unlink()
    if content is not None:
        verdict.write_bytes(content)
    assert recall(lake, TRAINING, DATE, counted.checks) is None
    assert counted.measured(lake)
    assert not counted.measured(lake)


def test_a_verdict_on_a_damaged_file_is_shown_and_not_believed(judged_before: tuple[Lake, Counted]) -> None:
    """`spymaster status` says of the file what the run found; the next run looks again, since a disk may have been at fault."""
    lake, counted = judged_before
    folder, path = lake.folder(TRAINING, DATE), lake.path(TRAINING, DATE)
    sound, verdict = path.read_bytes(), (folder / VERDICT).read_bytes()
    (folder / VERDICT).unlink()
    flip(lake, TRAINING, 0)
    assert not any(outcome.passed for outcome in examine(lake, TRAINING, DATE, counted.checks).values())
    kept = recall(lake, TRAINING, DATE, counted.checks)
    assert kept is not None and not any(outcome.passed for outcome in kept.values())
    refused = path.stat()
    path.write_bytes(sound)
    os.utime(path, ns=(refused.st_atime_ns, refused.st_mtime_ns))  # as far as the verdict can tell, the same file
    assert counted.measured(lake)
    assert all(outcome.passed for outcome in examine(lake, TRAINING, DATE, counted.checks).values())
    flip(lake, TRAINING, 0)
    (folder / VERDICT).write_bytes(verdict)  # an older one does not speak for the damaged file either
    assert recall(lake, TRAINING, DATE, counted.checks) is None


def test_a_second_run_shows_the_verdict_of_the_first(
    judged_before: tuple[Lake, Counted], made: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake, _ = judged_before
    first = measured(lake, TRAINING)
    monkeypatch.setattr(Partition, "row", lambda *_: pytest.fail("measured again"))
    again = measured(lake, TRAINING)
    assert {name: (one.passed, shown(one), one.description) for name, one in first.items()} == {
        name: (one.passed, shown(one), one.description) for name, one in again.items()
    }
