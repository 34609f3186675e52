"""Trees on worlds whose truth is known: nothing learnt is geometry exactly, and a row is told the same in any company."""

import json
from dataclasses import replace
from functools import cache
from itertools import pairwise

import numpy as np
import pytest
from pytest import approx

from spymaster_assets.models.baselines import TEN
from spymaster_assets.models.examples import Examples, feature_names
from spymaster_assets.models.metrics import day_bootstrap, log_losses
from spymaster_assets.models.odds import geometry, logs, softmax
from spymaster_assets.models.trees import Heads, Trees, fit_heads, fit_trees
from spymaster_assets.states import BREAK, CHOP
from spymaster_assets.tables.predictions import HEADS, QUANTILES, REACH_SECONDS
from tests.models.small_lake import DATES, RULES, training
from tests.models.worlds import EFFECT, world

STAGE_A = TEN["stage_a"]
STRONG = {"approach_pulled_rate_60": (1.6, -1.6, 0.0), "signed_volume_60s": (0.4, 0.4, -0.8)}


def toy(days, per_day, seed, effect=EFFECT):
    rows, day, _ = world(days, per_day, seed, effect)
    return Examples("4min", rows, day, np.ones(len(rows)))


@cache
def fitted():
    """Trees of 40 dates of a world with an effect, their odds out of fold, and what they learnt from."""
    every = toy(40, 30, seed=1, effect=STRONG)
    trees, odds = fit_trees(every, STAGE_A, RULES)
    return trees, odds, every


@cache
def heads():
    """Heads of both stages' rows of 19 dates."""
    rows = np.concatenate([training(date, touched=12) for date in DATES])
    every = Examples("4min", rows, np.repeat(np.arange(len(DATES)), 36), np.ones(len(rows))).stage("stage_b")
    return fit_heads(every, feature_names("stage_b"), replace_rules(head_rounds=12)), every


def replace_rules(**changed):
    return RULES.model_copy(update=changed)


def gain(every, odds):
    saved = log_losses(geometry(every.rows, "4min"), every.outcomes) - log_losses(odds, every.outcomes)
    return day_bootstrap(saved, every.weights, every.days)


# What they learn


def test_no_round_is_geometry_to_the_last_bit():
    trees, _, every = fitted()
    none = replace(trees, rounds=0)
    base = geometry(every.rows, "4min")
    assert none.predict(every.rows).tobytes() == softmax(logs(base)).tobytes()
    assert none.predict(every.rows) == approx(base, abs=1e-15)
    assert not none.raw(every.rows).any() and not none.contributions(every.rows).any()
    assert none.contributions(every.rows).shape == (len(every), 3, 1 + len(STAGE_A))
    assert none.leaves(every.rows).shape == (len(every), 0)


def test_a_planted_effect_is_found():
    """Out of fold and on dates that were never seen; by the two features that carry it."""
    trees, odds, every = fitted()
    assert trees.rounds > 0
    assert gain(every, odds).low > 0.05
    new = toy(30, 30, seed=2, effect=STRONG)
    assert gain(new, trees.predict(new.rows)).low > 0.05
    told = np.abs(trees.contributions(new.rows)[:, BREAK, :-1]).mean(axis=0)
    assert STAGE_A[int(told.argmax())] == "approach_pulled_rate_60"
    resolved = np.abs(trees.contributions(new.rows)[:, CHOP, :-1]).mean(axis=0)
    assert STAGE_A[int(resolved.argmax())] == "signed_volume_60s"


def test_noise_is_left_alone():
    """Where nothing is to be found few rounds or none are kept, and what they add costs little on new dates."""
    for seed in (1, 2, 3):
        every, new = toy(40, 20, seed, effect=None), toy(40, 20, seed + 100, effect=None)
        trees, odds = fit_trees(every, STAGE_A, RULES)
        assert trees.rounds <= 5
        assert gain(every, odds).mean < 0.01
        assert gain(new, trees.predict(new.rows)).mean > -0.01


def test_rounds_are_those_that_lose_least():
    """What is reported out of fold is what was tried, and the number of trees is what was chosen."""
    trees, odds, every = fitted()
    assert list(trees.tried) == list(range(0, RULES.tree_rounds + 1, RULES.tree_step))
    assert trees.rounds == min(trees.tried, key=trees.tried.get)
    assert trees.tried[0] == approx(np.average(log_losses(geometry(every.rows, "4min"), every.outcomes)))
    assert trees.tried[trees.rounds] == approx(np.average(log_losses(odds, every.outcomes)))
    assert trees.leaves(every.rows).shape == (len(every), 3 * trees.rounds)


