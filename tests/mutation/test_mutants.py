"""The mutants themselves: which faults are made of a small module, that a planted one acts, and the arithmetic of the sample."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from tests.mutation.__main__ import estimate, in_turn, wilson
from tests.mutation.mutants import mutants, plant

SOURCE = '''"""A module."""
LIMIT = 3


def clipped(value: int, most: int = 5) -> int:
    """Between 0 and most."""
    if value < 0:
        raise ValueError("below 0, not 1")
    value += LIMIT
    return min(value, most)


class Pair:
    def both(self, one, other):
        return one and not other
'''
FAULTS = {
    ("value < 0", "value <= 0"), ("value < 0", "value >= 0"), ("if value < 0:", "if not value < 0:"), ("0", "1"), ("0", "-1"),
    ("value += LIMIT", "value -= LIMIT"), ("value += LIMIT", "nothing"), ("min(value, most)", "max(value, most)"),
    ("one and (not other)", "one or not other"), ("not other", "other"),
}  # fmt: skip


@pytest.fixture
def toy(tmp_path: Path) -> ModuleType:
    path = tmp_path / "toy.py"
    path.write_text(SOURCE)
    about = importlib.util.spec_from_file_location("toy", path)
    assert about is not None and about.loader is not None
    module = importlib.util.module_from_spec(about)
    about.loader.exec_module(module)
    return module


def test_faults_of_a_module(toy: ModuleType) -> None:
    found = [*mutants(toy)]
    assert {(one.before, one.after) for one in found} == FAULTS and len(found) == len(FAULTS)
    assert {one.function for one in found} == {"clipped", "Pair.both"}
    assert {one.source for one in found if one.line == 9} == {"value += LIMIT"}


def test_a_planted_fault_acts_wherever_the_function_went(toy: ModuleType) -> None:
    elsewhere, pair = toy.clipped, toy.Pair()
    assert (elsewhere(1), elsewhere(4), pair.both(1, 0), pair.both(0, 0)) == (4, 5, True, 0)
    acted = {}
    for one in mutants(toy):
        right = {"clipped": toy.clipped.__code__, "Pair.both": toy.Pair.both.__code__}
        plant(one, toy)
        try:
            acted[one.before, one.after] = (elsewhere(1), elsewhere(4), bool(pair.both(1, 0)), bool(pair.both(0, 0)))
        except ValueError:
            acted[one.before, one.after] = None
        toy.clipped.__code__, toy.Pair.both.__code__ = right["clipped"], right["Pair.both"]
    assert acted["min(value, most)", "max(value, most)"] == (5, 7, True, False)
    assert acted["value += LIMIT", "nothing"] == (1, 4, True, False)
    assert acted["value < 0", "value >= 0"] is None and acted["0", "-1"] == (4, 5, True, False)
    assert acted["one and (not other)", "one or not other"] == (4, 5, True, True)


def test_arithmetic_of_the_sample() -> None:
    low, high = wilson(90, 100)
    assert (low, high) == pytest.approx((0.826, 0.945), abs=0.001)  # by any table of Wilson's interval
    share, error = estimate([(100, 10, 10), (300, 30, 15)])
    assert share == pytest.approx((100 + 150) / 400)
    assert error == pytest.approx((0.75**2 * 0.9 * 0.25 / 29) ** 0.5)
    assert estimate([(20, 20, 15)]) == (0.75, 0.0)  # all of them: nothing is left to chance


def test_a_sample_cut_short_is_in_proportion() -> None:
    """Twice as many of the first kind as of the second, none of the third: of any three two, one and none."""
    mixed = in_turn(["AbcD", "xy", ""])
    assert mixed == [*"AxbcyD"] and mixed[:3] == [*"Axb"]
