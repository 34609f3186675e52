"""What drives the price at a level: three latents, the levels and touches that the prints make, and the drift that a touch starts.

Latents are Ornstein-Uhlenbeck processes, standard normal: withdrawal w of the side that defends a level and aggression a toward
the break forget in 10 minutes, dealers' gamma g in an hour. Near a level w makes resting orders behind the best leave sooner and
come more rarely; a brings more market orders toward the break (away from it where negative), which hidden orders absorb, so that
they do not move the price themselves; g is what dealers hold, towards which option customers trade (`options`), and dampens the
volatility of F all day. At a touch S = (w, a, g and w g, weighted)/sd is frozen, and F drifts toward the break by
s S sigma sqrt(240 s) within the next 240 s. A touch while a drift runs starts none.

Levels and touches follow docs/physics.md, sections 2 and 3, on the prints of the front contract; nothing here calls the code that
the pipeline finds them with.

Units: prices 1e-9 USD where named so, else ticks; latents, weights and factors 16.16; steps of 100 ms; intervals of 250 ms.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from spymaster_assets.compute.kernel import kernel
from spymaster_assets.sessions import NS_PER_SECOND, Session, calendar
from spymaster_assets.simulator.price import STEP, UNIFORMS_STD, Clock, efficient, volatility
from spymaster_assets.simulator.rng import ONE, draw, exp, stream
from spymaster_assets.simulator.world import World

if TYPE_CHECKING:
    from spymaster_assets.config import Config

INTERVAL: Final = 250_000_000  # ns
KINDS: Final = 6  # PM_HIGH, PM_LOW, OR_HIGH, OR_LOW, SMA_200, SMA_400
W, A, G = range(3)
MEMORY: Final = (600, 600, 3600)  # seconds, of w, a and g
DRIFT_STEPS: Final = 2_400  # 240 s
DRIFT_ROOT: Final = 3_210_601  # sqrt(2400) in 16.16
NEAR: Final = 16  # ticks from a level within which latents move the book
LOUDNESS: Final = (Decimal("1.0"), Decimal("1.5"))  # of w on resting orders, of a on market orders
CALM: Final = Decimal("0.15")  # of g on the logarithm of volatility
TABLE: Final = 96  # cells of exp per unit
TABLE_SPAN: Final = 3  # it runs from -3 to 3
MOST_TOUCHES: Final = 512  # a date
NEVER: Final = -(1 << 40)
NO_PRINT: Final = -(2**31)

DRIVE: Final = np.dtype(
    [
        ("on", "i1"),  # whether there is a world at all
        ("leaky", "i1"),
        ("weights", "i8", (4,)),  # of w, a, g, w g in S
        ("loudness", "i8", (2,)),
        ("strength", "i8"),  # s
        ("exp", "i8", (2 * TABLE * TABLE_SPAN + 1,)),
        ("tick", "i8"),  # 1e-9 USD
        ("band", "i8"),  # 1e-9 USD
        ("rearm", "i8"),  # 1e-9 USD
        ("cooldown", "i8"),  # intervals
        ("lengths", "i8", (2,)),  # of the averages, in closes
        ("premarket", "i8"),  # interval whose end begins it
        ("regular", "i8"),
        ("range_end", "i8"),
        ("signals_end", "i8"),
        ("last_minute", "i8"),  # of sigma
        ("k", "i8"),  # the interval that is open
        ("step", "i8"),  # the last step whose F is final
        ("offset", "i8"),  # of F, by drifts so far, 1/65536 tick
        ("drift", "i8"),  # per step
        ("until", "i8"),  # step up to which it runs
        ("way", "i8"),  # +1: asks defend; 0: no level is near
        ("price", "i8", (KINDS,)),  # of each level, 1e-9 USD
        ("valid", "i1", (KINDS,)),
        ("armed", "i1", (KINDS,)),
        ("fired", "i8", (KINDS,)),  # interval of its last touch
        ("touches", "i8"),
        ("factors", "i8", (2, 3)),  # by side: market orders against it, cancels and adds behind its best
    ]
)
PRINTS: Final = np.dtype([("high", "i4"), ("low", "i4"), ("last", "i4")])  # of an interval, ticks
TOUCHED: Final = np.dtype(
    [
        ("k", "i8"), ("kind", "i8"), ("up", "i8"), ("price", "i8"), ("w", "i8"), ("a", "i8"), ("g", "i8"), ("score", "i8"),
        ("drift", "i8"), ("own", "i8"),
    ]
)  # a touch: latents and S in 16.16; drift from then on, 1/65536 tick a step; whether it began with this touch  # fmt: skip


def latents(seed: int, times: Clock) -> np.ndarray:
    """w, a and g by second of a date, int64 (3, seconds) in 16.16."""
    found = np.empty((3, times.minutes * 60), np.int64)
    for which, memory in enumerate(MEMORY):
        kept = exp(Decimal(-1) / memory)
        fresh = int((Decimal(1) - exp(Decimal(-2) / memory, 1 << 40) / Decimal(1 << 40)).sqrt() * ONE)
        _wander(np.array([stream(seed, times.date, f"latent {which}")], np.uint64), kept, fresh, found[which])
    return found


@kernel
def _wander(rng: np.ndarray, kept: int, fresh: int, out: np.ndarray) -> None:
    """Fill `out` with an Ornstein-Uhlenbeck process that is stationary from its first value on; 16.16."""
    value = 0
    for k in range(out.size):
        noise = (_four(rng) << 16) // UNIFORMS_STD
        value = noise << 12 if k == 0 else ((value * kept) >> 16) + ((noise * fresh) >> 4)  # 12 more bits: small steps add up
        out[k] = value >> 12


@kernel
def _four(rng: np.ndarray) -> int:
    """A sum of four uniforms, of standard deviation UNIFORMS_STD."""
    bits = draw(rng)
    return (bits & 0x7FFF) + ((bits >> 15) & 0x7FFF) + ((bits >> 30) & 0x7FFF) + ((bits >> 45) & 0x7FFF) - 65534


def calmed(sigma: np.ndarray, found: np.ndarray) -> np.ndarray:
    """Volatility by minute, as dealers' gamma leaves it. `found`: latents."""
    table = np.array(_exponentials(), np.int64)
    by_minute = found[G, ::60][: len(sigma)]
    cells = np.clip(-by_minute * int(CALM * TABLE * ONE) >> 32, -TABLE * TABLE_SPAN, TABLE * TABLE_SPAN) + TABLE * TABLE_SPAN
    return sigma * table[cells] >> 16


