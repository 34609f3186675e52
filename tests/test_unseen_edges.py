"""More edges that mutants crossed unseen (docs/mutation.md): averages, loadings, a schema of fewer levels."""

import numpy as np
import pytest

from spymaster_assets.compute.clock import clock_of
from spymaster_assets.compute.grid import UNKNOWN
from spymaster_assets.compute.levels import SUMS, Path, _averages
from spymaster_assets.compute.order_flow import first_component
from spymaster_assets.compute.stream import NO_PRIORS, Day
from spymaster_assets.dbn import UNDEF_PRICE
from spymaster_assets.states import LEVEL_KINDS, UP
from spymaster_assets.tables import BARS, PRINTS, SNAPS
from tests import build, short_day

CLOCK = clock_of(build.SESSION, build.CONFIG)


@pytest.mark.parametrize(("unknown", "told"), [(4, True), (5, False), (204, True)])
def test_an_average_needs_a_price_from_its_first_bar_on(unknown: int, told: bool) -> None:
    """200 bars, the last of 205: those before them, and those after the close, say nothing. Closes 1 .. 200 average 100.5."""
    bars = np.zeros(206, BARS.dtype)
    bars["close"] = np.arange(-4, 202)
    bars["close"][unknown if unknown < 204 else 205] = UNKNOWN
    day = Day(build.SESSION, build.CONFIG)
    path = Path(np.zeros(0, SNAPS.dtype), np.zeros(0, PRINTS.dtype), bars, day.chain.options, NO_PRIORS, np.zeros(1, SUMS))
    time = CLOCK.open + 205 * 120 * build.SECOND
    found = [(LEVEL_KINDS[kind], price, until - time) for kind, price, until in _averages(time, path, day.level_params, CLOCK)]
    assert found == ([("SMA_200", 100 * build.TICK + build.TICK // 2, 120 * build.SECOND)] if told else [])


@pytest.mark.parametrize("seed", range(8))
def test_loadings_sum_to_no_negative_number(seed: int) -> None:
    """Of any imbalances; their mirror image and their multiples have the same."""
    rng = np.random.default_rng(seed)
    vectors = np.round(rng.normal(size=(40, 1)) * rng.normal(size=10) * 90 + rng.normal(size=(40, 10))).astype(np.int64)
    found = first_component(vectors)
    assert found.sum() >= 0 and np.abs(found).sum() == pytest.approx(1, abs=1e-8)
    assert np.array_equal(found, first_component(-vectors)) and np.allclose(found, first_component(3 * vectors), atol=2e-9)
    along = vectors @ found
    assert along.var() > 0.99 * (found @ found) * vectors.var(axis=0).sum()  # nearly all that varies, varies so


def test_a_schema_of_five_levels_shows_no_more_than_five() -> None:
    """Of the zone's nine prices those up to the fifth that is listed, where more may lie behind it."""
    rows = short_day.records().copy()
    for name, nothing in (("bid_px", UNDEF_PRICE), ("ask_px", UNDEF_PRICE), ("bid_sz", 0), ("ask_sz", 0)):
        rows["levels"][name][:, 5:] = nothing
    day = Day(short_day.SESSION, short_day.CONFIG, short_day.priors(), depth=5)
    day.take(rows)
    day.complete(short_day.SESSION.globex.end)
    day.advance_path()
    day.advance_touches()
    day.advance_features()
    observed = set()
    for row in day.features.rows:
        touch, snap = day.touches.rows[row["touch"]], day.snaps[row["k"]]
        away = snap["ask_ticks"][4] - touch["ticks"] if touch["direction"] == UP else touch["ticks"] - snap["bid_ticks"][4]
        observed.add(min(max(int(away) + 1, 0), 9))
        assert row["barrier_observed"] == min(max(int(away) + 1, 0), 9) / 9
    assert len(observed) > 3
