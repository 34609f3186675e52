"""Families of the reaction at the level: barrier, tape, fuel, position, geometry; and what stands before it of the same kind."""

from __future__ import annotations

from typing import Final

from spymaster_assets.features.feature import APPROACH_WINDOWS, HORIZONS, REACTION_WINDOWS, Feature
from spymaster_assets.states import BARRIER_STATES, FUEL_EFFECTS

_UNOBSERVED = "under half of the zone is visible, or the reference depth is unknown"


def _clocked(prefix: str, window: str, known: str, reaction: bool) -> tuple[Feature, ...]:
    """Barrier columns over a volume clock."""
    null = "at e = 0; " + _UNOBSERVED if reaction else _UNOBSERVED

    def one(name: str, unit: str, meaning: str, more: str = "", low: float | None = None, high: float | None = None) -> Feature:
        return Feature(prefix + name, "barrier", unit, meaning, window, null + more, known, reaction, None, True, low, high)

    state = "at e = 0" if reaction else ""
    return (
        Feature(
            prefix + "barrier_state", "barrier", "state", "what happens to the resting liquidity",
            window, state, known, reaction, categories=BARRIER_STATES,
        ),
        one("barrier_turnover", "D", "pulled + filled in the zone over the reference depth D", low=0),
        one("barrier_seconds", "s", "how long the volume clock ran", low=0),
        one("replenishment_ratio", "ratio", "added net of the mechanical shift, over pulled + filled"),
        one("replenishment_ratio_raw", "ratio", "added over pulled + filled", low=0),
        one("barrier_delta_liq", "contracts", "added - pulled - filled, net of the mechanical shift of the ladder"),
        one("barrier_delta_liq_raw", "contracts", "added - pulled - filled"),
        one("barrier_delta_share", "D", "barrier_delta_liq over the reference depth D"),
        one("pull_ratio", "share", "pulled over pulled + filled", "; nothing left the zone", 0, 1),
    )  # fmt: skip


def _rates(prefix: str, windows: tuple[int, ...], known: str, reaction: bool) -> tuple[Feature, ...]:
    """Flow in the zone over fixed windows."""
    null = "at e = 0; unless e is beyond the next shorter window; " + _UNOBSERVED if reaction else _UNOBSERVED
    side = "after" if reaction else "before"
    return tuple(
        Feature(
            f"{prefix}{what}_rate_{seconds}", "barrier", "D/s", f"{what} in the zone per second over the reference depth D",
            f"{seconds} s {side} the touch", null, known, reaction, low=0,
        )
        for seconds in windows
        for what in ("added", "pulled", "filled")
        if (prefix, what, seconds) != ("approach_", "filled", 5)  # a fill so soon would need the price there and two points away
    )  # fmt: skip


def _tape(prefix: str, window: str, known: str, reaction: bool) -> tuple[Feature, ...]:
    never = "at e = 0" if reaction else ""

    def one(
        name: str, unit: str, meaning: str, null: str = "", mirror: str | None = None,
        low: float | None = None, high: float | None = None,
    ) -> Feature:  # fmt: skip
        why = "; ".join(filter(None, (never, null)))
        swapped = prefix + mirror if mirror else None
        return Feature(prefix + name, "tape", unit, meaning, window, why, known, reaction, swapped, True, low, high)

    return (
        one("tape_buy_volume", "contracts", "lots bought by aggressors near the level", "", "tape_sell_volume", 0),
        one("tape_sell_volume", "contracts", "lots sold by aggressors near the level", "", "tape_buy_volume", 0),
        one("tape_prints", "count", "prints near the level", low=0),
        one("tape_imbalance", "share", "aggression toward the break near the level", "under 20 lots", None, -1, 1),
        one("tape_velocity", "points/s", "slope of the mid over the last 3 s, toward the break", "under 8 snaps with a good book"),
        one("tape_rate", "ratio", "prints per minute over the reference's", "minute prints unknown", low=0),
        one("tape_mean_size", "contracts", "lots per print", "no prints", low=1),
        one("tape_large_share", "share", "lots in large prints", "under 20 lots", None, 0, 1),
        one("sweep_direction", "sign", "+1: the latest sweep near the level went toward the break", "no sweep", None, -1, 1),
        one("sweep_size", "contracts", "lots of its cluster up to the sweep", "no sweep", None, 1),
        one("sweep_notional", "USD", "their value", "no sweep", None, 0),
    )  # fmt: skip


DEALERS = "fuel is UNKNOWN"


