"""Naive twins of physics.md, section 6 (labels), the geometry of 4.3, and section 7 (day_summary, priors).

Rows are dicts with the column names of tables.py, None for null. The small helpers at the top (book, zone, clock, buckets) are
shared with naive_physics.py. Nothing here imports the code that it checks.
"""

import math
from fractions import Fraction
from itertools import pairwise
from statistics import mean, median

import numpy as np

from spymaster_assets.features import HORIZONS
from spymaster_assets.tables import DAY_SUMMARY
from tests.naive_fuel import naive_gamma_thresholds

SECOND = 1_000_000_000
BUCKETS = 144
LEVELS = 10
CLUSTER_CAP = 4095
LADDER = {
    side: [(f"{name}_ticks_{i:02}", f"{name}_size_{i:02}") for i in range(LEVELS)] for side, name in (("A", "ask"), ("B", "bid"))
}  # columns of price and size
SESSION_COLUMNS = ("session_high", "session_low", "session_close")
LOADINGS = tuple(f"ofi_loading_{i:02}" for i in range(LEVELS))

# ---- shared with naive_physics.py: units, book, zone, volume clock ----


def sign(touch):
    """+1 where a break is a rise."""
    return 1 if touch["direction"] == "UP" else -1


def points(nanos, config):
    """1e-9 USD as points."""
    return nanos / config.instrument.point


def tick_points(config):
    return config.instrument.tick / config.instrument.point


def mid_points(snap, config):
    """The mid in points, None without a two-sided book."""
    return None if snap["mid2"] is None else points(snap["mid2"] * config.instrument.tick / 2, config)


def beyond(touch, ticks, config):
    """s (p - L) in 1e-9 USD: how far a price lies on the far side of the level."""
    return sign(touch) * (ticks * config.instrument.tick - touch["price"])


def snaps_in(seconds, config):
    """How many snaps make up so many seconds."""
    return round(seconds * SECOND / config.grid.interval_ns)


def seconds_of(snaps, config):
    return snaps * config.grid.interval_ns / SECOND


def outward(side):
    """+1 for asks, -1 for bids: the direction away from the best."""
    return 1 if side == "A" else -1


def listed(snap, side):
    """The listed prices of a side, best first, with their sizes."""
    ladder = ((snap[ticks], snap[size]) for ticks, size in LADDER[side])
    return {ticks: size for ticks, size in ladder if ticks is not None}


def best(snap, side):
    """The best listed price of a side, None if the side is empty."""
    return snap[LADDER[side][0][0]]


def last_visible(snap, side):
    """The worst visible price of a side: infinitely far if every price is visible, None if nothing is."""
    shown = snap["ask_shown" if side == "A" else "bid_shown"]
    if shown == 0:
        return None
    return outward(side) * math.inf if shown == 2 else list(listed(snap, side))[-1]


def visible(snap, side, ticks):
    """Whether the book shows what rests at a price (perhaps nothing)."""
    last = last_visible(snap, side)
    return last is not None and outward(side) * (ticks - last) <= 0


def size_at(snap, side, ticks):
    """Lots at a visible price: 0 if it is not listed."""
    return listed(snap, side).get(ticks, 0)


def zone_flow(rows, k, side, zone):
    """(added, pulled, filled) lots of one snap at the prices of a zone."""
    added = pulled = filled = 0
    for row in rows.flow_at(k):
        if row["side"] == side and row["ticks"] in zone:
            added, pulled, filled = added + row["added"], pulled + row["pulled"], filled + row["filled"]
    return added, pulled, filled


def volume_clock(rows, before, k, side, zone, depth):
    """(start, added, pulled, filled): back from snap k until `depth` lots left the zone, not beyond the snap after `before`."""
    start, added, pulled, filled = k, 0, 0, 0
    while start > before and pulled + filled < depth:
        a, p, f = zone_flow(rows, start, side, zone)
        added, pulled, filled = added + a, pulled + p, filled + f
        start -= 1
    return start, added, pulled, filled


def bucket_of(ts, session, config):
    """The number of the 5-minute bucket (start, end] that holds a time; None outside the 144 from 04:00 on."""
    length = config.grid.bucket_minutes * 60 * SECOND
    number = (ts - session.premarket.start - 1) // length
    return number if 0 <= number < BUCKETS else None


