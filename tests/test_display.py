"""What is only looked at: liquidity by minutes beside a count cell by cell, dealers beside the features of the same moment."""

import math
from functools import cache

import numpy as np
import pytest

from spymaster_assets.compute.display import dealers, heat
from spymaster_assets.states import FUEL_EFFECTS, FUEL_UNKNOWN, UP
from spymaster_assets.tables import HEAT, UNDEF_PRICE
from spymaster_live.gateway.minutes import Minutes
from tests import short_day

STEP = 240
COUNTS = ("rest", "added", "pulled", "filled")


@cache
def day():
    return short_day.run(short_day.records(), short_day.priors())


def counted(ends, flow, step=STEP):
    """{(k, side, ticks): [rest, added, pulled, filled]} of cells with anything in them."""
    cells = {}
    for snap in ends:
        for side, name in ((ord("B"), "bid"), (ord("A"), "ask")):
            for ticks, size in zip(snap[f"{name}_ticks"].tolist(), snap[f"{name}_size"].tolist(), strict=True):
                if size:
                    cells.setdefault((-(-int(snap["k"]) // step) * step, side, ticks), [0, 0, 0, 0])[0] += size
    for row in flow:
        cell = cells.setdefault((-(-int(row["k"]) // step) * step, int(row["side"]), int(row["ticks"])), [0, 0, 0, 0])
        for place, name in enumerate(COUNTS[1:], 1):
            cell[place] += int(row[name])
    return {key: cell for key, cell in sorted(cells.items()) if any(cell)}


def as_dict(rows):
    return {(int(row["k"]), int(row["side"]), int(row["ticks"])): [int(row[name]) for name in COUNTS] for row in rows}


def window():
    """Snaps and flow of twenty minutes of the signal window."""
    full, first = day(), (short_day.SESSION.signals.start - short_day.SESSION.globex.start) // 250_000_000
    snaps, flow = full.snaps[first + 1 : first + 20 * STEP + 1], full.flow.rows
    return snaps, flow[(flow["k"] > first) & (flow["k"] <= first + 20 * STEP)]


def test_heat_is_a_count_cell_by_cell():
    snaps, flow = window()
    found = heat(snaps[snaps["k"] % STEP == 0], flow, STEP)
    assert as_dict(found) == counted(snaps[snaps["k"] % STEP == 0], flow) and len(found) > 500
    assert list(as_dict(found)) == sorted(as_dict(found))


def test_heat_of_nothing():
    snaps, flow = window()
    assert len(heat(snaps[:0], flow[:0], STEP)) == 0 and heat(snaps[:0], flow[:0], STEP).dtype == HEAT.dtype


@pytest.mark.parametrize("cut", [1, 3, 97, 240, 1000])
def test_minutes_are_the_same_however_they_are_told(cut):
    """Of a minute of which a snap is missing nothing is kept; the minute that is not closed is what it has got to."""
    snaps, flow = window()
    told, start = Minutes(STEP), int(snaps["k"][0])
    snaps = snaps[: 10 * STEP - 50]
    for at in range(0, len(snaps), cut):
        part = snaps[at : at + cut]
        told.take(part, flow[np.isin(flow["k"], part["k"])])
    assert start % STEP == 1
    ends = snaps[snaps["k"] % STEP == 0]
    within = flow[flow["k"] <= snaps["k"][-1]]
    closed = within["k"] <= ends["k"][-1]
    assert as_dict(told.closed()) == counted(ends, within[closed])
    assert as_dict(told.forming) == counted(snaps[-1:], within[~closed])
    after = int(ends["k"][3])
    assert told.closed(after).tobytes() == told.closed()[told.closed()["k"] > after].tobytes()


def test_a_minute_with_a_hole_is_no_minute():
    snaps, flow = window()
    told = Minutes(STEP)
    for part in (snaps[:100], snaps[101 : 3 * STEP]):
        told.take(part, flow[np.isin(flow["k"], part["k"])])
    assert np.unique(told.closed()["k"]).tolist() == [int(snaps["k"][2 * STEP - 1]), int(snaps["k"][3 * STEP - 1])]


def moments():
    """Rows of features whose options are known, with what display says at the same snap."""
    full = day()
    for row in full.features.rows:
        found, strikes = dealers(int(row["k"]), full.snaps, full.chain.options, full.physics.fuel, full.clock)
        if found["effect"][0] != FUEL_UNKNOWN and row["fuel_effect"] != FUEL_UNKNOWN:
            yield full.touches.rows[row["touch"]], row, found[0], strikes


def test_dealers_are_those_of_the_features():
    """Walls and flip depend on the mid alone, so they are the features' own; the sum around the level is the strikes' near it."""
    reach, seen, turned = round(day().config.fuel.fuel_strike_range * 1e9), 0, 0
    for touch, row, found, strikes in moments():
        mid = 0.5 * day().snaps["mid2"][row["k"]] * 0.25
        sign = 1 if touch["direction"] == UP else -1
        if not np.isnan(row["gamma_flip"]):
            assert found["flip"] == pytest.approx(mid + sign * row["gamma_flip"], abs=1e-9)
            turned += 1
        else:
            assert np.isnan(found["flip"])
        for name, side in (("ahead", sign), ("behind", -sign)):
            wall = found["wall_above" if side > 0 else "wall_below"]
            expected = row[f"gamma_wall_{name}"]
            assert (wall == UNDEF_PRICE) == np.isnan(expected)
            if wall != UNDEF_PRICE:
                assert wall / 1e9 == pytest.approx(mid + side * expected, abs=1e-9)
                at = strikes["exposure"][strikes["strike"] == wall]
                assert at == pytest.approx(row[f"gamma_wall_{name}_size"])
        near = abs(strikes["strike"] - touch["price"]) <= reach
        inside = abs(strikes["strike"] - mid * 1e9) <= 50e9
        if (near <= inside).all():
            assert strikes["exposure"][near].sum() == pytest.approx(row["gamma_exposure"], abs=1e-9)
            seen += 1
        assert found["exposure"] == pytest.approx(
            strikes["exposure"][abs(strikes["strike"] / 1e9 - mid) <= reach / 1e9].sum(), abs=1e-9
        )
        assert FUEL_EFFECTS[found["effect"]] in ("AMPLIFY", "NEUTRAL", "DAMPEN")
    assert seen > 20 and turned > 5


def test_strikes_are_what_customers_traded_and_what_it_weighs():
    """Dealers hold what customers sold, summed from option flow; the exposure is that times Black's gamma."""
    flow, wanted = day().options.flow.rows, [at for i, at in enumerate(moments()) if i % 12 == 0]
    for _, row, found, strikes in wanted:
        k, known = int(row["k"]), flow[flow["k"] <= row["k"]]
        mid, seconds = day().snaps["mid2"][k] / 8, (int(flow["expiration"][0]) - int(day().snaps["ts"][k])) / 1e9
        assert set(strikes["k"]) == {k} and (np.diff(strikes["strike"]) > 0).all()
        for one in strikes:
            sold = [-known["signed"][(known["strike"] == one["strike"]) & (known["call"] == call)].sum() for call in (1, 0)]
            assert [one["calls"], one["puts"]] == sold
            spread = max(one["volatility"] * math.sqrt(seconds / (365 * 86400)), 2 / mid)
            d1 = math.log(mid / (one["strike"] / 1e9)) / spread + spread / 2
            weight = math.exp(-d1 * d1 / 2) / math.sqrt(2 * math.pi) / (mid * spread)
            assert one["exposure"] == pytest.approx(sum(sold) * weight, rel=1e-9, abs=1e-12)
        assert found["k"] == k and np.abs(strikes["calls"]).sum() and np.abs(strikes["puts"]).sum()
    assert len(wanted) > 4


def test_dealers_before_anything_is_known():
    full = day()
    found, strikes = dealers(0, full.snaps, full.chain.options, full.physics.fuel, full.clock)
    assert found["effect"][0] == FUEL_UNKNOWN and np.isnan(found["exposure"][0]) and np.isnan(found["flip"][0])
    assert found["wall_above"][0] == found["wall_below"][0] == UNDEF_PRICE
    assert np.isnan(strikes["exposure"]).all()
