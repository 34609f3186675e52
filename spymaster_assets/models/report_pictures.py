"""The look of an evaluation's report: its style sheet, and its pictures, each small: read on a phone, side by side on a screen.

Each takes `found` (see `evaluating`) and gives figures; what is null is left out. Colours are those of the light page; `svg` makes
names of them, so that a dark page has its own.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from html import escape
from typing import Any, Final

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from spymaster_assets.models.conformal import LEVEL
from spymaster_assets.models.drift import LIMIT, WINDOW
from spymaster_assets.models.examples import PRIMARY

Found = Mapping[str, Any]
COLOURS: Final = {  # name -> on a light page, on a dark one
    "ink": ("#15191e", "#e8ecf0"), "muted": ("#5c6670", "#9aa5b0"), "faint": ("#8b949d", "#75808b"), "line": ("#dfe3e6", "#2a323a"),
    "band": ("#cfe0f0", "#23405c"), "first": ("#0a64ad", "#6cb8ff"), "second": ("#b8480a", "#ff9a4d"),
    "third": ("#0c7a70", "#35c4b4"), "fourth": ("#8336a8", "#cf8cf0"), "fifth": ("#a1354e", "#ff8fa3"),
}  # fmt: skip
PAGE_COLOURS: Final = {
    "page": ("#ffffff", "#0d1115"), "good": ("#1a7f37", "#4ac26b"), "bad": ("#b3261e", "#ff8b80"), "alarm": ("#fdecea", "#3a1715"),
}  # fmt: skip
INK, MUTED, FAINT, LINE, BAND, *SERIES = (light for light, _ in COLOURS.values())
THEME: Final = {
    "svg.fonttype": "none", "font.family": "sans-serif", "text.parse_math": False, "axes.formatter.use_mathtext": False,
    "text.color": INK, "axes.titlecolor": INK, "axes.labelcolor": MUTED, "axes.edgecolor": FAINT, "xtick.color": MUTED,
    "ytick.color": MUTED, "figure.facecolor": "none", "axes.facecolor": "none", "axes.unicode_minus": False,
    "axes.spines.top": False, "axes.spines.right": False, "grid.color": LINE, "legend.frameon": False, "axes.titley": 1.0,
}  # fmt: skip
STYLE: Final = """
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 18px; max-width: 1180px; color: var(--ink); background: var(--page);
  font: 14px/1.5 -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "Liberation Sans", Arial, sans-serif;
  font-variant-numeric: tabular-nums; }
h1 { font-size: 21px; line-height: 1.25; margin: 0 0 8px; } h2 { font-size: 16px; margin: 34px 0 6px; }
h3 { font-size: 14px; margin: 0; }
p, ul { max-width: 76ch; margin: 6px 0; } ul { padding-left: 20px; } li { margin: 3px 0; } .muted, nav { color: var(--muted); }
nav { margin: 12px 0; } nav a { color: var(--first); margin-right: 12px; white-space: nowrap; }
.leak { border-left: 5px solid var(--bad); background: var(--alarm); padding: 8px 14px; margin: 14px 0; max-width: none; }
.wide { overflow-x: auto; margin: 8px 0; } table { border-collapse: collapse; font-size: 13px; }
th, td { padding: 2px 12px 2px 0; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap; }
thead th { vertical-align: bottom; font-weight: 600; } tbody th { color: var(--muted); padding-top: 10px; }
th:first-child, td:first-child { text-align: left; position: sticky; left: 0; background: var(--page); padding-left: 2px; }
.good { color: var(--good); font-weight: 600; } .bad { color: var(--bad); font-weight: 600; }
.plots, .cards { display: grid; gap: 12px; margin: 8px 0; align-items: start;
  grid-template-columns: repeat(auto-fill, minmax(min(340px, 100%), 1fr)); }
