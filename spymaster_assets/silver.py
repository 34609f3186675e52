"""Bronze of a trading date -> its Silver tables: reads, calls compute, publishes. No Dagster here, and no formula.

A stage makes one or more tables from others of the date (priors: from day_summary of earlier dates). Its fingerprint holds the
content of its inputs, the parameters and the code that it uses, so a stage is run again only where one of these changed.
"""

from __future__ import annotations

import ast
import datetime as dt
import importlib.util
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa

from spymaster_assets import dbn
from spymaster_assets.compute.growing import Growing
from spymaster_assets.compute.option_flow import CONTRACT, EVENT, OptionGrid
from spymaster_assets.compute.stream import NO_PRIORS, Day
from spymaster_assets.compute.summary import priors
from spymaster_assets.compute.transpose import Records, field_places
from spymaster_assets.expiring import expiring
from spymaster_assets.lake import Fingerprint, Lake, LakeError, Manifest, code_digest, to_numpy
from spymaster_assets.progress import Progress
from spymaster_assets.schema import Table
from spymaster_assets.sessions import calendar
from spymaster_assets.states import LEVEL_KINDS
from spymaster_assets.tables import (
    BARS,
    DAY_SUMMARY,
    DEFINITIONS,
    FEATURE_ROWS,
    FLOW,
    FUTURES_MBP10,
    LABELS,
    LEVELS,
    OPTION_FLOW,
    OPTION_QUOTES,
    OPTION_TRADES,
    PRINTS,
    PRIORS,
    SIGNALS,
    SNAPS,
    TOUCHES,
)

BOOK_COLUMNS: Final = (
    "ts_event", "price", "size", "action", "side", "flags",
    *(f"{side}_{what}_{level:02}" for level in range(dbn.BOOK_LEVELS) for side in ("bid", "ask") for what in ("px", "sz")),
)  # fmt: skip
_GLUE: Final = ("spymaster_assets.silver", "spymaster_assets.expiring", "spymaster_assets.compute.stream")
STEP: Final = 4096  # records handed to the grid at once: they stay in the cache

Rows = Mapping[Table, np.ndarray]


@dataclass(frozen=True)
class Stage:
    """What makes tables. `inputs`: of the same date; `groups`: of config; `modules`: whose code, with all they import, decides."""

    name: str
    tables: tuple[Table, ...]
    inputs: tuple[Table, ...]
    groups: tuple[str, ...]
    modules: tuple[str, ...]
    make: Callable[[Silver], tuple[Rows, dict[str, Any]]]
    earlier: bool = False  # reads day_summary of the preceding dates, and the contract

    @property
    def code(self) -> str:
        """Hash of the code that decides the result."""
        return code_digest(*closure(*(f"spymaster_assets.compute.{name}" for name in self.modules)), *_GLUE)


@dataclass(frozen=True)
class Made:
    """A published table and whether it was there already."""

    manifest: Manifest
    unchanged: bool


class MissingTable(RuntimeError):
    """A table that a stage needs was not made; says which."""


