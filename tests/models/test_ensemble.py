"""Members' odds as one: against sums by hand, a root found by halving, and members of which it is known what they are worth."""

import json

import numpy as np
import pytest
from pytest import approx

from spymaster_assets.models.ensemble import RIDGE, Ensemble, fit_ensemble
from spymaster_assets.models.examples import GROUPS
from spymaster_assets.models.metrics import log_losses
from spymaster_assets.models.odds import clipped, logs, softmax
from spymaster_assets.states import BREAK
from tests.models.worlds import tilted, world

COUNT = len(GROUPS)


def told(days=40, per_day=30, seed=1):
    """(geometry, true probabilities, outcomes, weights, groups, dates) of a world with an effect."""
    rows, day, true = world(days, per_day, seed)
    geometry = clipped(np.stack([rows[f"geometry_{word}_4min"] for word in ("break", "bounce", "chop")], axis=1))
    return geometry, true, rows["outcome_4min"].astype(int), np.ones(len(rows)), np.arange(len(rows)) % COUNT, day


def noisy(odds, size, seed):
    """Odds with noise on their logarithms."""
    return tilted(odds, np.random.default_rng(seed).normal(0, size, odds.shape))


def test_blending_by_hand():
    """geometry (.5, .3, .2), members (.8, .1, .1) and (.2, .2, .6) at weights 1/2 and 1/4."""
    geometry, one, two = np.array([[0.5, 0.3, 0.2]]), np.array([[0.8, 0.1, 0.1]]), np.array([[0.2, 0.2, 0.6]])
    weights = np.array([[0.5, 0.25], [1.0, 0.0], [0.0, 0.0]])
    ensemble = Ensemble(("one", "two"), weights)
    expected = geometry * (one / geometry) ** 0.5 * (two / geometry) ** 0.25
    odds = {"two": two, "one": one}  # by name, not by place
    assert ensemble.predict(odds, geometry, np.array([0])) == approx(expected / expected.sum())
    assert ensemble.predict(odds, geometry, np.array([1])) == approx(one)
    assert ensemble.predict(odds, geometry, np.array([2])) == approx(geometry)


def test_equal_members_give_themselves():
    geometry, true, outcomes, weights, groups, days = told()
    equal = Ensemble(("one", "two", "three"), np.full((COUNT, 3), 1 / 3))
    assert equal.predict(dict.fromkeys(equal.members, true), geometry, groups) == approx(true, abs=1e-12)
    fitted = fit_ensemble(dict.fromkeys(equal.members, true), geometry, outcomes, weights, groups, days, COUNT)
    assert np.ptp(fitted.weights, axis=1) == approx(np.zeros(COUNT), abs=1e-9)  # none is preferred
    assert fitted.weights.sum(axis=1) == approx(np.ones(COUNT), abs=0.25)  # the truth is believed about as it is


def test_a_useless_member_gets_less_weight():
    geometry, true, outcomes, weights, groups, days = told()
    odds = {"good": noisy(true, 0.2, 1), "useless": noisy(geometry, 0.7, 2)}
    fitted = fit_ensemble(odds, geometry, outcomes, weights, groups, days, COUNT)
    assert (fitted.weights[:, 0] > 0.6).all() and (fitted.weights[:, 1] < 0.2).all()
    assert fitted.server == ""


def test_two_members_that_tell_different_things_are_better_together():
    geometry, _, outcomes, weights, groups, days = told()
    rows, _, _ = world(40, 30, 1)
    odds = {
        "first": tilted(geometry, np.outer(rows["approach_pulled_rate_60"], (0.8, -0.8, 0.0))),
        "second": tilted(geometry, np.outer(rows["signed_volume_60s"], (0.2, 0.2, -0.4))),
    }
    fitted = fit_ensemble(odds, geometry, outcomes, weights, groups, days, COUNT)
    both = log_losses(fitted.predict(odds, geometry, groups), outcomes).mean()
    assert fitted.server == "" and both < min(log_losses(one, outcomes).mean() for one in odds.values())
    assert fitted.weights.sum(axis=1).min() > 1.2  # they add up rather than share


@pytest.mark.parametrize("unknown", [slice(None), (slice(None), 2)])
def test_silent_members_contribute_nothing(unknown):
    """All three NaN, or one of them: as if the member said what geometry says."""
    geometry, true, outcomes, weights, groups, days = told()
    silent = np.arange(len(true)) % 3 == 0
    some = true.copy()
    part = some[silent]
    part[unknown] = np.nan
    some[silent] = part
    filled = np.where(silent[:, None], geometry, true)
    other = noisy(true, 0.3, 1)
    one = fit_ensemble({"some": some, "other": other}, geometry, outcomes, weights, groups, days, COUNT)
    two = fit_ensemble({"some": filled, "other": other}, geometry, outcomes, weights, groups, days, COUNT)
    assert one.weights == approx(two.weights, abs=1e-12)
    found = one.predict({"some": some, "other": other}, geometry, groups)
    alone = softmax(logs(geometry) + one.weights[groups][:, 1:] * (logs(other) - logs(geometry)))
    assert found[silent] == approx(alone[silent]) and found[~silent] != approx(alone[~silent])
    quiet = {"some": np.full(true.shape, np.nan), "other": np.full(true.shape, np.nan)}
    assert one.predict(quiet, geometry, groups).tobytes() == softmax(logs(geometry)).tobytes()


