"""Walk days: the tables of a date whose price is a driftless Brownian motion of known volatility, for tests/test_walk.py.

The walk W (ticks) is continuous in time and drawn exactly at the moments that matter: the prints and the ends of the snaps. The
book is one tick wide and always holds the walk: best bid ⌊W⌋, best ask one tick higher. A print comes at the best bid or at the
best ask, either with probability 1/2. No records are made: the rows of snaps and prints are written directly.
"""

import datetime as dt
import math
from typing import NamedTuple

import numpy as np

from spymaster_assets.compute.context import position
from spymaster_assets.compute.grid import LISTED, UNKNOWN
from spymaster_assets.compute.growing import Growing
from spymaster_assets.compute.stream import Day
from spymaster_assets.compute.volatility import SAMPLE, theta_ticks
from spymaster_assets.config import Config
from spymaster_assets.features import HORIZONS
from spymaster_assets.sessions import calendar
from spymaster_assets.states import BUYER, SELLER
from spymaster_assets.tables import PRINTS

CONFIG = Config()
SESSION = calendar(CONFIG).session(dt.date(2025, 6, 3))
SIGMA = 48.0 / math.sqrt(23_400.0)  # points per sqrt(s): 48 points from 09:30 to 16:00
LEVEL = 24_000  # ticks where the walk starts: 6000.00
TICK = CONFIG.instrument.tick / CONFIG.instrument.point
NS = 1_000_000_000
ROW = np.dtype(
    [
        ("day", "i4"), ("touch", "i4"), ("kind", "i1"), ("elapsed", "i4"), ("position", "f8"),
        ("spacing", "f8"), ("theta", "i4", (len(HORIZONS),)), ("outcome", "i1", (len(HORIZONS),)),
    ]
)  # fmt: skip


class Prints(NamedTuple):
    """When prints come. Mean seconds between them from 09:30 on and before it; exponential, or all alike."""

    mean: float = 0.1
    night: float = 1.0
    regular: bool = False

    @property
    def median(self) -> float:
        return self.mean if self.regular else self.mean * math.log(2.0)

    def times(self, rng: np.random.Generator, opening: int, end: int) -> np.ndarray:
        """ns after the open, in (0, end]; `opening`: 09:30."""
        mean, night = self.mean * NS, self.night * NS  # a clock that strikes once a mean spacing reads `first` at 09:30
        first = opening / night
        last = first + (end - opening) / mean
        if self.regular:
            strikes = np.arange(rng.random(), last)
        else:
            strikes = np.cumsum(rng.exponential(size=int(last + 8.0 * math.sqrt(last) + 20.0)))
            assert strikes[-1] > last
        times = np.where(strikes < first, strikes * night, opening + (strikes - first) * mean).astype(np.int64) + 1
        return times[: np.searchsorted(times, end, side="right")]


OFTEN = Prints()


