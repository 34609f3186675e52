"""Weights against intervals worked out by hand, and a twin that counts labels second by second."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pytest import approx

from spymaster_assets.models.weights import average_uniqueness, day_design_effect, episode_weights, episodes_of, n_eff
from tests.models.worlds import NS, OPEN

LABELS = st.lists(st.tuples(st.integers(0, 40), st.integers(1, 30), st.integers(0, 3)), min_size=1, max_size=20)


def naive_uniqueness(starts, ends, episodes):
    """The second (s, s + 1] belongs to every label of the episode with start <= s < end."""
    out = []
    for start, end, episode in zip(starts, ends, episodes, strict=True):
        labels = [(a, b) for a, b, e in zip(starts, ends, episodes, strict=True) if e == episode]
        shares = [1 / sum(a <= second < b for a, b in labels) for second in range(start, end)]
        out.append(sum(shares) / len(shares))
    return out


def labels(rows):
    starts, lengths, episodes = (np.array(column) for column in zip(*rows, strict=True))
    return starts, starts + lengths, episodes


def test_uniqueness_by_hand():
    """(0, 10] and (5, 15] share 5 of 10: (5 + 5/2)/10. (0, 4] beside (2, 3]: (3 + 1/2)/4 and 1/2. One alone: 1."""
    starts, ends = np.array([0, 5, 0, 2, 7]), np.array([10, 15, 4, 3, 9])
    episodes = np.array([4, 4, 8, 8, 1])
    assert average_uniqueness(starts, ends, episodes) == approx([0.75, 0.75, 0.875, 0.5, 1.0])
    assert episode_weights(starts, ends, episodes) == approx([0.5, 0.5, 0.875 / 1.375, 0.5 / 1.375, 1.0])


def test_the_landmarks_of_a_touch_by_hand():
    """240-s labels from 0, 60 and 240 s: 60 alone + 180 shared, 180 shared + 60 shared with the third, 180 alone + 60 shared."""
    starts = OPEN + np.array([0, 60, 240]) * NS + 1
    found = average_uniqueness(starts, starts + 240 * NS, np.zeros(3, int))
    assert found == approx([(60 + 90) / 240, (90 + 30) / 240, (30 + 180) / 240], rel=1e-15)


@settings(deadline=None)
@given(LABELS)
def test_uniqueness_is_the_twins(rows):
    starts, ends, episodes = labels(rows)
    assert average_uniqueness(starts, ends, episodes) == approx(naive_uniqueness(starts, ends, episodes))
    late = average_uniqueness(OPEN + starts * NS, OPEN + ends * NS, episodes)  # exact in ns since 1970, too
    assert late == approx(average_uniqueness(starts, ends, episodes), rel=1e-12)


@settings(deadline=None)
@given(LABELS)
def test_an_episode_weighs_one_and_its_labels_share_the_time_they_cover(rows):
    """Σ uniqueness · length is the length of their union; a row's weight does not depend on other episodes or on the order."""
    starts, ends, episodes = labels(rows)
    unique, weights = average_uniqueness(starts, ends, episodes), episode_weights(starts, ends, episodes)
    for episode in set(episodes.tolist()):
        mine = episodes == episode
        union = set().union(*(range(a, b) for a, b in zip(starts[mine], ends[mine], strict=True)))
        assert (unique * (ends - starts))[mine].sum() == approx(len(union))
        assert weights[mine].sum() == approx(1.0)
        assert weights[mine] == approx(episode_weights(starts[mine], ends[mine], episodes[mine]))
    assert episode_weights(starts[::-1], ends[::-1], episodes[::-1]) == approx(weights[::-1])
    assert (unique <= 1 + 1e-12).all()


def test_a_label_without_length_is_refused():
    with pytest.raises(ValueError, match="row 1"):
        average_uniqueness(np.array([0, 5]), np.array([1, 5]), np.zeros(2, int))


def test_episodes_of_different_dates_are_different():
    rows = np.array([(0,), (0,), (3,), (0,), (3,)], [("episode", "i4")])
    days = np.array(["2025-06-02", "2025-06-02", "2025-06-02", "2025-06-03", "2025-06-03"], "M8[D]")
    assert episodes_of(rows, days).tolist() == [0, 0, 1, 2, 3]


def test_design_effect_by_hand():
    """Mean 0. Dates: sums 2 and -2, 2/1 · 8 = 16; episodes: 1, 1, -1, -1, 4/3 · 4 = 16/3. Together 3.

    Weighted (2, 1, 1), values (2, 1, -1): mean 1, so 2, 0, -2. Dates (2, -2): 16; episodes: 3/2 · 8 = 12. Together 4/3.
    """
    values, one = np.array([1.0, 1.0, -1.0, -1.0]), np.ones(4)
    assert day_design_effect(values, one, np.arange(4), np.array([0, 0, 1, 1])) == approx(3.0)
    assert day_design_effect(values, one, np.arange(4), np.array([0, 1, 0, 1])) == 1.0  # dates cancel: no better than independent
    weighted = day_design_effect(np.array([2.0, 1.0, -1.0]), np.array([2.0, 1.0, 1.0]), np.arange(3), np.array([0, 0, 1]))
    assert weighted == approx(4 / 3)
    assert day_design_effect(one, one, np.arange(4), np.array([0, 0, 1, 1])) == 1.0
    assert n_eff(np.array([0.75, 0.75, 1.0]), 2.0) == approx(1.25)
    with pytest.raises(ValueError, match="at least two"):
        day_design_effect(values, one, np.arange(4), np.zeros(4))


def test_design_effect_of_dates_with_a_common_part():
    """20 episodes a date with intraclass correlation .2 make 1 + 19 · .2 (Kish 1965); what an episode's rows share adds nothing."""
    rng = np.random.default_rng(7)
    days = np.arange(2000).repeat(20)
    values = np.sqrt(0.2) * rng.normal(size=2000)[days] + np.sqrt(0.8) * rng.normal(size=40_000)
    assert day_design_effect(values, np.ones(40_000), np.arange(40_000), days) == approx(4.8, rel=0.1)
    thrice = [column.repeat(3) for column in (values, np.full(40_000, 1 / 3), np.arange(40_000), days)]
    assert day_design_effect(*thrice) == approx(day_design_effect(values, np.ones(40_000), np.arange(40_000), days))
