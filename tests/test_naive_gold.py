"""The naive twins of physics.md, section 8 (Gold), against numbers worked out by hand."""

import pytest
from pytest import approx

from spymaster_assets.config import Config
from spymaster_assets.features import CHANNELS, FEATURES, HORIZONS
from spymaster_assets.tables.gold import SEQUENCES, TRAINING
from spymaster_assets.tables.silver import FEATURE_ROWS, LABELS, SIGNALS, TOUCHES
from tests import naive_gold
from tests.naive_gold import naive_sequence, naive_training
from tests.toy_days import OPEN, SECOND, TICK, L, ladder, toy_day, toy_touch

NAMES = tuple(channel.name for channel in CHANNELS)
NOTHING = dict.fromkeys(NAMES)
K = 12  # where most sequences end: three steps of four snaps from the open on
SIGMA_UNITS = 0.5 * 15.491933384829668  # points: sigma sqrt(240)


def config(scales=(1,), steps=(3,), **more):
    return Config.model_validate({"sequences": {"scales": scales, "steps": steps, **more}})


def with_ofi(day, ofi):
    """The day with order-flow imbalance: {(k, depth): lots}, cumulative in the snaps from k on."""
    for (k, depth), lots in ofi.items():
        for row in day.snaps[k:]:
            row[f"ofi_{depth:02}"] += lots
    return day


LOW = ladder(L - 2, L - 1)  # mid 1.5 ticks before the level
HIGH = ladder(L - 1, L)
AT_END = ladder(L, L + 2, bids=(30, *(15,) * 8, 1000), asks=(10, 20, 30, 40, 50, 60, 70, 80, 90, 1000))  # mid 1 tick beyond it
BOOKS = {0: LOW, 9: HIGH, 10: LOW, 12: AT_END}


def busy_day(books=BOOKS):
    """Snaps 0 … 12: nothing up to snap 7, then a little at 8 and much in 9 … 12, the last step of a second."""
    trades = [(8, 50, L, 8, "B"), (9, 50, L, 30, "B"), (10, 50, L, 5, "N"), (12, 50, L, 10, "A")]
    flow = {
        (8, "A", L): (9, 0, 0),
        (9, "A", L): (45, 9, 0),
        (12, "A", L + 30): (0, 9, 18),
        (10, "B", L - 3): (90, 45, 0),
        (12, "B", L - 2): (0, 0, 9),
    }
    ofi = {(8, 0): 54, (9, 0): 45, (12, 0): -9, (10, 1): 10, (10, 2): 20, (11, 3): 30, (12, 4): 12, (10, 5): 999, (8, 1): 72}
    return with_ofi(toy_day(13, books, trades, flow), ofi)


def sequence(day, k=K, settings=None, direction="UP", **touch):
    """D = 9 prices x 10 lots = 90; 2 lots and 1 print a second are usual."""
    facts = {"k": k, "sigma": 0.5, "minute_volume": 120.0, "minute_prints": 60.0} | touch
    return naive_sequence(k, day.snaps, day.flow, toy_touch(day, direction, **facts), settings or config())


def last_step(*args, **kwargs):
    return sequence(*args, **kwargs)[-1]


def channels(row):
    return {name: row[name] for name in NAMES}


UP_NUMBERS = {
    "distance": 0.25 / SIGMA_UNITS,  # 0.0323
    "return": 1.25,  # from -0.375 to +0.25 points, over 0.5
    "volatility": 1.4361406616345072,  # root of 0.25² + 0.25² + 0² + 0.625² = 0.515625, over 0.5
    "spread": 2,
    "microprice": 0.5,  # (L x 10 + (L + 2) x 30) / 40 = L + 1.5, the mid is L + 1
    "queue_imbalance": 0.5,  # (30 - 10) / 40
    "signed_volume": 10.0,  # 30 - 10 lots over 2
    "trades": 3.0,  # at snaps 9, 10, 12
    "ofi_0": 0.4,  # 45 - 9 over 90
    "ofi_1_4": 0.2,  # 10 + 20 + 30 + 12 = 72 over 360
    "defending_depth": 5.0,  # 10 + 20 + … + 90 = 450: the tenth price lies 9 ticks away
    "attacking_depth": 150 / 90,  # 30 + 8 x 15
    "defending_added": 0.5,  # 45 of 90
    "defending_pulled": 0.2,  # 9 + 9
    "defending_filled": 0.2,  # 18
    "exposure": None,
}
DOWN_NUMBERS = {
    "distance": -0.25 / SIGMA_UNITS, "return": -1.25, "volatility": 1.4361406616345072, "spread": 2,
    "microprice": -0.5, "queue_imbalance": -0.5, "signed_volume": -10.0, "trades": 3.0, "ofi_0": -0.4, "ofi_1_4": -0.2,
    "defending_depth": 150 / 90, "attacking_depth": 5.0,
    "defending_added": 1.0, "defending_pulled": 0.5, "defending_filled": 0.1, "exposure": None,
}  # fmt: skip


