"""The oracle against answers made without its series: chance, finite differences, a closed form; geometry where nothing drifts."""

from itertools import product

import numba
import numpy as np
import pytest

from spymaster_assets.compute.geometry import DISCRETE, geometry
from spymaster_assets.simulator.oracle import odds_of, true_odds

TICK, SPACING = 0.25, 0.25
THETA, SIGMA = 4.0, 0.25
B = THETA - TICK / 2.0 + DISCRETE * SIGMA * np.sqrt(SPACING)
# position, drift, seconds of drift, horizon: both signs, a snap of drift, a snap without, all of it, longer than the horizon
CASES = [
    (0.3, 0.01, 240.0, 240.0), (0.3, 0.01, 90.0, 240.0), (-1.2, 0.015, 239.75, 240.0), (2.5, -0.02, 180.0, 240.0),
    (-3.0, 0.03, 60.0, 480.0), (0.0, -0.01, 5.0, 120.0), (3.7, 0.02, 0.25, 240.0), (1.0, 0.02, 500.0, 120.0),
]  # fmt: skip


def odds(x, drift, remaining, horizon, theta=THETA, sigma=SIGMA):
    return np.array(true_odds(x, theta, sigma, SPACING, drift, remaining, horizon, TICK))


def drawn(count, seed=0, **given):
    """Random arguments as rows have them; drifts of up to two standard deviations over four minutes."""
    rng = np.random.default_rng(seed)
    sigma = np.exp(rng.normal(-1.3, 0.5, count))
    theta = np.maximum(2.0, np.ceil(sigma * np.sqrt(240.0) / TICK) * TICK)
    return {
        "x": rng.uniform(-1.0, 1.0, count) * theta, "theta": theta, "sigma": sigma, "spacing": rng.uniform(0.05, 1.0, count),
        "drift": rng.uniform(-2.0, 2.0, count) * sigma / np.sqrt(240.0), "remaining": rng.integers(0, 961, count) / 4.0,
        "horizon": rng.choice([120.0, 240.0, 480.0], count), "tick": TICK,
    } | given  # fmt: skip


def plain(given):
    return np.array(
        [
            geometry(x, theta, sigma, spacing, horizon, TICK)
            for x, theta, sigma, spacing, horizon in zip(
                given["x"], given["theta"], given["sigma"], given["spacing"], given["horizon"], strict=True
            )
        ]
    )


@pytest.mark.parametrize("still", [{"drift": 0.0}, {"remaining": 0.0}])
def test_without_drift_it_is_geometry(still):
    given = drawn(500)
    assert (odds_of(**given | still) == plain(given)).all()


def test_little_drift_is_almost_geometry():
    """The series with a drift do not go over into the others by a rule, but by themselves."""
    given = drawn(500)
    for little in ({"drift": 1e-12 * given["sigma"]}, {"remaining": 1e-4}):
        off = np.abs(odds_of(**given | little) - plain(given)).max(axis=1)
        inside = np.abs(given["x"]) < 0.99 * given["theta"]
        assert off[inside].max() < 1e-5
    tiny = np.abs(odds_of(**given | {"drift": 1e-12 * given["sigma"]}) - plain(given))
    assert tiny.max() < 1e-9


def test_reflection_swaps_break_and_bounce():
    given = drawn(2_000)
    given["remaining"] = np.maximum(given["remaining"], 0.25)
    mirrored = odds_of(**given | {"x": -given["x"], "drift": -given["drift"]})
    assert (odds_of(**given) == mirrored[:, [1, 0, 2]]).all()


def test_they_are_probabilities():
    found = odds_of(**drawn(5_000))
    assert found.min() >= 0.0 and np.abs(found.sum(axis=1) - 1.0).max() < 1e-14


def test_more_drift_more_breaks():
    breaks = [odds(0.5, drift, 120.0, 240.0)[0] for drift in np.linspace(-0.03, 0.03, 31)]
    later = [odds(0.5, 0.01, remaining, 240.0)[0] for remaining in np.linspace(0.0, 300.0, 31)]
    assert (np.diff(breaks) > 0.0).all() and (np.diff(later)[:24] > 0.0).all() and (np.diff(later)[24:] == 0.0).all()


@pytest.mark.parametrize(("x", "drift"), [(0.3, 0.01), (-2.0, 0.02), (3.0, -0.015)])
def test_forever(x, drift):
    """Without an end a drifting motion leaves above with (1 - exp(-2 m (x + B)/s^2)) / (1 - exp(-4 m B/s^2))."""
    closed = np.expm1(-2.0 * drift * (x + B) / SIGMA**2) / np.expm1(-4.0 * drift * B / SIGMA**2)
    assert odds(x, drift, 1e6, 1e6) == pytest.approx([closed, 1.0 - closed, 0.0], abs=1e-12)


