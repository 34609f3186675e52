"""Models of dates in a small lake: trained once a week, found again, asked; nothing that comes later changes a byte."""

import dataclasses
import shutil

import numpy as np
import pytest

from spymaster_assets.config import Config
from spymaster_assets.features import FEATURES, HORIZONS
from spymaster_assets.lake import Lake, LakeError
from spymaster_assets.maker import MissingTable, event_id
from spymaster_assets.models.artifacts import INSUFFICIENT, TRAINED, Artifacts
from spymaster_assets.models.as_of import as_of
from spymaster_assets.models.members import ALONE
from spymaster_assets.models.odds import geometry
from spymaster_assets.models.predicting import odds_of, sets_of
from spymaster_assets.models_quality import judge
from spymaster_assets.sessions import calendar
from spymaster_assets.states import NO_VETO, VETO_BOOK, VETO_END, VETO_OPTIONS, VETO_SPREAD
from spymaster_assets.tables import PREDICTIONS, SEQUENCES, SNAPS, TOUCHES, TRAINING
from spymaster_assets.tables.predictions import HEADS, MEMBERS
from spymaster_assets.training import Trainer, asked
from spymaster_assets.version import VERSION
from tests.models.small_lake import (
    CONFIG,
    DATES,
    FIRST,
    copied,
    filled,
    put,
    sequences,
    snaps,
    trained,
    training,
    walk,
)

AT = DATES.index(FIRST)
WEEK, NEXT = DATES[AT + 1 : AT + 5], DATES[AT + 5 : AT + 10]  # 16 to 20 June, with a holiday; 23 to 27 June


def manifests(lake, name, dates):
    return [Artifacts(lake).manifest(name, date) for date in dates]


def made_of(table, lake, date):
    """(content, rows) of a partition."""
    return lake.manifest(table, date).content, lake.rows(table, date).tobytes()


@pytest.fixture
def lake(tmp_path):
    """A copy of the lake with models, to be changed."""
    return copied(trained(), tmp_path)


# Training


def test_before_there_is_enough_the_model_is_geometry():
    lake = trained()
    for name in MEMBERS:
        manifest = Artifacts(lake).manifest(name, FIRST)
        assert manifest.status == INSUFFICIENT and not manifest.files
        assert manifest.facts["lacking"] == "32 episodes on 4 dates; expected at least 20 on 8"
        member = Trainer(lake).member(name, FIRST)
        rows, days = training(FIRST), np.full(24, FIRST.toordinal())
        told = member.odds(asked(rows, days, np.zeros(0, SEQUENCES.dtype), days[:0]))
        assert told.tobytes() == geometry(rows, "4min").tobytes()
    assert Trainer(lake).make("trees", FIRST).told == "geometry: 32 episodes on 4 dates; expected at least 20 on 8"


@pytest.mark.parametrize("name", MEMBERS)
def test_the_dates_of_a_week_share_a_model(name):
    found = manifests(trained(), name, WEEK + NEXT)
    assert all(one.status == TRAINED for one in found)
    assert len({one.content for one in found[:4]}) == len({one.content for one in found[4:]}) == 1
    assert found[0].content != found[4].content
    assert [one.date for one in found] == [str(date) for date in WEEK + NEXT]
    assert {one.facts["window"]["since"] for one in found[:4]} == {str(WEEK[0])}
    assert found[0].facts["window"]["dates"] == [str(date) for date in DATES[:AT]]  # not the embargoed Friday
    assert found[4].facts["window"]["dates"] == [str(date) for date in DATES[: AT + 4]]


def test_what_is_there_is_carried(lake):
    """A second call, and a date whose week has a model, train nothing: no file changes."""
    folder = Artifacts(lake).folder(Artifacts(lake).manifest("trees", WEEK[1]))
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    shutil.rmtree(folder.parent / f"date={WEEK[2]}")
    trainer = Trainer(lake)
    for date in WEEK:
        made = trainer.make("trees", date)
        assert made.carried and made.told.startswith("carried, 9 dates; out of fold ")
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before
    assert manifests(lake, "trees", WEEK) == manifests(trained(), "trees", WEEK)


def test_a_date_alone_has_the_same_models_and_predictions(tmp_path):
    """The last date of a week without the others: every manifest, every file, every prediction."""
    lake = copied(filled(), tmp_path)
    walk(lake, WEEK[-1:])
    for name in MEMBERS:
        assert Artifacts(lake).manifest(name, WEEK[-1]) == Artifacts(trained()).manifest(name, WEEK[-1])
    assert made_of(PREDICTIONS, lake, WEEK[-1]) == made_of(PREDICTIONS, trained(), WEEK[-1])


