"""Option flow made by hand, and what the twin of fuel (physics.md, 4.4) and the product say of it.

By hand: the future stands at 6000, the options have 8,760 s to live when they are looked at, 1/3600 of a year, and are quoted at
60 % a year: v = .6/60 = .01, F v = 60, and gamma = phi(d)/60 with d = ln(6000/K)/.01 + .005. GAMMA lists it, made with mpmath:

    for K in (...): print(K, mp.nstr(mp.npdf(mp.log(mp.mpf(6000) / K) / mp.mpf(".01") + mp.mpf(".005")) / 60, 6))
"""

import math
from dataclasses import replace
from statistics import NormalDist
from types import SimpleNamespace

import numpy as np
from pytest import approx

from spymaster_assets.compute.clock import clock_of
from spymaster_assets.compute.option_flow import NEW, OPEN_REPORT, OptionGrid
from spymaster_assets.compute.stream import NO_PRIORS, Day
from spymaster_assets.config import Config
from spymaster_assets.sessions import Window
from spymaster_assets.tables import BARS, FEATURE_ROWS, OPTION_FLOW, PRIORS, SNAPS, TOUCHES
from tests import short_day
from tests.naive_fuel import COLUMNS, Options, naive_fuel
from tests.rows import packed, plain
from tests.toy_days import INTERVAL, OPEN, SECOND, toy_bars1, toy_session, toy_touch

CONFIG = Config()
POINT = CONFIG.instrument.point
MID2 = 48_000  # 6000
NOW = 4_000  # the snap that is looked at: 1,000 s after the open
EXPIRATION = OPEN + NOW * INTERVAL + 8760 * SECOND
GAMMA = {
    5900: 0.00160586, 5975: 0.00608121, 5985: 0.00643582, 5990: 0.00655163, 5995: 0.00662313, 6000: 0.00664895, 6005: 0.00662869,
    6010: 0.00656286, 6015: 0.00645294, 6025: 0.00611102, 6050: 0.00473158,
}  # fmt: skip
RELATIVE, ABSOLUTE = 1e-9, 1e-11  # product and twin; the latter for sums of what cancels
BY_HAND = 2e-6  # relative: the numbers above have six digits, quotes nine decimals
NORMAL = NormalDist()


def black(forward, strike, v, call):
    d = math.log(forward / strike) / v + v / 2
    price = forward * NORMAL.cdf(d) - strike * NORMAL.cdf(d - v)
    return price if call else price - forward + strike


def nanos(points):
    return round(points * POINT)


def row(k, strike, call, **columns):
    """A row of option flow; strike and prices in points."""
    found = {
        "k": k, "strike": nanos(strike), "call": call, "expiration": EXPIRATION, "signed": 0, "volume": 0, "unsigned": 0,
        "trades": 0, "quotes": 0, "premium": 0, "last": None, "bid": None, "ask": None, **columns,
    }  # fmt: skip
    assert set(found) == set(OPTION_FLOW.names)
    return found | {name: None if found[name] is None else nanos(found[name]) for name in ("last", "bid", "ask")}


def out_of_the_money(strike):
    return 1 if strike >= 6000 else 0


def quote(k, strike, sigma=0.6, call=None, expiration=EXPIRATION):
    """A quote at a volatility, of the contract that is out of the money at 6000."""
    call = out_of_the_money(strike) if call is None else call
    v = sigma * math.sqrt((expiration - OPEN - k * INTERVAL) / SECOND / 31_536_000)
    price = black(6000, strike, v, call)
    return row(k, strike, call, quotes=1, bid=price - 0.001, ask=price + 0.001, expiration=expiration)


def quotes(k, strikes=GAMMA, **how):
    return [quote(k, strike, **how) for strike in strikes]


def trade(k, strike, call, lots, side="B", last=None):
    """Lots traded; without a price they are no point."""
    signed = {"B": lots, "A": -lots, "N": 0}[side]
    return row(k, strike, call, signed=signed, volume=lots, unsigned=lots if side == "N" else 0, trades=1, last=last)


