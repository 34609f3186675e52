"""The fast code against its naive twins: two programs written from docs/physics.md apart from each other, with one result.

Every table of the short day (tests/short_day.py), without and with priors; every registered feature by its name, also on a loud
day, fifty times as large, on which the columns of many lots are known; the flow cases, records without manners, and the toy days.

What counts as one result: integers, words and nulls are equal. For features the twin computes in exact fractions; a feature that
is declared exact is that number rounded once, but for those of ROUNDED and STEPS, whose formula rounds in between. All else agrees
within 1e-12.
"""

import math
import re
from dataclasses import replace
from fractions import Fraction
from functools import cache
from types import SimpleNamespace

import numpy as np
import pytest

from spymaster_assets.compute.approach_at import Known, approach_at, approach_params
from spymaster_assets.compute.clock import clock_of
from spymaster_assets.compute.context import resolved
from spymaster_assets.compute.features_at import features_at
from spymaster_assets.compute.fuel import Chain
from spymaster_assets.compute.labels import label_params, labels_at
from spymaster_assets.compute.physics import physics
from spymaster_assets.compute.score import SCORING, advance_signals, score_params
from spymaster_assets.compute.stream import NO_PRIORS, Day
from spymaster_assets.compute.summary import day_summary, priors
from spymaster_assets.compute.volatility import SAMPLE, sample, stated_shape, volatility_params
from spymaster_assets.features import FEATURES
from spymaster_assets.sessions import Window
from spymaster_assets.states import LEVEL_KINDS
from spymaster_assets.tables import (
    BARS,
    DAY_SUMMARY,
    FEATURE_ROWS,
    FLOW,
    LABELS,
    LEVELS,
    OPTION_FLOW,
    PRINTS,
    PRIORS,
    SIGNALS,
    SNAPS,
    TOUCHES,
)  # fmt: skip
from tests import build, flow_cases, naive_fuel, naive_physics, short_day, toy_days
from tests.naive_context import context_at_moment, context_at_touch
from tests.naive_grid import naive_bars, naive_grid
from tests.naive_labels import naive_day_summary, naive_labels, naive_priors
from tests.naive_physics import Rows, naive_landmarks
from tests.naive_score import naive_signals
from tests.naive_touches import naive_levels, naive_sigma, naive_touches
from tests.rows import difference, packed, plain

SESSION, CONFIG, OPEN = short_day.SESSION, short_day.CONFIG, short_day.SESSION.globex.start
WITHOUT, WITH, LOUD = "without priors", "with priors", "loud, with priors"
ROUNDED = {  # units in the last place
    "tape_rate": 2, "approach_tape_rate": 2, "position_theta_2min": 1, "position_theta_4min": 1, "position_theta_8min": 1,
}  # fmt: skip
STEPS = re.compile(  # several roundings on the way
    r"ofi_integrated|ofi_acceleration|_atr$|^confluence|^force|accel|_trend$"
)
NO_OPTIONS, NO_LEVELS = Chain().options, np.zeros(0, LEVELS.dtype)
SAME = {  # hardly different on this day: tests/test_naive_fuel.py, test_naive_approach.py, test_naive_context.py have more
    "fuel_effect", "gex_at", "touch_count_60s", "prior_chops", "confluence_alignment",
}  # fmt: skip
SCORED = {WITHOUT: (3, 6, 7), WITH: (1, 7, 13)}  # touches that between them have every barrier state and every trigger
NEAR = {  # columns that need not be equal to the last bit: another order of the same sums and quotients, exp, tanh
    "touches": {"sigma"},
    "signals": {"tape_rate", "score_tape", "break_score_raw", "break_score_smooth", "gamma_exposure"},
    "day_summary": {"diffusion", "print_spacing", "consumed_share", "gamma_threshold", "acceleration_coefficient"}
    | {f"ofi_loading_{i:02}" for i in range(10)},
}


