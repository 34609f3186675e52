"""The evaluation of a small lake: on rows out of sample only, the same each time, and what follows from it."""

import json
import math
import re
import shutil

import numpy as np
import pytest

from spymaster_assets import evaluating
from spymaster_assets.evaluating import NAME, evaluate, found_by, plain, simulated, untrained
from spymaster_assets.models import promotion
from spymaster_assets.models.artifacts import CHAMPION, GEOMETRY, Artifacts
from spymaster_assets.models.odds import geometry
from spymaster_assets.models.predicting import odds_of
from spymaster_assets.promoting import promote
from spymaster_assets.tables import PATH_TRUTH, PREDICTIONS, SEQUENCES, TOUCHES, TRAINING
from spymaster_assets.tables.predictions import MEMBERS
from spymaster_assets.training import Trainer
from tests.models.small_lake import DATES, FIRST, RULES, copied, evaluated, filled, put, trained, training
from tests.models.worlds import EFFECT, tilted

LAST = DATES[-1]
TESTED = DATES[DATES.index(FIRST) + 1 :]
BASELINES = {"geometry", "base rate", "base rate by kind", "score, isotonic", "logistic on ten"}


@pytest.fixture
def lake(tmp_path):
    """A copy of the lake with models, to be changed."""
    return copied(trained(), tmp_path)


@pytest.fixture(scope="module")
def found():
    """What the evaluation as of the last date found."""
    return found_by(evaluated(), Artifacts(evaluated()).manifest(NAME, LAST))


# Rows


def test_dates_are_those_in_which_a_model_was_trained(lake):
    """Not the first predicted one, whose models are geometry; none after the date; none whose training is gone or of no row."""
    assert evaluating.tested_dates(lake, LAST) == TESTED
    assert evaluating.tested_dates(lake, TESTED[3]) == TESTED[:4]
    assert evaluating.tested_dates(lake, FIRST) == []
    shutil.rmtree(lake.folder(TRAINING, TESTED[1]))
    put(lake, TRAINING, TESTED[2], training(TESTED[2]), schema="an older one")
    for table in (TRAINING, SEQUENCES, TOUCHES):
        put(lake, table, TESTED[0], np.zeros(0, table.dtype))
    Trainer(lake).predictions(TESTED[0])
    assert evaluating.tested_dates(lake, LAST) == TESTED[3:]


def test_rows_are_those_of_the_dates_with_what_was_predicted(lake):
    part = evaluating.tested(lake, TESTED[1:4])
    every = part.examples
    expected = np.concatenate([training(date) for date in TESTED[1:4]])
    assert every.rows.tobytes() == expected.tobytes()
    assert every.days.tolist() == np.repeat([date.toordinal() for date in TESTED[1:4]], 24).tolist()
    assert set(part.odds) == {*MEMBERS, *BASELINES} and set(part.sets) == set(MEMBERS)
    told = np.concatenate([lake.rows(PREDICTIONS, date) for date in TESTED[1:4]])
    for name in MEMBERS:
        assert part.odds[name].tobytes() == odds_of(told, name).tobytes()
        assert (part.sets[name] @ np.array([1, 2, 4])).tolist() == told[f"{name}_set"].tolist()
    assert part.geometry.tobytes() == geometry(expected, "4min").tobytes()


def test_at_other_horizons_trees_alone_speak(lake):
    part = evaluating.tested(lake, TESTED, "8min")
    assert set(part.odds) == {"trees", *BASELINES} and part.sets == {}
    told = np.concatenate([lake.rows(PREDICTIONS, date) for date in TESTED])
    assert part.odds["trees"].tobytes() == odds_of(told, "trees", "8min").tobytes()


def test_rows_that_cannot_be_tested_are_left_out(lake):
    """Not trainable, or geometry unknown; what the others were told stays theirs."""
    rows = training(TESTED[2])
    rows["trainable_4min"][5], rows["geometry_chop_4min"][8] = 0, np.nan
    put(lake, TRAINING, TESTED[2], rows)
    part = evaluating.tested(lake, TESTED)
    at = part.examples.days == TESTED[2].toordinal()
    assert part.examples.rows["k"][at].tolist() == [k for k in range(24) if k not in (5, 8)]
    told = odds_of(lake.rows(PREDICTIONS, TESTED[2]), "trees")
    assert part.odds["trees"][at].tobytes() == np.delete(told, (5, 8), axis=0).tobytes()


@pytest.mark.parametrize("rows", [training(TESTED[2])[:-1], training(TESTED[2])[::-1], training(TESTED[2], touched=9)])
def test_predictions_of_other_rows_are_refused(lake, rows):
    put(lake, TRAINING, TESTED[2], rows)
    with pytest.raises(ValueError, match="not of the same rows: make the predictions again"):
        evaluating.tested(lake, TESTED)


