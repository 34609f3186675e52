"""A fast world: the efficient price and the hidden forces alone, hundreds of dates a minute, for tests of models.

No book, no records: F moves on the 250 ms grid from 04:00 to 13:45 New York time, and the touches and labels on its prints are
those of the pipeline (compute.touches, compute.labels: docs/physics.md, sections 3 and 6). What the pipeline would measure of the
forces is the truth plus noise.

- Volatility: the clock of price.py (its U shape, slow log-volatility and day factor; no jumps), times exp(-.15 g).
- Print: one a snap, at its end: the tick below F or the tick above it, either with probability 1/2 (a book one tick wide).
- Night: only 2-minute closes from 18:00 to 04:00, so that both averages exist by 09:30; touch machines start at 04:00, unarmed.
- Latents: Ornstein-Uhlenbeck, standard normal, in the frame of the level: w withdrawal of the defending side and a aggression
  (time constant 10 minutes), g dealers' gamma (an hour). They step once a second.
- Touch: S = (w w + a a + g g + wg w g) / sd of the latents then, with the weights of the world; sd gives S unit variance. F drifts
  by s S sigma / sqrt(240 s) toward the break for 240 s; a touch during another's drift starts none. sigma: true, at the touch.
- Measured: `barrier`, `tape`, `fuel` = w, a, g at the touch + noise of standard deviation `noise` / sqrt(1 + elapsed / 60 s), drawn
  anew at each landmark. At `noise` = 0.5 the signal has four times the noise's variance at the touch, 20 times at 240 s.

Position is that of F (the mid of the book lies off it by up to half a tick). Floats: for tests, not for files. A date depends on
the seed and its number alone, not on the dates made with it, and worlds of one seed share their random numbers.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Sequence
from functools import cache
from typing import Final, NamedTuple

import numpy as np

from spymaster_assets.compute.clock import NS, Clock, clock_of
from spymaster_assets.compute.context import resolved
from spymaster_assets.compute.geometry import geometry
from spymaster_assets.compute.kernel import kernel
from spymaster_assets.compute.labels import LabelParams, label_params, outcome_of
from spymaster_assets.compute.touches import TouchParams, advance_touches, new_touches, touch_params
from spymaster_assets.compute.volatility import theta_ticks
from spymaster_assets.config import Config
from spymaster_assets.features import HORIZONS
from spymaster_assets.sessions import calendar
from spymaster_assets.simulator import price
from spymaster_assets.simulator.oracle import true_odds
from spymaster_assets.simulator.world import World
from spymaster_assets.states import BOUNCE, BREAK, KEY_KINDS, OR_HIGH, PM_HIGH, SMA_200, UP

CONFIG: Final = Config()
LIKE: Final = dt.date(2025, 6, 3)  # every date has the clock of this one, `date` days later
AFTER: Final = 15 * 60  # seconds from the last touch to the last snap: more than the last label reads
START: Final = 24_000.0  # ticks, at 18:00
SECOND: Final = NS // CONFIG.grid.interval_ns  # snaps
STEP: Final = 1.0 / SECOND  # seconds of a snap
PRINT_SPACING: Final = STEP  # seconds: one print a snap
DRIVEN: Final = 240  # seconds that a drift lasts
LATENT_SECONDS: Final = (600.0, 600.0, 3600.0)  # time constants of w, a, g
GAMMA_POWER: Final = -0.15  # volatility is multiplied by exp of this times g
TICK: Final = CONFIG.instrument.tick / CONFIG.instrument.point  # points
SLOW: Final = float(price.SLOW_FACTOR)
NOT_YET: Final = 2**62  # ns: levels that are not known
MOST: Final = 512  # touches of a date: six kinds, 300 s apart, make fewer

SNAP: Final = np.dtype([(name, "i8") for name in ("ts", "last", "high", "low", "prints", "gap_ns")])
PRINT: Final = np.dtype([("ts", "i8"), ("ticks", "i8")])
LEVEL: Final = np.dtype([(name, "i8") for name in ("kind", "price", "ticks", "valid_from", "valid_to")])
TOUCH: Final = np.dtype(
    [(name, "i8") for name in ("touch", "kind", "k", "t0", "price", "ticks", "direction", "entry_ticks", "attempt_index")]
    + [(name, "i8") for name in ("entry_high", "entry_low", "episode", *(f"theta_{name}" for name in HORIZONS))]
    + [(name, "f8") for name in ("w", "a", "g", "score", "sigma")]
)
ROW: Final = np.dtype(
    [
        ("date", "i4"), ("touch", "i4"), ("episode", "i4"),  # episode: number of its first touch
        ("kind", "i1"), ("direction", "i1"), ("elapsed", "i2"),  # seconds
        ("t_decision", "i8"), ("t_label_start", "i8"), ("t_label_end", "i8"),  # ns UTC, as in Gold
        ("position", "f8"),  # points of F beyond the level, toward the break
        ("sigma", "f8"), ("sigma_now", "f8"),  # points/sqrt(s): at the touch, of which the thetas are; at the row
        *((f"theta_{name}", "f8") for name in HORIZONS),  # points
        ("print_spacing", "f8"),  # seconds
        *((f"geometry_{name}_4min", "f8") for name in ("break", "bounce", "chop")),  # of `sigma_now`
        *((f"outcome_{name}", "i1") for name in HORIZONS),  # codes of states.py
        ("w", "f8"), ("a", "f8"), ("g", "f8"), ("score", "f8"),  # latents and S at the touch
        ("drift", "f8"), ("remaining", "f8"),  # running at the row: points/s toward the break, seconds
        *((f"true_{name}_4min", "f8") for name in ("break", "bounce", "chop")),  # of `sigma_now`, `drift` and `remaining`
        ("barrier", "f8"), ("tape", "f8"), ("fuel", "f8"), ("noise_1", "f8"), ("noise_2", "f8"),
    ]
)  # fmt: skip
LEAKY_ROW: Final = np.dtype([*((name, ROW[name]) for name in ROW.names or ()), ("leak", "f8")])


class Force(NamedTuple):
    """A world's strength, and its weights such that S has variance 1."""

    s: float
    w: float
    a: float
    g: float
    wg: float


