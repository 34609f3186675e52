"""The index on worlds whose truth is known, against sums by hand, scipy and scikit-learn, and rows that it may not know."""

import json
import math
import warnings
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from pytest import approx

from spymaster_assets.features import FEATURES as REGISTRY
from spymaster_assets.models import metrics, odds
from spymaster_assets.models.baselines import TEN
from spymaster_assets.models.credible import beta_quantile, credible
from spymaster_assets.models.examples import Examples, feature_names, matrix
from spymaster_assets.models.nearest import lay_out
from spymaster_assets.models.retrieval import FEATURES, METRICS, Index, evidence, fit_index
from spymaster_assets.models.space import REACH, fit_space, relevance, whitening
from spymaster_assets.models.walk_forward import folds
from spymaster_assets.models.weights import episode_weights, episodes_of
from spymaster_assets.simulator.fast import fast_dates
from spymaster_assets.simulator.world import WORLDS
from spymaster_assets.states import BOUNCE, BREAK, CENSORED, CHOP
from tests.models.worlds import EFFECT, NS, world

STAGE_A = TEN["stage_a"]
MEASURED = ("barrier", "tape", "fuel", "noise_1", "noise_2")


def toy(days, per_day, seed, effect=EFFECT):
    """Examples of `world`: outcomes tilted by two of ten features, or drawn from geometry."""
    rows, day, _ = world(days, per_day, seed, effect)
    return Examples("4min", rows, day, np.ones(len(rows)))


@cache
def fitted():
    """An index of 60 dates, and the 15 dates after the embargo, of one world."""
    every = toy(76, 30, seed=1)
    return fit_index(every.at(every.days < 60), STAGE_A, k=60), every.at(every.days >= 61)


def fast(name, seed, dates, elapsed=(0,), **world):
    """Examples of a fast world at some landmarks."""
    rows = fast_dates(WORLDS[name], seed, range(dates), **world)
    rows = rows[(rows["outcome_4min"] <= CHOP) & np.isin(rows["elapsed"], elapsed)]
    days = rows["date"].astype(np.int64)
    weights = episode_weights(rows["t_label_start"], rows["t_label_end"], episodes_of(rows, days))
    return Examples("4min", rows, days, weights)


def walked(every, features, first, step, **options):
    """(examples tested, their odds) by an index of the dates before each fold."""
    dates = np.unique(every.days)
    places, found = [], []
    for known, test in folds(dates, first, step):
        index = fit_index(every.at(np.isin(every.days, dates[known])), features, **options)
        places.append(np.flatnonzero(np.isin(every.days, dates[test])))
        found.append(index.predict(every.rows[places[-1]], every.days[places[-1]]))
    return every.at(np.concatenate(places)), np.concatenate(found)


def gain(tested, found):
    outcomes = tested.outcomes
    saved = metrics.log_losses(odds.geometry(tested.rows, "4min"), outcomes) - metrics.log_losses(found, outcomes)
    return metrics.day_bootstrap(saved, tested.weights, tested.days)


def auc(tested, found):
    resolved = tested.outcomes != CHOP
    score, broke = metrics.break_given_resolved(found)[resolved], tested.outcomes[resolved] == BREAK
    return metrics.auc(score, broke, tested.weights[resolved])


# What it is made of


@pytest.mark.parametrize("stage", ["stage_a", "stage_b"])
def test_default_features_are_the_stages_numbers(stage):
    """20 to 40, the ten among them, each allowed at the stage, none a category, none a level or a price."""
    numbers = {feature.name for feature in REGISTRY if not feature.categories} | {"elapsed"}
    assert 20 <= len(set(FEATURES[stage])) == len(FEATURES[stage]) <= 40
    assert set(TEN[stage]) < set(FEATURES[stage]) <= numbers & set(feature_names(stage))


