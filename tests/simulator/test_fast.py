"""The fast world: its rules are the pipeline's, its odds are what comes true, its worlds differ as they say.

"Stated" numbers are the design's (reduced form). Standard errors are by day: the touches of one day share its path.
"""

from functools import cache

import numpy as np
import pytest

from spymaster_assets.compute.geometry import geometry
from spymaster_assets.compute.volatility import theta_ticks
from spymaster_assets.features import HORIZONS
from spymaster_assets.simulator import fast
from spymaster_assets.simulator.fast import CONFIG, LEAKY_ROW, NS, ROW, SECOND, STEP, TICK, fast_dates, force_of, path_of
from spymaster_assets.simulator.oracle import odds_of
from spymaster_assets.simulator.world import WORLDS
from spymaster_assets.states import BOUNCE, BREAK, CHOP, DOWN, KEY_KINDS, OR_HIGH, OR_LOW, PM_HIGH, PM_LOW, RESOLVED, SMA_200, UP

CLASSES = (BREAK, BOUNCE, CHOP)
LANDMARKS = CONFIG.touches.landmarks
FEW, MANY = 120, 1_500


@cache
def made(name, dates=FEW, seed=1, **how):
    return fast_dates(WORLDS[name], seed, range(dates), **how)


@cache
def path(name):
    return path_of(np.random.default_rng(3), force_of(WORLDS[name]))


def odds(rows, which):
    return np.stack([rows[f"{which}_{name}_4min"] for name in ("break", "bounce", "chop")], axis=1)


def by_day(rows, values):
    """Mean and its standard error."""
    days = np.unique(rows["date"], return_inverse=True)[1]
    sums = np.zeros((days.max() + 1, *values.shape[1:]))
    np.add.at(sums, days, values - values.mean(axis=0))
    return values.mean(axis=0), np.sqrt(len(sums) / (len(sums) - 1) * (sums**2).sum(axis=0)) / len(rows)


def at(rows, elapsed):
    return rows[(rows["elapsed"] == elapsed) & (rows["outcome_4min"] != RESOLVED)]


def outside(rows, which, landmarks=LANDMARKS):
    """The class shares that lie more than three standard errors off the mean odds, by landmark."""
    found = {}
    for elapsed in landmarks:
        part = at(rows, elapsed)
        off, error = by_day(part, (part["outcome_4min"][:, np.newaxis] == np.array(CLASSES)) - odds(part, which))
        if (np.abs(off) > 3.0 * error).any():
            found[elapsed] = np.round((off, error), 4)
    return found


def losses(rows, which):
    return -np.log(odds(rows, which)[np.arange(len(rows)), rows["outcome_4min"]])


def gain(rows):
    """Mean log loss of geometry less that of the oracle, nats a row, and its standard error."""
    return by_day(rows, losses(rows, "geometry") - losses(rows, "true"))


def auc(rows, given):
    """Of P(break) over P(bounce) among the rows resolved within 4 minutes; `given`: (n, 3). No ties to speak of."""
    settled = rows["outcome_4min"] != CHOP
    broke, score = rows["outcome_4min"][settled] == BREAK, (given[:, 0] / (given[:, 0] + given[:, 1]))[settled]
    rank = np.argsort(np.argsort(score, kind="stable"), kind="stable") + 1
    ups, downs = broke.sum(), (~broke).sum()
    return (rank[broke].sum() - ups * (ups + 1) / 2) / (ups * downs)


# ---- the path ----


def test_f_moves_by_its_volatility_and_drift():
    track = path("LINEAR").track
    steps = (np.diff(track.f) * TICK - track.drift[:-1] * STEP) / (track.sigma[1:] * np.sqrt(STEP))
    assert abs(steps.mean()) < 3.0 / np.sqrt(len(steps)) and abs(steps.std() - 1.0) < 3.0 / np.sqrt(2.0 * len(steps))
    assert abs(np.corrcoef(steps[:-1], steps[1:])[0, 1]) < 3.0 / np.sqrt(len(steps))


def test_a_print_is_the_tick_below_or_above():
    made_path = path("NULL")
    above = made_path.prints["ticks"] - np.floor(made_path.track.f)
    assert set(above) == {0.0, 1.0} and abs(above.mean() - 0.5) < 3.0 * 0.5 / np.sqrt(len(above))
    for name in ("last", "high", "low"):
        assert (made_path.snaps[name] == made_path.prints["ticks"]).all()


