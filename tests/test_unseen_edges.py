"""More edges that mutants crossed unseen (docs/mutation.md), with answers worked out by hand."""

import numpy as np
import pytest

from spymaster_assets.compute.barrier import Ladder, _state, barrier_params
from spymaster_assets.compute.black76 import gamma
from spymaster_assets.compute.clock import BUCKETS, clock_of
from spymaster_assets.compute.dealers import _bands
from spymaster_assets.compute.force import force_mass
from spymaster_assets.compute.fuel import CHAIN, SURFACE, _link, _own_volatility, fuel_params
from spymaster_assets.compute.grid import EVERYTHING, UNKNOWN
from spymaster_assets.compute.kinematics import FAR, parabola
from spymaster_assets.compute.labels import label_params, outcome_of
from spymaster_assets.compute.levels import SUMS, Path, _averages
from spymaster_assets.compute.option_flow import EVENT, NEW, OPEN_REPORT, UNDEF_QUANTITY, OptionGrid
from spymaster_assets.compute.order_flow import first_component, imbalances
from spymaster_assets.compute.references import true_ranges
from spymaster_assets.compute.stream import NO_PRIORS, Day
from spymaster_assets.compute.summary import _medians
from spymaster_assets.compute.tape import tape_over, tape_params
from spymaster_assets.compute.volatility import SAMPLE, sigma_at, volatility_params
from spymaster_assets.dbn import UNDEF_PRICE
from spymaster_assets.states import ABSORPTION, CONSUMED, LEVEL_KINDS, NEUTRAL, PASSED, UP, VACUUM, WALL, WEAK
from spymaster_assets.tables import BARS, FEATURE_ROWS, OPTION_FLOW, PRINTS, SNAPS, TOUCHES
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


STATES = [  # turnover, ratio, delta, filled, left, position, size, state: threshold 20 lots, zone 9
    (0.3, 0.4, -20.5, 0, 40, 0, 10, VACUUM), (0.3, 0.5, -20.5, 0, 40, 0, 10, NEUTRAL), (0.3, 0.4, -20.0, 0, 40, 0, 10, NEUTRAL),
    (0.29, 0.4, -20.5, 0, 40, 0, 10, NEUTRAL), (0.3, 1.6, 20.5, 0, 40, 0, 10, WALL), (0.3, 1.5, 20.5, 0, 40, 0, 10, NEUTRAL),
    (0.3, 1.6, 20.0, 0, 40, 0, 10, NEUTRAL), (0.3, 0.7, -20.5, 25, 40, 0, 10, CONSUMED), (0.3, 0.7, -20.5, 24, 40, 0, 10, NEUTRAL),
    (0.3, 1.0, 0.0, 21, 40, 0, 10, ABSORPTION), (0.3, 1.0, 0.0, 20, 40, 0, 10, NEUTRAL), (0.3, 0.99, 0.0, 21, 40, 0, 10, NEUTRAL),
    (0.3, 1.0, -10.0, 21, 40, 0, 10, NEUTRAL), (0.3, 1.0, -9.5, 21, 40, 0, 10, ABSORPTION), (0.1, 1.0, 0.0, 0, 4, 0, 4, WEAK),
    (0.1, 1.0, 0.0, 0, 4, 0, 5, NEUTRAL), (0.3, 0.4, -20.5, 0, 40, 8, 10, VACUUM), (0.3, 0.4, -20.5, 0, 40, 9, 10, PASSED),
    (0.3, 0.4, -20.5, 0, 40, np.nan, 10, PASSED),
]  # fmt: skip


@pytest.mark.parametrize(("turnover", "ratio", "delta", "filled", "left", "position", "size", "state"), STATES)
def test_states_begin_beyond_their_thresholds(turnover, ratio, delta, filled, left, position, size, state) -> None:
    """docs/physics.md, 4.1: at a threshold itself none has begun, but for the turnover, the ratio of ABSORPTION and PASSED."""
    params = barrier_params(build.CONFIG, 0.6)._replace(f_thresh=0.25, r_vac=0.5, r_wall=1.5, weak_ratio=0.5, turnover_min=0.3)
    assert _state(Ladder(1.0, float(position), size, 10.0), turnover, ratio, delta, filled, left, 80.0, params) == state


