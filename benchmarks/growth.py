"""How a cost grows with a size: exponents, tables of them, and their place in docs/scaling.md."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

PAGE = Path(__file__).parents[1] / "docs" / "scaling.md"
LINEAR = 0.1  # how far an exponent may lie from 1 and still be called linear


def exponent(sizes: Sequence[float], costs: Sequence[float]) -> float:
    """The slope of a straight line through log cost over log size, by least squares: 1 is linear, 0 does not grow. NaN of one."""
    if len(sizes) < 2 or min(costs) <= 0:
        return float("nan")
    return float(np.polyfit(np.log(sizes), np.log(costs), 1)[0])


def shares(sizes: Sequence[float], costs: Sequence[float]) -> tuple[float, float]:
    """(what it costs whatever the size, what one more costs): a straight line whose errors are relative."""
    sizes, costs = np.asarray(sizes, float), np.asarray(costs, float)
    if len(sizes) < 2:
        return float("nan"), float("nan")
    slope, fixed = np.polyfit(sizes, costs, 1, w=1 / costs)
    return float(fixed), float(slope)


def said(power: float) -> str:
    """An exponent in a word."""
    if np.isnan(power):
        return ""
    if abs(power - 1) <= LINEAR:
        return "linear"
    if power < LINEAR:
        return "falls" if power < -LINEAR else "does not grow"
    return "more than linear" if power > 1 else "less than linear"


def table(head: str, rows: Mapping[float, Mapping[str, float]], spelled: Mapping[str, str]) -> str:
    """A Markdown table: sizes go down, what was measured goes right, and below each column how it grew: over all sizes, and over
    the last two alone, where what it costs whatever the size weighs least. `spelled`: how the numbers of a column are written."""
    names = list(spelled)
    sizes = sorted(rows)
    lines = [f"| {head} | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
    for size in sizes:
        told = [format(rows[size][name], spelled[name]) if name in rows[size] else "" for name in names]
        lines.append(f"| {size:,.0f} | {' | '.join(told)} |")
    for label, at in (("exponent", slice(None)), ("exponent of the last two", slice(-2, None))):
        told = []
        for name in names:
            there = [size for size in sizes if name in rows[size]][at]
            power = round(exponent(there, [rows[size][name] for size in there]), 2) + 0.0  # not -0
            told.append("" if np.isnan(power) else f"{power:.2f}, {said(power)}" if label == "exponent" else f"{power:.2f}")
        if at == slice(None) or len(sizes) > 2:
            lines.append(f"| {label} | {' | '.join(told)} |")
    return "\n".join(lines)


def renew(page: Path, name: str, text: str) -> None:
    """Put text between the page's marks of a name, in the place of what stood there. ValueError if it has no such marks."""
    begin, end = f"<!-- {name}: python -m benchmarks.scaling -->", f"<!-- {name} ends -->"
    told, count = re.subn(
        re.escape(begin) + ".*?" + re.escape(end), lambda _: f"{begin}\n\n{text}\n\n{end}", page.read_text(), flags=re.DOTALL
    )
    if count != 1:
        raise ValueError(f"{page} has no place for {name}: expected {begin} ... {end}")
    page.write_text(told)
