"""An engine with a champion: at landmarks it says the rows of predictions, in between odds at every snap, whatever the frames."""

import datetime as dt
import json
import shutil
from functools import cache

import numpy as np
import orjson
import pytest

from spymaster_assets.lake import Lake, LakeError
from spymaster_assets.models.artifacts import Artifacts
from spymaster_assets.models.examples import PRIMARY
from spymaster_assets.models.members import Asked
from spymaster_assets.models.odds import geometry_known
from spymaster_assets.models.predicting import only, speakers
from spymaster_assets.served import Served, served
from spymaster_assets.states import LEVEL_KINDS
from spymaster_assets.tables import FEATURE_ROWS, LABELS, PREDICTIONS, TRAINING
from spymaster_assets.tables.predictions import MEMBERS
from spymaster_assets.training import Trainer
from spymaster_live.engine import Engine
from spymaster_live.gateway.past import Past
from spymaster_live.messages import ROWS
from spymaster_live.parity import Said as Told
from spymaster_live.parity import difference, differences
from spymaster_live.payload import stored_opinions
from tests import short_day
from tests.live.spoken import (
    S,
    Said,
    calendar_of_the_short_day,  # noqa: F401 - a fixture of every test here, too
    cut,
    day,
    option_channels,
    session,
    spliced,
)
from tests.models import small_lake

NAME = "ensemble"


@cache
def champion(name=NAME):
    """A model of the small lake: it has not seen this market, but it reads every feature of it."""
    members = Trainer(small_lake.trained()).members(small_lake.DATES[-1])
    return Served(name, "0123456789abcdef", members if name == "ensemble" else {name: members[name]})


def engine(name=NAME):
    return Engine(short_day.CONFIG, lambda date, model: champion(name) if model else None)


def run(messages, name=NAME):
    return Said(messages, session(model=f"{name} 0123456789abcdef"), engine(name))


@cache
def whole(name=NAME):
    return run(cut(512, "60 s", "with options", others=option_channels().items()), name)


def models(said):
    """(snap, touch id) -> the object `model`, of all levels that are scored."""
    found = {}
    for line in map(json.loads, said.lines):
        found |= {(line["snap"], level["touch"]["event_id"]): level["model"] for level in line["levels"] if level["touch"]}
    return found


def test_predictions_are_said_at_every_landmark():
    said, finished = whole().rows()["predictions"], day("with options")
    features = finished.features.rows
    assert len(said) == len(features) > 5
    expected = champion().predictions(finished, features)
    assert difference(PREDICTIONS, said, expected) is None
    assert speakers(said) == MEMBERS
    known = geometry_known(features, PRIMARY)
    assert known.any() and (np.isnan(said["ensemble_break"]) == ~known[np.lexsort((features["k"], features["touch"]))]).all()


@pytest.mark.parametrize("cutting", [(64, "1 s"), (0, "250 ms")])
def test_frames_do_not_show(cutting):
    start, end = short_day.at("09:44:50"), short_day.at("09:46")
    others = spliced(*cutting, start, end)
    mine, theirs = run(others), run(spliced(0, "60 s", start, end))
    assert mine.lines == theirs.lines
    assert difference(PREDICTIONS, mine.rows()["predictions"], theirs.rows()["predictions"]) is None