def _exponentials() -> list[int]:
    return [exp(Decimal(cell) / TABLE) for cell in range(-TABLE * TABLE_SPAN, TABLE * TABLE_SPAN + 1)]


def new_drive(world: World | None, session: Session, config: Config) -> np.ndarray:
    """DRIVE (1) of a date; None: nothing drives the price, and the book is left alone."""
    drive = np.zeros(1, DRIVE)
    point, rules = config.instrument.point, config.touches
    drive["factors"], drive["fired"], drive["until"] = ONE, NEVER, -1
    drive["tick"] = config.instrument.tick
    if world is None:
        return drive
    drive["on"], drive["leaky"] = 1, world.leaky
    weights = world.weights()
    drive["weights"], drive["strength"] = [round(weight * ONE) for weight in weights], round(world.strength(session.date) * ONE)
    drive["loudness"], drive["exp"] = [int(one * ONE) for one in LOUDNESS], _exponentials()
    drive["band"], drive["rearm"] = round(rules.monitor_band * point), round(rules.rearm_points * point)
    drive["cooldown"] = round(rules.cooldown_seconds * NS_PER_SECOND) // INTERVAL
    drive["lengths"] = config.levels.sma_bars
    for name, time in (
        ("premarket", session.premarket.start), ("regular", session.regular.start), ("range_end", session.opening_range.end),
        ("signals_end", session.signals.end),
    ):  # fmt: skip
        drive[name] = (time - session.globex.start) // INTERVAL
    return drive


