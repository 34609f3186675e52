"""The report of an evaluation: a self-contained HTML page, and the same in Markdown (docs/evaluation.md says how to read it).

Everything in it comes from `found`, the JSON of `evaluating`; null reads "-" in a table and "unknown" in a sentence.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from typing import Any, Final

from spymaster_assets.models import report_pictures as pictures
from spymaster_assets.models.artifacts import GEOMETRY
from spymaster_assets.models.conformal import LEVEL
from spymaster_assets.models.drift import REFERENCE
from spymaster_assets.models.evaluation import LEAST_ROWS, SUSPICIOUS
from spymaster_assets.models.examples import GROUPS, PRIMARY
from spymaster_assets.models.promotion import SLOPES
from spymaster_assets.models.report_pictures import Found, landmark_words, minutes, score_of
from spymaster_assets.models.retrieval import COVERED
from spymaster_assets.models.significance import LEVEL as SURE
from spymaster_assets.tables.predictions import MEMBERS

BASE: Final = "base rate"  # the scorer that says the same of every row
FEW: Final = 30  # dates: percentiles of draws of fewer blocks are too narrow (Efron, Tibshirani 1993, 13)
Cell = str | tuple[str, str]  # text; text and its class
Table = tuple[Sequence[str], Sequence[Sequence[Cell] | str]]  # names; rows, of which a string is a heading
VERDICTS: Final = {  # of a gain: in the title, and in a sentence
    "skill": ("skill", "The interval lies above zero, and the chance of such luck among all tests is small: that is skill."),
    "hint": ("a hint of skill", "The interval lies above zero, but among so many tests luck may do that: a hint, no proof."),
    "none": ("no skill shown", "The interval holds zero: position alone may well explain all of it."),
    "worse": ("worse than position alone", "The interval lies below zero: position alone does better."),
    "unknown": ("too little to tell", "There is no interval to judge it by."),
}
NOTHING: Final = '<p class="muted">Nothing to tell.</p>'
LANDMARKS: Final = tuple(elapsed for group in GROUPS for elapsed in group)
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
PAGE: Final = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="data:,">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
{body}
</body>
</html>
"""


def page(found: Found) -> str:
    """The HTML of an evaluation: no script, nothing from elsewhere."""
    sections = list(_sections(found))
    links = " ".join(f'<a href="#{name}">{title}</a>' for name, title, _ in sections)
    parts = [
        f"<h1>{escape(title(found))}</h1>", _leak_band(found), _paragraphs(headline(found)),
        '<p class="muted">How to read this page: docs/evaluation.md.</p>', f"<nav>{links}</nav>",
        *(f'<section id="{name}"><h2>{heading}</h2>{content}</section>' for name, heading, content in sections),
    ]  # fmt: skip
    return PAGE.format(title=f"Evaluation up to {escape(found['date'])}", style=pictures.style_sheet(), body="\n".join(parts))


def text(found: Found) -> str:
    """Headline, leaderboards, coverage, drift and limitations in Markdown."""
    parts = [f"# Evaluation up to {_flat(found['date'])}", f"**{_flat(title(found))}**"]
    if found["leak"]:
        parts.append("**Too good to be true:** " + _flat("; ".join(found["leak"])) + ". A leak is assumed until it is explained.")
    parts.append(" ".join(map(_flat, headline(found))))
    for horizon in _horizons(found):
        parts += [f"## Leaderboard, within {_flat(minutes(horizon))}", _markdown(leaderboard(found, horizon, (*LANDMARKS, -1)))]
    parts += ["## Coverage", _markdown(coverage_table(found))]
    parts += ["## Drift", _flat(drift_words(found)), _markdown(drift_table(found))]
    parts += ["## Limitations", "\n".join(f"- {_flat(one)}" for one in limitations(found))]
    return "\n\n".join(parts) + "\n"


# ---- what the numbers say ----


def verdict(score: Mapping[str, Any] | None) -> str:
    """Which of VERDICTS a score's gain deserves."""
    _, low, high = score["gain"] if score else (None, None, None)
    if low is None or high is None:
        return "unknown"
    if low > 0:
        return "skill" if score and score["holm"] is not None and score["holm"] < SURE else "hint"
    return "worse" if high < 0 else "none"