def assert_same(table, expected, found):
    """Plain rows of a table that the fast code made, as the twin expects them."""
    near = NEAR.get(table)
    if near:
        assert difference(expected, [{n: v for n, v in row.items() if n in near} for row in found], 1e-12) == ""
        found = [{n: v for n, v in row.items() if n not in near} for row in found]
    assert difference(expected, found) == ""


def changed(config, group, **values):
    """The configuration with other values in one group."""
    return config.model_copy(update={group: getattr(config, group).model_copy(update=values)})


def fractions(config):
    """The configuration with which the twins divide exactly."""
    config = changed(config, "instrument", point=Fraction(config.instrument.point), tick=Fraction(config.instrument.tick))
    return changed(config, "grid", interval_ns=Fraction(config.grid.interval_ns))


EXACT = fractions(CONFIG)


# ---- the short day ----


@cache
def records(loud):
    rows = short_day.records()
    if loud:
        rows = rows.copy()
        for sizes in (rows["size"], rows["levels"]["bid_sz"], rows["levels"]["ask_sz"]):
            sizes *= 50
    return rows


@cache
def fast(kind):
    """The product's day."""
    return short_day.run(records(kind == LOUD), NO_PRIORS if kind == WITHOUT else short_day.priors())


def options(snaps):
    """The twin of the options, over option flow of the product (test_naive_grid has its twin)."""
    day = fast(WITHOUT)
    return naive_fuel.Options(snaps, plain(OPTION_FLOW, day.options.flow.rows), short_day.open_interest(), SESSION, CONFIG)


@cache
def slow(kind):
    """The twins' snaps, prints, flow, bars, levels and touches. Those of the loud day are the product's."""
    usual = None if kind == WITHOUT else plain(PRIORS, short_day.priors())
    if kind == LOUD:
        day = fast(kind)
        snaps, prints, flow = plain(SNAPS, day.snaps), plain(PRINTS, day.prints.rows), plain(FLOW, day.flow.rows)
        return SimpleNamespace(
            rows=Rows(snaps, prints, flow, options(snaps)), touches=plain(TOUCHES, day.touches.rows), priors=usual,
            levels=plain(LEVELS, day.levels.rows), bars={1: plain(BARS, day.bars[1].rows)},
        )  # fmt: skip
    if kind == WITH:
        day = slow(WITHOUT)
        snaps, prints, flow = day.snaps, day.prints, day.flow
    else:
        count = fast(kind).clock.count
        snaps, prints, flow, _ = naive_grid(records(False), OPEN, count, CONFIG, SESSION.regular.start)
    bars = {minutes: naive_bars(prints, OPEN, len(snaps) - 1, minutes) for minutes in (1, 2)}
    levels = naive_levels(prints, bars[2], SESSION, CONFIG, snaps, options(snaps), usual)
    touches = naive_touches(snaps, prints, bars[1], levels, SESSION, CONFIG, usual, short_day.DATE)
    rows = Rows(snaps, prints, flow, options(snaps))
    return SimpleNamespace(
        snaps=snaps, prints=prints, flow=flow, rows=rows, bars=bars, levels=levels, touches=touches, priors=usual
    )


@pytest.mark.parametrize("table", [SNAPS, PRINTS, FLOW, LEVELS], ids=lambda table: table.name)
def test_path(table):
    day = fast(WITHOUT)
    found = day.snaps if table is SNAPS else getattr(day, table.name).rows
    assert_same(table.name, getattr(slow(WITHOUT), table.name), plain(table, found))
    with_priors = fast(WITH).snaps if table is SNAPS else getattr(fast(WITH), table.name).rows
    if table is LEVELS:  # the day before is known from priors alone
        assert_same("levels", slow(WITH).levels, plain(table, with_priors))
        assert {row["kind"] for row in slow(WITH).levels} == {*LEVEL_KINDS}
    else:
        assert with_priors.tobytes() == found.tobytes()


