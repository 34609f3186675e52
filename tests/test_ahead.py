"""Work ahead or beside changes when things are made, and nothing else."""

import threading
import time

import pytest

from spymaster_assets.ahead import ahead, together


def test_the_same_items_in_the_same_order() -> None:
    assert list(ahead(range(1000))) == list(range(1000))
    assert list(ahead([])) == []
    assert list(ahead([None, None])) == [None, None]


def test_the_next_item_is_made_while_one_is_in_use() -> None:
    made = []

    def source():
        for number in range(3):
            made.append((number, threading.current_thread().name))
            yield number

    items = ahead(source())
    assert next(items) == 0
    deadline = time.monotonic() + 10
    while len(made) < 2 and time.monotonic() < deadline:
        time.sleep(0.001)
    assert [number for number, _ in made] == [0, 1]  # the next one, and not more
    assert all(name.startswith("ahead") for _, name in made)
    assert list(items) == [1, 2]


def test_two_buffers_that_take_turns_are_enough() -> None:
    def source():
        buffers = [[0], [0]]
        for number in range(200):
            buffers[number % 2][0] = number
            yield buffers[number % 2]

    assert [item[0] for item in ahead(source())] == list(range(200))


def test_what_goes_wrong_is_raised_after_what_was_right() -> None:
    def source():
        yield 1
        yield 2
        raise ValueError("the third")

    seen = []
    with pytest.raises(ValueError, match="the third"):
        for item in ahead(source()):
            seen.append(item)  # noqa: PERF402  # kept as they come: a copy at once would be lost
    assert seen == [1, 2]


def test_a_consumer_that_stops_leaves_no_thread() -> None:
    before = threading.active_count()
    items = ahead(iter(range(10)))
    next(items)
    items.close()
    assert threading.active_count() == before


def test_two_at_a_time_in_their_order() -> None:
    """The first waits for the second, so they are worked on at once; a third is not begun before one of them is done."""
    met, begun = threading.Barrier(2), []

    def work(number: int) -> int:
        begun.append(number)
        if number < 2:
            met.wait(10)
        return number * number

    assert list(together(work, range(50))) == [number * number for number in range(50)]
    assert set(begun[:2]) == {0, 1}


def test_what_fails_beside_fails_where_it_stands() -> None:
    def work(number: int) -> int:
        if number == 1:
            raise OSError("no room")
        return number

    made = together(work, range(3))
    assert next(made) == 0
    with pytest.raises(OSError, match="no room"):
        next(made)
