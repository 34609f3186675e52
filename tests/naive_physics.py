"""Naive twins of physics.md, section 4 (features), from the page alone.

Rows are dicts with the column names of tables.py, None for null. A window of snaps is written (before, k]: it holds the snaps
before + 1 … k, and the book at its start is that of snap `before`. Nothing here imports the code that it checks.
"""

import math
from collections import defaultdict

from spymaster_assets.features import APPROACH_WINDOWS, HORIZONS, REACTION_WINDOWS
from spymaster_assets.features.physics import PHYSICS
from tests import naive_fuel
from tests.naive_labels import (
    best,
    beyond,
    bucket_of,
    mid_points,
    naive_geometry,
    points,
    prints_between,
    reached,
    seconds_of,
    sign,
    size_at,
    snaps_in,
    tick_points,
    touch_prints,
    visible,
    volume_clock,
    zone_flow,
)

IMBALANCE_LOTS = 20  # under which tape_imbalance and tape_large_share are null
VELOCITY_MIN = 8  # snaps
SWEEP_TICKS = 8  # from the level
CLOCKED = (
    "barrier_turnover", "barrier_seconds", "replenishment_ratio", "replenishment_ratio_raw",
    "barrier_delta_liq", "barrier_delta_liq_raw", "barrier_delta_share", "pull_ratio",
)  # fmt: skip
TAPE = (
    "tape_buy_volume", "tape_sell_volume", "tape_prints", "tape_imbalance", "tape_velocity", "tape_rate",
    "tape_mean_size", "tape_large_share", "sweep_direction", "sweep_size", "sweep_notional",
)  # fmt: skip


class Rows:
    """The plain rows of a date, with prints and flow found by snap. `options`: of naive_fuel, None without any."""

    def __init__(self, snaps, prints, flow, options=None):
        self.snaps, self.prints, self.flow, self.options = snaps, prints, flow, options
        self._flow, self._numbers = defaultdict(list), defaultdict(list)
        for row in flow:
            self._flow[row["k"]].append(row)
        for number, row in enumerate(prints):
            self._numbers[row["k"]].append(number)

    def flow_at(self, k):
        return self._flow.get(k, [])

    def print_numbers(self, k):
        """Positions in `prints` of the prints of snap k."""
        return self._numbers.get(k, [])

    def prints_at(self, k):
        return [self.prints[number] for number in self.print_numbers(k)]


# ---- 4.1 barrier ----


def defending_side(touch):
    return "A" if touch["direction"] == "UP" else "B"


def zone_of(touch, config):
    """The nine prices from the level's ticks to 8 ticks beyond it."""
    return [touch["ticks"] + sign(touch) * i for i in range(config.barrier.barrier_zone_es_ticks + 1)]


def shown_zone(snap, touch, config):
    return [ticks for ticks in zone_of(touch, config) if visible(snap, defending_side(touch), ticks)]


def expected_size(snap, touch, prices):
    """Sum of the expected sizes of prices; None if a needed m is. All of an empty side is better than its best: 0."""
    top, total = best(snap, defending_side(touch)), 0
    for ticks in prices:
        j = -1 if top is None else sign(touch) * (ticks - top)
        if j >= 0:
            m = touch[f"m_{min(j, 9):02}"]
            if m is None:
                return None
            total += m
    return total


def barrier_position(snap, touch):
    top = best(snap, defending_side(touch))
    return None if top is None else sign(touch) * (top - touch["ticks"])


def barrier_observed(snap, touch, config):
    return len(shown_zone(snap, touch, config)) / len(zone_of(touch, config))


def is_unobserved(snap, touch, config):
    """Whether the barrier at a snap has no numbers: under half of the zone is shown, or D or a needed m is unknown."""
    expected = expected_size(snap, touch, shown_zone(snap, touch, config))
    return barrier_observed(snap, touch, config) < 1 / 2 or touch["depth"] is None or expected is None


def book_columns(snap, touch, config):
    """The barrier columns that read the book at t alone."""
    values = {
        "barrier_observed": barrier_observed(snap, touch, config),
        "barrier_position": barrier_position(snap, touch),
        "barrier_depth": None,
        "wall_ratio": None,
    }
    if not is_unobserved(snap, touch, config):
        shown = shown_zone(snap, touch, config)
        expected = expected_size(snap, touch, shown)
        values["barrier_depth"] = sum(size_at(snap, defending_side(touch), ticks) for ticks in shown)
        values["wall_ratio"] = values["barrier_depth"] / expected if expected else None
    return values


