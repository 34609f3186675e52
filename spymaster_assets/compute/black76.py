"""Black (1976) for options on futures, undiscounted: price, greeks, implied volatility. docs/physics.md, 4.4.

`total` is the standard deviation of the future's logarithm until expiration, sigma sqrt(T): all that a price depends on besides
forward F and strike K. Prices in the unit of F and K. Source: Black, The pricing of commodity contracts, Journal of Financial
Economics 3 (1976).
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import numpy as np

from spymaster_assets.compute.kernel import kernel

YEAR: Final = 365 * 86_400.0  # seconds, of a volatility per year
KNOWN, UNDEFINED, BELOW_INTRINSIC, ABOVE_BOUND = range(4)  # why there is an implied volatility, or none
REASONS: Final = ("known", "a price, forward, strike or time that is none", "at or below intrinsic value", "at or above its bound")

_ROOT_HALF: Final = math.sqrt(0.5)
_DENSITY: Final = 1.0 / math.sqrt(2.0 * math.pi)
_STEPS: Final = 64  # more than bisection needs; three or four are used
_CLOSE: Final = 1e-6  # relative step after which the next would be 1e-18


class Greeks(NamedTuple):
    """`delta` per point; `gamma` per point of F; `vega` per 1.00 of volatility per year; `charm`: change of delta per second."""

    price: float
    delta: float
    gamma: float
    vega: float
    charm: float


@kernel
def _cdf(x: float) -> float:
    return 0.5 * math.erfc(-x * _ROOT_HALF)


@kernel
def _density(x: float) -> float:
    return _DENSITY * math.exp(-0.5 * x * x)


@kernel
def price(forward: float, strike: float, total: float, call: bool) -> float:
    """Value of an option; its intrinsic value where `total` is 0."""
    if not total > 0.0:
        return max(forward - strike if call else strike - forward, 0.0)
    up = math.log(forward / strike) / total + 0.5 * total
    down = up - total
    if call:
        return max(forward * _cdf(up) - strike * _cdf(down), 0.0)
    return max(strike * _cdf(-down) - forward * _cdf(-up), 0.0)


@kernel
def gamma(forward: float, strike: float, total: float) -> float:
    """Change of delta per point, of a call as of a put; `total` > 0. None where Black (1976) has no price: at or below zero."""
    if not (forward > 0.0 and strike > 0.0):
        return 0.0
    return _density(math.log(forward / strike) / total + 0.5 * total) / (forward * total)


@kernel
def greeks(forward: float, strike: float, sigma: float, seconds: float, call: bool) -> Greeks:
    """All of them. `sigma`: per year, > 0; `seconds`: to expiration, > 0."""
    years = seconds / YEAR
    total = sigma * math.sqrt(years)
    up = math.log(forward / strike) / total + 0.5 * total
    density = _density(up)
    return Greeks(
        price=price(forward, strike, total, call),
        delta=_cdf(up) if call else -_cdf(-up),
        gamma=density / (forward * total),
        vega=forward * density * math.sqrt(years),
        charm=density * (up - total) / (2.0 * seconds),
    )


@kernel
def implied_total(value: float, forward: float, strike: float, call: bool) -> tuple[float, int]:
    """(`total` at which the option is worth `value`, why not): NaN unless the reason is KNOWN.

    Halley's iteration on the value of the out-of-the-money option, far from the money on the logarithm of that, inside a bracket.
    It starts near the money from Corrado and Miller (1996), far from it where the value turns from convex to concave.
    """
    if not (value > 0.0 and forward > 0.0 and strike > 0.0) or value == np.inf or forward == np.inf or strike == np.inf:
        return np.nan, UNDEFINED
    intrinsic = max(forward - strike if call else strike - forward, 0.0)
    if not value > intrinsic:
        return np.nan, BELOW_INTRINSIC
    if value >= (forward if call else strike):
        return np.nan, ABOVE_BOUND
    away, call = math.log(forward / strike), forward < strike
    value -= intrinsic
    middle, apart = value + 0.5 * abs(forward - strike), forward - strike
    square = middle * middle - apart * apart / math.pi
    far = square < 0.0
    total = math.sqrt(2.0 * abs(away)) if far else (middle + math.sqrt(square)) / (_DENSITY * (forward + strike))
    least, most = 0.0, np.inf
    for _ in range(_STEPS):
        up = away / total + 0.5 * total
        worth, slope = price(forward, strike, total, call), forward * _density(up)
        if worth < value:
            least = total
        else:
            most = total
        miss, bend = worth - value, up * (up - total) / total  # of the slope, relative
        if far and worth > 0.0:
            miss, bend = worth * math.log(worth / value), bend - slope / worth
        step = miss / slope if slope > 0.0 else np.inf
        step /= max(1.0 - 0.5 * step * bend, 0.5)
        new = total - step
        if abs(step) <= _CLOSE * total:
            return new, KNOWN
        if not least < new < most:
            new = 0.5 * (least + most) if most < np.inf else 2.0 * total
        total = new
    return total, KNOWN