@pytest.mark.parametrize("minutes", [1, 2])
def test_bars(minutes):
    assert_same("bars", slow(WITHOUT).bars[minutes], plain(BARS, fast(WITHOUT).bars[minutes].rows))


@pytest.mark.parametrize("kind", [WITHOUT, WITH])
def test_touches(kind):
    assert_same("touches", slow(kind).touches, plain(TOUCHES, fast(kind).touches.rows))
    assert {touch["direction"] for touch in slow(kind).touches} == {"UP", "DOWN"}
    assert len({touch["kind"] for touch in slow(kind).touches}) >= 5


@pytest.mark.parametrize(("kind", "number"), [(kind, number) for kind, numbers in SCORED.items() for number in numbers])
def test_signals(kind, number):
    day = slow(kind)
    found = plain(SIGNALS, fast(kind).signals.rows[fast(kind).signals.rows["touch"] == number])
    assert_same("signals", naive_signals(day.rows, day.touches[number], SESSION, CONFIG, day.priors), found)


@pytest.mark.parametrize("kind", [WITHOUT, WITH])
def test_labels(kind):
    day = slow(kind)
    expected = [
        naive_labels(day.rows, touch, k, SESSION, CONFIG)
        for touch in day.touches
        for k in naive_landmarks(day.rows, touch, SESSION, CONFIG)
    ]
    assert_same("labels", expected, plain(LABELS, fast(kind).labels()))
    outcomes = {row[f"outcome_{name}"] for row in expected for name in ("2min", "4min", "8min")}
    assert outcomes == {"BREAK", "BOUNCE", "CHOP", "CENSORED", "RESOLVED"}


def test_day_summary():
    expected = naive_day_summary(slow(WITHOUT).rows, slow(WITHOUT).bars[1], SESSION, CONFIG)
    for kind in (WITHOUT, WITH):
        assert_same("day_summary", expected, plain(DAY_SUMMARY, fast(kind).summary()))


@pytest.mark.parametrize("dates", range(6))
def test_priors(dates):
    """Medians of an even and an odd number of dates, known by some of them only, and none of too few."""
    rng, summaries = np.random.default_rng(dates), []
    for _ in range(dates):
        summary = fast(WITHOUT).summary()
        for name in summary.dtype.names[1:]:
            values = summary[name]
            values[:] = np.nan_to_num(values, nan=7.0) * rng.integers(1, 9, values.shape)
            values[rng.random(values.shape) < 0.3] = np.nan
        summaries.append(summary)
    expected = naive_priors([plain(DAY_SUMMARY, summary) for summary in summaries], CONFIG)
    assert_same("priors", expected, plain(PRIORS, priors(summaries, CONFIG)))


# ---- features, one by one ----


def twin_features(rows, touch, k, session, config, usual, sigma_now):
    """The twin's values of the features that move with the moment, computed in fractions."""
    exact = {
        name: Fraction(value) if isinstance(value, float) and name not in ("sigma", "print_spacing") else value
        for name, value in touch.items()
    }
    return naive_physics.naive_features(rows, exact, k, session, config, usual, sigma_now) | context_at_moment(
        rows, touch, k, config
    )


def twin_context(rows, touch, session, config, usual, levels, bars1, touches):
    """The twin's values of what is known at a touch and stays."""

    def approach(one):
        found = naive_physics.approach_columns(rows, one, session, config, usual)
        return {f"approach_{name}": value for name, value in found.items()}

    return context_at_touch(rows, touch, session, config, usual, levels, bars1, touches, approach)


@cache
def features(kind):
    """(touch, k, twin's values, product's values) of every landmark."""
    day = slow(kind)
    found = {(row["touch"], row["k"]): row for row in plain(FEATURE_ROWS, fast(kind).features.rows)}
    rows = []
    for touch in day.touches:
        context = twin_context(day.rows, touch, SESSION, EXACT, day.priors, day.levels, day.bars[1], day.touches)
        for k in naive_landmarks(day.rows, touch, SESSION, CONFIG):
            expected = (
                twin_features(
                    day.rows, touch, k, SESSION, EXACT, day.priors, naive_sigma(day.rows.snaps, k, SESSION, CONFIG, day.priors)
                )
                | context
            )
            rows.append((touch["touch"], k, expected, found.pop((touch["touch"], k), None)))
    return rows, sorted(found)


