"""The report of an evaluation: a self-contained HTML page, and the same in Markdown (docs/evaluation.md says how to read it).

Everything in it comes from `found`, the JSON of `evaluating`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from html import escape
from typing import Any, Final

from spymaster_assets.html import document
from spymaster_assets.models import report_pictures as pictures
from spymaster_assets.models.conformal import LEVEL
from spymaster_assets.models.credible import COVERED
from spymaster_assets.models.examples import PRIMARY
from spymaster_assets.models.report_pictures import Found, minutes
from spymaster_assets.models.report_tables import (
    Cell,
    Table,
    ablation_table,
    bin_table,
    calibration_table,
    coverage_table,
    drift_table,
    family_table,
    feature_table,
    group_table,
    leaderboard,
    time_table,
)
from spymaster_assets.models.report_words import LANDMARKS, drift_words, headline, horizons_of, limitations, serving, shown, title

NOTHING: Final = '<p class="muted">Nothing to tell.</p>'
SECTIONS: Final = {  # name -> heading, what is shown
    "leaderboard": (
        "Leaderboard",
        "Points are mean gains, lines their 95% intervals by whole dates, the upright line is geometry. Models are coloured, "
        "baselines grey; what lies beyond the models' range is an arrow at the edge with its number. After the touch raw AUC is "
        "high for geometry too: only the stratified AUC, among touches that geometry sees alike, tells more than position; .5 is "
        "nothing.",
    ),
    "calibration": (
        "Do the odds come true?",
        f"At the touch, within {minutes(PRIMARY)}, of the touches that were resolved: how often it broke where a scorer "
        "gave that this probability. Bars are where the points of honest odds lie nine times in ten; points outside are orange. A "
        "perfect model's calibration error (ECE) is not zero but its floor. The curves tell how well breaks are ranked above "
        "bounces: geometry's own is what position gives away.",
    ),
    "time": (
        "Over time",
        "Gain over geometry by date, and over the last dates. Silence: the conformal set held both break and bounce, or neither.",
    ),
    "parts": (
        "By level, direction, hour, volatility",
        "Gain of the best member in parts of its rows. These are many looks: an interval off zero here and there is luck.",
    ),
    "importance": (
        "What the trees go by",
        "Families: what is lost where a touch gets their features from another touch of the same date. Features: how far each "
        "moves the log-odds of break against bounce, on average (exact TreeSHAP).",
    ),
    "ablations": (
        "Ablations",
        "Trees that learn from some families only, less the full ones on the same rows: below zero, the others are missed.",
    ),
    "cases": (
        "Cases: the latest touches and their analogs",
        "Each touch beside the nearest earlier ones and what became of them. A ring is geometry, a dot the analogs' odds, the bar "
        f"their {COVERED:.0%} credible interval.",
    ),
    "drift": ("Drift", ""),
    "coverage": (
        "Conformal sets",
        f"A set of outcomes should hold what happens in {LEVEL:.0%} of the rows. Where it holds both break and bounce, or neither, "
        "the model abstains.",
    ),
    "limitations": ("Limitations", ""),
}  # fmt: skip


def page(found: Found) -> str:
    """The HTML of an evaluation: no script, nothing from elsewhere."""
    sections = list(_sections(found))
    links = " ".join(f'<a href="#{name}">{title}</a>' for name, title, _ in sections)
    parts = [
        f"<h1>{escape(title(found))}</h1>", _leak_band(found), _paragraphs(headline(found)),
        '<p class="muted">How to read this page: docs/evaluation.md.</p>', f"<nav>{links}</nav>",
        *(f'<section id="{name}"><h2>{heading}</h2>{content}</section>' for name, heading, content in sections),
    ]  # fmt: skip
    return document(f"Evaluation up to {found['date']}", pictures.style_sheet(), "\n".join(parts), "light dark")


def text(found: Found) -> str:
    """Headline, leaderboards, coverage, drift and limitations in Markdown."""
    parts = [f"# Evaluation up to {_flat(found['date'])}", f"**{_flat(title(found))}**"]
    if found["leak"]:
        parts.append("**Too good to be true:** " + _flat("; ".join(found["leak"])) + ". A leak is assumed until it is explained.")
    parts.append(" ".join(map(_flat, headline(found))))
    for horizon in horizons_of(found):
        parts += [f"## Leaderboard, within {_flat(minutes(horizon))}", _markdown(leaderboard(found, horizon, (*LANDMARKS, -1)))]
    parts += ["## Coverage", _markdown(coverage_table(found))]
    parts += ["## Drift", _flat(drift_words(found)), _markdown(drift_table(found))]
    parts += ["## Limitations", "\n".join(f"- {_flat(one)}" for one in limitations(found))]
    return "\n\n".join(parts) + "\n"


def decided(html: str, found: Found, decision: Mapping[str, Any]) -> str:
    """A page with the decision that followed from it below its title."""
    first, *rest = serving(found, decision)
    return html.replace("</h1>", f"</h1><p><strong>{escape(first)}</strong></p>{_paragraphs(rest)}", 1)


def _sections(found: Found) -> Iterator[tuple[str, str, str]]:
    """Name, title and content of each part of the page."""
    parts: dict[str, list[str]] = {
        "leaderboard": [_leaderboard_parts(found, horizon) for horizon in horizons_of(found)],
        "calibration": [
            pictures.svg([*pictures.diagrams(found), *pictures.curves(found)], "calibration"),
            _wide(calibration_table(found)),
            _folded("Every bin", bin_table(found)),
        ],
        "time": [pictures.svg(pictures.over_time(found), "time"), _folded("Every date", time_table(found))],
        "parts": [pictures.svg(pictures.groups(found), "parts"), _folded("The numbers", group_table(found))],
        "importance": [
            pictures.svg(pictures.importance(found), "importance"),
            _folded("Families", family_table(found)),
            _folded("Features", feature_table(found)),
        ],
        "ablations": [pictures.svg(pictures.ablations(found), "ablations"), _wide(ablation_table(found))],
        "cases": [f'<div class="cards">{"".join(map(_card, found["cases"]))}</div>' if found["cases"] else NOTHING],
        "drift": [
            _paragraphs([drift_words(found)]),
            pictures.svg(pictures.drift(found), "drift"),
            _folded("Features, latest dates against those before", drift_table(found)),
        ],
        "coverage": [pictures.svg(pictures.coverage(found), "coverage"), _wide(coverage_table(found))],
        "limitations": [f"<ul>{''.join(f'<li>{escape(one)}</li>' for one in limitations(found))}</ul>"],
    }
    if found["ablations"] is None:
        del parts["ablations"]
    for name, some in parts.items():
        heading, intro = SECTIONS[name]
        yield name, heading, _paragraphs([intro] if intro else []) + ("".join(some) or NOTHING)


def _leaderboard_parts(found: Found, horizon: str) -> str:
    """Pictures and tables of a horizon: the touch and the sum in sight, other landmarks and horizons folded."""
    short, rest = leaderboard(found, horizon, (0, -1)), leaderboard(found, horizon, LANDMARKS[1:])
    drawn = pictures.svg(pictures.gains(found, horizon), f"gains {horizon}") + _wide(short)
    drawn += _folded("Every landmark after the touch", rest)
    return drawn if horizon == PRIMARY else f"<details><summary>Within {escape(minutes(horizon))}</summary>{drawn}</details>"


def _card(case: Mapping[str, Any]) -> str:
    rows = []
    columns = (case[key] or [None] * 3 for key in ("geometry", "odds", "low", "high"))
    for word, geometry, odds, low, high in zip(("break", "bounce", "chop"), *columns, strict=True):
        cells = shown(geometry, ".1%"), shown(odds, ".1%"), f"{shown(low, '.0%', '?')} to {shown(high, '.0%', '?')}"
        told = "".join(f"<td>{cell}</td>" for cell in (_strip(geometry, odds, low, high), *cells))
        rows.append(f"<tr><td>{word}</td>{told}</tr>")
    names = "".join(f"<th>{name}</th>" for name in ("", "", "geometry", "analogs", f"{COVERED:.0%} interval"))
    near = [
        (
            f"{one['date']} {one['level']} {one['direction']}", one["outcome"], shown(one["distance"], ".3f"),
            shown(one["strength"], "+.2f"), shown(one["price"], ",.2f"),
        )
        for one in case["neighbours"]
    ]  # fmt: skip
    parts = (
        f"<h3>{escape(case['level'])} {escape(case['direction'])} at {shown(case['price'], ',.2f')}: "
        f"{escape(case['outcome'])}</h3>",
        f'<p class="muted">{escape(case["time"][:16].replace("T", " "))}, New York; {shown(case["effective"], ".1f", "?")} '
        "effective neighbours</p>",
        '<p class="flag">No close analog: its neighbours are farther than is usual.</p>' if case["far"] else "",
        f'<div class="wide"><table><thead><tr>{names}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>',
        _wide((("neighbour", "outcome", "distance", "strength, points", "price"), near)),
    )
    return f'<div class="card">{"".join(parts)}</div>'


def _strip(geometry: float | None, odds: float | None, low: float | None, high: float | None) -> str:
    """Probabilities from 0 to 1 as a strip."""
    parts = ['<line x1="0" x2="90" y1="5" y2="5" stroke="var(--line)"/>']
    if low is not None and high is not None:
        parts.append(f'<line x1="{90 * low:.1f}" x2="{90 * high:.1f}" y1="5" y2="5" stroke="var(--first)" stroke-width="2.5"/>')
    if odds is not None:
        parts.append(f'<circle cx="{90 * odds:.1f}" cy="5" r="3.5" fill="var(--first)"/>')
    if geometry is not None:
        parts.append(f'<circle cx="{90 * geometry:.1f}" cy="5" r="3.5" fill="none" stroke="var(--second)" stroke-width="1.5"/>')
    return f'<svg class="odds" viewBox="-4 0 98 10" aria-hidden="true">{"".join(parts)}</svg>'


def _leak_band(found: Found) -> str:
    if not found["leak"]:
        return ""
    listed = "".join(f"<li>{escape(one)}</li>" for one in found["leak"])
    return (
        f'<div class="leak"><b>Too good to be true.</b> A leak is assumed until this is explained; believe no number here before.'
        f"<ul>{listed}</ul></div>"
    )


def _paragraphs(sentences: Iterable[str]) -> str:
    return "".join(f"<p>{escape(one)}</p>" for one in sentences)


def _wide(table: Table) -> str:
    """A table in a box of its own, which scrolls; all cells are escaped here."""
    names, rows = table
    if not rows:
        return NOTHING
    head = "".join(f"<th>{escape(name)}</th>" for name in names)
    body = "".join(
        f'<tr><th colspan="{len(names)}">{escape(row)}</th></tr>'
        if isinstance(row, str)
        else f"<tr>{''.join(map(_cell, row))}</tr>"
        for row in rows
    )
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _cell(cell: Cell) -> str:
    told, kind = (cell, "") if isinstance(cell, str) else cell
    return f'<td class="{kind}">{escape(told)}</td>' if kind else f"<td>{escape(told)}</td>"


def _folded(summary: str, table: Table) -> str:
    return f"<details><summary>{escape(summary)}</summary>{_wide(table)}</details>" if table[1] else ""


def _markdown(table: Table) -> str:
    names, rows = table
    if not rows:
        return "Nothing to tell."
    lines = [names, ["---"] + ["---:"] * (len(names) - 1)]
    for row in rows:
        cells = (
            [f"**{_flat(row)}**"] + [""] * (len(names) - 1)
            if isinstance(row, str)
            else [_flat(one if isinstance(one, str) else one[0]) for one in row]
        )
        lines.append(cells)
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _flat(words: str) -> str:
    """Words that Markdown takes for words."""
    return escape(words, quote=False).replace("|", "\\|").replace("\n", " ")
