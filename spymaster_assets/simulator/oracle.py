"""What one who knows the hidden drift would say: a Brownian motion between two barriers that drifts for a while, then no more.

While it drifts (drift mu, variance v a second, barriers 0 and 1 after scaling by their distance W; k = mu W / v; start u; t in
units of W^2 / v), the density of those not yet absorbed is that of the driftless motion, tilted (Cox and Miller 1965, 5.7):
exp(k (z - u) - k^2 t / 2) 2 sum_n sin(n pi u) sin(n pi z) exp(-n^2 pi^2 t / 2). Its flux into a barrier, integrated, gives what is
absorbed by the end of the drift. From there on the series of compute.geometry holds: multiplied by the density and integrated over
z term by term, in closed form.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from spymaster_assets.compute.geometry import DISCRETE, SMALLEST, Odds, geometry
from spymaster_assets.compute.kernel import kernel

STEEPEST = 15.0  # logarithm of the tilt at the farther barrier: rounding errors of 1e-16 grow by it


@kernel
def true_odds(
    x: float, theta: float, sigma: float, spacing: float, drift: float, remaining: float, horizon: float, tick: float
) -> Odds:  # fmt: skip
    """Odds as `geometry`, of a price that drifts toward the break by `drift` points/s for `remaining` s and then no more.

    The same as `geometry` without a drift; NaN if anything is unknown. Error below 1e-12 for drifts of up to three standard
    deviations over the horizon. Of stronger ones the series cancel; NaN before the error reaches 1e-8 (`STEEPEST`). The cost
    grows with sqrt(horizon / remaining) and sqrt(horizon / (horizon - remaining)): microseconds if both are a snap or more.
    """
    if np.isnan(drift) or np.isnan(remaining):
        return Odds(np.nan, np.nan, np.nan)
    barrier = theta - tick / 2.0 + DISCRETE * sigma * np.sqrt(spacing)
    driven = min(remaining, horizon)
    if drift == 0.0 or driven <= 0.0 or not abs(x) < barrier or not sigma > 0.0:
        return geometry(x, theta, sigma, spacing, horizon, tick)
    scale = 2.0 * barrier
    unit = scale * scale / (sigma * sigma)  # seconds
    pull = abs(drift) * scale / (sigma * sigma)
    if drift > 0.0:
        return _driven((x + barrier) / scale, pull, driven / unit, (horizon - driven) / unit)
    bounce, break_, chop = _driven((barrier - x) / scale, pull, driven / unit, (horizon - driven) / unit)
    return Odds(break_, bounce, chop)


@kernel
def _driven(u: float, pull: float, driven: float, rest: float) -> Odds:
    """Odds to leave (0, 1) above, below, or not at all, from u, with drift `pull` > 0 for `driven` > 0 and none for `rest` >= 0."""
    rise = pull * (1.0 - u) - pull * pull * driven / 2.0
    if rise > STEEPEST:
        return Odds(np.nan, np.nan, np.nan)
    at_zero, at_one = np.exp(rise - pull), np.exp(rise)  # the tilt at either barrier
    pace = np.pi * np.pi * driven / 2.0
    count = int(np.sqrt((max(rise, 0.0) - np.log(SMALLEST)) / pace)) + 1
    waves = np.empty(count)
    up = np.expm1(-2.0 * pull * u) / np.expm1(-2.0 * pull)
    down = 1.0 - up
    mean = 0.0  # of the place, over those that are left when the drift ends
    for n in range(1, count + 1):
        a, sign = n * np.pi, 1.0 if n % 2 == 0 else -1.0
        wave = 2.0 * np.sin(a * u) * np.exp(-n * n * pace)
        square = pull * pull + a * a
        up += sign * at_one * wave * a / square
        down -= at_zero * wave * a / square
        bend = 2.0 * pull / square
        mean += wave * a / square * (sign * at_one * (bend - 1.0) - at_zero * bend)
        waves[n - 1] = wave
    if rest > 0.0:
        up, chop = _undriven(up + mean, waves, pull, at_zero, at_one, rest)
    else:
        chop = 1.0 - up - down
    up, chop = min(max(up, 0.0), 1.0), min(max(chop, 0.0), 1.0)
    return Odds(up, max(1.0 - up - chop, 0.0), chop)


@kernel
def _undriven(
    up: float, waves: np.ndarray, pull: float, at_zero: float, at_one: float, rest: float
) -> tuple[float, float]:  # fmt: skip
    """What is absorbed above, and what is left, after the rest. `up`: what would be if the rest had no end.

    The integral of exp(k z) sin(n pi z) sin(m pi z) over (0, 1) is
    k/2 ((-1)^(n+m) exp(k) - 1) (1/(k^2 + (n-m)^2 pi^2) - 1/(k^2 + (n+m)^2 pi^2)).
    """
    pace, chop = np.pi * np.pi * rest / 2.0, 0.0
    same = at_zero * np.expm1(pull) / pull  # of exp(k z)
    m = 1
    while True:
        weight = np.exp(-m * m * pace)
        if weight < SMALLEST:
            break
        even = at_one - at_zero if m % 2 == 0 else -at_one - at_zero
        odd = -at_one - at_zero if m % 2 == 0 else at_one - at_zero
        part = 0.0
        for n in range(1, waves.size + 1):
            apart, together = np.pi * (n - m), np.pi * (n + m)
            edge = pull * (even if n % 2 == 0 else odd)
            near = same if n == m else edge / (pull * pull + apart * apart)
            part += waves[n - 1] * 0.5 * (near - edge / (pull * pull + together * together))
        part *= 2.0 / (m * np.pi) * weight
        if m % 2 == 0:
            up += part
        else:
            up -= part
            chop += 2.0 * part
        m += 1
    return up, chop


@kernel
def _fill(given: tuple[np.ndarray, ...], odds: np.ndarray) -> None:
    x, theta, sigma, spacing, drift, remaining, horizon, tick = given
    for row in range(x.size):
        found = true_odds(
            x[row], theta[row], sigma[row], spacing[row], drift[row], remaining[row], horizon[row], tick[row]
        )  # fmt: skip
        odds[row, 0], odds[row, 1], odds[row, 2] = found


def odds_of(
    x: ArrayLike, theta: ArrayLike, sigma: ArrayLike, spacing: ArrayLike,
    drift: ArrayLike, remaining: ArrayLike, horizon: ArrayLike, tick: ArrayLike,
) -> np.ndarray:  # fmt: skip
    """`true_odds` of each row, float64 (n, 3): break, bounce, chop. Arrays of n or single numbers, which count for every row."""
    given = np.broadcast_arrays(
        *(np.atleast_1d(np.asarray(one, float)) for one in (x, theta, sigma, spacing, drift, remaining, horizon, tick))
    )
    odds = np.empty((given[0].size, 3))
    _fill(tuple(np.ascontiguousarray(one) for one in given), odds)
    return odds
