"""Key levels and when they hold. docs/physics.md, section 2. A new kind is one more branch of `_known_at`."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from spymaster_assets.compute.clock import NS, Clock
from spymaster_assets.compute.grid import UNKNOWN
from spymaster_assets.compute.growing import Growing
from spymaster_assets.states import LEVEL_KINDS, OR_HIGH, OR_LOW, PM_HIGH, PM_LOW, SMA_200

SMA_MINUTES = 2


def nearest_tick(price: int, tick: int) -> int:
    """The tick nearest to a price, half up."""
    return (2 * price + tick) // (2 * tick)


def _extremes(snaps: np.ndarray, start: int, end: int, clock: Clock) -> tuple[int, int] | None:
    """Highest and lowest print of (start, end], in ticks."""
    part = snaps[(start - clock.open) // clock.interval + 1 : (end - clock.open) // clock.interval + 1]
    highs, lows = part["high"], part["low"][part["low"] != UNKNOWN]
    return (int(highs.max()), int(lows.min())) if lows.size else None


def _known_at(
    time: int, snaps: np.ndarray, bars: np.ndarray, tick: int, lengths: tuple[int, ...], clock: Clock
) -> Iterator[tuple[int, int, int]]:
    """(kind, price, valid_to) of the levels that become known at `time`, in order of kind."""
    for end, start, kinds in (
        (clock.regular_start, clock.premarket_start, (PM_HIGH, PM_LOW)),
        (clock.opening_range_end, clock.regular_start, (OR_HIGH, OR_LOW)),
    ):
        if time == end and start >= clock.complete_from and (found := _extremes(snaps, start, end, clock)):
            for kind, ticks in zip(kinds, found, strict=True):
                yield kind, ticks * tick, clock.globex_end
    closed = (time - clock.open) // (SMA_MINUTES * 60 * NS)
    if closed * SMA_MINUTES * 60 * NS == time - clock.open:
        for kind, length in enumerate(lengths, SMA_200):
            closes = bars["close"][max(0, closed - length) : closed].astype(np.int64)
            if clock.complete_from > clock.open and clock.complete_from + length * SMA_MINUTES * 60 * NS > clock.regular_start:
                continue  # joined too late to know its touches from the first on
            if len(closes) == length and closes[0] != UNKNOWN:
                total = int(closes.sum()) * tick
                yield kind, (2 * total + length) // (2 * length), time + SMA_MINUTES * 60 * NS


def advance_levels(
    snaps: np.ndarray, bars: np.ndarray, levels: Growing, since: int, until: int, tick: int, lengths: tuple[int, ...], clock: Clock
) -> None:
    """Append the levels that become known at snaps (since, until]; `bars`: the 2-minute bars closed by then."""
    minute = 60 * NS // clock.interval
    for k in range((since // minute + 1) * minute, until + 1, minute):
        time = clock.open + k * clock.interval
        for kind, price, valid_to in _known_at(time, snaps, bars, tick, lengths, clock):
            row = levels.reserve(1)[levels.count : levels.count + 1]
            row["kind"], row["price"], row["ticks"] = kind, price, nearest_tick(price, tick)
            row["valid_from"], row["valid_to"] = time, valid_to
            levels.count += 1


assert LEVEL_KINDS[SMA_200:] == ("SMA_200", "SMA_400"), "averages stand last, in the order of their lengths"