def test_an_ensemble_needs_its_members(tmp_path):
    lake = copied(filled(), tmp_path)
    with pytest.raises(MissingTable, match=f"{WEEK[0]}: no trees model; spymaster train {WEEK[0]}"):
        Trainer(lake).make("ensemble", WEEK[0])
    assert Artifacts(lake).dates("ensemble") == []


def test_another_member_makes_another_ensemble(lake):
    """Its fingerprint holds the contents of the members, as well as what they learnt from."""
    artifacts = Artifacts(lake)
    before = artifacts.manifest("ensemble", WEEK[0])
    assert {name: before.fingerprint.inputs[name] for name in ALONE} == {
        name: artifacts.manifest(name, WEEK[0]).content for name in ALONE
    }
    other = dataclasses.replace(artifacts.manifest("retrieval", WEEK[0]), content="0123456789abcdef")
    artifacts._publish(other)
    trainer = Trainer(lake)
    assert artifacts.current("ensemble", WEEK[0], trainer.fingerprint("ensemble", as_of(lake, WEEK[0]))) is None


# No look-ahead


def scrambled(rows, names, seed):
    """The same rows, their columns dealt anew."""
    out, rng = rows.copy(), np.random.default_rng(seed)
    for name in names:
        out[name] = rows[name][rng.permutation(len(rows))]
    return out


KNOWN = {feature.name for feature in FEATURES}
PLACED = {"touch", "episode", "k", "elapsed", "kind", "direction", "price"}
AFTER = [  # what came after the decision, and what the score said
    name
    for name in TRAINING.dtype.names
    if name not in KNOWN | PLACED and not name.startswith(("t_", "label_end", "trainable", "theta", "sigma_cold"))
]


def test_nothing_later_changes_a_byte(tmp_path):
    """Of the week's dates, and of the embargoed one before it, what came after a touch; of later dates everything, is dealt anew.

    Models of the week, predictions of its dates: the same bytes. The model of the week after learns from it, and is another.
    """
    assert {f"outcome_{horizon}" for horizon in HORIZONS} < set(AFTER)
    lake = copied(filled(), tmp_path)
    for number, date in enumerate(DATES[AT:]):
        rows = lake.rows(TRAINING, date)
        names = AFTER if date < NEXT[0] else sorted({*AFTER, *KNOWN})
        changed = scrambled(rows, names, number)
        assert changed["outcome_4min"].tolist() != rows["outcome_4min"].tolist()
        put(lake, TRAINING, date, changed)
        if date >= NEXT[0]:
            put(lake, SEQUENCES, date, sequences(changed, seed=number))
    walk(lake, WEEK)
    for name in MEMBERS:
        for new, old in zip(manifests(lake, name, WEEK), manifests(trained(), name, WEEK), strict=True):
            assert (new.content, new.files, new.facts) == (old.content, old.files, old.facts)
    for date in WEEK:
        assert made_of(PREDICTIONS, lake, date) == made_of(PREDICTIONS, trained(), date)
    assert Trainer(lake).make("trees", NEXT[0]).manifest.content != Artifacts(trained()).manifest("trees", NEXT[0]).content


# Predictions


def test_predictions_are_what_the_members_say():
    """Row by row, each asked alone with its own sequence: odds, sets, heads, analogs, all to the last bit."""
    lake, date = trained(), WEEK[1]
    rows, steps, told = lake.rows(TRAINING, date), lake.rows(SEQUENCES, date), lake.rows(PREDICTIONS, date)
    found = Trainer(lake).members(date)
    for name in ("touch", "k", "elapsed"):
        assert told[name].tolist() == rows[name].tolist()
    assert told["ts"].tolist() == rows["t_decision"].tolist()
    for place in (0, 1, 2, 11, 23):
        row, day = rows[place : place + 1], np.array([date.toordinal()])
        own = steps[(steps["touch"] == row["touch"]) & (steps["elapsed"] == row["elapsed"])]
        one = asked(row, day, own, np.full(len(own), date.toordinal()))
        line = told[place : place + 1]
        for name, member in found.items():
            odds = member.odds(one)
            assert odds_of(line, name).tobytes() == odds.tobytes()
            assert sets_of(line, name).tolist() == member.sets(odds, row["elapsed"]).tolist()
        for horizon in ("2min", "8min"):
            assert odds_of(line, "trees", horizon).tobytes() == found["trees"].odds(one, horizon).tobytes()
        stage = "stage_a" if row["elapsed"][0] == 0 else "stage_b"
        for head, value in found["trees"].heads[stage].predict(row).items():
            assert line[head].tobytes() == value.tobytes()
        analogs = found["retrieval"].indexes[stage].analogs(row, day)
        assert (line["analogs"][0], line["analogs_distance"][0]) == (analogs.effective[0], analogs.percentile[0])
        assert [line[f"analogs_low_{word}"][0] for word in ("break", "bounce", "chop")] == analogs.low[0].tolist()
        assert [line[f"analogs_high_{word}"][0] for word in ("break", "bounce", "chop")] == analogs.high[0].tolist()
    silent = np.isnan(told["patchtst_break"])
    assert silent.tolist() == ((rows["elapsed"] == 15) | (rows["touch"] == 7)).tolist()