def test_volatility_of_a_day():
    """48 points from 09:30 to 16:00 on a median day; a quarter of the grid lies outside of it."""
    days = [path_of(np.random.default_rng(seed), force_of(WORLDS["NULL"]), slow=0.0).track.sigma for seed in range(40)]
    opening = int(5.5 * 3600) * SECOND
    opened = np.median([np.sqrt((sigma[opening:] ** 2).sum() * STEP) for sigma in days])
    night = np.median([np.sqrt((sigma[:opening] ** 2).sum() * STEP) for sigma in days])
    assert 32.0 < opened < 40.0  # sqrt of the share of the U until 13:45, 0.57, times 48
    assert night == pytest.approx(48.0 * np.sqrt(0.08), rel=0.15)


def test_latents_wander():
    steps = np.random.default_rng(0).standard_normal(400_000)
    fast._wander(0.0, np.exp(-1.0 / 600.0), steps)
    assert steps.std() == pytest.approx(1.0, abs=0.1)
    assert np.corrcoef(steps[:-600], steps[600:])[0, 1] == pytest.approx(np.exp(-1.0), abs=0.1)


def test_levels_from_the_path():
    """Each kind from its definition, in order of the moment from which it holds."""
    one, levels = path("LINEAR"), path("LINEAR").levels
    ticks, open_ = one.snaps["last"], one.snaps["ts"][0]
    hour = 3600 * SECOND
    opening, ranged = int(5.5 * hour), int(5.75 * hour)
    premarket, opened = (0, opening), (opening, ranged)
    for kind, (since, until), extreme in (
        (PM_HIGH, premarket, np.max), (PM_LOW, premarket, np.min), (OR_HIGH, opened, np.max), (OR_LOW, opened, np.min),
    ):  # fmt: skip
        (row,) = levels[levels["kind"] == kind]
        assert row["price"] == extreme(ticks[since + 1 : until + 1]) * CONFIG.instrument.tick
        assert row["valid_from"] == open_ + until * CONFIG.grid.interval_ns
    for kind, length in enumerate(CONFIG.levels.sma_bars, SMA_200):
        rows = levels[levels["kind"] == kind]
        ends = (rows["valid_from"] - open_) // (120 * NS) + 300  # 2-minute closes from 18:00 to 04:00
        mean = np.array([one.closes[end - length : end].mean() for end in ends]) * CONFIG.instrument.tick
        assert np.abs(rows["price"] - mean).max() <= 0.5 and (rows["valid_to"] - rows["valid_from"] == 120 * NS).all()
        assert (ticks[(rows["valid_from"] - open_) // (NS // SECOND)] == one.closes[ends - 1]).all()
        assert (rows["valid_from"] <= one.snaps["ts"][opening]).any(), "known by 09:30"
    assert (np.diff(levels["valid_from"]) >= 0).all()


def test_touches_of_levels_that_stand_still():
    """Entry into the band from outside, armed by two points, 300 s apart, after the level holds, to 13:30; from prints alone."""
    one = path("NULL")
    rows = one.levels[np.isin(one.levels["kind"], (PM_HIGH, PM_LOW, OR_HIGH, OR_LOW))]
    points, times, expected = one.snaps["last"] * TICK, one.snaps["ts"], []
    for kind, price, valid_from in zip(rows["kind"], rows["price"] / 1e9, rows["valid_from"], strict=True):
        armed, last = False, -np.inf
        for k in range(1, len(points) - 900 * SECOND):
            before, now = points[k - 1] - price, points[k] - price
            if abs(before) > 0.25 and min(before, now) <= 0.25 and max(before, now) >= -0.25:
                if armed and times[k] > valid_from and times[k] - last >= 300 * NS:
                    last = times[k]
                    expected.append((k, kind, UP if before < 0.0 else DOWN))
                armed = False
            armed = armed or abs(now) >= 2.0
    touches = one.touches[np.isin(one.touches["kind"], rows["kind"])]
    assert touches[["k", "kind", "direction"]].tolist() == sorted(expected) and len(expected) > 5


@pytest.mark.parametrize("name", ["LINEAR", "INTERACTION", "G"])
def test_a_touch_starts_a_drift_unless_one_runs(name):
    one, world = path(name), WORLDS[name]
    drift, until = np.zeros(len(one.snaps)), np.zeros(len(one.snaps), int)
    started, end = 0, 0
    for touch in one.touches:
        k = int(touch["k"])
        score = world.w * touch["w"] + world.a * touch["a"] + world.g * touch["g"] + world.wg * touch["w"] * touch["g"]
        score /= np.sqrt(world.w**2 + world.a**2 + world.g**2 + world.wg**2)
        assert touch["score"] == pytest.approx(score)
        assert touch["sigma"] == one.track.sigma[k]
        assert [touch[f"theta_{h}"] for h in HORIZONS] == [theta_ticks(touch["sigma"], h, CONFIG) for h in HORIZONS.values()]
        if k >= end:
            started, end = started + 1, k + 960
            sign = 1.0 if touch["direction"] == UP else -1.0
            drift[k:end], until[k:] = sign * world.s * score * touch["sigma"] / np.sqrt(240.0), end
    assert one.track.drift == pytest.approx(drift) and (one.track.until == until).all()
    assert 3 < started < len(one.touches)


# ---- the rows ----


def test_rows_from_the_path():
    """Outcomes, positions and times of one date's rows, anew from its prints: no kernel, no shortcut."""
    rows = fast_dates(WORLDS["LINEAR"], 1, [4])
    rng = np.random.default_rng(np.random.SeedSequence([1, 4]).spawn(2)[0])
    one = path_of(rng, force_of(WORLDS["LINEAR"]))
    ticks, expected = one.prints["ticks"], []
    for number, touch in enumerate(one.touches):
        sign = 1 if touch["direction"] == UP else -1
        out = sign * (ticks * TICK - touch["price"] / 1e9)
        for elapsed in LANDMARKS:
            k = int(touch["k"]) + elapsed * SECOND
            so_far = np.abs(out[touch["k"] : k + 1]).max()
            if so_far >= touch["theta_8min"] * TICK:
                break
            outcomes = []
            for name, seconds in HORIZONS.items():
                theta, later = touch[f"theta_{name}"] * TICK, out[k + 1 : k + 1 + seconds * SECOND]
                hits = later[np.abs(later) >= theta]
                came = CHOP if not len(hits) else BREAK if hits[0] > 0 else BOUNCE
                outcomes.append(RESOLVED if so_far >= theta else came)
            expected.append((number, elapsed, *outcomes, one.snaps["ts"][k] + 4 * 86_400 * NS))
            row = rows[len(expected) - 1]
            assert row["position"] == pytest.approx(sign * (one.track.f[k] * TICK - touch["price"] / 1e9))
            assert row["drift"] == sign * one.track.drift[k] and row["remaining"] == max(one.track.until[k] - k, 0) / SECOND
    names = ["touch", "elapsed", *(f"outcome_{name}" for name in HORIZONS), "t_decision"]
    assert [tuple(row) for row in rows[names].tolist()] == expected
    assert len(rows) > 50 and (rows["date"] == 4).all()


@pytest.mark.slow
def test_odds_of_the_rows():
    rows = made("LINEAR")
    for row, found in list(zip(rows, odds(rows, "geometry"), strict=True))[::50]:
        known = row["position"], row["theta_4min"], row["sigma_now"], row["print_spacing"]
        assert tuple(found) == geometry(*known, 240.0, TICK)
    known = (rows["position"], rows["theta_4min"], rows["sigma_now"], rows["print_spacing"], rows["drift"], rows["remaining"])
    assert (odds_of(*known, 240.0, TICK) == odds(rows, "true")).all()
    assert not np.isnan(odds(rows, "true")).any()


def test_what_is_measured():
    """Latents with the noise that is stated, fresh at each landmark; two columns of noise alone."""
    rows = made("LINEAR")
    for elapsed in (0, 240):
        part = rows[rows["elapsed"] == elapsed]
        for name, latent in (("barrier", "w"), ("tape", "a"), ("fuel", "g")):
            assert (part[name] - part[latent]).std() == pytest.approx(0.5 / np.sqrt(1.0 + elapsed / 60.0), rel=0.1)
    first, second = (rows[rows["elapsed"] == elapsed] for elapsed in (0, 5))
    both = np.isin(first["date"] * 1000 + first["touch"], second["date"] * 1000 + second["touch"])
    errors = (first["barrier"] - first["w"])[both], second["barrier"] - second["w"]
    assert abs(np.corrcoef(*errors)[0, 1]) < 0.06
    for name in ("noise_1", "noise_2"):
        for other in ("w", "a", "g", "position", "outcome_4min"):
            assert abs(np.corrcoef(rows[name], rows[other])[0, 1]) < 0.03


# ---- what comes true ----


def test_null_is_geometry():
    """Class shares by landmark; where nothing drives, the truth is geometry."""
    assert outside(made("NULL"), "geometry") == {}
    assert (odds(made("NULL"), "true") == odds(made("NULL"), "geometry")).all()


def test_null_tells_a_wrong_volatility():
    """The power of the test above."""
    rows = made("NULL").copy()
    for factor in (0.85, 1.15):
        args = rows["position"], rows["theta_4min"], factor * rows["sigma_now"], rows["print_spacing"]
        wrong = odds_of(*args, 0.0, 0.0, 240.0, TICK)
        for number, name in enumerate(("break", "bounce", "chop")):
            rows[f"geometry_{name}_4min"] = wrong[:, number]
        assert len(outside(rows, "geometry", (0, 15, 60))) == 3


def test_linear_can_be_told():
    """Stated: oracle AUC .784 at the touch, as measured of touches with a drift of their own: the others carry less of one."""
    rows = made("LINEAR")
    for elapsed in LANDMARKS[:-1]:
        found, error = gain(at(rows, elapsed))
        assert found > 3.0 * error
    touched = at(rows, 0)
    own = touched[touched["remaining"] == 240.0]
    assert auc(own, odds(own, "true")) == pytest.approx(0.784, abs=0.035)
    assert auc(touched, odds(touched, "geometry")) < 0.62 < 0.73 < auc(touched, odds(touched, "true")) < 0.80


def test_measured_latents_tell_less_than_the_truth():
    """The odds by what is measured, as if every drift were the touch's own: what a model can reach."""
    rows = at(made("LINEAR"), 0)
    weights = np.array([rows["barrier"], rows["tape"], rows["fuel"]]).T @ force_of(WORLDS["LINEAR"])[1:4] / 1.25
    known = (rows["position"], rows["theta_4min"], rows["sigma"], rows["print_spacing"])
    seen = odds_of(*known, 0.6 * weights * rows["sigma"] / np.sqrt(240.0), 240.0, 240.0, TICK)
    assert 0.66 < auc(rows, seen) < auc(rows, odds(rows, "true"))


# ---- seeds and worlds ----


def test_same_seed_same_bytes():
    first, again = (fast_dates(WORLDS["LINEAR"], 1, range(4)) for _ in range(2))
    assert first.tobytes() == again.tobytes()
    assert fast_dates(WORLDS["LINEAR"], 2, range(4)).tobytes() != first.tobytes()
    assert (
        fast_dates(WORLDS["LINEAR"], 1, [3, 2]).tobytes()
        == np.concatenate((first[first["date"] == 3], first[first["date"] == 2])).tobytes()
    )
    assert len(fast_dates(WORLDS["LINEAR"], 1, [])) == 0


@pytest.mark.slow
def test_shift_flips():
    rows, linear, against = (made(name, 20) for name in ("SHIFT", "LINEAR", "SHIFT"))
    assert (rows[rows["date"] < 10] == linear[linear["date"] < 10]).all()
    assert (made("SHIFT", 20, shift=20) == linear).all()
    for part, sign in ((rows[rows["date"] < 10], 1.0), (against[against["date"] >= 10], -1.0)):
        own = part[part["remaining"] == 240.0]
        assert len(own) > 50 and (np.sign(own["drift"]) == sign * np.sign(own["score"])).all()


def test_duplicate_doubles():
    rows, linear = made("DUPLICATE", 20), made("LINEAR", 20)
    assert len(rows) == 2 * len(linear)
    originals, twins = rows[rows["touch"] % 2 == 0], rows[rows["touch"] % 2 == 1]
    assert (originals["touch"] == 2 * linear["touch"]).all() and (twins["touch"] == originals["touch"] + 1).all()
    assert (twins["episode"] == originals["episode"]).all() and (originals["episode"] == 2 * linear["episode"]).all()
    assert (twins["kind"] != originals["kind"]).all() and set(twins["kind"]) == set(range(len(KEY_KINDS)))
    for name in set(ROW.names) - {"touch", "episode", "kind"}:
        assert (twins[name] == linear[name]).all() and (originals[name] == linear[name]).all()
    assert (np.diff(rows["date"] * 10_000 + rows["touch"]) >= 0).all()


@pytest.mark.slow
def test_leaky_leaks():
    rows, null = made("LEAKY", 40), made("NULL", 40)
    assert rows.dtype == LEAKY_ROW and null.dtype == ROW
    assert all((rows[name] == null[name]).all() for name in ROW.names)
    settled = rows[np.isin(rows["outcome_4min"], (BREAK, BOUNCE))]
    told = np.sign(settled["leak"]) == np.where(settled["outcome_4min"] == BREAK, 1.0, -1.0)
    assert told.mean() > 0.95


# ---- minutes ----


@pytest.mark.slow
def test_null_is_geometry_on_many_dates():
    """Of the volatility at the row. That of the touch is off after four minutes: those still unresolved are the quiet ones."""
    rows = made("NULL", MANY)
    assert outside(rows, "true") == {}
    assert outside(rows, "geometry", LANDMARKS[:5]) == {}
    assert 240 in outside(rows, "geometry")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["LINEAR", "W", "A", "G"])
def test_oracle_on_many_dates(name):
    """Stated: .784, as touches with a drift of their own have it; the others lower the whole to .766. Standard error .004."""
    touched = at(made(name, MANY), 0)
    own = touched[touched["remaining"] == 240.0]
    assert auc(own, odds(own, "true")) == pytest.approx(0.784, abs=0.012)
    assert auc(touched, odds(touched, "true")) == pytest.approx(0.766, abs=0.012)
