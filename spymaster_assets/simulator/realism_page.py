"""The page of a realism report: one self-contained HTML file."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Iterator, Sequence
from html import escape
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from spymaster_assets.config import Config
from spymaster_assets.dbn import BOOK_LEVELS
from spymaster_assets.html import document
from spymaster_assets.sessions import Window, to_datetime
from spymaster_assets.simulator.observing import HOUR, MILLISECOND, MINUTE, SIZES, Observed, Tape, gap_edges

if TYPE_CHECKING:
    from spymaster_assets.simulator.realism import Measured, Realism

SERIES: Final = ("regular session", "same hour", "genuine hour")
COLOURS: Final = ("#1f4e79", "#6fa8dc", "#c4560f")
STYLES: Final = ("-", "--", "-")
STYLE: Final = """
body { margin: 0 auto; padding: 18px; max-width: 1180px; color: #15191e; background: #fff; font-variant-numeric: tabular-nums;
  font: 14px/1.45 -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "Liberation Sans", Arial, sans-serif; }
h1 { font-size: 20px; margin: 0 0 6px; } h2 { font-size: 15px; margin: 22px 0 6px; } p { max-width: 76ch; margin: 6px 0; }
.wide { overflow-x: auto; } table { border-collapse: collapse; font-size: 13px; }
th, td { padding: 2px 12px 2px 0; text-align: right; border-bottom: 1px solid #e6e9ec; white-space: nowrap; vertical-align: top; }
th { font-weight: 600; } th:first-child, td:first-child { text-align: left; white-space: normal; min-width: 30ch; max-width: 62ch; }
tbody th { padding-top: 9px; color: #5c6670; } .within { color: #1a7f37; } .outside { color: #b3261e; font-weight: 650; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(340px, 100%), 1fr)); gap: 10px; }
.plots svg { width: 100%; height: auto; } summary { cursor: pointer; margin-top: 14px; }
"""


def page(found: Realism, simulated: Measured, real: Measured | None, config: Config) -> str:
    """The HTML of a report. `simulated`, `real`: what was measured, the genuine hour if there is one."""
    parts = list(zip(SERIES, [*simulated.parts, *(real.parts if real else ())], strict=False))
    tapes = [simulated.tape, simulated.tape, *([real.tape] if real else [])]
    title = f"Realism of simulated {found.symbol}, {found.date}"
    body = (
        f"<h1>{escape(title)}</h1>",
        _text(found, config),
        f'<h2>Shapes</h2>\n<div class="plots">{"".join(_plots(parts, tapes, simulated, real, config))}</div>',
        f'<h2>Numbers</h2>\n<div class="wide">{_number_table(found)}</div>',
        f'<details><summary>Lots by level</summary><div class="wide">{_level_table(parts)}</div></details>',
        f'<details><summary>Volatility by hour</summary><div class="wide">{_hour_table(simulated, real, config)}</div></details>',
    )
    return document(title, STYLE, "\n".join(body))


def _text(found: Realism, config: Config) -> str:
    """What the page is about, in sentences made from the numbers."""
    numbers = found.numbers
    judged = [number for number in numbers.values() if number.verdict]
    missed = "; ".join(f"{n.quantity.meaning}: {n.quantity.told(n.simulated)}, not {n.quantity.target}" for n in found.missed)
    sentences = [
        "This market is simulated: plausible, not calibrated. Targets are bands that a day of ES may well show, set by hand, not "
        "fitted; and one date is one draw: points a day and the kurtosis of 390 minutes vary widely from date to date.",
        f"{len(judged) - len(found.missed)} of {len(judged)} targets are met. "
        + (f"<b>Missed</b>: {escape(missed)}." if missed else "None is missed."),
    ]
    books, apart = found.trades
    if apart is not None:
        same = "as many" if apart == books else f"<b>{apart:,}, a difference</b>"
        sentences.append(f"The MBP-10 files hold {books:,} trades of the date, the trades files {same}.")
    if found.hour is None:
        sentences.append("No genuine hour was given (SPYMASTER_REAL_DATA): the numbers stand beside their targets alone.")
    else:
        zone = config.sessions.exchange_zone
        start, end = (to_datetime(edge, zone) for edge in found.hour)
        sentences.append(
            f"The genuine hour is {start:%Y-%m-%d %H:%M} to {end:%H:%M} in {escape(zone)}, beside the same hour of the simulated "
            "date. One hour is one hour: it tells how records follow one another and what they look like, not how busy or how deep "
            "a usual day is. Records, depths and times between events go with the simulator's budget: factors stand where it does "
            "not matter."
        )
        far = ", ".join(f"{escape(n.quantity.meaning)} (× {n.factor:.3g})" for n in found.farthest[:8])
        sentences.append(f"Farthest from it, simulated over genuine: {far}." if far else "No shape differs by a quarter or more.")
    return "".join(f"<p>{sentence}</p>" for sentence in sentences)


def _number_table(found: Realism) -> str:
    """Every number, target and verdict; with a genuine hour also both hours and their factor."""
    hours = ("same hour", "genuine hour", "factor") if found.hour else ()
    rows = []
    for group, numbers in groupby(found.numbers.values(), key=lambda number: number.quantity.group):
        rows.append(f'<tr><th colspan="{4 + len(hours)}">{group}</th></tr>')
        for number in numbers:
            quantity, factor = number.quantity, number.factor if number.quantity.shape else None
            cells = [quantity.told(number.simulated), quantity.target, number.verdict]
            if hours:
                cells += [quantity.told(number.same_hour), quantity.told(number.real), "" if factor is None else f"{factor:.3g}"]
            told = "".join(
                f'<td class="{cell}">{cell}</td>' if cell in ("within", "outside") else f"<td>{cell}</td>" for cell in cells
            )
            rows.append(f"<tr><td>{escape(quantity.meaning)}</td>{told}</tr>")
    return _table(("", "regular session, or date", "target", "", *hours), rows)


def _level_table(parts: Sequence[tuple[str, Observed]]) -> str:
    """Mean lots and the range from the 10th to the 90th percentile, by side and level."""
    rows = []
    means, ranges = [part.depth() for _, part in parts], [part.depth_between(10, 90) for _, part in parts]
    for level in range(BOOK_LEVELS):
        cells = [
            f"{mean[side, level]:.1f} ({low[side, level]:.0f} to {high[side, level]:.0f})"
            for mean, (low, high) in zip(means, ranges, strict=True)
            for side in (0, 1)
        ]
        rows.append(f"<tr><td>{level + 1}</td>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>")
    return _table(("level", *(f"{side}, {name}" for name, _ in parts for side in ("bid", "ask"))), rows)


def _hour_table(simulated: Measured, real: Measured | None, config: Config) -> str:
    """Root of the sum of squared 1-minute changes of each hour, points; the genuine one beside the same hour."""
    tape, zone, half = simulated.tape, config.sessions.exchange_zone, config.instrument.tick / (2 * config.instrument.point)
    hour = simulated.parts[1].window.start if real else 0

    def volatility(one: Tape, window: Window) -> float:
        changes = one.returns(window, 60) * half
        return math.sqrt(float(changes @ changes))

    rows = []
    for start in range(tape.open, simulated.session.globex.end, HOUR):
        window = Window(start, start + HOUR)
        genuine = f"{volatility(real.tape, real.parts[0].window):.2f}" if real and start == hour else ""
        cells = (f"{volatility(tape, window):.2f}", f"{tape.rate(window):,.1f}", genuine)
        rows.append(f"<tr><td>{to_datetime(start, zone):%H:%M}</td>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>")
    names = ("points", "records a minute", "points, genuine hour" if real else "")
    return _table((f"from, {zone}", *names), rows)


def _table(names: Sequence[str], rows: Sequence[str]) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in names)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"


def _plots(
    parts: Sequence[tuple[str, Observed]], tapes: Sequence[Tape], simulated: Measured, real: Measured | None, config: Config
) -> Iterator[str]:
    """Six small pictures as SVG."""
    half = config.instrument.tick / (2 * config.instrument.point)
    drawn = [(name, part, tape, {"color": c, "ls": ls, "lw": 1.2, "label": name})
             for (name, part), tape, c, ls in zip(parts, tapes, COLOURS, STYLES, strict=False)]  # fmt: skip

    figure, axes = _axes("Mean lots by level (bids left, asks right)", "level", "lots")
    levels = np.arange(1, BOOK_LEVELS + 1)
    axes.set_xticks([-10, -5, -1, 1, 5, 10], ["10", "5", "1", "1", "5", "10"])
    for _, part, _, style in drawn:
        bid, ask = part.depth()
        axes.plot([*-levels[::-1], *levels], [*bid[::-1], *ask], marker=".", ms=3, **style)
    yield _svg(figure, axes, "depth")

    figure, axes = _axes("Time from event to event", "ms", "share of a tenth of a decade")
    edges, bins = gap_edges() / MILLISECOND, np.logspace(-6, 6, 121)
    for _, part, _, style in drawn:
        shares = np.histogram(np.maximum(edges, bins[0]), bins, weights=part.state["gaps"])[0]
        axes.step(bins[:-1], shares / max(shares.sum(), 1), where="post", **style)
    axes.set_xscale("log")
    axes.set_xlim(1e-4, 1e5)
    yield _svg(figure, axes, "gaps")

    opened = to_datetime(simulated.tape.open, config.sessions.exchange_zone)
    figure, axes = _axes("Records by minute", f"hours since the open ({opened:%H:%M})", "records")
    minutes = simulated.tape.minutes[:, 0]
    axes.plot(np.arange(minutes.size) / 60, np.maximum(minutes, 0.5), color=COLOURS[0], lw=0.6, label="simulated date")
    if real:
        first, last = ((edge - real.tape.open) // MINUTE for edge in real.parts[0].window)
        genuine = np.maximum(real.tape.minutes[first:last, 0], 0.5)
        axes.plot(np.arange(first, last) / 60, genuine, color=COLOURS[2], lw=0.8, label=SERIES[2])
    axes.set_yscale("log")
    yield _svg(figure, axes, "minutes")

    figure, axes = _axes("Trades of at least so many lots", "lots", "share")
    for _, part, _, style in drawn:
        sizes = part.state["trade_sizes"]
        shares = sizes[::-1].cumsum()[::-1] / max(sizes.sum(), 1)
        used = (np.arange(SIZES) > 0) & (shares > 0)
        axes.step(np.arange(SIZES)[used], shares[used], where="pre", **style)
    axes.set_xscale("log")
    axes.set_yscale("log")
    yield _svg(figure, axes, "trades")

    figure, axes = _axes("Changes of the mid over a second", "points", "share of seconds")
    for _, part, tape, style in drawn:
        changes, counts = np.unique(tape.returns(part.window, 1), return_counts=True)
        axes.plot(changes * half, counts / max(counts.sum(), 1), marker=".", ms=5, **{**style, "ls": ""})
    axes.set_yscale("log")
    yield _svg(figure, axes, "seconds")

    figure, axes = _axes("Spread, share of time", "ticks", "share")
    for i, (_, part, _, style) in enumerate(drawn):
        spread = part.state["spread_ns"][:6] / max(int(part.state["spread_ns"].sum()), 1)
        at = np.arange(6) + 0.27 * (i - (len(drawn) - 1) / 2)
        axes.bar(at, np.maximum(spread, 1e-5), 0.25, color=style["color"], label=style["label"])
    axes.set_yscale("log")
    axes.set_ylim(1e-5, 1.5)
    yield _svg(figure, axes, "spread")


def _axes(title: str, x: str, y: str) -> tuple[Any, Any]:
    figure = Figure(figsize=(4.6, 2.9))
    axes = figure.subplots(gridspec_kw={"left": 0.14, "right": 0.98, "bottom": 0.16, "top": 0.91})
    axes.set_title(title, fontsize=9)
    axes.set_xlabel(x, fontsize=8)
    axes.set_ylabel(y, fontsize=8)
    axes.tick_params(labelsize=7)
    axes.grid(lw=0.3, color="#dfe3e6")
    return figure, axes


def _svg(figure: Any, axes: Any, name: str) -> str:
    """The picture as an element; the same bytes for the same numbers. Text stays text."""
    axes.legend(fontsize=7, frameon=False)
    axes.minorticks_off()
    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": name, "font.family": "sans-serif"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    text = re.sub(r"<metadata>.*?</metadata>", "", buffer.getvalue(), flags=re.DOTALL)
    return f'<figure style="margin:0" id="{name}">{text[text.index("<svg") :]}</figure>'
