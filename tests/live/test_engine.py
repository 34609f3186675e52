"""The engine against the day in one piece, in whatever frames it comes, and what it says against a twin of the payload.

What messages do that come again, do not come or are refused: test_engine_messages.py.
"""

import json
import pickle
from dataclasses import replace

import numpy as np
import pytest

from spymaster_assets import dbn
from spymaster_assets.compute.display import dealers
from spymaster_assets.compute.growing import Growing
from spymaster_assets.compute.stream import NO_PRIORS, Day
from spymaster_assets.sessions import Window
from spymaster_assets.states import FUEL_UNKNOWN
from spymaster_assets.tables import BARS, DEALERS, FEATURE_ROWS, FLOW, LEVELS, SIGNALS, SNAPS, STRIKES, TOUCHES
from spymaster_live.engine import SNAPS_A_MESSAGE
from spymaster_live.messages import CHANNELS, FLOWS, HEADERS, ROWS, Frame, unpack
from spymaster_live.parity import difference
from spymaster_live.payload import described, lines
from tests import short_day, test_chunks
from tests.live.naive_payload import CONTEXT, known, twin
from tests.live.spoken import (
    BAND,
    NEAR,
    NS,
    PART,
    RUN,
    SPANS,
    TICK,
    S,
    Said,
    assert_same,
    calendar_of_the_short_day,  # noqa: F401 - a fixture of every test here, too
    cut,
    day,
    option_channels,
    other_channels,
    part,
    said_to_part,
    session,
    spliced,
    strict,
    whole,
)

# ---- whatever the frames ----


def batch(name="simulated"):
    """The rows of the day in one piece, by table."""
    finished = day(name)
    bars = np.concatenate([bars.rows for bars in finished.bars.values()])
    rows = bars, finished.levels.rows, finished.touches.rows, finished.features.rows, finished.signals.rows
    return dict(zip((BARS, LEVELS, TOUCHES, FEATURE_ROWS, SIGNALS), rows, strict=True))


@pytest.mark.parametrize(("most", "span", "until"), [(64, "1 s", "09:50"), (512, "60 s", "10:50"), (0, "250 ms", "09:45")])
def test_fuel_is_that_of_the_day(most, span, until):
    """Definitions, open interest, quotes and trades come by themselves, by instrument number; the rows are those of one piece.

    In frames of that size from before the signals begin, until a moment.
    """
    messages = spliced(most, span, short_day.at("09:29"), short_day.at(until), S.globex.end, option_channels().items())
    small = [one for one in messages if short_day.at("09:29") < one.watermark <= short_day.at(until) and isinstance(one, Frame)]
    assert {one.channel for one in small} >= {"futures_mbp10", "option_quotes", "option_trades"}
    assert_fuel(Said(messages))


@pytest.mark.slow
@pytest.mark.parametrize(("most", "span"), [(64, "1 s"), (0, "250 ms")])
def test_fuel_is_that_of_the_day_in_small_frames_all_day(most, span):
    assert_fuel(Said(cut(most, span, others=option_channels().items())))


def assert_fuel(said):
    assert_is_the_day(said, "with options")
    effects = said.rows()["features"]["fuel_effect"]
    assert (effects != FUEL_UNKNOWN).mean() > 0.9
    assert not np.isnan(said.rows()["features"]["gex_oi"]).any()


def test_trades_wait_for_the_definition_of_their_option():
    """Definitions that come after the first half hour of trades: afterwards everything is as if they had been there."""
    late = {name: (schema, rows.copy()) for name, (schema, rows) in option_channels().items()}
    late["definitions"][1]["ts_recv"] = short_day.at("08:40")
    late["definitions"][1]["ts_event"] = short_day.at("08:40")
    assert (late["option_trades"][1]["ts_event"] < short_day.at("08:40")).sum() > 10
    assert_is_the_day(Said(cut(512, "60 s", others=late.items())), "with options")


