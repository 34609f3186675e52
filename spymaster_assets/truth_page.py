"""The page of a truth check: one self-contained HTML file, pictures first."""

from __future__ import annotations

import html
import io
from collections.abc import Iterable, Sequence

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from spymaster_assets.html import document
from spymaster_assets.truth_check import LATENTS, Found, Scorer, Seen, Share

STYLE = """body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1f2328}
table{border-collapse:collapse;margin:1rem 0}td,th{padding:.2rem .7rem;text-align:right;border-bottom:1px solid #d0d7de}
td:first-child,th:first-child{text-align:left}.wrong{color:#cf222e}.right{color:#1a7f37}svg{max-width:100%;height:auto}"""
COLOURS = {"oracle": "#1a7f37", "logistic on ten": "#0969da", "geometry": "#57606a", "base rate": "#b35900"}


def page(found: Found) -> str:
    """The HTML of a check."""
    parts = [
        f"<h1>What the simulator planted, what the pipeline sees</h1><p>{html.escape(summary(found))}</p>",
        _svg(_gains(found), _columns(found)),
        "<h2>Scorers</h2><p>Gain: nats a touch over geometry, with the 95 % interval of whole dates. Stratified AUC: among touches",
        " that geometry sees alike; one half: nothing more than geometry. The oracle knows the efficient price, its volatility and",
        " the drift that runs.</p>",
        _table(
            ("scorer", "seconds after", "rows", "log loss", "gain", "low", "high", "AUC", "stratified"),
            map(_scorer_row, found.scorers),
        ),
        "<h2>Columns at the touch, and the latents</h2><p>Rank correlations. A column should follow its own latent, the right way,",
        " and the others less.</p>",
        _table(("column", "own", *LATENTS, "rows", ""), map(_seen_row, found.seen)),
        "<h2>Outcomes beside geometry and the oracle</h2><p>Geometry estimates the volatility from the returns before, the",
        " oracle knows it.</p>",
        _table(
            ("outcome", "seconds after", "rows", "share", "geometry", "standard errors", "oracle", "standard errors"),
            map(_share_row, found.shares),
        ),
    ]  # fmt: skip
    return document("Truth check", STYLE, "".join(parts))


def _share_row(one: Share) -> tuple[object, ...]:
    beside = f"{one.geometry:.3f}", f"{one.z:+.1f}", f"{one.oracle:.3f}", f"{one.z_oracle:+.1f}"
    return one.outcome, one.elapsed, one.rows, f"{one.share:.3f}", *beside


def summary(found: Found) -> str:
    """What was found, in a few sentences."""
    right = [one for one in found.seen if is_right(one)]
    told = [
        f"World {found.world}: {len(found.dates)} dates from {found.dates[0]} to {found.dates[-1]};",
        f"{found.same_touches} of {found.touches} touches are the same that the simulator saw.",
        f"{len(right)} of {len(found.seen)} columns follow their own latent, the right way and more than the others.",
    ]
    for elapsed in (0, 60):
        at = {one.name: one for one in found.scorers if one.elapsed == elapsed}
        if {"oracle", "logistic on ten"} <= {*at}:
            logistic, oracle = at["logistic on ten"], at["oracle"]
            told.append(
                f"{elapsed} s after the touch ({logistic.rows} rows): the logistic regression gains {logistic.gain.mean:+.4f} nats"
                f" ({logistic.gain.low:+.4f} to {logistic.gain.high:+.4f}) over geometry, AUC {logistic.auc:.3f};"
                f" the oracle {oracle.gain.mean:+.4f}, AUC {oracle.auc:.3f}."
            )
    if found.permuted:
        told.append(f"With outcomes dealt anew the stratified AUC is {np.mean(found.permuted):.3f}.")
    if not found.scorers:
        told.append("Too few dates to test a scorer that learns.")
    return " ".join(told)


def is_right(seen: Seen) -> bool:
    """Whether a column follows its own latent, the right way, more than the others."""
    own = seen.correlations[seen.own] * seen.way
    return own > 0 and all(own > abs(value) for name, value in seen.correlations.items() if name != seen.own)


def _scorer_row(one: Scorer) -> Sequence[object]:
    gain = (f"{value:+.4f}" for value in (one.gain.mean, one.gain.low, one.gain.high))
    return (one.name, one.elapsed, one.rows, f"{one.log_loss:.4f}", *gain, f"{one.auc:.3f}", f"{one.stratified:.3f}")


def _seen_row(one: Seen) -> Sequence[object]:
    verdict = '<span class="right">as planted</span>' if is_right(one) else '<span class="wrong">not as planted</span>'
    return (
        one.column,
        f"{'+' if one.way > 0 else '-'}{one.own}",
        *(f"{c:+.2f}" for c in one.correlations.values()),
        one.rows,
        verdict,
    )


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><tr>{''.join(f'<th>{name}</th>' for name in head)}</tr>{body}</table>"


def _svg(*figures: Figure) -> str:
    texts = []
    for figure in figures:
        buffer = io.StringIO()
        with rc_context({"svg.hashsalt": "truth"}):  # the same numbers give the same page
            figure.savefig(buffer, format="svg", metadata={"Date": None})
        texts.append(buffer.getvalue()[buffer.getvalue().index("<svg") :])
    return "".join(texts)


def _gains(found: Found) -> Figure:
    """Gain over geometry by landmark, and AUC."""
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    for name, colour in COLOURS.items():
        of = [one for one in found.scorers if one.name == name]
        seconds = np.arange(len(of))
        means = np.array([one.gain.mean for one in of])
        if name != "base rate":
            span = np.array([[one.gain.mean - one.gain.low, one.gain.high - one.gain.mean] for one in of]).T.reshape(2, -1)
            left.errorbar(seconds, means, yerr=span, color=colour, marker="o", ms=4, lw=1, capsize=2, label=name)
        right.plot(seconds, [one.auc for one in of], color=colour, marker="o", ms=4, lw=1, label=name)
        for axes in (left, right):
            axes.set_xticks(seconds, [str(one.elapsed) for one in of])
    _finish(left, "gain over geometry, nats a touch", 0.0)
    _finish(right, "AUC, break against bounce", 0.5)
    return figure


def _finish(axes: Axes, title: str, zero: float) -> None:
    axes.axhline(zero, color="#d0d7de", lw=1, zorder=0)
    axes.set_title(title, fontsize=10)
    axes.set_xlabel("seconds after the touch")
    axes.legend(fontsize=8, frameon=False)


def _columns(found: Found) -> Figure:
    """Correlations of columns with latents, as a map."""
    figure = Figure(figsize=(9, 0.3 * len(found.seen) + 1), layout="constrained")
    axes = figure.subplots()
    values = np.array([[one.correlations[name] for name in LATENTS] for one in found.seen])
    axes.imshow(values, cmap="RdBu", vmin=-0.8, vmax=0.8, aspect="auto")
    axes.set_xticks(range(len(LATENTS)), [f"{name}: {meaning}" for name, meaning in LATENTS.items()], fontsize=8)
    axes.set_yticks(range(len(found.seen)), [one.column for one in found.seen], fontsize=8)
    for row, one in enumerate(found.seen):
        for place, name in enumerate(LATENTS):
            weight = "bold" if name == one.own else "normal"
            axes.text(place, row, f"{values[row, place]:+.2f}", ha="center", va="center", fontsize=8, fontweight=weight)
    axes.set_title("rank correlation at the touch; bold: the latent that was planted there", fontsize=10)
    return figure
