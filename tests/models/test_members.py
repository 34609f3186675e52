"""The members: geometry where there is too little to learn from, never a failure; a row is told the same in any company."""

import json
from functools import cache

import numpy as np
import pyarrow.parquet as pq
import pytest

from spymaster_assets.features import HORIZONS
from spymaster_assets.models import members
from spymaster_assets.models.artifacts import INSUFFICIENT, TRAINED, Artifacts
from spymaster_assets.models.conformal import abstains
from spymaster_assets.models.examples import PRIMARY, examples
from spymaster_assets.models.members import ALONE, Asked, Learnt, load, train
from spymaster_assets.models.metrics import log_loss
from spymaster_assets.models.odds import geometry
from spymaster_assets.tables import SEQUENCES
from spymaster_assets.tables.predictions import HEADS, MEMBERS
from spymaster_assets.training import Trainer, asked
from tests.models.small_lake import DATES, FIRST, LANDMARKS, RULES, TOUCHED, sequences, trained, training

LATER = DATES[DATES.index(FIRST) + 1]  # the first date with models
NONE = np.zeros(0, SEQUENCES.dtype)


@cache
def window(count, with_sequences=0, touched=TOUCHED):
    """What is learnt from of the first dates, with sequences of the last ones of them."""
    rows = [training(date, touched=touched) for date in DATES[:count]]
    steps = [sequences(rows[number]) for number in range(count - with_sequences, count)]
    days = [date.toordinal() for date in DATES[:count]]
    of = np.repeat(days[count - with_sequences :], [len(one) for one in steps])
    return asked(
        np.concatenate(rows), np.repeat(days, [len(one) for one in rows]), np.concatenate([*steps, NONE]), of.astype(np.int64)
    )


def alone(every, place):
    flags = np.zeros(len(every.rows), bool)
    flags[place] = True
    return every.at(flags)


@cache
def of_a_date():
    """The members as of a date, and all its rows, in another order than the lake's."""
    lake = trained()
    trainer = Trainer(lake)
    rows, steps = training(LATER), sequences(training(LATER))
    rows = rows[np.random.default_rng(1).permutation(len(rows))]
    days, of = (np.full(len(some), LATER.toordinal()) for some in (rows, steps))
    return trainer.members(LATER), asked(rows, days, steps, of)


# Too little


@pytest.mark.parametrize("name", MEMBERS)
@pytest.mark.parametrize(
    ("kept", "lacking"),
    [
        (lambda every: Asked(every.rows[:0], every.days[:0]), "0 episodes on 0 dates; expected at least 20 on 8"),
        (lambda every: every.at(every.days < DATES[7].toordinal()), "56 episodes on 7 dates; expected at least 20 on 8"),
        (lambda every: every.at(every.rows["touch"] == 0), "9 episodes on 9 dates; expected at least 20 on 8"),
        (lambda every: every.at(every.rows["outcome_4min"] == 1), "at least two must occur"),
    ],
)
def test_too_little_is_geometry(tmp_path, name, kept, lacking):
    found = train(name, Learnt(kept(window(9)), RULES), tmp_path)
    assert found.status == INSUFFICIENT and lacking in found.facts["lacking"] and not list(tmp_path.iterdir())
    member = load(name, found.status, tmp_path)
    every = window(9)
    for horizon in HORIZONS:
        assert member.odds(every, horizon).tobytes() == geometry(every.rows, horizon).tobytes()
    assert member.sets(geometry(every.rows, PRIMARY), every.rows["elapsed"]).all()


def test_patchtst_without_sequences_is_geometry(tmp_path):
    found = train("patchtst", Learnt(window(9), RULES), tmp_path)
    assert (found.status, found.facts["lacking"]) == (INSUFFICIENT, "no sequences")


def test_an_ensemble_of_nobody_is_geometry(tmp_path):
    found = train("ensemble", Learnt(window(9), RULES), tmp_path, {})
    assert (found.status, found.facts["lacking"]) == (INSUFFICIENT, "no member is trained")


def test_an_ensemble_whose_member_is_not_there_is_refused():
    folder = Artifacts(trained()).folder(Artifacts(trained()).manifest("ensemble", LATER))
    with pytest.raises(ValueError, match="the ensemble needs trees"):
        load("ensemble", TRAINED, folder, {})


