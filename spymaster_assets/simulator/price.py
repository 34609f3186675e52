"""The clock of a date and the efficient price F: what the book follows and the options are priced on.

Level of a date: 24,000 ticks plus the weighted sum of the last 256 weekdays' moves, weights falling from 1 to 0, so a level
needs no other date and wanders without leaving (about +-1,800 ticks). A contract stands above it by two ticks per calendar day
to its expiry. F of a date runs from its own level to that of the next trading date: consecutive dates join.

F between: a sum of steps of 100 ms whose variance follows the clock (U shape in the regular session, thin overnight), a slow
log-volatility and a lognormal day factor, plus a few jumps, bent to its end as a Brownian bridge. A step is a sum of four
uniforms: only its variance matters, sums over a second are normal.

Units: prices in 1/65536 tick unless named ticks; times ns UTC; variance in (1/65536 tick)^2.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from decimal import Decimal
from math import isqrt
from typing import Any, Final

import numpy as np

from spymaster_assets.compute.kernel import kernel
from spymaster_assets.config import Config
from spymaster_assets.sessions import DAY, NS_PER_SECOND, Session, calendar, expiry_of
from spymaster_assets.simulator.rng import ONE, draw, exp, mix, normal, stream

MINUTE: Final = 60 * NS_PER_SECOND
STEP: Final = 100_000_000  # ns between two values of F
STEPS: Final = MINUTE // STEP
BASE_TICKS: Final = 24_000  # around which the level wanders: 6,000 points of ES
MEMORY: Final = 256  # weekdays that a level remembers
DATE_MOVE: Final = 205  # ticks, standard deviation of a date's move
CARRY: Final = 2  # ticks per calendar day to expiry
DAY_VOLATILITY: Final = 192  # ticks, standard deviation of the regular session's move on a median day
DAY_FACTOR: Final = Decimal("0.15")  # standard deviation of the log of a day's volatility
SLOW_FACTOR: Final = Decimal("0.35")  # standard deviation of the slow log-volatility within a day
SLOW_MEMORY: Final = 984  # of 1000, per minute: an hour
SLOW_NOISE: Final = 178  # of 1000: keeps the variance of the slow part at 1
HALF_DAY_TAIL: Final = 15 * MINUTE  # on half days Globex closes this long after the early close
UNIFORMS_STD: Final = 18_919  # of four 15-bit uniforms added

# Per mille of the regular session's records and variance in the other parts of a date.
RECORDS: Final = {"overnight": 35, "premarket": 100, "evening": 15}
VARIANCE: Final = {"overnight": 150, "premarket": 80, "evening": 20}


@dataclass(frozen=True)
class Clock:
    """One date by minutes from the Globex open. `records`, `variance`: shares of a minute, in 2**-32 of the regular session's."""

    date: dt.date
    open: int
    close: int
    regular: tuple[int, int]  # first minute, end minute
    expiry: int  # of the date's own options: the regular close
    records: np.ndarray
    variance: np.ndarray

    @property
    def minutes(self) -> int:
        return len(self.records)


