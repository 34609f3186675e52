"""Exponents of costs that are known, and the place of tables in a page."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.growth import PAGE, exponent, renew, said, shares, table
from benchmarks.scaling import PIECES

SPAN = [1e6, 5e6, 15e6, 30e6]


@pytest.mark.parametrize(
    ("power", "word"),
    [(-0.5, "falls"), (0.0, "does not grow"), (0.5, "less than linear"), (1.0, "linear"), (2.0, "more than linear")],
)
def test_a_power_is_found_and_has_its_word(power: float, word: str) -> None:
    found = exponent(SPAN, [3e-4 * size**power for size in SPAN])
    assert found == pytest.approx(power, abs=1e-9) and said(found) == word


def test_a_fixed_cost_hides_in_the_exponent_and_not_in_the_line() -> None:
    costs = [4.0 + 2e-6 * size for size in SPAN]
    assert exponent(SPAN, costs) < 0.85 < 0.9 < exponent(SPAN[-2:], costs[-2:]) < 1
    assert shares(SPAN, costs) == (pytest.approx(4.0), pytest.approx(2e-6))
    assert np.isnan(exponent([1], [2])) and np.isnan(shares([1], [2])).all()


def test_a_table_says_sizes_costs_and_how_they_grew() -> None:
    rows = {20.0: {"s": 4.0, "MB": 7.0}, 10.0: {"s": 2.0, "MB": 7.0}, 40.0: {"s": 8.0}}
    assert table("dates", rows, {"s": ".1f", "MB": ",.0f"}).splitlines() == [
        "| dates | s | MB |", "|---|---|---|", "| 10 | 2.0 | 7 |", "| 20 | 4.0 | 7 |", "| 40 | 8.0 |  |",
        "| exponent | 1.00, linear | 0.00, does not grow |", "| exponent of the last two | 1.00 | 0.00 |",
    ]  # fmt: skip


def test_what_is_renewed_is_its_own_place_alone(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    marks = [(f"<!-- {name}: python -m benchmarks.scaling -->", f"<!-- {name} ends -->") for name in ("dates", "options")]
    page.write_text(f"a\n{marks[0][0]}\nold\n{marks[0][1]}\nb\n{marks[1][0]}\nkept\n{marks[1][1]}\n")
    renew(page, "dates", r"new \1")
    assert page.read_text() == f"a\n{marks[0][0]}\n\nnew \\1\n\n{marks[0][1]}\nb\n{marks[1][0]}\nkept\n{marks[1][1]}\n"
    with pytest.raises(ValueError, match="no place for clients"):
        renew(page, "clients", "")


def test_the_page_has_a_table_of_every_piece() -> None:
    page = PAGE.read_text()
    for name in PIECES:
        part = page.partition(f"<!-- {name}: ")[2].partition(f"<!-- {name} ends -->")[0]
        rows = [line for line in part.splitlines() if line.startswith("| ") and line[2].isdigit()]
        assert len(rows) >= 3 and "| exponent | " in part, name