# ---- sequences ----


def test_columns():
    assert naive_gold.CHANNELS == NAMES
    for row in sequence(busy_day()):
        assert set(row) == set(SEQUENCES.names) - {"event_id"}


@pytest.mark.parametrize(("direction", "numbers"), [("UP", UP_NUMBERS), ("DOWN", DOWN_NUMBERS)])
def test_every_channel_of_the_last_step(direction, numbers):
    assert channels(last_step(busy_day(), direction=direction)) == approx(numbers)


def test_steps_before_hold_what_happened_before():
    """(0, 4]: nothing happened. (4, 8]: a print of 8 lots, ofi 54 at the best and 72 at the next depth, 9 asks added."""
    quiet, earlier, _ = sequence(busy_day())
    still = {
        "distance": -0.375 / SIGMA_UNITS, "return": 0.0, "volatility": 0.0, "spread": 1, "microprice": 0.0, "queue_imbalance": 0.0,
        "signed_volume": 0.0, "trades": 0.0, "ofi_0": 0.0, "ofi_1_4": 0.0, "defending_depth": 1.0, "attacking_depth": 1.0,
        "defending_added": 0.0, "defending_pulled": 0.0, "defending_filled": 0.0, "exposure": None,
    }  # fmt: skip
    assert channels(quiet) == approx(still)
    assert channels(earlier) == approx(
        still | {"signed_volume": 4.0, "trades": 1.0, "ofi_0": 0.6, "ofi_1_4": 0.2, "defending_added": 0.1}
    )


def test_a_longer_step():
    """(4, 12] of two seconds: sums of both, over twice what is usual and the root of 2."""
    row = last_step(busy_day(), settings=config((2,), (1,)))
    assert channels(row) == approx(
        UP_NUMBERS
        | {
            "return": 0.8838834764831843,  # 0.625 / (0.5 x 1.41421356)
            "volatility": 1.0155048005794951,  # 0.71807033 / 0.70710678
            "signed_volume": 7.0,  # 38 - 10 lots over 4
            "trades": 2.0,  # 4 over 2
            "ofi_0": 1.0,  # 54 + 36
            "ofi_1_4": 0.4,  # 72 + 72 over 360
            "defending_added": 0.3,  # 54 / 180
            "defending_pulled": 0.1,
            "defending_filled": 0.1,
        }
    )


def test_a_step_of_a_minute():
    """Snaps 0 … 480, two steps: a print of 30 lots and a rise of a point in the second."""
    day = toy_day(
        481, {0: LOW, 300: ladder(L + 2, L + 3)}, [(240, 50, L, 1, "B"), (300, 50, L, 30, "B")], {(480, "A", L): (540, 0, 0)}
    )
    first, second = sequence(day, 480, config((60,), (2,)))
    assert (first["trades"], first["signed_volume"], first["return"]) == approx((1 / 60, 1 / 120, 0))
    assert (second["trades"], second["signed_volume"]) == approx((1 / 60, 30 / 120))
    assert second["return"] == second["volatility"] == approx(1 / (0.5 * 7.745966692414834))
    assert second["defending_added"] == approx(540 / (90 * 60))


def test_keys_and_order():
    """Of a moment a second after the touch: rows by scale and step, the touch's references."""
    day = busy_day()
    touch = toy_touch(day, k=8, sigma=0.5, minute_volume=120.0, touch=3)
    rows = naive_sequence(K, day.snaps, day.flow, touch, config((2, 1), (1, 2)))
    assert [(row["scale"], row["step"]) for row in rows] == [(1, 0), (1, 1), (2, 0)]
    for row in rows:
        assert (row["touch"], row["k"], row["ts"], row["elapsed"]) == (3, K, OPEN + 3 * SECOND, 1.0)
        assert row["observed"] == 1
    assert channels(rows[1]) == approx(UP_NUMBERS)