def _parts(session: Session, close: int) -> tuple[int, int, int, int]:
    """Minutes at which premarket, regular session, evening and closed hours start."""
    at = (session.premarket.start, session.regular.start, session.regular.end, close)
    first, regular, evening, end = ((time - session.globex.start) // MINUTE for time in at)
    return first, regular, evening, end


def _shares(parts: tuple[int, int, int, int], totals: dict[str, int]) -> np.ndarray:
    """A minute's share in 2**-32: U in the regular session, rising in premarket, flat in the night, falling in the evening."""
    premarket, regular, evening, end = parts
    shapes = {
        "overnight": (totals["overnight"], [1] * premarket),
        "premarket": (totals["premarket"], [100 + 300 * m // (regular - premarket) for m in range(regular - premarket)]),
        "regular": (1000, [_u_shape(2 * m + 1, 2 * (evening - regular)) for m in range(evening - regular)]),
        "evening": (totals["evening"], [2 * (end - evening) - m for m in range(end - evening)]),
    }
    shares = [(total << 32) * weight // (1000 * sum(weights)) for total, weights in shapes.values() for weight in weights]
    return np.array(shares, np.int64)


def _u_shape(at: int, end: int) -> int:
    """0.55 + 1.35 y^2 in per mille, y from -1 at the open to 1 at the close."""
    y = 2 * at - end
    return 550 + 1350 * y * y // (end * end)


def clock(day: dt.date, config: Config) -> Clock:
    """The clock of a trading date. On a half day Globex closes 15 minutes after the early close. Raises NotATradingDate."""
    session = calendar(config).session(day)
    close = session.regular.end + HALF_DAY_TAIL if session.early_close else session.globex.end
    parts = _parts(session, close)
    return Clock(
        date=day,
        open=session.globex.start,
        close=close,
        regular=parts[1:3],
        expiry=session.regular.end,
        records=_shares(parts, RECORDS),
        variance=_shares(parts, VARIANCE),
    )


def level(seed: int, day: dt.date) -> int:
    """Ticks at which a date opens, before carry."""
    total, back = 0, day
    for weight in range(MEMORY, 0, -1):
        while back.weekday() > 4:
            back -= DAY
        total += weight * normal(stream(seed, back, "level"))
        back -= DAY
    return BASE_TICKS + total * DATE_MOVE // (MEMORY * ONE)


def carry(symbol: str, day: dt.date, config: Config) -> int:
    """Ticks by which a contract stands above the level on a date."""
    return CARRY * (expiry_of(symbol, day, config) - day).days


def volatility(seed: int, times: Clock) -> np.ndarray:
    """Standard deviation of a step of F per minute, int64 (minutes): the clock, the slow log-volatility, the day's factor."""
    word = stream(seed, times.date, "volatility")
    day_factor = exp(DAY_FACTOR * normal(word) / ONE)
    slow, variance = normal(mix(word)), []
    for minute, share in enumerate(times.variance):
        variance.append(int(share) * exp(2 * SLOW_FACTOR * slow / ONE))
        slow = (SLOW_MEMORY * slow + SLOW_NOISE * normal(stream(seed, times.date, f"slow {minute}"))) // 1000
    scale = sum(variance[slice(*times.regular)])
    regular = (DAY_VOLATILITY * day_factor) ** 2  # in (1/65536 tick)^2: the factor is 16.16
    return np.array([isqrt(regular * part // (scale * STEPS)) for part in variance], np.int64)


def jumps(seed: int, times: Clock) -> np.ndarray:
    """Jumps of F in the regular session, int64 (n, 2): step, size. None to three a date, 8 to 31 ticks."""
    word = stream(seed, times.date, "jumps")
    first, end = times.regular
    found = []
    for _ in range(word & 3):
        word = mix(word + 1)
        step = first * STEPS + ((word & 0xFFFFFFFF) * (end - first) * STEPS >> 32)
        found.append((step, (8 + (word >> 40) % 24) * (ONE if word >> 63 else -ONE)))
    return np.array(sorted(found), np.int64).reshape(-1, 2)


@kernel
def _walk(rng: np.ndarray, start: int, end: int, sigma: np.ndarray, leaps: np.ndarray, out: np.ndarray) -> None:
    """Fill `out` (minutes x 600) with F from `start` to `end`; `sigma` per minute, `leaps` (n, 2) sorted by step."""
    per_minute = out.size // sigma.size
    value, total, leap = start, np.int64(0), 0
    for k in range(out.size):
        scale = sigma[k // per_minute]
        bits = draw(rng)
        spread = (bits & 0x7FFF) + ((bits >> 15) & 0x7FFF) + ((bits >> 30) & 0x7FFF) + ((bits >> 45) & 0x7FFF) - 65534
        value += spread * scale // UNIFORMS_STD
        total += scale * scale
        if leap < leaps.shape[0] and leaps[leap, 0] == k:
            value += leaps[leap, 1]
            leap += 1
        out[k] = value
    gap, run, unit = end - value, np.int64(0), (total >> 20) + 1
    for k in range(out.size):
        scale = sigma[k // per_minute]
        run += scale * scale
        out[k] += (gap * (run // unit)) >> 20


def efficient(seed: int, times: Clock, symbol: str, sigma: np.ndarray, config: Config) -> np.ndarray:
    """F of a contract on a date, int64 (minutes x 600); `sigma`: its volatility per step, int64 (minutes)."""
    following: Any = calendar(config).after(times.date)
    start = level(seed, times.date) + carry(symbol, times.date, config)
    end = level(seed, following) + carry(symbol, following, config)
    path = np.empty(times.minutes * STEPS, np.int64)
    _walk(np.array([stream(seed, times.date, "F")], np.uint64), start * ONE, end * ONE, sigma, jumps(seed, times), path)
    return path