class Silver:
    """Silver of one date. Tables that were read or made stay in memory for the stages that follow."""

    def __init__(self, date: dt.date, lake: Lake, progress: Progress | None = None) -> None:
        self.date, self.lake, self.config, self._progress = date, lake, lake.config, progress
        self.session = calendar(lake.config).session(date)
        self._held: dict[tuple[str, str], np.ndarray] = {}

    # ---- publishing ----

    def make(self, stage: Stage, force: bool = False) -> dict[str, Made]:
        """The tables of a stage by name, made unless they are there. MissingTable if an input is not."""
        fingerprints = {table: self.fingerprint(stage, table) for table in stage.tables}
        current = {table: self.lake.current(table, self.date, found) for table, found in fingerprints.items()}
        if not force and (there := {table.name: Made(m, True) for table, m in current.items() if m}) and len(there) == len(current):
            return there
        rows, facts = stage.make(self)
        return {table.name: Made(self._publish(table, rows[table], fingerprints[table], facts), False) for table in stage.tables}

    def _publish(self, table: Table, rows: np.ndarray, fingerprint: Fingerprint, facts: dict[str, Any]) -> Manifest:
        with self.lake.write(table, self.date, fingerprint) as writer:
            writer.append_rows(rows, self._text(table, rows))
            manifest = writer.publish(facts)
        self._held[table.name, manifest.content] = rows
        return manifest

    def _text(self, table: Table, rows: np.ndarray) -> dict[str, pa.Array]:
        """The ids of touches, which have no place in memory."""
        if "event_id" not in table.names:
            return {}
        touches = rows if table is TOUCHES else self.rows(TOUCHES)
        ids = pa.array([event_id(self.date, touch) for touch in touches], pa.string())
        of = {"event_id": rows["touch"], **({"episode_id": rows["episode"]} if table is TOUCHES else {})}
        return {name: pa.DictionaryArray.from_arrays(pa.array(numbers, pa.int32()), ids) for name, numbers in of.items()}

    def fingerprint(self, stage: Stage, table: Table) -> Fingerprint:
        """What the table would be made from now."""
        inputs = {f"{one.stage}/{one.name}": self._content(one, self.date, stage) for one in stage.inputs}
        if stage.earlier:
            inputs |= {f"silver/day_summary {date}": self._content(DAY_SUMMARY, date, stage) for date in self.summarised}
            self._content(FUTURES_MBP10, self.date, stage)
            inputs["contract"] = json.dumps(self.contract(), sort_keys=True)
        return Fingerprint(inputs, self.config.digest(*stage.groups), stage.code, table.digest)

    def contract(self) -> Any:
        book = self.lake.manifest(FUTURES_MBP10, self.date)
        return book.facts["contract"] if book else None

    def stale(self, stage: Stage, table: Table) -> list[str]:
        """Why the published table is not what there would be now; empty if it is."""
        try:
            manifest = self.lake.manifest(table, self.date)
            return ["not made yet"] if manifest is None else self.fingerprint(stage, table).differences(manifest.fingerprint)
        except (MissingTable, LakeError) as error:
            return [str(error)]

    def _content(self, table: Table, date: dt.date, stage: Stage) -> str:
        manifest = self.lake.manifest(table, date)
        if manifest is None and table is FUTURES_MBP10:
            raise MissingTable(f"{date}: no Silver without the date's book (bronze/futures_mbp10); make Bronze first")
        if manifest is None and not table.optional:
            raise MissingTable(f"{date}: {stage.name} needs {table.stage}/{table.name}, which is not there")
        return manifest.content if manifest else "none"

    @property
    def summarised(self) -> list[dt.date]:
        """The preceding trading dates that have a summary, earliest first."""
        earlier = calendar(self.config).before(self.date, self.config.priors.lookback)
        return [date for date in earlier[::-1] if self.lake.manifest(DAY_SUMMARY, date) is not None]

    # ---- reading ----

    def rows(self, table: Table) -> np.ndarray:
        """A table of the date in its in-memory form."""
        manifest = self.lake.manifest(table, self.date)
        if manifest is None:
            raise MissingTable(f"{self.date}: {table.stage}/{table.name} is not there")
        key = (table.name, manifest.content)
        if key not in self._held:
            self._held[key] = self.lake.rows(table, self.date)
        return self._held[key]

    def day(self, *tables: Table) -> Day:
        """The date in memory, from the tables given."""
        known = self.rows(PRIORS) if PRIORS in tables else NO_PRIORS
        return Day.of(self.session, self.config, known, {table.name: self.rows(table) for table in tables if table is not PRIORS})

    def records(self) -> Iterator[np.ndarray]:
        """The date's book records, as rows of a buffer that is reused."""
        rows = Records(dbn.MBP10, field_places(dbn.MBP10, BOOK_COLUMNS), STEP)
        manifest, done = self.lake.manifest(FUTURES_MBP10, self.date), 0
        for batch in self.lake.batches(FUTURES_MBP10, self.date, BOOK_COLUMNS):
            columns = {name: to_numpy(FUTURES_MBP10[name], batch.column(name)) for name in BOOK_COLUMNS}
            for start in range(0, batch.num_rows, STEP):
                yield rows.fill({name: values[start : start + STEP] for name, values in columns.items()})
            done += batch.num_rows
            if self._progress is not None and manifest is not None:
                self._progress(f"grid {self.date}", done, manifest.rows)


def event_id(date: dt.date, touch: np.ndarray) -> str:
    """{date}_{kind}_{ticks}_{t0}_{direction}."""
    return f"{date}_{LEVEL_KINDS[touch['kind']]}_{touch['ticks']}_{touch['t0']}_{('UP', 'DOWN')[touch['direction']]}"


@cache
def closure(*modules: str) -> tuple[str, ...]:
    """The modules and what they import of compute, states and sessions, sorted: the code that decides a result."""
    found: set[str] = set()
    waiting = list(modules)
    while waiting:
        if (module := waiting.pop()) not in found:
            found.add(module)
            waiting += _imported(module)
    return tuple(sorted(found))


@cache
def _imported(module: str) -> tuple[str, ...]:
    """Which modules of compute, features, states and sessions a module imports."""
    spec = importlib.util.find_spec(module)
    assert spec is not None and spec.origin is not None, f"{module} is a module"
    nodes = ast.walk(ast.parse(Path(spec.origin).read_bytes()))
    names = {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module}
    ours = ("spymaster_assets.compute.", "spymaster_assets.features", "spymaster_assets.states", "spymaster_assets.sessions")
    return tuple(name for name in names if name.startswith(ours))


