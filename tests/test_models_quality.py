"""Each check of a model passes on a sound one and fails on its own defect."""

import dataclasses
import json
import shutil

import numpy as np
import pytest

from spymaster_assets.evaluating import NAME
from spymaster_assets.fingerprint import Fingerprint
from spymaster_assets.models.artifacts import INSUFFICIENT, TRAINED, Artifacts, Trained
from spymaster_assets.models.examples import STAGES, examples
from spymaster_assets.models.members import CALIBRATOR
from spymaster_assets.models.retrieval import FEATURES, fit_index
from spymaster_assets.models_quality import COVERED, MODEL_CHECKS, judge
from spymaster_assets.models_quality import LEAST_ROWS as JUDGED
from spymaster_assets.tables import TRAINING
from spymaster_assets.tables.predictions import MEMBERS
from tests.models.small_lake import DATES, FIRST, copied, evaluated, put, trained, training

AT = DATES.index(FIRST)
DATE, LAST = DATES[AT + 2], DATES[-1]  # Tuesday of the first week with models; the last date
OTHER = Fingerprint({}, "config", "code", "schema")
CHECKS = {(check.model, check.name): check for check in MODEL_CHECKS}


def measured(lake, model, name, date=DATE, **facts):
    """A check's outcome of a model's manifest, some of whose facts are others."""
    manifest = Artifacts(lake).manifest(model, date)
    return CHECKS[model, name].measure(lake, date, dataclasses.replace(manifest, facts={**manifest.facts, **facts}))


def window(**changed):
    return {**Artifacts(trained()).manifest("trees", DATE).facts["window"], **changed}


def with_evaluation(folder, change):
    """A lake whose evaluation found something else."""
    lake = copied(evaluated(), folder)
    artifacts = Artifacts(lake)
    old = artifacts.manifest(NAME, LAST)
    found = json.loads((artifacts.folder(old) / "evaluation.json").read_text())
    change(found)

    def write(new):
        (new / "evaluation.json").write_text(json.dumps(found))
        (new / "report.md").write_text("")
        return Trained(TRAINED, dict(old.facts))

    artifacts.make(NAME, LAST, OTHER, write)
    return lake


def best_at_touch(found):
    return next(one for one in found["horizons"]["4min"] if one["name"] == found["best"] and one["elapsed"] == 0)


# All of them


@pytest.mark.parametrize("model", MEMBERS)
@pytest.mark.parametrize("date", [FIRST, DATE, LAST])
def test_sound_models_pass(model, date):
    outcomes = judge(trained(), model, date)
    assert {"leak_timestamps", "coverage", "better_out_of_fold"} <= set(outcomes)
    assert ("retrieval_exclusion" in outcomes) == (model == "retrieval")
    for name, outcome in outcomes.items():
        assert outcome.passed, (name, outcome)
        json.dumps([outcome.measured, outcome.threshold], allow_nan=False, default=float)


def test_a_sound_evaluation_is_judged_by_four():
    outcomes = judge(evaluated(), NAME, LAST)
    assert set(outcomes) == {"absurd_skill", "calibration_slope", "conformal_coverage", "regime"}
    assert outcomes["regime"].passed and outcomes["conformal_coverage"].passed
    assert outcomes["conformal_coverage"].message == "too few rows"


def test_what_stops_what_lies_downstream():
    """A look ahead and skill that cannot be; what is merely unsound warns."""
    blocking = {check.name for check in MODEL_CHECKS if check.blocking}
    assert blocking == {"leak_timestamps", "retrieval_exclusion", "absurd_skill"}
    assert all(check.description for check in MODEL_CHECKS)
    assert len(CHECKS) == len(MODEL_CHECKS) == 3 * len(MEMBERS) + 5


# Of a model


@pytest.mark.parametrize(
    "changed",
    [
        {"dates": [str(date) for date in DATES[: AT + 1]]},  # up to the embargoed Friday
        {"dates": [str(date) for date in DATES[: AT + 2]]},  # up to the Monday as of which it is trained
        {"dates": [str(date) for date in DATES[: AT + 3]]},  # the date itself
        {"dates": [str(LAST)]},
        {"since": str(DATES[AT + 3])},  # of a later date
    ],
)
def test_a_window_that_reaches_too_far_is_a_leak(changed):
    assert measured(trained(), "trees", "leak_timestamps", window=window()).passed
    assert not measured(trained(), "trees", "leak_timestamps", window=window(**changed)).passed


def test_a_label_that_reaches_into_the_date_is_a_leak(tmp_path):
    """Of the latest date that was learnt from."""
    lake = copied(trained(), tmp_path)
    rows = training(DATES[AT - 1])
    rows["t_label_end"][3] = training(DATE)["t_decision"][0]
    put(lake, TRAINING, DATES[AT - 1], rows)
    outcome = measured(lake, "ensemble", "leak_timestamps")
    assert not outcome.passed and outcome.measured["last label ends"] >= outcome.threshold["opens"]


def test_a_window_without_dates_leaks_nothing():
    assert measured(trained(), "trees", "leak_timestamps", window=window(dates=[])).passed


def test_missing_dates_are_a_warning():
    missing = ["2025-06-03", "2025-06-04"]
    outcome = measured(trained(), "patchtst", "coverage", window=window(missing=missing, coverage=0.89))
    assert not outcome.passed and "2 missing: 2025-06-03, 2025-06-04" in outcome.message
    assert measured(trained(), "patchtst", "coverage", window=window(missing=missing, coverage=0.9)).passed
    assert measured(trained(), "patchtst", "coverage", window=window(dates=[], coverage=0.0)).passed  # the lake begins