def title(found: Found) -> str:
    touch, all_rows = (VERDICTS[verdict(score_of(found, found["best"], elapsed))][0] for elapsed in (0, -1))
    kind = {0: "real ", len(found["dates"]): "simulated "}.get(found["simulated"], "")
    where = f"on {_count(len(found['dates']), kind + 'date')}"
    leak = "A leak is suspected. " if found["leak"] else ""
    return f"{leak}Is there skill, {where}? At the touch: {touch}. All landmarks together: {all_rows}."


def serving(found: Found, decision: Mapping[str, Any]) -> list[str]:
    """Which model serves and why, as Artifacts.crown keeps it, beside what the page found."""
    name, since = decision["name"], decision["since"]
    told = [f"Serves{f' since {since}' if since else ''}: {name} ({decision['why']})."]
    if decision["decided"] > found["date"]:
        told.append(f"That was decided as of {decision['decided']}, later than this page, and stands.")
    if name != GEOMETRY and decision.get("others"):
        told.append(f"No other takes its place: {decision['others']}.")
    together = [one for one in found["horizons"].get(PRIMARY) or [] if one["elapsed"] == -1 and one["gain"][0] is not None]
    gains = {one["name"]: one["gain"][0] for one in together}
    rivals = {one: gain for one, gain in gains.items() if one not in (*MEMBERS, GEOMETRY)}
    if name in gains and name != GEOMETRY and rivals:
        best = max(rivals, key=lambda one: rivals[one])
        more = "more than" if gains[name] > rivals[best] else "no more than"
        told.append(f"Over all landmarks it gains {gains[name]:+.4f}, {more} the best baseline ({best}: {rivals[best]:+.4f}).")
    if name != GEOMETRY and found["best"] not in (None, name):
        told.append(f"The verdict of the page is on {found['best']}, the best by its gain; the rule asks whether a gain is sure.")
    return told


def decided(html: str, found: Found, decision: Mapping[str, Any]) -> str:
    """A page with the decision that followed from it below its title."""
    first, *rest = serving(found, decision)
    return html.replace("</h1>", f"</h1><p><strong>{escape(first)}</strong></p>{_paragraphs(rest)}", 1)


def headline(found: Found) -> list[str]:
    """What was asked, what was found, on how much, in plain sentences."""
    dates, simulated = found["dates"], found["simulated"]
    tests = sum(one["holm"] is not None for one in found["horizons"].get(PRIMARY) or [])
    told = [
        f"The question: does a model know more of what a touch of a level becomes within {minutes(PRIMARY)} than where the price "
        "stands? Position alone is geometry: the odds of a price that drifts nowhere between its two barriers. A gain is by how "
        "much a model's log loss lies below geometry's, in nats a row; zero means nothing learnt.",
    ]
    if found["best"]:
        told.append(f"The best of {len(found['over_time'])} models, by its gain over all its rows, is {found['best']}.")
    else:
        told.append("No model was tested.")
    for elapsed, where in ((0, "At the touch"), (-1, "Over all landmarks together")) if found["best"] else ():
        score = score_of(found, found["best"], elapsed)
        if score is None:
            told.append(f"{where} it has no score: under {LEAST_ROWS} rows, or it does not speak at every landmark.")
            continue
        told.append(_gain_words(score, where, tests) + _beside(found, elapsed))
    span = f"{_count(len(dates), 'date')}, {dates[0]} to {dates[-1]}" if dates else "no date"
    told.append(
        f"Tested on {span}: {_count(found['touches'], 'touch', 'touches')}, {found['rows']:,} rows (a touch at a landmark)."
    )
    told.append(_origin(simulated, len(dates)))
    told.append(found["power"])
    return told


def _gain_words(score: Mapping[str, Any], where: str, tests: int) -> str:
    mean, (p, holm) = score["gain"][0], (_number(score[key], ".4f", "unknown") for key in ("p", "holm"))
    told = f"{where} it gains {_number(mean, '+.4f', 'unknown')} nats (95% interval by whole dates: {interval(score['gain'])}; "
    told += f"p {p}, corrected for {tests} tests {holm})"
    if mean is not None:
        told += (
            f": what happened had {abs(math.expm1(mean)):.1%} {'more' if mean >= 0 else 'less'} probability than geometry gave it"
        )
    return f"{told}. {VERDICTS[verdict(score)][1]}"