def agrees(feature, expected, found):
    """Whether a value is the twin's."""
    if expected is None or found is None or isinstance(expected, str):
        return expected == found
    expected = float(expected)
    if feature.exact and not STEPS.search(feature.name):
        return abs(found - expected) <= ROUNDED.get(feature.name, 0) * math.ulp(expected)
    around_one = feature.unit == "probability" or feature.family == "fuel"  # differences of sums of that size
    smallest = max(1.0, abs(expected)) if around_one else abs(expected)
    return abs(found - expected) <= 1e-12 * smallest


def assert_agrees(feature, expected, found, where):
    """The value of a feature is the twin's; a feature without a twin fails here by its name."""
    assert feature.name in expected, f"{feature.name} has no twin in tests/naive_physics.py, naive_approach.py or naive_context.py"
    assert agrees(feature, expected[feature.name], found[feature.name]), (
        f"{feature.name} at {where}: {expected[feature.name]} expected, {found[feature.name]!r} found"
    )


@pytest.mark.parametrize("kind", [WITHOUT, WITH, LOUD])
def test_landmarks(kind):
    rows, superfluous = features(kind)
    assert [row[:2] for row in rows if row[3] is None] == []
    assert superfluous == []
    assert len(rows) > 100


@pytest.mark.parametrize("feature", FEATURES, ids=[feature.name for feature in FEATURES])
def test_feature(feature):
    """Equal to the twin's at every landmark, and known at some."""
    values = set()
    for kind in (WITHOUT, WITH, LOUD):
        for number, k, expected, found in features(kind)[0]:
            assert_agrees(feature, expected, found, f"touch {number}, snap {k}, {kind}")
            values.add(found[feature.name])
    assert values - {None} != set(), f"{feature.name} is null at every landmark of the short day"
    assert len(values) > 2 or feature.name in SAME, f"{feature.name} is {values} alone; if tests by hand have more: SAME"


# ---- the grid on records made by hand and on records without manners ----


def assert_same_grid(rows, count, regular_start, depth):
    """All columns of the grid of some records over `count` snaps; its flow."""
    config, start = build.CONFIG, flow_cases.OPEN
    session = replace(
        build.SESSION,
        globex=Window(start, start + count * config.grid.interval_ns),
        regular=build.SESSION.regular._replace(start=regular_start),
    )
    day = Day(session, config, depth=depth)
    day.take(rows)
    day.complete(session.globex.end)
    *expected, facts = naive_grid(rows, start, count, config, regular_start, depth)
    for table, want, found in zip((SNAPS, PRINTS, FLOW), expected, (day.snaps, day.prints.rows, day.flow.rows), strict=True):
        assert_same(table.name, want, plain(table, found))
    assert int(day.grid.hidden["discarded"][0]) == facts["discarded"]
    return expected[2]


@pytest.mark.parametrize("case", flow_cases.CASES, ids=[case.name for case in flow_cases.CASES])
def test_flow_case(case):
    found = assert_same_grid(case.records, flow_cases.COUNT, build.SESSION.regular.start, case.depth)
    assert found == case.expected_flow