class Walk:
    """Makes walk days up to the last snap that a label reads. `night`: volatility before 09:30 over that after it.

    The snaps of a day are overwritten by the next.
    """

    def __init__(self, night: float = 1.0, prints: Prints = OFTEN) -> None:
        day = Day(SESSION, CONFIG, depth=1)  # only the best prices are listed
        self.clock, self.prints, self.night = day.clock, prints, night
        self.pace, self.opening = SIGMA / TICK / math.sqrt(NS), self.clock.regular_start - self.clock.open  # ticks per sqrt(ns)
        longest = (max(CONFIG.touches.landmarks) + max(HORIZONS.values())) * NS
        self.closed = (self.clock.signals_end + longest - self.clock.open) // self.clock.interval
        k = np.arange(self.closed + 1)
        self.ends, self.snaps = k * self.clock.interval, day.snaps[: self.closed + 1]
        snaps = self.snaps
        snaps["k"], snaps["ts"] = k, self.clock.open + self.ends
        snaps["bid_size"][:, 0] = snaps["ask_size"][:, 0] = 10
        snaps["bid_shown"] = snaps["ask_shown"] = LISTED
        snaps["book_ok"], snaps["resets"] = 1, 1  # every snap ends with a book record: gap_ns is 0

    def day(self, rng: np.random.Generator) -> Day:
        """A day with levels and touches; their volatility, distances and print spacing are the true ones."""
        day = Day(SESSION, CONFIG, depth=1)
        day.snaps, day.closed = self.snaps, self.closed
        day.prints = Growing.of(self._draw(rng))
        day.samples = Growing.of(np.zeros(day.closed // day.volatility_params.step + 1, SAMPLE))  # no estimate: sigma is known
        day.advance_path()
        day.advance_touches()
        touches = day.touches.rows
        touches["sigma"], touches["print_spacing"] = SIGMA, self.prints.median
        for name, seconds in HORIZONS.items():
            touches[f"theta_{name}"] = theta_ticks(SIGMA, seconds, CONFIG)
        return day

    def _draw(self, rng: np.random.Generator) -> np.ndarray:
        """A walk: its snaps are written, its prints come back."""
        snaps, count = self.snaps, len(self.snaps)
        times = self.prints.times(rng, self.opening, int(self.ends[-1]))
        k = (times + self.clock.interval - 1) // self.clock.interval
        counts = np.cumsum(np.bincount(k, minlength=count))  # prints up to the end of each snap
        at_prints, at_ends = np.arange(len(k)) + k, np.arange(count) + counts  # places in the order of time
        moments = np.empty(len(k) + count, np.int64)
        moments[at_prints], moments[at_ends] = times, self.ends
        steps = np.sqrt(np.diff(moments)) * rng.standard_normal(len(moments) - 1) * self.pace
        steps[moments[1:] <= self.opening] *= self.night
        walk = LEVEL + rng.random() + np.concatenate(([0.0], np.cumsum(steps)))

        bids, bid = np.floor(walk[at_prints]).astype(np.int32), np.floor(walk[at_ends]).astype(np.int32)
        bought = rng.random(len(k)) < 0.5
        ticks = bids + bought
        snaps["bid_ticks"][:, 0], snaps["ask_ticks"][:, 0], snaps["mid2"] = bid, bid + 1, 2 * bid + 1
        snaps["last"] = np.where(counts > 0, ticks[counts - 1], UNKNOWN)
        snaps["high"] = snaps["low"] = UNKNOWN
        first = np.flatnonzero(np.diff(k, prepend=-1))  # the first print of each snap that has any
        snaps["high"][k[first]], snaps["low"][k[first]] = np.maximum.reduceat(ticks, first), np.minimum.reduceat(ticks, first)
        buys = np.concatenate(([0], np.cumsum(bought)))[counts]
        snaps["records"] = counts + np.arange(count) + 1
        snaps["prints"] = snaps["volume"] = counts
        snaps["buy_prints"] = snaps["buy_volume"] = buys
        snaps["sell_prints"] = snaps["sell_volume"] = counts - buys

        prints = np.zeros(len(k), PRINTS.dtype)
        prints["ts"], prints["k"], prints["ticks"] = self.clock.open + times, k, ticks
        prints["size"] = prints["cluster_size"] = 1
        prints["side"], prints["cluster"], prints["cluster_p99"] = np.where(bought, BUYER, SELLER), np.arange(len(k)), -1
        return prints


def rows_of(day: Day, number: int = 0) -> np.ndarray:
    """The landmarks of a day's touches with their positions and outcomes."""
    labels, touches = day.labels(), day.touches.rows
    rows, point = np.zeros(len(labels), ROW), CONFIG.instrument.point
    rows["day"], rows["touch"], rows["elapsed"] = number, labels["touch"], np.rint(labels["elapsed"])
    for i, name in enumerate(HORIZONS):
        rows["outcome"][:, i] = labels[f"outcome_{name}"]
        rows["theta"][:, i] = touches[f"theta_{name}"][labels["touch"]]
    rows["kind"], rows["spacing"] = touches["kind"][labels["touch"]], touches["print_spacing"][labels["touch"]]
    for row, touch, k in zip(rows, labels["touch"], labels["k"], strict=True):
        row["position"] = position(int(k), day.snaps, touches[touch : touch + 1], CONFIG.instrument.tick, point)
    return rows


def walk_rows(walk: Walk, days: int, seed: int) -> np.ndarray:
    """`rows_of` of so many days."""
    rng = np.random.default_rng(seed)
    return np.concatenate([rows_of(walk.day(rng), number) for number in range(days)])
