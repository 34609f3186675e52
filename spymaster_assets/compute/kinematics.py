"""How the mid moves: its slope over the last snaps, and parabolas through the minutes before. docs/physics.md, 4.2 and 4.5.

Sums are integers, and quotients of them are rounded once: the same bytes on every machine.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import numpy as np

from spymaster_assets.compute.kernel import kernel

MIN_POINTS: Final = 8  # of a least-squares fit
FAR: Final = 1 << 21  # half ticks: farther mids are no market, and their squares would not fit


class Parabola(NamedTuple):
    """The mid as c + velocity t + acceleration t^2 / 2, t in seconds from the latest point on; half ticks, NaN if there is none.

    `points`: how many; `error`: root mean square of the residuals; `distance`, `way`: from the first to the last, and along all.
    """

    points: int
    velocity: float
    acceleration: float
    error: float
    distance: int
    way: int


@kernel
def slope(since: int, until: int, snaps: np.ndarray) -> float:
    """Least-squares slope of mid2 over the snaps since .. until (both included) with a good book, in half ticks per snap.

    In integers up to the one division; NaN under MIN_POINTS.
    """
    n = sx = sy = sxx = sxy = 0
    origin = 0
    for k in range(max(since, 0), until + 1):
        if snaps[k]["book_ok"]:
            if n == 0:
                origin = snaps[k]["mid2"]
            x, y = k - since, snaps[k]["mid2"] - origin
            n, sx, sy, sxx, sxy = n + 1, sx + x, sy + y, sxx + x * x, sxy + x * y
    return (n * sxy - sx * sy) / (n * sxx - sx * sx) if n >= MIN_POINTS else np.nan


@kernel
def _moments(k: int, count: int, step: int, snaps: np.ndarray, out: np.ndarray) -> None:
    """Sums over the snaps k, k - step, .. with a good book, `count` of them at most, the u-th from the end with weight count - u.

    out: how many; sums of w u^0 .. w u^4; of w y, w u y, w u^2 y and w y^2, y = mid2 - that of the latest; distance and way.
    """
    out[:] = 0
    origin = latest = 0
    for u in range(min(count, k // step + 1)):
        snap = snaps[k - u * step]
        if not snap["book_ok"]:
            continue
        if out[0] == 0:
            origin = latest = snap["mid2"]
        w, y = count - u, snap["mid2"] - origin
        if abs(y) >= FAR:
            out[0] = 0
            return
        out[0] += 1
        power = w
        for exponent in range(5):
            out[1 + exponent] += power
            if exponent < 3:
                out[6 + exponent] += power * y
            power *= u
        out[9] += w * y * y
        out[10] = -y
        out[11] += abs(snap["mid2"] - latest)
        latest = snap["mid2"]


def parabola(k: int, count: int, step: int, snaps: np.ndarray) -> Parabola:
    """The parabola through `count` seconds of snaps up to k; `step`: snaps of a second."""
    sums = np.empty(12, np.int64)
    _moments(k, count, step, snaps, sums)
    n, s0, s1, s2, s3, s4, t0, t1, t2, squares, distance, way = sums.tolist()
    whole = s0 * (s2 * s4 - s3 * s3) - s1 * (s1 * s4 - s2 * s3) + s2 * (s1 * s3 - s2 * s2)  # of whole numbers without limit
    if n < MIN_POINTS or whole == 0:
        return Parabola(n, math.nan, math.nan, math.nan, distance, way)
    c = t0 * (s2 * s4 - s3 * s3) - s1 * (t1 * s4 - t2 * s3) + s2 * (t1 * s3 - t2 * s2)
    b = s0 * (t1 * s4 - t2 * s3) - t0 * (s1 * s4 - s2 * s3) + s2 * (s1 * t2 - s2 * t1)
    a = s0 * (s2 * t2 - s3 * t1) - s1 * (s1 * t2 - s2 * t1) + t0 * (s1 * s3 - s2 * s2)
    left = squares * whole - (c * t0 + b * t1 + a * t2)
    return Parabola(n, -b / whole, 2 * a / whole, math.sqrt(max(left, 0) / (s0 * whole)), distance, way)