def test_a_member_that_is_silent_in_a_group_keeps_its_share_there():
    """Nothing tells of it, so the ridge decides; a group without rows is equal weights."""
    geometry, true, outcomes, weights, _, days = told()
    groups = np.arange(len(true)) % 2
    some = np.where((groups == 1)[:, None], np.nan, true)
    fitted = fit_ensemble({"some": some, "other": noisy(true, 0.3, 1)}, geometry, outcomes, weights, groups, days, COUNT)
    assert fitted.weights[1, 0] == approx(0.5) and fitted.weights[0, 0] != approx(0.5)
    assert fitted.weights[2].tolist() == [0.5, 0.5]


def test_one_member_by_halving():
    """The slope of the loss plus the ridge's is zero at the weight: found by halving here, written anew."""
    geometry, true, outcomes, weights, groups, days = told(20, 20, seed=2)
    weights = np.random.default_rng(1).random(len(weights))
    sure = tilted(geometry, 2 * np.log(true / geometry))  # twice as sure as it may be
    fitted = fit_ensemble({"one": sure}, geometry, outcomes, weights, groups, days, COUNT)
    added = np.log(sure) - np.log(geometry)
    for group in range(COUNT):
        at = groups == group

        def slope(weight, at=at):
            chances = tilted(geometry[at], weight * added[at])
            expected = (chances * added[at]).sum(axis=1) - added[at][np.arange(at.sum()), outcomes[at]]
            return weights[at] @ expected + RIDGE * (weight - 1)

        low, high = -5.0, 5.0
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (low, middle) if slope(middle) > 0 else (middle, high)
        assert fitted.weights[group, 0] == approx(low, abs=1e-4)
        assert 0.3 < low < 0.9


def test_few_episodes_leave_equal_weights():
    geometry, true, outcomes, weights, groups, days = told()
    odds = {"good": true, "useless": noisy(geometry, 0.7, 2)}
    few = fit_ensemble(odds, geometry, outcomes, weights * 1e-6, groups, days, COUNT)
    assert few.weights == approx(np.full((COUNT, 2), 0.5), abs=1e-3)


def test_worse_than_its_best_member_that_one_serves():
    """Nine members that know nothing hold equal shares against the ridge: what the tenth knows is drowned."""
    geometry, true, outcomes, weights, groups, days = told()
    light = weights * 0.01
    odds = {"good": true, **{f"silent {i}": geometry for i in range(9)}}
    fitted = fit_ensemble(odds, geometry, outcomes, light, groups, days, COUNT)
    assert fitted.server == "good"
    assert fitted.predict(odds, geometry, groups) == approx(true, abs=1e-12)
    blend = Ensemble(fitted.members, fitted.weights).predict(odds, geometry, groups)
    assert log_losses(blend, outcomes).mean() > log_losses(true, outcomes).mean()
    odds["good"] = np.where((days == 3)[:, None], np.nan, true)
    assert fitted.predict(odds, geometry, groups)[days == 3] == approx(geometry[days == 3])


def test_no_worse_than_by_chance_all_serve():
    """One member alone, or several of which none is better: there is no reason to name one."""
    geometry, true, outcomes, weights, groups, days = told(30, 10)
    for odds in ({"one": true}, {"one": noisy(true, 0.3, 1), "two": noisy(true, 0.3, 2)}):
        assert fit_ensemble(odds, geometry, outcomes, weights, groups, days, COUNT).server == ""


def test_a_row_is_told_the_same_alone_in_a_batch_and_read_back():
    geometry, true, outcomes, weights, groups, days = told(20, 20)
    odds = {"one": noisy(true, 0.3, 1), "two": np.where(np.arange(len(true))[:, None] % 4 == 0, np.nan, true)}
    fitted = fit_ensemble(odds, geometry, outcomes, weights, groups, days, COUNT)
    read = Ensemble.from_json(json.loads(json.dumps(fitted.as_json(), allow_nan=False)))
    assert (read.members, read.server) == (fitted.members, fitted.server)
    assert read.weights.tobytes() == fitted.weights.tobytes()
    whole = fitted.predict(odds, geometry, groups)
    for i in range(0, len(true), 7):
        one = slice(i, i + 1)
        alone = read.predict({name: some[one] for name, some in odds.items()}, geometry[one], groups[one])
        assert alone.tobytes() == whole[one].tobytes()
    assert whole.sum(axis=1) == approx(np.ones(len(true))) and (whole[:, BREAK] > 0).all()
