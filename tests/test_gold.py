"""Gold against its naive twins, and Gold in the lake: training and sequences of dates made from Silver."""

import datetime as dt
from functools import cache

import numpy as np
import pytest

from spymaster_assets.assets.lineage import sources
from spymaster_assets.compute.stream import NO_PRIORS
from spymaster_assets.config import Config
from spymaster_assets.features import CHANNELS, FEATURES
from spymaster_assets.gold import STAGES
from spymaster_assets.lake import Lake
from spymaster_assets.maker import Maker
from spymaster_assets.states import BOUNCE, BREAK, CHOP
from spymaster_assets.tables import (
    FEATURE_ROWS,
    FLOW,
    GOLD,
    LABELS,
    OPTION_FLOW,
    SEQUENCES,
    SIGNALS,
    SILVER,
    SNAPS,
    TABLES,
    TOUCHES,
    TRAINING,
)
from tests import naive_fuel, short_day
from tests.defects import made_of
from tests.naive_gold import naive_sequence, naive_training
from tests.rows import difference, plain

DATE = dt.date(2025, 6, 3)
CONFIG = Config()
NAMES = tuple(channel.name for channel in CHANNELS)
SINGLE = 1.2e-7  # relative: one unit in the last place of single precision


class Snaps:
    """Snaps as plain rows, made a thousand at a time when asked for: one by one takes fifty times as long."""

    def __init__(self, rows):
        self._rows, self._known = rows, {}

    def __getitem__(self, k):
        block, place = divmod(k, 1000)
        if block not in self._known:
            self._known[block] = plain(SNAPS, self._rows[1000 * block : 1000 * (block + 1)])
        return self._known[block][place]


@cache
def day(with_priors):
    return short_day.run(short_day.records(), short_day.priors() if with_priors else NO_PRIORS)


def options(made):
    """The twin of the options, over the option flow of a day."""
    snaps, flow = plain(SNAPS, made.snaps), plain(OPTION_FLOW, made.options.flow.rows)
    return naive_fuel.Options(snaps, flow, short_day.open_interest(), short_day.SESSION, short_day.CONFIG)


@cache
def sequences(with_priors):
    return short_day.sequences(day(with_priors))


# Twins


