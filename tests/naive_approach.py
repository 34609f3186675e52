"""Naive twin of physics.md, section 4.5, from the page alone: what led to the touch.

Order flow, kinematics, the barrier before it and the attacking side, approach and dwell. Rows are dicts with the column names of
tables.py, None for null. What is a sum, a difference, a product or a quotient comes out as an exact fraction, what has a root in
double precision. Nothing here imports the code that it checks.
"""

import math
from fractions import Fraction
from itertools import pairwise

from tests.naive_labels import LOADINGS, bucket_of, seconds_of, sign, size_at, snaps_in, visible, zone_flow
from tests.naive_physics import approach_start, book_columns, defending_side, expected_size, reaction_start, shown_zone, zone_of
from tests.naive_touches import is_entry, to_price

DEPTHS = 10
FLOW_SECONDS = (30, 60, 120, 300)
DELTA_MINUTES = (1, 3, 5)
DWELL_SECONDS = (60, 300, 1200)
FIT_MIN = 8  # points
NEAR_TICKS = 8  # from the level
ATTACK_SECONDS = 60
WHAT = ("added", "pulled", "filled")


# ---- exact numbers ----


def whole(row):
    """A row whose doubles are the fractions that they are."""
    return {name: Fraction(value) if isinstance(value, float) else value for name, value in row.items()}


def points(nanos, config):
    """1e-9 USD as points."""
    return Fraction(nanos) / Fraction(config.instrument.point)


def over(value, divisor):
    """A quotient; None if a part is unknown or nothing divides."""
    if value is None or divisor is None or divisor == 0:
        return None
    return Fraction(value) / divisor if isinstance(value, int) else value / divisor


def less(one, other):
    return None if one is None or other is None else one - other


def prior(touch, name, session, config, priors):
    """A column of the priors' row for the bucket of t0; None if there is none."""
    number = bucket_of(touch["t0"], session, config)
    found = priors[number].get(name) if priors and number is not None else None
    return Fraction(found) if isinstance(found, float) else found


# ---- order flow ----


def ofi(rows, touch, depth, seconds, config):
    """ofi_i_Ws: order-flow imbalance at one depth toward the break, over D."""
    name = f"ofi_{depth:02}"
    earlier, later = rows.snaps[approach_start(touch, seconds, config)], rows.snaps[touch["k"]]
    return over(sign(touch) * (later[name] - earlier[name]), touch["depth"])


def ofi_sum(rows, touch, seconds, config):
    """ofi_Ws."""
    parts = [ofi(rows, touch, i, seconds, config) for i in range(DEPTHS)]
    return None if None in parts else sum(parts) / DEPTHS


def known_loadings(touch, session, config, priors):
    """The ten loadings of the priors."""
    return [prior(touch, name, session, config, priors) for name in LOADINGS]


def ofi_integrated(rows, touch, seconds, loadings, config):
    """The depths weighted by the loadings, whose absolute values are made to sum to 1."""
    parts = [ofi(rows, touch, i, seconds, config) for i in range(DEPTHS)]
    if None in parts or None in loadings:
        return None
    loadings = [Fraction(loading) for loading in loadings]
    return over(sum(x * part for x, part in zip(loadings, parts, strict=True)), sum(abs(x) for x in loadings))


def ofi_near_level(rows, touch, seconds, config):
    total = 0
    for k in range(approach_start(touch, seconds, config) + 1, touch["k"] + 1):
        for row in rows.flow_at(k):
            if abs(row["ticks"] - touch["ticks"]) <= NEAR_TICKS:
                change = row["added"] - row["pulled"] - row["filled"]
                total += change if row["side"] == "B" else -change
    return over(sign(touch) * total, touch["depth"])


def signed_volume(rows, touch, seconds, config):
    """Lots that aggressors bought less those that they sold, toward the break, over what is usual in so many seconds."""
    if not touch["minute_volume"]:
        return None
    first = max(0, touch["k"] - snaps_in(seconds, config))
    prints = [one for k in range(first + 1, touch["k"] + 1) for one in rows.prints_at(k)]
    lots = sum(one["size"] * {"B": 1, "A": -1, "N": 0}[one["side"]] for one in prints)
    return sign(touch) * lots / (Fraction(touch["minute_volume"]) * seconds / 60)


def order_flow_columns(rows, touch, session, config, priors):
    values, loadings = {}, known_loadings(touch, session, config, priors)
    for seconds in FLOW_SECONDS:
        for i in range(DEPTHS):
            values[f"ofi_{i}_{seconds}s"] = ofi(rows, touch, i, seconds, config)
        values[f"ofi_{seconds}s"] = ofi_sum(rows, touch, seconds, config)
        values[f"ofi_integrated_{seconds}s"] = ofi_integrated(rows, touch, seconds, loadings, config)
        values[f"ofi_near_level_{seconds}s"] = ofi_near_level(rows, touch, seconds, config)
        values[f"signed_volume_{seconds}s"] = signed_volume(rows, touch, seconds, config)
    short, long = values["ofi_30s"], values["ofi_120s"]
    values["ofi_acceleration"] = None if short is None else short / 30 - long / 120
    return values


