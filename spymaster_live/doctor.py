"""What troubles the parts of live, as they say when they are asked over the bus; and an engine that stands still.

`spymaster doctor` runs it too. On a secured bus it takes the key `control`, which may ask every part for its health.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any, Final

from nats.aio.client import Client

from spymaster_assets.config import Config
from spymaster_assets.finding import Finding
from spymaster_assets.sessions import to_datetime
from spymaster_live import health

ENGINE: Final = "engine"
WITHOUT: Final = {  # what it means that a part is not there, where that is no trouble by itself
    "feed": "nothing new comes",
    "writer": "nothing is captured",
    "gateway": "nobody is told",
}
COUNTED: Final = {
    "missing": "records never came",
    "dead": "messages could not be read (dlq.>)",
    "lost": "messages were dropped before they were read",
}


async def examine(client: Client, config: Config) -> list[Finding]:
    """Every part is asked for its health; an engine that is behind its feed twice, to see whether it moves."""
    told = dict(
        zip((ENGINE, *WITHOUT), await asyncio.gather(*(health.ask(client, one) for one in (ENGINE, *WITHOUT))), strict=True)
    )
    found = [finding for name, state in told.items() for finding in _of(name, state, config)]
    before = _behind(told[ENGINE], told["feed"])
    if before is not None:
        await asyncio.sleep(config.doctor.still_seconds)
        now = await health.ask(client, ENGINE)
        if now.get("watermark") == before and now.get("run") == told["feed"].get("run", now.get("run")):
            at, of = (to_datetime(one, config.sessions.market_zone) for one in (before, told["feed"]["position"]))
            found.append(Finding(False, f"engine: it stands at {at:%H:%M:%S} New York time, the feed is at {of:%H:%M:%S}"))
    return found


def _of(name: str, state: dict[str, Any], config: Config) -> Iterator[Finding]:
    """What one part says of itself."""
    if state.get("absent"):
        yield Finding(name in WITHOUT, f"{name}: {state['why']}" + (f": {WITHOUT[name]}" if name in WITHOUT else ""))
        return
    age = state.get("age") or 0.0
    if not state["ok"]:
        yield Finding(False, f"{name}: {state['why']}")
    elif age > config.doctor.hung_seconds:
        yield Finding(False, f"{name}: at the same work for {age:.0f} s")
    else:
        yield Finding(True, f"{name}: {_standing(state)}")
    parts = {"": state} | {f"{stream}: ": its for stream, its in state.get("streams", {}).items()}
    for head, its in parts.items():
        for key, what in COUNTED.items():
            if its.get(key):
                yield Finding(False, f"{name}: {head}{its[key]:,} {what}")
    if state.get("model_trouble"):
        yield Finding(False, f"{name}: no model serves: {state['model_trouble']}")
    if state.get("same_config") is False:
        yield Finding(False, f"{name}: its configuration is not the feed's")


def _standing(state: dict[str, Any]) -> str:
    if state.get("run") is None:
        return str(state.get("state") or state.get("new_york") or "well")
    return f"run {state['run']}" + (f", snap {state['snap']:,} of {state['of']:,}" if "snap" in state else "")


def _behind(engine: dict[str, Any], feed: dict[str, Any]) -> int | None:
    """The watermark of an engine that a feed is ahead of; None if it is not, or nobody can tell."""
    if engine.get("watermark") is None or not feed.get("position") or engine.get("date") != feed.get("date"):
        return None
    return int(engine["watermark"]) if engine["watermark"] < feed["position"] else None