def test_nonsense_among_the_options_changes_nothing():
    """Definitions of noise, with letters that are none, and quotes and trades of instruments that nobody defined."""
    noise = {name: (schema, rows.copy()) for name, (schema, rows) in option_channels().items()}
    for name, (schema, rows) in noise.items():
        layout, kept = dbn.SCHEMAS[schema], rows.copy()
        rows.view("u1")[:] = np.random.default_rng(3).integers(0, 256, rows.nbytes, np.uint8)
        for field in ("length", "rtype", layout.index):
            rows[field] = kept[field]
        assert name in CHANNELS
    assert_is_the_day(Said(cut(512, "60 s", others=noise.items())))


def assert_is_the_day(said, name="simulated"):
    rows = said.rows()
    assert [difference(table, rows[table.name], its) for table, its in batch(name).items()] == [None] * (len(ROWS) - 1)
    assert not len(rows["predictions"])  # no model
    assert_same(said, whole(name))
    assert said.engine.done and said.engine.tally.missing == said.engine.tally.repeated == 0


@pytest.mark.parametrize("most", [512, 0])
def test_any_frames(most):
    assert_is_the_day(whole() if most == 512 else Said(cut(most, "60 s")))


def test_part_of_a_day():
    """Up to PART the same lines as in the whole day, and the rows of the snaps that were told by then."""
    said = said_to_part()
    assert said.lines == whole().lines[: len(said.lines)]
    last = strict(said.lines[-1])["snap"]
    assert day().snaps["ts"][last] == PART == said.engine.watermark and not said.engine.done
    rows = said.rows()
    for table, its in batch().items():
        by_then = its[(its["valid_from"] if table is LEVELS else its["ts" if "ts" in its.dtype.names else "t0"]) <= PART]
        assert len(by_then) and difference(table, rows[table.name], by_then) is None


@pytest.mark.parametrize(
    "most, span, until", [(7, "60 s", "09:50"), (64, "1 s", "09:50"), (7, "250 ms", "09:45"), (512, "250 ms", "09:40")]
)
def test_small_frames(most, span, until):
    """From before the signals begin."""
    assert_same(Said(spliced(most, span, short_day.at("09:29"), short_day.at(until))), said_to_part())


@pytest.mark.slow
@pytest.mark.parametrize("name", test_chunks.DAYS)
@pytest.mark.parametrize("span", SPANS)
@pytest.mark.parametrize("most", [7, 64, 512, 0])
def test_any_frames_all_day(most, span, name):
    assert_is_the_day(Said(cut(most, span, name)), name)


def test_one_record_a_frame():
    """Around the first three touches."""
    first, *_, third = test_chunks.touched("simulated")[:3]
    messages = spliced(1, "60 s", first - 5 * NS, third + 300 * NS)
    assert sum(isinstance(one, Frame) and len(one.records) == 1 for one in messages) > 2000
    assert_same(Said(messages), said_to_part())


def test_beside_other_channels():
    """A frame of the book then often comes without the watermark, which a frame of another channel brings."""
    messages = cut(7, "60 s", window=Window(S.globex.start, PART), others=other_channels().items())
    said = Said(messages)
    assert_same(said, said_to_part())
    told = [one.watermark for one in messages]
    assert sum(a == b and isinstance(one, Frame) for a, b, one in zip(told, told[1:], messages[1:], strict=False)) > 300
    for channel, (schema, records) in {**other_channels(), "futures_mbp10": ("mbp-10", short_day.records())}.items():
        assert said.engine.tally.records[channel] == (records[dbn.SCHEMAS[schema].index] <= PART).sum() > 3


def test_an_unruly_day():
    """Late, flagged, unpriced and clearing records."""
    said = Said(cut(64, "60 s", "unruly"))
    assert_is_the_day(said, "unruly")
    last = strict(said.lines[-1])
    assert last["quality"]["late"] == day("unruly").snaps["late"][last["snap"]] > 100


def test_nothing_waits():
    """What a watermark closes is told at once."""
    first, last = window_snaps()[[0, -1]]
    said, told = Said([]), 0
    for message in part():
        for one in said.take(message):
            if one.subject == "levels.signals":
                told = max(told, int(one.headers["Snaps"].split("-")[-1]))
        closed = (message.watermark - S.globex.start) // (NS // 4)
        assert told == (min(closed, last) if closed >= first else 0), f"watermark {message.watermark}"


# ---- what is said ----


