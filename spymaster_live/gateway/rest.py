"""Everything that is asked for once. The running date comes from the stream, every other one from the lake, which is only read.

A table is as on /ws/stream: columns and rows with the names and units of /api/tables. Trouble is {"error": a sentence}.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import asdict
from decimal import Decimal
from typing import Any, Final

import nats.errors
import numpy as np
import orjson
from fastapi import APIRouter, HTTPException, Request, Response
from prometheus_client import generate_latest

from spymaster_assets.config import Config
from spymaster_assets.lake import Lake
from spymaster_assets.models.artifacts import Artifacts
from spymaster_assets.models.examples import PRIMARY
from spymaster_assets.schema import TEXT, Column, Table
from spymaster_assets.sessions import NotATradingDate, calendar
from spymaster_assets.states import LEVEL_MEANINGS, STATE_MEANINGS
from spymaster_assets.tables import (
    BARS,
    DEALERS,
    FEATURE_ROWS,
    FLOW,
    HEAT,
    LABELS,
    LEVELS,
    PATH_TRUTH,
    PREDICTIONS,
    SIGNALS,
    SNAPS,
    STRIKES,
    TABLES,
    TOUCHES,
)
from spymaster_assets.tables.predictions import MEMBERS
from spymaster_assets.version import VERSION
from spymaster_live.bus import TROUBLE
from spymaster_live.gateway import wire
from spymaster_live.gateway.aside import Aside
from spymaster_live.gateway.fold import TRACE
from spymaster_live.gateway.parts import Parts
from spymaster_live.gateway.past import Past
from spymaster_live.gateway.relay import Relay
from spymaster_live.payload import described

OF_A_TOUCH: Final = (LEVELS, TOUCHES, PREDICTIONS)
ORDERS: Final = ("start", "pause", "step", "seek", "speed", "state")
MOST_BYTES: Final = 4096  # of an order
MINUTE: Final = 60 * 1_000_000_000  # ns
ENDPOINTS: Final[Mapping[str, str]] = {
    "/ws/stream": "WebSocket: a snapshot, then what is new; `topics`, `after` and `stream` in the query",
    "/api/dates": "the running date, those of the lake, and those whose truth a simulator left here",
    "/api/levels": "the latest payload of levels.signals",
    "/api/bars": "`date` (the running one), `minutes` (1): bars, and the one that is not closed yet",
    "/api/touches": "`date`: levels, touches, predictions; of a date that does not run labels too",
    "/api/moment": "`date` of the lake, snap `k`: its payload, book, dealers and strikes, as live says them",
    "/api/heat": "`date`, `after` a snap (0): liquidity by minutes that are closed",
    "/api/scores": "`date`, `touch`: the score of a touch snap by snap",
    "/api/analogs": "`date`, `touch`: the touches of earlier dates most like it at t0, and what came of them",
    "/api/outcomes": "`date`: what came of the touches of earlier dates, by level and by the odds that were given",
    "/api/models": "`date`: the champion, the models of the date, and which scores the running session",
    "/api/tables": "names, units and meanings of everything that is told, and the rules that it follows",
    "/api/replay": "POST: an order to the replay, as on control.replay",
    "/healthz": "200 while the process lives, and the version of Spymaster",
    "/readyz": "200 if all is well, else 503 and why not",
    "/metrics": "Prometheus: the gateway, and what engine, writer and feed say of themselves (deploy/grafana-dashboard.json)",
}


def router(relay: Relay, lake: Lake, aside: Aside) -> APIRouter:
    """The routes, but for /ws/stream."""
    opens = _clock(lake.config.sessions.regular_open, lake.config)
    routes, meanings = APIRouter(), orjson.dumps({**_TABLES, "rules": _rules(lake.config)})
    relay.hub.metrics.registry.register(Parts(lambda: relay.parts))

    @routes.get("/healthz")
    async def healthz() -> Response:
        return _json({"ok": True, "version": VERSION})

    @routes.get("/readyz")
    async def readyz() -> Response:
        state = relay.state()
        return _json(state, 200 if state["ok"] else 503)

    @routes.get("/metrics")
    async def metrics() -> Response:
        told = relay.hub.metrics
        for of, seconds in relay.ages.items():
            told.age.labels(of).set(seconds)
        told.ready.set(not relay.reasons())
        return Response(generate_latest(told.registry), media_type="text/plain; version=0.0.4; charset=utf-8")

    @routes.get("/api/levels")
    async def levels(request: Request) -> Response:
        if relay.fold.payload is None:
            raise HTTPException(404, f"nothing was said about a snap yet: signals begin at {opens}")
        return _tagged(request, f"{relay.hub.stream}.{relay.fold.seq}", relay.fold.payload)

    @routes.get("/api/dates")
    def dates() -> Response:
        running = relay.fold.session["date"] if relay.fold.session else None
        told = {"dates": lake.dates(BARS), "simulated": lake.local.dates(PATH_TRUTH)}
        return _json({"running": running, **{name: [date.isoformat() for date in dates] for name, dates in told.items()}})

    @routes.get("/api/bars")
    def bars(request: Request, date: str | None = None, minutes: str = "1") -> Response:
        lengths = [str(one) for one in lake.config.levels.bar_minutes]
        if minutes not in lengths:
            raise HTTPException(422, f"minutes {minutes!r}: expected {' or '.join(lengths)}")
        day, running = _date(relay, lake, date)
        if running:
            tag = f"{relay.hub.stream}.{relay.fold.seq}"  # before the rows: a newer tag would hide what it does not have
            rows, forming = relay.fold.rows(BARS), relay.fold.forming
        else:
            rows, tag, forming = _read(lake, BARS, day), _content(lake, BARS, day), None
        told = {"bars": wire.encoded(BARS, rows[rows["minutes"] == int(minutes)])}
        if running and minutes == "1":
            told["forming"] = orjson.dumps(forming)
        return _tagged(request, f"{tag}.{minutes}", _told(day, running, told))

    @routes.get("/api/touches")
    def touches(request: Request, date: str | None = None) -> Response:
        day, running = _date(relay, lake, date)
        if running:
            tag = f"{relay.hub.stream}.{relay.fold.seq}"
            told = {table.name: wire.encoded(table, relay.fold.rows(table)) for table in OF_A_TOUCH}
            return _tagged(request, tag, _told(day, running, told))
        there = [table for table in (*OF_A_TOUCH, LABELS) if lake.manifest(table, day) is not None]
        if TOUCHES not in there:
            raise HTTPException(404, f"the lake has no touches of {day}: spymaster day {day}")
        told = {table.name: wire.encoded(table, _read(lake, table, day)) for table in there}
        return _tagged(request, ".".join(_content(lake, table, day) for table in there), _told(day, running, told))

    @routes.get("/api/moment")
    async def moment(date: str, k: int) -> Response:
        day, _ = _date(relay, lake, date)
        _there(lake, day, SNAPS, LEVELS, TOUCHES, FEATURE_ROWS, SIGNALS)
        try:
            payload, snaps, row, strikes = await aside.ask(Past.moment, day, k)
        except ValueError as error:
            raise HTTPException(422, str(error)) from error
        told = {table.name: wire.encoded(table, rows) for table, rows in ((SNAPS, snaps), (DEALERS, row), (STRIKES, strikes))}
        return _untagged(_told(day, False, {"signals": b"[%b]" % payload, "flow": wire.members(told)}))

    @routes.get("/api/heat")
    async def heat(request: Request, date: str | None = None, after: int = 0) -> Response:
        day, running = _date(relay, lake, date)
        if running:
            rows, tag = relay.fold.minutes.closed(after), f"{relay.hub.stream}.{relay.fold.seq}.{after}"
        else:
            _there(lake, day, SNAPS, FLOW)
            rows = await aside.ask(Past.heat, day, MINUTE // lake.config.grid.interval_ns)
            rows, tag = rows[rows["k"] > after], f"{_content(lake, SNAPS, day)}.{_content(lake, FLOW, day)}.{after}"
        return _tagged(request, tag, _told(day, running, {"heat": wire.encoded(HEAT, rows)}))

    @routes.get("/api/scores")
    async def scores(touch: int, date: str | None = None) -> Response:
        day, running = _date(relay, lake, date)
        if not running:
            _there(lake, day, SIGNALS)
        rows = relay.fold.trace(touch) if running else await aside.ask(Past.trace, day, touch)
        return _untagged(_told(day, running, {"scores": wire.encoded(SIGNALS, rows, TRACE)}))

    @routes.get("/api/analogs")
    async def analogs(touch: int, date: str | None = None) -> Response:
        day, running = _date(relay, lake, date)
        if not running:
            _there(lake, day, FEATURE_ROWS)
        row = relay.fold.features.get(touch) if running else await aside.ask(Past.first, day, touch)
        return _json(None if row is None else await aside.ask(Past.analogs, day, row))

    @routes.get("/api/outcomes")
    async def outcomes(date: str | None = None) -> Response:
        return _json(await aside.ask(Past.outcomes, _date(relay, lake, date)[0]))

    @routes.get("/api/models")
    def models(date: str | None = None) -> Response:
        named = date is not None or relay.fold.session is not None
        day, artifacts = (_date(relay, lake, date)[0] if named else None), Artifacts(lake)
        found = {name: artifacts.manifest(name, day) for name in MEMBERS} if day else {}
        return _json({
            "date": day, "champion": artifacts.champion(),
            "models": {name: {**asdict(one), "files": sorted(one.files)} for name, one in found.items() if one},
            "session": relay.fold.session and relay.fold.session["model"],
            "engine": relay.fold.status.get("model"), "trouble": relay.fold.status.get("model_trouble"),
        })  # fmt: skip

    @routes.get("/api/tables")
    async def tables(request: Request) -> Response:
        return _tagged(request, lake.config.digest(), meanings)

    @routes.post("/api/replay")
    async def replay(request: Request) -> Response:
        wanted = await _order(request)
        try:
            answer = await relay.order(wanted)
        except nats.errors.NoRespondersError as error:
            raise HTTPException(409, "no replay is running") from error
        except TROUBLE as error:
            raise HTTPException(504, "the replay did not answer") from error
        return _json(answer, 400 if "error" in answer else 200)

    return routes


async def _order(request: Request) -> dict[str, Any]:
    """An order to the replay; HTTPException says what is wrong with it."""
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > MOST_BYTES:
            raise HTTPException(413, f"an order has at most {MOST_BYTES} bytes")
    try:
        wanted = orjson.loads(body)
    except ValueError as error:
        raise HTTPException(400, f"expected JSON: {error}") from error
    if not isinstance(wanted, dict) or wanted.get("do") not in ORDERS:
        raise HTTPException(400, f"do: expected {', '.join(ORDERS)}")
    return wanted


def _date(relay: Relay, lake: Lake, said: str | None) -> tuple[dt.date, bool]:
    """A trading date, the running one if none is said, and whether it is that one. HTTPException says what is wrong with it."""
    running = dt.date.fromisoformat(relay.fold.session["date"]) if relay.fold.session else None
    if said is None:
        if running is None:
            raise HTTPException(404, "no session has begun: name a date")
        return running, True
    try:
        day = calendar(lake.config).require(dt.datetime.strptime(said, "%Y-%m-%d").date())
    except NotATradingDate as error:
        raise HTTPException(404, str(error)) from error
    except ValueError as error:
        raise HTTPException(422, f"date {said!r}: expected YYYY-MM-DD") from error
    return day, day == running


def _there(lake: Lake, day: dt.date, *tables: Table) -> None:
    """HTTPException if the lake lacks one of these partitions, or has it with other columns."""
    for table in tables:
        if lake.manifest(table, day) is None:
            raise HTTPException(404, f"the lake has no {table.name} of {day}: spymaster day {day}")
        if not lake.readable(table, day):
            raise HTTPException(409, f"{table.name} of {day} have other columns than now: spymaster day {day}")


def _read(lake: Lake, table: Table, day: dt.date) -> np.ndarray:
    """The rows of a partition. HTTPException if there is none, or it has other columns."""
    _there(lake, day, table)
    return lake.rows(table, day)


def _content(lake: Lake, table: Table, day: dt.date) -> str:
    manifest = lake.manifest(table, day)
    return manifest.content if manifest else ""


def _told(day: dt.date, running: bool, tables: Mapping[str, bytes]) -> bytes:
    head = {"date": orjson.dumps(day), "running": orjson.dumps(running)}
    return wire.members(head | dict(tables))


def _json(value: Any, status: int = 200) -> Response:
    return Response(orjson.dumps(value), status, {"Cache-Control": "no-store"}, "application/json")


def _tagged(request: Request, tag: str, body: bytes) -> Response:
    """JSON with an ETag; nothing but the tag if the asker has it already."""
    headers = {"ETag": f'"{tag}"', "Cache-Control": "private, no-cache"}
    if request.headers.get("if-none-match") == headers["ETag"]:
        return Response(status_code=304, headers=headers)
    return Response(body, 200, headers, "application/json")


def _untagged(body: bytes) -> Response:
    return Response(body, 200, {"Cache-Control": "no-store"}, "application/json")


def _column(column: Column) -> dict[str, Any]:
    return {
        "name": column.name, "type": "text" if column.is_text else column.dtype, "unit": column.unit, "meaning": column.meaning,
        "null": column.null, "words": column.categories or dict(column.codes or {}) or None,
        "array": column.part_of, "told": column.dtype != TEXT,
    }  # fmt: skip


def _clock(clock: str, config: Config) -> str:
    """A wall clock with the place that it hangs in, e.g. 09:30 New York time."""
    return f"{clock.removeprefix('-')} {config.sessions.market_zone.rpartition('/')[2].replace('_', ' ')} time"


def _rules(config: Config) -> dict[str, Any]:
    """What the score, the outcomes, the windows and the pictures go by. `digits`: of a price; `step`: between strikes, and
    `reach`: to each side how far they are shown, points."""
    rules, instrument, day = config.score, config.instrument, config.sessions
    tick = Decimal(instrument.tick) / instrument.point
    return {
        "zone": day.market_zone, "tick": float(tick),
        "digits": max(0, -int(tick.normalize().as_tuple().exponent)),
        "opens": _clock(day.regular_open, config),
        "step": config.fuel.es_0dte_strike_spacing, "reach": 1.26 * config.fuel.smile_range,
        "snap_ms": config.grid.interval_ns / 1e6,
        "weights": {"liquidity": rules.w_l, "hedge": rules.w_h, "tape": rules.w_t},
        "break_from": rules.break_score_threshold, "reject_to": rules.reject_score_threshold,
        "trigger_seconds": rules.trigger_snaps * config.grid.interval_ns / 1e9, "smooth_seconds": rules.tau_score,
        "outcome_seconds": config.labels.confirmation_window_seconds, "band": config.touches.monitor_band,
        "landmarks": config.touches.landmarks, "kinds": LEVEL_MEANINGS, "states": STATE_MEANINGS,
        "horizon": PRIMARY, "stale_seconds": config.live.gateway.shown_stale_seconds,
    }  # fmt: skip


_TABLES: Final = {
    "tables": {
        name: {"meaning": table.meaning, "order": table.grain, "columns": [_column(column) for column in table.columns]}
        for name, table in TABLES.items()
    },
    "levels.signals": [{"name": name, "unit": unit, "meaning": meaning} for name, unit, meaning in described()],
}