def nearest_rank(values, share):
    """The value of rank ceil(share n), counted from 1."""
    rank = math.ceil(Fraction(str(share)) * len(values))
    return sorted(values)[rank - 1]


# ---- 4.3 geometry ----


def first_passage(near, width, spread):
    """P that a Brownian motion leaves a strip on the side that is `near` away. Method of images.

    `spread`: its standard deviation at the horizon. The images of the start lie at near + 2 n width (counted) and at
    2 n width - near (taken off again); each is hit alone with the probability 2 (1 - Phi(distance / spread)).
    """
    total, n = 0.0, 0
    while True:
        here = 2 * n * width + near
        there = 2 * (n + 1) * width - near
        total += alone(here, spread) - alone(there, spread)
        if here > 10 * spread:
            return total
        n += 1


def alone(distance, spread):
    """P that a Brownian motion reaches one barrier: twice the normal tail."""
    return math.erfc(distance / spread / math.sqrt(2))


def naive_geometry(x, theta_points, sigma, spacing, horizon, tick_points):
    """(break, bounce, chop) probabilities of a driftless Brownian motion from x between two barriers."""
    if x is None or sigma is None or spacing is None:
        return None, None, None
    barrier = theta_points - tick_points / 2 + 0.5826 * sigma * math.sqrt(spacing)
    if x >= barrier:
        return 1.0, 0.0, 0.0
    if x <= -barrier:
        return 0.0, 1.0, 0.0
    spread = sigma * math.sqrt(horizon)
    p_break = first_passage(barrier - x, 2 * barrier, spread)
    p_bounce = first_passage(barrier + x, 2 * barrier, spread)
    return tuple(min(max(p, 0.0), 1.0) for p in (p_break, p_bounce, 1 - p_break - p_bounce))


# ---- 6 labels ----


def prints_between(rows, first, last):
    """The prints of snaps first … last."""
    return [row for k in range(first, last + 1) for row in rows.prints_at(k)]


def touch_prints(rows, touch, k):
    """Prices of the touch up to snap k: extremes of the entry snap's prints from the band on, then every print after t0."""
    return [touch["entry_high"], touch["entry_low"], *(row["ticks"] for row in prints_between(rows, touch["k"] + 1, k))]


def reached(rows, touch, k, theta_ticks, config):
    """Whether a print of the touch up to snap k lies theta or more from the level, on either side."""
    theta = theta_ticks * config.instrument.tick
    return any(abs(beyond(touch, ticks, config)) >= theta for ticks in touch_prints(rows, touch, k))


def observation_end(rows, k, horizon, session, config):
    """Session end, or the last record before the first 60 s without records that are complete at a snap in (t, t + h]."""
    for j in range(k + 1, min(k + snaps_in(horizon, config), len(rows.snaps) - 1) + 1):
        gap = rows.snaps[j]["gap_ns"]
        if gap is not None and gap >= config.labels.halt_seconds * SECOND:
            return min(session.end, rows.snaps[j]["ts"] - gap)
    return session.end


def first_time(path, reaches, t):
    """Seconds from t to the first print of the path that reaches."""
    for row in path:
        if reaches(row):
            return (row["ts"] - t) / SECOND
    return None


def horizon_labels(rows, touch, k, theta_ticks, horizon, session, config):
    """The label columns of one horizon, without its suffix."""
    t = rows.snaps[k]["ts"]
    end = t + horizon * SECOND
    values = dict.fromkeys(
        (
            "time_to_break_1", "time_to_break_2", "time_to_bounce_1", "time_to_bounce_2", "excursion_max", "excursion_min",
            "strength_signed", "strength_abs", "tradeable_1", "tradeable_2", "future_price",
        )
    )  # fmt: skip
    values["label_end"] = end
    if reached(rows, touch, k, theta_ticks, config):
        return values | {"outcome": "RESOLVED"}

    theta_2 = theta_ticks * config.instrument.tick
    theta_1 = math.floor(config.labels.label_t1_fraction * theta_2 + 0.5)
    observed_to = observation_end(rows, k, horizon, session, config)
    path = [row for row in prints_between(rows, k + 1, k + snaps_in(horizon, config)) if t < row["ts"] <= min(end, observed_to)]
    for step, theta in ((1, theta_1), (2, theta_2)):
        values[f"time_to_break_{step}"] = first_time(path, lambda row, d=theta: beyond(touch, row["ticks"], config) >= d, t)
        values[f"time_to_bounce_{step}"] = first_time(path, lambda row, d=theta: -beyond(touch, row["ticks"], config) >= d, t)

    complete = observed_to >= end
    values["outcome"] = outcome(path, touch, theta_2, complete, config)
    if complete:
        over = max([0, *(beyond(touch, row["ticks"], config) for row in path)])
        under = max([0, *(-beyond(touch, row["ticks"], config) for row in path)])
        values["excursion_max"], values["excursion_min"] = points(over, config), points(under, config)
        values["strength_signed"] = points(over - under, config)
        values["strength_abs"] = points(max(over, under), config)
        values["tradeable_1"], values["tradeable_2"] = int(max(over, under) >= theta_1), int(max(over, under) >= theta_2)
        values["future_price"] = rows.snaps[k + snaps_in(horizon, config)]["last"]
    return values