# ---- kinematics ----


def doubled_distance(snap, touch, config):
    """2 s (mid - L) in 1e-9 USD: a whole number."""
    return int(sign(touch) * (snap["mid2"] * config.instrument.tick - 2 * touch["price"]))


def fit_points(rows, touch, minutes, config):
    """(j, x) of the good books j seconds before t0, j = 0 … 60 minutes - 1; x in halves of 1e-9 USD."""
    found = []
    for j in range(60 * minutes):
        k = touch["k"] - snaps_in(j, config)
        if k >= 0 and rows.snaps[k]["book_ok"]:
            found.append((j, doubled_distance(rows.snaps[k], touch, config)))
    return found


def parabola(found):
    """(c, v, a) of x = c + v tau + a tau^2 / 2 with the least weighted squares, from (tau, x, weight); None under 8 points.

    The normal equations in c, v and a / 2, by Cramer's rule.
    """
    if len(found) < FIT_MIN:
        return None
    m = [sum(weight * tau**power for tau, _, weight in found) for power in range(5)]
    y = [sum(weight * tau**power * x for tau, x, weight in found) for power in range(3)]
    columns = [m[0:3], m[1:4], m[2:5]]
    whole_system = determinant(columns)
    c, v, half_a = (Fraction(determinant([*columns[:i], y, *columns[i + 1 :]]), whole_system) for i in range(3))
    return c, v, 2 * half_a


def determinant(columns):
    (a, b, c), (d, e, f), (g, h, i) = columns
    return a * (e * i - f * h) - d * (b * i - c * h) + g * (b * f - c * e)


def mean_square(found, fit):
    """Weighted mean of the squared residuals."""
    c, v, a = fit
    total = sum(weight * (x - (c + v * tau + a * tau**2 / 2)) ** 2 for tau, x, weight in found)
    return total / sum(weight for _, _, weight in found)