def rude_records(seed, count):
    """Records in disorder: late, flagged, clearing, crossed, one-sided, with holes; trades anywhere, some unpriced."""
    rng, rows = np.random.default_rng(seed), []
    time, top, sides = -5, 100, [dict(flow_cases.BIDS), dict(flow_cases.ASKS)]
    for _ in range(count):
        time += int(rng.choice([0, 0, 0, 3, 40, 300], p=[0.3, 0.2, 0.1, 0.25, 0.13, 0.02]))
        at = time - int(rng.integers(1, 400)) if rng.random() < 0.03 else time
        flags = int(rng.choice([128, 0, 32, 160, 132, 4], p=[0.7, 0.24, 0.02, 0.02, 0.01, 0.01]))
        if rng.random() < 0.25:
            ticks, lots = None if rng.random() < 0.02 else top + int(rng.integers(-8, 9)), int(rng.integers(1, 30))
            rows.append(flow_cases.trade(at, "ABABN"[rng.integers(5)], lots, ticks, *sides, flags=flags))
        elif rng.random() < 0.01:
            rows.append(flow_cases.clear(at))
        else:
            top += int(rng.integers(-1, 2)) if rng.random() < 0.1 else 0
            for number, sign in enumerate((-1, 1)):
                if rng.random() < 0.05:
                    steps = range(int(rng.choice([0, 1, 5, 9, 10, 12])))
                    sides[number] = {top + sign * (i + int(rng.integers(0, 2))) + number: int(rng.integers(1, 50)) for i in steps}
                for ticks in list(sides[number]):
                    if rng.random() < 0.1:
                        sides[number][ticks] = int(rng.integers(1, 50))
            rows.append(flow_cases.book(at, dict(sides[0]), dict(sides[1]), flags=flags))
    return np.concatenate(rows)


