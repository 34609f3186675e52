"""The naive twin of levels of the context (physics.md, section 2) against numbers worked out by hand."""

from fractions import Fraction

from tests import naive_fuel, toy_days
from tests.naive_grid import naive_bars
from tests.naive_touches import KINDS, naive_levels, naive_touches, nearest_root
from tests.toy_context import CONFIG, POINT, all_priors, changed, level
from tests.toy_days import INTERVAL, OPEN, QUIET_BOOK, SECOND, TICK, L, toy_day, toy_session


def levels_of(trades, count=2401, regular=120, kinds=KINDS, **given):
    """{kind: [(price in points, from, to)]} in seconds from the open, of a day whose 09:30 is two minutes after it."""
    session, prints = toy_session(regular=regular), toy_days.toy_prints(trades)
    config = changed(CONFIG, "levels", context_kinds=tuple(kind for kind in kinds if kind not in CONFIG.levels.signal_kinds))
    rows = naive_levels(prints, naive_bars(prints, OPEN, count - 1, 2), session, config, **given)
    assert rows == sorted(rows, key=lambda row: (row["valid_from"], KINDS.index(row["kind"])))
    found = {}
    for row in rows:
        assert row["ticks"] == (2 * row["price"] + TICK) // (2 * TICK)
        start, end = ((row[name] - OPEN) // SECOND for name in ("valid_from", "valid_to"))
        found.setdefault(row["kind"], []).append((row["price"] / POINT, start, end))
    return found


TRADES = [
    (0, 250, L - 99, 1, "B"),  # up to the open
    (1, 1, L - 4, 5, "B"),
    (480, 250, L + 4, 5, "B"),  # at 09:30
    (481, 1, L, 2, "B"),
    (960, 250, L + 3, 1, "N"),  # at the first close after it
    (961, 1, L + 99, 1, "A"),
]
END = 82_800  # of Globex


def test_levels_overnight():
    """Of (open, 09:30]: not the print of the open, the one of 09:30; nothing without prints."""
    found = levels_of(TRADES, snaps=[])
    assert found["ON_HIGH"] == [(6001, 120, END)]
    assert found["ON_LOW"] == [(5999, 120, END)]
    assert "ON_HIGH" not in levels_of(TRADES[3:], snaps=[])


def test_levels_of_the_average_price():
    """Twice 6000 and once 6000.75: 6000.25, variance .125. The average of 2, 1 and 1 lots with 6024.75: 6006.375."""
    found = levels_of(TRADES, count=1441, snaps=[])
    assert [row[1:] for row in found["VWAP"]] == [(240, 360), (360, 480)]
    assert found["VWAP"][0][0] == 6000.25
    assert found["VWAP_UPPER"][0][0] == 6000.603553391  # .3535533906
    assert found["VWAP_LOWER"][0][0] == 5999.896446609
    assert found["VWAP"][1][0] == 6006.375
    assert "VWAP" not in levels_of(TRADES[:3], snaps=[])


def test_nearest_root():
    assert [nearest_root(Fraction(n, 4)) for n in (0, 1, 9, 8, 25, 24)] == [0, 1, 2, 1, 3, 2]
    assert nearest_root(Fraction(9, 4) - Fraction(1, 10**30)) == 1
    assert nearest_root(10**36) == 10**18


def test_round_levels():
    """The last print at 09:30 is 6001, then 6000.75, then 6024.75; half of 25 points rounds up."""
    found = levels_of(TRADES, count=1441, snaps=[])
    assert found["ROUND"] == [(6000, 120, 240), (6000, 240, 360), (6025, 360, 480)]
    assert levels_of([(1, 1, L + 50, 1, "B")], count=481, snaps=[])["ROUND"] == [(6025, 120, 240)]
    assert levels_of([(1, 1, L + 49, 1, "B")], count=481, snaps=[])["ROUND"] == [(6000, 120, 240)]
    assert "ROUND" not in levels_of([], snaps=[])


def test_levels_of_the_date_before():
    usual = all_priors(session_high=L + 8.0, session_low=L - 8.0, session_close=None)
    found = levels_of(TRADES, priors=usual)
    assert found["PD_HIGH"] == [(6002, 120, END)]
    assert found["PD_LOW"] == [(5998, 120, END)]
    assert "PD_CLOSE" not in found


def test_only_the_kinds_that_are_asked_for():
    usual = all_priors(session_high=L + 8.0, session_low=L - 8.0, session_close=L)
    assert set(levels_of(TRADES)) == {"PM_HIGH", "PM_LOW", "OR_HIGH", "OR_LOW"}
    assert set(levels_of(TRADES, kinds=("ROUND", "PD_LOW"), priors=usual)) == {
        "PM_HIGH",
        "PM_LOW",
        "OR_HIGH",
        "OR_LOW",
        "ROUND",
        "PD_LOW",
    }


EXPIRATION = OPEN + 30_000 * SECOND


def option(k, strike, call, lots=0, unsigned=0, price=None):
    """A row of option flow: customers sold `lots`, which dealers now hold; a quote if there is a price, in points."""
    return {
        "k": k, "strike": round(strike * POINT), "call": call, "expiration": EXPIRATION, "signed": -lots,
        "volume": abs(lots) + unsigned, "unsigned": unsigned, "trades": 0, "quotes": int(price is not None), "premium": 0,
        "last": None, "bid": price and round(price * POINT), "ask": price and round(price * POINT),
    }  # fmt: skip


QUOTES = [option(400, 6000 + d, int(d >= 0), price=20 - abs(d) / 5) for d in (-50, -30, -10, 0, 10, 30, 50)]


def walls_of(flow, mids=(), count=961):
    """(call walls, put walls) of a day whose mid is 6000 but for {k: mid2}."""
    snaps = [{"k": k, "ts": OPEN + k * INTERVAL, "mid2": dict(mids).get(k, 2 * L)} for k in range(count)]
    rows = sorted([*QUOTES, *flow], key=lambda row: (row["k"], row["strike"], row["call"]))
    options = naive_fuel.Options(snaps, rows, [], toy_session(regular=120), CONFIG)
    found = levels_of([], count=count, snaps=snaps, options=options)
    return found.get("CALL_WALL", []), found.get("PUT_WALL", [])


def test_walls():
    """Dealers hold 100 and 200 contracts 5 and 10 points above, 90 and 60 below; short ones and those at the mid are none."""
    flow = [option(450, 6005, 1, 100), option(460, 6010, 0, 200), option(460, 5995, 1, 90), option(480, 5990, 0, 60)]
    flow += [option(470, 6020, 1, -900), option(470, 6000, 1, 900), option(481, 6030, 1, 900)]
    assert walls_of(flow) == ([(6010, 120, 240), (6030, 240, 360)], [(5995, 120, 240), (5995, 240, 360)])


def test_walls_reach_fifty_points():
    assert walls_of([option(450, 6050, 1, 100), option(450, 5949, 0, 900)], count=481) == ([(6050, 120, 240)], [])
    assert walls_of([option(450, 6050, 1, 100)], {480: 2 * L - 1}, count=481) == ([], [])  # 50.125 points


def test_walls_that_are_unknown():
    """Without a mid, or where most lots near it have no aggressor."""
    flow = [option(450, 6005, 1, 100)]
    assert walls_of(flow, {480: None}) == ([(6005, 240, 360)], [])
    assert walls_of([*flow, option(451, 6005, 1, 0, unsigned=100)], count=481) == ([(6005, 120, 240)], [])
    assert walls_of([*flow, option(451, 6005, 1, 0, unsigned=101)], count=481) == ([], [])
    assert walls_of([], count=481) == ([], [])


def test_touches_are_of_signal_kinds():
    """A level of the context is touched only where it is named among them."""
    trades = [(1, 1, L - 20, 1, "B"), (600, 1, L, 1, "B")]
    day = toy_day(700, {0: QUIET_BOOK}, trades)
    rows = [level("ROUND", 6000), level("PM_HIGH", 6000)]
    other = changed(CONFIG, "levels", signal_kinds=("ROUND", "OR_LOW"))
    for config, kinds in ((CONFIG, ["PM_HIGH"]), (other, ["ROUND"])):
        found = naive_touches(day.snaps, day.prints, day.bars1, rows, day.session, config, None, day.session.date)
        assert [(touch["kind"], touch["k"]) for touch in found] == [(kind, 600) for kind in kinds]