def _beside(found: Found, elapsed: int) -> str:
    """What the baselines gain there: a model is worth what it knows beyond them."""
    scored = [one for one in found["horizons"].get(PRIMARY) or [] if one["elapsed"] == elapsed and one["gain"][0] is not None]
    simple = [one for one in scored if one["name"] != "geometry" and one["name"] not in found["over_time"]]
    told = ""
    if simple:
        best = max(simple, key=lambda one: one["gain"][0])
        told += f" The best baseline, {best['name']}, gains {best['gain'][0]:+.4f}."
    for one in simple:
        if one["name"] == BASE and one["gain"][1] is not None and one["gain"][1] > 0:
            told += (
                f" The {BASE}, which knows nothing of the single touch, gains {one['gain'][0]:+.4f}: so much is only that "
                "geometry's shares of the outcomes are off; only what lies above it can be knowledge of touches."
            )
    return told


def _origin(simulated: int, dates: int) -> str:
    if simulated >= dates:
        return f"All {dates} dates are simulated: this tells whether the machinery finds what was planted, nothing of the market."
    return f"{simulated} of {dates} dates are simulated." if simulated else f"All {dates} dates are of the real market."


def drift_words(found: Found) -> str:
    drift = found["drift"]
    if drift["flagged"]:
        told = f"The best member has done worse against geometry than before: flagged on {drift['flagged']}."
    elif len(drift["dates"]) <= REFERENCE:
        told = f"The watch judges no date before it has seen {REFERENCE}; here are {len(drift['dates'])}."
    else:
        told = "The best member does no worse against geometry than before: no flag."
    last = drift["excess"][-1] if drift["excess"] else None
    told += f" The sum stands at {_number(last, '.2f', 'unknown')}."
    return f"{told} {drift['beyond']} of {drift['of']} features have shifted, by their population stability index."


def limitations(found: Found) -> list[str]:
    """What these numbers do not say, each sentence from the numbers themselves."""
    dates, best, scored = found["dates"], found["best"], found["horizons"].get(PRIMARY) or []
    told = []
    if found["simulated"]:
        told.append(
            f"{found['simulated']} of {len(dates)} dates are simulated. A simulated market is not the market: skill there shows "
            f"that the machinery works. The leak check (stratified AUC above {SUSPICIOUS} at a landmark) was not made, since a "
            "simulated world may hold real skill."
        )
    if len(dates) < 2:
        told.append("A single date knows no spread between dates: there are no intervals, and no gain can be told from luck.")
    elif len(dates) < FEW:
        told.append(f"Intervals draw whole dates anew; with only {len(dates)} of them they are rough, and rather too narrow.")
    else:
        told.append(f"Intervals draw whole dates anew: they speak of dates like these {len(dates)}, not of another regime.")
    if touch := score_of(found, best, 0):
        told.append(
            f"The {touch['rows']:,} rows at the touch weigh like {_number(touch['n_eff'], ',.0f', 'an unknown number of')} "
            "independent ones: touches of one date share its market."
        )
        slope = touch["slope"]
        if slope is not None and not SLOPES[0] <= slope <= SLOPES[1]:
            told.append(
                f"The odds of {best} at the touch are too {'sure' if slope < 1 else 'timid'}: calibration slope {slope:.2f}."
            )
    if best and len(found["over_time"]) > 1:
        told.append(f"{best} was called best of {len(found['over_time'])} on the rows it is judged on, which flatters it.")
    tried = [one for one in scored if one["holm"] is not None]
    if tried:
        plain, corrected = (sum(one[key] is not None and one[key] < SURE for one in tried) for key in ("p", "holm"))
        told.append(
            f"{len(tried)} tests were tried within {minutes(PRIMARY)}: {plain} have a p below {SURE}, {corrected} after Holm's "
            "correction. Parts by level, hour or volatility are not corrected: some look good by luck."
        )
    told += _untold(found)
    short = [
        f"{name} at {_seconds(one['group'])} {one['covered']:.1%}"
        for name, some in found["coverage"].items()
        for one in some
        if one["covered"] is not None and one["covered"] < LEVEL
    ]
    if short:
        told.append(f"Conformal sets that promise {LEVEL:.0%} held less: {', '.join(short)}.")
    if far := sum(one["far"] for one in found["cases"]):
        told.append(
            f"{far} of the {len(found['cases'])} touches shown have no close analog: their odds lean on touches unlike them."
        )
    if found["drift"]["flagged"]:
        told.append(f"Since {found['drift']['flagged']} the past is a worse guide than it was: means over all dates hide that.")
    if found["ablations"] is None:
        told.append("No ablations were made: which families of features a model needs is told by importance alone.")
    told.append("Importance is what the trees go by, not what moves the price; what one family lacks another may replace.")
    told.append("A gain in nats is no profit: no spread, fee, slippage or delay is in it, and rows that a veto forbids count too.")
    return told


