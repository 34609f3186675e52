"""Naive twin of physics.md, section 4.5, from the page alone: what surrounds the touch, and all columns of the section.

Rows and numbers are as in naive_approach.py. Nothing here imports the code that it checks.
"""

import math
from fractions import Fraction
from itertools import pairwise

from tests.naive_approach import (
    attacking_columns,
    barrier_columns,
    dwell_columns,
    kinematics,
    known_loadings,
    less,
    ofi_integrated,
    order_flow_columns,
    over,
    points,
    prior,
    whole,
)
from tests.naive_fuel import exact
from tests.naive_labels import SECOND, beyond, is_sample, prints_between, reached, sign, snaps_in
from tests.naive_physics import approach_start, book_columns
from tests.naive_touches import KINDS

FIT_MINUTES = (1, 3, 5, 10, 20)
VOLATILITY_MINUTES = (1, 5, 20)
STACKING_POINTS = (2, 5, 10)
CONFLUENCE_POINTS = 5
SAME_AVERAGE = Fraction(5, 100)  # points
FORCE_SECONDS = 30
OUTCOME_SECONDS = 240
WITH_DISTANCE = KINDS[:6]  # of which dist_to_ is told in points and over ATR too
TRENDS = {
    "barrier_replenishment_trend": "approach_replenishment_ratio",
    "barrier_delta_liq_trend": "approach_barrier_delta_share",
    "tape_velocity_trend": "approach_tape_velocity",
    "tape_imbalance_trend": "approach_tape_imbalance",
}


def mid_points(snap, config):
    return None if snap["mid2"] is None else points(Fraction(snap["mid2"] * config.instrument.tick) / 2, config)


def seconds_between(earlier, later):
    return Fraction(later - earlier, SECOND)


def four_minutes(touch):
    """sigma sqrt(240), points."""
    return None if touch["sigma"] is None else touch["sigma"] * math.sqrt(240)


# ---- surroundings ----


def in_force(levels, time, config):
    """{kind: price in points} of the levels that hold at a time."""
    return {row["kind"]: points(row["price"], config) for row in levels if row["valid_from"] < time <= row["valid_to"]}


def distance_columns(rows, touch, others, config):
    values, mid = {}, mid_points(rows.snaps[touch["k"]], config)
    for kind in KINDS:
        distance = None
        if kind in others and mid is not None:
            distance = sign(touch) * (others[kind] - mid)
        name = f"dist_to_{kind.lower()}"
        if kind in WITH_DISTANCE:
            values[name], values[f"{name}_atr"] = distance, over(distance, touch["atr"])
        values[f"{name}_sigma"] = over(distance, four_minutes(touch))
    return values


def weight(kind, config):
    return exact(getattr(config.levels.weights, kind))


def pressure(touch, others, config):
    """Weights of what is near, the less the farther, over all weights."""
    level, reach = points(touch["price"], config), CONFLUENCE_POINTS
    near = {kind: price for kind, price in others.items() if abs(price - level) <= reach}
    supported = sum(weight(kind, config) * (1 - abs(price - level) / reach) for kind, price in near.items())
    return over(supported, sum(weight(kind, config) for kind in others))


def alignment(touch, prices):
    """Whether the averages stand in the order of the break."""
    difference = less(prices.get("SMA_200"), prices.get("SMA_400"))
    if difference is None:
        return None
    if abs(difference) <= SAME_AVERAGE:
        return 0
    return sign(touch) if difference > 0 else -sign(touch)


def runway(touch, others, config):
    """Points from the level to the nearest strong one beyond it."""
    level, strong = points(touch["price"], config), exact(config.levels.strong_weight)
    ahead = [sign(touch) * (price - level) for kind, price in others.items() if weight(kind, config) >= strong]
    return min((distance for distance in ahead if distance > 0), default=None)


def surroundings_columns(rows, touch, levels, config):
    prices = in_force(levels, touch["t0"], config)
    others = {kind: price for kind, price in prices.items() if kind != touch["kind"]}
    level = points(touch["price"], config)
    near = {kind for kind, price in others.items() if abs(price - level) <= CONFLUENCE_POINTS}
    free = runway(touch, others, config)
    return {
        **distance_columns(rows, touch, others, config),
        **{f"level_stacking_{reach}pt": sum(abs(price - level) <= reach for price in others.values()) for reach in STACKING_POINTS},
        "confluence_count": sum((weight(kind, config) for kind in near), Fraction(0)),
        "confluence_pressure": pressure(touch, others, config),
        "confluence_alignment": alignment(touch, prices),
        "runway": free,
        "runway_sigma": over(free, four_minutes(touch)),
    }


# ---- force and mass ----


def force_mass_ratio(rows, touch, loadings, config):
    """What pushes toward the break, over what resists; None if a part is unknown."""
    integrated = ofi_integrated(rows, touch, FORCE_SECONDS, loadings, config)
    wall = book_columns(rows.snaps[touch["k"]], touch, config)["wall_ratio"]
    lots = {"B": 0, "A": 0, "N": 0}
    for row in prints_between(rows, approach_start(touch, FORCE_SECONDS, config) + 1, touch["k"]):
        lots[row["side"]] += row["size"]
    pushed = over(sign(touch) * (lots["B"] - lots["A"]), over(touch["minute_volume"], 2))
    if integrated is None or wall is None or pushed is None:
        return None
    return (integrated + pushed) / (1 + Fraction(wall))