def options(rows, mids=None, open_interest=(), session=None, count=NOW + 4001):
    """The day around them; `mids`: {k: mid2}, each until the next."""
    snaps, mid2 = [], MID2
    for k in range(count):
        mid2 = (mids or {}).get(k, mid2)
        snaps.append({"k": k, "ts": OPEN + k * INTERVAL, "mid2": mid2})
    rows = sorted(rows, key=lambda row: (row["k"], row["strike"], row["call"]))
    session = replace(session or toy_session(regular=500), globex=Window(OPEN, OPEN + (count - 1) * INTERVAL))
    return Options(snaps, rows, list(open_interest), session, CONFIG)


def touch(price=6000.0, k=NOW, direction="UP"):
    return {"price": nanos(price), "k": k, "direction": direction}


def fuel(rows, k=NOW, touch=touch(), priors=None, **how):  # noqa: B008
    """What the twin says, and the product with it. `priors`: {bucket: gamma_threshold}, those of the others unknown."""
    day, array = options(rows, **how), None
    if priors is not None:
        array = short_day.priors().copy()
        array["gamma_threshold"] = [priors.get(bucket, math.nan) for bucket in range(144)]
    values = naive_fuel(day, touch, k, None if array is None else plain(PRIORS, array))
    made = product(day, [whole_touch(**touch)], array)
    assert not differences(values, columns(made, 0, k))
    return values


def is_unknown(values):
    known = [name for name in COLUMNS if values[name] is not None and not name.startswith("gex_oi")]
    return values["fuel_effect"] == "UNKNOWN" and known == ["fuel_effect"]


def near(value):
    return approx(value, rel=BY_HAND, abs=1e-12)


def whole_touch(**columns):
    """A touch with everything that the product wants to know of it."""
    return toy_touch(SimpleNamespace(session=toy_session()), **columns)


def last_reports(day):
    """The product's open interest from reports in order of arrival."""
    grid, reported = OptionGrid(clock_of(day.session, CONFIG)), day.open_interest
    numbers = [grid.contract(row["strike"], bool(row["call"]), EXPIRATION) for row in reported]
    kinds, actions = np.full(len(reported), OPEN_REPORT), np.full(len(reported), NEW)
    quantities, times = (np.array([row[name] for row in reported], np.int64) for name in ("quantity", "ts"))
    return grid.open_interest(np.array(numbers, np.int64), kinds, actions, quantities, times)


def product(day, touches, priors=None, until=None):
    """A Day of the same rows; with `until` of those up to that snap, nothing is there after it."""
    snaps, flow = packed(SNAPS, day.snaps), packed(OPTION_FLOW, day.rows)
    if until is not None:
        snaps[until + 1 :] = 0
        flow = flow[flow["k"] <= until]
    tables = {
        "snaps": snaps, "option_flow": flow, "open_interest": last_reports(day), "touches": packed(TOUCHES, touches),
        "bars": packed(BARS, toy_bars1(len(snaps), [])),
    }  # fmt: skip
    return Day.of(day.session, CONFIG, NO_PRIORS if priors is None else priors, tables)


def columns(made, number, k):
    """The fuel columns of the product."""
    row = np.zeros(1, FEATURE_ROWS.dtype)
    made.features_at(number, k, row)
    (found,) = plain(FEATURE_ROWS, row)
    return {name: found[name] for name in COLUMNS}


def same(expected, found):
    """Words and nulls exactly, numbers within rounding."""
    if isinstance(expected, str) or expected is None or found is None:
        return found == expected
    return found == approx(expected, rel=RELATIVE, abs=ABSOLUTE)


def differences(expected, found):
    """The columns that differ, with both."""
    return {name: (expected[name], found[name]) for name in COLUMNS if not same(expected[name], found[name])}


def traded(k, strike, sigma, call=None):
    """One lot traded at a volatility."""
    quoted = quote(k, strike, sigma, call)
    return quoted | {
        "quotes": 0, "trades": 1, "volume": 1, "signed": 1, "last": (quoted["bid"] + quoted["ask"]) // 2, "bid": None, "ask": None,
    }  # fmt: skip


def held(contracts, call=1, k=9):
    """Trades after which dealers hold so many of each strike."""
    return [trade(k, strike, call, abs(n), "B" if n < 0 else "A") for strike, n in contracts.items()]


def reports(contracts, seconds=400):
    """{(strike, call): contracts}, reported so long after the open."""
    ts = OPEN + seconds * SECOND
    return [{"strike": nanos(strike), "call": call, "quantity": n, "ts": ts} for (strike, call), n in contracts.items()]