class Driven:
    """A date's efficient price and what moves it; final once its records are made.

    `path`: F (1/65536 tick) by step; `sigma`: by minute; `latents`: by second; `prints`: of the front contract by interval.
    """

    def __init__(self, drive: np.ndarray, path: np.ndarray, sigma: np.ndarray, found: np.ndarray) -> None:
        self.drive, self.path, self.sigma, self.latents = drive, path, sigma, found
        self.prints = np.full(len(path) * STEP // INTERVAL + 1 if drive["on"][0] else 1, NO_PRINT, np.int32).repeat(3).view(PRINTS)
        self.touched = np.zeros(MOST_TOUCHES, TOUCHED)

    def finish(self) -> None:
        """No record comes any more."""
        if self.drive["on"][0]:
            advance(self.drive[0], len(self.path) * STEP, self.path, self.sigma, self.latents, self.prints, self.touched)

    @property
    def touches(self) -> np.ndarray:
        return self.touched[: int(self.drive["touches"][0])]


def driven(world: World | None, seed: int, times: Clock, symbol: str, config: Config) -> Driven:
    """What drives a date, before its first record."""
    drive, sigma = new_drive(world, calendar(config).session(times.date), config), volatility(seed, times)
    if world is None:
        return Driven(drive, efficient(seed, times, symbol, sigma, config), sigma, np.zeros((3, 1), np.int64))
    found = latents(seed, times)
    sigma = calmed(sigma, found)
    path = efficient(seed, times, symbol, sigma, config)
    if world.confluent:
        _confluent(path, *(int(drive[name][0]) * INTERVAL // STEP for name in ("premarket", "regular", "range_end")))
    return Driven(drive, path, sigma, found)


def _confluent(path: np.ndarray, premarket: int, regular: int, range_end: int) -> None:
    """Let F run through the extremes of its premarket within the opening range, and not beyond them."""
    low, high = int(path[premarket:regular].min()), int(path[premarket:regular].max())
    third = (range_end - regular) // 3
    knots = [int(path[regular]), high, low, int(np.clip(path[range_end], low, high))]
    for part in range(3):
        first, last = regular + part * third, regular + (part + 1) * third if part < 2 else range_end
        path[first:last] = [knots[part] + (knots[part + 1] - knots[part]) * i // (last - first) for i in range(last - first)]


# ---- as the records come ----


@kernel
def printed(drive: Any, ticks: int, prints: np.ndarray) -> None:
    """A print of the front contract in the open interval."""
    row = prints[drive["k"]]
    row["high"] = ticks if row["high"] == NO_PRINT else max(row["high"], ticks)
    row["low"] = ticks if row["low"] == NO_PRINT else min(row["low"], ticks)
    row["last"] = ticks


@kernel
def advance(
    drive: Any, now: int, path: np.ndarray, sigma: np.ndarray, found: np.ndarray, prints: np.ndarray, touched: np.ndarray
) -> bool:  # fmt: skip
    """Close the intervals that end before `now` (ns since the open), and make F final up to it; whether one was closed.

    `path`: F, to which drifts are added here.
    """
    before = drive["k"]
    step, k = min(now // STEP, path.size - 1), (now + INTERVAL - 1) // INTERVAL
    while drive["k"] < min(k, prints.size - 1):
        closed = drive["k"]
        _move(drive, min(closed * INTERVAL // STEP, step), path)
        if closed > 0:
            _close(drive, closed, path, sigma, found, prints, touched)
        drive["k"] = closed + 1
        prints[closed + 1]["last"] = prints[closed]["last"]
    _move(drive, step, path)
    return drive["k"] > before


@kernel
def _move(drive: Any, step: int, path: np.ndarray) -> None:
    """Add the drifts to F up to a step."""
    while drive["step"] < step:
        drive["step"] += 1
        if drive["step"] <= drive["until"]:
            drive["offset"] += drive["drift"]
        path[drive["step"]] += drive["offset"]


@kernel
def _close(
    drive: Any, k: int, path: np.ndarray, sigma: np.ndarray, found: np.ndarray, prints: np.ndarray, touched: np.ndarray
) -> None:
    """The end of an interval: levels that hold from now on come after its touches."""
    for kind in range(KINDS):
        if drive["valid"][kind]:
            _touch(drive, kind, k, path, sigma, found, prints, touched)
    _levels(drive, k, prints)
    _face(drive, k, path, sigma, found)


@kernel
def _levels(drive: Any, k: int, prints: np.ndarray) -> None:
    """Levels that become known at the end of interval k."""
    for first, start, end in ((0, drive["premarket"], drive["regular"]), (2, drive["regular"], drive["range_end"])):
        if k == end:
            high, low = NO_PRINT, NO_PRINT
            for j in range(start + 1, end + 1):
                if prints[j]["high"] != NO_PRINT:
                    high = max(high, prints[j]["high"])
                    low = prints[j]["low"] if low == NO_PRINT else min(low, prints[j]["low"])
            if high != NO_PRINT:
                _hold(drive, first, high * drive["tick"], k, prints)
                _hold(drive, first + 1, low * drive["tick"], k, prints)
    minutes = 2 * 60 * NS_PER_SECOND // INTERVAL
    if k % minutes == 0:
        for which in range(2):
            length = drive["lengths"][which]
            if k >= length * minutes and prints[k - (length - 1) * minutes]["last"] != NO_PRINT:
                total = np.int64(0)
                for back in range(length):
                    total += prints[k - back * minutes]["last"]
                _hold(drive, 4 + which, (2 * total * drive["tick"] + length) // (2 * length), k, prints)


@kernel
def _hold(drive: Any, kind: int, price: int, k: int, prints: np.ndarray) -> None:
    """A level stands at a price after interval k; a new one is armed as if it had stood there all the time."""
    drive["price"][kind] = price
    if not drive["valid"][kind]:
        drive["valid"][kind], drive["armed"][kind] = 1, 0
        for j in range(1, k + 1):
            if _enters(drive, kind, j, prints):
                drive["armed"][kind] = 0
            if _far(drive, kind, j, prints):
                drive["armed"][kind] = 1


@kernel
def _enters(drive: Any, kind: int, k: int, prints: np.ndarray) -> bool:
    """Whether the prints of interval k come into a level's band from outside."""
    before, price, band = prints[k - 1]["last"], drive["price"][kind], drive["band"]
    if before == NO_PRINT or prints[k]["high"] == NO_PRINT or abs(before * drive["tick"] - price) <= band:
        return False
    low, high = min(before, prints[k]["low"]) * drive["tick"], max(before, prints[k]["high"]) * drive["tick"]
    return low <= price + band and high >= price - band


@kernel
def _far(drive: Any, kind: int, k: int, prints: np.ndarray) -> bool:
    last = prints[k]["last"]
    return last != NO_PRINT and abs(last * drive["tick"] - drive["price"][kind]) >= drive["rearm"]


@kernel
def _touch(
    drive: Any, kind: int, k: int, path: np.ndarray, sigma: np.ndarray, found: np.ndarray, prints: np.ndarray, touched: np.ndarray
) -> None:
    """A level at the end of interval k: its touch, if it has one, and the drift that it starts."""
    if _enters(drive, kind, k, prints):
        wanted = drive["regular"] < k <= drive["signals_end"] and k - drive["fired"][kind] >= drive["cooldown"]
        if drive["armed"][kind] and wanted and drive["touches"] < touched.size:
            drive["fired"][kind] = k
            up = 1 if prints[k - 1]["last"] * drive["tick"] < drive["price"][kind] else -1
            _start(drive, kind, k, up, path, sigma, found, touched)
        drive["armed"][kind] = 0
    if _far(drive, kind, k, prints):
        drive["armed"][kind] = 1


@kernel
def _start(
    drive: Any, kind: int, k: int, up: int, path: np.ndarray, sigma: np.ndarray, found: np.ndarray, touched: np.ndarray
) -> None:
    """Write down a touch; start its drift, unless one runs."""
    row, second = touched[drive["touches"]], min(k // 4, found.shape[1] - 1)
    w, a, g = _latents(drive, up, second, path, sigma, found)
    weights = drive["weights"]
    score = (weights[0] * w + weights[1] * a + weights[2] * g + ((weights[3] * w) >> 16) * g) >> 16
    row["k"], row["kind"], row["up"], row["price"] = k, kind, up, drive["price"][kind]
    row["w"], row["a"], row["g"], row["score"], row["own"] = w, a, g, score, 0
    if drive["step"] >= drive["until"]:
        scale = sigma[min(drive["step"] * STEP // (60 * NS_PER_SECOND), sigma.size - 1)]
        drive["drift"] = up * (((score * drive["strength"]) >> 16) * scale // DRIFT_ROOT)
        drive["until"], row["own"] = drive["step"] + DRIFT_STEPS, 1
        drive["way"] = up
    row["drift"] = drive["drift"]
    drive["touches"] += 1


@kernel
def _latents(drive: Any, way: int, second: int, path: np.ndarray, sigma: np.ndarray, found: np.ndarray) -> tuple[int, int, int]:
    """w, a, g of a second, seen from a level that is approached in the direction `way`; in a leaky world w is the future."""
    w = found[W, second]
    if drive["leaky"]:
        step = min(second * NS_PER_SECOND // STEP, path.size - 1)
        ahead = min(step + DRIFT_STEPS, path.size - 1)
        scale = sigma[min(second // 60, sigma.size - 1)]
        move = path[ahead] + drive["offset"] * (ahead > drive["step"]) - path[step] - drive["offset"] * (step > drive["step"])
        w = way * ((move << 16) // max((scale * DRIFT_ROOT) >> 16, 1))
    return w, found[A, second], found[G, second]


@kernel
def _face(drive: Any, k: int, path: np.ndarray, sigma: np.ndarray, found: np.ndarray) -> None:
    """Set how the latents move the front book until the next interval ends."""
    f = path[drive["step"]] * drive["tick"] >> 16
    if drive["step"] >= drive["until"]:
        drive["way"], nearest = 0, NEAR * drive["tick"] + 1
        for kind in range(KINDS):
            away = abs(f - drive["price"][kind])
            if drive["valid"][kind] and away < nearest:
                nearest, drive["way"] = away, 1 if f < drive["price"][kind] else -1
    factors = drive["factors"]
    factors[:] = ONE
    if drive["way"] == 0:
        return
    w, a, _ = _latents(drive, drive["way"], min(k // 4, found.shape[1] - 1), path, sigma, found)
    side = 1 if drive["way"] > 0 else 0
    loud = drive["loudness"]
    more = _exp(drive, (loud[1] * abs(a)) >> 16)
    factors[side if a > 0 else 1 - side, 0] = more
    factors[side, 1], factors[side, 2] = _exp(drive, (loud[0] * w) >> 16), _exp(drive, -(loud[0] * w) >> 16)


@kernel
def _exp(drive: Any, power: int) -> int:
    """exp of a number in 16.16, within the table."""
    cell = (power * TABLE) >> 16
    return drive["exp"][min(max(cell, -TABLE * TABLE_SPAN), TABLE * TABLE_SPAN) + TABLE * TABLE_SPAN]
