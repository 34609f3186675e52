"""A word's number is its place: the constants of states.py beside the words that they stand for."""

import pytest

from spymaster_assets import states

NAMED = ("LEVEL_KINDS", "DIRECTIONS", "BARRIER_STATES", "PHASES", "CONFIDENCES", "OUTCOMES")  # whose constants bear the words


@pytest.mark.parametrize("words", NAMED)
def test_a_constant_is_the_place_of_its_word(words: str) -> None:
    found = {word: getattr(states, word.upper(), None) for word in getattr(states, words)}
    assert found == {word: place for place, word in enumerate(getattr(states, words))}