class Rules(NamedTuple):
    """What every date shares. `night`: 2-minute closes before 04:00; `variance`: shares of the minutes from 18:00 on."""

    clock: Clock  # of which the open is 04:00
    touches: TouchParams
    labels: LabelParams
    night: int
    first: int  # minute of 04:00
    regular: tuple[int, int]  # minutes
    variance: np.ndarray


class Track(NamedTuple):
    """What moves on the grid, one number per snap: F in ticks, volatility in points/sqrt(s), drift of F and the snap of its end."""

    f: np.ndarray
    sigma: np.ndarray
    drift: np.ndarray  # points/s
    until: np.ndarray


class Path(NamedTuple):
    """A date as it went: TOUCH, LEVEL, 2-minute closes from 18:02 on (ticks), SNAP, PRINT."""

    touches: np.ndarray
    levels: np.ndarray
    closes: np.ndarray
    snaps: np.ndarray
    prints: np.ndarray
    track: Track


@cache
def _rules() -> Rules:
    day = calendar(CONFIG).session(LIKE)
    clock, times = clock_of(day, CONFIG), price.clock(LIKE, CONFIG)
    last = clock.signals_end + AFTER * NS
    first = (clock.premarket_start - clock.open) // (60 * NS)
    clock = clock._replace(open=clock.premarket_start, count=(last - clock.premarket_start) // clock.interval)
    shares = times.variance / times.variance[slice(*times.regular)].sum()
    return Rules(clock, touch_params(CONFIG), label_params(CONFIG, SECOND), first // 2, first, times.regular, shares)


@kernel
def _wander(start: float, keep: float, steps: np.ndarray) -> None:
    """Turn standard normals into a standard normal autoregression that keeps `keep` of itself per step."""
    value, fresh = start, np.sqrt(1.0 - keep * keep)
    for at in range(steps.size):
        value = keep * value + fresh * steps[at]
        steps[at] = value


def _volatility(rng: np.random.Generator, slow: float, rules: Rules) -> np.ndarray:
    """Points/sqrt(s) per minute from 18:00 on, as price.volatility, without gamma."""
    log = rng.standard_normal(len(rules.variance))
    _wander(rng.standard_normal(), price.SLOW_MEMORY / 1000.0, log)
    variance = rules.variance * np.exp(2.0 * slow * log)
    total = (price.DAY_VOLATILITY * TICK * math.exp(float(price.DAY_FACTOR) * rng.standard_normal())) ** 2
    return np.sqrt(variance * (total / variance[slice(*rules.regular)].sum() / 60.0))


@kernel
def _average(closes: np.ndarray, count: int, length: int, tick: int) -> int:
    """Mean of the last `length` of `count` closes in ticks, in 1e-9 USD, half up."""
    total = 0
    for at in range(count - length, count):
        total += closes[at]
    return (2 * total * tick + length) // (2 * length)


@kernel
def _levels(
    k: int, snaps: np.ndarray, closes: np.ndarray, closed: int, lengths: tuple[int, int],
    levels: np.ndarray, count: int, tick: int, clock: Clock,
) -> int:  # fmt: skip
    """Append the levels that become known at snap k, the end of a minute; how many there are then. docs/physics.md, section 2."""
    time = snaps[k]["ts"]
    for kind, since, until in (
        (PM_HIGH, clock.open, clock.regular_start),
        (OR_HIGH, clock.regular_start, clock.opening_range_end),
    ):
        if time == until:
            first = (since - clock.open) // clock.interval + 1
            high, low = snaps[first]["last"], snaps[first]["last"]
            for at in range(first, k + 1):
                high, low = max(high, snaps[at]["last"]), min(low, snaps[at]["last"])
            for number, ticks in enumerate((high, low)):
                row = levels[count]
                row["kind"], row["price"], row["ticks"] = kind + number, ticks * tick, ticks
                row["valid_from"], row["valid_to"] = time, clock.globex_end
                count += 1
    if (time - clock.open) % (120 * NS) == 0:
        for number, length in enumerate(lengths):
            if closed >= length:
                row, value = levels[count], _average(closes, closed, length, tick)
                row["kind"], row["price"], row["ticks"] = SMA_200 + number, value, (2 * value + tick) // (2 * tick)
                row["valid_from"], row["valid_to"] = time, time + 120 * NS
                count += 1
    return count


@kernel
def _run(
    noise: np.ndarray, above: np.ndarray, latents: np.ndarray, volatility: np.ndarray, closes: np.ndarray, night: int,
    lengths: tuple[int, int], force: Force, track: Track, snaps: np.ndarray, prints: np.ndarray, levels: np.ndarray,
    machines: np.ndarray, next_level: np.ndarray, touches: np.ndarray, params: TouchParams, clock: Clock,
) -> int:  # fmt: skip
    """Move F over the grid, and write its track, snaps, prints, levels and touches; the number of touches.

    `noise`, `above`: a standard normal and a bit per snap; `latents`: (3, seconds); `volatility`: points/sqrt(s) per minute;
    `closes`: ticks, filled up to `night`; `track.f[0]` is given. The rest is empty but for the state of the machines.
    """
    minute, f, drift, until = 60 * SECOND, track.f[0], 0.0, 0
    closed, known, count = night, 0, 0
    for k in range(clock.count + 1):
        sigma = volatility[max(k - 1, 0) // minute] * np.exp(GAMMA_POWER * latents[2, k // SECOND])
        if k:
            f += (drift * STEP + sigma * np.sqrt(STEP) * noise[k]) / TICK
        time, ticks = clock.open + k * clock.interval, int(np.floor(f)) + above[k]
        snap = snaps[k]
        snap["ts"], snap["last"], snap["high"], snap["low"], snap["prints"] = time, ticks, ticks, ticks, k + 1
        prints[k]["ts"], prints[k]["ticks"] = time, ticks
        if k % (2 * minute) == 0:
            closes[closed] = ticks
            closed += 1
        if k % minute == 0:
            known = _levels(k, snaps, closes, closed, lengths, levels, known, params.tick, clock)
        if k == until:
            drift = 0.0
        if clock.regular_start <= time <= clock.signals_end:
            before = count
            since = 0 if time == clock.regular_start else k - 1  # nothing fires in the premarket: one call for all of it
            count = advance_touches(since, k, count, snaps, prints, levels, machines, next_level, touches, params, clock)
            for number in range(before, count):
                touch = touches[number]
                w, a, g = latents[0, k // SECOND], latents[1, k // SECOND], latents[2, k // SECOND]
                score = force.w * w + force.a * a + force.g * g + force.wg * w * g
                touch["w"], touch["a"], touch["g"], touch["score"], touch["sigma"] = w, a, g, score, sigma
                if k >= until:
                    drift = force.s * score * sigma / np.sqrt(DRIVEN) * (1.0 if touch["direction"] == UP else -1.0)
                    until = k + DRIVEN * SECOND
        track.f[k], track.sigma[k], track.drift[k], track.until[k] = f, sigma, drift, until
    return count


@kernel
def _write(
    touches: np.ndarray, landmarks: tuple[int, ...], horizons: tuple[int, ...], track: Track,
    snaps: np.ndarray, prints: np.ndarray, rows: np.ndarray, params: LabelParams, clock: Clock,
) -> int:  # fmt: skip
    """Write a row for every touch and landmark before it is resolved, but what is measured; the number of rows."""
    count = 0
    for number in range(touches.size):
        touch = touches[number : number + 1]
        sign = 1.0 if touch[0]["direction"] == UP else -1.0
        thetas = (touch[0]["theta_2min"], touch[0]["theta_4min"], touch[0]["theta_8min"])
        for elapsed in landmarks:
            k = touch[0]["k"] + elapsed * SECOND
            if resolved(k, thetas[2], snaps, touch, params.tick):
                break
            row = rows[count]
            row["touch"], row["episode"], row["kind"] = number, touch[0]["episode"], touch[0]["kind"]
            row["direction"], row["elapsed"], row["t_decision"] = touch[0]["direction"], elapsed, snaps[k]["ts"]
            row["t_label_start"], row["t_label_end"] = snaps[k]["ts"] + 1, snaps[k]["ts"] + horizons[2] * NS
            row["position"] = sign * (track.f[k] * TICK - touch[0]["price"] / params.point)
            row["sigma"], row["sigma_now"], row["print_spacing"] = touch[0]["sigma"], track.sigma[k], PRINT_SPACING
            row["theta_2min"], row["theta_4min"], row["theta_8min"] = thetas[0] * TICK, thetas[1] * TICK, thetas[2] * TICK
            row["outcome_2min"] = outcome_of(k, horizons[0], thetas[0], snaps, prints, touch, params, clock).outcome
            row["outcome_4min"] = outcome_of(k, horizons[1], thetas[1], snaps, prints, touch, params, clock).outcome
            row["outcome_8min"] = outcome_of(k, horizons[2], thetas[2], snaps, prints, touch, params, clock).outcome
            row["w"], row["a"], row["g"], row["score"] = touch[0]["w"], touch[0]["a"], touch[0]["g"], touch[0]["score"]
            row["drift"], row["remaining"] = sign * track.drift[k], max(track.until[k] - k, 0) * STEP
            plain = geometry(row["position"], row["theta_4min"], row["sigma_now"], PRINT_SPACING, float(horizons[1]), TICK)
            row["geometry_break_4min"], row["geometry_bounce_4min"], row["geometry_chop_4min"] = plain
            odds = true_odds(
                row["position"], row["theta_4min"], row["sigma_now"], PRINT_SPACING,
                row["drift"], row["remaining"], float(horizons[1]), TICK,
            )  # fmt: skip
            row["true_break_4min"], row["true_bounce_4min"], row["true_chop_4min"] = odds
            count += 1
    return count


def force_of(world: World, flipped: bool = False) -> Force:
    """A world's force. `flipped`: against its sign."""
    return Force(-world.s if flipped else world.s, *world.weights())


def path_of(rng: np.random.Generator, force: Force, slow: float = SLOW) -> Path:
    """A date's path, of the same random numbers whatever the force."""
    rules = _rules()
    clock, count = rules.clock, rules.clock.count + 1
    volatility = _volatility(rng, slow, rules)
    latents = rng.standard_normal((3, clock.count // SECOND + 1))
    for one, seconds in zip(latents, LATENT_SECONDS, strict=True):
        _wander(rng.standard_normal(), math.exp(-1.0 / seconds), one)
    steps = np.sqrt(60.0 * (volatility[: rules.first] ** 2).reshape(-1, 2).sum(axis=1)) / TICK
    night = START + rng.random() + np.cumsum(steps * rng.standard_normal(rules.night))
    noise, above = rng.standard_normal(count), rng.integers(0, 2, count)
    closes = np.zeros(rules.night + clock.count // (120 * SECOND), np.int64)
    closes[: rules.night] = np.floor(night) + rng.integers(0, 2, rules.night)

    track = Track(np.empty(count), np.empty(count), np.empty(count), np.empty(count, np.int64))
    track.f[0] = night[-1]
    snaps, prints, touches = np.zeros(count, SNAP), np.empty(count, PRINT), np.zeros(MOST, TOUCH)
    levels, state = np.zeros(2 * len(closes) + 4, LEVEL), new_touches()
    levels["valid_from"] = NOT_YET
    found = _run(
        noise, above, latents, volatility[rules.first :], closes, rules.night - 1, CONFIG.levels.sma_bars, force, track,
        snaps, prints, levels, state.machines, state.next_level, touches, rules.touches, clock,
    )  # fmt: skip
    touches = touches[:found]
    for name, seconds in HORIZONS.items():
        touches[f"theta_{name}"] = [theta_ticks(sigma, seconds, CONFIG) for sigma in touches["sigma"]]
    return Path(touches, levels[levels["valid_from"] < NOT_YET], closes, snaps, prints, track)


def _rows_of(path: Path) -> np.ndarray:
    """The rows of a date, without its number and what is measured."""
    rules, landmarks = _rules(), CONFIG.touches.landmarks
    rows = np.zeros(len(path.touches) * len(landmarks), ROW)
    count = _write(
        path.touches, landmarks, tuple(HORIZONS.values()), path.track, path.snaps, path.prints, rows, rules.labels, rules.clock
    )  # fmt: skip
    return rows[:count]


def _measure(rows: np.ndarray, rng: np.random.Generator, noise: float, leaky: bool) -> np.ndarray:
    """Rows with what is observed. `leak`: +1 before a break within 4 minutes, -1 before a bounce, plus half a standard normal."""
    drawn = rng.standard_normal((6, len(rows)))
    spread = noise / np.sqrt(1.0 + rows["elapsed"] / 60.0)
    for name, latent, one in zip(("barrier", "tape", "fuel"), ("w", "a", "g"), drawn, strict=False):
        rows[name] = rows[latent] + spread * one
    rows["noise_1"], rows["noise_2"] = drawn[3], drawn[4]
    if not leaky:
        return rows
    told = np.zeros(len(rows), LEAKY_ROW)
    for name in ROW.names or ():
        told[name] = rows[name]
    told["leak"] = 1.0 * (rows["outcome_4min"] == BREAK) - 1.0 * (rows["outcome_4min"] == BOUNCE) + 0.5 * drawn[5]
    return told


def _twice(rows: np.ndarray) -> np.ndarray:
    """Every touch a second time, as the kind that follows, with the next number, in the same episode: alike in all else."""
    starts = np.flatnonzero(np.diff(rows["touch"], prepend=-1))
    twins = [np.concatenate((part, part)) for part in np.split(rows, starts[1:])] if len(rows) else []
    for part in twins:
        half = len(part) // 2
        part["touch"] *= 2
        part["touch"][half:] += 1
        part["kind"][half:] = (part["kind"][half:] + 1) % len(KEY_KINDS)
        part["episode"] *= 2
    return np.concatenate(twins) if twins else rows


def fast_dates(
    world: World, seed: int, dates: Sequence[int], *, noise: float = 0.5, shift: int | None = None
) -> np.ndarray:  # fmt: skip
    """Rows of the dates with these numbers (0, 1, ...), one per touch and landmark at which it is unresolved: ROW, in order of
    date, touch, landmark; of a leaky world, LEAKY_ROW. Of a confluent one, every touch comes twice (`_twice`).

    `noise`: standard deviation of the error of a measured latent at the touch. In the world SHIFT, s changes sign from the date
    number `shift` on, by default the one in the middle of `dates`.
    """
    found = []
    turn = dates[len(dates) // 2] if shift is None and len(dates) else shift
    for date in dates:
        rng, measuring = map(np.random.default_rng, np.random.SeedSequence([seed, date]).spawn(2))
        flipped = world.name == "SHIFT" and turn is not None and date >= turn
        rows = _measure(_rows_of(path_of(rng, force_of(world, flipped))), measuring, noise, world.leaky)
        rows["date"] = date
        for name in ("t_decision", "t_label_start", "t_label_end"):
            rows[name] += date * 86_400 * NS
        found.append(_twice(rows) if world.confluent else rows)
    return np.concatenate(found) if found else np.zeros(0, LEAKY_ROW if world.leaky else ROW)
