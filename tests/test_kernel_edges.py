"""Edges of kernels that mutants crossed unseen (docs/mutation.md), with answers worked out by hand."""

import math

import numpy as np
import pytest

from spymaster_assets.compute.clock import Clock, clock_of
from spymaster_assets.compute.labels import _observed_until
from spymaster_assets.compute.levels import SUMS, Path, _vwap
from spymaster_assets.compute.score import SCORING, score_params, trigger
from spymaster_assets.compute.stream import NO_PRIORS, Day
from spymaster_assets.states import BREAK_TRIGGER, LEVEL_KINDS, NEUTRAL, NO_TRIGGER, REJECT_TRIGGER
from spymaster_assets.tables import BARS, PRINTS, SNAPS
from tests import build

CONFIG = build.CONFIG
SCORE = score_params(CONFIG, 4)
CLOCK: Clock = clock_of(build.SESSION, CONFIG)


@pytest.mark.parametrize(("score", "told"), [(100.0, BREAK_TRIGGER), (0.0, REJECT_TRIGGER)])
def test_after_an_unknown_score_a_trigger_counts_from_nothing(score: float, told: int) -> None:
    row = np.zeros(1, SCORING)
    row["trigger"] = NO_TRIGGER
    almost = [score] * (SCORE.trigger - 1)
    said = [trigger(one, NEUTRAL, 1.0, row, SCORE) for one in (*almost, math.nan, *almost, score)]
    assert said == [NO_TRIGGER] * (2 * SCORE.trigger - 1) + [told]


@pytest.mark.parametrize("silent", range(10))
def test_a_halt_ends_what_is_observed_from_the_first_snap_after_the_moment_to_the_last(silent: int) -> None:
    """Of the snaps (3, 7]: the last record before a halt that shows in one of them, else their end."""
    snaps, halt = np.zeros(10, SNAPS.dtype), 60 * build.SECOND
    snaps["ts"] = CLOCK.open + np.arange(10) * CLOCK.interval
    snaps["gap_ns"][silent] = halt
    expected = int(snaps["ts"][silent]) - halt if 4 <= silent <= 7 else int(snaps["ts"][7])
    assert _observed_until(3, 7, snaps, halt, CLOCK) == expected


@pytest.mark.parametrize("way", [1, -1])
def test_vwap_of_prices_that_lie_farther_apart_than_64_bits_bear(way: int) -> None:
    """As many lots at either price: the mean is half way, the deviation half their distance; 70,000² x lots is above 2**63."""
    time, lots, base, far = CLOCK.regular_start + 120 * build.SECOND, 2**31 - 1, 100_000, 70_000
    snaps, prints = np.zeros((time - CLOCK.open) // CLOCK.interval + 1, SNAPS.dtype), np.zeros(2, PRINTS.dtype)
    snaps["prints"][-1] = 2
    prints["ticks"], prints["size"] = [base, base + way * far], lots
    day = Day(build.SESSION, CONFIG)
    path = Path(snaps, prints, np.zeros(0, BARS.dtype), day.chain.options, NO_PRIORS, np.zeros(1, SUMS))
    found = [(LEVEL_KINDS[kind], price) for kind, price, _ in _vwap(time, path, day.level_params, CLOCK)]
    mean, width = (base + way * far // 2) * build.TICK, far // 2 * build.TICK
    assert found == [("VWAP", mean), ("VWAP_UPPER", mean + width), ("VWAP_LOWER", mean - width)]