def _grid(silver: Silver) -> tuple[Rows, dict[str, Any]]:
    day = Day(silver.session, silver.config)
    for records in silver.records():
        day.take(records)
    day.complete(silver.session.globex.end)
    last, hidden = day.snaps[-1], day.grid.hidden[0]
    signed = day.prints.rows["side"] != ord("N")
    facts = {
        "records": int(last["records"]),
        "lots": int(last["volume"]),
        "lots_with_aggressor": int(day.prints.rows["size"][signed].sum()),
        "lots_filled": int(day.flow.rows["filled"].sum()),
        "lots_the_book_lost": int(hidden["covered"]),
        "lots_discarded": int(hidden["discarded"]),
        "trades_without_price": int(hidden["unpriced"]),
        **{name: int(last[name]) for name in ("crossed", "resets", "late")},
    }
    return {SNAPS: day.snaps, PRINTS: day.prints.rows, FLOW: day.flow.rows}, facts


def _option_flow(silver: Silver) -> tuple[Rows, dict[str, Any]]:
    lake, date = silver.lake, silver.date
    day = Day(silver.session, silver.config)
    of, contracts = expiring(lake, date) if lake.manifest(DEFINITIONS, date) else ({}, np.zeros(0, CONTRACT))
    grid, seen, kept = OptionGrid(contracts, day.clock), Counter[str](), Counter[str]()
    for table, price, ask in ((OPTION_TRADES, "price", "price"), (OPTION_QUOTES, "bid_px_00", "ask_px_00")):
        names = ["ts_event", "ts_recv", price, ask, "size", "side", "symbol", *(["source"] if table is OPTION_QUOTES else [])]
        for batch in lake.batches(table, date, list(dict.fromkeys(names))) if lake.manifest(table, date) else ():
            symbols = batch.column("symbol")
            rows = np.array([of.get(symbol, -1) for symbol in symbols.dictionary.to_pylist()] or [-1], np.int64)
            contract = np.where(
                symbols.is_valid().to_numpy(zero_copy_only=False), rows[symbols.indices.fill_null(0).to_numpy()], -1
            )
            events = np.zeros(batch.num_rows, EVENT)
            events["contract"] = contract
            sampled = table is OPTION_QUOTES and batch.num_rows and batch.column("source")[0].as_py() != "tbbo"
            for field, column in (
                ("ts", "ts_recv" if sampled else "ts_event"),
                ("price", price),
                ("ask", ask),
                ("size", "size"),
                ("side", "side"),
            ):
                events[field] = to_numpy(table[column], batch.column(column))
            events = events[contract >= 0]
            grid.take(events, table is OPTION_QUOTES)
            seen[table.name] += batch.num_rows
            kept[table.name] += len(events)
    grid.advance(day.clock.count)
    facts = {
        "contracts": len(contracts),
        **{f"{name}_read": n for name, n in seen.items()},
        **{f"{name}_0dte": n for name, n in kept.items()},
    }
    return {OPTION_FLOW: grid.rows}, facts


def _bars(silver: Silver) -> tuple[Rows, dict[str, Any]]:
    day = silver.day(SNAPS, PRINTS)
    day.advance_bars()
    return {BARS: np.concatenate([bars.rows for _, bars in sorted(day.bars.items())])}, {}


def _levels(silver: Silver) -> tuple[Rows, dict[str, Any]]:
    day = silver.day(SNAPS, BARS)
    day.advance_levels()
    return {LEVELS: day.levels.rows}, {"levels": _counts(LEVELS, "kind", day.levels.rows)}


def _day_summary(silver: Silver) -> tuple[Rows, dict[str, Any]]:
    day = silver.day(SNAPS, PRINTS, FLOW, BARS)
    day.advance_samples()
    return {DAY_SUMMARY: day.summary()}, {}


def _priors(silver: Silver) -> tuple[Rows, dict[str, Any]]:
    dates = silver.summarised
    earlier = calendar(silver.config).before(silver.date, silver.config.priors.lookback)
    facts = {
        "contract": silver.contract(),
        "dates": [date.isoformat() for date in dates],
        "missing": [date.isoformat() for date in earlier[::-1] if date not in dates],
    }
    return {PRIORS: priors([silver.lake.rows(DAY_SUMMARY, date) for date in dates], silver.config)}, facts