.cards { grid-template-columns: repeat(auto-fill, minmax(min(470px, 100%), 1fr)); }
figure { margin: 0; min-width: 0; } .plots svg { width: 100%; height: auto; display: block; }
svg text { font-family: inherit !important; } summary { cursor: pointer; margin: 10px 0; color: var(--first); }
.card { border: 1px solid var(--line); border-radius: 6px; padding: 10px 12px; min-width: 0; }
.card td:first-child { background: none; }
.flag { color: var(--bad); font-weight: 600; } .odds { width: 90px; height: 10px; vertical-align: middle; }
"""
WIDTH: Final = 4.6  # inches: 331 points, a phone's width
LONGEST: Final = 30  # characters of a label
LETTER: Final = 0.058  # inches of one, on average
_VARIABLES: Final = {light: name for name, (light, _) in COLOURS.items()}
Pictures = Callable[..., list[Figure]]


def _themed(picture: Pictures) -> Pictures:
    @wraps(picture)
    def drawn(*args: Any) -> list[Figure]:
        with matplotlib.rc_context(THEME):
            return picture(*args)

    return drawn


def style_sheet() -> str:
    """Colours of the light page, those of the dark one, and the rest."""
    light, dark = (" ".join(f"--{name}: {pair[way]};" for name, pair in {**COLOURS, **PAGE_COLOURS}.items()) for way in (0, 1))
    return f":root {{ {light} }}\n@media (prefers-color-scheme: dark) {{ :root {{ {dark} }} }}{STYLE}"


def svg(figures: Sequence[Figure], name: str) -> str:
    """Figures as elements, side by side; the same bytes for the same numbers. Text stays text, nothing points outside."""
    texts = []
    for number, figure in enumerate(figures):
        buffer = io.StringIO()
        with matplotlib.rc_context({**THEME, "svg.hashsalt": f"{name} {number}"}):
            figure.savefig(buffer, format="svg", metadata={"Date": None})
        text = buffer.getvalue()
        text = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->", "", text[text.index("<svg") :], flags=re.DOTALL)
        text = re.sub(r' (xmlns(:\w+)?|version)="[^"]*"', "", text).replace("xlink:href", "href")
        text = re.sub(r'<g id="[^"]*"', "<g", text)  # matplotlib's names of parts come again in the next figure
        text = re.sub(r"(fill|stroke|stop-color): (#\w{6})", lambda at: f"{at[1]}: {_variable(at[2])}", text)
        label = escape(figure.axes[0].get_title(loc="left"))
        texts.append(f'<figure role="img" aria-label="{label}">{text.strip()}</figure>')
    return f'<div class="plots">{"".join(texts)}</div>' if texts else ""


def _variable(colour: str) -> str:
    name = _VARIABLES.get(colour.lower())
    return f"var(--{name})" if name else colour


def colours(found: Found) -> dict[str, str]:
    """Of geometry and the members, the same in every picture."""
    names = [name for name in found["reliability"] if name != "geometry"]
    return {"geometry": FAINT, **{name: SERIES[place % len(SERIES)] for place, name in enumerate(names)}}


def score_of(found: Found, name: str | None, elapsed: int, horizon: str = PRIMARY) -> Mapping[str, Any] | None:
    """The score of a scorer at a landmark (-1: all together), if there is one."""
    scored = found["horizons"].get(horizon) or []
    return next((one for one in scored if one["name"] == name and one["elapsed"] == elapsed), None)


def minutes(horizon: str) -> str:
    """ "4min" in words."""
    return horizon.replace("min", " min")


def landmark_words(elapsed: int) -> str:
    return {-1: "all landmarks together", 0: "at the touch"}.get(elapsed, f"{elapsed} s after the touch")


@_themed
def gains(found: Found, horizon: str) -> list[Figure]:
    """Gain of every scorer, a figure for each landmark; the range is the members', what lies beyond it is an arrow at the edge."""
    scored, shades = found["horizons"].get(horizon) or [], colours(found)
    members = [one["gain"] for one in scored if one["name"] in shades] or [one["gain"] for one in scored]
    edges = _range(members)
    landmarks = sorted({one["elapsed"] for one in scored}, key=lambda one: (one < 0, one))
    figures = [_by_landmark(horizon, landmarks, scored, shades)] if scored else []
    for elapsed in landmarks:
        some = [one for one in scored if one["elapsed"] == elapsed]
        rows = [(one["name"], one["gain"], shades.get(one["name"], FAINT)) for one in some]
        title = f"{landmark_words(elapsed)}, within {minutes(horizon)}"
        figures.append(_forest(title, "gain over geometry, nats a row", rows, edges))
    return figures