def test_later_dates_change_nothing(lake):
    """Scores up to a date are of what was there then: baselines too."""
    before = evaluating.tested(lake, TESTED[:5])
    for date in TESTED[5:]:
        put(lake, TRAINING, date, training(date, seed=9))
    after = evaluating.tested(lake, TESTED[:5])
    assert {name: odds.tobytes() for name, odds in before.odds.items()} == {
        name: odds.tobytes() for name, odds in after.odds.items()
    }


# The evaluation


def test_without_predictions_there_is_nothing_to_evaluate():
    with pytest.raises(ValueError, match=f"{LAST}: no predictions up to this date; spymaster walk-forward"):
        evaluate(filled(), LAST)
    before = DATES[DATES.index(FIRST) - 1]
    with pytest.raises(ValueError, match=f"{before}: no predictions"):
        evaluate(trained(), before)


def test_with_too_few_dates_it_says_that_geometry_alone_speaks():
    """Predictions are there, of models that are none: walk-forward again would change nothing."""
    told = f"geometry alone speaks on 1 of 1 dates; a model wants {RULES.min_dates} dates and {RULES.min_episodes} touches before"
    with pytest.raises(ValueError, match=f"{FIRST}: nothing to report: {told}"):
        evaluate(trained(), FIRST)
    assert untrained(trained(), DATES[DATES.index(FIRST) :]).startswith(f"geometry alone speaks on 1 of {len(TESTED) + 1} dates; ")
    assert untrained(trained(), TESTED) == untrained(trained(), []) == ""


def test_it_is_made_once_and_is_three_files():
    lake = evaluated()
    manifest = Artifacts(lake).manifest(NAME, LAST)
    assert sorted(manifest.files) == ["evaluation.json", "report.html", "report.md"]
    folder = Artifacts(lake).folder(manifest)
    before = (folder / "report.html").stat().st_mtime_ns
    assert evaluate(lake, LAST) == manifest and (folder / "report.html").stat().st_mtime_ns == before
    assert {name.split()[0] for name in manifest.fingerprint.inputs} == {"gold/training", "gold/predictions"}
    assert len(manifest.fingerprint.inputs) == 2 * len(TESTED)
    text = (folder / "evaluation.json").read_text()
    assert "NaN" not in text and "Infinity" not in text


def test_what_it_found_is_of_the_rows_tested(found):
    assert found["dates"] == [str(date) for date in TESTED] and found["date"] == str(LAST)
    assert (found["rows"], found["touches"], found["simulated"]) == (9 * 24, 9 * 8, 0)
    assert {one["name"] for one in found["horizons"]["4min"]} == {*MEMBERS, *BASELINES}
    assert {one["name"] for one in found["horizons"]["2min"]} == {"trees", *BASELINES}
    assert {one["elapsed"] for one in found["horizons"]["4min"]} == {-1, 0, 15, 60}
    assert found["best"] in MEMBERS and found["markdown"].startswith("#")
    assert "effective resolved test rows" in found["power"]


def test_what_it_found_is_what_the_scores_say(found):
    """The best is the member with the largest gain; importance names the features that carry the effect."""
    gains = {one["name"]: one["gain"][0] for one in found["horizons"]["4min"] if one["elapsed"] == -1 and one["name"] in MEMBERS}
    assert gains[found["best"]] == pytest.approx(max(gains.values()))
    named = [one["name"] for one in found["importance"]["features"]]
    assert named[0] == "approach_pulled_rate_60" and len(named) == 20
    families = {one["name"]: one["loss"][0] for one in found["importance"]["families"]}
    assert max(families, key=families.get) == "book" and families["options"] == pytest.approx(0, abs=0.02)
    assert sum(one["rows"] for one in found["by"]["level"]) == found["rows"]
    assert [one["value"] for one in found["by"]["seconds after the touch"]] == ["0", "15", "60"]
    assert [one["rows"] for one in found["coverage"]["trees"]] == [72, 72, 72, 0]
    assert found["drift"]["flagged"] is None and found["drift"]["of"] > 200


def test_cases_are_the_latest_touches_with_earlier_neighbours(found):
    assert len(found["cases"]) == 4
    for case in found["cases"]:
        assert case["date"] == str(LAST) and all(one["date"] < str(DATES[-6]) for one in case["neighbours"])