def consumed_threshold(touch, session, config, priors):
    """consumed_share of the priors (the same in every bucket), .25 without."""
    number = bucket_of(touch["t0"], session, config)
    known = priors[number]["consumed_share"] if priors and number is not None else None
    return config.barrier.consumed_share if known is None else known


def clock_columns(rows, touch, before, k, session, config, priors):
    """State and volume-clock columns over (before, k]."""
    unknown = {"barrier_state": "UNOBSERVED", **dict.fromkeys(CLOCKED)}
    snap, depth = rows.snaps[k], touch["depth"]
    if is_unobserved(snap, touch, config):
        return unknown
    start, added, pulled, filled = volume_clock(rows, before, k, defending_side(touch), zone_of(touch, config), depth)
    first = rows.snaps[start]
    both = [ticks for ticks in shown_zone(first, touch, config) if ticks in shown_zone(snap, touch, config)]
    expected_start, expected_end = expected_size(first, touch, both), expected_size(snap, touch, both)
    if expected_start is None or expected_end is None:
        return unknown
    left, shift = pulled + filled, expected_end - expected_start
    values = {
        "barrier_turnover": left / depth,
        "barrier_seconds": seconds_of(k - start, config),
        "replenishment_ratio": (added - shift) / max(left, 1),
        "replenishment_ratio_raw": added / max(left, 1),
        "barrier_delta_liq": added - left - shift,
        "barrier_delta_liq_raw": added - left,
        "barrier_delta_share": (added - left - shift) / depth,
        "pull_ratio": pulled / left if left else None,
    }
    share = consumed_threshold(touch, session, config, priors)
    values["barrier_state"] = observed_state(snap, touch, values, filled, left, share, config)
    return values


def observed_state(snap, touch, values, filled, left, share, config):
    """The first state that holds for a barrier that is observed."""
    position, wall = barrier_position(snap, touch), book_columns(snap, touch, config)["wall_ratio"]
    ratio, delta = values["replenishment_ratio"], values["barrier_delta_liq"]
    threshold = config.barrier.f_thresh * touch["depth"]
    enough = values["barrier_turnover"] >= config.barrier.turnover_min
    if position is None or position > config.barrier.barrier_zone_es_ticks:
        return "PASSED"
    if enough and ratio < config.barrier.r_vac and delta < -threshold:
        return "VACUUM"
    if enough and ratio > config.barrier.r_wall and delta > threshold:
        return "WALL"
    if enough and delta < -threshold and filled / left > share:
        return "CONSUMED"
    if enough and filled > threshold and ratio >= 1 and delta > -threshold / 2:
        return "ABSORPTION"
    if wall is not None and wall < config.barrier.weak_ratio:
        return "WEAK"
    return "NEUTRAL"


def rate_columns(rows, touch, seconds, before, k, config):
    """added, pulled and filled lots of the zone per second over D, over (before, k]; named after `seconds`."""
    names = [f"{what}_rate_{seconds}" for what in ("added", "pulled", "filled")]
    if is_unobserved(rows.snaps[k], touch, config):
        return dict.fromkeys(names)
    zone, side = zone_of(touch, config), defending_side(touch)
    flows = [zone_flow(rows, j, side, zone) for j in range(before + 1, k + 1)]
    length = seconds_of(k - before, config)
    return {name: sum(lots) / length / touch["depth"] for name, lots in zip(names, zip(*flows, strict=True), strict=True)}


# ---- 4.2 tape ----


def is_near(row, touch, config):
    return abs(beyond(touch, row["ticks"], config)) <= config.tape.tape_band * config.instrument.point


def near_lots(prints, touch, config):
    """(bought, sold) lots near the level."""
    near = [row for row in prints if is_near(row, touch, config)]
    return tuple(sum(row["size"] for row in near if row["side"] == side) for side in "BA")


def imbalance(prints, touch, config):
    """s (B - S) / (B + S + kappa), however few lots."""
    bought, sold = near_lots(prints, touch, config)
    kappa = config.tape.kappa_min
    if touch["minute_volume"] is not None:
        kappa = max(kappa, config.tape.kappa_share * touch["minute_volume"])
    return sign(touch) * (bought - sold) / (bought + sold + kappa)