@pytest.mark.parametrize(("seed", "depth"), [(1, 10), (2, 10), (3, 1)])
def test_rude_records(seed, depth):
    rows = rude_records(seed, 1200)
    last = int(rows["ts_event"].astype(np.int64).max()) - flow_cases.OPEN
    count = last // 250_000_000 + 3
    assert_same_grid(rows, count, flow_cases.OPEN + last // 2, depth)


# ---- toy days ----


TOY_CONFIG = build.CONFIG


def exact_thirds():
    """Prints that reach .33 theta to the tick: 33 of 100, 66 of 200."""
    day = toy_days.label_day(((10, 33), (20, -33), (130, 66), (300, -66)))
    day.touches = [toy_days.toy_touch(day, way, thetas=(100, 100, 200), touch=i) for i, way in enumerate(("UP", "DOWN"))]
    return day


TOYS = dict(toy_days.all_days()) | {f"halt of {quiet} snaps": toy_days.halt_day(quiet) for quiet in (239, 240, 241)}
TOYS |= {"exact thirds": exact_thirds()}
KNOWN = {"dates": 20, "cluster_p99": 41.0, "consumed_share": 0.8}
TOY_PRIORS = [dict.fromkeys(PRIORS.names) | {"bucket": bucket} | KNOWN for bucket in range(144)]


def toy(day, usual):
    """(snaps, prints, flow, touches) in memory, clock and physics of a toy day."""
    tables = [packed(table, getattr(day, table.name)) for table in (SNAPS, PRINTS, FLOW, TOUCHES)]
    clock = clock_of(day.session, TOY_CONFIG)._replace(count=len(day.snaps) - 1)
    return tables, clock, physics(TOY_CONFIG, clock, toy_priors(usual))


def toy_priors(usual):
    return packed(PRIORS, usual) if usual else NO_PRIORS


def toy_samples(snaps, clock):
    """Samples of the volatility of a toy day."""
    params = volatility_params(TOY_CONFIG)
    samples = np.zeros(clock.count // params.step + 1, SAMPLE)
    for number in range(len(samples)):
        sample(number, snaps, samples, stated_shape(TOY_CONFIG), params, clock)
    return samples


@pytest.mark.parametrize("usual", [None, TOY_PRIORS], ids=["without priors", "with priors"])
@pytest.mark.parametrize("name", list(TOYS))
def test_toy_features(name, usual):
    day = TOYS[name]
    (snaps, prints, flow, touches), clock, at = toy(day, usual)
    rows, row = Rows(day.snaps, day.prints, day.flow), np.zeros(1, FEATURE_ROWS.dtype)
    known = Known(snaps, prints, flow, NO_OPTIONS, packed(BARS, day.bars1), toy_samples(snaps, clock), NO_LEVELS, touches)
    approach, params = np.zeros(len(touches), FEATURE_ROWS.dtype), approach_params(TOY_CONFIG, at, toy_priors(usual))
    for number, touch in enumerate(day.touches):
        approach_at(number, known, params, approach)
        context = twin_context(rows, touch, day.session, fractions(TOY_CONFIG), usual, [], day.bars1, day.touches)
        theta, entry = touch["theta_8min"], touch["k"]
        moments = naive_landmarks(rows, touch, day.session, TOY_CONFIG)
        ends = [k for k in range(entry, len(snaps)) if not resolved(k, theta, snaps, touches[number : number + 1], build.TICK)]
        assert moments == [k for k in (entry + 4 * s for s in TOY_CONFIG.touches.landmarks) if k in ends]
        for k in (*moments, entry + 7, entry + 10):
            row[:] = approach[number]
            features_at(k, snaps, prints, flow, NO_OPTIONS, touches[number : number + 1], 1.5, at, row)
            expected = context | twin_features(rows, touch, k, day.session, fractions(TOY_CONFIG), usual, 1.5)
            found = plain(FEATURE_ROWS, row)[0]
            for feature in FEATURES:
                if feature.name in expected:  # if not, test_feature says so
                    assert_agrees(feature, expected, found, f"snap {k}")


@pytest.mark.parametrize("usual", [None, TOY_PRIORS], ids=["without priors", "with priors"])
@pytest.mark.parametrize("name", [name for name, day in TOYS.items() if len(day.snaps) < 200])
def test_toy_signals(name, usual):
    day = TOYS[name]
    (snaps, prints, flow, touches), clock, at = toy(day, usual)
    scoring, signals = np.zeros(len(touches), SCORING), np.zeros(1000 * len(touches), SIGNALS.dtype)
    scoring["smooth"], scoring["raw_k"] = np.nan, -1
    params = score_params(TOY_CONFIG, clock.second)
    count = advance_signals(-1, len(snaps) - 1, snaps, prints, flow, NO_OPTIONS, touches, scoring, at, params, signals, 0)
    rows = Rows(day.snaps, day.prints, day.flow)
    for number, touch in enumerate(day.touches):
        found = plain(SIGNALS, signals[:count][signals["touch"][:count] == number])
        assert_same("signals", naive_signals(rows, touch, day.session, TOY_CONFIG, usual), found)


@pytest.mark.parametrize("name", [name for name, day in TOYS.items() if len(day.snaps) > 2881])
def test_toy_labels(name):
    day = TOYS[name]
    (snaps, prints, _, touches), clock, _ = toy(day, None)
    rows, row = Rows(day.snaps, day.prints, day.flow), np.zeros(1, LABELS.dtype)
    params = label_params(TOY_CONFIG, clock.second)
    for number, touch in enumerate(day.touches):
        for k in (*naive_landmarks(rows, touch, day.session, TOY_CONFIG), touch["k"] + 961):
            labels_at(k, snaps, prints, touches[number : number + 1], params, clock, row)
            assert_same("labels", [naive_labels(rows, touch, k, day.session, TOY_CONFIG)], plain(LABELS, row))


def test_toy_summary():
    day = toy_days.summary_day()
    (snaps, prints, flow, _), clock, _ = toy(day, None)
    clock = clock._replace(globex_end=clock.open + clock.count * clock.interval)
    found = day_summary(
        snaps, prints, flow, packed(BARS, day.bars1), toy_samples(snaps, clock), NO_OPTIONS, TOY_CONFIG, clock
    )  # fmt: skip
    expected = naive_day_summary(Rows(day.snaps, day.prints, day.flow), day.bars1, day.session, TOY_CONFIG)
    assert expected[1]["consumed_share"] is not None
    assert_same("day_summary", expected, plain(DAY_SUMMARY, found))
