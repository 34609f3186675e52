"""Black (1976) against numbers made outside the code: mpmath at 60 digits, QuantLib, and identities.

GREEKS and IMPLIED were made offline, once, with mpmath 1.3.0 (mp.dps = 60; 400 for values under 1e-20) and rounded to 17 digits:

    def N(x): return mp.erfc(-x / mp.sqrt(2)) / 2
    def price(F, K, v, call):
        d = mp.log(F / K) / v + v / 2
        C = F * N(d) - K * N(d - v)
        return C if call else C - F + K

the greeks as central differences of price (steps of 1e-12 of the argument; charm: minus that of delta by the time to expiration),
the implied ones by 220 bisections.
"""

import math

import numpy as np
import pytest
import QuantLib as ql
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pytest import approx

from spymaster_assets.compute.black76 import (
    ABOVE_BOUND,
    BELOW_INTRINSIC,
    KNOWN,
    REASONS,
    UNDEFINED,
    YEAR,
    gamma,
    greeks,
    implied_total,
    price,
)

# forward, strike, sigma, seconds; price of call and put; delta of call and put; gamma, vega, charm
GREEKS = (
    (
        6000,
        6000,
        0.15,
        23400,
        9.7804063373686601,
        9.7804063373686601,
        0.50081503386144739,
        -0.49918496613855261,
        0.016272790183611313,
        65.202618201456287,
        -1.7415229220474436e-8,
    ),
    (
        6000,
        6050,
        0.12,
        23400,
        0.034975801038801551,
        50.034975801038802,
        0.0055876024841749407,
        -0.99441239751582506,
        8.1384877157994655e-4,
        2.6087755143795547,
        -8.6645108147620994e-7,
    ),
    (
        6000,
        5900,
        0.2,
        3600,
        100.0,
        2.8867542050456365e-15,
        0.99999999999999817,
        -1.8254155032331847e-15,
        1.137527707648913e-15,
        9.3495428025938053e-13,
        1.5929971396161884e-17,
    ),
    (
        6000,
        6100,
        0.6,
        8760,
        1.2397411331301111,
        101.23974113313011,
        0.049683498176453409,
        -0.95031650182354659,
        0.0017102425790712346,
        10.261455474427408,
        -9.7104890850133927e-6,
    ),
    (
        5987.25,
        6010,
        0.1,
        900,
        2.7285383878539581e-13,
        22.750000000000273,
        6.2840765426763452e-13,
        -0.99999999999937159,
        1.4214089968747392e-12,
        1.4541518087548182e-10,
        -1.7931660011190962e-14,
    ),
    (
        100,
        100,
        0.3,
        31536000,
        11.923538474048504,
        11.923538474048504,
        0.55961769237024252,
        -0.44038230762975748,
        0.013149311030262963,
        39.44793309078889,
        -9.3816431437378447e-10,
    ),
    (
        100,
        140,
        0.5,
        15768000,
        3.7809432703494296,
        43.78094327034943,
        0.21919627198661216,
        -0.78080372801338784,
        0.0083572062019340124,
        20.893015504835031,
        -1.0572974537957525e-8,
    ),
    (
        6000,
        5000,
        0.35,
        2592000,
        1007.5089904254537,
        7.5089904254536617,
        0.96906138918012469,
        -0.030938610819875307,
        1.1593840480377748e-4,
        120.06771785158325,
        2.378982400312307e-8,
    ),
    (
        6000.125,
        6000,
        0.08,
        60,
        0.33132981268156896,
        0.20632981268156896,
        0.57489512242717426,
        -0.42510487757282574,
        0.5918927005706517,
        3.2433828110871599,
        6.1638113464988789e-4,
    ),
    (
        1,
        3,
        2,
        31536000,
        0.49193267917812316,
        2.4919326791781232,
        0.67389489431833416,
        -0.32610510568166584,
        0.18020716206081711,
        0.36041432412163422,
        -8.8532490941725877e-9,
    ),
    (
        6000,
        6300,
        0.25,
        23400,
        2.1994346031344656e-12,
        300.0000000000022,
        4.000910469343151e-13,
        -0.99999999999959991,
        7.1438954086142576e-14,
        4.7707520708211651e-10,
        -4.4707369347321965e-16,
    ),
    (
        6000,
        5950,
        0.9,
        300,
        50.006018379658161,
        0.0060183796581608496,
        0.99871943229703507,
        -0.0012805677029649313,
        2.5357212520740682e-4,
        0.078155792015981553,
        2.1209779058188786e-5,
    ),
    (
        2,
        1,
        3,
        63072000,
        1.9525510889080736,
        0.9525510889080736,
        0.98883469088926169,
        -0.011165309110738306,
        0.0034575635991517224,
        0.082981526379641338,
        -4.5537595021573421e-10,
    ),
)
# value, forward, strike, call; total
IMPLIED = (
    (14.5, 6000, 6000, True, 0.006057694259140811),
    (0.1, 6000, 6050, True, 0.0037185715912118096),
    (0.05, 6000, 5800, False, 0.012011358614037071),
    (120.25, 6000, 5900, True, 0.023923820948553393),
    (3.125, 6000.125, 5990, False, 0.0029531296743716563),
    (1e-09, 6000, 7000, True, 0.02376570477722712),
    (1e-30, 100, 200, True, 0.06060205858806216),
    (4000, 6000, 6000, True, 1.9348431322034021),
    (5999, 6000, 6100, True, 7.5337755555105838),
    (0.999, 1, 3, True, 6.8780230444774401),
    (2.9999, 1, 3, False, 8.0397913808888697),
    (250.0, 6000, 6249, False, 0.020155621822253264),
    (2e-300, 100, 400, True, 0.037482354324008795),
)
EPSILON = 2.0**-52
KEPT = 5e-12  # of `rounding`: round trips are held to 20 of them
LEAST = 1e-250  # of a value over the future's: below, doubles lose digits
SETTINGS = settings(max_examples=500, deadline=None, derandomize=True)
FORWARDS = st.floats(0.01, 1e6)
LOG_MONEYNESS = st.floats(-1.5, 1.5)  # ln(F/K)
TOTALS = st.floats(math.log(1e-5), math.log(6.0)).map(math.exp)
NONE = (math.nan, math.inf, -math.inf, 0.0, -1.0)