@_themed
def diagrams(found: Found) -> list[Figure]:
    """Of each scorer at the touch: how often what it called a break was one, by bin, and where a true one would lie."""
    told = {name: one for name, one in found["reliability"].items() if one}
    ends = [end for one in told.values() for key in ("said", "happened", "low", "high") for end in one[key] if end is not None]
    low, high = max(0.0, min(ends, default=0) - 0.04), min(1.0, max(ends, default=1) + 0.04)
    figures = []
    for name, one in told.items():
        score = score_of(found, name, 0)
        known = score is not None and score["ece"] is not None and score["floor"] is not None
        title = f"{name}: ECE {score['ece']:.3f}, floor {score['floor']:.3f}" if score and known else name
        figure, axes = _axes(title, "P(break | resolved) said", "share that broke", 3.4)
        share, said, happened, least, most = (_plain(one[key]) for key in ("share", "said", "happened", "low", "high"))
        axes.plot([low, high], [low, high], color=FAINT, lw=0.8, ls="--")
        axes.vlines(said, least, most, colors=BAND, lw=7)
        shades = np.where((happened < least) | (happened > most), SERIES[1], SERIES[0])
        axes.scatter(said, happened, s=20 + 120 * np.nan_to_num(share), color=shades.tolist(), zorder=3)
        axes.set(xlim=(low, high), ylim=(low, high))
        figures.append(figure)
    return figures


@_themed
def curves(found: Found) -> list[Figure]:
    """ROC and precision-recall of all scorers at the touch."""
    told, shades = {name: one for name, one in found["curves"].items() if one}, colours(found)
    if not told:
        return []
    figures = []
    for key, title, x, y in (
        ("roc", "ROC at the touch", "share of bounces called breaks", "share of breaks called"),
        (
            "precision_recall",
            "Precision and recall at the touch",
            "recall: share of breaks called",
            "precision: breaks among the called",
        ),
    ):
        figure, axes = _axes(title, x, y, 3.4)
        for name, one in told.items():
            points = one[key]
            axes.plot(_plain(points["x"]), _plain(points["y"]), lw=1.2, color=shades.get(name, FAINT), label=name)
        if key == "roc":
            axes.plot([0, 1], [0, 1], color=FAINT, lw=0.8, ls="--")
        axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
        axes.legend(fontsize=7, loc="lower right")
        figures.append(figure)
    return figures


@_themed
def over_time(found: Found) -> list[Figure]:
    """Each member's gain by date and over the last dates; the share of silence of all."""
    told, shades = {name: one for name, one in found["over_time"].items() if one and one["dates"]}, colours(found)
    every, figures = sorted({date for one in told.values() for date in one["dates"]}), []
    places = {date: place for place, date in enumerate(every)}
    for name, one in told.items():
        figure, axes = _axes(f"{name}: gain by date", "", "nats a row")
        at = [places[date] for date in one["dates"]]
        axes.axhline(0, color=FAINT, lw=0.8)
        axes.plot(at, _plain(one["gain"]), ls="", marker=".", ms=4, color=FAINT, label="a date")
        axes.plot(at, _plain(one["rolling"]), lw=1.6, color=shades[name], label=f"last {WINDOW} dates", marker=_lone(at))
        axes.set_xticks(*_dates(every))
        axes.legend(fontsize=7, ncols=2)
        figures.append(figure)
    if told:
        figure, axes = _axes(f"share of silence, last {WINDOW} dates", "", "share of rows that abstain")
        for name, one in told.items():
            at = [places[date] for date in one["dates"]]
            axes.plot(at, _plain(one["silent"]), lw=1.4, color=shades[name], label=name, marker=_lone(at))
        axes.set_xticks(*_dates(every))
        axes.set_ylim(-0.02, 1.02)
        axes.legend(fontsize=7, ncols=2)
        figures.append(figure)
    return figures