def test_out_of_fold_is_out_of_fold():
    """A block's odds do not change with its own outcomes, as long as the number of rounds does not; those of others do."""
    every = toy(12, 20, seed=3, effect=STRONG)
    rules = replace_rules(tree_rounds=5)
    first, before = fit_trees(every, STAGE_A, rules)
    other = every.at(np.arange(len(every)))
    block = other.days < 1  # of the first block, dates 0 to 3
    other.rows["outcome_4min"][block] = (other.rows["outcome_4min"][block] + 1) % 3
    second, after = fit_trees(other, STAGE_A, rules)
    assert first.rounds == second.rounds == 5
    same = (before == after).all(axis=1)
    assert same[every.days < 4].all() and not same[every.days >= 4].all()


# The same


def test_trained_twice_the_files_are_the_same(tmp_path):
    trees, odds, every = fitted()
    again, told = fit_trees(every, STAGE_A, RULES)
    for name, one in (("one", trees), ("two", again)):
        (tmp_path / name).mkdir()
        one.save(tmp_path / name, "trees")
    for suffix in ("txt", "json"):
        assert (tmp_path / "one" / f"trees.{suffix}").read_bytes() == (tmp_path / "two" / f"trees.{suffix}").read_bytes()
    assert told.tobytes() == odds.tobytes()


def test_another_seed_is_another_model():
    """So that equal files tell something: rows and features are drawn by the seed."""
    trees, _, every = fitted()
    assert fit_trees(every, STAGE_A, replace_rules(seed=2))[0].text != trees.text


def test_a_row_is_told_the_same_alone_in_a_batch_in_any_order_and_read_back(tmp_path):
    trees, _, every = fitted()
    rows = every.rows.copy()
    rows["wall_ratio"][::5] = np.nan
    trees.save(tmp_path, "trees")
    read = Trees.load(tmp_path, "trees")
    assert (read.horizon, read.features, read.rounds, read.tried) == (trees.horizon, trees.features, trees.rounds, trees.tried)
    order = np.random.default_rng(1).permutation(len(rows))
    for ask in (Trees.predict, Trees.raw, Trees.leaves, Trees.contributions):
        whole = ask(trees, rows)
        assert ask(read, rows).tobytes() == whole.tobytes()
        assert ask(trees, rows[order]).tobytes() == whole[order].tobytes()
        alone = np.concatenate([ask(trees, rows[i : i + 1]) for i in range(0, len(rows), 13)])
        assert alone.tobytes() == whole[::13].tobytes()
        assert ask(trees, rows[:0]).shape[1:] in (whole.shape[1:], (0,))


def test_shap_adds_up_to_what_the_trees_add():
    trees, _, every = fitted()
    assert trees.contributions(every.rows).sum(axis=2) == approx(trees.raw(every.rows), abs=1e-9)


def test_what_they_add_is_added_to_geometry():
    trees, _, every = fitted()
    rows = every.rows[:7]
    expected = geometry(rows, "4min") * np.exp(trees.raw(rows))
    assert trees.predict(rows) == approx(expected / expected.sum(axis=1, keepdims=True))


# Strange data


def test_columns_that_tell_nothing_change_nothing():
    """One that is unknown everywhere, one that never varies: the same splits, whether they are there or not."""
    _, _, every = fitted()
    other = every.at(np.arange(len(every)))
    names = ("gamma_exposure", "gex_above_3strike")
    other.rows[names[0]], other.rows[names[1]] = np.nan, 7.0
    trees, found = fit_trees(other, STAGE_A, RULES)
    assert trees.rounds > 0 and np.isfinite(found).all()
    told = trees.contributions(other.rows)
    assert not told[:, :, [STAGE_A.index(name) for name in names]].any()
    assert gain(other, found).low > 0.05
    moved = other.rows.copy()
    moved[names[0]], moved[names[1]] = 3.0, -9.0
    assert trees.predict(moved).tobytes() == trees.predict(other.rows).tobytes()


def test_the_unknown_is_told_too():
    """Where a feature is unknown for one class alone, that is a reason to split."""
    every = toy(30, 20, seed=4, effect=None)
    rng = np.random.default_rng(4)
    every.rows["wall_ratio"][(every.outcomes == BREAK) & (rng.random(len(every)) < 0.7)] = np.nan
    trees, _ = fit_trees(every, STAGE_A, RULES)
    row = every.rows[:1].copy()
    row["wall_ratio"] = 0.0
    known = trees.predict(row)[0, BREAK]
    row["wall_ratio"] = np.nan
    assert trees.predict(row)[0, BREAK] > known + 0.1


def test_a_class_that_never_happened_becomes_unlikely():
    every = toy(20, 20, seed=5, effect=STRONG)
    kept = every.at(every.outcomes != CHOP)
    trees, odds = fit_trees(kept, STAGE_A, RULES)
    assert trees.rounds > 0 and odds.sum(axis=1) == approx(np.ones(len(kept)))
    assert (odds[:, CHOP] > 0).all() and odds[:, CHOP].mean() < geometry(kept.rows, "4min")[:, CHOP].mean() / 2