def test_who_joins_late_sees_no_touch_until_nothing_looks_behind_the_moment() -> None:
    """Twenty minutes, the longest window before a touch; in the regular session or before it."""
    start, end = build.SESSION.signals.start, build.SESSION.signals.end
    minutes = {
        at: clock_of(build.SESSION, build.CONFIG, start + at * 60 * build.SECOND).signals_start for at in (-60, -20, -5, 0, 30)
    }
    assert {at: (found - start) // (60 * build.SECOND) for at, found in minutes.items()} == {-60: 0, -20: 0, -5: 15, 0: 20, 30: 50}
    assert clock_of(build.SESSION, build.CONFIG, start).signals_end == end


@pytest.mark.parametrize("name", ["trade", "quote"])
def test_a_volatility_of_the_first_snap_serves_until_it_is_old(name: str) -> None:
    params = fuel_params(build.CONFIG, CLOCK, NO_PRIORS)
    chain = np.zeros(1, CHAIN)
    chain["trade_k"] = chain["quote_k"] = -1
    chain[f"{name}_k"], chain[f"{name}_volatility"] = 0, 0.2
    found = [_own_volatility(0, -1, k, chain, params) for k in (0, params.fresh, params.latest, params.latest + 1)]
    assert found[:3] == [0.2] * 3 and np.isnan(found[3])


def test_option_flow_of_an_interval_that_is_not_over_waits() -> None:
    """Two trades of one contract, in the fifth interval and the ninth; closed one by one, at once, or not yet."""

    def grown(*closed: int) -> list[tuple[int, int]]:
        grid = OptionGrid(CLOCK)
        events = np.zeros(2, EVENT)
        events["ts"] = CLOCK.open + np.array([5, 9]) * CLOCK.interval
        events["contract"], events["price"], events["size"] = grid.contract(build.PX, True, CLOCK.globex_end), 10**9, (3, 4)
        grid.place(events, quotes=False)
        grid.add(events)
        for k in closed:
            grid.advance(k)
        return grid.flow.rows[["k", "volume"]].tolist()

    assert grown(4) == [] and grown(5) == grown(4, 8) == [(5, 3)]
    assert grown(9) == grown(5, 6, 9) == grown(*range(12)) == [(5, 3), (9, 4)]


def test_the_first_bar_of_a_date_has_no_true_range_and_the_second_has() -> None:
    """Of the second: from its low 90 to the close before it, 100; of the third: its own, 7 ticks."""
    bars = np.zeros(3, BARS.dtype)
    bars["high"], bars["low"], bars["close"] = (103, 96, 97), (99, 90, 90), (100, 95, 96)
    found = true_ranges(bars, 0, 3, 0.25)
    assert np.isnan(found[0]) and found[1:].tolist() == [10 * 0.25, 7 * 0.25]


def test_an_imbalance_over_more_than_there_is_begins_at_the_first_snap() -> None:
    snaps = np.zeros(4, SNAPS.dtype)
    snaps["ofi"] = np.array([5, 7, 11, 1000])[:, None]
    assert [imbalances(k, 2, snaps)[0] for k in (0, 1, 2, 3)] == [0, 2, 6, 993]


def test_force_over_more_than_there_is_counts_from_the_first_snap() -> None:
    """At snap 2: 20 lots at two depths over D = 10, half each, are 2; 60 bought less 10 sold over half of 200 are 0.5; the zone
    is as full as usual, so the mass is 2."""
    snaps, touch = np.zeros(4, SNAPS.dtype), np.zeros(1, TOUCHES.dtype)
    touch["direction"], touch["ticks"], touch["depth"], touch["minute_volume"], touch["m"] = UP, 100, 10, 200, 5
    snaps["ask_shown"], snaps["ask_ticks"], snaps["ask_size"] = EVERYTHING, 100 + np.arange(10), 5
    snaps["ofi"] = np.array([10, 20, 30, 1000])[:, None]
    snaps["buy_volume"], snaps["sell_volume"] = (100, 110, 160, 1000), (50, 50, 60, 2000)
    loadings = np.array([0.5, 0.5, 0, 0, 0, 0, 0, 0, 0, 0])
    found = [force_mass(k, snaps, touch, loadings, barrier_params(build.CONFIG, 0.6), CLOCK.second) for k in (0, 2)]
    assert found == [0.0, (2 + 0.5) / 2]


def test_one_strike_and_side_is_one_contract_from_each_of_its_definitions_on() -> None:
    """Who is defined by the open counts from ever, who is defined after it from then on; the put of that strike is another."""
    grid, start, second = OptionGrid(CLOCK), CLOCK.regular_start, build.SECOND
    call, put = (grid.contract(build.PX, right, CLOCK.globex_end, at) for right, at in ((True, start), (False, start + 1)))
    late = grid.contract(build.PX, True, CLOCK.globex_end, start + 60 * second)
    assert (call, put, late) == (0, 1, 2) and grid.contract(build.PX, True, CLOCK.globex_end) == call
    events = np.zeros(6, EVENT)
    events["ts"] = start + np.array([-9, 0, 59, 60, 61, 62]) * second
    events["contract"], events["size"], events["price"] = (call, put, late, late, call, put), 2 ** np.arange(6), 10**9
    grid.place(events, quotes=False)
    grid.add(events)
    grid.advance(int(events["k"][-1]))
    found = grid.flow.rows[["k", "call", "volume"]].tolist()
    assert found == [(int(events["k"][at]), right, 2**at) for at, right in ((0, 1), (3, 1), (4, 1), (5, 0))]


def test_the_last_report_by_the_open_tells_the_open_interest() -> None:
    """Of the call the third, of the put the second; what else is sent, comes later, or is of who is defined later, says nothing."""
    grid, start = OptionGrid(CLOCK), CLOCK.regular_start
    defined = ((True, start), (False, start), (True, start + 1))
    call, put, late = (grid.contract(build.PX, right, CLOCK.globex_end, at) for right, at in defined)
    sent = np.array([  # contract, kind, action, quantity, time
        (call, OPEN_REPORT, NEW, 5, start - 9), (put, OPEN_REPORT, NEW, 7, start - 8), (call, OPEN_REPORT, NEW, 6, start),
        (call, OPEN_REPORT, NEW, 8, start + 1), (-1, OPEN_REPORT, NEW, 9, start), (put, OPEN_REPORT + 1, NEW, 10, start),
        (put, OPEN_REPORT, NEW + 1, 11, start), (put, OPEN_REPORT, NEW, UNDEF_QUANTITY, start), (late, OPEN_REPORT, NEW, 12, start),
    ])  # fmt: skip
    found = grid.open_interest(*sent.T)[["strike", "call", "quantity", "ts"]].tolist()
    assert found == [(build.PX, 0, 7, start - 8), (build.PX, 1, 6, start)]


def test_every_score_begins_unknown_also_where_the_array_has_grown() -> None:
    """There is room for 64 at first."""
    day = Day(build.SESSION, build.CONFIG)
    day.touches.reserve(70)
    day.touches.count, day.closed = 70, 0
    day.advance_signals()
    assert np.isnan(day.scoring.rows["smooth"]).tolist() == [True] * 70 and day.scoring.rows["raw_k"].tolist() == [-1] * 70


def test_there_is_a_volatility_up_to_the_end_of_the_last_bucket() -> None:
    """Twice the usual variance of 2 a second is 4."""
    samples, snaps, params = np.zeros(1, SAMPLE), np.zeros(2, SNAPS.dtype), volatility_params(build.CONFIG)
    samples["num"], samples["den"], samples["returns"] = 6, 3, params.min_returns
    snaps["ts"] = CLOCK.premarket_start + BUCKETS * CLOCK.bucket + np.arange(2)
    found = [sigma_at(k, snaps, samples, np.full(BUCKETS, 2.0), params, CLOCK) for k in (0, 1)]
    assert found[0] == 2.0 and np.isnan(found[1])


@pytest.mark.parametrize("away", [1, -1])
def test_a_strike_is_above_or_below_a_level_by_the_least_that_there_is(away: int) -> None:
    """1e-9 USD: three calls and two puts of gamma 0.5."""
    surface, row = np.zeros(1, SURFACE), np.zeros(1, FEATURE_ROWS.dtype)
    surface["strike"], surface["calls"], surface["puts"], surface["gamma"] = build.PX + away, 3, 2, 0.5
    _bands(build.PX, 1, surface, fuel_params(build.CONFIG, CLOCK, NO_PRIORS), row)
    found = [float(row[f"gex_{side}"][0]) for side in ("at", "above_1strike", "below_1strike")]
    assert found == ([0.0, 2.5, 0.0] if away > 0 else [0.0, 0.0, 2.5])


@pytest.mark.parametrize(("apart", "points"), [(FAR - 1, 10), (FAR, 0), (-FAR, 0)])
def test_a_mid_too_far_from_the_latest_leaves_no_parabola(apart: int, points: int) -> None:
    """Of ten snaps the sixth stands apart; without it nothing moves."""
    snaps = np.zeros(10, SNAPS.dtype)
    snaps["book_ok"], snaps["mid2"][5] = 1, apart
    found = parabola(9, 10, 1, snaps)
    assert found.points == points and np.isnan(found.velocity) == (points == 0)


@pytest.mark.parametrize(("forward", "strike"), [(0.0, 50.0), (50.0, 0.0), (-50.0, 50.0), (50.0, -50.0), (-50.0, -50.0)])
def test_there_is_no_gamma_at_or_below_zero(forward: float, strike: float) -> None:
    assert gamma(forward, strike, 0.1) == 0.0
    assert gamma(50.0, 50.0, 0.1) == pytest.approx(np.exp(-0.5 * 0.05**2) / np.sqrt(2 * np.pi) / 5)


def test_contracts_are_numbered_beyond_the_room_there_is_at_first() -> None:
    grid, strikes = OptionGrid(CLOCK), build.PX + build.TICK * np.arange(1100)
    numbers = [[grid.contract(strike, True, CLOCK.globex_end) for strike in strikes.tolist()] for _ in range(2)]
    assert numbers == [[*range(1100)]] * 2


def test_where_nothing_traded_no_snap_had_a_sweep() -> None:
    """The score looks whether the snap of the latest sweep is recent: any number of a snap would be, early in a date."""
    snaps, prints, touch = np.zeros(2, SNAPS.dtype), np.zeros(0, PRINTS.dtype), np.zeros(1, TOUCHES.dtype)
    tape = tape_over(0, 1, snaps, prints, touch, np.zeros(0), tape_params(build.CONFIG), CLOCK)
    assert (tape.buy, tape.sell, tape.prints, tape.sweep_k) == (0, 0, 0, -1) and np.isnan(tape.sweep_direction)


def test_medians_over_dates_are_of_those_that_are_known() -> None:
    """Of 3, 1, 2; of 5 and 8; of 9; of none."""
    unknown = np.nan
    dates = [np.array(row) for row in ([3.0, unknown, unknown, unknown], [1.0, 5.0, unknown, unknown], [2.0, 8.0, 9.0, unknown])]
    assert _medians(dates).tolist()[:3] == [2.0, 6.5, 9.0] and np.isnan(_medians(dates)[3])


@pytest.mark.parametrize(("beside", "reached"), [(0, True), (1, False)])
def test_half_of_four_ticks_is_reached_to_the_billionth_of_a_dollar(beside: int, reached: bool) -> None:
    """One print two ticks above the price before, a nanosecond after the moment; the level lies `beside` that price."""
    snaps, prints, touch = np.zeros(5, SNAPS.dtype), np.zeros(1, PRINTS.dtype), np.zeros(1, TOUCHES.dtype)
    snaps["ts"], snaps["prints"] = CLOCK.open + np.arange(5) * CLOCK.interval, (0, 1, 1, 1, 1)
    snaps["high"] = snaps["low"] = UNKNOWN
    at = build.PX // build.TICK
    prints["ts"], prints["ticks"] = CLOCK.open + 1, at + 2
    touch["direction"], touch["price"], touch["entry_high"], touch["entry_low"] = UP, build.PX + beside, at, at
    params = label_params(build.CONFIG, CLOCK.second)._replace(first_share=0.5)
    found = outcome_of(0, 1, 4, snaps, prints, touch, params, CLOCK)
    assert found.tradeable_1 == reached
    assert found.time_to_break_1 == 1e-9 if reached else np.isnan(found.time_to_break_1)


@pytest.mark.parametrize(("bid", "told"), [(1, True), (0, False), (-1, False)])
def test_a_bid_of_nothing_is_no_quote(bid: int, told: bool) -> None:
    """A call ten points out of the money, an hour before it expires; the ask is five points."""
    flow, snaps, chain = np.zeros(1, OPTION_FLOW.dtype), np.zeros(1, SNAPS.dtype), np.zeros(1, CHAIN)
    snaps["ts"], snaps["mid2"] = CLOCK.regular_start, 2 * build.PX // build.TICK
    flow["strike"], flow["call"], flow["expiration"] = build.PX + 40 * build.TICK, 1, CLOCK.regular_start + 3600 * build.SECOND
    flow["quotes"], flow["bid"], flow["ask"] = 1, bid, 20 * build.TICK
    _link(flow, snaps, flow["strike"].copy(), np.full((1, 2), -1), chain, 0, fuel_params(build.CONFIG, CLOCK, NO_PRIORS))
    assert chain["quote_k"].tolist() == [0 if told else -1] and np.isnan(chain["quote_volatility"][0]) != told