def test_level_between_ticks():
    """A quarter of a tick beyond L, so 0.0625 points; the mid lies 0.25 beyond L."""
    price = L * TICK + 62_500_000
    assert last_step(busy_day(), price=price)["distance"] == approx(0.1875 / SIGMA_UNITS)
    assert last_step(busy_day(), price=price, direction="DOWN")["distance"] == approx(-0.1875 / SIGMA_UNITS)


# ---- what is not observed ----


def test_before_the_open():
    """From snap 11 back the first step would begin before snap 0, though there are good books at every number that is asked for."""
    rows = sequence(busy_day(), 11)
    assert [row["observed"] for row in rows] == [0, 1, 1]
    assert channels(rows[0]) == NOTHING
    assert rows[1]["return"] == 0.0
    assert [row["observed"] for row in sequence(busy_day(), 12)] == [1, 1, 1]
    assert [row["observed"] for row in sequence(busy_day(), 7)] == [0, 0, 1]
    assert [row["observed"] for row in sequence(busy_day(), 0)] == [0, 0, 0]


@pytest.mark.parametrize(("bad", "observed"), [(0, [0, 1, 1]), (4, [0, 0, 1]), (8, [1, 0, 0]), (12, [1, 1, 0]), (10, [1, 1, 1])])
def test_a_bad_book_at_an_end(bad, observed):
    day = busy_day()
    day.snaps[bad]["book_ok"] = 0
    rows = sequence(day)
    assert [row["observed"] for row in rows] == observed
    for row in rows:
        assert row["observed"] or channels(row) == NOTHING


def test_bad_books_within_a_step():
    """No book at snaps 9 … 11: the change from the good book before to the one after counts, the rest is as ever."""
    books = {0: LOW, 9: ladder(None, L), 12: AT_END}
    assert channels(last_step(busy_day(books))) == approx(UP_NUMBERS | {"volatility": 1.25})


def test_a_crossed_book_within_a_step():
    """Snap 9 has a mid, but is crossed: of -1.5, (3.5), -1.5, -1.5, 1 ticks 2.5 remain."""
    assert last_step(busy_day({0: LOW, 9: ladder(L + 4, L + 3), 10: LOW, 12: AT_END}))["volatility"] == approx(1.25)


# ---- what is unknown ----


@pytest.mark.parametrize(
    ("touch", "lost"),
    [
        ({"sigma": None}, {"distance", "return", "volatility"}),
        (
            {"depth": None},
            {
                "ofi_0", "ofi_1_4", "defending_depth", "attacking_depth",
                "defending_added", "defending_pulled", "defending_filled",
            },
        ),
        ({"minute_volume": None}, {"signed_volume"}),
        ({"minute_volume": 0.0}, {"signed_volume"}),
        ({"minute_prints": None}, {"trades"}),
        ({"minute_prints": 0.0}, {"trades"}),
    ],
)  # fmt: skip
def test_unknown_references(touch, lost):
    row = last_step(busy_day(), **touch)
    assert row["observed"] == 1
    assert channels(row) == approx(UP_NUMBERS | dict.fromkeys(lost))


# ---- the book at the end ----


def test_no_size_at_either_best():
    row = last_step(busy_day(BOOKS | {12: ladder(L, L + 2, bids=(0, 5), asks=(0, 7))}))
    assert (row["queue_imbalance"], row["microprice"], row["spread"]) == (None, None, 2)
    assert (row["defending_depth"], row["attacking_depth"]) == approx((7 / 90, 5 / 90))


def test_no_size_at_one_best():
    """All weight on one side: the microprice is the other side's price."""
    row = last_step(busy_day(BOOKS | {12: ladder(L, L + 3, bids=(0,), asks=(7,))}))
    assert (row["queue_imbalance"], row["microprice"]) == (-1.0, -1.5)


def test_depth_counts_ticks_and_not_levels():
    """Asks 0, 7, 8 and 9 ticks from their best, bids 0 and 8."""
    book = ladder(L, L + 2, bids=(1, 2), asks=(10, 20, 40, 80))
    for i, ticks in enumerate((L + 2, L + 9, L + 10, L + 11)):
        book[f"ask_ticks_{i:02}"] = ticks
    book["bid_ticks_01"] = L - 8
    day = busy_day(BOOKS | {12: book})
    assert channels(last_step(day)) == approx(
        UP_NUMBERS
        | {
            "defending_depth": 70 / 90,
            "attacking_depth": 3 / 90,
            "queue_imbalance": -9 / 11,
            "microprice": -9 / 11,
        }
    )
    assert last_step(day, settings=config(depth_ticks=7))["defending_depth"] == approx(30 / 90)
    assert last_step(day, direction="DOWN")["attacking_depth"] == approx(70 / 90)