def velocity(rows, touch, first, k, config):
    """s x least-squares slope of the mid over the good books among the last 13 snaps, none before `first`; None under 8."""
    snaps = [rows.snaps[j] for j in range(max(first, k - config.tape.velocity_snaps + 1), k + 1)]
    pairs = [(seconds_of(snap["k"], config), mid_points(snap, config)) for snap in snaps if snap["book_ok"]]
    if len(pairs) < VELOCITY_MIN:
        return None
    mean_time = sum(time for time, _ in pairs) / len(pairs)
    mean_mid = sum(mid for _, mid in pairs) / len(pairs)
    upper = sum((time - mean_time) * (mid - mean_mid) for time, mid in pairs)
    lower = sum((time - mean_time) ** 2 for time, _ in pairs)
    return sign(touch) * upper / lower


def sweeps_so_far(rows, number, session, config, priors):
    """Whether the cluster of print `number` is a sweep by this print: it spans two prices, or it is unusually large."""
    row = rows.prints[number]
    if row["side"] == "N":
        return False
    limit = row["cluster_p99"]
    if limit is None and priors:
        bucket = bucket_of(row["ts"], session, config)
        limit = None if bucket is None else priors[bucket]["cluster_p99"]
    wide = row["cluster_span"] >= config.tape.sweep_levels - 1
    return wide or (limit is not None and row["cluster_size"] > limit)


def is_sweep(rows, number, session, config, priors):
    """Whether print `number` is the first of its cluster by which it is a sweep."""
    if not sweeps_so_far(rows, number, session, config, priors):
        return False
    if number == 0 or rows.prints[number - 1]["cluster"] != rows.prints[number]["cluster"]:
        return True
    return not sweeps_so_far(rows, number - 1, session, config, priors)


def latest_sweep(rows, touch, before, k, session, config, priors):
    """The print of the latest sweep of (before, k] near the level, None without."""
    numbers = [number for j in range(before + 1, k + 1) for number in rows.print_numbers(j)]
    for number in reversed(numbers):
        row = rows.prints[number]
        if abs(row["ticks"] - touch["ticks"]) <= SWEEP_TICKS and is_sweep(rows, number, session, config, priors):
            return row
    return None


def toward_break(row, touch):
    """+1 if a print's aggressor pushes toward the break, -1 if away from it."""
    return sign(touch) * (1 if row["side"] == "B" else -1)


def tape_columns(rows, touch, before, k, first_mid, session, config, priors):
    """The tape columns over (before, k]; the velocity looks at no snap before `first_mid`."""
    prints = prints_between(rows, before + 1, k)
    bought, sold = near_lots(prints, touch, config)
    lots = sum(row["size"] for row in prints)
    large = sum(row["size"] for row in prints if row["size"] >= config.tape.large_print)
    minute_prints = touch["minute_prints"]
    per_minute = len(prints) / seconds_of(k - before, config) * 60
    scarce = bought + sold < IMBALANCE_LOTS or touch["minute_volume"] is None
    sweep = latest_sweep(rows, touch, before, k, session, config, priors)
    values = {
        "tape_buy_volume": bought,
        "tape_sell_volume": sold,
        "tape_prints": sum(is_near(row, touch, config) for row in prints),
        "tape_imbalance": None if scarce else imbalance(prints, touch, config),
        "tape_velocity": velocity(rows, touch, first_mid, k, config),
        "tape_rate": per_minute / minute_prints if minute_prints else None,
        "tape_mean_size": lots / len(prints) if prints else None,
        "tape_large_share": large / lots if lots >= IMBALANCE_LOTS else None,
        "sweep_direction": None,
        "sweep_size": None,
        "sweep_notional": None,
    }
    if sweep is not None:
        price = points(sweep["ticks"] * config.instrument.tick, config)
        values["sweep_direction"] = toward_break(sweep, touch)
        values["sweep_size"] = sweep["cluster_size"]
        values["sweep_notional"] = sweep["cluster_size"] * abs(price) * config.instrument.multiplier
    return values


# ---- 4.3 position and geometry ----


def position(snap, touch, config):
    """x: the mid beyond the level, toward the break, in points."""
    mid = mid_points(snap, config)
    return None if mid is None else sign(touch) * (mid - points(touch["price"], config))


