"""The rule of promotion: surely better, rightly sure, and no leak; else what serves stays, and it is said why."""

import json
from functools import cache

import numpy as np
import pytest

from spymaster_assets.evaluating import plain
from spymaster_assets.models import evaluation
from spymaster_assets.models.artifacts import GEOMETRY
from spymaster_assets.models.examples import examples
from spymaster_assets.models.metrics import day_bootstrap, log_losses
from spymaster_assets.models.odds import geometry
from spymaster_assets.models.promotion import LEAST_DATES, SLOPES, decide, judge
from tests.models.small_lake import trading, training
from tests.models.worlds import tilted

MANY = trading("2025-03-03", 40)
WEAK = {"approach_pulled_rate_60": (0.2, -0.2, 0.0)}  # a stratified AUC of about .61
HARD = {"approach_pulled_rate_60": (1.5, -1.5, 0.0)}


@cache
def every_of(strong=False):
    rows = [training(date, touched=24, effect=HARD if strong else WEAK) for date in MANY]
    days = np.repeat([date.toordinal() for date in MANY], len(rows[0]))
    return examples(np.concatenate(rows), days)


def said(strong=False, **shares):
    """Odds that go a share of the way from geometry to the truth: 1 is the truth, 2 twice as sure."""
    every = every_of(strong)
    effect = (HARD if strong else WEAK)["approach_pulled_rate_60"]
    logits = np.outer(every.rows["approach_pulled_rate_60"], effect)
    base = geometry(every.rows, "4min")
    return evaluation.Tested(every, {name: tilted(base, share * logits) for name, share in shares.items()})


def test_who_gains_is_promoted_over_geometry():
    name, verdicts = decide(said(trees=1.0), GEOMETRY, ("trees",))
    (verdict,) = verdicts
    assert name == "trees" and verdict.reasons == ()
    assert (verdict.name, verdict.rows, verdict.dates) == ("trees", 2880, 40)
    assert verdict.gain.low > 0 and SLOPES[0] < verdict.slope < SLOPES[1]


def test_the_gain_is_over_the_champion():
    """Measured row by row against what serves now, not against geometry: its equal stays where it is, so does who is worse."""
    part = said(trees=1.0, retrieval=1.0, ensemble=0.3)
    name, verdicts = decide(part, "trees", ("trees", "retrieval", "ensemble"))
    assert name == "trees" and [one.name for one in verdicts] == ["retrieval", "ensemble"]
    assert verdicts[0].gain == (0.0, 0.0, 0.0) and "gain over trees" in verdicts[0].reasons[0]
    outcomes, weights = part.examples.outcomes, part.examples.weights
    saved = log_losses(part.odds["trees"], outcomes) - log_losses(part.odds["ensemble"], outcomes)
    assert verdicts[1].gain.mean == pytest.approx(np.average(saved, weights=weights)) and verdicts[1].gain.mean < 0
    name, verdicts = decide(said(trees=0.2, retrieval=1.0), "trees", ("trees", "retrieval"))
    assert name == "retrieval" and verdicts[0].gain.low > 0


def test_who_is_surely_worse_than_geometry_serves_no_longer():
    part = said(trees=-1.0, retrieval=0.0)
    name, verdicts = decide(part, "trees", ("trees", "retrieval"))
    assert name == GEOMETRY and all("gain over geometry" in verdict.reasons[0] for verdict in verdicts)
    assert decide(said(trees=0.0), "trees", ("trees",))[0] == "trees"  # no worse


def test_of_several_the_one_with_the_largest_gain():
    name, verdicts = decide(said(trees=0.6, retrieval=1.0, ensemble=0.7), GEOMETRY, ("trees", "retrieval", "ensemble"))
    assert not any(one.reasons for one in verdicts)
    assert name == "retrieval" == max(verdicts, key=lambda one: one.gain.mean).name


def test_not_surely_better_stays_and_says_why():
    part = said(trees=1.0)
    noise = np.random.default_rng(1).normal(0, 0.05, part.geometry.shape)
    name, (verdict,) = decide(evaluation.Tested(part.examples, {"trees": tilted(part.geometry, noise)}), GEOMETRY, ("trees",))
    assert name == GEOMETRY and verdict.gain.low < 0 < verdict.gain.high
    told = f"{verdict.gain.mean:+.4f} nats ({verdict.gain.low:+.4f} to {verdict.gain.high:+.4f})"
    assert verdict.reasons == (f"its gain over geometry, {told}, is not surely above 0",)
    one = part.at(part.examples.days == MANY[0].toordinal())  # one date knows no spread
    name, (verdict,) = decide(one, GEOMETRY, ("trees",))
    assert name == GEOMETRY and verdict.reasons[0] == "it was tested on 1 date, 10 are needed"
    nothing = decide(said(trees=0.0), GEOMETRY, ("trees",))
    assert nothing[0] == GEOMETRY and "0.0000 nats" in nothing[1][0].reasons[0]


