"""Several files as one run, against a twin that counts, receive time by receive time, what each file holds.

A run is handed over as the DBN reader does it: in chunks that are views of one buffer, overwritten by the next.
"""

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spymaster_assets.arrival import Overlap, align, in_order

RECORD = np.dtype([("ts_recv", "u8"), ("instrument_id", "u4"), ("size", "u4")])
Row = tuple[int, int, int]

quick = settings(max_examples=80, deadline=None)
sizes = st.lists(st.integers(1, 7), min_size=1, max_size=4)  # of the chunks, over and over
feeds = st.one_of(sizes, st.just([10_000]))


@st.composite
def stories(draw: st.DrawFn, instruments: tuple[int, ...] = (1, 2), least: int = 0) -> list[Row]:
    """What truly arrived: rising receive times, many of them shared, many records told twice."""
    steps = st.tuples(st.sampled_from((0, 0, 0, 1, 3)), st.sampled_from(instruments), st.integers(0, 1))
    rows, now = [], 100
    for gap, instrument, size in draw(st.lists(steps, min_size=least, max_size=40)):
        now += gap
        rows.append((now, instrument, size))
    return rows


@st.composite
def pieces(draw: st.DrawFn, count: int) -> tuple[list[Row], list[list[Row]]]:
    """A story and `count` contiguous pieces that together cover it. Files are cut between receive times, or anywhere where no
    two records are the same: a repeat that two files share out between them cannot be told from one that both hold."""
    story = draw(stories(least=1))
    borders = [i for i in range(1, len(story)) if story[i - 1][0] < story[i][0]]
    if draw(st.booleans()):
        story = [(time, instrument, number) for number, (time, instrument, _) in enumerate(story)]
        borders = list(range(1, len(story)))
    cut = st.sampled_from([0, *borders, len(story)])
    starts = sorted([0, *(draw(cut) for _ in range(count - 1))])
    ends = [max(draw(cut), following) for following in [*starts[1:], len(story)]]
    return story, [story[start:end] for start, end in zip(starts, ends, strict=True)]


def run(rows: Sequence[Row], chunks: Sequence[int], pulled: list[int] | None = None) -> Iterator[np.ndarray]:
    """The rows in chunks of these sizes, from a buffer that is used again; `pulled` hears of every chunk handed out."""
    records, done, turn = np.array(rows, RECORD), 0, 0
    buffer = np.empty(max(chunks), RECORD)
    while done < len(records):
        part = records[done : done + chunks[turn % len(chunks)]]
        buffer[:] = (0xBAD, 0xBAD, 0xBAD)
        buffer[: len(part)] = part
        if pulled is not None:
            pulled.append(len(part))
        yield buffer[: len(part)]
        done, turn = done + len(part), turn + 1


def collect(merged: Iterator[np.ndarray]) -> list[Row]:
    return [tuple(row) for chunk in merged for row in chunk.tolist()]


def aligned(first: Sequence[Row], second: Sequence[Row], a: Sequence[int] = (3,), b: Sequence[int] = (2,)) -> list[Row]:
    return collect(align(run(first, a), run(second, b), Overlap()))


def by_time(rows: Sequence[Row]) -> dict[int, Counter[Row]]:
    found: dict[int, Counter[Row]] = {}
    for row in rows:
        found.setdefault(row[0], Counter())[row] += 1
    return found


def naive_union(first: Sequence[Row], second: Sequence[Row]) -> dict[int, Counter[Row]]:
    """Per receive time every record as often as the file that tells it more often."""
    left, right = by_time(first), by_time(second)
    return {time: left.get(time, Counter()) | right.get(time, Counter()) for time in {*left, *right}}


def naive_overlap(first: Sequence[Row], second: Sequence[Row]) -> Overlap:
    """Records in both, and records in one alone within the time from the later beginning to the earlier end."""
    left, right = Counter(first), Counter(second)
    same = (left & right).total()
    if not first or not second:
        return Overlap(same, 0)
    start, end = max(first[0][0], second[0][0]), min(first[-1][0], second[-1][0])
    alone = (left | right) - (left & right)
    return Overlap(same, sum(count for row, count in alone.items() if start <= row[0] <= end))


@quick
@given(pieces(2), feeds, feeds)
def test_two_overlapping_files_tell_the_story_once(told: tuple[list[Row], list[list[Row]]], a: list[int], b: list[int]) -> None:
    story, (first, second) = told
    assert aligned(first, second, a, b) == story


@quick
@given(pieces(3), feeds, feeds, feeds)
def test_three_overlapping_files_tell_the_story_once(
    told: tuple[list[Row], list[list[Row]]], a: list[int], b: list[int], c: list[int]
) -> None:
    story, cuts = told
    runs = [(rows[0][0], rows[-1][0] + 1, run(rows, feed)) for rows, feed in zip(cuts, (a, b, c), strict=True) if rows]
    assert collect(in_order(runs, Overlap())) == story


@quick
@given(stories(), stories(), feeds, feeds)
def test_any_two_files_give_each_record_as_often_as_the_one_that_tells_it_more_often(
    first: list[Row], second: list[Row], a: list[int], b: list[int]
) -> None:
    merged = aligned(first, second, a, b)
    assert by_time(merged) == naive_union(first, second)
    assert [row[0] for row in merged] == sorted(row[0] for row in merged)


