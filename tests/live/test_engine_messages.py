"""Messages that come again, overlap, do not come or are refused: none of it shows in what the engine says, or only as is told."""

import pickle
from dataclasses import replace

import pytest

from spymaster_assets.sessions import Window
from spymaster_live.engine import Engine
from spymaster_live.messages import BadMessage, Clock, Frame
from tests import short_day
from tests.live.spoken import (
    PART,
    RUN,
    TICK,
    S,
    Said,
    assert_same,
    calendar_of_the_short_day,  # noqa: F401 - a fixture of every test here, too
    cut,
    other_channels,
    part,
    records_at,
    said_to_part,
    session,
    strict,
    wire,
)

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
