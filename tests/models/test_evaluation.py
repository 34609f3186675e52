"""Scores against sums by hand, corrections and baselines against others' code, and rows that nobody may know beforehand."""

import warnings
from functools import cache
from itertools import pairwise

import numpy as np
import pytest
from pytest import approx

from spymaster_assets.models import evaluation
from spymaster_assets.models.evaluation import SHRINK, SUSPICIOUS, score, scores, suspicious, with_baselines
from spymaster_assets.models.examples import examples
from spymaster_assets.models.metrics import log_losses
from spymaster_assets.models.odds import clipped, geometry
from spymaster_assets.models.significance import holm
from spymaster_assets.states import BOUNCE, BREAK, CHOP
from tests.models.small_lake import trading, training
from tests.models.worlds import drawn, tilted

MANY = trading("2025-03-03", 40)
BASELINES = {"geometry", "base rate", "base rate by kind", "score, isotonic", "logistic on ten"}


@cache
def rows_of(count, effect=True):
    how = {} if effect else {"effect": None}
    rows = [training(date, **how) for date in MANY[:count]]
    return np.concatenate(rows), np.repeat([date.toordinal() for date in MANY[:count]], len(rows[0]))


def every_of(count, effect=True):
    rows, days = rows_of(count, effect)
    return examples(rows.copy(), days)


def knowing(every, share=1.0):
    """The odds from which outcomes were drawn, or a share of the way to them."""
    logits = np.outer(every.rows["approach_pulled_rate_60"], (0.8, -0.8, 0.0))
    logits = logits + np.outer(every.rows["signed_volume_60s"], (0.2, 0.2, -0.4))
    return tilted(geometry(every.rows, "4min"), share * logits)


# Scores


def test_a_score_by_hand():
    """Two dates of a touch each: at the touch it weighs one, at one of the next three landmarks a third.

    Of the first date the model gave .8 twice to what geometry gave .5 and .4; of the second .2 to what geometry gave .5.
    """
    rows = training(MANY[0])[:2]
    rows = np.concatenate([rows, training(MANY[1])[:1]])
    for word, values in (("break", (0.5, 0.4, 0.3)), ("bounce", (0.3, 0.4, 0.5)), ("chop", (0.2, 0.2, 0.2))):
        rows[f"geometry_{word}_4min"] = values
    rows["outcome_4min"] = BREAK, BREAK, BOUNCE
    rows["t_label_start"][1], rows["label_end_4min"][1] = rows["t_label_start"][0], rows["label_end_4min"][0]
    every = examples(rows, np.array([1, 1, 2]))
    assert every.weights == approx([1.0, 1 / 3, 1.0])
    odds = np.array([[0.8, 0.1, 0.1], [0.8, 0.1, 0.1], [0.7, 0.2, 0.1]])
    found = score("model", -1, evaluation.Tested(every, {"model": odds}))
    assert found.log_loss == approx(-(4 / 3 * np.log(0.8) + np.log(0.2)) / (7 / 3))
    assert found.brier == approx((4 / 3 * 0.06 + (0.49 + 0.64 + 0.01)) / (7 / 3))
    gains = [(3 * np.log(0.8 / 0.5) + np.log(0.8 / 0.4)) / 4, np.log(0.2 / 0.5)]
    assert found.gain.mean == approx((4 * gains[0] + 3 * gains[1]) / 7)
    assert (found.gain.low, found.gain.high) == approx((min(gains), max(gains)))
    assert (found.name, found.horizon, found.elapsed, found.rows) == ("model", "4min", -1, 3)
    assert found.auc == 1.0 and np.isnan(found.resolved_auc)  # .89 twice above .78; nothing that chopped
    assert found.n_eff == approx(2.0)  # two labels that are one, and one; dates are as independent as episodes


