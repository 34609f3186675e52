"""Key levels and when they hold: one function per family of kinds, in the order of KINDS. docs/physics.md, section 2."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from spymaster_assets.compute.clock import NS, Clock
from spymaster_assets.compute.dealers import walls_at
from spymaster_assets.compute.fuel import FuelParams, Options
from spymaster_assets.compute.grid import UNKNOWN
from spymaster_assets.compute.growing import Growing
from spymaster_assets.compute.kernel import kernel
from spymaster_assets.states import (
    CALL_WALL,
    LEVEL_KINDS,
    ON_HIGH,
    ON_LOW,
    OR_HIGH,
    OR_LOW,
    PD_CLOSE,
    PD_HIGH,
    PD_LOW,
    PM_HIGH,
    PM_LOW,
    PUT_WALL,
    ROUND,
    SMA_200,
    VWAP,
    VWAP_LOWER,
    VWAP_UPPER,
)

if TYPE_CHECKING:
    from spymaster_assets.config import Config

MINUTE: Final = 60 * NS
SMA_MINUTES: Final = 2
FAR: Final = 1 << 16  # ticks: squares of nearer prices, times a date's lots, fit into 64 bits


class LevelParams(NamedTuple):
    """Prices in 1e-9 USD; `kinds`: those that are wanted; `lengths`: of the averages, in bars."""

    tick: int
    round: int
    lengths: tuple[int, ...]
    kinds: frozenset[int]
    fuel: FuelParams


SUMS: Final = np.dtype([(name, "i8") for name in ("stop", "lots", "once", "twice", "far")])
"""Of the prints from the regular open to number `stop`: lots, the sums of away * lots and away² * lots, the farthest; away: ticks
from the first print."""


class Path(NamedTuple):
    """What levels are made from, as far as it is known: snaps, prints, closed 2-minute bars, options, priors (or none).

    `sums`: one row of SUMS, zeros at first, which is carried on.
    """

    snaps: np.ndarray
    prints: np.ndarray
    bars: np.ndarray
    options: Options
    priors: np.ndarray
    sums: np.ndarray


Found = Iterator[tuple[int, int, int]]  # kind, price, valid_to


def level_params(config: Config, fuel: FuelParams) -> LevelParams:
    rules = config.levels
    return LevelParams(
        tick=config.instrument.tick,
        round=round(rules.round_points * config.instrument.point),
        lengths=rules.sma_bars,
        kinds=frozenset(map(LEVEL_KINDS.index, (*rules.signal_kinds, *rules.context_kinds))),
        fuel=fuel,
    )


def nearest_tick(price: int, tick: int) -> int:
    """The tick nearest to a price, half up."""
    return (2 * price + tick) // (2 * tick)


def _snap(time: int, clock: Clock) -> int:
    """The snap that ends at an instant of the grid."""
    return (time - clock.open) // clock.interval


def _extremes(snaps: np.ndarray, start: int, end: int, clock: Clock) -> tuple[int, int] | None:
    """Highest and lowest print of (start, end], in ticks."""
    part = snaps[_snap(start, clock) + 1 : _snap(end, clock) + 1]
    highs, lows = part["high"], part["low"][part["low"] != UNKNOWN]
    return (int(highs.max()), int(lows.min())) if lows.size else None


def _ranges(time: int, path: Path, params: LevelParams, clock: Clock) -> Found:
    """Premarket and opening range."""
    for end, start, kinds in (
        (clock.regular_start, clock.premarket_start, (PM_HIGH, PM_LOW)),
        (clock.opening_range_end, clock.regular_start, (OR_HIGH, OR_LOW)),
    ):
        if time == end and start >= clock.complete_from and (found := _extremes(path.snaps, start, end, clock)):
            for kind, ticks in zip(kinds, found, strict=True):
                yield kind, ticks * params.tick, clock.globex_end


def _averages(time: int, path: Path, params: LevelParams, clock: Clock) -> Found:
    """Means of the last closed 2-minute closes."""
    closed = (time - clock.open) // (SMA_MINUTES * MINUTE)
    if closed * SMA_MINUTES * MINUTE != time - clock.open:
        return
    for kind, length in enumerate(params.lengths, SMA_200):
        closes = path.bars["close"][max(0, closed - length) : closed].astype(np.int64)
        if clock.complete_from > clock.open and clock.complete_from + length * SMA_MINUTES * MINUTE > clock.regular_start:
            continue  # joined too late to know its touches from the first on
        if len(closes) == length and closes[0] != UNKNOWN:
            total = int(closes.sum()) * params.tick
            yield kind, (2 * total + length) // (2 * length), time + SMA_MINUTES * MINUTE


def _day_before(time: int, path: Path, params: LevelParams, clock: Clock) -> Found:
    """Extremes and last print of the regular session before."""
    if time == clock.regular_start and clock.complete_from <= clock.premarket_start and len(path.priors):
        for kind, name in ((PD_HIGH, "session_high"), (PD_LOW, "session_low"), (PD_CLOSE, "session_close")):
            if not math.isnan(ticks := float(path.priors[name][0])):
                yield kind, round(ticks) * params.tick, clock.globex_end


def _overnight(time: int, path: Path, params: LevelParams, clock: Clock) -> Found:
    """Extremes since the open of Globex."""
    whole = clock.complete_from == clock.open
    if time == clock.regular_start and whole and (found := _extremes(path.snaps, clock.open, time, clock)):
        for kind, ticks in zip((ON_HIGH, ON_LOW), found, strict=True):
            yield kind, ticks * params.tick, clock.globex_end


@kernel
def _add(prints: np.ndarray, first: int, stop: int, sums: np.ndarray) -> None:
    """Take the prints [first, stop) that are not in `sums` (SUMS, one row) yet into it."""
    so_far = sums[0]
    base = np.int64(prints[first]["ticks"])
    for i in range(max(first, so_far["stop"]), stop):
        away, size = np.int64(prints[i]["ticks"]) - base, np.int64(prints[i]["size"])
        so_far["lots"] += size
        so_far["once"] += away * size
        so_far["twice"] += away * away * size
        so_far["far"] = max(so_far["far"], abs(away))
    so_far["stop"] = stop


def _vwap(time: int, path: Path, params: LevelParams, clock: Clock) -> Found:
    """Mean price by lots since the regular open, and one standard deviation either side."""
    if time == clock.regular_start or clock.complete_from > clock.regular_start:
        return
    first, stop = (int(path.snaps[_snap(at, clock)]["prints"]) for at in (clock.regular_start, time))
    if stop == first:
        return
    _add(path.prints, first, stop, path.sums)
    base = int(path.prints["ticks"][first])
    total, once, twice = (int(path.sums[name][0]) for name in ("lots", "once", "twice"))
    if path.sums["far"][0] >= FAR:  # whole numbers without limit
        away, lots = (path.prints[name][first:stop].astype(object) for name in ("ticks", "size"))
        away = away - base
        once, twice = int((away * lots).sum()), int((away**2 * lots).sum())
    if total == 0:
        return
    mean = base * params.tick + (2 * once * params.tick + total) // (2 * total)
    width = math.floor(math.sqrt((total * twice - once * once) / (total * total)) * params.tick + 0.5)
    for kind, price in ((VWAP, mean), (VWAP_UPPER, mean + width), (VWAP_LOWER, mean - width)):
        yield kind, price, time + SMA_MINUTES * MINUTE


def _round_numbers(time: int, path: Path, params: LevelParams, clock: Clock) -> Found:
    """The round number nearest to the last print."""
    last = int(path.snaps[_snap(time, clock)]["last"])
    if last != UNKNOWN and clock.complete_from <= clock.premarket_start:
        yield ROUND, nearest_tick(last * params.tick, params.round) * params.round, time + SMA_MINUTES * MINUTE


def _walls(time: int, path: Path, params: LevelParams, clock: Clock) -> Found:
    """The strikes at which dealers dampen most, above and below the mid."""
    found = walls_at(_snap(time, clock), path.snaps, path.options, params.fuel, clock)
    for kind, strike in zip((CALL_WALL, PUT_WALL), found, strict=True):
        if strike:
            yield kind, strike, time + SMA_MINUTES * MINUTE


FAMILIES: Final[tuple[tuple[Callable[[int, Path, LevelParams, Clock], Found], tuple[int, ...]], ...]] = (
    (_ranges, (PM_HIGH, PM_LOW, OR_HIGH, OR_LOW)),
    (_averages, (SMA_200, SMA_200 + 1)),
    (_day_before, (PD_HIGH, PD_LOW, PD_CLOSE)),
    (_overnight, (ON_HIGH, ON_LOW)),
    (_vwap, (VWAP, VWAP_UPPER, VWAP_LOWER)),
    (_round_numbers, (ROUND,)),
    (_walls, (CALL_WALL, PUT_WALL)),
)
_FROM_THE_OPEN: Final = (_vwap, _round_numbers, _walls)  # at each 2-minute close from the regular open on


def _known_at(time: int, path: Path, params: LevelParams, clock: Clock) -> Found:
    """The wanted levels that become known at `time`, in order of kind."""
    even = (time - clock.open) % (SMA_MINUTES * MINUTE) == 0
    for family, kinds in FAMILIES:
        if params.kinds.isdisjoint(kinds) or (family in _FROM_THE_OPEN and not (even and time >= clock.regular_start)):
            continue
        yield from (found for found in family(time, path, params, clock) if found[0] in params.kinds)


def advance_levels(path: Path, levels: Growing, since: int, until: int, params: LevelParams, clock: Clock) -> None:
    """Append the levels that become known at snaps (since, until]; `path`: at least up to there."""
    minute = MINUTE // clock.interval
    for k in range((since // minute + 1) * minute, until + 1, minute):
        time = clock.open + k * clock.interval
        for kind, price, valid_to in _known_at(time, path, params, clock):
            row = levels.reserve(1)[levels.count : levels.count + 1]
            row["kind"], row["price"], row["ticks"] = kind, price, nearest_tick(price, params.tick)
            row["valid_from"], row["valid_to"] = time, valid_to
            levels.count += 1


_MADE = [LEVEL_KINDS[kind] for _, kinds in FAMILIES for kind in kinds]
assert [*LEVEL_KINDS] == _MADE, f"FAMILIES: every kind of states.py, in order; not made: {sorted({*LEVEL_KINDS} - {*_MADE})}"
