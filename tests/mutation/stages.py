"""The short day step by step: each computed anew from what the steps before it left, with what it left itself beside it.

A fault in one step shows in that step's tables as it would in the whole day's. So a mutant waits for the steps that call it, not
for all of them. A `part` of a step (of its records, its time or its touches, from the first on) is quicker and often enough.
"""

import copy
import hashlib
import os
import pickle
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np

import spymaster_assets
from spymaster_assets.compute.stream import NO_PRIORS, Day
from spymaster_assets.tables import FEATURE_ROWS
from tests import made_once, short_day

WITHOUT, WITH, LOUD = "without priors", "with priors", "loud, with priors"
SCORED: Final = {WITHOUT: (3, 6, 7), WITH: (1, 7, 13)}  # touches whose signals have a twin in tests/test_silver_twins.py
Tables = dict[str, np.ndarray]


def records(kind: str) -> np.ndarray:
    rows = short_day.records()
    if kind == LOUD:
        rows = rows.copy()
        for sizes in (rows["size"], rows["levels"]["bid_sz"], rows["levels"]["ask_sz"]):
            sizes *= 50
    return rows


def new(kind: str) -> Day:
    day = Day(short_day.SESSION, short_day.CONFIG, NO_PRIORS if kind == WITHOUT else short_day.priors())
    return short_day.begin(day, short_day.option_events())


def path() -> Path:
    """Where the days are kept, by the kernels that make them."""
    package = Path(spymaster_assets.__file__).parent
    code = hashlib.sha256(b"".join(one.read_bytes() for one in sorted((package / "compute").glob("*.py")))).hexdigest()[:16]
    return Path(os.environ[made_once.FOLDER]) / f"days.{code}.pickle"


def make() -> None:
    """The days by the code as it is, with what only a finished date has."""
    days = {}
    for kind in (WITHOUT, WITH, LOUD):
        day = new(kind)
        day.step(records(kind), short_day.SESSION.globex.end)
        days[kind] = day, {"labels": day.labels(), "summary": day.summary(), "sequences": short_day.sequences(day)}
    path().write_bytes(pickle.dumps(days))


@cache
def days() -> dict[str, tuple[Day, Tables]]:
    found: dict[str, tuple[Day, Tables]] = pickle.loads(path().read_bytes())
    return found


def remember() -> None:
    """Let short_day.run give these days, which tests use that are about something else."""
    run, kinds = short_day.run, {False: WITHOUT, True: WITH}

    def known(rows: np.ndarray, with_priors: np.ndarray = NO_PRIORS, *more: Any, **named: Any) -> Day:
        if rows is short_day.records() and not more and not named:
            return days()[kinds[len(with_priors) > 0]][0]
        return run(rows, with_priors, *more, **named)

    short_day.run = known


def resumed(kind: str, *left: str) -> Day:
    """A new day that has the named tables of the finished one."""
    day, done = new(kind), days()[kind][0]
    for name in left:
        setattr(day, name, copy.deepcopy(getattr(done, name)))
    return day


GRID: Final = ("snaps", "closed", "prints", "flow", "options")
PATH: Final = (*GRID, "chain", "bars", "samples", "levels")
TOUCHED: Final = (*PATH, "touches")


def grid(kind: str, part: float) -> tuple[Tables, Tables]:
    day, done, rows = new(kind), days()[kind][0], records(kind)
    rows = rows[: int(part * len(rows))]
    day.take(rows)
    day.complete(short_day.SESSION.globex.end if part == 1 else int(rows["ts_event"].astype("i8").max()))
    found, expected, last = Tables(), Tables(), day.snaps[day.closed]
    for name, count in (("prints", int(last["prints"])), ("flow", int(last["flow_rows"]))):
        count -= 0 if part == 1 else 20  # a cluster that went on
        found[name], expected[name] = getattr(day, name).rows[:count], getattr(done, name).rows[:count]
    count = day.closed + 1
    options = day.options.flow.rows, done.options.flow.rows
    return (
        {**found, "snaps": day.snaps[:count], "option_flow": options[0]},
        {**expected, "snaps": done.snaps[:count], "option_flow": options[1] if part == 1 else options[1][: len(options[0])]},
    )