def kinematics(rows, touch, minutes, config):
    """The columns of one window."""
    names = [f"{what}_{minutes}min" for what in ("velocity", "acceleration", "jerk", "fit_error", "path_efficiency")]
    values, n = dict.fromkeys(names), 60 * minutes
    found = fit_points(rows, touch, minutes, config)
    if len(found) < FIT_MIN:
        return values
    way = sum(abs(earlier - later) for (_, later), (_, earlier) in pairwise(found))
    values[names[4]] = over(abs(found[0][1] - found[-1][1]), way)
    if touch["sigma"] is None:
        return values
    unit = 2 * Fraction(config.instrument.point) * Fraction(touch["sigma"])  # of x, in halves of 1e-9 USD
    everything = [(-j, x, n - j) for j, x in found]
    late = parabola([(-j, x, n // 2 - j) for j, x in found if j < n // 2])
    early = parabola([(-j, x, n - j) for j, x in found if j >= n // 2])
    fit = parabola(everything)
    values[names[0]], values[names[1]] = fit[1] / unit, fit[2] / unit
    if late is not None and early is not None:
        values[names[2]] = (late[2] - early[2]) / unit / (n // 2)
    values[names[3]] = math.sqrt(mean_square(everything, fit) / unit**2) / math.sqrt(n)
    return values


# ---- barrier before the touch, attacking side ----


def barrier_delta(rows, touch, minutes, config):
    """How the size of the zone has changed beyond what was expected, over D."""
    earlier, later = rows.snaps[approach_start(touch, 60 * minutes, config)], rows.snaps[touch["k"]]
    both = [ticks for ticks in shown_zone(earlier, touch, config) if ticks in shown_zone(later, touch, config)]
    if 2 * len(both) < len(zone_of(touch, config)):
        return None
    before, after = (sum(size_at(snap, defending_side(touch), ticks) for ticks in both) for snap in (earlier, later))
    shift = less(expected_size(later, touch, both), expected_size(earlier, touch, both))
    return over(less(after - before, shift), touch["depth"])


def attacking_side(touch):
    return "B" if touch["direction"] == "UP" else "A"


def attacking_zone(touch, config):
    """The nine prices from the level's ticks to 8 ticks before it."""
    return [touch["ticks"] - sign(touch) * i for i in range(len(zone_of(touch, config)))]


def attacking_depth(snap, touch, config):
    zone, side = attacking_zone(touch, config), attacking_side(touch)
    shown = [ticks for ticks in zone if visible(snap, side, ticks)]
    return None if 2 * len(shown) < len(zone) else sum(size_at(snap, side, ticks) for ticks in shown)


def attacking_rates(rows, touch, before, k, config):
    """Lots in the attacking zone per second over D, over (before, k]; null where nothing can be seen at k."""
    if attacking_depth(rows.snaps[k], touch, config) is None:
        return dict.fromkeys(WHAT)
    zone, side = attacking_zone(touch, config), attacking_side(touch)
    flows = [zone_flow(rows, j, side, zone) for j in range(before + 1, k + 1)]
    length = Fraction(seconds_of(k - before, config))
    return {what: over(sum(lots) / length, touch["depth"]) for what, lots in zip(WHAT, zip(*flows, strict=True), strict=True)}


def attacking_columns(rows, touch, k, config):
    """What moves with the moment."""
    attack, defence = attacking_depth(rows.snaps[k], touch, config), book_columns(rows.snaps[k], touch, config)["barrier_depth"]
    balance = None if attack is None or defence is None else over(attack - defence, attack + defence)
    rates = dict.fromkeys(WHAT)
    if k > touch["k"]:
        rates = attacking_rates(rows, touch, reaction_start(touch, k, ATTACK_SECONDS, config), k, config)
    return {
        "attacking_depth": attack,
        "depth_imbalance": balance,
        **{f"attacking_{what}_rate": rate for what, rate in rates.items()},
    }


def barrier_columns(rows, touch, config):
    """What is known at t0."""
    rates = attacking_rates(rows, touch, approach_start(touch, ATTACK_SECONDS, config), touch["k"], config)
    return {
        **{f"barrier_delta_{minutes}min": barrier_delta(rows, touch, minutes, config) for minutes in DELTA_MINUTES},
        **{f"approach_attacking_{what}_rate": rate for what, rate in rates.items()},
    }


# ---- approach and dwell ----


def approach_bars(touch, bars1, config):
    """The last ten 1-minute bars that are closed at t0, those with a known close."""
    closed = sorted((bar for bar in bars1 if bar["ts"] <= touch["t0"]), key=lambda bar: bar["ts"])
    return [bar for bar in closed[-config.levels.approach_minutes :] if bar["close"] is not None]


def closes_toward_break(touch, bars):
    """How many of the latest bars in a row."""
    count = 0
    for before, bar in reversed(list(pairwise(bars))):
        if sign(touch) * (bar["close"] - before["close"]) <= 0:
            break
        count += 1
    return count


def price_of(ticks, config):
    return points(ticks * config.instrument.tick, config)


def approach_velocity(touch, bars, config):
    if len(bars) < 2:
        return None
    change = price_of(bars[-1]["close"], config) - price_of(bars[0]["close"], config)
    return sign(touch) * change / (len(bars) - 1)


def approach_distance(touch, bars, config):
    """How far the bars have been from the level, on the side that the price comes from."""
    if not bars:
        return None
    level = points(touch["price"], config)
    if touch["direction"] == "UP":
        return max(Fraction(0), level - price_of(min(bar["low"] for bar in bars), config))
    return max(Fraction(0), price_of(max(bar["high"] for bar in bars), config) - level)


def is_in_zone(snap, touch, config):
    """Whether the mid lies within 8 ticks of the level."""
    return snap["mid2"] is not None and abs(doubled_distance(snap, touch, config)) <= 2 * NEAR_TICKS * config.instrument.tick


def is_touched(rows, k, touch, config):
    """Whether snap k has an entry into the band of the level."""
    last, snap, tick = rows.snaps[k - 1]["last"], rows.snaps[k], config.instrument.tick
    if last is None or snap["low"] is None:
        return False
    band = to_price(config.touches.monitor_band, config)
    return is_entry(touch["price"], last * tick, snap["low"] * tick, snap["high"] * tick, band)


def dwell_columns(rows, touch, bars1, config):
    bars, k0 = approach_bars(touch, bars1, config), touch["k"]
    values = {
        "approach_velocity": approach_velocity(touch, bars, config),
        "approach_bars": closes_toward_break(touch, bars),
        "approach_distance": approach_distance(touch, bars, config),
        "approach_distance_atr": over(approach_distance(touch, bars, config), touch["atr"]),
    }
    for seconds in DWELL_SECONDS:
        start = approach_start(touch, seconds, config)
        inside = sum(is_in_zone(rows.snaps[k], touch, config) for k in range(start + 1, k0 + 1))
        values[f"time_in_zone_{seconds}s"] = Fraction(seconds_of(inside, config))
        values[f"touch_count_{seconds}s"] = sum(is_touched(rows, k, touch, config) for k in range(start + 1, k0))
    return values