def test_predictions_name_their_touches():
    lake, date = trained(), WEEK[0]
    names = [event_id(date, touch) for touch in lake.rows(TOUCHES, date)]
    told = lake.arrays(PREDICTIONS, date, ["touch", "event_id"])
    assert told["event_id"].tolist() == [names[touch] for touch in told["touch"]]
    assert lake.verify(PREDICTIONS, date) is None
    facts = lake.manifest(PREDICTIONS, date).facts
    assert facts == {"models": dict.fromkeys(MEMBERS, TRAINED), "vetoes": 0, "version": VERSION}


def test_where_geometry_is_unknown_nothing_is_said(lake):
    """At one horizon: that horizon's odds; the others' stay, and so does every other row."""
    date = WEEK[0]
    rows = training(date)
    rows["geometry_chop_4min"][4] = np.nan
    rows["geometry_break_2min"][9] = np.nan
    put(lake, TRAINING, date, rows)
    before, (_, unchanged) = lake.rows(PREDICTIONS, date), Trainer(lake).predictions(date)
    assert not unchanged
    told = lake.rows(PREDICTIONS, date)
    for name in MEMBERS:
        assert np.isnan(odds_of(told, name)[4]).all() and sets_of(told, name)[4].all()
    assert all(np.isnan(told[head.name][4]) for head in HEADS) and np.isnan(told["analogs"][4])
    assert not np.isnan(odds_of(told, "trees", "2min")[4]).any()
    assert np.isnan(odds_of(told, "trees", "2min")[9]).all() and not np.isnan(odds_of(told, "trees")[9]).any()
    others = np.setdiff1d(np.arange(len(rows)), [4, 9])
    assert told[others].tobytes() == before[others].tobytes()


def test_vetoes_by_their_reasons(lake):
    """Stale, crossed or unsound book; more than four ticks; no options; five minutes before the end. The first that holds."""
    date = WEEK[0]
    rows, book = training(date), snaps(training(date))
    rows["gamma_exposure"] = 1.0
    rows["gamma_exposure"][[3, 4]] = np.nan
    book["book_ok"][0] = 0
    book["gap_ns"][1] = int(CONFIG.quality.gap_seconds * 1e9) + 1
    book["gap_ns"][7] = int(CONFIG.quality.gap_seconds * 1e9)
    book["ask_ticks"][2, 0] = book["bid_ticks"][2, 0]
    book["ask_ticks"][[4, 5], 0] = book["bid_ticks"][[4, 5], 0] + 5
    book["ask_ticks"][6, 0] = book["bid_ticks"][6, 0] + 4
    end = calendar(CONFIG).session(date).signals.end - 5 * 60 * 10**9
    book["ts"][19:22] = end, end + 1000, end + 1000
    rows["gamma_exposure"][21] = np.nan
    put(lake, TRAINING, date, rows)
    put(lake, SNAPS, date, book)
    Trainer(lake).predictions(date)
    told = lake.rows(PREDICTIONS, date)["veto"]
    assert told[:8].tolist() == [VETO_BOOK, VETO_BOOK, VETO_BOOK, VETO_OPTIONS, VETO_SPREAD, VETO_SPREAD, NO_VETO, NO_VETO]
    assert told[19:22].tolist() == [NO_VETO, VETO_END, VETO_OPTIONS]
    assert (np.delete(told, [*range(8), *range(19, 22)]) == NO_VETO).all()


