"""Trade aggression at a level. docs/physics.md, 4.2."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from spymaster_assets.compute.clock import Clock, bucket_of
from spymaster_assets.compute.kernel import kernel
from spymaster_assets.states import BUYER, SELLER, UP

if TYPE_CHECKING:
    from spymaster_assets.config import Config

MIN_LOTS = 20  # under which a share of lots says nothing


class TapeParams(NamedTuple):
    """Prices in 1e-9 USD; `usd`: USD per 1e-9 USD of price and lot; `zone`: ticks either side in which a sweep counts."""

    tick: int
    band: int
    kappa_share: float
    kappa_min: float
    large: int
    sweep_span: int
    zone: int
    usd: float
    interval: float


class Tape(NamedTuple):
    """The numbers over one window, as the columns of the same names; `score_imbalance`: however few lots."""

    buy: int
    sell: int
    prints: int
    imbalance: float
    score_imbalance: float
    rate: float
    mean_size: float
    large_share: float
    sweep_direction: float
    sweep_size: float
    sweep_notional: float
    sweep_k: int


def tape_params(config: Config) -> TapeParams:
    rules, instrument = config.tape, config.instrument
    return TapeParams(
        tick=instrument.tick,
        band=round(rules.tape_band * instrument.point),
        kappa_share=rules.kappa_share,
        kappa_min=rules.kappa_min,
        large=rules.large_print,
        sweep_span=rules.sweep_levels - 1,
        zone=config.barrier.barrier_zone_es_ticks,
        usd=instrument.multiplier / instrument.point,
        interval=config.grid.interval_ns / 1e9,
    )


@kernel
def _swept(row: np.ndarray, usual_p99: np.ndarray, params: TapeParams, clock: Clock) -> bool:
    """Whether a print's cluster is a sweep by now. `usual_p99`: of priors by bucket, or empty."""
    if row[0]["side"] != BUYER and row[0]["side"] != SELLER:
        return False
    if row[0]["cluster_span"] >= params.sweep_span:
        return True
    p99 = float(row[0]["cluster_p99"])
    if p99 < 0.0:
        bucket = bucket_of(row[0]["ts"], clock)
        if bucket < 0 or usual_p99.size == 0 or np.isnan(usual_p99[bucket]):
            return False
        p99 = usual_p99[bucket]
    return row[0]["cluster_size"] > p99


@kernel
def is_sweep(number: int, prints: np.ndarray, usual_p99: np.ndarray, params: TapeParams, clock: Clock) -> bool:
    """Whether a print is the one at which its cluster becomes a sweep."""
    if not _swept(prints[number : number + 1], usual_p99, params, clock):
        return False
    if number == 0 or prints[number - 1]["cluster"] != prints[number]["cluster"]:
        return True
    return not _swept(prints[number - 1 : number], usual_p99, params, clock)


@kernel
def tape_over(
    since: int, until: int, snaps: np.ndarray, prints: np.ndarray, touch: np.ndarray,
    usual_p99: np.ndarray, params: TapeParams, clock: Clock,
) -> Tape:  # fmt: skip
    """The tape over the snaps (since, until]. `touch`: its row of touches."""
    sign, price, level = 1 if touch[0]["direction"] == UP else -1, touch[0]["price"], touch[0]["ticks"]
    first, stop = snaps[since]["prints"], snaps[until]["prints"]
    buy = sell = near = lots = large = 0
    for number in range(first, stop):
        size = int(prints[number]["size"])
        lots += size
        if size >= params.large:
            large += size
        if abs(prints[number]["ticks"] * params.tick - price) <= params.band:
            near += 1
            if prints[number]["side"] == BUYER:
                buy += size
            elif prints[number]["side"] == SELLER:
                sell += size
    direction = size_ = notional = np.nan
    sweep_k = -1
    for number in range(stop - 1, first - 1, -1):
        if abs(prints[number]["ticks"] - level) <= params.zone and is_sweep(number, prints, usual_p99, params, clock):
            direction = float(sign if prints[number]["side"] == BUYER else -sign)
            size_ = float(prints[number]["cluster_size"])
            notional = size_ * abs(prints[number]["ticks"] * params.tick) * params.usd
            sweep_k = prints[number]["k"]
            break
    usual = touch[0]["minute_volume"]
    kappa = params.kappa_min if np.isnan(usual) else max(params.kappa_min, params.kappa_share * usual)
    imbalance = sign * (buy - sell) / (buy + sell + kappa)
    minutes = (until - since) * params.interval / 60.0
    pace = touch[0]["minute_prints"]
    return Tape(
        buy, sell, near,
        np.nan if buy + sell < MIN_LOTS or np.isnan(usual) else imbalance,
        imbalance,
        (stop - first) / minutes / pace if minutes > 0.0 and pace > 0.0 else np.nan,
        lots / (stop - first) if stop > first else np.nan,
        large / lots if lots >= MIN_LOTS else np.nan,
        direction, size_, notional, sweep_k,
    )  # fmt: skip
