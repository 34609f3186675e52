"""A date in 5-minute buckets, and what such summaries of earlier dates tell about a later one. docs/physics.md, section 7."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from spymaster_assets.compute.barrier import BarrierParams, barrier_params, clocked
from spymaster_assets.compute.clock import BUCKETS, NS, Clock
from spymaster_assets.compute.force import force_mass
from spymaster_assets.compute.fuel import Options, exposure_at, fuel_params
from spymaster_assets.compute.grid import HISTOGRAM, UNKNOWN
from spymaster_assets.compute.kinematics import parabola
from spymaster_assets.compute.levels import nearest_tick
from spymaster_assets.compute.order_flow import first_component, imbalances, share_of
from spymaster_assets.compute.references import ladder, spacing, true_ranges
from spymaster_assets.states import ASK, BID, BUYER, DOWN, SELLER, UP
from spymaster_assets.tables import DAY_SUMMARY, PRIORS, TOUCHES

if TYPE_CHECKING:
    from spymaster_assets.config import Config


NO_ROWS: Final = np.zeros(0, PRIORS.dtype)


def nearest_rank(values: np.ndarray, share: float) -> float:
    """The nearest-rank percentile: the value of rank ceil(share n); NaN of nothing."""
    if not len(values):
        return np.nan
    permille = round(share * 1000)
    return float(np.sort(values)[(permille * len(values) + 999) // 1000 - 1])


def _cluster_sizes(prints: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Time of the last print, ascending, and final size of every cluster with an aggressor."""
    last = np.flatnonzero(np.append(prints["cluster"][1:] != prints["cluster"][:-1], len(prints) > 0))
    ends = prints[last]
    ends = ends[(ends["side"] == BUYER) | (ends["side"] == SELLER)]
    return np.ascontiguousarray(ends["ts"]), np.ascontiguousarray(ends["cluster_size"])


def day_summary(
    snaps: np.ndarray, prints: np.ndarray, flow: np.ndarray, bars: np.ndarray, samples: np.ndarray, options: Options,
    config: Config, clock: Clock, depth: int = 10,
) -> np.ndarray:  # fmt: skip
    """The 144 rows of a date. `bars`: 1-minute bars; `samples`: of volatility.py, which do not depend on priors here."""
    tick = config.instrument.tick / config.instrument.point
    rows = np.zeros(BUCKETS, DAY_SUMMARY.dtype)
    for name in DAY_SUMMARY.dtype.names or ():
        rows[name] = np.arange(BUCKETS) if name == "bucket" else np.nan
    cluster_times, cluster_sizes = _cluster_sizes(prints)
    sample_times = clock.open + np.arange(len(samples)) * round(config.labels.sample_seconds * NS)
    minutes = clock.bucket // (60 * NS)
    for bucket in range(BUCKETS):
        row = rows[bucket : bucket + 1]
        start = clock.premarket_start + bucket * clock.bucket
        end = start + clock.bucket
        if start < clock.open or end > clock.globex_end:
            continue
        first, last = (start - clock.open) // clock.interval, (end - clock.open) // clock.interval
        for side, column in ((BID, "bid_m"), (ASK, "ask_m")):
            ladder(snaps, first, last, side, depth, row[column][0])
        bar = (start - clock.open) // (60 * NS)
        inside = bars[bar : bar + minutes]
        row["minute_volume"], row["minute_prints"] = np.median(inside["volume"]), np.median(inside["prints"])
        ranges = true_ranges(bars, bar, bar + minutes, tick)
        row["atr"] = ranges[~np.isnan(ranges)].mean() if not np.isnan(ranges).all() else np.nan
        closed = slice(*np.searchsorted(cluster_times, (start, end), side="right"))
        row["cluster_p99"] = nearest_rank(np.minimum(cluster_sizes[closed], HISTOGRAM - 1), config.tape.sweep_percentile)
        row["print_spacing"] = spacing(prints["ts"][int(snaps[first]["prints"]) : int(snaps[last]["prints"])])
        returns = samples[(sample_times > start) & (sample_times <= end) & (samples["seconds"] > 0)]
        row["diffusion"] = sum((returns["square"] / returns["seconds"]).tolist()) / len(returns) if len(returns) else np.nan
    rows["consumed_share"] = _consumed_share(snaps, flow, rows, config, clock, depth)
    rows["gamma_threshold"] = _exposures(snaps, options, config, clock)
    rows["ofi_loading"] = _loadings(snaps, clock)
    rows["acceleration_coefficient"] = _response(snaps, rows, config, clock, depth)
    for name, ticks in zip(("session_high", "session_low", "session_close"), _session(snaps, clock), strict=True):
        rows[name] = ticks
    return rows