def _fuel() -> tuple[Feature, ...]:
    """Dealers' gamma in the date's options, in contracts of the future that they must trade per point of the future."""
    per_point, now = "contracts/point", "0DTE options up to t"

    def one(
        name: str, meaning: str, null: str = DEALERS, mirror: str | None = None, unit: str = per_point,
        low: float | None = None, window: str = now,
    ) -> Feature:  # fmt: skip
        return Feature(name, "fuel", unit, meaning, window, null, mirror=mirror, exact=False, low=low)

    def bands(name: str, meaning: str, mirror: str) -> tuple[Feature, ...]:
        return tuple(
            one(f"{name}_{band}strike", meaning.format(5 * band), mirror=f"{mirror}_{band}strike") for band in (1, 2, 3)
        )  # fmt: skip

    return (
        Feature("fuel_effect", "fuel", "state", "what dealers' hedging does to the move", now, "", categories=FUEL_EFFECTS),
        one("gamma_exposure", "of the strikes within 15 points of the level; negative: hedging amplifies"),
        Feature(
            "gamma_velocity", "fuel", "contracts/point/s", "change of gamma_exposure by new trades alone", "60 s after the touch",
            f"at e = 0; {DEALERS}", reaction=True, exact=False,
        ),
        Feature(
            "approach_gamma_velocity", "fuel", "contracts/point/s", "change of gamma_exposure by new trades alone",
            "60 s before the touch", "fuel is UNKNOWN at the touch", "t0", exact=False,
        ),
        one("gex_at", "of the strike at the level"),
        *bands("gex_above", "of the strikes up to {} points above the level", "gex_below"),
        *bands("gex_below", "of the strikes up to {} points below the level", "gex_above"),
        *bands("call_gex_above", "of the calls up to {} points above the level", "put_gex_below"),
        *bands("put_gex_below", "of the puts up to {} points below the level", "call_gex_above"),
        one("gex_asymmetry", "of the 15 points beyond the level - of the 15 points before it"),
        one("gex_ratio", "of the 15 points beyond the level over the size of that before it", f"{DEALERS}; 0 there", unit="ratio"),
        one("gamma_wall_ahead", "from the mid to the most damping strike toward the break", f"{DEALERS}; none", None, "points", 0),
        one("gamma_wall_behind", "the same, away from the break", f"{DEALERS}; none", None, "points", 0),
        one("gamma_wall_ahead_size", "of that strike", f"{DEALERS}; none", low=0),
        one("gamma_wall_behind_size", "of that strike", f"{DEALERS}; none", low=0),
        one(
            "gamma_flip", "from the mid to the price where all dealers' gamma changes sign, toward the break",
            f"{DEALERS}; none within 50 points", None, "points",
        ),
        *(
            one(name, f"of the open interest {where}, as if dealers were long calls and short puts", f"{_IV}; {_OI}", mirror)
            for name, where, mirror in (
                ("gex_oi", "within 15 points of the level", "-gex_oi"),
                ("gex_oi_above", "up to 15 points above the level", "-gex_oi_below"),
                ("gex_oi_below", "up to 15 points below the level", "-gex_oi_above"),
            )
        ),
    )  # fmt: skip


_IV, _OI = "no mid, no smile, or 15 minutes to expiration", "no open interest reported before 09:30"
_BOOK = "no two-sided book at t"
SIGMA = "volatility unknown"

PHYSICS: Final[tuple[Feature, ...]] = (
    *_clocked("approach_", "volume clock within 60 s before the touch", "t0", False),
    *_rates("approach_", APPROACH_WINDOWS, "t0", False),
    *_tape("approach_", "60 s before the touch", "t0", False),
    Feature("barrier_observed", "barrier", "share", "zone prices that the book shows", "the book at t", "", low=0, high=1),
    Feature(
        "barrier_position", "barrier", "ticks", "how far the defending best lies beyond the level", "the book at t",
        "the defending side is empty",
    ),
    Feature("barrier_depth", "barrier", "contracts", "size in the zone", "the book at t", _UNOBSERVED, low=0),
    Feature(
        "wall_ratio", "barrier", "ratio", "size in the zone over what is usual so far from the best", "the book at t",
        _UNOBSERVED + "; the zone lies before the best", low=0,
    ),
    *_clocked("", "volume clock within 240 s after the touch", "t", True),
    *_rates("", REACTION_WINDOWS, "t", True),
    *_tape("", "60 s after the touch", "t", True),
    *_fuel(),
    Feature("position", "position", "points", "mid beyond the level, toward the break", "the book at t", _BOOK),
    *(
        Feature(
            f"position_theta_{name}", "position", "theta", f"position over the barrier of {seconds} s", "the book at t", _BOOK,
        )
        for name, seconds in HORIZONS.items()
    ),
    Feature(
        "position_sigma_4min", "position", "sigma", "position over the volatility of 240 s", "the book at t",
        f"{_BOOK}; {SIGMA}", exact=False,
    ),
    Feature("excursion_max", "position", "points", "farthest print beyond the level so far", "from the entry to t", "", low=0),
    Feature("excursion_min", "position", "points", "farthest print before the level so far", "from the entry to t", "", low=0),
    Feature("sigma", "volatility", "points/sqrt(s)", "volatility at t0", "04:00 to t0", SIGMA, "t0", exact=False, low=0),
    Feature("sigma_now", "volatility", "points/sqrt(s)", "volatility at t", "04:00 to t", SIGMA, exact=False, low=0),
    Feature(
        "atr", "volatility", "points", "mean true range of 14 minutes before the touch", "14 minutes before the touch",
        "reference unknown", "t0", low=0,
    ),
    *(
        Feature(
            f"geometry_{outcome}_{name}", "geometry", "probability", f"of {outcome} within {seconds} s for a driftless price",
            "the book at t, volatility at t", f"{_BOOK}; {SIGMA}; print spacing unknown", exact=False, low=0, high=1,
        )
        for name, seconds in HORIZONS.items()
        for outcome in ("break", "bounce", "chop")
    ),
)  # fmt: skip
