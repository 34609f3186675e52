"""The engine against the day in one piece: frames, repetitions, gaps and refused messages do not show in what it says.

Every message goes through its bytes, as on the bus. The payloads are also compared with a twin of their own, made from the tables
of the finished day and the words of docs/live.md.
"""

import json
import math
import pickle
from collections import Counter
from dataclasses import replace
from functools import cache
from types import SimpleNamespace

import numpy as np
import pytest

from spymaster_assets import dbn
from spymaster_assets.compute.display import dealers
from spymaster_assets.compute.growing import Growing
from spymaster_assets.compute.stream import NO_PRIORS, Day
from spymaster_assets.sessions import Window, calendar
from spymaster_assets.states import FUEL_UNKNOWN
from spymaster_assets.tables import BARS, DEALERS, FEATURE_ROWS, FLOW, LEVELS, SIGNALS, SNAPS, STRIKES, TOUCHES
from spymaster_live import engine as live
from spymaster_live.engine import SNAPS_A_MESSAGE, Engine
from spymaster_live.frames import Cutting, Source, frames
from spymaster_live.messages import CHANNELS, FLOWS, HEADERS, ROWS, BadMessage, Clock, Frame, Session, read, unpack
from spymaster_live.parity import difference
from spymaster_live.payload import described, lines
from tests import short_day, test_chunks