def position_columns(rows, touch, k, config, sigma_now):
    x, sigma = position(rows.snaps[k], touch, config), touch["sigma"]
    distances = [beyond(touch, ticks, config) for ticks in touch_prints(rows, touch, k)]
    values = {
        "position": x,
        "position_sigma_4min": None if x is None or sigma is None else x / (sigma * math.sqrt(240)),
        "excursion_max": points(max(0, max(distances)), config),
        "excursion_min": points(max(0, -min(distances)), config),
        "sigma": sigma,
        "sigma_now": sigma_now,
        "atr": touch["atr"],
    }
    for name, horizon in HORIZONS.items():
        theta = touch[f"theta_{name}"] * tick_points(config)
        chances = naive_geometry(x, theta, sigma_now, touch["print_spacing"], horizon, tick_points(config))
        values[f"position_theta_{name}"] = None if x is None else x / theta
        for outcome, chance in zip(("break", "bounce", "chop"), chances, strict=True):
            values[f"geometry_{outcome}_{name}"] = chance
    return values


# ---- 4 features ----


def approach_start(touch, seconds, config):
    """The snap that ends where a window of the approach begins: not before the grid does."""
    return max(0, touch["k"] - snaps_in(seconds, config))


def reaction_start(touch, k, seconds, config):
    """The snap that ends where a window of the reaction begins: not before t0."""
    return max(touch["k"], k - snaps_in(seconds, config))


def approach_columns(rows, touch, session, config, priors):
    """Clock and tape of the approach, without the prefix."""
    k0 = touch["k"]
    clock, tape = (approach_start(touch, seconds, config) for seconds in (config.barrier.approach_seconds, config.tape.w_t))
    return {
        **clock_columns(rows, touch, clock, k0, session, config, priors),
        **tape_columns(rows, touch, tape, k0, 0, session, config, priors),
    }


def reaction_columns(rows, touch, k, session, config, priors):
    """Clock and tape of the reaction; all null at e = 0."""
    k0 = touch["k"]
    if k == k0:
        return dict.fromkeys(("barrier_state", *CLOCKED, *TAPE))
    clock, tape = (reaction_start(touch, k, seconds, config) for seconds in (config.barrier.w_b, config.tape.w_t))
    return {
        **clock_columns(rows, touch, clock, k, session, config, priors),
        **tape_columns(rows, touch, tape, k, k0, session, config, priors),
    }


def reaction_rates(rows, touch, k, config):
    """The rates after the touch; a window is null unless e is beyond the next shorter one."""
    values, elapsed = {}, seconds_of(k - touch["k"], config)
    for shorter, seconds in zip((0, *REACTION_WINDOWS), REACTION_WINDOWS, strict=False):
        if elapsed > shorter:
            values |= rate_columns(rows, touch, seconds, reaction_start(touch, k, seconds, config), k, config)
        else:
            values |= dict.fromkeys(f"{what}_rate_{seconds}" for what in ("added", "pulled", "filled"))
    return values


def fuel_columns(rows, touch, k, priors):
    """Fuel at a snap; of a date without options nothing is known."""
    if rows.options is None:
        return dict.fromkeys(naive_fuel.COLUMNS) | {"fuel_effect": "UNKNOWN"}
    return naive_fuel.naive_fuel(rows.options, touch, k, priors)


def naive_features(rows, touch, k, session, config, priors, sigma_now):
    """The features of sections 4.1 to 4.4 of a touch at snap k, whose volatility is `sigma_now` (naive_touches.naive_sigma);
    those of 4.5 stand in naive_approach.py and naive_context.py."""
    approach = approach_columns(rows, touch, session, config, priors)
    for seconds in APPROACH_WINDOWS:
        approach |= rate_columns(rows, touch, seconds, approach_start(touch, seconds, config), touch["k"], config)
    values = {
        **{f"approach_{name}": value for name, value in approach.items()},
        **book_columns(rows.snaps[k], touch, config),
        **reaction_columns(rows, touch, k, session, config, priors),
        **reaction_rates(rows, touch, k, config),
        **position_columns(rows, touch, k, config, sigma_now),
        **fuel_columns(rows, touch, k, priors),
    }
    return {feature.name: values[feature.name] for feature in PHYSICS if feature.name in values}


def naive_resolved(rows, touch, k, theta_ticks, config):
    """Whether the touch has moved theta or more from the level by snap k."""
    return reached(rows, touch, k, theta_ticks, config)


def naive_landmarks(rows, touch, session, config):
    """The snaps of the touch's landmark rows: those that exist while it is unresolved."""
    moments = [touch["k"] + snaps_in(seconds, config) for seconds in config.touches.landmarks]
    return [k for k in moments if k < len(rows.snaps) and not naive_resolved(rows, touch, k, touch["theta_8min"], config)]