def test_scaling_by_hand():
    """Median 3, quartiles 2 and 4; 100 is cut off at 5 ranges; unknown is 0, and so is what never varied."""
    values = np.array(
        [[1.0, 7.0, 0.0], [2.0, 7.0, 0.0], [3.0, np.nan, 0.0], [4.0, 7.0, 0.0], [100.0, 7.0, 10.0], [np.nan, 7.0, 0.0]]
    )
    examples = toy(6, 1, seed=1)
    space = fit_space("equal", examples, values)
    assert space.centre.tolist() == [3.0, 7.0, 0.0]
    assert space.scale == approx([2.0, 0.0, np.std([0, 0, 0, 0, 10, 0])])
    expected = [[-1, 0], [-0.5, 0], [0, 0], [0.5, 0], [REACH, 0], [0, 0]]
    assert space.points(values, None)[:, :2].tolist() == expected


def test_whitening_is_ledoit_and_wolfs():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        covariance = pytest.importorskip("sklearn.covariance")
    rng = np.random.default_rng(1)
    for count in (20, 500):
        at = rng.normal(size=(count, 6)) @ rng.normal(size=(6, 6)) + 3.0
        found = whitening(at)
        assert found @ found.T == approx(np.linalg.inv(covariance.ledoit_wolf(at)[0]), rel=1e-6, abs=1e-9)
    assert whitening(np.ones((5, 3))).tolist() == np.eye(3).tolist()


def test_relevance_is_of_the_features_that_tell():
    """The two of the ten that move the odds; geometry itself, which says much of the outcome, tells nothing beyond itself."""
    every = toy(60, 30, seed=2)
    geometry = odds.geometry(every.rows, "4min")[:, BREAK]
    at = np.column_stack([*(every.rows[name] for name in STAGE_A), geometry])
    found = relevance(at, every) * at.std(axis=0)
    telling = [STAGE_A.index("approach_pulled_rate_60"), STAGE_A.index("signed_volume_60s")]
    assert found[telling[0]] == approx(1.0)
    assert found[telling[1]] == approx(0.4, abs=0.15)
    assert np.delete(found, telling).max() < 0.25
    assert relevance(np.zeros((len(every), 2)), every).tolist() == [1.0, 1.0]


def test_evidence_by_hand():
    """Squares 1, 2, 4: weights 3/4, 1/2, 0. BREAK, BOUNCE, and geometry (.5, .3, .2) and (.25, .25, .5) theirs, (.4, .4, .2) ours.

    Expected among them: .5, .35, .4 (weights' sum 5/4), so BREAK counts .75 · .4 / .5 = .6, BOUNCE .5 · .4 / .35 = 4/7.
    """
    geometry = np.array([[0.5, 0.3, 0.2], [0.25, 0.25, 0.5], [0.1, 0.1, 0.8]])
    squares, places = np.array([[1, 2, 4], [3, 3, 3], [1, 2, np.inf]], np.float32), np.array([[0, 1, 2], [2, 1, 0], [0, 1, -1]])
    asked = np.tile([0.4, 0.4, 0.2], (3, 1))
    found = evidence(squares, places, np.array([BREAK, BOUNCE, CHOP]), geometry, asked)
    assert found.weights.tolist() == [[0.75, 0.5, 0.0], [1.0, 1.0, 1.0], [0.0, 0.0, 0.0]]
    assert found.effective == approx([1.25**2 / 0.8125, 3.0, 0.0])
    assert found.shares[0] == approx(np.array([0.6, 4 / 7, 0.0]) / (0.6 + 4 / 7))
    lean = found.effective[0] / (found.effective[0] + 10)
    posterior = found.posterior(asked, np.full(3, 10.0))
    assert posterior[0] == approx(lean * found.shares[0] + (1 - lean) * asked[0])
    assert posterior[2].tobytes() == asked[2].tobytes()
    assert found.posterior(asked, np.full(3, math.inf)).tobytes() == asked.tobytes()
    alike = evidence(squares[:1], places[:1], np.array([BREAK, BOUNCE, CHOP]), np.tile([0.4, 0.4, 0.2], (3, 1)), asked[:1])
    assert alike.shares[0] == approx([0.6, 0.4, 0.0])  # neighbours that stood where the query does: their plain shares