@pytest.mark.parametrize("with_priors", [False, True])
def test_sequences_are_the_twins(with_priors):
    """Every column of whole sequences, touches of both directions, at both landmarks, early and late in the day."""
    made, rows = day(with_priors), sequences(with_priors)
    size = made.sequence_params.rows
    flow, snaps = plain(FLOW, made.flow.rows), Snaps(made.snaps)
    touches = plain(TOUCHES, made.touches.rows)
    picked = range(0, len(rows) // size, 5)
    assert {touches[int(rows["touch"][i * size])]["direction"] for i in picked} == {"UP", "DOWN"}
    assert {float(rows["elapsed"][i * size]) for i in picked} == {0.0, 60.0}
    for i in picked:
        part = rows[i * size : (i + 1) * size]
        k, touch = int(part["k"][0]), touches[int(part["touch"][0])]
        expected = naive_sequence(k, snaps, flow, touch, short_day.CONFIG, options(made) if i == picked[1] else None)
        found = plain(SEQUENCES, part)
        named = [{n: v for n, v in row.items() if n not in NAMES} for row in found]
        assert difference(expected, named) == ""
        for name in NAMES if i == picked[1] else (name for name in NAMES if name != "exposure"):
            want = np.array([np.nan if row[name] is None else row[name] for row in expected], np.float64)
            apart = np.abs(part[name] - want) > SINGLE * np.abs(want)
            assert (np.isnan(want) == np.isnan(part[name])).all(), name
            assert not apart.any(), (name, int(np.argmax(apart)))


def test_every_channel_says_something_and_no_two_the_same():
    rows = sequences(True)
    seen = rows[rows["observed"] == 1]
    told = {name: seen[name] for name in NAMES}
    assert all(np.unique(values[~np.isnan(values)]).size > 3 for name, values in told.items() if name != "spread")
    assert len({values.tobytes() for values in told.values()}) == len(told)
    assert 0.005 < (rows["observed"] == 0).mean() < 0.5  # before the open of the short day, and where the book was not sound


@pytest.mark.parametrize("with_priors", [False, True])
def test_a_sequence_ends_where_features_stand(with_priors):
    made, rows = day(with_priors), sequences(with_priors)
    at = {(int(row["touch"]), int(row["k"])): float(row["position_sigma_4min"]) for row in made.features.rows}
    last = rows[(rows["scale"] == 1) & (rows["step"] == 299)]
    assert len(last) > 20
    for row in last:
        assert row["distance"] == pytest.approx(at[int(row["touch"]), int(row["k"])], rel=2e-7, nan_ok=True)


# In the lake


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    return made_of(tmp_path_factory.mktemp("gold"), events=20_000, seed=5)


def test_training_is_the_twins(made: Lake) -> None:
    touches, features, signals, labels = (
        plain(table, made.rows(table, DATE)) for table in (TOUCHES, FEATURE_ROWS, SIGNALS, LABELS)
    )
    at = {(row["touch"], row["k"]) for row in features}
    signals = [row for row in signals if (row["touch"], row["k"]) in at]
    expected = naive_training(Snaps(made.rows(SNAPS, DATE)), touches, features, signals, labels, CONFIG)
    found = plain(TRAINING, made.rows(TRAINING, DATE))
    assert len(found) > 40
    assert difference(expected, found) == ""
    assert set(expected[0]) == set(found[0])


def test_ids_of_gold_are_those_of_silver(made: Lake) -> None:
    ids = made.arrays(TOUCHES, DATE, ("touch", "event_id", "episode_id"))
    for table, names in ((TRAINING, ("event_id", "episode_id")), (SEQUENCES, ("event_id",))):
        rows = made.arrays(table, DATE, ("touch", *names))
        for name in names:
            assert (rows[name] == ids[name][rows["touch"]]).all()


def test_sequences_are_those_of_the_landmarks_of_training(made: Lake) -> None:
    training, rows = made.rows(TRAINING, DATE), made.rows(SEQUENCES, DATE)
    wanted = training[np.isin(training["elapsed"], CONFIG.sequences.landmarks)]
    assert len(rows) == len(wanted) * sum(CONFIG.sequences.steps)
    first = rows[:: sum(CONFIG.sequences.steps)]
    assert (first["touch"] == wanted["touch"]).all() and (first["k"] == wanted["k"]).all()
    assert (first["ts"] == wanted["t_decision"]).all()


def test_facts_count_what_there_is(made: Lake) -> None:
    rows, facts = made.rows(TRAINING, DATE), made.manifest(TRAINING, DATE).facts
    assert facts["touches"] == len(set(rows["touch"].tolist()))
    known = np.isin(rows["outcome_4min"], (BREAK, BOUNCE, CHOP)) & ~np.isnan(rows["sigma"])
    assert facts["trainable_4min"] == known.sum() > 20
    assert sum(facts["outcomes"]["4min"].values()) == len(rows)


def test_a_landmark_without_a_signal_is_an_error_that_names_it(made: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    maker = Maker(DATE, made)
    signals, features = maker.rows(SIGNALS), maker.rows(FEATURE_ROWS)
    missing = (signals["touch"] == features["touch"][3]) & (signals["k"] == features["k"][3])
    rows = maker.rows
    monkeypatch.setattr(maker, "rows", lambda table: signals[~missing] if table is SIGNALS else rows(table))
    with pytest.raises(ValueError, match=f"{DATE}: a landmark has no signal"):
        maker.make(next(stage for stage in STAGES if stage.name == "training"), force=True)


# Declared once


@pytest.mark.parametrize("table", GOLD, ids=lambda table: table.name)
def test_every_column_names_columns_that_exist(table) -> None:
    columns = {(one.name, name) for one in (*SILVER, TRAINING) for name in one.names}
    found = sources(table)
    assert set(found) == set(table.names)
    assert {(of.name, name) for places in found.values() for of, name in places} <= columns
    assert [name for name, places in found.items() if not places] == ([] if table is TRAINING else ["scale", "step"])


def test_features_are_an_allow_list_of_training() -> None:
    assert {feature.name for feature in FEATURES} <= set(TRAINING.names)
    assert not {feature.name for feature in FEATURES} & {"touch", "event_id", "k", "price", "t_decision", *LABELS.names}
    assert {f"{table.stage}/{table.name}" for table in GOLD} <= set(TABLES)