def force_columns(rows, touch, acceleration, session, config, priors):
    """`acceleration`: acceleration_1min."""
    ratio = force_mass_ratio(rows, touch, known_loadings(touch, session, config, priors), config)
    beta = prior(touch, "acceleration_coefficient", session, config, priors)
    predicted = None if ratio is None or beta is None else beta * ratio
    felt = None if acceleration is None or touch["sigma"] is None else touch["sigma"] * acceleration
    return {"force_mass_ratio": ratio, "predicted_accel": predicted, "accel_residual": less(felt, predicted)}


# ---- volatility, clock, attempts ----


def realized_volatility(samples, touch, minutes, config):
    """Root of the squared returns over their seconds, of the returns that end in the window. `samples`: the snaps up to t0."""
    start, squares, seconds = approach_start(touch, 60 * minutes, config), 0, 0
    for earlier, later in pairwise(samples):
        apart = seconds_between(earlier["ts"], later["ts"])
        if apart <= exact(config.labels.gap_seconds) and later["k"] > start:
            squares += (mid_points(later, config) - mid_points(earlier, config)) ** 2
            seconds += apart
    return math.sqrt(squares / seconds) if seconds else None


def earlier_touches(touch, touches):
    """Those of the kind with a lower number, in order."""
    found = [other for other in touches if other["kind"] == touch["kind"] and other["touch"] < touch["touch"]]
    return sorted(found, key=lambda other: other["touch"])


def outcome_by(rows, other, k0, config):
    """What has come of an earlier touch by snap k0: +1 break, -1 bounce, 0 chop; None if nothing yet, or resolved at once."""
    theta = other["theta_4min"]
    if reached(rows, other, other["k"], theta, config):
        return None
    end = other["k"] + snaps_in(OUTCOME_SECONDS, config)
    for row in prints_between(rows, other["k"] + 1, min(end, k0)):
        distance = beyond(other, row["ticks"], config)
        if abs(distance) >= theta * config.instrument.tick:
            return 1 if distance > 0 else -1
    return 0 if end <= k0 else None


def attempt_columns(rows, touch, touches, session, config):
    earlier = earlier_touches(touch, touches)
    outcomes = [outcome_by(rows, other, touch["k"], config) for other in earlier]
    known = [outcome for outcome in outcomes if outcome is not None]
    return {
        "minutes_since_open": seconds_between(session.regular.start, touch["t0"]) / 60,
        "attempt_index": touch["attempt_index"],
        "minutes_since_touch": seconds_between(earlier[-1]["t0"], touch["t0"]) / 60 if earlier else None,
        "prior_breaks": known.count(1),
        "prior_bounces": known.count(-1),
        "prior_chops": known.count(0),
        "last_outcome": known[-1] if known else None,
    }


def trend_columns(touch, touches, approach):
    """What the approach has more of than that of the first touch from the same side. `approach`: a touch's approach columns."""
    same = [other for other in earlier_touches(touch, touches) if other["direction"] == touch["direction"]]
    if not same:
        return dict.fromkeys(TRENDS)
    now, first = whole(approach(touch)), whole(approach(same[0]))
    return {name: less(now[column], first[column]) for name, column in TRENDS.items()}


# ---- all of them ----


def context_at_touch(rows, touch, session, config, priors, levels, bars1, touches, approach):
    """What is known at t0 and stays."""
    row = whole(touch)
    values = {
        **order_flow_columns(rows, row, session, config, priors),
        **barrier_columns(rows, row, config),
        **dwell_columns(rows, row, bars1, config),
        **surroundings_columns(rows, row, levels, config),
        **attempt_columns(rows, row, touches, session, config),
        **trend_columns(touch, touches, approach),
    }
    for minutes in FIT_MINUTES:
        values |= kinematics(rows, row, minutes, config)
    samples = [snap for snap in rows.snaps[: touch["k"] + 1] if is_sample(snap, session, config)]
    for minutes in VOLATILITY_MINUTES:
        values[f"realized_volatility_{minutes}min"] = realized_volatility(samples, row, minutes, config)
    return values | force_columns(rows, row, values["acceleration_1min"], session, config, priors)


def context_at_moment(rows, touch, k, config):
    """What moves with the moment."""
    return attacking_columns(rows, whole(touch), k, config)


def naive_context(rows, touch, k, session, config, priors, levels, bars1, touches, approach):
    """Every column of section 4.5 of a touch at snap k.

    `levels`, `bars1`, `touches`: all rows of the date. `approach`: a function that gives approach_ columns of a touch.
    """
    return {
        **context_at_touch(rows, touch, session, config, priors, levels, bars1, touches, approach),
        **context_at_moment(rows, touch, k, config),
    }