def total_of(sigma, seconds):
    return sigma * math.sqrt(seconds / YEAR)


def cdf(x):
    return math.erfc(-x / math.sqrt(2)) / 2


def slope(forward, strike, total):
    """Change of the price per 1 of total."""
    d = math.log(forward / strike) / total + total / 2
    return forward * math.exp(-d * d / 2) / math.sqrt(2 * math.pi)


def rounding(forward, strike, total, call):
    """What one rounding of the price's terms moves total by, relative: how well the price tells it.

    The terms are those of the out-of-the-money option; the value in the money is rounded as a whole.
    """
    d = math.log(forward / strike) / total + total / 2
    out_call = forward < strike
    terms = forward * cdf(d) + strike * cdf(d - total) if out_call else strike * cdf(total - d) + forward * cdf(-d)
    if call != out_call:
        terms += max(forward, strike)
    moved = slope(forward, strike, total) * total
    return EPSILON * terms / moved if moved > 0 else math.inf


# ---- numbers made outside ----


@pytest.mark.parametrize("case", GREEKS, ids=str)
def test_price_and_greeks(case):
    forward, strike, sigma, seconds, call, put, call_delta, put_delta, density, vega, charm = case
    scale = EPSILON * 4 * forward  # what the terms of a price are rounded to
    for right, worth, delta in ((True, call, call_delta), (False, put, put_delta)):
        found = greeks(forward, strike, sigma, seconds, right)
        assert found.price == price(forward, strike, total_of(sigma, seconds), right)
        assert found.gamma == gamma(forward, strike, total_of(sigma, seconds))
        assert found.price == approx(worth, rel=1e-9 if worth < 1e-6 else 1e-11, abs=scale if worth > 1e-6 else 0)
        assert found.delta == approx(delta, rel=1e-11)
        assert found.gamma == approx(density, rel=1e-11)
        assert found.vega == approx(vega, rel=1e-11)
        assert found.charm == approx(charm, rel=1e-11)


