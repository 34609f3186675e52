"""The search against a loop that sorts everything, faiss, and points that a query may not know."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spymaster_assets.models.nearest import MOST, WIDTH, lay_out, nearest, nearest_of_others


def naive(values, days, episodes, query, allowed, k, differ=False):
    """Distances and places of one query: every allowed point by (distance, place), at most MOST of an episode."""
    found = []
    for place in np.flatnonzero(allowed):
        total = np.float32(0)
        for one, other in zip(values[place].astype(np.float32), query.astype(np.float32), strict=True):
            total += np.float32(one != other) if differ else (one - other) * (one - other)
        found.append((total, place))
    kept, had = [], {}
    for distance, place in sorted(found):
        if had.setdefault(episodes[place], 0) < MOST and len(kept) < k:
            had[episodes[place]] += 1
            kept.append((distance, place))
    kept += [(np.float32(np.inf), -1)] * (k - len(kept))
    return np.array([one for one, _ in kept], np.float32), np.array([place for _, place in kept])


def before(days, day, embargo):
    """Flags of the days that are earlier than `day` and not among the `embargo` latest of those."""
    return np.isin(days, np.unique(days[days < day])[: len(np.unique(days[days < day])) - embargo])


def same(found, expected):
    return found[0].tobytes() == expected[0].tobytes() and found[1].tolist() == expected[1].tolist()


@settings(deadline=None)
@given(st.integers(0, 2**32), st.integers(0, 40), st.integers(1, 4), st.integers(1, 12), st.integers(0, 2), st.booleans())
def test_it_is_the_twins(seed, count, dims, k, embargo, differ):
    """Coordinates of few values, so that many distances are equal."""
    rng = np.random.default_rng(seed)
    days, episodes = np.sort(rng.choice([3, 4, 5, 8, 9, 12], count)), rng.integers(0, 8, count)
    values, queries, asked = rng.integers(0, 3, (count, dims)), rng.integers(0, 3, (5, dims)), rng.integers(2, 14, 5)
    points = lay_out(values, days, episodes, differ=differ)
    distances, places = nearest(points, queries, asked, k, embargo)
    others = nearest_of_others(points, queries, asked, k)
    for i, day in enumerate(asked):
        expected = naive(values, days, episodes, queries[i], before(days, day, embargo), k, differ)
        assert same((distances[i], places[i]), expected)
        assert same((others[0][i], others[1][i]), naive(values, days, episodes, queries[i], days != day, k, differ))


@pytest.mark.parametrize("count", [WIDTH - 1, WIDTH, WIDTH + 1, 3 * WIDTH + 7])
def test_it_is_the_twins_over_blocks(count):
    rng = np.random.default_rng(count)
    days, episodes = np.sort(rng.integers(0, 30, count)), rng.integers(0, count // 3, count)
    values, queries, asked = rng.normal(size=(count, 9)), rng.normal(size=(4, 9)), np.array([2, 15, 29, 99])
    points = lay_out(values, days, episodes)
    found, others = nearest(points, queries, asked, 40, 1), nearest_of_others(points, queries, asked, 40)
    for i, day in enumerate(asked):
        assert same((found[0][i], found[1][i]), naive(values, days, episodes, queries[i], before(days, day, 1), 40))
        assert same((others[0][i], others[1][i]), naive(values, days, episodes, queries[i], days != day, 40))


def test_the_same_bytes_alone_and_in_any_batch():
    rng = np.random.default_rng(1)
    points = lay_out(rng.normal(size=(3000, 37)), np.arange(3000) // 30, np.arange(3000) // 3)
    queries, days = rng.normal(size=(70, 37)), rng.integers(0, 130, 70)
    whole = nearest(points, queries, days, 25, 1)
    for size in (1, 7, 69):
        parts = [nearest(points, queries[at : at + size], days[at : at + size], 25, 1) for at in range(0, 70, size)]
        for number in range(2):
            assert np.concatenate([part[number] for part in parts]).tobytes() == whole[number].tobytes()
    order = rng.permutation(70)
    assert nearest(points, queries[order], days[order], 25, 1)[0].tobytes() == whole[0][order].tobytes()


@pytest.mark.parametrize("batch", [1, 256])
def test_every_neighbour_that_faiss_finds_is_found(batch):
    """Of a batch faiss sums otherwise: distances agree to 1e-4, and so do neighbours but for such near ties."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its bindings' own
        faiss = pytest.importorskip("faiss")
    rng = np.random.default_rng(2)
    values, queries = (rng.normal(size=(count, 64)).astype(np.float32) for count in (20_000, batch))
    other = faiss.IndexFlatL2(64)
    other.add(values)
    expected, theirs = other.search(queries, 50)
    found, places = nearest(lay_out(values, np.zeros(20_000), np.arange(20_000)), queries, np.full(batch, 9), 50, 0)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)
    for i in range(batch):
        clear = expected[i] < found[i, -1] - 1e-3
        assert set(theirs[i][clear].tolist()) <= set(places[i].tolist())
        assert clear.sum() >= 45


