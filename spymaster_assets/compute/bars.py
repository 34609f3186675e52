"""Prints -> bars of whole minutes, (start, end], known at their close. docs/physics.md, section 2."""

from __future__ import annotations

import numpy as np

from spymaster_assets.compute.clock import NS, Clock
from spymaster_assets.compute.growing import Growing
from spymaster_assets.compute.kernel import kernel


@kernel
def _bar(snaps: np.ndarray, prints: np.ndarray, start: int, end: int, bar: np.ndarray) -> None:
    """Fill one bar over the snaps (start, end]."""
    row, first, stop = bar[0], snaps[start]["prints"], snaps[end]["prints"]
    row["k"], row["ts"], row["close"] = end, snaps[end]["ts"], snaps[end]["last"]
    row["volume"], row["prints"] = snaps[end]["volume"] - snaps[start]["volume"], stop - first
    row["open"] = prints[first]["ticks"] if stop > first else row["close"]
    row["high"] = row["low"] = row["open"]
    for number in range(first, stop):
        row["high"] = max(row["high"], prints[number]["ticks"])
        row["low"] = min(row["low"], prints[number]["ticks"])


def advance_bars(snaps: np.ndarray, prints: np.ndarray, bars: Growing, minutes: int, until: int, clock: Clock) -> None:
    """Append the bars of `minutes` that close at or before snap `until` and are not there yet."""
    length = minutes * 60 * NS // clock.interval
    while (end := (bars.count + 1) * length) <= until:
        row = bars.reserve(1)[bars.count : bars.count + 1]
        row["minutes"] = minutes
        _bar(snaps, prints, end - length, end, row)
        bars.count += 1