def test_one_class_alone_is_geometry():
    every = toy(20, 20, seed=6)
    kept = every.at(every.outcomes == BREAK)
    trees, odds = fit_trees(kept, STAGE_A, RULES)
    assert trees.rounds == 0 and odds == approx(geometry(kept.rows, "4min")) and trees.predict(kept.rows) == approx(odds)


@pytest.mark.parametrize(("dates", "told"), [(2, "count 3"), (3, None)])
def test_fewer_dates_than_folds_are_refused(dates, told):
    every = toy(dates, 20, seed=7)
    if told:
        with pytest.raises(ValueError, match=f"{told}.*{dates} dates"):
            fit_trees(every, STAGE_A, RULES)
    else:
        assert len(fit_trees(every, STAGE_A, replace_rules(embargo=0))[1]) == len(every)
    with pytest.raises(ValueError, match="no date is left to train on"):
        fit_trees(every, STAGE_A, replace_rules(folds=2, embargo=2))


def test_weights_count():
    """Rows of weight next to nothing are as if they were not there: the effect that they alone have is not learnt."""
    every, noise = toy(30, 20, seed=8, effect=STRONG), toy(30, 20, seed=8, effect=None)
    half = every.days % 2 == 0
    rows = np.where(half, every.rows, noise.rows)
    light = Examples("4min", rows, every.days, np.where(half, 1e-9, 1.0))
    heavy = Examples("4min", rows, every.days, np.ones(len(rows)))
    at = np.abs(fit_trees(light, STAGE_A, RULES)[0].raw(rows)).mean()
    assert at < 0.2 * np.abs(fit_trees(heavy, STAGE_A, RULES)[0].raw(rows)).mean()


# Heads


def test_heads_tell_strength_and_reach():
    found, every = heads()
    told = found.predict(every.rows)
    assert list(told) == [head.name for head in HEADS]
    for head in HEADS:
        assert np.isfinite(told[head.name]).all()
        if head.seconds:
            assert ((told[head.name] >= 0) & (told[head.name] <= 1)).all()
    broke = every.outcomes == BREAK
    assert told["strength"][broke].mean() > told["strength"][~broke].mean() + 0.5
    assert told["reach_break_2_240s"][broke].mean() > told["reach_break_2_240s"][~broke].mean() + 0.1
    assert told["reach_bounce_2_240s"][broke].mean() < told["reach_bounce_2_240s"][~broke].mean()


def test_quantiles_and_reach_are_ordered_on_average():
    found, every = heads()
    told = {name: values.mean() for name, values in found.predict(every.rows).items()}
    for side in ("max", "min"):
        low, middle, high = (told[f"excursion_{side}_{round(100 * q)}"] for q in QUANTILES)
        assert low < middle < high
    for way in ("break", "bounce"):
        for barrier in (1, 2):
            at = [told[f"reach_{way}_{barrier}_{seconds}s"] for seconds in REACH_SECONDS]
            assert all(sooner <= later + 0.02 for sooner, later in pairwise(at)) and at[0] < at[-1] + 0.02
        for seconds in REACH_SECONDS:
            assert told[f"reach_{way}_1_{seconds}s"] > told[f"reach_{way}_2_{seconds}s"] - 0.02


def test_a_reach_happened_when_its_time_is_known_and_short_enough():
    """Of a head of no trees but its mean: the share of rows whose time to the barrier is within its seconds."""
    _, every = heads()
    found = fit_heads(every, ("elapsed",), replace_rules(head_rounds=1, tree_least_rows=10**6)).predict(every.rows)
    for way, barrier, seconds in (("break", 1, 60), ("bounce", 2, 180)):
        share = (every.rows[f"time_to_{way}_{barrier}_4min"] <= seconds).mean()
        assert found[f"reach_{way}_{barrier}_{seconds}s"] == approx(np.full(len(every), share), abs=1e-6)
    assert found["strength"] == approx(np.full(len(every), every.rows["strength_signed_4min"].mean()), abs=1e-4)


def test_heads_read_back_say_the_same_alone_and_in_a_batch(tmp_path):
    found, every = heads()
    found.save(tmp_path, "stage_b")
    read = Heads.load(tmp_path, "stage_b")
    assert json.loads((tmp_path / "stage_b_heads.json").read_text()) == list(feature_names("stage_b"))
    whole = found.predict(every.rows)
    for i in (0, 17, len(every) - 1):
        alone = read.predict(every.rows[i : i + 1])
        assert all(alone[name].tobytes() == whole[name][i : i + 1].tobytes() for name in whole)


def test_heads_leave_out_rows_whose_target_is_unknown():
    _, every = heads()
    rules = replace_rules(head_rounds=2)
    other = every.at(np.arange(len(every)))
    other.rows["strength_signed_4min"][::3] = np.nan
    kept = every.at(np.arange(len(every)) % 3 > 0)
    names = ("elapsed", "approach_pulled_rate_60")
    some, without = fit_heads(other, names, rules), fit_heads(kept, names, rules)
    assert some.predict(every.rows)["strength"].tobytes() == without.predict(every.rows)["strength"].tobytes()