def test_predictions_are_made_once(lake):
    date = WEEK[0]
    assert Trainer(lake).predictions(date) == (lake.manifest(PREDICTIONS, date), True)
    assert Trainer(lake).is_current(date)
    put(lake, TRAINING, date, training(date, seed=5))
    assert not Trainer(lake).is_current(date)
    manifest, unchanged = Trainer(lake).predictions(date)
    assert not unchanged and manifest.content != trained().manifest(PREDICTIONS, date).content
    assert Trainer(lake).is_current(date)


def test_what_is_learnt_from_makes_the_models_old(lake):
    put(lake, TRAINING, DATES[2], training(DATES[2], seed=5))
    trainer = Trainer(lake)
    assert not trainer.is_current(WEEK[0])
    assert not trainer.make("retrieval", WEEK[0]).carried
    assert not Trainer(Lake(trained().root, Config())).is_current(WEEK[0])  # another configuration


def test_what_is_missing_is_told(lake):
    date = WEEK[0]
    shutil.rmtree(lake.folder(SNAPS, date))
    with pytest.raises(MissingTable, match=f"{date}: predictions need silver/snaps"):
        Trainer(lake).predictions(date)
    assert not Trainer(lake).is_current(date)
    shutil.rmtree(lake.root / "models" / "patchtst" / f"date={date}")
    with pytest.raises(MissingTable, match=f"{date}: no patchtst model; spymaster train {date} makes it"):
        Trainer(lake).predictions(date)
    assert not Trainer(lake).is_current(date)


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("trees", "stage_a_4min.txt"),
        ("retrieval", "stage_b/index.parquet"),
        ("patchtst", "patchtst.json"),
        ("ensemble", "ensemble.json"),
    ],
)
def test_a_tampered_model_is_named(lake, name, file):
    """Nothing is predicted by it; training the date again mends it."""
    date = WEEK[0]
    artifacts = Artifacts(lake)
    content = artifacts.manifest(name, date).content
    path = artifacts.folder(artifacts.manifest(name, date)) / file
    path.write_bytes(path.read_bytes()[:-1] + b" ")
    shutil.rmtree(lake.folder(PREDICTIONS, date))
    trainer = Trainer(lake)
    for ask in (lambda: trainer.member(name, date), lambda: trainer.predictions(date)):
        with pytest.raises(LakeError, match=f"{content}/{file}: expected SHA-256"):
            ask()
    assert not trainer.is_current(date) and lake.manifest(PREDICTIONS, date) is None
    if name != "patchtst":  # seconds
        made = trainer.make(name, date)
        assert not made.carried and made.manifest.content == content
        trainer.predictions(date)
        assert made_of(PREDICTIONS, lake, date) == made_of(PREDICTIONS, trained(), date)


# Gaps, and a lake that changes under a trainer


def test_a_gap_in_the_lake_is_told_whatever_came_first(tmp_path):
    """Two weeks with the same dates to learn from: each says what it misses and as of when it is trained, in either order."""
    found = []
    for order in ((WEEK[0], NEXT[1]), (NEXT[1], WEEK[0])):
        lake = copied(filled(), tmp_path / str(order[0]))
        for date in DATES[AT : AT + 5]:
            shutil.rmtree(lake.folder(TRAINING, date))
        for date in order:
            Trainer(lake).make("retrieval", date)
            assert judge(lake, "retrieval", date)["leak_timestamps"].passed
        found.append(manifests(lake, "retrieval", (WEEK[0], NEXT[1])))
    assert found[0] == found[1]
    assert [one.facts["window"]["since"] for one in found[0]] == [str(WEEK[0]), str(NEXT[0])]
    assert found[0][0].facts["window"]["missing"] == []
    assert found[0][1].facts["window"]["missing"] == [str(date) for date in DATES[AT : AT + 4]]
    assert found[0][0].content == found[0][1].content


def test_a_trainer_sees_what_changed_since(lake):
    """The same trainer, asked before and after the training of a date is remade, learns from what there is now."""
    trainer = Trainer(lake)
    put(lake, TRAINING, DATES[2], training(DATES[2], seed=5))
    first = trainer.make("retrieval", WEEK[0]).manifest
    put(lake, TRAINING, DATES[2], training(DATES[2], seed=6))
    second = trainer.make("retrieval", WEEK[0]).manifest
    shutil.rmtree(lake.root / "models" / "retrieval")
    assert second.content != first.content
    assert second == Trainer(lake).make("retrieval", WEEK[0]).manifest
