"""Random numbers and tables that are the same integers on every machine.

Random bits: splitmix64 (Steele, Lea, Flood 2014), one 64-bit word of state, seeded by a hash of
(seed, date, name), so that a date does not depend on the dates simulated with it. `draw` gives 62 bits, of which a caller cuts
its fields; a number in [0, n) is `(field * n) >> bits`, never a modulus.

Tables: exponential quantiles, exp and the normal distribution come from Python's `decimal` (correctly rounded, hence equal
everywhere) as fixed-point integers; kernels only look up and interpolate. Nothing here calls libm.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from decimal import Decimal, localcontext
from functools import cache
from typing import Any, Final

import numpy as np

from spymaster_assets.compute.kernel import kernel

_MASK: Final = (1 << 64) - 1
_STEP: Final = 0x9E3779B97F4A7C15  # 2**64 / golden ratio
_MIX: Final = (0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
_U_STEP, _U_MIX0, _U_MIX1 = np.uint64(_STEP), np.uint64(_MIX[0]), np.uint64(_MIX[1])

ONE: Final = 1 << 16  # 1 in 16.16 fixed point
CDF_ONE: Final = 1 << 30  # 1 in the table of the normal distribution
CDF_SPAN: Final = 6  # the table runs over [-6, 6]
CDF_STEPS: Final = 256  # entries per unit


def mix(word: int) -> int:
    """The splitmix64 finalizer: a bijection of 64-bit words."""
    word = ((word ^ (word >> 30)) * _MIX[0]) & _MASK
    word = ((word ^ (word >> 27)) * _MIX[1]) & _MASK
    return word ^ (word >> 31)


def stream(seed: int, day: dt.date, name: str) -> int:
    """The 64-bit seed of one named stream of one date."""
    word = mix(seed & _MASK)
    for part in (day.toordinal(), *name.encode()):
        word = mix((word + part + _STEP) & _MASK)
    return word


def normal(word: int) -> int:
    """A standard normal in 16.16 from a stream's seed: twelve 16-bit uniforms less six (variance 1, kurtosis 2.9)."""
    total = -6 * ONE
    for turn in range(3):
        bits = mix((word + turn * _STEP) & _MASK)
        total += sum((bits >> shift) & 0xFFFF for shift in (0, 16, 32, 48))
    return total


@kernel
def draw(rng: np.ndarray) -> Any:
    """62 random bits as int64; steps the state, uint64 (1)."""
    word = rng[0] + _U_STEP
    rng[0] = word
    word = (word ^ (word >> np.uint64(30))) * _U_MIX0
    word = (word ^ (word >> np.uint64(27))) * _U_MIX1
    return np.int64((word ^ (word >> np.uint64(31))) >> np.uint64(2))


@kernel
def exponential(bits: int, table: np.ndarray) -> int:
    """A unit exponential in 16.16 from 20 random bits and `exponential_table()`, linear within its 4096 cells."""
    cell = bits >> 8
    low = table[cell]
    return low + (((table[cell + 1] - low) * (bits & 0xFF)) >> 8)


@cache
def exponential_table() -> np.ndarray:
    """-ln(1 - k/4096) in 16.16 for k = 0..4095, int64 (4097); the last cell ends at 12 in place of infinity."""
    with localcontext() as context:
        context.prec = 30
        quantiles = [int(-(1 - Decimal(k) / 4096).ln() * ONE) for k in range(4096)]
    return np.array([*quantiles, 12 * ONE], np.int64)


def exp(power: Decimal, one: int = ONE) -> int:
    """exp(power) in fixed point."""
    with localcontext() as context:
        context.prec = 30
        return int(power.exp() * one)


@cache
def normal_table() -> np.ndarray:
    """The normal distribution function times 2**30 at x = -6, -6 + 1/256, .., 6, int64.

    Phi(x) = 1/2 + phi(x) (x + x^3/3 + x^5/15 + ..), all terms of one sign (Marsaglia 2004). Linear interpolation errs by
    less than 5e-7.
    """
    upper: list[int] = []
    with localcontext() as context:
        context.prec = 30
        root_two_pi = Decimal("2.50662827463100050241576528481104525")
        for k in range(CDF_SPAN * CDF_STEPS + 1):
            x = Decimal(k) / CDF_STEPS
            term = total = x
            order = 1
            while term > Decimal("1e-16"):
                order += 2
                term = term * x * x / order
                total += term
            upper.append(int((Decimal("0.5") + total * (-x * x / 2).exp() / root_two_pi) * CDF_ONE))
    return np.array([CDF_ONE - p for p in upper[:0:-1]] + upper, np.int64)


def quantile_table(weights: Mapping[int, int], cells: int = 4096) -> np.ndarray:
    """`cells` int64 entries of which the share weights[v] / sum(weights) is v, in the order given: look up by random bits."""
    values, bounds = list(weights), np.cumsum(list(weights.values()), dtype=np.int64)
    at = (np.arange(cells, dtype=np.int64) * 2 + 1) * bounds[-1] // (2 * cells)
    return np.array(values, np.int64)[np.searchsorted(bounds, at, side="right")]