@_themed
def groups(found: Found) -> list[Figure]:
    """Gain of the best member by level, direction, hour and what else there is."""
    return [
        _forest(f"by {label}", "gain over geometry, nats a row", [(one["value"], one["gain"], SERIES[0]) for one in some])
        for label, some in found["by"].items()
        if some
    ]


@_themed
def importance(found: Found) -> list[Figure]:
    """What the trees lose without each family, and their features by TreeSHAP."""
    families, features = found["importance"]["families"], found["importance"]["features"]
    figures = []
    if families:
        rows = [(one["name"], one["loss"], SERIES[0]) for one in families]
        figures.append(_forest("loss when a family is dealt anew", "nats a row lost", rows))
    if features:
        figure, axes = _rows("features by TreeSHAP", "mean change of the log-odds", [one["name"] for one in features])
        axes.barh(range(len(features)), _plain([one["share"] for one in features]), color=SERIES[0], height=0.6)
        figures.append(figure)
    return figures


@_themed
def ablations(found: Found) -> list[Figure]:
    """Of each stage: what trees gain with some families only, less what they gain with all."""
    stages: dict[str, list[tuple[str, list[float | None], str]]] = {}
    for one in found["ablations"] or []:
        stages.setdefault(one["stage"], []).append((one["name"], one["delta"], SERIES[0]))
    return [_forest(f"{stage}: ablation less full", "nats a row", rows) for stage, rows in stages.items()]


@_themed
def drift(found: Found) -> list[Figure]:
    """The sum of what dates lacked beside its limit, and the features that moved most."""
    told, figures = found["drift"], []
    if told["dates"]:
        figure, axes = _axes("what the best member lacks of its earlier gain, summed", "", "standard deviations")
        at = range(len(told["dates"]))
        axes.plot(at, _plain(told["excess"]), lw=1.4, color=SERIES[0], marker=_lone(at))
        axes.axhline(LIMIT, color=SERIES[1], lw=1, ls="--", label="raises the flag")
        axes.set_xticks(*_dates(told["dates"]))
        axes.set_ylim(bottom=-0.2)
        axes.legend(fontsize=7)
        figures.append(figure)
    if told["features"]:
        figure, axes = _rows("features that moved most", "population stability index", [one["name"] for one in told["features"]])
        axes.barh(range(len(told["features"])), _plain([one["psi"] for one in told["features"]]), color=SERIES[0], height=0.6)
        figures.append(figure)
    return figures


@_themed
def coverage(found: Found) -> list[Figure]:
    """Coverage of the conformal sets by group of landmarks beside what they promise, and silence."""
    told, shades = {name: some for name, some in found["coverage"].items() if some}, colours(found)
    if not told:
        return []
    figures = []
    for key, title, level in (("covered", "sets that held what happened", LEVEL), ("abstained", "rows that abstain", None)):
        figure, axes = _axes(title, "seconds after the touch", "share of rows")
        for number, (name, some) in enumerate(told.items()):
            at = np.arange(len(some)) + 0.12 * (number - (len(told) - 1) / 2)
            axes.plot(at, _plain([one[key] for one in some]), ls="", marker="o", ms=5, color=shades.get(name, FAINT), label=name)
        if level is not None:
            axes.axhline(level, color=FAINT, lw=1, ls="--")
        longest = max(told.values(), key=len)
        axes.set_xticks(range(len(longest)), [", ".join(map(str, one["group"])) for one in longest])
        axes.set(xlim=(-0.5, len(longest) - 0.5), ylim=(-0.02, 1.02))
        axes.legend(fontsize=7, ncols=2, loc="lower right" if level is not None else "best")
        figures.append(figure)
    return figures


def _axes(title: str, x: str, y: str, height: float = 2.7, longest: int = 0) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(WIDTH, height))
    inches = {
        "left": max(0.45, LETTER * longest + 0.2) if longest else 0.58,
        "right": WIDTH - 0.13,
        "bottom": 0.46 if x else 0.28,
        "top": height - 0.26,
    }
    places = {side: inch / (WIDTH if side in ("left", "right") else height) for side, inch in inches.items()}
    axes = figure.subplots(gridspec_kw=places)
    axes.set_title(title, fontsize=9, loc="left")
    axes.set_xlabel(x, fontsize=8)
    axes.set_ylabel(y, fontsize=8)
    axes.tick_params(labelsize=7)
    axes.grid(lw=0.4)
    axes.set_axisbelow(True)
    return figure, axes