@pytest.mark.parametrize("case", IMPLIED, ids=str)
def test_implied(case):
    value, forward, strike, call, total = case
    found, reason = implied_total(value, forward, strike, call)
    assert reason == KNOWN
    assert found == approx(total, rel=1e-12)


# ---- identities ----


@SETTINGS
@given(FORWARDS, LOG_MONEYNESS, TOTALS)
def test_put_call_parity(forward, away, total):
    strike = forward * math.exp(-away)
    call, put = price(forward, strike, total, True), price(forward, strike, total, False)
    assert abs(call - put - (forward - strike)) <= 4 * EPSILON * max(forward, strike)


@SETTINGS
@given(FORWARDS, LOG_MONEYNESS, TOTALS, st.booleans())
def test_price_lies_between_intrinsic_value_and_bound(forward, away, total, call):
    strike = forward * math.exp(-away)
    found, slack = price(forward, strike, total, call), 4 * EPSILON * max(forward, strike)
    assert max(forward - strike if call else strike - forward, 0) - slack <= found <= (forward if call else strike) + slack


@SETTINGS
@given(FORWARDS, LOG_MONEYNESS, TOTALS)
def test_swapping_forward_and_strike_swaps_call_and_put(forward, away, total):
    strike = forward * math.exp(-away)
    one, other = price(forward, strike, total, True), price(strike, forward, total, False)
    assert abs(one - other) <= 4 * EPSILON * max(forward, strike)


def test_no_time_is_intrinsic_value():
    assert [price(6000.0, 5990.0, 0.0, call) for call in (True, False)] == [10, 0]
    assert [price(6000.0, 6010.0, 0.0, call) for call in (True, False)] == [0, 10]


def test_a_year_is_365_days():
    assert YEAR == 31_536_000


# ---- implied: round trip ----


def round_trip(forward, strike, total, call):
    value = price(forward, strike, total, call)
    assume(max(forward - strike if call else strike - forward, 0) < value < (forward if call else strike))
    assume(value > LEAST * forward and rounding(forward, strike, total, call) <= KEPT)
    found, reason = implied_total(value, forward, strike, call)
    assert reason == KNOWN
    assert abs(found / total - 1) <= 1e-10


@SETTINGS
@given(FORWARDS, LOG_MONEYNESS, TOTALS, st.booleans())
def test_round_trip(forward, away, total, call):
    """From 1e-5 to 6 of total, strikes within a factor 4.5, wherever the price tells total to 10 digits."""
    round_trip(forward, forward * math.exp(-away), total, call)


@SETTINGS
@given(st.floats(3000, 9000), st.floats(-120, 120), st.floats(2, 400), st.booleans())
def test_round_trip_as_on_a_day(forward, away, width, call):
    """Strikes within 120 points, from 2 to 400 points of standard deviation."""
    round_trip(forward, forward + away, width / forward, call)


@SETTINGS
@given(FORWARDS, st.floats(0.01, 1.5), st.floats(-32, -4), st.booleans())
def test_round_trip_far_from_the_money(forward, away, deviations, call):
    """Values down to 1e-220 of the future."""
    round_trip(forward, forward * math.exp(away if call else -away), away / -deviations, call)


def test_the_rule_leaves_most_cases():
    """What `rounding` sets aside is almost no time value: of 2,000 draws a third stay, at the money from 2.2e-4 of total on."""
    random, kept = np.random.default_rng(1), 0
    for number in range(2000):
        total = math.exp(random.uniform(math.log(1e-5), math.log(6)))
        kept += rounding(6000, 6000 * math.exp(random.uniform(-1.5, 1.5)), total, number % 2 == 0) <= KEPT
    assert kept == approx(700, abs=50)
    assert rounding(6000, 6000, 2.3e-4, True) <= KEPT < rounding(6000, 6000, 2.2e-4, True)


# ---- implied: bounds ----


