"""Frames cut from records as they arrive, against the replay's, and a twin that follows the rule of lateness record by record."""

from bisect import bisect_right
from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from spymaster_assets.lateness import NEVER
from spymaster_live.arrived import Arrivals, Spool
from spymaster_live.messages import CHANNELS
from tests.live.test_frames import CARRIED, START, Case, cases, plain, records_of, twin

fast = settings(max_examples=60, deadline=None, derandomize=True, database=None)


def whole(case: Case) -> Case:
    """The case with all channels, as a live run has them."""
    channels = {name: case.channels.get(name, (CARRIED[name][0], [])) for name in CHANNELS}
    return case._replace(channels=channels, cutting=replace(case.cutting, room=max(case.cutting.room, 520)))


@st.composite
def arriving(draw):
    """A case and the order in which its records come: channel by channel the order is kept."""
    case = whole(draw(cases()))
    left = {name: list(range(len(times))) for name, (_, times) in case.channels.items()}
    names = [name for name, rows in left.items() for _ in rows]
    order = [(name, left[name].pop(0)) for name in draw(st.permutations(names))]
    return case, order


def arrived(case, order, lateness, pieces, room=1 << 20, past=0):
    """The messages, plain, and how many records were late. `past`: so many pieces are told as the past, a channel being slowest."""
    quotes = case.channels["option_quotes"][0]
    made = Arrivals("run", case.window, case.cutting, lateness, case.window.start, quotes, Spool(room))
    rows = {name: records_of(schema, times) for name, (schema, times) in case.channels.items()}
    found, at, number = [], 0, 0
    while at < len(order):
        piece = order[at : at + pieces[number % len(pieces)]]
        parts = {}
        for name in CHANNELS:
            places = np.array([place for place, (channel, _) in enumerate(piece) if channel == name], np.int64)
            parts[name] = places, rows[name][[row for channel, row in piece if channel == name]]
        moments = np.array([START + case.channels[name][1][row] for name, row in piece], np.int64)
        made.take(parts, moments, case.window.start if number < past else None)
        found += [plain(one) for one in made.frames()]
        at, number = at + len(piece), number + 1
    made.take({}, np.array([case.window.end + lateness]))
    found += [plain(one) for one in made.frames()]
    assert made.done
    return found, made.late


@fast
@given(arriving(), st.integers(1, 9), st.sampled_from([1 << 20, 0]), st.integers(0, 3))
def test_what_comes_in_time_is_cut_as_a_replay_cuts_it(given_, piece, room, past):
    """In whatever order channels arrive and in whatever pieces, from memory or from the file, with the past told first or not."""
    case, order = given_
    assert arrived(case, order, 200, [piece], room, past) == (twin(case), 0)


def effective(case, order, lateness):
    """Of each channel the effective times, record by record, and how many were late."""
    ends = [case.window.start, *case.cutting.ends(case.window)]
    newest, late = NEVER, 0
    reached, latest = dict.fromkeys(CHANNELS, NEVER), dict.fromkeys(CHANNELS, NEVER)
    found = {name: [] for name in CHANNELS}
    for name, row in order:
        time = START + case.channels[name][1][row]
        told = ends[max(0, bisect_right(ends, newest - lateness) - 1)]
        reached[name] = max(reached[name], time)
        late += told >= reached[name]
        latest[name] = max(latest[name], reached[name], told + 1)
        found[name].append(latest[name] - START)
        newest = max(newest, time)
    return found, late


@fast
@given(arriving(), st.integers(0, 12), st.lists(st.integers(1, 5), min_size=1, max_size=4))
def test_what_comes_late_counts_behind_the_watermark_whatever_the_pieces(given_, lateness, pieces):
    case, order = given_
    times, late = effective(case, order, lateness)
    found, counted = arrived(case, order, lateness, pieces)
    assert counted == late
    as_cut = case._replace(channels={name: (schema, times[name]) for name, (schema, _) in case.channels.items()})
    assert [one[:4] + one[5:] for one in found] == [one[:4] + one[5:] for one in twin(as_cut)]  # all but the bytes
    for name, (schema, own) in case.channels.items():
        data = b"".join(one[4] for one in found if len(one) > 2 and one[1] == name)
        there = sum(START + time <= case.window.end for time in times[name])  # the others came when the date was over
        assert data == records_of(schema, own)[:there].tobytes()
