"""Slow, obvious twins of levels and touches, written from docs/physics.md, sections 2 and 3.

A table is a list of dicts with the column names of tables.py; None is null, a category is its word. Snap k is element k of
`snaps`. Prices of levels are in 1e-9 USD, those of prints in ticks.
"""

import math
from fractions import Fraction
from itertools import pairwise

from tests import naive_fuel

SECOND = 1_000_000_000
MINUTE = 60 * SECOND
HORIZONS = {"2min": 120, "4min": 240, "8min": 480}
DEPTHS = 10  # m_00 .. m_09
BUCKETS = 144
WALL_POINTS = 50  # from the mid
KINDS = (
    "PM_HIGH", "PM_LOW", "OR_HIGH", "OR_LOW", "SMA_200", "SMA_400",
    "PD_HIGH", "PD_LOW", "PD_CLOSE", "ON_HIGH", "ON_LOW", "VWAP", "VWAP_UPPER", "VWAP_LOWER", "ROUND", "CALL_WALL", "PUT_WALL",
)  # fmt: skip


# Levels


def nearest(numerator, denominator):
    """The nearest whole number to a fraction, half up."""
    return (2 * numerator + denominator) // (2 * denominator)


def level(kind, price, valid_from, valid_to, config):
    """One row of levels."""
    ticks = nearest(price, config.instrument.tick)
    return {"kind": kind, "price": price, "ticks": ticks, "valid_from": valid_from, "valid_to": valid_to}


def range_levels(words, window, prints, session, config):
    """The highest and the lowest print of a window, valid from its end; nothing without prints."""
    path = [p["ticks"] * config.instrument.tick for p in prints if window.start < p["ts"] <= window.end]
    if not path:
        return []
    ends = window.end, session.globex.end
    return [level(words[0], max(path), *ends, config), level(words[1], min(path), *ends, config)]


def average_levels(kind, length, bars2, config):
    """The mean of the last `length` known closes, from each 2-minute close to the next; nothing while there are fewer."""
    rows, closes = [], []
    for bar in bars2:
        if bar["close"] is not None:
            closes.append(bar["close"] * config.instrument.tick)
        if len(closes) >= length:
            price = nearest(sum(closes[-length:]), length)
            rows.append(level(kind, price, bar["ts"], bar["ts"] + 2 * MINUTE, config))
    return rows


def previous_levels(priors, session, config):
    """The highest, lowest and last print of the date before, as far as the priors know them."""
    found = [
        ("PD_HIGH", priors[0]["session_high"]),
        ("PD_LOW", priors[0]["session_low"]),
        ("PD_CLOSE", priors[0]["session_close"]),
    ]
    ends = session.regular.start, session.globex.end
    return [level(kind, round(ticks) * config.instrument.tick, *ends, config) for kind, ticks in found if ticks is not None]


def nearest_root(square):
    """The whole number nearest to the root of a fraction, half up: half of floor(2 root), rounded up."""
    return (math.isqrt(math.floor(4 * square)) + 1) // 2


def average_and_deviation(prints, config):
    """(V, nearest whole deviation) of prices weighted by lots, in 1e-9 USD; None without lots."""
    lots = sum(p["size"] for p in prints)
    if not lots:
        return None
    prices = [(p["ticks"] * config.instrument.tick, p["size"]) for p in prints]
    total = sum(price * size for price, size in prices)
    mean = Fraction(total) / lots
    square = sum((price - mean) ** 2 * size for price, size in prices) / lots
    return nearest(total, lots), nearest_root(square)


def weighted_levels(prints, bars2, session, config):
    """VWAP and its two neighbours, from each 2-minute close after 09:30 to the next."""
    rows = []
    for bar in bars2:
        if bar["ts"] > session.regular.start:
            found = average_and_deviation([p for p in prints if session.regular.start < p["ts"] <= bar["ts"]], config)
            if found is not None:
                average, deviation = found
                ends = bar["ts"], bar["ts"] + 2 * MINUTE
                rows.append(level("VWAP", average, *ends, config))
                rows.append(level("VWAP_UPPER", average + deviation, *ends, config))
                rows.append(level("VWAP_LOWER", average - deviation, *ends, config))
    return rows