# ---- training ----


def marked(table, **facts):
    """A row whose values say where they come from."""
    return {name: f"{table.name}.{name}" for name in table.names} | facts


def training(*, gap=100_000_000, outcomes=("BREAK", "BOUNCE", "CHOP"), sigma=0.5):
    """One touch at snap 4, the landmark a second later."""
    snaps = [{"ts": OPEN + k * SECOND // 4, "gap_ns": gap} for k in range(9)]
    touch = marked(TOUCHES, touch=0, k=4, sigma=sigma)
    key = {"touch": 0, "k": 8, "elapsed": 1.0}
    label = marked(LABELS, **key) | {f"outcome_{name}": outcome for name, outcome in zip(HORIZONS, outcomes, strict=True)}
    (row,) = naive_training(snaps, [touch], [marked(FEATURE_ROWS, **key, sigma=sigma)], [marked(SIGNALS, **key)], [label], Config())
    return row


def test_training_takes_each_column_from_its_table():
    row = training()
    assert set(row) == set(TRAINING.names) - {"event_id", "episode_id"}
    assert (row["touch"], row["k"], row["elapsed"], row["sigma"]) == (0, 8, 1.0, 0.5)
    assert [row[f"outcome_{name}"] for name in HORIZONS] == ["BREAK", "BOUNCE", "CHOP"]
    features = {feature.name for feature in FEATURES} - {"sigma"}
    assert {name for name, value in row.items() if value == f"features.{name}"} == features
    assert {name for name, value in row.items() if value == f"touches.{name}"} == set(naive_gold.OF_TOUCH)
    assert {name for name, value in row.items() if value == f"signals.{name}"} == set(naive_gold.OF_SIGNALS)
    of_labels = {name for name, value in row.items() if value == f"labels.{name}"}
    assert {"label_version", "anchor_spot", "label_end_4min", "future_price_8min", "tradeable_1_2min"} <= of_labels
    assert len(of_labels) == 2 + 3 * 12  # besides the outcomes: version, anchor, and twelve columns a horizon


def test_training_times():
    """t = 2 s after the open."""
    row = training()
    t = OPEN + 2 * SECOND
    assert (row["t_feature"], row["t_decision"], row["t_label_start"]) == (t - 100_000_000, t, t + 1)
    assert row["t_label_end"] == t + 480_000_000_000
    assert training(gap=0)["t_feature"] == t
    assert training(gap=None)["t_feature"] == t


def test_trainable():
    def flags(**facts):
        row = training(**facts)
        return [row[f"trainable_{name}"] for name in HORIZONS]

    assert flags() == [1, 1, 1]
    assert flags(outcomes=("RESOLVED", "CENSORED", "CHOP")) == [0, 0, 1]
    assert flags(outcomes=(None, "BREAK", "BOUNCE")) == [0, 1, 1]
    assert flags(sigma=None) == [0, 0, 0]


def test_training_pairs_rows_by_touch_and_moment():
    """Two touches, rows of each table in another order; signals have moments that are no landmarks."""
    snaps = [{"ts": OPEN + k * SECOND // 4, "gap_ns": 0} for k in range(30)]
    moments = [(0, 4), (0, 24), (1, 4)]
    touches = [marked(TOUCHES, touch=number, k=4, sigma=0.5, price=number) for number in (0, 1)]
    features = [marked(FEATURE_ROWS, touch=number, k=k, position=(number, k)) for number, k in moments]
    signals = [marked(SIGNALS, touch=number, k=k, score_tape=(number, k)) for number, k in [(1, 4), (0, 5), (0, 24), (0, 4)]]
    labels = [marked(LABELS, touch=number, k=k, anchor_spot=(number, k)) for number, k in reversed(moments)]
    rows = naive_training(snaps, touches, features, signals, labels, Config())
    assert [(row["touch"], row["k"]) for row in rows] == moments
    for row, moment in zip(rows, moments, strict=True):
        assert row["position"] == row["score_tape"] == row["anchor_spot"] == moment
        assert row["price"] == moment[0]
        assert row["elapsed"] == (moment[1] - 4) / 4
