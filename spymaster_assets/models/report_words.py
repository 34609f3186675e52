"""What the numbers of an evaluation say, in sentences: headline, verdicts, who serves and why, drift, limitations.

Everything comes from `found`, the JSON of `evaluating`; null reads "unknown" in a sentence.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from spymaster_assets.models.artifacts import GEOMETRY
from spymaster_assets.models.conformal import LEVEL
from spymaster_assets.models.drift import REFERENCE
from spymaster_assets.models.evaluation import LEAST_ROWS, SUSPICIOUS
from spymaster_assets.models.examples import GROUPS, PRIMARY
from spymaster_assets.models.promotion import SLOPES
from spymaster_assets.models.report_pictures import Found, minutes, score_of
from spymaster_assets.models.significance import LEVEL as SURE
from spymaster_assets.tables.predictions import MEMBERS

BASE: Final = "base rate"  # the scorer that says the same of every row
FEW: Final = 30  # dates: percentiles of draws of fewer blocks are too narrow (Efron, Tibshirani 1993, 13)
LANDMARKS: Final = tuple(elapsed for group in GROUPS for elapsed in group)
VERDICTS: Final = {  # of a gain: in the title, and in a sentence
    "skill": ("skill", "The interval lies above zero, and the chance of such luck among all tests is small: that is skill."),
    "hint": ("a hint of skill", "The interval lies above zero, but among so many tests luck may do that: a hint, no proof."),
    "none": ("no skill shown", "The interval holds zero: position alone may well explain all of it."),
    "worse": ("worse than position alone", "The interval lies below zero: position alone does better."),
    "unknown": ("too little to tell", "There is no interval to judge it by."),
}


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
    where = f"on {several(len(found['dates']), kind + 'date')}"
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


def headline(found: Found) -> list[str]:
    """What was asked, what was found, on how much, in plain sentences."""
    dates, simulated = found["dates"], found["simulated"]
    tests = sum(one["holm"] is not None for one in found["horizons"].get(PRIMARY) or [])
    told = [
        f"The question: does a model know more of what a touch of a level becomes within {minutes(PRIMARY)} than where the price "
        "stands? Position alone is geometry: the odds of a price that drifts nowhere between its two barriers. A gain is by how "
        "much a model's log loss lies below geometry's, in nats a row; zero means nothing learnt. No gain is a profit: "
        "costs are not in it.",
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
    span = f"{several(len(dates), 'date')}, {dates[0]} to {dates[-1]}" if dates else "no date"
    told.append(
        f"Tested on {span}: {several(found['touches'], 'touch', 'touches')}, {found['rows']:,} rows (a touch at a landmark, "
        f"{LANDMARKS[0]} to {LANDMARKS[-1]} s after it)."
    )
    told.append(_origin(simulated, len(dates)))
    told.append(found["power"])
    return told


def _gain_words(score: Mapping[str, Any], where: str, tests: int) -> str:
    mean, (p, holm) = score["gain"][0], (shown(score[key], ".4f", "unknown") for key in ("p", "holm"))
    told = f"{where} it gains {shown(mean, '+.4f', 'unknown')} nats (95% interval by whole dates: {interval(score['gain'])}; "
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
    told += f" The sum stands at {shown(last, '.2f', 'unknown')}."
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
            f"The {touch['rows']:,} rows at the touch weigh like {shown(touch['n_eff'], ',.0f', 'an unknown number of')} "
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
        f"{name} at {in_seconds(one['group'])} {one['covered']:.1%}"
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
    for horizon in horizons_of(found):
        scored = found["horizons"][horizon] or []
        there = {one["elapsed"] for one in scored}
        if missing := [elapsed for elapsed in LANDMARKS if elapsed not in there]:
            where = f"Within {minutes(horizon)} nothing is told at {in_seconds(missing)}"
            yield f"{where}: under {LEAST_ROWS} rows that all scorers know."
        summed = {one["name"] for one in scored if one["elapsed"] == -1}
        absent = list(dict.fromkeys(one["name"] for one in scored if one["name"] not in summed))
        if absent and summed:
            yield f"Within {minutes(horizon)} no part of the sum of all landmarks, being silent at some: {', '.join(absent)}."


def interval(told: Sequence[float | None]) -> str:
    _, low, high = told
    return "unknown" if low is None or high is None else f"{low:+.4f} to {high:+.4f}"


def mean_of(told: Sequence[float | None]) -> str:
    return shown(told[0], "+.4f")


def shown(value: float | None, form: str, unknown: str = "-") -> str:
    return unknown if value is None else format(value, form)


def several(number: int, one: str, more: str = "") -> str:
    return f"{number:,} {one if number == 1 else more or one + 's'}"


def in_seconds(landmarks: Iterable[int]) -> str:
    return f"{', '.join(map(str, landmarks))} s"


def horizons_of(found: Found) -> list[str]:
    return sorted(found["horizons"], key=lambda one: one != PRIMARY)