@pytest.mark.parametrize(
    "lacks",
    [
        lambda rows: rows["elapsed"] == 0,  # nothing after the touch
        lambda rows: rows["elapsed"] > 0,
        lambda rows: (rows["elapsed"] == 0) | (rows["t_decision"] < rows["t_decision"].min() + 40 * 3600 * 10**9),  # on two dates
    ],
)
def test_a_stage_without_rows_is_too_little_for_trees(tmp_path, lacks):
    every = window(12)
    found = train("trees", Learnt(every.at(lacks(every.rows)), RULES), tmp_path)
    assert found.status == INSUFFICIENT


def test_a_horizon_on_two_dates_is_too_little_for_trees(tmp_path):
    every = window(12)
    rows = every.rows.copy()
    rows["trainable_8min"][every.days > DATES[1].toordinal()] = 0
    assert train("trees", Learnt(Asked(rows, every.days), RULES), tmp_path).status == INSUFFICIENT


def test_fewer_dates_than_folds_are_too_little_for_trees(tmp_path):
    rules = RULES.model_copy(update={"min_dates": 4, "folds": 5})
    assert train("trees", Learnt(window(4), rules), tmp_path).status == INSUFFICIENT


@pytest.mark.parametrize("dates", [1, 2])
def test_sequences_of_too_few_dates_are_too_little(tmp_path, dates):
    assert train("patchtst", Learnt(window(9, dates), RULES), tmp_path).status == INSUFFICIENT


# What is kept


def test_rows_keep_their_sequences():
    """A part of what is asked holds the sequences of its rows, at their new places."""
    every = window(3, 2)
    flags = np.random.default_rng(1).random(len(every.rows)) < 0.5
    part = every.at(flags)
    assert len(part.places) == flags[every.places].sum() > 0
    kept = {(int(every.days[place]), int(every.rows["k"][place])): number for number, place in enumerate(every.places)}
    for number, place in enumerate(part.places):
        whole = kept[int(part.days[place]), int(part.rows["k"][place])]
        assert part.values[number].tobytes() == every.values[whole].tobytes()
        assert part.observed[number].tobytes() == every.observed[whole].tobytes()
    assert every.at(np.zeros(len(every.rows), bool)).places.tolist() == []
    assert window(3).at(flags).values is None


def test_a_sequence_of_no_row_is_refused():
    every, steps = window(2), sequences(training(DATES[4]))
    with pytest.raises(ValueError, match="a sequence belongs to no row"):
        asked(every.rows, every.days, steps, np.full(len(steps), DATES[4].toordinal()))


@pytest.mark.parametrize("name", MEMBERS)
def test_what_was_said_out_of_fold_is_kept_by_row(name):
    """One line per usable row (of the latest dates with sequences, of PatchTST); what the facts say of it can be counted."""
    lake = trained()
    manifest = Artifacts(lake).manifest(name, LATER)
    table = pq.read_table(Artifacts(lake).folder(manifest) / members.OUT_OF_FOLD)
    dates = [date for date in DATES if str(date) in manifest.facts["window"]["dates"]]
    rows = np.concatenate([training(date) for date in dates])
    days = np.repeat([date.toordinal() for date in dates], TOUCHED * len(LANDMARKS))
    every = examples(rows, days)
    odds = members._out_of_fold(Artifacts(lake).folder(manifest), every)
    told = ~np.isnan(odds[:, 0])
    latest = np.isin(every.days, np.unique(days)[-1:]) & np.isin(every.rows["elapsed"], (0, 60)) & (every.rows["touch"] < 7)
    assert told.tolist() == (latest if name == "patchtst" else np.ones(len(every), bool)).tolist() and told.sum() == len(table)
    part = every.at(told)
    lost = manifest.facts["out_of_fold"][PRIMARY]
    assert lost["raw"] == round(log_loss(odds[told], part.outcomes, part.weights), 6)
    assert lost["geometry"] == round(log_loss(geometry(part.rows, PRIMARY), part.outcomes, part.weights), 6)