def test_quantiles_are_scipys():
    special = pytest.importorskip("scipy.special")
    for share in (0.05, 0.5, 0.95):
        for a in (0.01, 0.5, 1.0, 7.3, 150.0, 4000.0):
            for b in (0.3, 2.0, 80.0, 9000.0):
                assert beta_quantile(share, a, b) == approx(special.betaincinv(a, b, share), rel=1e-6, abs=1e-11)
    means, totals = np.array([[0.7, 0.2, 0.1], [0.4, 0.3, 0.3]]), np.array([45.0, math.inf])
    low, high = credible(means, totals)
    assert low[0] == approx(special.betaincinv(means[0] * 45, (1 - means[0]) * 45, 0.05))
    assert high[0] == approx(special.betaincinv(means[0] * 45, (1 - means[0]) * 45, 0.95))
    assert low[1].tolist() == high[1].tolist() == means[1].tolist()


# What it may know


def test_outcomes_of_the_date_the_embargo_and_later_change_nothing():
    index, _ = fitted()
    every = toy(76, 30, seed=1)
    asked = every.at((every.days >= 40) & (every.days < 43))
    before, shown = index.predict(asked.rows, asked.days), index.shown.copy()

    def same():
        return (before == replace(index, shown=shown).predict(asked.rows, asked.days)).all(axis=1)

    shown["outcome_4min"][shown["day"] >= 41] = CHOP
    assert same().all()  # 42 may know up to 40
    shown["outcome_4min"][shown["day"] == 40] = CHOP
    assert same()[asked.days < 42].all() and not same()[asked.days == 42].all()


def test_neighbours_are_earlier_and_two_of_an_episode_at_most():
    every = toy(30, 20, seed=3)
    every.rows["episode"] = every.rows["touch"] // 4
    index = fit_index(every, STAGE_A, k=20)
    found = index.analogs(every.rows, every.days)
    there = np.isfinite(found.distances)
    assert there[every.days >= 4].all() and not there[every.days < 2].any()
    for i in range(0, len(every), 7):
        neighbours = found.neighbours[i][there[i]]
        assert (neighbours["day"] < every.days[i] - 1).all()
        episode = neighbours["day"] * 100 + neighbours["touch"] // 4
        assert not len(episode) or np.unique(episode, return_counts=True)[1].max() <= 2
        assert (neighbours["t_label_end"] < every.rows["t_decision"][i]).all()


def test_a_label_that_reaches_into_a_decision_is_refused():
    index, tested = fitted()
    shown = index.shown.copy()
    shown["t_label_end"][5] = tested.rows["t_decision"][-1]
    with pytest.raises(ValueError, match="ends after its decision"):
        replace(index, shown=shown).predict(tested.rows, tested.days)
    early = toy(76, 30, seed=1).at(np.arange(600, 610))
    with pytest.raises(ValueError, match="date 99 may know"):  # rows that claim a later date than theirs
        index.predict(early.rows, early.days + 79)


def test_a_planted_leak_is_not_read():
    """A date's rows on that date, on the embargoed one and on a later one, outcome and all, would be their own nearest neighbours.

    Nothing changes beside an index that holds the earlier dates alone.
    """
    index, _ = fitted()
    every, day = toy(76, 30, seed=1), 50
    earlier, asked = every.at(every.days < day - 1), every.at(every.days == day)
    rows = np.concatenate((earlier.rows, asked.rows, asked.rows, asked.rows))
    days = np.concatenate((earlier.days, asked.days - 1, asked.days, asked.days + 5))
    places = index.space.points(matrix(rows, STAGE_A), None)
    leaky = fit_index(Examples("4min", rows, days, np.ones(len(rows))), STAGE_A, k=60)
    leaky = replace(leaky, space=index.space, strengths=index.strengths, points=lay_out(places, days, np.arange(len(rows))))
    honest = index.predict(asked.rows, asked.days)
    assert leaky.predict(asked.rows, asked.days).tobytes() == honest.tobytes()
    asked.rows["t_decision"] += 9 * 86_400 * NS  # where it may be read, it tells
    assert gain(asked, leaky.predict(asked.rows, asked.days + 9)).mean > gain(asked, honest).mean + 0.05