def test_worse_than_geometry_out_of_fold_is_a_warning():
    lost = {"4min": {"geometry": 0.9, "raw": 0.8, "calibrated": 0.91}}
    outcome = measured(trained(), "retrieval", "better_out_of_fold", out_of_fold=lost)
    assert not outcome.passed and "0.9100 nats a row, geometry 0.9000" in outcome.message
    lost["4min"]["calibrated"] = 0.9
    assert measured(trained(), "retrieval", "better_out_of_fold", out_of_fold=lost).passed
    outcome = judge(trained(), "retrieval", FIRST)["better_out_of_fold"]
    assert outcome.passed and outcome.measured == {"status": INSUFFICIENT} and "expected at least 20 on 8" in outcome.message


def with_index(folder, rows, days, **options):
    """A lake whose retrieval of DATE is an index of other rows."""
    lake = copied(trained(), folder)
    artifacts = Artifacts(lake)
    old = artifacts.manifest("retrieval", DATE)
    kept = (artifacts.folder(old) / CALIBRATOR).read_text()

    def write(new):
        for stage in STAGES:
            fit_index(examples(rows, days).stage(stage), FEATURES[stage], **options).save(new / stage)
        (new / CALIBRATOR).write_text(kept)
        return Trained(TRAINED, dict(old.facts))

    artifacts.make("retrieval", DATE, OTHER, write)
    return lake


def of_dates(count):
    rows = [training(date) for date in DATES[:count]]
    return np.concatenate(rows), np.repeat([date.toordinal() for date in DATES[:count]], len(rows[0]))


def test_a_neighbour_of_the_embargoed_date_is_found_out(tmp_path):
    """An index that knows it, and keeps no embargo; with one it does not show it."""
    rows, days = of_dates(AT + 2)  # up to the date before
    bad = with_index(tmp_path / "bad", rows, days, k=20, embargo=0)
    outcome = judge(bad, "retrieval", DATE)["retrieval_exclusion"]
    assert not outcome.passed and outcome.measured["latest"] == DATES[AT + 1].toordinal()
    good = with_index(tmp_path / "good", rows, days, k=20, embargo=1)
    outcome = judge(good, "retrieval", DATE)["retrieval_exclusion"]
    assert outcome.passed and outcome.measured["latest"] == DATES[AT].toordinal()


def test_neighbours_are_counted_by_episode(tmp_path):
    """Four touches of an episode, of which an index shows two at most: a count of touches would see one."""
    rows, days = of_dates(AT)
    rows["episode"] = rows["touch"] // 4
    outcome = judge(with_index(tmp_path, rows, days, k=16), "retrieval", DATE)["retrieval_exclusion"]
    assert outcome.passed and outcome.measured["of one episode"] == 2


def test_nothing_to_look_up_is_sound(tmp_path):
    lake = copied(trained(), tmp_path)
    shutil.rmtree(lake.folder(TRAINING, DATE))
    assert judge(lake, "retrieval", DATE)["retrieval_exclusion"].measured == {"touches": 0}
    assert judge(trained(), "retrieval", FIRST)["retrieval_exclusion"].measured == {"touches": 0}  # geometry has no index


# Of an evaluation


def test_skill_that_cannot_be_is_told():
    said = ["trees, 0 s: stratified AUC 0.900 above 0.65"]
    outcome = measured(evaluated(), NAME, "absurd_skill", LAST, leak=said)
    assert not outcome.passed and outcome.message == said[0] and outcome.measured == {"beyond": 1}
    assert measured(evaluated(), NAME, "absurd_skill", LAST, leak=[]).passed


@pytest.mark.parametrize(("slope", "fine"), [(0.49, False), (0.5, True), (1.0, True), (1.5, True), (1.51, False), (None, True)])
def test_too_sure_and_too_shy_are_told(tmp_path, slope, fine):
    lake = with_evaluation(tmp_path, lambda found: best_at_touch(found).update(slope=slope))
    assert judge(lake, NAME, LAST)["calibration_slope"].passed == fine


def test_sets_that_hold_less_or_more_than_they_promise_are_told(tmp_path):
    def groups(covered, rows=JUDGED):
        def change(found):
            found["coverage"][found["best"]] = [
                {"group": [0], "rows": 400, "covered": 0.91, "abstained": 0.5},
                {"group": [5, 15, 30], "rows": rows, "covered": covered, "abstained": 0.5},
            ]

        return change

    for number, (change, fine) in enumerate((
        (groups(0.9 - COVERED - 0.01), False), (groups(0.9 + COVERED + 0.01), False), (groups(0.87), True),
        (groups(0.2, JUDGED - 1), True),
    )):  # fmt: skip
        outcome = judge(with_evaluation(tmp_path / str(number), change), NAME, LAST)["conformal_coverage"]
        assert outcome.passed == fine and "[0] s: 0.910 of 400 rows" in outcome.message


def test_a_regime_that_changed_is_told(tmp_path):
    lake = with_evaluation(tmp_path, lambda found: found["drift"].update(flagged="2025-06-20"))
    outcome = judge(lake, NAME, LAST)["regime"]
    assert not outcome.passed and outcome.message == "worse since about 2025-06-20"