def round_levels(prints, bars2, session, config):
    """The round price nearest to the last print, from each 2-minute close to the next, that of 09:30 being the first."""
    rows, step = [], to_price(config.levels.round_points, config)
    for bar in bars2:
        path = [p["ticks"] * config.instrument.tick for p in prints if p["ts"] <= bar["ts"]]
        if bar["ts"] >= session.regular.start and path:
            rows.append(level("ROUND", step * nearest(path[-1], step), bar["ts"], bar["ts"] + 2 * MINUTE, config))
    return rows


def wall_strike(options, k, side):
    """The most damping strike up to 50 points above (side +1) or below (-1) the mid of snap k; None without one."""
    config = options.config
    forward = naive_fuel.mid_points(options.snaps[k], config)
    if forward is None or not naive_fuel.fuel_known(options, forward * config.instrument.point, k):
        return None
    known, found = naive_fuel.smile(options, k), []
    for strike in naive_fuel.strikes_until(options, k):
        distance = side * (naive_fuel.points_of(strike, config) - forward)
        if 0 < distance <= WALL_POINTS:
            size = naive_fuel.strike_exposure(options, known, strike, k)
            if size > 0:
                found.append((-size, distance, strike))
    return min(found)[2] if found else None


def wall_levels(snaps, options, bars2, session, config):
    """Both walls, from each 2-minute close to the next, that of 09:30 being the first."""
    rows, snap_at = [], {snap["ts"]: k for k, snap in enumerate(snaps)}
    for bar in bars2:
        if bar["ts"] >= session.regular.start and bar["ts"] in snap_at:
            for kind, side in (("CALL_WALL", 1), ("PUT_WALL", -1)):
                strike = wall_strike(options, snap_at[bar["ts"]], side)
                if strike is not None:
                    rows.append(level(kind, strike, bar["ts"], bar["ts"] + 2 * MINUTE, config))
    return rows


def naive_levels(prints, bars2, session, config, snaps=None, options=None, priors=None):
    """The levels in order of (valid_from, kind): those of the kinds that the configuration names.

    With neither snaps nor options (of naive_fuel) nor priors, only the six whose touches the page defines first: a caller that
    wants the context gives what it has; the walls need snaps and options, the levels of the date before priors.
    """
    short, long = config.levels.sma_bars
    rows = [
        *range_levels(("PM_HIGH", "PM_LOW"), session.premarket, prints, session, config),
        *range_levels(("OR_HIGH", "OR_LOW"), session.opening_range, prints, session, config),
        *average_levels("SMA_200", short, bars2, config),
        *average_levels("SMA_400", long, bars2, config),
    ]
    if not (snaps is None and options is None and priors is None):
        overnight = type(session.globex)(session.globex.start, session.regular.start)
        rows += range_levels(("ON_HIGH", "ON_LOW"), overnight, prints, session, config)
        rows += weighted_levels(prints, bars2, session, config)
        rows += round_levels(prints, bars2, session, config)
    if priors:
        rows += previous_levels(priors, session, config)
    if snaps is not None and options is not None:
        rows += wall_levels(snaps, options, bars2, session, config)
    wanted = {*config.levels.signal_kinds, *getattr(config.levels, "context_kinds", ())}
    rows = [row for row in rows if row["kind"] in wanted]
    return sorted(rows, key=lambda row: (row["valid_from"], KINDS.index(row["kind"])))


# The machine


def to_price(points, config):
    """Points in 1e-9 USD."""
    return round(points * config.instrument.point)


def row_in_force(rows, time):
    """The level row that holds at a time; before the first one is valid, the first one."""
    if time <= rows[0]["valid_from"]:
        return rows[0]
    for row in rows:
        if row["valid_from"] < time <= row["valid_to"]:
            return row
    return None