def test_json_has_no_numbers_that_are_none():
    told = plain({"a": np.array([1.0, np.nan, np.inf]), 2: (np.float64(-np.inf), np.int64(3), "x", None, True)})
    assert told == {"a": [1.0, None, None], "2": [None, 3, "x", None, True]}
    assert json.loads(json.dumps(told, allow_nan=False)) == told and math.isfinite(told["a"][0])


# Simulated dates


def test_dates_are_simulated_if_all_have_a_truth(lake):
    assert not simulated(lake, TESTED)
    for date in TESTED[:3]:
        put(lake, PATH_TRUTH, date, np.zeros(2, PATH_TRUTH.dtype))
    assert simulated(lake, TESTED[:3]) and not simulated(lake, TESTED[:4])


# Promotion


def say(lake, dates, logits, name="ensemble"):
    """Predictions in which a member adds `logits(rows)` to geometry."""
    for date in dates:
        told, facts = lake.rows(PREDICTIONS, date), lake.manifest(PREDICTIONS, date).facts
        rows = lake.rows(TRAINING, date)
        odds = tilted(geometry(rows, "4min"), logits(rows))
        for place, word in enumerate(("break", "bounce", "chop")):
            told[f"{name}_{word}"] = odds[:, place]
        put(lake, PREDICTIONS, date, told, facts=facts)


def truth(rows):
    return sum(np.outer(rows[name], on) for name, on in EFFECT.items())


def test_geometry_serves_first(lake):
    for date in DATES[:2]:
        decision = promote(lake, date)
        assert (decision["name"], decision["why"]) == (GEOMETRY, "no model has predicted anything yet")
    assert json.loads((lake.root / "models" / CHAMPION).read_text()) == decision


def test_what_gains_serves_from_the_date_on(lake, monkeypatch):
    monkeypatch.setattr(promotion, "LEAST_DATES", 7)  # there are nine
    say(lake, TESTED, truth)
    for date in TESTED:
        put(lake, PATH_TRUTH, date, np.zeros(2, PATH_TRUTH.dtype))  # planted: no skill is too good
    early = promote(lake, TESTED[5])
    assert early["name"] == GEOMETRY and "ensemble: it was tested on 6 dates, 7 are needed" in early["others"]
    decision = promote(lake, TESTED[6])
    assert decision["name"] == "ensemble" == Artifacts(lake).champion()["name"]
    assert re.fullmatch(r"it gains \+0\.\d{4} nats \(\+0\.\d{4} to \+0\.\d{4}\) over geometry on 7 dates", decision["why"])
    assert decision["since"] == decision["decided"] == str(TESTED[6])
    assert [one["name"] for one in decision["verdicts"]] == list(MEMBERS)
    reasons = dict(one.split(": ", 1) for one in decision["others"].split("; "))
    assert list(reasons) == list(MEMBERS[:3]) and all(reasons.values())
    later = promote(lake, LAST)  # none gains over it
    assert (later["name"], later["since"], later["decided"]) == ("ensemble", str(TESTED[6]), str(LAST))
    assert later["why"] == decision["why"] and "gain over ensemble" in later["others"]
    assert [one["name"] for one in later["verdicts"]] == list(MEMBERS[:3])
    content = Artifacts(lake).manifest("ensemble", LAST).content
    assert Artifacts(lake).serving(LAST) == f"ensemble {content}" and Artifacts(lake).serving(FIRST) == ""


def test_what_knows_the_outcomes_does_not_serve(lake):
    """It gains most of all, and its probabilities mean nothing."""
    say(lake, TESTED, lambda rows: 4.0 * np.eye(3)[rows["outcome_4min"]])
    decision = promote(lake, LAST)
    (verdict,) = [one for one in decision["verdicts"] if one["name"] == "ensemble"]
    assert decision["name"] != "ensemble"
    assert verdict["gain"][1] > 0 and any("slope" in one for one in verdict["reasons"])


def test_an_evaluation_of_the_past_changes_nothing_of_what_serves(lake):
    decided = promote(lake, LAST)
    Artifacts(lake).crown(decided | {"name": "retrieval"})
    assert promote(lake, TESTED[0])["name"] == "retrieval" and Artifacts(lake).champion()["decided"] == LAST.isoformat()


def test_a_champion_that_falls_silent_does_not_stop_the_decision(lake):
    Artifacts(lake).crown({"name": "patchtst", "since": None, "why": "", "verdicts": []})
    for date in TESTED:
        told, facts = lake.rows(PREDICTIONS, date), lake.manifest(PREDICTIONS, date).facts
        for word in ("break", "bounce", "chop"):
            told[f"patchtst_{word}"] = np.nan
        put(lake, PREDICTIONS, date, told, facts=facts)
    assert promote(lake, LAST)["name"] in (*MEMBERS, GEOMETRY)