def outcome(path, touch, theta, complete, config):
    """Which barrier the observed prints reach first."""
    for row in path:
        if beyond(touch, row["ticks"], config) >= theta:
            return "BREAK"
        if -beyond(touch, row["ticks"], config) >= theta:
            return "BOUNCE"
    return "CHOP" if complete else "CENSORED"


def naive_labels(rows, touch, k, session, config):
    """One row of LABELS, without event_id."""
    snap = rows.snaps[k]
    row = {
        "touch": touch["touch"],
        "k": k,
        "ts": snap["ts"],
        "elapsed": seconds_of(k - touch["k"], config),
        "label_version": config.labels.label_version,
        "anchor_spot": snap["mid2"],
    }
    for name, horizon in HORIZONS.items():
        found = horizon_labels(rows, touch, k, touch[f"theta_{name}"], horizon, session, config)
        row |= {f"{column}_{name}": value for column, value in found.items()}
    return row


# ---- 7 summaries and priors ----


def by_bucket(items, time, session, config):
    """Items in 144 lists, by the bucket of time(item); those outside are left out."""
    buckets = [[] for _ in range(BUCKETS)]
    for item in items:
        number = bucket_of(time(item), session, config)
        if number is not None:
            buckets[number].append(item)
    return buckets


def median_or_none(values):
    return median(values) if values else None


def usual_sizes(snaps, side):
    """m_0 … m_9 of a side: per distance from the best, the median size over the good books that show it."""
    sizes = [[] for _ in range(LEVELS)]
    for snap in snaps:
        if not snap["book_ok"]:
            continue
        ladder, top, last = listed(snap, side), best(snap, side), last_visible(snap, side)
        for j in range(LEVELS):
            ticks = top + outward(side) * j
            if outward(side) * (ticks - last) <= 0:
                sizes[j].append(ladder.get(ticks, 0))
    return [median_or_none(found) for found in sizes]


def last_prints_of_clusters(prints):
    """The last print of every cluster that has an aggressor; its cluster_size is the final one."""
    final = {row["cluster"]: row for row in prints if row["side"] != "N"}
    return list(final.values())


def cluster_percentile(lasts, config):
    """99th percentile of final cluster sizes; None without any."""
    sizes = [min(row["cluster_size"], CLUSTER_CAP) for row in lasts]
    if not sizes:
        return None
    return nearest_rank(sizes, config.tape.sweep_percentile)


def true_ranges(bars1, config):
    """(bar, true range in points) of every 1-minute bar whose own prices and previous close are known."""
    found = []
    for before, bar in pairwise(bars1):
        if before["close"] is not None and bar["high"] is not None:
            ticks = max(bar["high"], before["close"]) - min(bar["low"], before["close"])
            found.append((bar, ticks * tick_points(config)))
    return found


def spacing(prints):
    """Median seconds between successive distinct print times, at least .001; None under two times."""
    times = sorted({row["ts"] for row in prints})
    median = median_or_none([(later - earlier) / SECOND for earlier, later in pairwise(times)])
    return None if median is None else max(0.001, median)


def is_sample(snap, session, config):
    """Whether a snap is a sample of the volatility: every 5 s after 04:00, good book, fresh."""
    on_time = (snap["ts"] - session.globex.start) % round(config.labels.sample_seconds * SECOND) == 0
    fresh = snap["gap_ns"] is not None and snap["gap_ns"] <= config.labels.gap_seconds * SECOND
    return on_time and snap["ts"] > session.premarket.start and bool(snap["book_ok"]) and fresh