def window_snaps():
    """The snaps of the signal window."""
    ts = day().snaps["ts"]
    return np.flatnonzero((ts > S.signals.start) & (ts <= S.signals.end))


def expected_snaps(name):
    """Every snap of the signal window, and those after it at which a touch is still scored."""
    return np.union1d(window_snaps(), day(name).signals.rows["k"])


@pytest.mark.parametrize("name", test_chunks.DAYS)
def test_every_snap_is_told_once(name):
    found = [strict(line)["snap"] for line in whole(name).lines]
    assert found == expected_snaps(name).tolist()
    assert len(window_snaps()) == 70 * 60 * 4 < len(found)


@pytest.mark.parametrize("name", test_chunks.DAYS)
def test_messages(name):
    """Snaps, headers and ids of what is said, and at most 128 snaps in a message."""
    said = whole(name)
    assert {message.subject for message in said.messages} == {"levels.signals", "levels.rows", "levels.flow"}
    assert len({message.id for message in said.messages}) == len(said.messages)
    for message in said.messages:
        assert set(message.headers) <= set(HEADERS)
        assert (message.headers["Version"], message.headers["Run"], message.headers["Date"]) == ("1", RUN, str(S.date))
    spans = []
    for message in said.of("levels.signals"):
        ks = [strict(line)["snap"] for line in message.data.splitlines()]
        assert message.headers["Snaps"] == f"{ks[0]}-{ks[-1]}" and ks == list(range(ks[0], ks[-1] + 1))
        spans.append((message.headers["Snaps"], len(ks)))
    assert max(count for _, count in spans) == SNAPS_A_MESSAGE == 128
    for message in said.of("levels.flow"):
        ks = unpack(FLOWS, message.headers["Rows"], message.data)["snaps"]["k"]
        assert message.headers["Snaps"] == f"{ks[0]}-{ks[-1]}"
    before = -1
    for message in said.of("levels.rows"):
        rows = unpack(ROWS, message.headers["Rows"], message.data)
        levels = (rows["levels"]["valid_from"] - S.globex.start) // (NS // 4)
        ks = np.concatenate([levels, *(rows[name]["k"] for name in ("bars", "touches", "features", "signals"))])
        last = int(message.headers["Snaps"].split("-")[1])
        assert len(ks) and before < ks.min() and ks.max() <= last
        assert message.headers["Snaps"] in {span for span, _ in spans} or len(rows["bars"])  # between signals, as bars close
        before = last


def test_bars_are_told_as_they_close():
    """Before and after the signals too: what is known of a bar at its close is said then, not at the end of the date."""
    said = Said(cut(0, "1 s", window=Window(S.globex.start, S.globex.start + 300 * NS)))
    assert [message.headers["Snaps"] for message in said.messages] == [
        f"{240 * n + 1 if n else 0}-{240 * n + 240}" for n in range(5)
    ]
    assert said.rows()["bars"][["minutes", "k"]].tolist() == [(1, 240), (1, 480), (2, 480), (1, 720), (1, 960), (2, 960), (1, 1200)]