def has_none(value, forward, strike, call, *reasons):
    found, reason = implied_total(value, forward, strike, call)
    assert math.isnan(found)
    assert reason in reasons, REASONS[reason]


def test_at_or_below_intrinsic_value():
    for value in (100.0, 99.999, 1e-300):
        has_none(value, 6100.0, 6000.0, True, BELOW_INTRINSIC)
        has_none(value, 6000.0, 6100.0, False, BELOW_INTRINSIC)
    for call in (True, False):
        assert implied_total(1e-300, 6000.0, 6100.0 if call else 5900.0, call)[1] == KNOWN
    assert implied_total(math.nextafter(100.0, 200), 6100.0, 6000.0, True)[1] == KNOWN


def test_at_or_above_the_bound():
    for value in (6100.0, 6100.01, 1e300):
        has_none(value, 6100.0, 6000.0, True, ABOVE_BOUND)
        has_none(value, 6000.0, 6100.0, False, ABOVE_BOUND)
    assert implied_total(6099.0, 6100.0, 6000.0, True)[1] == KNOWN


@pytest.mark.parametrize("none", NONE)
def test_undefined_inputs(none):
    for call in (True, False):
        has_none(none, 6000.0, 6000.0, call, *((UNDEFINED, BELOW_INTRINSIC, ABOVE_BOUND) if abs(none) < 2 else (UNDEFINED,)))
        has_none(10.0, none, 6000.0, call, UNDEFINED)
        has_none(10.0, 6000.0, none, call, UNDEFINED)


@SETTINGS
@given(*[st.floats(allow_nan=True, allow_infinity=True)] * 3, st.booleans())
def test_anything_has_a_volatility_or_a_reason(value, forward, strike, call):
    found, reason = implied_total(value, forward, strike, call)
    assert (reason == KNOWN) == (found >= 0), "0 where a double is too small for it"
    assert math.isnan(found) == (reason != KNOWN)


# ---- QuantLib ----


def payoff(strike, call):
    return ql.PlainVanillaPayoff(ql.Option.Call if call else ql.Option.Put, strike)


@SETTINGS
@given(FORWARDS, LOG_MONEYNESS, TOTALS, st.booleans())
def test_price_of_quantlib(forward, away, total, call):
    strike = forward * math.exp(-away)
    theirs = ql.blackFormula(ql.Option.Call if call else ql.Option.Put, strike, forward, total)
    assert abs(price(forward, strike, total, call) - theirs) <= 1e-14 * max(forward, strike)


@SETTINGS
@given(FORWARDS, LOG_MONEYNESS, st.floats(0.02, 2), st.floats(60, 3e7), st.booleans())
def test_greeks_of_quantlib(forward, away, sigma, seconds, call):
    """Their normal distribution is good to about ten digits."""
    strike, years = forward * math.exp(-away * total_of(sigma, seconds) * 3), seconds / YEAR
    theirs = ql.BlackCalculator(payoff(strike, call), forward, total_of(sigma, seconds), 1.0)
    ours = greeks(forward, strike, sigma, seconds, call)
    assert ours.price == approx(theirs.value(), rel=1e-9, abs=1e-14 * forward)
    assert ours.delta == approx(theirs.deltaForward(), rel=1e-9, abs=1e-14)
    assert ours.gamma == approx(theirs.gammaForward(), rel=1e-9)
    assert ours.vega == approx(theirs.vega(years), rel=1e-9)


@SETTINGS
@given(FORWARDS, st.floats(-4, 4), st.floats(0.001, 1.5), st.booleans())
def test_implied_of_quantlib(forward, deviations, total, call):
    """Theirs begins at the answer: from elsewhere it need not arrive."""
    strike = forward * math.exp(-deviations * total)
    value = price(forward, strike, total, call)
    assume(rounding(forward, strike, total, call) <= KEPT)
    theirs = ql.blackFormulaImpliedStdDev(
        ql.Option.Call if call else ql.Option.Put, strike, forward, value, 1.0, 0.0, total, 1e-13, 1000
    )
    ours, reason = implied_total(value, forward, strike, call)
    assert reason == KNOWN
    assert ours == approx(theirs, rel=1e-9)