@pytest.mark.parametrize(("dates", "promoted"), [(LEAST_DATES - 1, GEOMETRY), (LEAST_DATES, "trees")])
def test_of_few_dates_none_is_promoted_however_much_it_gains(dates, promoted):
    part = said(strong=True, trees=1.0)
    few = part.at(np.isin(part.examples.days, [date.toordinal() for date in MANY[:dates]]))
    name, (verdict,) = decide(few, GEOMETRY, ("trees",), planted=True)
    assert verdict.gain.low > 0 and name == promoted
    assert verdict.reasons == (() if promoted == "trees" else (f"it was tested on {dates} dates, {LEAST_DATES} are needed",))


def test_how_often_luck_alone_is_promoted():
    """Of gains by date that are luck, the interval lies above 0 about as often as the module says: 12 % of three, 5 % of ten."""
    rng = np.random.default_rng(5)
    for dates, share in ((3, 0.125), (LEAST_DATES, 0.048)):
        days, tries = np.arange(dates), 1500
        lows = [day_bootstrap(rng.normal(size=dates), np.ones(dates), days, draws=400, seed=n).low for n in range(tries)]
        above = np.mean(np.array(lows) > 0)
        assert above == pytest.approx(share, abs=4 * np.sqrt(share * (1 - share) / tries) + 0.01)


@pytest.mark.parametrize(("share", "slope"), [(0.15, "above"), (2.5, "below")])
def test_too_shy_and_too_sure_are_not_promoted(share, slope):
    """A share of the truth gains all the same; the slope of its P(break | resolved) tells. Of a geometry that says nothing."""
    every = every_of(strong=True)
    rows = every.rows.copy()
    base = np.tile([0.4, 0.4, 0.2], (len(rows), 1))
    for word, column in zip(("break", "bounce", "chop"), base.T, strict=True):
        rows[f"geometry_{word}_4min"] = column
    logits = np.outer(rows["approach_pulled_rate_60"], (1.0, -1.0, 0.0))
    rng = np.random.default_rng(1)
    rows["outcome_4min"] = (rng.random((len(rows), 1)) > tilted(base, logits).cumsum(axis=1)).sum(axis=1)
    part = evaluation.Tested(examples(rows, every.days), {"trees": tilted(base, share * logits)})
    name, (verdict,) = decide(part, GEOMETRY, ("trees",), planted=True)
    assert name == GEOMETRY
    assert (verdict.slope > SLOPES[1]) if slope == "above" else (verdict.slope < SLOPES[0])
    assert f"the slope of its calibration is {verdict.slope:.2f}; expected 0.5 to 1.5" in verdict.reasons
    if slope == "above":
        assert verdict.gain.low > 0 and len(verdict.reasons) == 1


def test_a_leak_is_flagged_unless_the_truth_is_planted():
    every = every_of(strong=True)
    part = evaluation.Tested(every, {"trees": tilted(geometry(every.rows, "4min"), 3.0 * np.eye(3)[every.outcomes])})
    verdict = judge(part, "trees", GEOMETRY)
    assert {one[:10] for one in verdict.reasons if "stratified AUC" in one} == {"trees, 0 s", "trees, 15 ", "trees, 60 "}
    assert not [one for one in judge(part, "trees", GEOMETRY, planted=True).reasons if "stratified" in one]
    strong = said(strong=True, trees=1.0)
    assert decide(strong, GEOMETRY, ("trees",))[0] == GEOMETRY
    assert decide(strong, GEOMETRY, ("trees",), planted=True)[0] == "trees"


def test_rows_are_those_that_both_know():
    """Where one of them is silent the other is not held against it."""
    part = said(trees=1.0, patchtst=0.2)
    quiet = np.arange(len(part.examples)) % 4 == 0
    part.odds["patchtst"][quiet] = np.nan
    assert judge(part, "patchtst", GEOMETRY).rows == judge(part, "trees", "patchtst").rows == (~quiet).sum()
    both = part.at(~quiet)
    assert judge(part, "trees", "patchtst").gain == judge(both, "trees", "patchtst").gain


def test_who_said_nothing_is_not_promoted():
    part = said(trees=1.0, patchtst=1.0)
    part.odds["patchtst"][:] = np.nan
    verdict = judge(part, "patchtst", GEOMETRY)
    assert (verdict.rows, verdict.dates, verdict.reasons) == (0, 0, ("it has said nothing yet",))
    assert json.dumps(plain(verdict.as_json()), allow_nan=False)
    name, verdicts = decide(part, GEOMETRY, ("trees", "retrieval", "patchtst"))
    assert name == "trees" and [one.name for one in verdicts] == ["trees", "patchtst"]  # retrieval has no odds at all


def test_a_champion_that_is_silent_is_geometry():
    """It has no odds where it says nothing of any row: what was served there is geometry."""
    name, (verdict,) = decide(said(trees=1.0), "patchtst", ("trees", "patchtst"))
    assert name == "trees" and verdict.gain == judge(said(trees=1.0), "trees", GEOMETRY).gain


def test_a_verdict_is_json():
    verdict = judge(said(trees=1.0), "trees", GEOMETRY)
    told = json.loads(json.dumps(plain(verdict.as_json()), allow_nan=False))
    assert told == {
        "name": "trees", "rows": 2880, "dates": 40, "gain": list(verdict.gain), "slope": verdict.slope, "reasons": [],
    }  # fmt: skip