def _touches(silver: Silver) -> tuple[Rows, dict[str, Any]]:
    day = silver.day(SNAPS, PRINTS, BARS, LEVELS, PRIORS)
    day.advance_samples()
    day.advance_touches()
    rows = day.touches.rows
    facts = {
        "touches": _counts(TOUCHES, "kind", rows),
        "cold": int(rows["sigma_cold"].sum()),
        "no_volatility": int(np.isnan(rows["sigma"]).sum()),
    }
    return {TOUCHES: rows}, facts


def _features(silver: Silver) -> tuple[Rows, dict[str, Any]]:
    day = silver.day(SNAPS, PRINTS, FLOW, TOUCHES, PRIORS)
    day.advance_features()
    rows = _sorted(day.features)
    states = {name: _counts(FEATURE_ROWS, name, rows) for name in ("approach_barrier_state", "barrier_state")}
    return {FEATURE_ROWS: rows}, {**states, "null_share": _null_shares(FEATURE_ROWS, rows)}


def _signals(silver: Silver) -> tuple[Rows, dict[str, Any]]:
    day = silver.day(SNAPS, PRINTS, FLOW, TOUCHES, PRIORS)
    day.advance_signals()
    rows = _sorted(day.signals)
    states = {name: _counts(SIGNALS, name, rows) for name in ("barrier_state", "trigger", "signal", "confidence", "phase")}
    return {SIGNALS: rows}, {**states, "null_share": _null_shares(SIGNALS, rows)}


def _labels(silver: Silver) -> tuple[Rows, dict[str, Any]]:
    rows = silver.day(SNAPS, PRINTS, TOUCHES).labels()
    outcomes = {name: _counts(LABELS, name, rows) for name in LABELS.names if name.startswith("outcome_")}
    return {LABELS: rows}, outcomes


def _sorted(rows: Growing) -> np.ndarray:
    """Rows in order of (touch, k)."""
    return rows.rows[np.lexsort((rows.rows["k"], rows.rows["touch"]))]


def _counts(table: Table, name: str, rows: np.ndarray) -> dict[str, int]:
    """How often each category stands in a column."""
    words = table[name].categories or ()
    found = np.bincount(rows[name][rows[name] >= 0], minlength=len(words))
    return {word: int(n) for word, n in zip(words, found, strict=True) if n}


def _null_shares(table: Table, rows: np.ndarray) -> dict[str, float]:
    """Share of unknown values per column, of the columns that have any."""
    shares = {}
    for column in table.columns:
        unknown = column.unknowns(table.place(column, rows)) if column.null and column.dtype != "text" else None
        if unknown is not None:
            shares[column.name] = round(float(unknown.mean()), 4)
    return shares


PATH: Final = ("instrument", "sessions", "grid")
STAGES: Final = (
    Stage("grid", (SNAPS, PRINTS, FLOW), (FUTURES_MBP10,), (*PATH, "tape"), ("grid", "transpose", "clock", "growing"), _grid),
    Stage("option_flow", (OPTION_FLOW,), (DEFINITIONS, OPTION_TRADES, OPTION_QUOTES), PATH, ("option_flow",), _option_flow),
    Stage("bars", (BARS,), (SNAPS, PRINTS), (*PATH, "levels"), ("bars",), _bars),
    Stage("levels", (LEVELS,), (SNAPS, BARS), (*PATH, "levels"), ("levels",), _levels),
    Stage(
        "day_summary", (DAY_SUMMARY,), (SNAPS, PRINTS, FLOW, BARS), (*PATH, "levels", "barrier", "tape", "labels", "priors"),
        ("summary", "volatility"), _day_summary,
    ),
    Stage("priors", (PRIORS,), (), (*PATH, "priors"), ("summary",), _priors, earlier=True),
    Stage(
        "touches", (TOUCHES,), (SNAPS, PRINTS, BARS, LEVELS, PRIORS), (*PATH, "levels", "touches", "labels", "priors"),
        ("touches", "references", "volatility"), _touches,
    ),
    Stage(
        "features", (FEATURE_ROWS,), (SNAPS, PRINTS, FLOW, TOUCHES, PRIORS),
        (*PATH, "touches", "barrier", "tape", "fuel", "priors"), ("features_at",), _features,
    ),
    Stage(
        "signals", (SIGNALS,), (SNAPS, PRINTS, FLOW, TOUCHES, PRIORS),
        (*PATH, "touches", "barrier", "tape", "fuel", "score", "priors"), ("score",), _signals,
    ),
    Stage("labels", (LABELS,), (SNAPS, PRINTS, TOUCHES), (*PATH, "touches", "labels"), ("labels",), _labels),
)  # fmt: skip
TROUBLE: Final = (MissingTable, LakeError, OSError, ValueError)  # with a date's tables; the message says which and what
