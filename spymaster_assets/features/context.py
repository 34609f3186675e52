"""Families of what surrounds the touch: order flow, motion, the way to the level, other levels, clock, attempts.

Formulas: docs/physics.md, 4.5. All but the attacking side's book and reaction are known at t0 and stay.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from spymaster_assets.features.feature import Feature
from spymaster_assets.states import KEY_KINDS, LEVEL_KINDS

OFI_WINDOWS: Final = (30, 60, 120, 300)  # seconds
DEPTHS: Final = 10
KINEMATIC_WINDOWS: Final = (1, 3, 5, 10, 20)  # minutes
EVOLUTION_WINDOWS: Final = (1, 3, 5)  # minutes
DWELL_WINDOWS: Final = (60, 300, 1200)  # seconds
VOLATILITY_WINDOWS: Final = (1, 5, 20)  # minutes
LOOKBACK: Final = max(*OFI_WINDOWS, *DWELL_WINDOWS, *(60 * one for one in (*KINEMATIC_WINDOWS, *VOLATILITY_WINDOWS)))  # seconds
STACKING: Final = (2, 5, 10)  # points
FLOWS: Final = ("added", "pulled", "filled")
TRENDS: Final = {  # column -> the column whose change it is
    "barrier_replenishment_trend": "approach_replenishment_ratio",
    "barrier_delta_liq_trend": "approach_barrier_delta_share",
    "tape_velocity_trend": "approach_tape_velocity",
    "tape_imbalance_trend": "approach_tape_imbalance",
}
_MIRROR: Final = {"HIGH": "LOW", "LOW": "HIGH", "UPPER": "LOWER", "LOWER": "UPPER", "CALL": "PUT", "PUT": "CALL"}

_D = "reference depth unknown"
_SIGMA = "volatility unknown"
_ATR = "ATR unknown or 0"


def _known(
    name: str, family: str, unit: str, meaning: str, window: str, null: str, low: float | None = None, high: float | None = None,
    mirror: str | None = None,
) -> Feature:  # fmt: skip
    """A column that is known at t0. Volatility has the same bytes on one machine only, and so has what is measured by it."""
    return Feature(name, family, unit, meaning, window, null, "t0", False, mirror, _SIGMA not in null, low, high)


def _order_flow() -> Iterator[Feature]:
    for seconds in OFI_WINDOWS:
        window = f"{seconds} s before the touch"
        for depth in range(DEPTHS):
            yield _known(
                f"ofi_{depth}_{seconds}s", "order flow", "D", f"order-flow imbalance at depth {depth}, toward the break", window, _D
            )
        yield _known(f"ofi_{seconds}s", "order flow", "D", "mean of the ten depths", window, _D)
        yield _known(
            f"ofi_integrated_{seconds}s", "order flow", "D", "the ten depths by their common component on earlier dates", window,
            f"{_D}; no priors",
        )  # fmt: skip
        yield _known(
            f"ofi_near_level_{seconds}s", "order flow", "D", "bids' less asks' net additions within 8 ticks of the level",
            window, _D,
        )  # fmt: skip
    for seconds in OFI_WINDOWS:
        yield _known(
            f"signed_volume_{seconds}s", "tape", "ratio", "aggressors' lots toward the break over the usual volume",
            f"{seconds} s before the touch", "minute volume unknown or 0",
        )  # fmt: skip
    yield _known(
        "ofi_acceleration", "order flow", "D/s", "imbalance a second over 30 s, less that over 120 s", "120 s before the touch", _D
    )


def _kinematics() -> Iterator[Feature]:
    null = f"under 8 snaps with a good book; {_SIGMA}"
    for minutes in KINEMATIC_WINDOWS:
        window = f"{minutes} min before the touch"
        yield _known(
            f"velocity_{minutes}min", "kinematics", "sigma/s", "of the mid toward the break, from a parabola", window, null
        )
        yield _known(f"acceleration_{minutes}min", "kinematics", "sigma/s^2", "of the same parabola", window, null)
        yield _known(
            f"jerk_{minutes}min", "kinematics", "sigma/s^3", "change of acceleration between its halves", window,
            f"under 8 snaps with a good book in a half; {_SIGMA}",
        )  # fmt: skip
        yield _known(
            f"fit_error_{minutes}min",
            "kinematics",
            "sigma",
            "what the parabola leaves, over the window's volatility",
            window,
            null,
            0,
        )
        yield _known(
            f"path_efficiency_{minutes}min", "kinematics", "share", "distance over way", window,
            "under 8 snaps with a good book; the mid stood still", 0, 1,
        )  # fmt: skip


def _sides() -> Iterator[Feature]:
    for minutes in EVOLUTION_WINDOWS:
        yield _known(
            f"barrier_delta_{minutes}min", "barrier", "D", "change of the size in the zone, net of the ladder's shift",
            f"{minutes} min before the touch", f"under half of the zone is visible at both ends; {_D}",
        )  # fmt: skip
    hidden = "under half of the zone before the level is visible"
    yield Feature(
        "attacking_depth",
        "barrier",
        "contracts",
        "the other side's size in the zone before the level",
        "the book at t",
        hidden,
        low=0,
    )
    yield Feature(
        "depth_imbalance", "barrier", "share", "attacking less defending size over both", "the book at t",
        f"{hidden}; barrier_depth unknown; both 0", low=-1, high=1,
    )  # fmt: skip
    for prefix, window, known, null in (
        ("approach_", "60 s before the touch", "t0", hidden), ("", "60 s after the touch", "t", f"at e = 0; {hidden}"),
    ):  # fmt: skip
        for what in FLOWS:
            yield Feature(
                f"{prefix}attacking_{what}_rate", "barrier", "D/s", f"{what} before the level, on the other side", window,
                f"{null}; {_D}", known, not prefix, low=0,
            )  # fmt: skip


def _approach() -> Iterator[Feature]:
    window = "10 minutes before the touch"
    yield _known(
        "approach_velocity",
        "approach",
        "points/min",
        "mean change of the minutes' closes toward the break",
        window,
        "under 2 closes",
    )
    yield _known("approach_bars", "approach", "count", "latest minutes in a row that closed toward the break", window, "", 0)
    yield _known("approach_distance", "approach", "points", "farthest print before the level", window, "no bar", 0)
    yield _known("approach_distance_atr", "approach", "ATR", "the same over ATR", window, f"no bar; {_ATR}", 0)
    for seconds in DWELL_WINDOWS:
        window = f"{seconds} s before the touch"
        yield _known(f"time_in_zone_{seconds}s", "approach", "s", "mid within 8 ticks of the level", window, "", 0, seconds)
        yield _known(f"touch_count_{seconds}s", "approach", "count", "entries into the band, this one not counted", window, "", 0)


def _surroundings() -> Iterator[Feature]:
    null = "level not known, or the touch's own; no mid"
    for units in ("points", "ATR", "sigma"):
        for kind in KEY_KINDS if units != "sigma" else LEVEL_KINDS:
            end, more = {"points": ("", ""), "ATR": ("_atr", f"; {_ATR}"), "sigma": ("_sigma", f"; {_SIGMA}")}[units]
            other = "_".join(_MIRROR.get(word, word) for word in kind.split("_"))
            yield _known(
                f"dist_to_{kind.lower()}{end}", "surroundings", units, f"from the mid to {kind}, toward the break", "levels at t0",
                null + more, mirror=f"dist_to_{other.lower()}{end}" if other != kind else None,
            )  # fmt: skip
    for points in STACKING:
        yield _known(
            f"level_stacking_{points}pt",
            "surroundings",
            "count",
            f"other levels within {points} points (of ES: levels.stacking_points)",
            "levels at t0",
            "",
            0,
        )
    yield _known("confluence_count", "surroundings", "weight", "weights of the other levels within 5 points", "levels at t0", "", 0)
    yield _known(
        "confluence_pressure", "surroundings", "share", "the same, less the farther they are, over all weights", "levels at t0",
        "no other level", 0, 1,
    )  # fmt: skip
    yield _known(
        "confluence_alignment", "surroundings", "sign", "+1: the averages' trend goes toward the break", "levels at t0",
        "an average unknown", -1, 1,
    )  # fmt: skip
    yield _known("runway", "surroundings", "points", "from the level to the next strong one beyond it", "levels at t0", "none", 0)
    yield _known(
        "runway_sigma", "surroundings", "sigma", "the same over the volatility of 240 s", "levels at t0", f"none; {_SIGMA}", 0
    )


def _force() -> Iterator[Feature]:
    window, null = "30 s before the touch", f"{_D}, or minute volume unknown or 0; no priors; zone out of sight"
    yield _known(
        "force_mass_ratio", "force", "ratio", "order flow and aggression toward the break over 1 + wall_ratio", window, null
    )
    yield _known("predicted_accel", "force", "points/s^2", "acceleration that earlier dates showed for it", window, null)
    yield _known(
        "accel_residual",
        "force",
        "points/s^2",
        "acceleration of the last minute beyond it",
        "60 s before the touch",
        f"{null}; {_SIGMA}",
    )


def _day() -> Iterator[Feature]:
    for minutes in VOLATILITY_WINDOWS:
        yield _known(
            f"realized_volatility_{minutes}min", "volatility", "points/sqrt(s)", "root mean square of the mid's 5-s returns",
            f"{minutes} min before the touch", "no return", 0,
        )  # fmt: skip
    yield _known("minutes_since_open", "clock", "minutes", "since 09:30", "the clock", "", 0)


def _attempts() -> Iterator[Feature]:
    window = "the kind's touches before"
    yield _known("attempt_index", "attempts", "count", "which touch of its kind on this date, from 1", window, "", 1)
    yield _known("minutes_since_touch", "attempts", "minutes", "since the kind's last touch", window, "the first", 0)
    for what in ("breaks", "bounces", "chops"):
        yield _known(f"prior_{what}", "attempts", "count", f"{what} within 4 min of a touch, by now", window, "", 0)
    yield _known("last_outcome", "attempts", "sign", "+1 the latest of them a break, -1 a bounce, 0 a chop", window, "none", -1, 1)
    for name, of in TRENDS.items():
        yield _known(
            name, "attempts", "change", f"{of} less that of the first touch in this direction", window, "the first; either unknown"
        )


CONTEXT: Final[tuple[Feature, ...]] = (
    *_order_flow(), *_kinematics(), *_sides(), *_approach(), *_surroundings(), *_force(), *_day(), *_attempts(),
)  # fmt: skip