def is_entry(price, before, low, high, band):
    """Whether a path that starts outside the band, and ranges from low to high, comes into the band; all in 1e-9 USD."""
    if abs(before - price) <= band:
        return False
    return min(before, low) <= price + band and max(before, high) >= price - band


def entry_extremes(path, price, before, band):
    """(highest, lowest) price of a path from the first one on that lies in the band or on the other side of the level."""
    for i, value in enumerate(path):
        beyond = value > price if before < price else value < price
        if abs(value - price) <= band or beyond:
            return max(path[i:]), min(path[i:])
    raise ValueError("an entry has a print in the band or beyond")


def kind_touches(kind, snaps, prints, levels, session, config):
    """The touches of one kind, as far as its machine tells."""
    tick, rules = config.instrument.tick, config.touches
    band = to_price(rules.monitor_band, config)
    rows = [row for row in levels if row["kind"] == kind]
    touches = []
    armed = False
    if not rows:
        return []
    for k in range(1, len(snaps)):
        snap, last = snaps[k], snaps[k - 1]["last"]
        row = row_in_force(rows, snap["ts"])
        if last is None or row is None:
            continue
        price, before = row["price"], last * tick
        entry = snap["low"] is not None and is_entry(price, before, snap["low"] * tick, snap["high"] * tick, band)
        valid = row["valid_from"] < snap["ts"] <= row["valid_to"]
        in_window = session.signals.start < snap["ts"] <= session.signals.end
        rested = not touches or snap["ts"] - touches[-1]["t0"] >= rules.cooldown_seconds * SECOND
        if entry and armed and valid and in_window and rested:
            path = [p["ticks"] * tick for p in prints if p["k"] == k]
            high, low = entry_extremes(path, price, before, band)
            touches.append(
                {
                    "kind": kind,
                    "direction": "UP" if before < price else "DOWN",
                    "price": price,
                    "ticks": row["ticks"],
                    "k": k,
                    "t0": snap["ts"],
                    "entry_ticks": snap["last"],
                    "entry_high": high // tick,
                    "entry_low": low // tick,
                    "attempt_index": len(touches) + 1,
                }
            )
        if entry:
            armed = False
        if abs(snap["last"] * tick - price) >= to_price(rules.rearm_points, config):
            armed = True
    return touches


def add_episodes(touches, config):
    """Adds the episode: the earliest one whose first touch is near in price and time, else a new one."""
    rules, firsts = config.touches, []
    for touch in touches:
        for first in firsts:
            near = abs(touch["price"] - first["price"]) <= to_price(rules.episode_points, config)
            if near and abs(touch["t0"] - first["t0"]) <= rules.episode_seconds * SECOND:
                break
        else:
            first = touch
            firsts.append(touch)
        touch["episode_id"] = first["event_id"]
        touch["episode"] = first["touch"]


# Volatility