# What it says


def test_the_same_bytes_alone_in_a_batch_and_in_any_order():
    index, tested = fitted()
    rows, days = tested.rows, tested.days
    whole = index.predict(rows, days)
    order = np.random.default_rng(1).permutation(len(rows))
    assert index.predict(rows[order], days[order]).tobytes() == whole[order].tobytes()
    alone = [index.predict(rows[i : i + 1], days[i : i + 1]) for i in range(0, len(rows), 11)]
    assert np.concatenate(alone).tobytes() == whole[::11].tobytes()
    found, one = index.analogs(rows, days), index.analogs(rows[7:8], days[7:8])
    assert found.probabilities.tobytes() == whole.tobytes()
    for name in ("low", "high", "effective", "percentile", "distances", "weights", "neighbours"):
        assert getattr(one, name).tobytes() == getattr(found, name)[7:8].tobytes()


def test_what_is_saved_is_what_was_fitted(tmp_path):
    index, tested = fitted()
    index.save(tmp_path / "one")
    read = Index.load(tmp_path / "one")
    read.save(tmp_path / "two")
    again = fit_index(toy(76, 30, seed=1).at(np.arange(60 * 30)), STAGE_A, k=60)
    again.save(tmp_path / "three")
    for name in ("index.parquet", "index.json"):
        first = (tmp_path / "one" / name).read_bytes()
        assert first == (tmp_path / "two" / name).read_bytes() == (tmp_path / "three" / name).read_bytes()
    assert read.predict(tested.rows, tested.days).tobytes() == index.predict(tested.rows, tested.days).tobytes()
    assert read.analogs(tested.rows, tested.days).neighbours.dtype == index.shown.dtype
    facts = json.loads((tmp_path / "one" / "index.json").read_text())
    assert facts["metric"] in METRICS and facts["losses"]["relevant"] < facts["losses"]["geometry"]


def test_the_order_of_examples_does_not_matter_beyond_ties():
    index, tested = fitted()
    every = toy(76, 30, seed=1)
    order = np.random.default_rng(2).permutation(60 * 30)
    other = fit_index(every.at(order), STAGE_A, k=60)
    assert other.space.metric == index.space.metric and other.strengths == index.strengths
    assert other.predict(tested.rows, tested.days) == approx(index.predict(tested.rows, tested.days), abs=1e-4)


@pytest.mark.parametrize("dates", [0, 1, 2, 4])
def test_too_few_rows_are_geometry_exactly(dates, tmp_path):
    """None at all, or fewer than k that a query may know; saved and read back too."""
    every = toy(6, 10, seed=5)
    index = fit_index(every.at(every.days < dates), STAGE_A, k=41)
    index.save(tmp_path)
    for one in (index, Index.load(tmp_path)):
        found = one.analogs(every.rows, every.days)
        assert found.probabilities.tobytes() == odds.geometry(every.rows, "4min").tobytes()
        assert found.no_close_analog.all() and not found.effective.any()
        assert found.neighbours.shape == (60, 41)


def test_rows_of_the_features_table_can_be_asked():
    """They name the moment of decision `ts`."""
    index, tested = fitted()
    renamed = [("ts" if name == "t_decision" else name, tested.rows.dtype[name]) for name in tested.rows.dtype.names]
    assert index.predict(tested.rows.astype(renamed), tested.days).tobytes() == index.predict(tested.rows, tested.days).tobytes()


def test_a_price_or_a_label_cannot_be_compared_and_a_censored_row_not_kept():
    with pytest.raises(ValueError, match="outcome_4min"):
        fit_index(toy(10, 5, seed=1), (*STAGE_A, "outcome_4min"))
    every = toy(10, 5, seed=1)
    every.rows["outcome_4min"][3] = CENSORED
    with pytest.raises(ValueError, match="outcomes are"):
        fit_index(every, STAGE_A)


def test_it_finds_the_features_that_tell_and_gains_by_them():
    index, tested = fitted()
    assert index.space.metric == "relevant" and index.strengths[0] < math.inf
    found = index.predict(tested.rows, tested.days)
    assert found.sum(axis=1) == approx(np.ones(len(found)))
    assert gain(tested, found).low > 0.02