def _untold(found: Found) -> Iterator[str]:
    """Which landmarks and scorers have no numbers."""
    for horizon in _horizons(found):
        scored = found["horizons"][horizon] or []
        there = {one["elapsed"] for one in scored}
        if missing := [elapsed for elapsed in LANDMARKS if elapsed not in there]:
            where = f"Within {minutes(horizon)} nothing is told at {_seconds(missing)}"
            yield f"{where}: under {LEAST_ROWS} rows that all scorers know."
        summed = {one["name"] for one in scored if one["elapsed"] == -1}
        absent = list(dict.fromkeys(one["name"] for one in scored if one["name"] not in summed))
        if absent and summed:
            yield f"Within {minutes(horizon)} no part of the sum of all landmarks, being silent at some: {', '.join(absent)}."


# ---- tables ----


def leaderboard(found: Found, horizon: str, landmarks: Sequence[int]) -> Table:
    """Every scorer at each of the landmarks (-1: all together), best gain first."""
    rows: list[Sequence[Cell] | str] = []
    for elapsed in landmarks:
        if some := [one for one in found["horizons"].get(horizon) or [] if one["elapsed"] == elapsed]:
            rows += [landmark_words(elapsed), *map(_score_row, some)]
    names = (
        "scorer", "gain, nats", "95% interval", "p", "p, Holm", "rows", "effective", "stratified AUC", "raw AUC", "AUC resolved",
        "log loss", "Brier", "slope", "intercept", "ECE", "its floor",
    )  # fmt: skip
    return names, rows


def _score_row(one: Mapping[str, Any]) -> Sequence[Cell]:
    kind = {"skill": "good", "worse": "bad"}.get(verdict(one), "")
    numbers = [_number(one[key], ".3f") for key in ("stratified", "auc", "resolved_auc")]
    numbers += [_number(one[key], ".4f") for key in ("log_loss", "brier")]
    numbers += [_number(one["slope"], ".2f"), _number(one["intercept"], "+.2f")]
    numbers += [_number(one[key], ".3f") for key in ("ece", "floor")]
    return (
        one["name"], (_mean(one["gain"]), kind), (interval(one["gain"]), kind), _number(one["p"], ".4f"),
        _number(one["holm"], ".4f"), _number(one["rows"], ",d"), _number(one["n_eff"], ",.0f"), *numbers,
    )  # fmt: skip


def calibration_table(found: Found) -> Table:
    """Murphy's parts and what the curves sum up to, of each scorer at the touch."""
    rows = []
    for name, told in found["reliability"].items():
        murphy, curve, score = told.get("murphy") or {}, found["curves"].get(name) or {}, score_of(found, name, 0) or {}
        parts = [_number(murphy.get(key), ".4f") for key in ("brier", "reliability", "resolution", "uncertainty", "within")]
        errors = [_number(score.get(key), ".3f") for key in ("ece", "floor")]
        rows.append((name, *errors, *parts, _number(curve.get("average_precision"), ".3f"), _number(curve.get("lift"), ".2f")))
    names = ("scorer", "ECE", "its floor", "Brier", "reliability", "resolution", "uncertainty", "within bins",
             "average precision", "lift of the top tenth")  # fmt: skip
    return names, rows


def bin_table(found: Found) -> Table:
    rows: list[Sequence[Cell] | str] = []
    for name, told in found["reliability"].items():
        if told:
            rows.append(name)
            each = zip(*(told[key] for key in ("share", "said", "happened", "low", "high")), strict=True)
            rows += [(f"bin {number}", *(_number(one, ".3f") for one in some)) for number, some in enumerate(each, 1)]
    return ("", "share of weight", "said", "happened", "band from", "to"), rows