@pytest.mark.parametrize("name", test_chunks.DAYS)
def test_flow(name):
    """levels.flow holds, once, each snap of the seconds with a snap that is told, and the rows of flow of these intervals."""
    said, finished = whole(name), day(name)
    ks = (4 * np.unique((expected_snaps(name) - 1) // 4)[:, None] + np.arange(1, 5)).ravel()
    rows = said.rows("levels.flow", FLOWS)
    assert rows["snaps"]["k"].tolist() == ks.tolist()
    assert rows["snaps"].tobytes() == finished.snaps[ks].tobytes()
    assert rows["flow"].tobytes() == finished.flow.rows[np.isin(finished.flow.rows["k"], ks)].tobytes()
    assert len(rows["flow"]) > 5000
    for message in said.of("levels.flow"):
        parts = unpack(FLOWS, message.headers["Rows"], message.data)
        assert np.isin(parts["flow"]["k"], parts["snaps"]["k"]).all()
    minutes = ks[ks % 240 == 0]
    held = [dealers(int(k), finished.snaps, finished.chain.options, finished.physics.fuel, finished.clock) for k in minutes]
    assert rows["dealers"].tobytes() == b"".join(row.tobytes() for row, _ in held) and len(minutes) > 20
    assert rows["strikes"].tobytes() == b"".join(strikes.tobytes() for _, strikes in held)


def test_no_trace_of_run_and_clock():
    """The same bytes at another time of day from a run of another name; only documented names in them."""
    again = Said([replace(one, run="another") for one in part()], session("another", inputs="x", config="y", contract="z"))
    assert again.lines == said_to_part().lines
    assert not any(word in line for line in again.lines for word in (b"another", RUN.encode(), b"ESM5"))
    documented = {name for names, _, _ in described() for name in names.split(", ") if not name.startswith("levels[].model.")}
    assert {path for line in whole().lines[::50] for path in paths(strict(line))} == documented


def paths(payload):
    """The names of everything in a payload; a touch and what comes later count as one."""
    nested = {"es": payload["es"], "quality": payload["quality"]}
    yield from (name for name in payload if name not in (*nested, "levels"))
    for level in payload["levels"]:
        inner = {f"levels[].{part}": level[part] or {} for part in ("barrier", "tape", "fuel", *CONTEXT)}
        yield from (f"levels[].{name}" for name in level if f"levels[].{name}" not in inner)
        nested |= {part: nested.get(part, {}) | its for part, its in inner.items()}
    yield from (f"{part}.{name}" for part, its in nested.items() for name in its)


# ---- a twin of the payload ----


def looked_at(name):
    """Snaps at which something happens, and some at which nothing need."""
    finished, ks = day(name), expected_snaps(name)
    changes = (finished.levels.rows["valid_from"] - S.globex.start) // (NS // 4)
    halt = [(short_day.at(clock) - S.globex.start) // (NS // 4) for clock in short_day.HALT]
    around = (np.concatenate([finished.touches.rows["k"], changes[::20], halt])[:, None] + np.arange(-1, 2)).ravel()
    states = [finished.signals.rows["k"][finished.signals.rows["barrier_state"] == state][:2] for state in range(8)]
    sweeps = [finished.signals.rows["k"][finished.signals.rows["sweep_direction"] == sign][:2] for sign in (-1, 1)]
    wrong = np.flatnonzero((finished.snaps["book_ok"] == 0) & np.isin(finished.snaps["k"], ks))[:3]
    every = np.concatenate([around, *states, *sweeps, wrong, ks[:2], ks[-2:], ks[::2000]])
    return np.intersect1d(every, ks).tolist()


@pytest.mark.parametrize("name", test_chunks.DAYS)
def test_payloads_agree_with_the_tables(name):
    places = {int(k): number for number, k in enumerate(expected_snaps(name))}
    looked = looked_at(name)
    for k in looked:
        payload, expected = strict(whole(name).lines[places[k]]), twin(day(name), k)
        for level in payload["levels"]:
            assert_note(level.pop("note"), level)
        assert payload == expected
    assert len(looked) > 80


def assert_note(note, level):
    """A note stands beside a touch, and speaks of a sweep where there is one."""
    assert (note is None) == (level["touch"] is None)
    if note is not None:
        way = {0: None, 1: "toward the break", -1: "away from the break"}[level["tape"]["sweep"]]
        assert ("sweep" in note) == (way is not None) and (way or "") in note
        assert ("wall" in note) == (level["barrier"]["state"] in ("WALL", "CONSUMED", "ABSORPTION", "WEAK"))


def test_at_the_edges():
    """Prices right at the limits of nearness and band and a unit beyond, and values that are unknown."""
    finished, k = pickle.loads(pickle.dumps(day())), int(day().touches.rows["k"][5])
    ts, spot = int(finished.snaps["ts"][k]), int(finished.snaps["last"][k]) * TICK
    force = finished.levels.rows[(finished.levels.rows["valid_from"] < ts) & (finished.levels.rows["valid_to"] >= ts)].copy()
    force = force[force["kind"] < 6]
    force["price"] = [spot, spot + BAND, spot - BAND - 1, spot + NEAR, spot + NEAR + 1, spot + 2 * NEAR]
    finished.levels = Growing.of(force)
    scored = finished.signals.rows["k"] == k
    for name, unknown in (("signal", -1), ("confidence", -1), ("fuel_effect", -1), ("break_score_smooth", np.nan)):
        finished.signals.rows[name][scored] = unknown
    (payload,) = map(strict, lines(finished, np.array([k]), finished.signals.rows[scored], 0, False).splitlines())
    assert [level.pop("note") is None for level in payload["levels"]].count(False) == scored.sum() > 0
    assert payload == twin(finished, k)
    assert [len(level["kinds"]) for level in payload["levels"]] == [4, 5, 3, 5, 4, 3]
    assert [level["in_band"] for level in payload["levels"]] == [True, True, False, False, False, False]
    assert [level["distance"] for level in payload["levels"]][:2] == [0, 0.25]


def test_every_scored_touch_is_told():
    """Each row of signals stands in the payload of its snap, whose other levels have no touch."""
    rows, touches = day().signals.rows, day().touches.rows
    payloads = [strict(line) for line in whole().lines if b'"touch":{' in line]
    told = {(payload["snap"], level["touch"]["t0"]) for payload in payloads for level in payload["levels"] if level["touch"]}
    assert told == {(int(row["k"]), int(touches[row["touch"]]["t0"])) for row in rows}


def test_a_touch_whose_level_is_in_force_no_more():
    """Its last scores are told all the same."""
    finished = pickle.loads(pickle.dumps(day()))
    touch = finished.touches.rows[0]
    finished.levels = Growing.of(finished.levels.rows[finished.levels.rows["kind"] != touch["kind"]])
    k, rows = int(touch["k"]) + 9, day().signals.rows
    (payload,) = map(strict, lines(finished, np.array([k]), rows[rows["k"] == k], 5, True).splitlines())
    kind = known(TOUCHES, "kind", touch)
    (level,) = (level for level in payload["levels"] if level["id"] == kind)
    (before,) = (level for level in twin(day(), k)["levels"] if level["id"] == kind)
    assert level.pop("note") and level.pop("kinds") == [kind] and before.pop("kinds")
    assert level == before
    assert payload["quality"] | {"late": 0, "book_ok": 0} == {"gaps": 5, "late": 0, "book_ok": 0, "partial": True}


def test_a_run_that_was_joined_late():
    """It says that it does not hold the date from its open on."""
    joined = short_day.at("08:10")
    messages = cut(512, "60 s", window=Window(joined, S.globex.end))
    said = Said([message for message in messages if message.watermark <= PART], session(complete_from=joined))
    assert len(said.lines) > 1000 and all(strict(line)["quality"]["partial"] for line in said.lines)


def test_without_priors():
    said, rows = Said(part(), session(priors=NO_PRIORS)), short_day.records()
    finished = Day(S, short_day.CONFIG)
    finished.step(rows[rows["ts_event"] <= PART], PART)
    for table, its in ((SIGNALS, finished.signals.rows), (TOUCHES, finished.touches.rows)):
        assert difference(table, said.rows()[table.name], its) is None
    assert said.lines != said_to_part().lines


def test_status():
    """Numbers of the run, and none from a clock on the wall."""
    said = whole()
    assert Said(part()).engine.status() == said_to_part().engine.status()
    status = json.loads(json.dumps(said.engine.status()))
    finished = day()
    assert {name: status[name] for name in ("state", "run", "date", "contract", "watermark", "missing", "repeated", "dead")} == {
        "state": "done", "run": RUN, "date": "2025-06-03", "contract": "ESM5 by volume", "watermark": S.globex.end,
        "missing": 0, "repeated": 0, "dead": 0,
    }  # fmt: skip
    assert status["snap"] == status["of"] == finished.clock.count
    for name in ("levels", "touches", "features", "signals"):
        assert status[name] == getattr(finished, name).count > 0
    assert status["records"] == {"futures_mbp10": len(short_day.records())} and status["same_config"] is False
    assert Said(part()[:50]).engine.status()["state"] == "running"
    assert Said([], session(config=short_day.CONFIG.digest())).engine.status()["same_config"] is True


assert (SNAPS, FLOW, DEALERS, STRIKES) == FLOWS