def test_out_of_fold_odds_find_their_rows_in_any_order(tmp_path):
    """Of a table in another order that lacks a third of them."""
    every = Learnt(window(4), RULES).examples()
    rng = np.random.default_rng(2)
    kept = rng.permutation(np.flatnonzero(np.arange(len(every)) % 3 > 0))
    told = rng.dirichlet((1.0, 1.0, 1.0), len(every))
    columns = {"day": every.days[kept], "touch": every.rows["touch"][kept], "elapsed": every.rows["elapsed"][kept]}
    columns |= {name: told[kept, place] for place, name in enumerate(("break", "bounce", "chop"))}
    pq.write_table(members.pa.table(columns), tmp_path / members.OUT_OF_FOLD)
    found = members._out_of_fold(tmp_path, every)
    np.testing.assert_array_equal(found, np.where((np.arange(len(every)) % 3 > 0)[:, None], told, np.nan))


# What they say


@pytest.mark.parametrize("name", MEMBERS)
def test_a_row_is_told_the_same_alone_and_in_a_batch(name):
    """Every byte, with the sequence that belongs to it: odds at every horizon that a member knows, sets, heads, analogs."""
    found, every = of_a_date()
    member = found[name]
    for horizon in HORIZONS if name == "trees" else (PRIMARY,):
        whole = member.odds(every, horizon)
        assert (np.isnan(whole[:, 0]) == (name == "patchtst") * ~np.isin(np.arange(len(whole)), every.places)).all()
        for place in range(len(every.rows)):
            assert member.odds(alone(every, place), horizon).tobytes() == whole[place : place + 1].tobytes()
    whole = member.odds(every)
    sets = member.sets(whole, every.rows["elapsed"])
    for place in range(0, len(every.rows), 5):
        one = slice(place, place + 1)
        assert member.sets(whole[one], every.rows["elapsed"][one]).tobytes() == sets[one].tobytes()
    for stage, part in (("stage_a", every.at(every.rows["elapsed"] == 0)), ("stage_b", every.at(every.rows["elapsed"] > 0))):
        if name == "trees":
            told = member.heads[stage].predict(part.rows)
            assert set(told) == {head.name for head in HEADS}
            single = member.heads[stage].predict(part.rows[3:4])
            assert all(single[head].tobytes() == told[head][3:4].tobytes() for head in told)
        if name == "retrieval":
            whole, single = (member.indexes[stage].analogs(part.rows[at], part.days[at]) for at in (slice(None), slice(3, 4)))
            assert single.neighbours.tobytes() == whole.neighbours[3:4].tobytes()


@pytest.mark.parametrize("name", MEMBERS)
def test_odds_are_odds(name):
    found, every = of_a_date()
    odds = found[name].odds(every)
    told = ~np.isnan(odds[:, 0])
    assert told.sum() == (len(every.places) if name == "patchtst" else len(every.rows))
    assert (odds[told] > 0).all() and np.abs(odds[told].sum(axis=1) - 1).max() < 1e-12
    sets = found[name].sets(odds, every.rows["elapsed"])
    assert sets[~told].all() and (name == "patchtst" or not abstains(sets[told]).all())  # of which it knows a date alone


def test_what_a_member_says_is_recalibrated():
    """By the temperatures of its own file: other ones, other odds; 0 is geometry."""
    found, every = of_a_date()
    folder = Artifacts(trained()).folder(Artifacts(trained()).manifest("trees", LATER))
    kept = json.loads((folder / members.CALIBRATOR).read_text())
    assert sorted(kept) == sorted(HORIZONS)
    member = found["trees"]
    cold = members.Calibrator(0.0, (0.0, 0.0, 0.0), (0.0, 0.0, 0.0))
    silenced = {horizon: members.Calibrated(cold, one.conformal) for horizon, one in member.calibrated.items()}
    plain = members.Member("trees", member.raw, silenced).odds(every)
    assert plain == pytest.approx(geometry(every.rows, PRIMARY), abs=1e-12)
    assert member.odds(every) != pytest.approx(plain, abs=1e-3)


def test_the_ensemble_is_made_of_its_members():
    """A row for which PatchTST is silent is told all the same; other members, other odds."""
    found, every = of_a_date()
    odds = found["ensemble"].odds(every)
    assert not np.isnan(odds).any()
    folder = Artifacts(trained()).folder(Artifacts(trained()).manifest("ensemble", LATER))
    dumb = load("ensemble", TRAINED, folder, {name: load(name, INSUFFICIENT, None) for name in ALONE})
    assert dumb.odds(every) == pytest.approx(geometry(every.rows, PRIMARY), abs=1e-12)
    assert odds != pytest.approx(geometry(every.rows, PRIMARY), abs=1e-3)
