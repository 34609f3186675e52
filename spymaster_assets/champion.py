"""Which model serves: `models/champion.json`, which only `promote` writes, by the rule of models/promotion."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any, Final

from spymaster_assets.evaluating import plain, simulated, tested, tested_dates
from spymaster_assets.lake import Lake, write_atomic
from spymaster_assets.models.artifacts import Artifacts
from spymaster_assets.models.promotion import GEOMETRY, decide
from spymaster_assets.tables.predictions import MEMBERS

CHAMPION: Final = "champion.json"


def champion(lake: Lake) -> dict[str, Any]:
    """What serves: {"name", "since", "why", "verdicts"}; geometry until a model was promoted. ValueError for a broken file."""
    path = Artifacts(lake).root / CHAMPION
    if not path.exists():
        return {"name": GEOMETRY, "since": None, "why": "no model was promoted yet"}
    try:
        found = json.loads(path.read_text())
        if found["name"] not in (GEOMETRY, *MEMBERS):
            raise ValueError(f"{found['name']!r} is no model")
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: expected the champion: {error}; spymaster promote decides anew") from error
    return dict(found)


def promote(lake: Lake, date: dt.date) -> dict[str, Any]:
    """Apply the rule to all predictions up to a date and write the champion; the decision with the verdicts on all challengers."""
    dates = tested_dates(lake, date)
    now = champion(lake)
    if not dates:
        decision: dict[str, Any] = {
            "name": now["name"],
            "since": date.isoformat(),
            "why": "no model has predicted anything yet",
            "verdicts": [],
        }
    else:
        name, verdicts = decide(tested(lake, dates), now["name"], MEMBERS, simulated(lake, dates))
        why = (
            f"{name} gains over {now['name']} on {len(dates)} dates"
            if name != now["name"]
            else "; ".join(f"{one.name}: {', '.join(one.reasons)}" for one in verdicts) or "nothing else to choose from"
        )
        decision = {"name": name, "why": why, "verdicts": [plain(one.as_json()) for one in verdicts]}
    decision["since"] = date.isoformat() if decision["name"] != now["name"] else now.get("since")
    decision["decided"] = date.isoformat()
    root = Artifacts(lake).root
    root.mkdir(parents=True, exist_ok=True)
    write_atomic(root / CHAMPION, (json.dumps(decision, indent=1, sort_keys=True, allow_nan=False) + "\n").encode())
    return decision