def paths(kind: str, part: float) -> tuple[Tables, Tables]:
    day, done = resumed(kind, *GRID), days()[kind][0]
    day.closed = int(part * day.closed)
    day.advance_options()
    day.advance_path()
    tables = {"samples": (day.samples, done.samples), "levels": (day.levels, done.levels)}
    tables |= {f"bars {minutes}": (bars, done.bars[minutes]) for minutes, bars in day.bars.items()}
    found, expected = {name: one.rows for name, (one, _) in tables.items()}, Tables()
    for name, (one, other) in tables.items():
        expected[name] = other.rows if part == 1 else other.rows[: one.count]
    if part < 1:
        return found, expected
    chains = [{name: getattr(one.chain.options, name) for name in one.chain.options._fields} for one in (day, done)]
    return found | chains[0], expected | chains[1]


def touches(kind: str, part: float) -> tuple[Tables, Tables]:
    day, done = resumed(kind, *PATH), days()[kind][0].touches.rows
    day.closed = int(part * day.closed)
    day.advance_touches()
    found = day.touches.rows.copy()
    assert len(done)
    return {"touches": found}, {"touches": done if part == 1 else done[done["k"] <= day.closed]}


def _part(day: Day, part: float) -> int:
    """A part of the touches."""
    return max(1, int(part * day.touches.count))


def features(kind: str, part: float) -> tuple[Tables, Tables]:
    day, done = resumed(kind, *TOUCHED), days()[kind][0].features.rows
    count = _part(day, part)
    rows = np.zeros(len(done), FEATURE_ROWS.dtype)
    at = [(number, k) for number in range(count) for k in day.landmarks(number)]
    order = np.argsort(done[["touch", "k"]])[: len(at)]
    for row, (number, k) in enumerate(at):
        day.features_at(number, k, rows[row : row + 1])
    if part == 1:
        day.advance_features()
        return {"rows": rows[: len(at)], "features": day.features.rows}, {"rows": done[order], "features": done}
    return {"rows": rows[: len(at)]}, {"rows": done[order]}


def signals(kind: str, part: float) -> tuple[Tables, Tables]:
    day, done = resumed(kind, *TOUCHED), days()[kind][0].signals.rows
    asked = SCORED[kind] if part == 1 else SCORED[kind][:1]
    end, day.closed = day.closed, 0
    day.advance_signals()
    day.scoring.rows["done"] = ~np.isin(np.arange(day.touches.count), asked)
    day.closed = end
    day.advance_signals()
    return {"signals": day.signals.rows}, {"signals": done[np.isin(done["touch"], asked)]}


def labels(kind: str, part: float) -> tuple[Tables, Tables]:
    day = resumed(kind, *TOUCHED)
    done = days()[kind][1]["labels"]
    day.touches.count = _part(day, part)
    found = day.labels()
    return {"labels": found}, {"labels": done[: len(found)] if part < 1 else done}


def summary(kind: str, _: float) -> tuple[Tables, Tables]:
    return {"summary": resumed(kind, *TOUCHED).summary()}, {"summary": days()[kind][1]["summary"]}


def sequences(kind: str, part: float) -> tuple[Tables, Tables]:
    day, done = resumed(kind, *TOUCHED, "features"), days()[kind][1]["sequences"]
    rows = np.sort(day.features.rows, order=["touch", "k"])
    rows = rows[np.isin(rows["elapsed"], day.config.sequences.landmarks)]
    chosen = np.arange(len(rows))[:: 40 if part < 1 else 4]
    found = day.sequences(rows[chosen][["touch", "k"]].tolist(), len(chosen))
    return {"sequences": found}, {"sequences": done.reshape(len(rows), -1)[chosen].ravel()}
