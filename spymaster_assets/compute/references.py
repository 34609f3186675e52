"""What is usual, measured before a touch and frozen with it. docs/physics.md, section 3, "References".

A trailing window never crosses 09:30; while it is too short the priors' row of the same 5-minute bucket serves, else the reference
is unknown (NaN).
"""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from spymaster_assets.compute.clock import NS, Clock, bucket_of
from spymaster_assets.compute.grid import EVERYTHING, LISTED, UNKNOWN
from spymaster_assets.compute.kernel import kernel
from spymaster_assets.states import ASK, BID, UP

if TYPE_CHECKING:
    from spymaster_assets.config import Config

LADDER: Final = 10  # prices behind the best, the best included, whose usual size is known
MIN_SPACING: Final = 0.001  # seconds


class ReferenceParams(NamedTuple):
    """Windows in ns; `tick`: points; `depth`: levels of the schema."""

    window: int
    depth_window: int
    minute_bars: int
    atr_bars: int
    tick: float
    depth: int


def reference_params(config: Config, depth: int = 10) -> ReferenceParams:
    return ReferenceParams(
        window=round(config.grid.reference_seconds * NS),
        depth_window=round(config.grid.reference_depth_seconds * NS),
        minute_bars=round(config.grid.reference_seconds) // 60,
        atr_bars=config.levels.atr_bars,
        tick=config.instrument.tick / config.instrument.point,
        depth=depth,
    )


@kernel
def ladder(snaps: np.ndarray, since: int, until: int, side: int, depth: int, out: np.ndarray) -> None:
    """Median size j ticks from the best of a side over the snaps (since, until] with a good book that show it; NaN without any."""
    sizes = np.empty((out.size, max(until - since, 1)), np.float64)
    counts = np.zeros(out.size, np.int64)
    sign = 1 if side == BID else -1
    for k in range(since + 1, until + 1):
        snap = snaps[k]
        if not snap["book_ok"]:
            continue
        ticks = snap["bid_ticks"] if side == BID else snap["ask_ticks"]
        size = snap["bid_size"] if side == BID else snap["ask_size"]
        shown = snap["bid_shown"] if side == BID else snap["ask_shown"]
        level = 0
        for j in range(out.size):
            behind = sign * (ticks[0] - ticks[level]) if level < depth else j + 1
            while level < depth and behind < j:
                level += 1
                behind = sign * (ticks[0] - ticks[level]) if level < depth else j + 1
            if shown == EVERYTHING or (shown == LISTED and j <= sign * (ticks[0] - ticks[depth - 1])):
                sizes[j, counts[j]] = size[level] if level < depth and behind == j else 0
                counts[j] += 1
    for j in range(out.size):
        out[j] = np.median(sizes[j, : counts[j]]) if counts[j] else np.nan


def true_ranges(bars: np.ndarray, first: int, stop: int, tick: float) -> np.ndarray:
    """True range of 1-minute bars first .. stop - 1, points; NaN where a price is unknown."""
    part, closes = bars[first:stop], bars["close"][np.arange(first, stop) - 1]
    if first == 0:
        closes[:1] = UNKNOWN
    high, low = np.maximum(part["high"], closes), np.minimum(part["low"], closes)
    known = (part["close"] != UNKNOWN) & (closes != UNKNOWN)
    return np.where(known, (high.astype(np.int64) - low) * tick, np.nan)


def spacing(times: np.ndarray) -> float:
    """Median difference of successive distinct print times (ns, sorted), seconds; NaN under two."""
    gaps = np.diff(times)
    gaps = gaps[gaps > 0]
    return max(float(np.median(gaps)) / NS, MIN_SPACING) if gaps.size else np.nan


def freeze(
    touch: np.ndarray,
    snaps: np.ndarray,
    prints: np.ndarray,
    bars: np.ndarray,
    priors: np.ndarray,
    params: ReferenceParams,
    clock: Clock,
) -> None:
    """Write the reference columns of a touch (one row). `bars`: 1-minute bars closed by t0; `priors`: 144 rows or none."""
    frozen = touch[0]
    k, t0 = int(frozen["k"]), int(frozen["t0"])
    start = max(clock.regular_start if t0 > clock.regular_start else clock.open, clock.complete_from)
    side = ASK if frozen["direction"] == UP else BID
    bucket = bucket_of(t0, clock)
    usual = priors[bucket] if len(priors) and bucket >= 0 else None
    m = np.full(LADDER, np.nan)
    minute_volume = minute_prints = atr = print_spacing = np.nan
    if t0 - start >= params.window:
        ladder(snaps, (max(start, t0 - params.depth_window) - clock.open) // clock.interval, k, side, params.depth, m)
        last = bars[-params.minute_bars :]
        minute_volume, minute_prints = float(np.median(last["volume"])), float(np.median(last["prints"]))
        first = bisect_right(prints["ts"], max(start, t0 - params.window))  # numpy's search would copy the column
        print_spacing = spacing(prints["ts"][first : int(snaps[k]["prints"])])
    elif usual is not None:
        m = usual["ask_m" if side == ASK else "bid_m"].copy()
        minute_volume, minute_prints, print_spacing = usual["minute_volume"], usual["minute_prints"], usual["print_spacing"]
    minute = 60 * NS
    if (t0 - clock.open) // minute - (start - clock.open) // minute >= params.atr_bars:
        atr = float(true_ranges(bars, len(bars) - params.atr_bars, len(bars), params.tick).mean())
    elif usual is not None:
        atr = usual["atr"]
    frozen["m"] = m
    frozen["depth"] = max(1.0, float(m[: LADDER - 1].sum())) if not np.isnan(m[: LADDER - 1]).any() else np.nan
    frozen["minute_volume"], frozen["minute_prints"] = minute_volume, minute_prints
    frozen["atr"], frozen["print_spacing"] = atr, print_spacing