def returns(rows, session, config):
    """(time of the later sample, squared change of the mid in points per second) of samples at most 30 s apart."""
    samples = [rows.snaps[k] for k in range(len(rows.snaps)) if is_sample(rows.snaps[k], session, config)]
    found = []
    for earlier, later in pairwise(samples):
        seconds = (later["ts"] - earlier["ts"]) / SECOND
        if seconds <= config.labels.gap_seconds:
            change = mid_points(later, config) - mid_points(earlier, config)
            found.append((later["ts"], change * change / seconds))
    return found


def consumed_sample(rows, k, side, usual, session, config):
    """F/(P + F) of one side's zone at a 1-minute close; None if too little left it or something is unknown."""
    snap = rows.snaps[k]
    needed = usual[: config.barrier.barrier_zone_es_ticks + 1]
    if snap["mid2"] is None or None in needed:
        return None
    depth = max(1, sum(needed))
    nearest = (snap["mid2"] + 1) // 2
    zone = [nearest + outward(side) * i for i in range(config.barrier.barrier_zone_es_ticks + 1)]
    before = k
    while before > 0 and k - before < snaps_in(config.barrier.w_b, config) and rows.snaps[before]["ts"] > session.regular.start:
        before -= 1
    _, _, pulled, filled = volume_clock(rows, before, k, side, zone, depth)
    if (pulled + filled) / depth < config.priors.turnover_min:
        return None
    return filled / (pulled + filled)


def consumed_share(rows, bars1, usual, session, config):
    """80th percentile of F/(P + F) over both sides at the 1-minute closes of the signal window. usual[side][bucket]: its m."""
    shares = []
    for bar in bars1:
        if session.signals.holds(bar["ts"]):
            for side in "BA":
                m = usual[side][bucket_of(bar["ts"], session, config)]
                share = consumed_sample(rows, bar["k"], side, m, session, config)
                if share is not None:
                    shares.append(share)
    return nearest_rank(shares, config.barrier.consumed_percentile) if shares else None


def session_columns(prints, session):
    """Highest, lowest and last print of (09:30, regular close], ticks."""
    path = [row["ticks"] for row in prints if session.regular.holds(row["ts"])]
    if not path:
        return dict.fromkeys(SESSION_COLUMNS)
    return {"session_high": max(path), "session_low": min(path), "session_close": path[-1]}


def signal_closes(bars1, session):
    """The snaps of the 1-minute closes of (09:30, 13:30]."""
    return [bar["k"] for bar in bars1 if session.signals.holds(bar["ts"])]


def ofi_loadings(rows, bars1, session, config):
    """First principal component of the minutes' order-flow imbalance at ten depths, ten columns; null where nothing varies."""
    vectors = []
    for k in signal_closes(bars1, session):
        earlier, later = rows.snaps[k - snaps_in(60, config)], rows.snaps[k]
        vectors.append([later[f"ofi_{i:02}"] - earlier[f"ofi_{i:02}"] for i in range(LEVELS)])
    n, totals = len(vectors), [sum(column) for column in zip(*vectors, strict=True)]
    if n == 0:
        return dict.fromkeys(LOADINGS)
    products = [[sum(vector[i] * vector[j] for vector in vectors) for j in range(LEVELS)] for i in range(LEVELS)]
    covariance = [[Fraction(n * products[i][j] - totals[i] * totals[j], n * n) for j in range(LEVELS)] for i in range(LEVELS)]
    if not any(covariance[i][i] for i in range(LEVELS)):
        return dict.fromkeys(LOADINGS)
    _, vectors = np.linalg.eigh(np.array(covariance, dtype=float))  # eigenvalues ascend, vectors stand in columns
    component = [float(entry) for entry in vectors[:, -1]]
    scale = sum(abs(entry) for entry in component)
    if sum(component) < 0:
        scale = -scale
    return {name: round(entry / scale, 9) for name, entry in zip(LOADINGS, component, strict=True)}