@quick
@given(stories(least=1), st.data(), feeds, feeds)
def test_receive_times_that_one_file_lacks_come_from_the_other(
    story: list[Row], data: st.DataObject, a: list[int], b: list[int]
) -> None:
    times = sorted({row[0] for row in story})
    lost = {time: data.draw(st.sampled_from(("neither", "first", "second"))) for time in times}
    first = [row for row in story if lost[row[0]] != "first"]
    second = [row for row in story if lost[row[0]] != "second"]
    assert aligned(first, second, a, b) == story


@quick
@given(stories(least=1), st.data(), feeds, feeds)
def test_records_that_the_second_file_lacks_do_not_disturb_the_order(
    story: list[Row], data: st.DataObject, a: list[int], b: list[int]
) -> None:
    kept = data.draw(st.lists(st.booleans(), min_size=len(story), max_size=len(story)))
    assert aligned(story, [row for row, keep in zip(story, kept, strict=True) if keep], a, b) == story


@quick
@given(stories(least=1), st.data(), feeds, feeds)
def test_records_that_the_first_file_lacks_return_to_their_place(
    story: list[Row], data: st.DataObject, a: list[int], b: list[int]
) -> None:
    kept = data.draw(st.lists(st.booleans(), min_size=len(story), max_size=len(story)))
    assert aligned([row for row, keep in zip(story, kept, strict=True) if keep], story, a, b) == story


@quick
@given(stories(), feeds, feeds)
def test_copies_count_once_and_repeats_within_a_file_stay(story: list[Row], a: list[int], b: list[int]) -> None:
    seen = Overlap()
    assert collect(align(run(story, a), run(story, b), seen)) == story
    assert seen == Overlap(same=len(story), single=0)


@quick
@given(stories(instruments=(1,)), stories(instruments=(2,)), feeds, feeds)
def test_files_of_different_instruments_merge_by_receive_time_the_first_file_first(
    first: list[Row], second: list[Row], a: list[int], b: list[int]
) -> None:
    assert aligned(first, second, a, b) == sorted([*first, *second], key=lambda row: row[0])


@quick
@given(stories(), stories(), feeds, feeds)
def test_the_overlap_counts_what_both_hold_and_what_one_lacks_in_the_common_time(
    first: list[Row], second: list[Row], a: list[int], b: list[int]
) -> None:
    seen = Overlap()
    collect(align(run(first, a), run(second, b), seen))
    assert seen == naive_overlap(first, second)


@pytest.mark.parametrize("chunk", [1, 2, 3, 100])
def test_a_stray_early_stamp_stays_where_it_arrived(chunk: int) -> None:
    story = [(10, 1, 0), (20, 1, 0), (15, 1, 0), (30, 1, 0), (40, 1, 0)]
    assert aligned(story, [], [chunk], [chunk]) == story
    assert aligned(story, story, [chunk], [chunk]) == story
    assert aligned(story, story[1:], [chunk], [chunk]) == story


@pytest.mark.parametrize("chunk", [1, 2, 3, 100])
def test_a_stray_early_stamp_stays_where_it_arrived_although_the_other_file_has_a_gap(chunk: int) -> None:
    story = [(10, 1, 0), (20, 1, 0), (15, 1, 0), (25, 1, 0), (30, 1, 0), (40, 1, 0)]
    assert aligned(story, [row for row in story if row[0] != 25], [chunk], [chunk]) == story


def test_empty_runs_change_nothing() -> None:
    story = [(10, 1, 0), (10, 1, 0), (20, 1, 0)]
    assert aligned(story, []) == aligned([], story) == story
    assert aligned([], []) == []
    assert collect(in_order([], Overlap())) == []
    assert collect(in_order([(0, 50, run([], [1])), (10, 50, run(story, [2])), (20, 50, run([], [1]))], Overlap())) == story


def test_files_that_follow_one_another_are_chained_as_they_come_and_not_read_ahead_of_need() -> None:
    first, second = [(10, 1, 0), (12, 1, 0)], [(20, 1, 0), (21, 1, 0)]
    pulled: tuple[list[int], list[int]] = ([], [])
    seen = Overlap()
    merged = in_order([(0, 20, run(first, [1], pulled[0])), (20, 30, run(second, [1], pulled[1]))], seen)
    read = []
    for chunk in merged:
        read += collect(iter([chunk]))
        assert (sum(pulled[0]) + sum(pulled[1])) == len(read)
    assert (read, seen) == ([*first, *second], Overlap())


def test_a_later_file_waits_while_overlapping_ones_before_it_are_read() -> None:
    story = [(time, 1, 0) for time in range(30)]
    pulled: list[int] = []
    merged = in_order(
        [(0, 20, run(story[:20], [4])), (10, 20, run(story[10:20], [3])), (20, 30, run(story[20:], [5], pulled))], Overlap()
    )
    read: list[Row] = []
    for chunk in merged:
        read += collect(iter([chunk]))
        assert not pulled or len(read) > 20
    assert read == story


@quick
@given(st.integers(1, 50), st.integers(1, 50), st.integers(0, 200))
def test_the_records_held_are_those_of_a_few_chunks(a: int, b: int, late: int) -> None:
    """However long the overlap, and also while the second file has not begun."""
    story = [(time // 2, 1, time % 2) for time in range(300)]
    pulled: tuple[list[int], list[int]] = ([], [])
    handed = [0, 0]
    for chunk in align(run(story, [a], pulled[0]), run(story[late:], [b], pulled[1]), Overlap()):
        done = handed[0] + len(chunk)
        handed = [done, max(0, done - late)]
        assert sum(pulled[0]) - handed[0] <= 2 * a + 2 * b + 4
        assert sum(pulled[1]) - handed[1] <= 2 * a + 2 * b + 4
    assert handed[0] == len(story)
