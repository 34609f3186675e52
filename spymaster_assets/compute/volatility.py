"""Volatility of the mid at any moment, and the distances that follow from it. docs/physics.md, section 3."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from spymaster_assets.compute.clock import BUCKETS, Clock, bucket_of
from spymaster_assets.compute.kernel import kernel
from spymaster_assets.contradictions import minutes

if TYPE_CHECKING:
    from spymaster_assets.config import Config

SAMPLE: Final = np.dtype([("num", "f8"), ("den", "f8"), ("returns", "i8"), ("k", "i8"), ("square", "f8"), ("seconds", "f8")])


class VolatilityParams(NamedTuple):
    """`step`: snaps between samples; `tick`: points; `gap`: ns; `decay`: per step."""

    step: int
    step_seconds: float
    tick: float
    gap: int
    decay: float
    minimum: float
    min_returns: int


def volatility_params(config: Config) -> VolatilityParams:
    rules = config.labels
    return VolatilityParams(
        step=round(rules.sample_seconds * 1e9) // config.grid.interval_ns,
        step_seconds=rules.sample_seconds,
        tick=config.instrument.tick / config.instrument.point,
        gap=round(rules.gap_seconds * 1e9),
        decay=2.0 ** (-rules.sample_seconds / rules.half_life_seconds),
        minimum=rules.sigma_min,
        min_returns=rules.min_returns,
    )


def stated_shape(config: Config) -> np.ndarray:
    """Variance per second by bucket, relative, where no priors tell: the steps of `diurnal_shape`."""
    start, shape = minutes(config.sessions.premarket_start), np.zeros(BUCKETS)
    for clock, value in config.labels.diurnal_shape:
        shape[max(0, (minutes(clock) - start) // config.grid.bucket_minutes) :] = value
    return shape


@kernel
def sample(at: int, snaps: np.ndarray, samples: np.ndarray, diffusion: np.ndarray, params: VolatilityParams, clock: Clock) -> None:
    """Write sample number `at` (snap at * step) from the ones before it.

    `num`, `den`: the averaged squared returns so far and their weight; `k`: the latest good sample's snap, -1 without one;
    `square`, `seconds`: the return that ended here, points^2 and its length, 0 if none did.
    """
    row, k = samples[at], at * params.step
    if at:
        row["num"], row["den"] = samples[at - 1]["num"], samples[at - 1]["den"]
        row["returns"], row["k"] = samples[at - 1]["returns"], samples[at - 1]["k"]
    else:
        row["num"] = row["den"] = 0.0
        row["returns"], row["k"] = 0, -1
    row["square"] = row["seconds"] = 0.0
    snap = snaps[k]
    if snap["ts"] <= clock.premarket_start or not snap["book_ok"] or snap["gap_ns"] > params.gap:
        return
    before, row["k"] = row["k"], k
    if before < 0 or (k - before) * clock.interval > params.gap:
        return
    change = (snap["mid2"] - snaps[before]["mid2"]) * 0.5 * params.tick
    steps = (k - before) // params.step
    row["square"], row["seconds"] = change * change, steps * params.step_seconds
    bucket = bucket_of(snap["ts"], clock)
    if bucket < 0 or not diffusion[bucket] > 0.0:
        return
    for _ in range(steps):
        row["num"] *= params.decay
        row["den"] *= params.decay
    row["num"] += row["square"] / (row["seconds"] * diffusion[bucket])
    row["den"] += 1.0
    row["returns"] += 1


@kernel
def advance_samples(
    first: int, stop: int, snaps: np.ndarray, samples: np.ndarray, diffusion: np.ndarray, params: VolatilityParams, clock: Clock
) -> None:
    """Write the samples first .. stop - 1."""
    for at in range(first, stop):
        sample(at, snaps, samples, diffusion, params, clock)


@kernel
def sigma_at(
    k: int, snaps: np.ndarray, samples: np.ndarray, diffusion: np.ndarray, params: VolatilityParams, clock: Clock
) -> float:
    """Volatility at snap k, points per sqrt(s); NaN if unknown."""
    row, bucket = samples[k // params.step], bucket_of(snaps[k]["ts"], clock)
    if row["returns"] < params.min_returns or bucket < 0 or not diffusion[bucket] > 0.0:
        return np.nan
    return max(np.sqrt(diffusion[bucket] * (row["num"] / row["den"])), params.minimum)


def theta_ticks(sigma: float, horizon: int, config: Config) -> int:
    """Distance that decides a horizon of so many seconds, in ticks; the least one where the volatility is unknown."""
    rules, instrument = config.labels, config.instrument
    least, most = (
        round(p * instrument.point / instrument.tick) for p in (rules.label_barrier_min_points, rules.label_barrier_max_points)
    )
    if math.isnan(sigma):
        return least
    ticks = math.ceil(rules.label_barrier_scale * sigma * math.sqrt(horizon) / (instrument.tick / instrument.point))
    return min(max(ticks, least), most)