def _minutes(start: int, end: int, clock: Clock) -> range:
    """The snaps at the 1-minute closes of (start, end]."""
    minute = 60 * NS // clock.interval
    first, last = (start - clock.open) // clock.interval, (end - clock.open) // clock.interval
    return range((first // minute + 1) * minute, last + 1, minute)


def _session(snaps: np.ndarray, clock: Clock) -> tuple[float, float, float]:
    """Highest, lowest and last print of the regular session, ticks."""
    first, last = ((at - clock.open) // clock.interval for at in (clock.regular_start, clock.regular_end))
    part = snaps[first + 1 : last + 1]
    if not (traded := part["high"] != UNKNOWN).any():
        return np.nan, np.nan, np.nan
    return float(part["high"].max()), float(part["low"][traded].min()), float(part["last"][-1])


def _loadings(snaps: np.ndarray, clock: Clock) -> np.ndarray:
    """The common component of the minutes' imbalances."""
    minute = 60 * NS // clock.interval
    vectors = [imbalances(k, minute, snaps) for k in _minutes(clock.signals_start, clock.signals_end, clock)]
    return first_component(np.array(vectors).reshape(-1, snaps["ofi"].shape[1]))


def _response(snaps: np.ndarray, rows: np.ndarray, config: Config, clock: Clock, depth: int) -> float:
    """Acceleration of the mid per force over mass, points/s^2: least squares through zero."""
    params, loadings = barrier_params(config, np.nan, depth), share_of(rows["ofi_loading"][0])
    unit = config.instrument.tick / (2 * config.instrument.point)
    upper = lower = 0.0
    for k in _minutes(clock.signals_start, clock.signals_end, clock):
        acceleration = parabola(k, 60, clock.second, snaps).acceleration * unit
        for sign, direction in ((1, UP), (-1, DOWN)):
            probe = _probe(k, direction, snaps, rows, clock)
            force = np.nan if probe is None else force_mass(k, snaps, probe, loadings, params, clock.second)
            if not np.isnan(force) and not np.isnan(acceleration):
                upper += force * (sign * acceleration)
                lower += force * force
    return upper / lower if lower > 0.0 else np.nan


def _exposures(snaps: np.ndarray, options: Options, config: Config, clock: Clock) -> np.ndarray:
    """Median size of dealers' gamma at the mid over the minutes of each half hour, by bucket."""
    params, minute = fuel_params(config, clock, NO_ROWS), 60 * NS // clock.interval
    found, half_hour = np.full(BUCKETS, np.nan), 30 * 60 * NS // clock.bucket
    for first in range(0, BUCKETS, half_hour):
        start = (clock.premarket_start + first * clock.bucket - clock.open) // clock.interval
        ks = range(start + minute, start + 30 * minute + 1, minute)
        mids = {k: int(snaps[k]["mid2"]) * config.instrument.tick // 2 for k in ks if 0 <= k <= clock.count}
        sizes = [abs(exposure_at(k, k, mid, snaps, options, params, clock).gamma) for k, mid in mids.items()]
        known = [size for size in sizes if not np.isnan(size)]
        found[first : first + half_hour] = np.median(known) if known else np.nan
    return found


def _consumed_share(snaps: np.ndarray, flow: np.ndarray, rows: np.ndarray, config: Config, clock: Clock, depth: int) -> float:
    """80th percentile of F/(P + F) around the mid at the minutes of the signal window."""
    params, window = barrier_params(config, np.nan, depth), round(config.barrier.w_b * clock.second)
    regular = (clock.regular_start - clock.open) // clock.interval
    shares = [
        share
        for k in _minutes(clock.signals_start, clock.signals_end, clock)
        for direction in (UP, DOWN)
        if not np.isnan(share := share_around(k, max(regular, k - window), direction, snaps, flow, rows, config, params, clock))
    ]
    return nearest_rank(np.array(shares), config.barrier.consumed_percentile)


def _probe(k: int, direction: int, snaps: np.ndarray, rows: np.ndarray, clock: Clock) -> np.ndarray | None:
    """A touch of the mid at snap k as it would be, with what was usual in the bucket; None without a mid."""
    bucket = (int(snaps[k]["ts"]) - clock.premarket_start - 1) // clock.bucket
    if snaps[k]["mid2"] == UNKNOWN or not 0 <= bucket < BUCKETS:
        return None
    probe = np.zeros(1, TOUCHES.dtype)
    m = rows[bucket]["ask_m" if direction == UP else "bid_m"]
    probe["direction"], probe["ticks"], probe["m"] = direction, nearest_tick(int(snaps[k]["mid2"]), 2), m
    probe["depth"] = max(1.0, float(m[:-1].sum())) if not np.isnan(m[:-1]).any() else np.nan
    probe["minute_volume"] = rows[bucket]["minute_volume"]
    return probe


def share_around(
    k: int, since: int, direction: int, snaps: np.ndarray, flow: np.ndarray, rows: np.ndarray,
    config: Config, params: BarrierParams, clock: Clock,
) -> float:  # fmt: skip
    """F/(P + F) of one side's zone around the mid at snap k; NaN where too little happened."""
    probe = _probe(k, direction, snaps, rows, clock)
    if probe is None:
        return np.nan
    found = clocked(since, k, snaps, flow, probe, params)
    return 1.0 - found.pull_ratio if found.turnover >= config.priors.turnover_min else np.nan


def priors(summaries: Sequence[np.ndarray], config: Config, before: np.ndarray | None = None) -> np.ndarray:
    """The 144 rows that tell about a date from the summaries of earlier ones; all unknown where they are too few.

    `before`: the summary of the trading date right before, if it had the same contract: what only such a date can tell.
    """
    rows = np.zeros(BUCKETS, PRIORS.dtype)
    rows["bucket"], rows["dates"] = np.arange(BUCKETS), len(summaries)
    for name in DAY_SUMMARY.dtype.names or ():
        if name.startswith("session_"):
            rows[name] = before[name] if before is not None else np.nan
        elif name != "bucket":
            rows[name] = _medians([summary[name] for summary in summaries]) if len(summaries) >= config.priors.min_dates else np.nan
    return rows


def _medians(values: Sequence[np.ndarray]) -> np.ndarray:
    """Median over dates of each entry, of the known values; NaN where none is."""
    stacked = np.sort(np.stack(values), axis=0)  # NaN last
    known = (~np.isnan(stacked)).sum(axis=0)
    low, high = np.maximum((known - 1) // 2, 0), np.maximum(known // 2, 0)
    picked = [np.take_along_axis(stacked, np.minimum(at, len(values) - 1)[None], axis=0)[0] for at in (low, high)]
    return np.where(known > 0, (picked[0] + picked[1]) / 2, np.nan)
