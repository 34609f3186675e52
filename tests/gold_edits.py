"""How tables are damaged that Gold's checks must find, row by row; gold_defects.py says what each damage fails."""

from collections.abc import Callable
from typing import Any

import numpy as np

from spymaster_assets.features import CHANNELS, FEATURES, HORIZONS
from spymaster_assets.sessions import calendar, wall
from spymaster_assets.states import BOUNCE, BREAK, CENSORED, CHOP, RESOLVED
from tests.defects import CONFIG, DATE, SECOND, Edit, Text, at

SESSION = calendar(CONFIG).session(DATE)
START, END = SESSION.regular.start, SESSION.end
STEPS = sum(CONFIG.sequences.steps)
UNKNOWN = -(2**31)
NUMBERS = ("excursion_max", "excursion_min", "strength_signed", "strength_abs", "tradeable_1", "tradeable_2", "future_price")


def clock(time: str) -> int:
    return wall(DATE, time, "America/New_York")


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
    for feature in order_flow():
        rows[feature] += 10 * np.nanstd(rows[feature]) + 1


def unknown_family(rows: np.ndarray, _: Text) -> None:
    for feature in order_flow():
        rows[feature] = np.nan


def order_flow() -> list[str]:
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