S, NS = short_day.SESSION, 1_000_000_000
RUN = "2025-06-03.7741"
SPANS = {"250 ms": NS // 4, "1 s": NS, "60 s": 60 * NS}
PART = short_day.at("09:50")  # where the day is cut off for tests that need not see all of it


@pytest.fixture(scope="module", autouse=True)
def calendar_of_the_short_day():
    """The engine asks the calendar for the times of a date; for short_day's date it is told short_day's own, else the truth."""

    def short(config):
        return SimpleNamespace(session=lambda date: S if date == S.date else calendar(config).session(date))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(live, "calendar", short)
        yield


@cache
def day(name="simulated"):
    """The day in one piece; its options are only in the one of that name."""
    if name == "with options":
        return short_day.run(short_day.records(), short_day.priors())
    made = Day(S, short_day.CONFIG, short_day.priors())
    made.step(test_chunks.records(name), S.globex.end)
    return made


# ---- the day as messages ----


def session(run=RUN, **changed):
    first = Session(run, str(S.date), "ESM5 by volume", S.globex.start, 60 * NS, 0, 0, "in", "cfg", "", short_day.priors())
    return replace(first, **changed)


def other_channels():
    """Trades at the times of the book's trades, sampled quotes every 3 s, and a few definitions."""
    book = short_day.records()
    times = {
        "futures_trades": ("trades", book["ts_event"][book["action"] == ord("T")]),
        "option_quotes": ("bbo-1s", np.arange(S.globex.start + NS, S.globex.end, 3 * NS)),
        "definitions": ("definition", S.globex.start + NS * np.array([1, 1, 2, 4000, 9000])),
    }
    return {name: (schema, records_at(schema, at)) for name, (schema, at) in times.items()}


@cache
def option_channels():
    """Definitions and open interest, sent before the session, and the options' quotes and trades in it."""
    sent = {schema: short_day.simulated()[schema] for schema in ("definition", "statistics", "tbbo")}
    quotes = sent["tbbo"][(sent["tbbo"]["ts_event"] > S.globex.start) & (sent["tbbo"]["ts_event"] <= S.globex.end)]
    trades = records_at("trades", quotes["ts_event"])
    for name in ("instrument_id", "price", "size", "action", "side", "ts_recv", "sequence"):
        trades[name] = quotes[name]
    return {
        "definitions": ("definition", sent["definition"]), "option_statistics": ("statistics", sent["statistics"]),
        "option_quotes": ("tbbo", quotes), "option_trades": ("trades", trades),
    }  # fmt: skip


def records_at(schema, times):
    rows, layout = np.zeros(len(times), dbn.SCHEMAS[schema].dtype), dbn.SCHEMAS[schema]
    rows["rtype"], rows["length"], rows[layout.index] = layout.rtype, layout.dtype.itemsize // 4, times
    return rows


def cut(most, span, name="simulated", window=S.globex, run=RUN, others=()):
    """The frames and clocks of the records of a window."""
    rows = test_chunks.records(name)
    effective = test_chunks.effective(name)[:-1]
    rows = rows[(effective > window.start) & (effective <= window.end)]
    channels = {"futures_mbp10": ("mbp-10", rows), **dict(others)}
    sources = {channel: Source(schema, iter([records])) for channel, (schema, records) in channels.items() if len(records)}
    return list(frames(run, sources, Window(*window), Cutting(SPANS[span], NS, 1 << 19, most)))


def spliced(most, span, start, end, until=PART, others=()):
    """The day up to a moment, in frames of another cutting between two moments and in large ones before and after."""
    found, counts, large = [], Counter(), (0, "60 s")
    for cutting, *window in ((large, S.globex.start, start), ((most, span), start, end), (large, end, until)):
        after = window[0] if found else 0  # what was sent before the session comes first of all
        beside = {channel: (schema, within(schema, rows, after, window[1])) for channel, (schema, rows) in others}
        part = cut(*cutting, window=Window(*window), others=beside.items())
        found += [replace(one, first=one.first + counts[one.channel]) if isinstance(one, Frame) else one for one in part]
        for one in part:
            if isinstance(one, Frame):
                counts[one.channel] += len(one.records)
    return found


def within(schema, rows, after, until):
    """The records of a channel whose effective time lies in (after, until]."""
    times = np.maximum.accumulate(rows[dbn.SCHEMAS[schema].index].astype(np.int64))
    return rows[(times > after) & (times <= until)]


def wire(message):
    """A message as it comes out of the bus: read-only arrays among them."""
    sent = message.message()
    return read(sent.subject, sent.headers, sent.data)


class Said:
    """What an engine says to messages, in order."""

    def __init__(self, messages, first=None, engine=None):
        self.engine = engine or Engine(short_day.CONFIG)
        self.messages = []
        self.take(first or session())
        for message in messages:
            self.take(message)

    def take(self, message):
        said = self.engine.take(wire(message))
        self.messages += said
        return said

    def of(self, subject):
        return [message for message in self.messages if message.subject == subject]

    @property
    def lines(self):
        return [line for message in self.of("levels.signals") for line in message.data.splitlines()]

    def rows(self, subject="levels.rows", tables=ROWS):
        parts = [unpack(tables, message.headers["Rows"], message.data) for message in self.of(subject)]
        return {table.name: np.concatenate([part[table.name] for part in parts]) for table in tables}


def assert_same(said, expected):
    """The same lines, rows and flow."""
    assert said.lines == expected.lines
    mine, theirs = said.rows(), expected.rows()
    assert [difference(table, mine[table.name], theirs[table.name]) for table in ROWS] == [None] * len(ROWS)
    mine, theirs = (one.rows("levels.flow", FLOWS) for one in (said, expected))
    assert [mine[table.name].tobytes() == theirs[table.name].tobytes() for table in FLOWS] == [True] * len(FLOWS)


@cache
def whole(name="simulated"):
    """What is said to the whole day."""
    return Said(cut(512, "60 s", name, others=option_channels().items() if name == "with options" else ()))


@cache
def part():
    """The first messages of the day in frames of 64 records, up to PART."""
    return [message for message in cut(64, "60 s") if message.watermark <= PART]


@cache
def said_to_part():
    """Compared with the day in test_part_of_a_day."""
    return Said(part())


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


def strict(line):
    """The payload of a line; AssertionError if it is not JSON by the letter."""

    def no(word):
        raise AssertionError(f"{word} in a payload")

    return json.loads(line, parse_constant=no)


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

POINT, TICK, BAND, NEAR = 1_000_000_000, 250_000_000, 250_000_000, 1_000_000_000


def known(table, name, row):
    """A column's value: None if unknown, a word for a category."""
    column, value = table[name], row[name].item()
    if column.categories:
        return None if value < 0 else column.categories[value]
    if isinstance(value, float):
        return None if math.isnan(value) else value
    return None if value == column.unknown else value


def twin(finished, k):
    """The payload of a snap from the tables of the finished day, notes aside."""
    snap, touches = finished.snaps[k], finished.touches.rows
    ts, spot = int(snap["ts"]), known(SNAPS, "last", snap)
    best = [None if abs(int(snap[side][0])) >= 2**31 - 1 else snap[side][0] / 4 for side in ("bid_ticks", "ask_ticks")]
    force = finished.levels.rows[(finished.levels.rows["valid_from"] < ts) & (finished.levels.rows["valid_to"] >= ts)]
    scored = {int(touches[row["touch"]]["kind"]): row for row in finished.signals.rows[finished.signals.rows["k"] == k]}
    levels = []
    for level in force:
        if level["kind"] >= 6:
            continue  # context
        price, name = int(level["price"]), known(LEVELS, "kind", level)
        distance = None if spot is None else abs(spot * TICK - price)
        told = {
            "id": name,
            "kinds": [known(LEVELS, "kind", other) for other in force if abs(int(other["price"]) - price) <= NEAR],
            "price": price / POINT,
            "direction": None if spot is None else "UP" if price > spot * TICK else "DOWN",
            "distance": None if distance is None else distance / POINT,
            "in_band": distance is not None and distance <= BAND,
            **dict.fromkeys(("touch", "break_score_raw", "break_score_smooth", "signal", "confidence", "barrier", "tape", "fuel")),
            **dict.fromkeys(("runway", "confluence", "approach", "model")),
        }
        if level["kind"] in scored:
            told |= twin_of_touch(scored[level["kind"]], touches)
            told |= twin_of_context(finished, scored[level["kind"]]["touch"])
        levels.append(told)
    return {
        "schema": "levels.1", "date": "2025-06-03", "snap": k, "ts": ts,
        "es": {"spot": None if spot is None else spot / 4, "bid": best[0], "ask": best[1]},
        "levels": levels,
        "quality": {"gaps": 0, "late": int(snap["late"]), "book_ok": snap["book_ok"] == 1, "partial": False},
    }  # fmt: skip


def twin_of_touch(row, touches):
    """What a row of signals tells about a level that is being touched."""
    touch = touches[row["touch"]]
    kind, direction = known(TOUCHES, "kind", touch), known(TOUCHES, "direction", touch)

    def of(name):
        return known(SIGNALS, name, row)

    return {
        "direction": direction,
        "touch": {
            "event_id": f"2025-06-03_{kind}_{touch['ticks']}_{touch['t0']}_{direction}", "t0": int(touch["t0"]),
            "attempt": int(touch["attempt_index"]), "price": int(touch["price"]) / POINT, "elapsed": of("elapsed"),
            "phase": of("phase"),
        },
        **{name: of(name) for name in ("break_score_raw", "break_score_smooth", "signal", "confidence")},
        "barrier": {
            "state": of("barrier_state"), "turnover": of("barrier_turnover"), "replenishment_ratio": of("replenishment_ratio"),
            "delta_liq": of("barrier_delta_liq"), "wall_ratio": of("wall_ratio"), "score": of("score_liquidity"),
        },
        "tape": {
            "imbalance": of("tape_imbalance"), "velocity": of("tape_velocity"), "rate": of("tape_rate"),
            "prints": of("tape_prints"), "sweep": of("sweep_direction"), "score": of("score_tape"),
        },
        "fuel": {"effect": of("fuel_effect"), "exposure": of("gamma_exposure"), "score": of("score_hedge")},
    }  # fmt: skip


CONTEXT = {
    "runway": {"distance": "runway", "sigma": "runway_sigma"},
    "confluence": {
        "count": "level_stacking_5pt", "weight": "confluence_count", "pressure": "confluence_pressure",
        "alignment": "confluence_alignment",
    },
    "approach": {
        "velocity": "approach_velocity", "bars": "approach_bars", "distance": "approach_distance",
        "prior_breaks": "prior_breaks", "prior_bounces": "prior_bounces",
    },
}  # fmt: skip


def twin_of_context(finished, touch):
    """What the first row of features tells about a touch."""
    row = next((row for row in finished.features.rows if row["touch"] == touch), None)
    assert row is not None, "the day has no touch that was resolved at once"
    return {part: {name: known(FEATURE_ROWS, column, row) for name, column in its.items()} for part, its in CONTEXT.items()}


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


# ---- messages that come again, overlap, or do not come ----


def places():
    """Where the frames are among the messages of `part`, the first ones left out."""
    return [number for number, message in enumerate(part()) if isinstance(message, Frame)][2:]


def halves(frame, told):
    """A frame's records in two frames that overlap by a third; `told`: the watermark before it."""
    third = len(frame.records) // 3
    return [
        replace(frame, records=frame.records[: 2 * third + 1], watermark=told),
        replace(frame, records=frame.records[third:], first=frame.first + third),
    ]


def repeated(kind):
    """The messages of `part` with repetitions among them, and how many records of the book came twice."""
    found, count, told = [], 0, S.globex.start
    for number, message in enumerate(part()):
        size = len(message.records) if isinstance(message, Frame) else 0
        if kind == "each twice":
            found += [message, message]
            count += size
        elif kind == "overlapping" and size:
            found += halves(message, told)
            count += sum(len(half.records) for half in found[-2:]) - size
        elif kind == "an old one after each":
            old = part()[max(0, number - 5)]
            found += [message, old]
            count += len(old.records) if isinstance(old, Frame) else 0
        elif kind == "stale clocks":
            found += [message, Clock(RUN, message.watermark - 1), Clock(RUN, told), Clock(RUN, 0)]
        elif kind == "the session again":
            found += [session(), message, session(contract="another", date="2025-06-04")]
        else:
            found.append(message)
        told = message.watermark
    if kind == "all from the start":
        found, count = [*found, session(), *part()], sum(len(one.records) for one in part() if isinstance(one, Frame))
    return found, count


KINDS = ["each twice", "overlapping", "an old one after each", "stale clocks", "the session again", "all from the start"]


@pytest.mark.parametrize("kind", KINDS)
def test_repetitions_do_not_show(kind):
    messages, count = repeated(kind)
    said = Said(messages)
    assert_same(said, said_to_part())
    assert len(said.lines) > 4000
    tally, plain = said.engine.tally, said_to_part().engine.tally
    assert (tally.repeated, tally.missing, tally.records) == (count, 0, plain.records)
    assert said.engine.watermark == PART


def test_a_frame_that_never_came():
    """Records that are missing are counted from the moment on at which it shows; nothing before changes."""
    number = next(n for n in places() if part()[n - 1].watermark == short_day.at("09:35"))
    lost, told = len(part()[number].records), part()[number - 1].watermark
    said = Said([*part()[:number], *part()[number + 1 :]])
    assert said.engine.tally.missing == said.engine.status()["missing"] == lost > 0
    assert said.engine.tally.repeated == 0
    for line, whole_line in zip(said.lines, said_to_part().lines, strict=True):
        payload = strict(line)
        assert payload["quality"]["gaps"] == (lost if payload["ts"] > told else 0)
        assert (payload["ts"] > told) or line == whole_line
    assert said.lines[-1] != said_to_part().lines[-1]


def test_several_gaps_add_up():
    """A frame that comes late, behind a gap, is not taken: its records stay missing."""
    a, b, *_ = places()
    late = part()[a]
    said = Said([*part()[:a], *part()[a + 1 : b + 7], late, *part()[b + 9 :]])
    lost = [one for one in (part()[a], *part()[b + 7 : b + 9]) if isinstance(one, Frame)]
    assert said.engine.tally.missing == sum(len(one.records) for one in lost)
    assert said.engine.tally.repeated == len(late.records)


def test_a_gap_in_another_channel():
    """It changes nothing but the count of gaps."""
    messages = cut(64, "60 s", window=Window(S.globex.start, PART), others=other_channels().items())
    number = next(n for n, one in enumerate(messages) if n > 400 and isinstance(one, Frame) and one.channel == "futures_trades")
    said, lost = Said([*messages[:number], *messages[number + 1 :]]), len(messages[number].records)
    payloads, plain = map(strict, said.lines), map(strict, said_to_part().lines)
    gaps = []
    for payload, expected in zip(payloads, plain, strict=True):
        gaps.append(payload["quality"].pop("gaps"))
        assert expected["quality"].pop("gaps") == 0 and payload == expected
    assert gaps == sorted(gaps) and set(gaps) == {0, lost}


# ---- messages that are refused ----


def changed(frame, number, name, value):
    """A frame with one record changed."""
    records = frame.records.copy()
    records[name][number] = value
    return replace(frame, records=records)


def bad(kind, frame):
    """A message that does not belong where `frame` would come next."""
    after, count = S.globex.end + 1, len(frame.records)
    if kind == "another run":
        return replace(frame, run="another")
    if kind == "a clock of another run":
        return Clock("another", frame.watermark)
    if kind == "a clock of another run, to the end":
        return Clock("another", S.globex.end)
    if kind == "after the date":
        return changed(frame, count - 1, "ts_event", after)
    if kind == "after the date, first":
        return changed(frame, 0, "ts_event", after)
    if kind == "a weekend":
        return session("another", date="2025-06-01")
    if kind == "more missing than a date has":
        return replace(frame, first=frame.first + 10**10)
    if kind == "complete from after the date":
        return session("another", complete_from=10**19)
    if kind == "not a date":
        return session("another", date="June")
    if kind == "outside of the calendar":
        return session("another", date="1999-06-01")
    if kind == "a price beyond all":
        records = frame.records.copy()
        records["levels"]["bid_px"][count // 2 :, 0] = 2**31 * TICK
        return replace(frame, records=records)
    if kind == "a schema of another channel":
        return Frame(RUN, "futures_mbp10", "trades", frame.first, records_at("trades", frame.records["ts_event"]), frame.watermark)
    if kind == "a watermark beyond all numbers":
        return Clock(RUN, 10**30)
    if kind == "priors of 143 buckets":
        return session("another", priors=short_day.priors()[:143])
    assert kind == "priors of one bucket"
    return session("another", priors=short_day.priors()[:1])


REFUSED = [
    "another run", "a clock of another run", "a clock of another run, to the end", "after the date", "after the date, first",
    "a weekend", "not a date", "outside of the calendar", "a price beyond all", "a schema of another channel",
    "a watermark beyond all numbers", "more missing than a date has",
    "complete from after the date", "priors of 143 buckets", "priors of one bucket",
]  # fmt: skip


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_refused_changes_nothing(kind):
    """BadMessage in one sentence, the engine as it was, and afterwards everything as if it had not come."""
    number = places()[150]
    said = Said(part()[:number])
    before = pickle.dumps(said.engine)
    with pytest.raises(BadMessage) as error:
        said.take(bad(kind, part()[number]))
    assert str(error.value) and "\n" not in str(error.value)
    unchanged = pickle.dumps(said.engine) == before
    assert unchanged
    for message in part()[number:]:
        said.take(message)
    assert_same(said, said_to_part())


def test_before_any_session():
    engine = Engine(short_day.CONFIG)
    for early in (part()[places()[0]], Clock(RUN, S.globex.end)):
        with pytest.raises(BadMessage, match=f"^run {RUN}: no session has begun$"):
            engine.take(wire(early))
    assert engine.status() == {"state": "waiting for a session", "run": None} and not engine.done
    assert_same(Said(part(), engine=engine), said_to_part())


def test_a_new_session_starts_afresh():
    """A seek back: another run of the same date says the same, and the old one is not listened to any more."""
    said = Said(part()[: places()[200]])
    old, heard = part()[places()[200]], len(said.messages)
    assert heard > 10
    assert said.take(session("second")) == [] and said.engine.tally == Engine(short_day.CONFIG).tally
    with pytest.raises(BadMessage, match=f"^run {RUN}: the session is of run second$"):
        said.take(old)
    again = Said([replace(message, run="second") for message in part()], session("second"), said.engine)
    assert_same(again, said_to_part())
    assert {message.headers["Run"] for message in again.messages} == {"second"}


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