def test_intervals_hold_what_they_say():
    """The true probability lies in the interval of 90 % in most rows; shares tell of the neighbourhood, not of the row: 80 %."""
    index, tested = fitted()
    true = world(76, 30, seed=1)[2][61 * 30 :]
    found = index.analogs(tested.rows, tested.days)
    assert (found.low < found.probabilities).all() and (found.probabilities < found.high).all()
    assert ((found.low <= true) & (true <= found.high)).mean() > 0.75


def test_a_row_like_no_other_is_told_apart():
    """Rows of new dates are flagged about as often as the index's own, one in twenty; a far one always."""
    index, tested = fitted()
    found = index.analogs(tested.rows, tested.days)
    assert found.no_close_analog.mean() == approx(0.05, abs=0.04)
    assert np.percentile(found.percentile, (10, 50, 90)) == approx([0.1, 0.5, 0.9], abs=0.1)
    far = tested.rows[:5].copy()
    for name in STAGE_A:
        far[name] = 50.0
    assert index.analogs(far, tested.days[:5]).no_close_analog.all()


def test_leaves_are_compared_where_they_tell_most():
    """Trees whose leaves are cells of the product of two features, which no feature tells alone."""
    every = toy(60, 30, seed=6, effect=None)
    sign = np.sign(every.rows["wall_ratio"] * every.rows["gamma_exposure"])
    rng = np.random.default_rng(7)
    told = rng.random(len(every)) < 0.6
    every.rows["outcome_4min"] = np.where(told, np.where(sign > 0, BREAK, BOUNCE), every.rows["outcome_4min"])
    cuts = rng.normal(0, 0.3, (12, 2))
    leaves = np.stack([2 * (every.rows["wall_ratio"] > a) + (every.rows["gamma_exposure"] > b) for a, b in cuts], axis=1)
    known, asked = every.days < 45, every.days > 45
    index = fit_index(every.at(known), STAGE_A, k=60, leaves=leaves[known])
    assert index.space.metric == "leaves"
    tested = every.at(asked)
    assert gain(tested, index.predict(tested.rows, tested.days, leaves[asked])).low > 0.1
    with pytest.raises(ValueError, match="compares leaves"):
        index.predict(tested.rows, tested.days)


# The fast world


def test_what_is_planted_is_found():
    every = fast("LINEAR", 1, 80)
    tested, found = walked(every, MEASURED, 40, 20, k=120)
    assert auc(tested, found) > 0.6
    assert gain(tested, found).low > 0


def test_after_the_touch_it_gains_on_geometry():
    every = fast("LINEAR", 1, 50, (5, 30, 60))
    tested, found = walked(every, ("elapsed", "position", *MEASURED), 30, 20)
    assert gain(tested, found).low > 0


def test_where_nothing_is_it_falls_back_to_geometry():
    """Noise gets past the standard error now and then; then its gain is none, and costs little."""
    ways = [walked(fast("NULL", seed, 60), MEASURED, 40, 20) for seed in (1, 2, 3)]
    found = [gain(*one) for one in ways]
    assert all(one.low <= 0 and one.mean > -0.005 for one in found)
    assert sum(odds.geometry(one.rows, "4min").tobytes() == told.tobytes() for one, told in ways) >= 2


@pytest.mark.slow
def test_the_strong_world_at_the_touch():
    """Design: AUC of .68 at e = 0 from 120 dates; the mean of ten worlds, since 60 test dates leave an error of .02 in each.

    K was chosen on the first five (.698), not on the others (.680).
    """
    found = []
    for seed in (1, 2, 3, 4, 5, 11, 12, 13, 14, 15):
        tested, chances = walked(fast("LINEAR", seed, 120), MEASURED, 60, 20)
        found.append((auc(tested, chances), gain(tested, chances).mean))
    print("AUC, gain:", np.round(found, 4).tolist(), np.mean(found, axis=0))
    assert np.mean(found, axis=0)[0] >= 0.68