def test_a_planted_leak_is_not_known():
    """Copies of the query on its own date, on the embargoed one and later stay unknown; one of an earlier date comes first.

    The embargo is of dates that there are: of a Monday's query it is Friday's.
    """
    days = np.array([730, 731, 734, 735, 736])  # Thursday, Friday, Monday, Tuesday, Wednesday
    points = lay_out(np.array([[5.0], [1.0], [1.0], [1.0], [1.0]]), days, np.arange(5))
    _, places = nearest(points, np.array([[1.0]] * 5), days, 3, 1)
    assert places.tolist() == [[-1, -1, -1], [-1, -1, -1], [0, -1, -1], [1, 0, -1], [1, 2, 0]]
    _, places = nearest(points, np.array([[1.0]] * 5), days, 3, 0)  # without an embargo the date before is
    assert places.tolist() == [[-1, -1, -1], [0, -1, -1], [1, 0, -1], [1, 2, 0], [1, 2, 3]]
    _, places = nearest_of_others(points, np.array([[1.0]]), np.array([734]), 5)
    assert places.tolist() == [[1, 3, 4, 0, -1]]


def test_an_episode_gives_its_two_nearest_wherever_they_lie():
    """Nearer ones that come later push out the farther of two that were there."""
    values = np.array([[4.0], [3.0], [9.0], [2.0], [1.0], [1.0]])
    points = lay_out(values, np.zeros(6, int), np.array([7, 7, 1, 7, 7, 2]))
    distances, places = nearest(points, np.array([[0.0]]), np.array([1]), 4, 0)
    assert places.tolist() == [[4, 5, 3, 2]]
    assert distances.tolist() == [[1.0, 1.0, 4.0, 81.0]]


def test_nothing_to_search_and_nothing_to_ask():
    empty = lay_out(np.zeros((0, 3)), np.zeros(0, int), np.zeros(0, int))
    distances, places = nearest(empty, np.zeros((2, 3)), np.array([1, 2]), 4, 1)
    assert np.isinf(distances).all() and (places == -1).all()
    assert nearest(empty, np.zeros((0, 3)), np.zeros(0, int), 4, 1)[0].shape == (0, 4)


def test_what_cannot_be_searched_is_refused():
    points = lay_out(np.zeros((2, 3)), np.array([0, 1]), np.arange(2))
    with pytest.raises(ValueError, match="date 1 follows a later one"):
        lay_out(np.zeros((3, 3)), np.array([0, 2, 1]), np.arange(3))
    with pytest.raises(ValueError, match="point at 1"):
        lay_out(np.array([[0.0], [np.nan]]), np.array([0, 1]), np.arange(2))
    with pytest.raises(ValueError, match="query 0"):
        nearest(points, np.array([[0.0, np.inf, 0.0]]), np.array([5]), 1, 0)
    with pytest.raises(ValueError, match="2 dimensions, points 3"):
        nearest(points, np.zeros((1, 2)), np.array([5]), 1, 0)
    with pytest.raises(ValueError, match="its own date"):
        nearest(points, np.zeros((1, 3)), np.array([5]), 1, -1)
