"""What came after a moment of decision. docs/physics.md, section 6. Reads what lies after t, and what was reached before."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from spymaster_assets.compute.clock import NS, Clock
from spymaster_assets.compute.context import resolved
from spymaster_assets.compute.grid import UNKNOWN
from spymaster_assets.compute.kernel import kernel, signed
from spymaster_assets.features import HORIZONS
from spymaster_assets.states import BOUNCE, BREAK, CENSORED, CHOP, RESOLVED, UP

if TYPE_CHECKING:
    from spymaster_assets.config import Config


class LabelParams(NamedTuple):
    """Prices in 1e-9 USD, times in ns."""

    tick: int
    point: int
    first_share: float
    halt: int
    version: int
    second: int


class Outcome(NamedTuple):
    """The label of one horizon, as the columns that bear these names and the horizon's; NaN, -1 and UNKNOWN stand for unknown."""

    outcome: int
    time_to_break_1: float
    time_to_break_2: float
    time_to_bounce_1: float
    time_to_bounce_2: float
    excursion_max: float
    excursion_min: float
    strength_signed: float
    strength_abs: float
    tradeable_1: int
    tradeable_2: int
    future_price: int


def label_params(config: Config, second: int) -> LabelParams:
    """`second`: snaps in one."""
    rules, instrument = config.labels, config.instrument
    halt = round(rules.halt_seconds * 1e9)
    return LabelParams(instrument.tick, instrument.point, rules.label_t1_fraction, halt, rules.label_version, second)


@kernel
def _observed_until(k: int, end: int, snaps: np.ndarray, halt: int, clock: Clock) -> int:
    """The moment up to which the snaps (k, end] were observed: their end, the session's, or the last record before a halt."""
    for at in range(k + 1, min(end, clock.count) + 1):
        if snaps[at]["gap_ns"] >= halt:
            return min(snaps[at]["ts"] - snaps[at]["gap_ns"], clock.session_end)
    return min(clock.open + end * clock.interval, clock.session_end)


@kernel
def outcome_of(
    k: int, horizon: int, theta: int, snaps: np.ndarray, prints: np.ndarray, touch: np.ndarray, params: LabelParams, clock: Clock
) -> Outcome:  # fmt: skip
    """The label of a touch at snap k over the next `horizon` seconds, for a distance of `theta` ticks."""
    nan = np.nan
    if resolved(k, theta, snaps, touch, params.tick):
        return Outcome(RESOLVED, nan, nan, nan, nan, nan, nan, nan, nan, -1, -1, UNKNOWN)
    far, sign, price = theta * params.tick, 1 if touch[0]["direction"] == UP else -1, touch[0]["price"]
    near = int(np.floor(params.first_share * far + 0.5))
    end, t = k + horizon * params.second, snaps[k]["ts"]
    until = _observed_until(k, end, snaps, params.halt, clock)
    first = np.full(4, nan)  # break at near, far; bounce at near, far
    beyond = before = 0
    outcome = CHOP
    for number in range(snaps[k]["prints"], snaps[min(end, clock.count)]["prints"]):
        if prints[number]["ts"] > until:
            break
        out = sign * (prints[number]["ticks"] * params.tick - price)
        seconds = (prints[number]["ts"] - t) / 1e9
        beyond, before = max(beyond, out), max(before, -out)
        for at, reached in enumerate((out >= near, out >= far, -out >= near, -out >= far)):
            if reached and np.isnan(first[at]):
                first[at] = seconds
        if outcome == CHOP and abs(out) >= far:
            outcome = BREAK if out > 0 else BOUNCE
    complete = until >= t + horizon * params.second * clock.interval
    if outcome == CHOP and not complete:
        outcome = CENSORED
    if not complete:
        return Outcome(outcome, first[0], first[1], first[2], first[3], nan, nan, nan, nan, -1, -1, UNKNOWN)
    strongest = max(beyond, before)
    return Outcome(
        outcome, first[0], first[1], first[2], first[3], beyond / params.point, before / params.point,
        (beyond - before) / params.point, strongest / params.point, int(strongest >= near), int(strongest >= far),
        signed(snaps[end]["last"]),
    )  # fmt: skip


def labels_at(
    k: int, snaps: np.ndarray, prints: np.ndarray, touch: np.ndarray, params: LabelParams, clock: Clock, row: np.ndarray
) -> None:
    """Write the labels of a touch at the landmark snap k. `touch`: its row of touches; `row`: one row of labels."""
    t = clock.open + k * clock.interval
    row["touch"], row["k"], row["ts"] = touch["touch"], k, t
    row["elapsed"] = (k - touch["k"]) * (clock.interval / NS)
    row["label_version"], row["anchor_spot"] = params.version, snaps[k]["mid2"]
    for name, seconds in HORIZONS.items():
        row[f"label_end_{name}"] = t + seconds * NS
        found = outcome_of(k, seconds, int(touch[f"theta_{name}"][0]), snaps, prints, touch, params, clock)
        for column, value in found._asdict().items():
            row[f"{column}_{name}"] = value