def test_odds_are_said_at_every_snap_of_a_scored_touch():
    """They are the champion's own for features of that very snap, computed here one row at a time."""
    said, finished = models(whole("trees")), day("with options")
    signals = finished.signals.rows
    assert len(said) == len(signals) > 100 and all(said.values())
    member, date = champion("trees").members["trees"], np.full(1, 1)
    for row in signals[:: len(signals) // 40]:
        features = np.zeros(1, FEATURE_ROWS.dtype)
        finished.features_at(int(row["touch"]), int(row["k"]), features)
        touch = finished.touches.rows[row["touch"]]
        of = f"_{LEVEL_KINDS[touch['kind']]}_{touch['ticks']}_{touch['t0']}_"
        told = next(model for (k, name), model in said.items() if k == row["k"] and of in name)
        odds = member.odds(Asked(features, date))[0] if geometry_known(features, PRIMARY)[0] else [None] * 3
        assert [told[word] for word in ("break", "bounce", "chop")] == list(odds)
        assert told["name"] == "trees" and told["version"] == "0123456789abcdef" and told["elapsed"] <= row["elapsed"]


def test_at_a_landmark_the_lake_tells_what_was_said():
    """A day of the lake on the page: the opinion out of stored predictions is the one that the payload had."""
    said, finished = models(whole()), day("with options")
    predictions, signals, touches = whole().rows()["predictions"], finished.signals.rows, finished.touches.rows
    compared = 0
    for landmark in predictions:
        scored = signals[(signals["k"] == landmark["k"]) & (signals["touch"] == landmark["touch"])]
        stored = stored_opinions(f"{NAME} 0123456789abcdef", scored, predictions)
        touch = touches[landmark["touch"]]
        of = f"_{LEVEL_KINDS[touch['kind']]}_{touch['ticks']}_{touch['t0']}_"
        for opinion in stored.values():
            told = next(model for (k, name), model in said.items() if k == landmark["k"] and of in name)
            assert json.loads(orjson.dumps(opinion)) == told
            compared += 1
    assert compared > 5


def test_odds_of_earlier_dates_are_those_of_a_model_that_was_trained(tmp_path):
    """Dates before the first training hold geometry's odds under every name; they tell nothing of the champion."""
    lake, name = small_lake.copied(small_lake.evaluated(), tmp_path), "trees"
    Artifacts(lake).crown({"name": name, "since": None, "why": "a test", "verdicts": []})
    dates, expected, trained = lake.dates(PREDICTIONS), 0, 0
    for date in dates:
        said, rows = lake.rows(PREDICTIONS, date), lake.rows(TRAINING, date)
        labels = np.zeros(len(rows), LABELS.dtype)
        for column in ("touch", "k", "elapsed", "outcome_4min"):
            labels[column] = rows[column]
        small_lake.put(lake, LABELS, date, labels)
        if json.loads((lake.root / "models" / name / f"date={date}" / "manifest.json").read_text())["status"] == "trained":
            trained += 1
            expected += int((~np.isnan(said[f"{name}_break"]) & (said["elapsed"] == 0)).sum())
    told = orjson.loads(orjson.dumps(Past(lake).outcomes(dates[-1] + dt.timedelta(days=1))))
    assert 0 < trained < len(dates) == told["dates"] and told["champion"] == name
    assert sum(one["touches"] for one in told["odds"]) == expected > 0 and told["told"] == trained


def test_a_champion_that_is_not_there_is_told_and_geometry_serves():
    def missing(date, model):
        raise LakeError(f"{date}: no {model}")

    said = Said(cut(512, "60 s"), session(model="trees feed"), Engine(short_day.CONFIG, missing))
    assert not len(said.rows()["predictions"]) and set(map(json.dumps, models(said).values())) == {"null"}
    assert said.engine.status()["model"] is None and "no trees feed" in said.engine.status()["model_trouble"]


def test_the_lake_gives_the_version_that_is_asked_for_or_none():
    lake, date = small_lake.trained(), small_lake.DATES[-1]
    version = Trainer(lake).artifacts.manifest("trees", date).content
    assert served(lake, date, f"trees {version}").version == version
    with pytest.raises(LakeError, match="0000"):
        served(lake, date, "trees 0000")


def test_an_ensemble_of_other_members_than_there_are_is_refused(tmp_path):
    lake, date = small_lake.copied(small_lake.trained(), tmp_path), small_lake.DATES[-1]
    trainer = Trainer(lake)
    version, other = (trainer.artifacts.manifest(name, date) for name in ("ensemble", "trees"))
    home = lake.root / "models" / "trees"
    shutil.copytree(home / other.content, home / "0123456789abcdef")  # sound files, as another training would have made
    file = home / f"date={date}" / "manifest.json"
    file.write_text(file.read_text().replace(other.content, "0123456789abcdef"))
    with pytest.raises(LakeError, match="the ensemble was not made of trees 0123456789abcdef"):
        served(lake, date, f"ensemble {version.content}")


def test_a_run_without_predictions_in_the_lake_is_compared_in_all_else(tmp_path):
    said = whole().rows()
    lake = Lake(tmp_path, short_day.CONFIG)
    batch = {table: said[table.name] for table in ROWS if table is not PREDICTIONS}
    for table, rows in batch.items():
        small_lake.put(lake, table, S.date, rows)
    found, counts = differences(lake, S.date, Told(said, {}, ()))
    assert found == [] and "predictions" not in counts
    small_lake.put(lake, PREDICTIONS, S.date, said["predictions"][:-1])
    found, counts = differences(lake, S.date, Told(said, {}, ()))
    assert len(found) == 1 and found[0].startswith("gold/predictions") and counts["predictions"] == len(said["predictions"]) - 1


def test_members_that_are_not_asked_are_silent():
    rows = whole().rows()["predictions"]
    alone = whole("trees").rows()["predictions"]
    assert speakers(alone) == ("trees",)
    assert difference(PREDICTIONS, alone, only(rows, ("trees",))) is None