def bucket_of(time, session, config):
    """The bucket (start, end] from the start of the premarket on that holds a time; None outside all of them."""
    length = config.grid.bucket_minutes * MINUTE
    bucket = -((session.premarket.start - time) // length) - 1
    return bucket if 0 <= bucket < BUCKETS else None


def minutes_of(clock):
    """Minutes since midnight of "HH:MM"."""
    hours, minutes = clock.split(":")
    return 60 * int(hours) + int(minutes)


def naive_shape(bucket, config):
    """The stated variance of a bucket: that of the last step at or before its start."""
    start = minutes_of(config.sessions.premarket_start) + config.grid.bucket_minutes * bucket
    return [value for clock, value in config.labels.diurnal_shape if minutes_of(clock) <= start][-1]


def prior_of(priors, bucket, column):
    """A column of the row of priors of a bucket; None if there is none."""
    for row in priors or []:
        if row["bucket"] == bucket:
            return row[column]
    return None


def is_cold(priors):
    """Whether no earlier date tells the volatility of any bucket."""
    return all(row["diffusion"] is None for row in priors or [])


def naive_diffusion(bucket, config, priors):
    """D_b, None where it is unknown or 0."""
    if bucket is None:
        return None
    value = naive_shape(bucket, config) if is_cold(priors) else prior_of(priors, bucket, "diffusion")
    return value or None


def naive_samples(snaps, k0, session, config):
    """The snaps up to k0 at whole multiples of 5 s from the open, after 04:00, with a good book and a recent record."""
    step = round(config.labels.sample_seconds * SECOND)
    return [
        snap
        for snap in snaps[: k0 + 1]
        if (snap["ts"] - session.globex.start) % step == 0
        and snap["ts"] > session.premarket.start
        and snap["book_ok"]
        and snap["gap_ns"] <= config.labels.gap_seconds * SECOND
    ]


def naive_returns(snaps, k0, session, config, priors):
    """(seconds, x) of every return up to k0; a return whose D_b is unknown is none."""
    samples = naive_samples(snaps, k0, session, config)
    returns = []
    for earlier, later in pairwise(samples):
        seconds = (later["ts"] - earlier["ts"]) / SECOND
        diffusion = naive_diffusion(bucket_of(later["ts"], session, config), config, priors)
        if seconds <= config.labels.gap_seconds and diffusion is not None:
            points = (later["mid2"] - earlier["mid2"]) / 2 * config.instrument.tick / config.instrument.point
            returns.append((seconds, points**2 / (seconds * diffusion)))
    return returns


def naive_sigma(snaps, k0, session, config, priors):
    """Volatility at snap k0 in points per square root of a second; None under 60 returns."""
    rules = config.labels
    returns = naive_returns(snaps, k0, session, config, priors)
    diffusion = naive_diffusion(bucket_of(snaps[k0]["ts"], session, config), config, priors)
    if len(returns) < rules.min_returns or diffusion is None:
        return None
    decay = 2 ** (-rules.sample_seconds / rules.half_life_seconds)
    num = den = 0.0
    for seconds, x in returns:
        faded = decay ** (seconds / rules.sample_seconds)
        num = num * faded + x
        den = den * faded + 1
    return max(math.sqrt(diffusion * num / den), rules.sigma_min)


def naive_theta(sigma, seconds, config):
    """The distance in ticks that decides a horizon."""
    rules = config.labels
    points = rules.label_barrier_min_points
    if sigma is not None:
        points = min(max(sigma * math.sqrt(seconds), rules.label_barrier_min_points), rules.label_barrier_max_points)
    return math.ceil(points * config.instrument.point / config.instrument.tick)


# References


def median(values):
    """The median; of an even number the mean of the two middle ones; None of nothing."""
    ordered = sorted(values)
    if not ordered:
        return None
    middle = len(ordered) // 2
    return float(ordered[middle]) if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def listed_sizes(snap, word):
    """Price -> lots of the listed levels of the side "bid" or "ask"."""
    levels = [(snap[f"{word}_ticks_{i:02}"], snap[f"{word}_size_{i:02}"]) for i in range(10)]
    return {ticks: size for ticks, size in levels if ticks is not None}


def visible_size(listed, shown, word, ticks):
    """Lots at a price; None where the snap does not show it."""
    if shown == 0:
        return None
    if shown == 1 and (ticks > max(listed) if word == "ask" else ticks < min(listed)):
        return None
    return listed.get(ticks, 0)


def window_start(t0, seconds, session):
    """Where a trailing window begins: not before 09:30 if t0 is later, else not before the open."""
    return max(t0 - round(seconds * SECOND), earliest(t0, session))


def earliest(t0, session):
    """The first moment that a trailing window may begin at."""
    return session.regular.start if t0 > session.regular.start else session.globex.start


def naive_depths(snaps, t0, direction, session, config):
    """m_00 .. m_09: median size so many ticks behind the best of the defending side."""
    word, away = ("ask", 1) if direction == "UP" else ("bid", -1)
    start = window_start(t0, config.grid.reference_depth_seconds, session)
    found = [[] for _ in range(DEPTHS)]
    for snap in snaps:
        if start < snap["ts"] <= t0 and snap["book_ok"]:
            listed, best = listed_sizes(snap, word), snap[f"{word}_ticks_00"]
            for j in range(DEPTHS):
                size = visible_size(listed, snap[f"{word}_shown"], word, best + away * j)
                if size is not None:
                    found[j].append(size)
    return [median(sizes) for sizes in found]


def bars_since_open(bars1, t0, session):
    """The closed 1-minute bars that lie whole between 09:30 and t0."""
    return [bar for bar in bars1 if bar["ts"] - MINUTE >= earliest(t0, session) and bar["ts"] <= t0]


def true_range(bars1, bar, config):
    """True range of a bar in points; None without a previous close."""
    previous = [b["close"] for b in bars1 if b["ts"] == bar["ts"] - MINUTE]
    if not previous or previous[0] is None:
        return None
    ticks = max(bar["high"], previous[0]) - min(bar["low"], previous[0])
    return ticks * config.instrument.tick / config.instrument.point


def naive_atr(bars1, bars, config):
    """Mean true range of the last 14 of `bars`."""
    ranges = [true_range(bars1, bar, config) for bar in bars[-config.levels.atr_bars :]]
    return None if None in ranges else sum(ranges) / len(ranges)


def naive_spacing(prints, t0, session, config):
    """Median time between successive distinct print times in the last 600 s, at least .001 s; None under two times."""
    start = window_start(t0, config.grid.reference_seconds, session)
    times = sorted({p["ts"] for p in prints if start < p["ts"] <= t0})
    spacing = median([later - earlier for earlier, later in pairwise(times)])
    return None if spacing is None else max(0.001, spacing / SECOND)


def naive_references(snaps, prints, bars1, k0, direction, session, config, priors):
    """What is usual before snap k0: from the trailing windows, soon after the open from the priors."""
    t0 = snaps[k0]["ts"]
    bucket = bucket_of(t0, session, config)
    word = "ask" if direction == "UP" else "bid"
    bars = bars_since_open(bars1, t0, session)
    found = {}
    if t0 < earliest(t0, session) + round(config.grid.reference_seconds * SECOND):
        for j in range(DEPTHS):
            found[f"m_{j:02}"] = prior_of(priors, bucket, f"{word}_m_{j:02}")
        for name in ("minute_volume", "minute_prints", "print_spacing"):
            found[name] = prior_of(priors, bucket, name)
    else:
        for j, size in enumerate(naive_depths(snaps, t0, direction, session, config)):
            found[f"m_{j:02}"] = size
        last_ten = bars[-10:]
        found["minute_volume"] = median([bar["volume"] for bar in last_ten])
        found["minute_prints"] = median([bar["prints"] for bar in last_ten])
        found["print_spacing"] = naive_spacing(prints, t0, session, config)
    few = len(bars) < config.levels.atr_bars
    found["atr"] = prior_of(priors, bucket, "atr") if few else naive_atr(bars1, bars, config)
    nine = [found[f"m_{j:02}"] for j in range(9)]
    found["depth"] = None if None in nine else max(1, sum(nine))
    return found


# Touches


def naive_touches(snaps, prints, bars1, levels, session, config, priors, date):
    """The touches of a date, numbered by (k, kind), with what was known at t0."""
    touches = []
    for kind in config.levels.signal_kinds:
        touches += kind_touches(kind, snaps, prints, levels, session, config)
    touches.sort(key=lambda touch: (touch["k"], KINDS.index(touch["kind"])))
    for number, touch in enumerate(touches):
        k0, direction = touch["k"], touch["direction"]
        touch["touch"] = number
        touch["event_id"] = f"{date}_{touch['kind']}_{touch['ticks']}_{touch['t0']}_{direction}"
        touch["sigma"] = naive_sigma(snaps, k0, session, config, priors)
        touch["sigma_cold"] = int(is_cold(priors))
        for name, seconds in HORIZONS.items():
            touch[f"theta_{name}"] = naive_theta(touch["sigma"], seconds, config)
        touch.update(naive_references(snaps, prints, bars1, k0, direction, session, config, priors))
    add_episodes(touches, config)
    return touches