def time_table(found: Found) -> Table:
    told = found["over_time"]
    by_date = {
        name: dict(zip(one["dates"], zip(one["gain"], one["rolling"], one["silent"], strict=True), strict=True))
        for name, one in told.items()
        if one
    }
    rows = []
    for date in sorted({date for some in by_date.values() for date in some}):
        three = [some.get(date, (None, None, None)) for some in by_date.values()]
        rows.append(
            (date, *(_number(one, form) for some in three for one, form in zip(some, ("+.4f", "+.4f", ".1%"), strict=True)))
        )
    return ("date", *(f"{name}: {what}" for name in by_date for what in ("gain", "rolling", "silent"))), rows


def group_table(found: Found) -> Table:
    rows: list[Sequence[Cell] | str] = []
    for label, some in found["by"].items():
        rows.append(label)
        rows += [(one["value"], _number(one["rows"], ",d"), _mean(one["gain"]), interval(one["gain"])) for one in some]
    return ("part", "rows", "gain, nats", "95% interval"), rows


def family_table(found: Found) -> Table:
    families = found["importance"]["families"]
    return ("family", "loss, nats", "95% interval"), [(one["name"], _mean(one["loss"]), interval(one["loss"])) for one in families]


def feature_table(found: Found) -> Table:
    features = found["importance"]["features"]
    return ("feature", "TreeSHAP", "family"), [(one["name"], _number(one["share"], ".4f"), one["family"]) for one in features]


def ablation_table(found: Found) -> Table:
    return ("families", "stage", "gain, nats", "95% interval", "less full", "95% interval"), [
        (one["name"], one["stage"], *(told for key in ("gain", "delta") for told in (_mean(one[key]), interval(one[key]))))
        for one in found["ablations"] or []
    ]  # fmt: skip


def drift_table(found: Found) -> Table:
    return ("feature", "PSI", "KS distance", "its chance"), [
        (one["name"], _number(one["psi"], ".3f"), _number(one["ks"], ".3f"), _number(one["chance"], ".4f"))
        for one in found["drift"]["features"]
    ]


def coverage_table(found: Found) -> Table:
    return ("member", "landmarks", "rows", "held what happened", "abstained"), [
        (name, _seconds(one["group"]), _number(one["rows"], ",d"), _number(one["covered"], ".1%"), _number(one["abstained"], ".1%"))
        for name, some in found["coverage"].items()
        for one in some
    ]


# ---- sections of the page ----


def _sections(found: Found) -> Iterator[tuple[str, str, str]]:
    """Name, title and content of each part of the page."""
    parts: dict[str, list[str]] = {
        "leaderboard": [_leaderboard_parts(found, horizon) for horizon in _horizons(found)],
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
        cells = _number(geometry, ".1%"), _number(odds, ".1%"), f"{_number(low, '.0%', '?')} to {_number(high, '.0%', '?')}"
        told = "".join(f"<td>{cell}</td>" for cell in (_strip(geometry, odds, low, high), *cells))
        rows.append(f"<tr><td>{word}</td>{told}</tr>")
    names = "".join(f"<th>{name}</th>" for name in ("", "", "geometry", "analogs", f"{COVERED:.0%} interval"))
    near = [
        (
            f"{one['date']} {one['level']} {one['direction']}", one["outcome"], _number(one["distance"], ".3f"),
            _number(one["strength"], "+.2f"), _number(one["price"], ",.2f"),
        )
        for one in case["neighbours"]
    ]  # fmt: skip
    parts = (
        f"<h3>{escape(case['level'])} {escape(case['direction'])} at {_number(case['price'], ',.2f')}: "
        f"{escape(case['outcome'])}</h3>",
        f'<p class="muted">{escape(case["time"][:16].replace("T", " "))}, New York; {_number(case["effective"], ".1f", "?")} '
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


# ---- words and marks ----


def interval(told: Sequence[float | None]) -> str:
    _, low, high = told
    return "unknown" if low is None or high is None else f"{low:+.4f} to {high:+.4f}"


def _mean(told: Sequence[float | None]) -> str:
    return _number(told[0], "+.4f")


def _number(value: float | None, form: str, unknown: str = "-") -> str:
    return unknown if value is None else format(value, form)


def _count(number: int, one: str, more: str = "") -> str:
    return f"{number:,} {one if number == 1 else more or one + 's'}"


def _seconds(landmarks: Iterable[int]) -> str:
    return f"{', '.join(map(str, landmarks))} s"


def _horizons(found: Found) -> list[str]:
    return sorted(found["horizons"], key=lambda one: one != PRIMARY)


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