def crank_nicolson(drift, remaining, horizon, cells=256, steps=256):
    """Odds at the cells of [-B, B] by the backward equation, solved by finite differences: (cells + 1, 3).

    Each of the two stretches begins with four small implicit steps (Rannacher), which damp what the corners set off.
    """
    driven = min(remaining, horizon)
    width = 2.0 * B / cells
    value = np.zeros((cells + 1, 3))
    value[-1, 0] = value[0, 1] = value[1:-1, 2] = 1.0
    for seconds, m in ((horizon - driven, 0.0), (driven, drift)):
        if seconds <= 0.0:
            continue
        moves = np.zeros((cells + 1, cells + 1))
        for at in range(1, cells):
            diffusion, advection = SIGMA**2 / (2.0 * width**2), m / (2.0 * width)
            moves[at, at - 1 : at + 2] = diffusion - advection, -2.0 * diffusion, diffusion + advection
        dt, one = seconds / (steps + 1), np.eye(cells + 1)
        value = np.linalg.matrix_power(np.linalg.inv(one - dt / 4.0 * moves), 4) @ value
        step = np.linalg.solve(one - dt / 2.0 * moves, one + dt / 2.0 * moves)
        value = np.linalg.matrix_power(step, steps) @ value
    return value


def test_finite_differences():
    places = np.linspace(-B, B, 257)
    for _, drift, remaining, horizon in CASES[:6]:
        solved = crank_nicolson(drift, remaining, horizon)
        found = np.array([odds(x, drift, remaining, horizon) for x in places])
        assert np.abs(found - solved).max() < 5e-5


@numba.njit
def walk(x, theta, sigma, spacing, drift, remaining, horizon, fine, paths, rng):
    """Shares of paths that leave above, below, not at all.

    Watched every `spacing` s, or, if `fine`, at all times: by the chance that a bridge between two places crosses a barrier.
    """
    hits = np.zeros(3)
    spread = sigma * np.sqrt(spacing)
    for _ in range(paths):
        place, out = x, 2
        for step in range(int(horizon / spacing)):
            before = place
            place += (drift * spacing if step * spacing < remaining else 0.0) + spread * rng.standard_normal()
            above, below = place >= theta, place <= -theta
            if fine and not (above or below):
                above = rng.random() < np.exp(-2.0 * (theta - before) * (theta - place) / spread**2)
                below = not above and rng.random() < np.exp(-2.0 * (theta + before) * (theta + place) / spread**2)
            if above or below:
                out = 0 if above else 1
                break
        hits[out] += 1.0
    return hits / paths


@pytest.mark.parametrize("at", [case for case in CASES if case[2] % 1.0 == 0.0])
def test_chance_watched_at_all_times(at):
    x, drift, remaining, horizon = at
    paths = 40_000
    found = walk(x, THETA, SIGMA, 1.0, drift, remaining, horizon, True, paths, np.random.default_rng(1))
    expected = np.array(true_odds(x, THETA, SIGMA, 0.0, drift, remaining, horizon, 0.0))
    assert (np.abs(found - expected) < 3.5 * np.sqrt(expected * (1.0 - expected) / paths) + 1e-4).all()


@pytest.mark.parametrize("at", CASES[:2])
def test_chance_watched_print_by_print(at):
    """A price seen four times a second: Broadie's correction, which holds for a drift as well."""
    x, drift, remaining, horizon = at
    paths = 40_000
    found = walk(x, THETA, SIGMA, SPACING, drift, remaining, horizon, False, paths, np.random.default_rng(1))
    expected = np.array(true_odds(x, THETA, SIGMA, SPACING, drift, remaining, horizon, 0.0))
    assert (np.abs(found - expected) < 3.5 * np.sqrt(expected * (1.0 - expected) / paths)).all()


def test_nothing_known_and_nothing_left():
    nan = float("nan")
    known = [0.3, THETA, SIGMA, SPACING, 0.01, 60.0]
    for unknown in (0, 2, 3, 4, 5):
        args = [nan if at == unknown else value for at, value in enumerate(known)]
        assert np.isnan(true_odds(*args, 240.0, TICK)).all()
    for beyond, drift in product((B, B + 1.0), (-0.5, 0.5)):
        assert (odds(beyond, drift, 60.0, 240.0) == [1.0, 0.0, 0.0]).all()
        assert (odds(-beyond, drift, 60.0, 240.0) == [0.0, 1.0, 0.0]).all()


def test_too_steep_is_unknown_rather_than_wrong():
    """Twelve standard deviations over the horizon, in a volatility at which theta is at its least."""
    assert np.isnan(odds(-1.0, 12.0 * 0.05 / np.sqrt(240.0), 10.0, 240.0, theta=2.0, sigma=0.05)).all()


def test_rows_are_the_kernel():
    given = drawn(50)
    found = odds_of(**given)
    rows = np.broadcast_arrays(*given.values())
    assert (found == [true_odds(*row) for row in zip(*rows, strict=True)]).all()
    assert odds_of(0.3, THETA, SIGMA, SPACING, 0.01, 60.0, 240.0, TICK).shape == (1, 3)
