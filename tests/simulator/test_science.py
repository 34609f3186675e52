"""Science on the fast world: a regression around geometry finds what is planted, and nothing where nothing is. Slow.

`make test-slow` runs it; docs/simulator.md has the figures.
"""

import numpy as np
import pytest

from spymaster_assets.models import baselines, metrics
from spymaster_assets.models.odds import clipped
from spymaster_assets.models.walk_forward import folds
from spymaster_assets.simulator.fast import fast_dates
from spymaster_assets.simulator.world import WORLDS
from spymaster_assets.states import BREAK, CHOP

COLUMNS = ("barrier", "tape", "fuel", "noise_1", "noise_2")
FIRST, STEP, RIDGE = 40, 20, 10.0


def design_of(rows):
    """A one, the measurements of the latents and two columns of noise."""
    return np.column_stack([np.ones(len(rows)), *(rows[name] for name in COLUMNS)])


def geometry_of(rows):
    odds = np.column_stack([rows[f"geometry_{name}_4min"] for name in ("break", "bounce", "chop")])
    return clipped(odds)


def told(rows):
    """Rows with an outcome of 4 minutes."""
    return rows[rows["outcome_4min"] <= CHOP]


def walked(rows):
    """(rows that were tested, the regression's odds for them): one fit per landmark and fold, on earlier dates."""
    tested, odds = [], []
    for elapsed in np.unique(rows["elapsed"]):
        part = rows[rows["elapsed"] == elapsed]
        dates, number = np.unique(part["date"], return_inverse=True)
        for train, test in folds(dates, FIRST, STEP):
            known, asked = part[np.isin(number, train)], part[np.isin(number, test)]
            weights = np.ones(len(known))
            fitted = baselines.fit_multinomial(
                design_of(known), np.log(geometry_of(known)), known["outcome_4min"].astype(int), weights, RIDGE
            )
            logits = np.log(geometry_of(asked)) + design_of(asked) @ fitted
            chances = np.exp(logits - logits.max(axis=1, keepdims=True))
            tested.append(asked)
            odds.append(chances / chances.sum(axis=1, keepdims=True))
    return np.concatenate(tested), np.concatenate(odds)


def gain(rows, odds):
    """Nats a row over geometry, by whole dates."""
    outcomes = rows["outcome_4min"].astype(int)
    saved = metrics.log_losses(geometry_of(rows), outcomes) - metrics.log_losses(odds, outcomes)
    return metrics.day_bootstrap(saved, np.ones(len(rows)), rows["date"])


def auc_at_the_touch(rows, odds):
    """(AUC, stratified AUC) of break against bounce at e = 0."""
    at = (rows["elapsed"] == 0) & (rows["outcome_4min"] != CHOP)
    score, broke = metrics.break_given_resolved(odds[at]), rows["outcome_4min"][at] == BREAK
    even, base = np.ones(int(at.sum())), metrics.break_given_resolved(geometry_of(rows[at]))
    return metrics.auc(score, broke, even), metrics.stratified_auc(score, broke, even, base)


@pytest.mark.slow
def test_nothing_is_found_where_nothing_is():
    """Of 20 seeds at most 3 have a gain whose lower bound lies above 0."""
    lows = []
    for seed in range(20):
        rows, odds = walked(told(fast_dates(WORLDS["NULL"], seed, range(120))))
        lows.append(gain(rows, odds).low)
    print("lower bounds:", np.round(lows, 4))
    assert sum(low > 0 for low in lows) <= 3


@pytest.mark.slow
@pytest.mark.parametrize(("name", "within"), [("NULL", True), ("LINEAR", False)])
def test_outcomes_that_were_dealt_anew_are_not_found(name, within):
    """Within dates where nothing is planted; where something is, over all dates: what the touches of a date share stays with it."""
    found = []
    for seed in range(8):
        rows = told(fast_dates(WORLDS[name], seed, range(120)))
        rows = rows[rows["elapsed"] == 0]
        of = np.random.default_rng(seed)
        for date in np.unique(rows["date"]) if within else [None]:
            at = np.flatnonzero(rows["date"] == date) if within else np.arange(len(rows))
            rows["outcome_4min"][at] = rows["outcome_4min"][of.permutation(at)]
        found.append(auc_at_the_touch(*walked(rows))[1])
    print("stratified AUC:", np.round(found, 3), np.mean(found))
    assert np.mean(found) == pytest.approx(0.5, abs=0.015)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["LINEAR", "W", "A", "G"])
def test_what_is_planted_is_found(name):
    rows, odds = walked(told(fast_dates(WORLDS[name], 1, range(200))))
    for elapsed in np.unique(rows["elapsed"]):
        at = rows["elapsed"] == elapsed
        print(name, elapsed, gain(rows[at], odds[at]))
    at = rows["elapsed"] == 0
    print(name, "AUC", auc_at_the_touch(rows, odds))
    assert gain(rows[at], odds[at]).low > 0 and auc_at_the_touch(rows, odds)[0] >= 0.64


@pytest.mark.slow
def test_a_leak_stands_out():
    rows = told(fast_dates(WORLDS["LEAKY"], 1, range(60)))
    at = (rows["elapsed"] == 0) & (rows["outcome_4min"] != CHOP)
    assert metrics.auc(rows["leak"][at], rows["outcome_4min"][at] == BREAK, np.ones(int(at.sum()))) > 0.95