def _rows(title: str, x: str, names: Sequence[str]) -> tuple[Figure, Axes]:
    """Axes with a named row for each, the first on top."""
    names = [name if len(name) <= LONGEST else name[: LONGEST - 1] + "…" for name in names]
    figure, axes = _axes(title, x, "", 0.75 + 0.2 * max(2, len(names)), max(map(len, names)))
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.grid(visible=False, axis="y")
    return figure, axes


def _forest(
    title: str, x: str, rows: Sequence[tuple[str, Sequence[float | None], str]], edges: tuple[float, float] | None = None
) -> Figure:
    """Of each row (name, [mean, low, high], colour) the mean and its interval, beside zero."""
    figure, axes = _rows(title, x, [name for name, _, _ in rows])
    left, right = edges or _range([interval for _, interval, _ in rows])
    axes.axvline(0, color=FAINT, lw=1)
    for place, (_, (mean, low, high), colour) in enumerate(rows):
        if mean is None:
            continue
        if left <= mean <= right:
            axes.plot(mean, place, color=colour, marker="o", ms=4.5)
            if low is not None and high is not None:
                axes.plot([max(low, left), min(high, right)], [place, place], color=colour, lw=1.6)
            continue
        low_side = mean < left
        edge, side, inward = (left, "left", 6) if low_side else (right, "right", -6)
        axes.plot(edge, place, color=colour, marker="<" if low_side else ">", ms=6, clip_on=False)
        style: dict[str, Any] = {"textcoords": "offset points", "fontsize": 7, "ha": side, "va": "center", "color": MUTED}
        axes.annotate(f"{mean:+.3f}", (edge, place), (inward, 0), **style)
    axes.set_xlim(left, right)
    return figure


def _by_landmark(horizon: str, landmarks: Sequence[int], scored: Sequence[Any], shades: Mapping[str, str]) -> Figure:
    """The models' gains from the touch on, beside each other at each landmark."""
    figure, axes = _axes(f"models by landmark, within {minutes(horizon)}", "seconds after the touch", "nats a row")
    axes.axhline(0, color=FAINT, lw=1)
    names = [name for name in shades if name != "geometry" and any(one["name"] == name for one in scored)]
    for number, name in enumerate(names):
        own = {one["elapsed"]: one["gain"] for one in scored if one["name"] == name}
        at = np.arange(len(landmarks)) + 0.14 * (number - (len(names) - 1) / 2)
        mean, low, high = _plain([own.get(elapsed, [None] * 3) for elapsed in landmarks]).T
        axes.vlines(at, low, high, colors=shades[name], lw=1.4)
        axes.plot(at, mean, ls="", marker="o", ms=4, color=shades[name], label=name)
    axes.set_xticks(range(len(landmarks)), [str(elapsed) if elapsed >= 0 else "all" for elapsed in landmarks])
    if names:
        axes.margins(y=0.2)  # room for the legend
        axes.legend(fontsize=7, ncols=2)
    return figure


def _range(intervals: Sequence[Sequence[float | None]]) -> tuple[float, float]:
    """Ends that hold zero and all intervals, with some air."""
    ends = [0.0, *(end for interval in intervals for end in interval if end is not None)]
    air = 0.08 * (max(ends) - min(ends)) or 0.01
    return min(ends) - air, max(ends) + air


def _dates(dates: Sequence[str]) -> tuple[list[int], list[str]]:
    """Places and words of at most five dates along an axis."""
    places = sorted({round(place) for place in np.linspace(0, len(dates) - 1, min(5, len(dates)))})
    return places, [dates[place] for place in places]


def _lone(at: Sequence[int]) -> str:
    """A line of one point would not be seen."""
    return "o" if len(at) < 2 else ""


def _plain(values: Any) -> np.ndarray:
    return np.array(values, dtype=float)  # null as NaN: a gap