def imagined_touch(snap, direction, m, minute_volume, config):
    """A touch at a snap, of a level at the nearest tick of the mid, with sigma 1; m: m_00 … m_09 of the defending side."""
    ticks = (snap["mid2"] + 1) // 2
    depth = None if None in m[:9] else max(1, sum(m[:9]))
    return {
        "direction": direction, "k": snap["k"], "t0": snap["ts"], "ticks": ticks, "price": ticks * config.instrument.tick,
        **{f"m_{j:02}": size for j, size in enumerate(m)}, "depth": depth, "minute_volume": minute_volume, "sigma": 1,
    }  # fmt: skip


def acceleration_coefficient(rows, bars1, usual, volumes, loadings, session, config):
    """Slope through the origin of the acceleration on force over mass; usual[side][bucket]: its m; volumes[bucket]."""
    from tests.naive_approach import kinematics  # which builds on this file, as does the next one
    from tests.naive_context import force_mass_ratio

    upper = lower = 0
    for k in signal_closes(bars1, session):
        snap, bucket = rows.snaps[k], bucket_of(rows.snaps[k]["ts"], session, config)
        if snap["mid2"] is None or bucket is None:
            continue
        for direction, side in (("UP", "A"), ("DOWN", "B")):
            touch = imagined_touch(snap, direction, usual[side][bucket], volumes[bucket], config)
            force = force_mass_ratio(rows, touch, [loadings[name] for name in LOADINGS], config)
            acceleration = kinematics(rows, touch, 1, config)["acceleration_1min"]
            if force is not None and acceleration is not None:
                upper += force * acceleration
                lower += force * force
    return float(upper / lower) if lower else None


def naive_day_summary(rows, bars1, session, config):
    """The 144 rows of DAY_SUMMARY."""
    snaps = by_bucket((rows.snaps[k] for k in range(len(rows.snaps))), lambda snap: snap["ts"], session, config)
    prints = by_bucket(rows.prints, lambda row: row["ts"], session, config)
    clusters = by_bucket(last_prints_of_clusters(rows.prints), lambda row: row["ts"], session, config)
    bars = by_bucket(bars1, lambda bar: bar["ts"], session, config)
    ranges = by_bucket(true_ranges(bars1, config), lambda pair: pair[0]["ts"], session, config)
    moves = by_bucket(returns(rows, session, config), lambda pair: pair[0], session, config)
    usual = {side: [usual_sizes(snaps[b], side) for b in range(BUCKETS)] for side in "BA"}
    volumes = [median_or_none([bar["volume"] for bar in bars[b]]) for b in range(BUCKETS)]
    consumed = consumed_share(rows, bars1, usual, session, config)
    thresholds = naive_gamma_thresholds(rows.options) if rows.options else [None] * BUCKETS
    loadings = ofi_loadings(rows, bars1, session, config)
    coefficient = acceleration_coefficient(rows, bars1, usual, volumes, loadings, session, config)
    return [
        {
            "bucket": b,
            **{f"bid_m_{j:02}": usual["B"][b][j] for j in range(LEVELS)},
            **{f"ask_m_{j:02}": usual["A"][b][j] for j in range(LEVELS)},
            "minute_volume": volumes[b],
            "minute_prints": median_or_none([bar["prints"] for bar in bars[b]]),
            "cluster_p99": cluster_percentile(clusters[b], config),
            "atr": mean([value for _, value in ranges[b]]) if ranges[b] else None,
            "print_spacing": spacing(prints[b]),
            "diffusion": mean([value for _, value in moves[b]]) if moves[b] else None,
            "consumed_share": consumed,
            "gamma_threshold": thresholds[b],
            **session_columns(rows.prints, session),
            **loadings,
            "acceleration_coefficient": coefficient,
        }
        for b in range(BUCKETS)
    ]


def naive_priors(summaries, config, before=None):
    """The 144 rows of PRIORS from the summaries of the preceding dates that are there.

    `before`: the summary of the trading date right before, None if it is not there or had another contract.
    """
    rows = []
    for b in range(BUCKETS):
        row = {"bucket": b, "dates": len(summaries)}
        for name in dict.fromkeys((*DAY_SUMMARY.names[1:], *LOADINGS, "acceleration_coefficient")):
            known = [summary[b][name] for summary in summaries if summary[b].get(name) is not None]
            row[name] = median_or_none(known) if len(summaries) >= config.priors.min_dates else None
        for name in SESSION_COLUMNS:
            row[name] = before[b][name] if before is not None else None
        rows.append(row)
    return rows