def test_who_knows_gains_and_geometry_gains_nothing():
    every = every_of(40)
    found = scores(evaluation.Tested(every, {"geometry": geometry(every.rows, "4min"), "truth": knowing(every)}))
    assert {(one.name, one.elapsed) for one in found} == {(name, e) for name in ("geometry", "truth") for e in (-1, 0, 15, 60)}
    for one in found:
        if one.name == "geometry":
            assert one.gain == (0, 0, 0) and np.isnan(one.holm)
        else:
            assert one.gain.low > 0 and one.stratified > 0.6 and one.holm < 0.01
    assert [one.elapsed for one in found] == sorted(one.elapsed for one in found)
    assert all(a.gain.mean >= b.gain.mean for a, b in pairwise(found) if a.elapsed == b.elapsed)
    assert {one.rows for one in found} == {len(every), len(every) // 3}


def test_p_values_are_corrected_for_all_that_were_tried():
    every = every_of(40, effect=False)
    rng = np.random.default_rng(1)
    base = geometry(every.rows, "4min")
    odds = {"geometry": base} | {f"noise {i}": tilted(base, rng.normal(0, 0.1, base.shape)) for i in range(2)}
    odds["lucky"] = tilted(base, 0.1 * np.eye(3)[every.outcomes])
    found = [one for one in scores(evaluation.Tested(every, odds)) if one.name != "geometry"]
    assert len(found) == 12  # three at three landmarks, and at all of them
    assert [one.holm for one in found] == approx(holm(np.array([one.p for one in found])))
    assert all(one.holm >= one.p for one in found) and any(one.holm > 2 * one.p for one in found)
    assert all((one.holm < 0.05) == (one.name == "lucky") for one in found)


def test_rows_are_those_that_all_know_who_know_any_of_their_landmark():
    """One is silent on some rows at the touch, and always later: those rows at the touch are nobody's, the later ones stay."""
    every = every_of(20)
    base, elapsed = geometry(every.rows, "4min"), every.rows["elapsed"]
    some = base.copy()
    some[(elapsed > 0) | (np.arange(len(every)) % 5 == 0)] = np.nan
    tested = evaluation.Tested(every, {"geometry": base, "some": some}, {"some": np.ones(base.shape, bool)})
    expected = (elapsed > 0) | (np.arange(len(every)) % 5 > 0)
    assert tested.common.examples.rows.tobytes() == every.rows[expected].tobytes()
    assert len(tested.common.sets["some"]) == expected.sum()
    found = {(one.name, one.elapsed): one.rows for one in scores(tested)}
    touched = int((expected & (elapsed == 0)).sum())
    assert found["some", 0] == found["geometry", 0] == touched
    assert found["geometry", -1] == expected.sum() and ("some", -1) not in found and ("some", 15) not in found
    assert found["geometry", 15] == (elapsed == 15).sum()


def test_few_rows_are_not_told():
    every = every_of(5)
    part = every.at((every.rows["elapsed"] == 0) | (np.arange(len(every)) % 30 == 1))
    tested = evaluation.Tested(part, {"geometry": geometry(part.rows, "4min")})
    assert {one.elapsed for one in scores(tested)} == {-1, 0}
    assert scores(tested.at(np.zeros(len(part), bool))) == []


def test_a_landmark_at_which_nothing_was_resolved():
    rows, days = rows_of(20)
    rows = rows.copy()
    rows["outcome_4min"][rows["elapsed"] == 15] = CHOP
    every = examples(rows, days)
    found = {one.elapsed: one for one in scores(evaluation.Tested(every, {"truth": knowing(every)}))}
    assert np.isnan([found[15].auc, found[15].stratified, found[15].slope, found[15].ece]).all()
    assert np.isfinite(found[15].log_loss) and found[0].auc > 0.6


def test_what_is_too_good_is_suspected():
    """A column that knows the outcome; at all landmarks, but not of all together; who knows the chances only is not."""
    every = every_of(40)
    leaky = tilted(geometry(every.rows, "4min"), 3.0 * np.eye(3)[every.outcomes])
    weak = knowing(every, 0.3)
    found = scores(evaluation.Tested(every, {"leaky": leaky, "weak": weak, "geometry": geometry(every.rows, "4min")}))
    said = suspicious([one for one in found if one.name == "leaky"])
    assert len(said) == 3 and all(word.startswith("leaky, ") and f"above {SUSPICIOUS}" in word for word in said)
    assert not suspicious([one for one in found if one.elapsed < 0])
    assert not suspicious([one for one in found if one.name == "geometry"])


@pytest.mark.parametrize(("dates", "sure"), [(10, False), (20, True)])
def test_luck_is_not_suspected(dates, sure):
    """Models that are geometry and a little noise, on few rows: stratified AUC rests on a handful of pairs there.

    `sure`: of a geometry that knows nearly everything, as late after the touch, it rests on fewer still.
    """
    rows, days = (each.copy() for each in rows_of(dates, effect=False))
    rng = np.random.default_rng(1)
    if sure:
        chances = np.column_stack([rng.dirichlet((0.1, 0.1), len(rows)) * 0.9, np.full(len(rows), 0.1)])
        for word, column in zip(("break", "bounce", "chop"), chances.T, strict=True):
            rows[f"geometry_{word}_4min"] = column
        rows["outcome_4min"] = drawn(chances, rng)
    every = examples(rows, days)
    base = geometry(every.rows, "4min")
    odds = {f"noise {i}": tilted(base, rng.normal(0, 0.1, base.shape)) for i in range(4)}
    assert suspicious([one for one in scores(evaluation.Tested(every, odds)) if one.elapsed >= 0]) == []


# Baselines


def test_baselines_are_there_and_walk_forward():
    """The first dates tell nothing and are left out; every odds are odds."""
    every = every_of(12)
    found = with_baselines(evaluation.Tested(every, {"model": knowing(every)}), first=4)
    assert set(found.odds) == {*BASELINES, "model"}
    assert np.unique(found.examples.days).tolist() == np.unique(every.days)[4:].tolist()
    for odds in found.odds.values():
        assert (odds > 0).all() and odds.sum(axis=1) == approx(np.ones(len(odds)))
    assert found.odds["model"].tobytes() == knowing(found.examples).tobytes()


def test_no_baseline_knows_its_own_outcome_or_a_later_one():
    """Outcomes from a date on, and of the embargoed one before it, turn out otherwise: nothing that was said before changes."""
    rows, days = rows_of(24)
    other = rows.copy()
    changed = days >= np.unique(days)[13]
    other["outcome_4min"][changed] = (rows["outcome_4min"][changed] + 1) % 3
    before, after = (with_baselines(evaluation.Tested(examples(one, days), {}), first=4) for one in (rows, other))
    early = before.examples.days <= np.unique(days)[13]
    for name in BASELINES:
        same = (before.odds[name] == after.odds[name]).all(axis=1)
        assert same[early].all()
        assert name == "geometry" or not same.all()


def test_base_rate_by_hand():
    """Tested are 4 and 5, after an embargo: the shares of dates 0 to 2, by weight."""
    every = every_of(6)
    found = with_baselines(evaluation.Tested(every, {}), first=4).odds["base rate"]
    known = every.days <= np.unique(every.days)[2]
    sums = np.bincount(every.outcomes[known], every.weights[known], minlength=3)
    assert found == approx(np.tile(sums / sums.sum(), (len(found), 1)))


def test_base_rate_by_kind_by_hand():
    """Each kind and direction is drawn toward all by SHRINK episodes; one that was never seen is as all."""
    rows = np.zeros(8, training(MANY[0]).dtype)
    rows["kind"], rows["direction"] = [0, 0, 0, 0, 1, 1, 1, 1], [0, 0, 0, 1, 0, 0, 0, 0]
    rows["outcome_4min"] = [BREAK, BREAK, BOUNCE, CHOP, BOUNCE, BOUNCE, CHOP, BREAK]
    weights = np.array([1.0, 1.0, 2.0, 1.0, 1.0, 1.0, 0.5, 0.5])
    shares = evaluation._fit_kinds(rows, weights, "4min")
    every = np.array([2.5, 4.0, 1.5]) / 8
    expected = {
        (0, 0): (np.array([2, 2, 0]) + SHRINK * every) / (4 + SHRINK),
        (0, 1): (np.array([0, 0, 1]) + SHRINK * every) / (1 + SHRINK),
        (1, 0): (np.array([0.5, 2, 0.5]) + SHRINK * every) / (3 + SHRINK),
        (-1, -1): every,
    }
    assert set(shares) == set(expected)
    for key, share in expected.items():
        assert shares[key] == approx(share)
    asked = rows[[0, 3, 4, 0]].copy()
    asked["kind"][3] = 9
    found = evaluation._predict_kinds(shares, asked)
    assert found == approx(np.stack([expected[0, 0], expected[0, 1], expected[1, 0], every]))
    assert evaluation._predict_kinds(shares, rows[:0]).shape == (0, 3)


@pytest.mark.parametrize("seed", range(4))
def test_isotonic_is_scikit_learns(seed):
    """With ties, weights, unknown scores and rows that chopped, which do not count."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sklearn = pytest.importorskip("sklearn.isotonic")
    rng = np.random.default_rng(seed)
    rows = np.zeros(300, training(MANY[0]).dtype)
    rows["break_score_smooth"] = np.round(rng.uniform(0, 100, 300), rng.integers(-1, 2))
    rows["break_score_smooth"][::9] = np.nan
    rows["outcome_4min"] = np.where(rng.random(300) < rows["break_score_smooth"] / 120, BREAK, rng.integers(1, 3, 300))
    weights = rng.random(300) + 0.1
    at, shares = evaluation._fit_isotonic(rows, weights, "4min")
    kept = (rows["outcome_4min"] != CHOP) & ~np.isnan(rows["break_score_smooth"])
    fitted = sklearn.IsotonicRegression(out_of_bounds="clip").fit(
        rows["break_score_smooth"][kept], rows["outcome_4min"][kept] == BREAK, weights[kept]
    )
    assert (np.diff(shares) >= 0).all() and 0 < len(np.unique(shares)) <= len(at)
    asked = np.linspace(-10, 110, 241)
    assert np.interp(asked, at, shares) == approx(fitted.predict(asked), abs=1e-9)


def test_the_score_says_which_way_and_geometry_how_likely():
    rows = training(MANY[0])[:3]
    for word, value in (("break", 0.3), ("bounce", 0.5), ("chop", 0.2)):
        rows[f"geometry_{word}_4min"] = value
    rows["break_score_smooth"] = 30.0, 60.0, np.nan
    fitted = np.array([20.0, 40.0, 80.0]), np.array([0.1, 0.3, 0.9])
    found = evaluation._predict_isotonic(fitted, rows, "4min")
    expected = [[0.8 * 0.2, 0.8 * 0.8, 0.2], [0.8 * 0.6, 0.8 * 0.4, 0.2], [0.3, 0.5, 0.2]]
    assert found == approx(np.array(expected))
    nothing = evaluation._predict_isotonic((np.zeros(0), np.zeros(0)), rows, "4min")
    assert nothing.tobytes() == geometry(rows, "4min").tobytes()
    sure = evaluation._predict_isotonic((np.array([50.0]), np.array([1.0])), rows, "4min")
    assert sure[0] == approx(clipped(np.array([[0.8, 0.0, 0.2]]))[0])


def test_a_score_that_tells_is_worth_something():
    """`break_score_smooth` follows a feature that moves the odds: through isotonic it beats geometry, and the logistic does too."""
    every = every_of(40)
    found = with_baselines(evaluation.Tested(every, {}), first=15)
    base = log_losses(found.geometry, found.examples.outcomes)
    for name, least in (("score, isotonic", 0.02), ("logistic on ten", 0.02)):
        assert (base - log_losses(found.odds[name], found.examples.outcomes)).mean() > least
    assert (base - log_losses(found.odds["base rate"], found.examples.outcomes)).mean() < 0
