"""Stages, and how the tables of a date are made from one another: read, call compute, publish. No Dagster here, and no formula.

A stage makes one or more tables from others of the date (priors: from day_summary of earlier dates). Its fingerprint holds the
content of its inputs, the parameters and the code that it uses, so a stage is run again only where one of these changed.
"""

from __future__ import annotations

import ast
import datetime as dt
import hashlib
import importlib.util
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa

from spymaster_assets.ahead import together
from spymaster_assets.compute.stream import NO_PRIORS, Day
from spymaster_assets.compute.summary import priors
from spymaster_assets.fingerprint import Fingerprint, Manifest, code_digest
from spymaster_assets.lake import Lake, LakeError
from spymaster_assets.lateness import Marks
from spymaster_assets.progress import Progress
from spymaster_assets.schema import Table
from spymaster_assets.sessions import calendar
from spymaster_assets.states import LEVEL_KINDS
from spymaster_assets.tables import DAY_SUMMARY, FUTURES_MBP10, PRIORS, TOUCHES

_GLUE: Final = tuple(f"spymaster_assets.{module}" for module in ("maker", "expiring", "lateness", "compute.stream"))

Rows = Mapping[Table, np.ndarray]


@dataclass(frozen=True)
class Stage:
    """What makes tables. `inputs`: of the same date; `groups`: of config; `modules`: whose code, with all they import, decides."""

    name: str
    tables: tuple[Table, ...]
    inputs: tuple[Table, ...]
    groups: tuple[str, ...]
    modules: tuple[str, ...]
    make: Callable[[Maker], tuple[Rows, dict[str, Any]]]
    earlier: bool = False  # reads day_summary of the preceding dates, and the contract

    @property
    def step(self) -> str:
        """Its name in Dagster."""
        return f"{self.tables[0].stage}_{self.name}"

    @property
    def code(self) -> str:
        """Hash of the code that decides the result."""
        own = closure(*(f"spymaster_assets.compute.{name}" for name in self.modules))
        return code_digest(*own, *_GLUE, self.make.__module__)


@dataclass(frozen=True)
class Made:
    """A published table and whether it was there already."""

    manifest: Manifest
    unchanged: bool


class MissingTable(RuntimeError):
    """A table that a stage needs was not made; says which."""


class Maker:
    """Makes the tables of one date. Those that were read or made stay in memory for the stages that follow."""

    def __init__(self, date: dt.date, lake: Lake, progress: Progress | None = None) -> None:
        self.date, self.lake, self.config, self.progress = date, lake, lake.config, progress
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
        made = together(lambda table: self._publish(table, rows[table], fingerprints[table], facts), stage.tables)
        return {table.name: Made(manifest, False) for table, manifest in zip(stage.tables, made, strict=True)}

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
        of = {"event_id": rows["touch"]} | ({"episode_id": rows["episode"]} if "episode_id" in table.names else {})
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
        if manifest is None:
            return "none"
        moved = manifest.facts.get("lateness", {}).get("watermarks")
        return manifest.content if not moved else f"{manifest.content} late {hashlib.sha256(str(moved).encode()).hexdigest()[:16]}"

    def marks(self, table: Table) -> Marks:
        """The watermarks that moved records of a Bronze table, and at which rows they stood."""
        manifest = self.lake.manifest(table, self.date)
        return manifest.facts.get("lateness", {}).get("watermarks", []) if manifest else []

    @property
    def summarised(self) -> list[dt.date]:
        """The preceding trading dates that have a summary, earliest first."""
        earlier = calendar(self.config).before(self.date, self.config.priors.lookback)
        return [date for date in earlier[::-1] if self.lake.readable(DAY_SUMMARY, date)]

    def usual(self, symbol: str | None) -> np.ndarray:
        """The 144 rows of priors, from the summaries that there are.

        `symbol`: the date's contract; the trading date before tells of its session only if it had the same one.
        """
        summaries = {date: self.lake.rows(DAY_SUMMARY, date) for date in self.summarised}
        yesterday = next(iter(calendar(self.config).before(self.date, 1)), self.date)
        manifest = self.lake.manifest(DAY_SUMMARY, yesterday) if yesterday in summaries else None
        same = manifest is not None and symbol is not None and (manifest.facts.get("contract") or {}).get("symbol") == symbol
        return priors(list(summaries.values()), self.config, summaries[yesterday] if same else None)

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


TROUBLE: Final = (MissingTable, LakeError, OSError, ValueError)  # with a date's tables; the message says which and what
