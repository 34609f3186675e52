"""Which model serves from a date on: the rule of models/promotion, applied to all predictions up to it."""

from __future__ import annotations

import datetime as dt
from typing import Any

from spymaster_assets.evaluating import plain, simulated, tested, tested_dates
from spymaster_assets.lake import Lake
from spymaster_assets.models.artifacts import GEOMETRY, Artifacts
from spymaster_assets.models.promotion import Verdict, decide
from spymaster_assets.tables.predictions import MEMBERS


def promote(lake: Lake, date: dt.date) -> dict[str, Any]:
    """Apply the rule to all predictions up to a date and write the champion; the decision with the verdicts on all challengers.

    `why`: why it was chosen, once it serves; `others`: why no other takes its place.

    What was decided as of a later date stands: an evaluation of the past changes nothing of what serves.
    """
    artifacts = Artifacts(lake)
    now = artifacts.champion()
    if now.get("decided", "") > date.isoformat():
        return now
    dates = tested_dates(lake, date)
    if not dates:
        decision: dict[str, Any] = {
            "name": now["name"],
            "why": "no model has predicted anything yet",
            "verdicts": [],
        }
    else:
        name, verdicts = decide(tested(lake, dates), now["name"], MEMBERS, simulated(lake, dates))
        rivals = [f"{one.name}: {', '.join(one.reasons) or 'gains less'}" for one in verdicts if one.name != name]
        others = "; ".join(rivals) or "nothing else to choose from"
        if name == now["name"]:
            why = others if name == GEOMETRY else now["why"]
        elif name == GEOMETRY:
            why = f"{now['name']} is surely worse than geometry on {len(dates)} dates"
        else:
            why = next(_gains(one, now["name"]) for one in verdicts if one.name == name)
        decision = {"name": name, "why": why, "others": others, "verdicts": [plain(one.as_json()) for one in verdicts]}
    decision["since"] = date.isoformat() if decision["name"] != now["name"] else now.get("since")
    decision["decided"] = date.isoformat()
    artifacts.crown(decision)
    return decision


def _gains(verdict: Verdict, over: str) -> str:
    """Why a challenger serves."""
    gain = verdict.gain
    return f"it gains {gain.mean:+.4f} nats ({gain.low:+.4f} to {gain.high:+.4f}) over {over} on {verdict.dates} dates"
