"""History by the hundred: what `spymaster backfill` does.

Dates are joined by two edges: volumes of earlier dates choose a date's contract, and summaries of 20 earlier dates are its priors.
So all dates' trades are made first, then all summaries, then the rest; within a phase dates run in any order, in processes of
their own, and the result does not depend on which. Each run is recorded in the Dagster instance. What is there already, sound and
not stale, is not run again: a backfill that was killed goes on where it was. A date that fails is reported and stops only itself.

Of a lake on object storage several machines may make the same dates, each by this command: a worker claims a phase of a date before
it looks at it. What another has is asked for again until it is free: no phase begins before the one before is over everywhere.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Final

from tqdm import tqdm

from spymaster_assets.assets.partitions import trading_dates
from spymaster_assets.daily import EVERY, Runner, refused
from spymaster_assets.lake import Lake, opened
from spymaster_assets.landing import supply
from spymaster_assets.models.as_of import as_of
from spymaster_assets.progress import silence
from spymaster_assets.schema import Table
from spymaster_assets.sessions import calendar
from spymaster_assets.staleness import Staleness
from spymaster_assets.tables import (
    BARS,
    DAY_SUMMARY,
    DEFINITIONS,
    FLOW,
    FUTURES_MBP10,
    FUTURES_TRADES,
    OPEN_INTEREST,
    OPTION_FLOW,
    OPTION_QUOTES,
    OPTION_STATISTICS,
    OPTION_TRADES,
    PRINTS,
    SEQUENCES,
    SNAPS,
    TRAINING,
)
from spymaster_assets.training import Trainer

_TRADES: Final = (FUTURES_TRADES,)
_OPTIONS: Final = (DEFINITIONS, OPTION_TRADES, OPTION_QUOTES, OPTION_STATISTICS, OPTION_FLOW, OPEN_INTEREST)
_SUMMARIES: Final = (FUTURES_MBP10, SNAPS, PRINTS, FLOW, BARS, *_OPTIONS, DAY_SUMMARY)
PHASES: Final[dict[str, tuple[Table, ...]]] = {
    "trades": _TRADES,
    "summaries": _SUMMARIES,
    "the rest": tuple(table for table in EVERY if table not in (*_TRADES, *_SUMMARIES)),
}
MODELS: Final = "models"  # the phase of `walk_forward`
HELD_SECONDS: Final = 1.0  # until what other machines have is asked for again


@dataclass
class Outcome:
    """What became of the dates. `bad`: date -> why; `made`: dates of which something was made; `absent`: nothing in landing."""

    made: set[dt.date] = field(default_factory=set)
    bad: dict[dt.date, list[str]] = field(default_factory=dict)
    absent: list[dt.date] = field(default_factory=list)


@dataclass(frozen=True)
class Task:
    """One phase of one date. `again`: whatever the lake has; a run of it was killed and may not have told Dagster."""

    phase: str
    date: dt.date
    again: bool = False


@dataclass(frozen=True)
class Done:
    """What a worker says of a task: whether something was run, what went wrong, and whether another machine has it just now."""

    task: Task
    ran: bool
    trouble: list[str]
    held: bool = False


def done(lake: Lake, date: dt.date, tables: tuple[Table, ...]) -> bool:
    """Whether the tables are there, not stale, judged, and no blocking check refused them."""
    staleness = Staleness(lake)
    return not any(staleness.why(table, date) or refused(lake, table, date) != [] for table in tables)


def work(connection: Connection, root: Path, tag: str, url: str = "") -> None:
    """A worker process: takes tasks until there are no more, or until whoever sends them is gone."""
    from spymaster_assets.config import load

    silence()
    runner = Runner(opened(load(), root, url), {"spymaster/backfill": tag})
    with contextlib.suppress(EOFError, ConnectionError):
        while True:
            task: Task = connection.recv()
            connection.send(_one(runner, task))
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # with torch loaded DuckDB's types outlive the interpreter, and that is told


def _one(runner: Runner, task: Task) -> Done:
    """Do one task; trouble of any kind is the date's, not the worker's."""
    try:
        if task.phase == MODELS:
            return _models(runner, task)
        with runner.lake.store.claim(f"{task.phase.replace(' ', '_')}/{task.date}") as ours:
            return _tables(runner, task) if ours else Done(task, False, [], held=True)
    except Exception as error:  # a worker outlives whatever a date does to it; the date is reported
        return Done(task, True, [f"{type(error).__name__}: {error}"])


def _tables(runner: Runner, task: Task) -> Done:
    """The tables of a phase of a date."""
    tables = PHASES[task.phase]
    if not task.again and done(runner.lake, task.date, tables):
        return Done(task, False, [])
    return Done(task, True, runner.run(task.date, tables).trouble)


def _models(runner: Runner, task: Task) -> Done:
    """The models of a date, and what they say of it."""
    if not task.again and Trainer(runner.lake).is_current(task.date):
        return Done(task, False, [])
    return Done(task, True, runner.models(task.date))


@dataclass
class Worker:
    """A process and the task it has."""

    process: multiprocessing.process.BaseProcess
    connection: Connection
    task: Task | None = None


class Pool:
    """Worker processes. One that dies takes its task with it, as trouble of the date, and is replaced.

    The Dagster instance must have been opened once before: two workers would both make its tables.
    """

    def __init__(self, count: int, root: Path, tag: str, url: str = "") -> None:
        self._of = root, tag, url
        self._workers = [self._new() for _ in range(count)]

    def _new(self) -> Worker:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=work, args=(theirs, *self._of), daemon=True)
        resource_tracker.ensure_running()  # else it would be started within, and unblock what is blocked here
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # Ctrl-C is for whoever started them
        try:
            process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        theirs.close()
        return Worker(process, ours)

    def run(self, tasks: list[Task]) -> Iterator[Done]:
        """Do all tasks; each result as it comes."""
        waiting = tasks[::-1]
        while waiting or any(worker.task for worker in self._workers):
            for worker in self._workers:
                if worker.task is None and waiting:
                    worker.task = waiting.pop()
                    with contextlib.suppress(ConnectionError):  # it is dead: seen below
                        worker.connection.send(worker.task)
            for connection in wait([worker.connection for worker in self._workers if worker.task]):
                place = next(i for i, worker in enumerate(self._workers) if worker.connection is connection)
                yield self._receive(place)

    def _receive(self, place: int) -> Done:
        worker = self._workers[place]
        task, worker.task = worker.task, None
        assert task is not None, "only workers with a task are waited for"
        try:
            result: Done = worker.connection.recv()
            return result
        except (EOFError, ConnectionError):
            worker.process.join()
            self._workers[place] = self._new()
            return Done(task, True, [f"the worker ended with exit code {worker.process.exitcode} (out of memory?)"])

    def close(self) -> None:
        """Let the workers end what they are at."""
        for worker in self._workers:
            worker.connection.close()
        for worker in self._workers:
            worker.process.join()

    def kill(self) -> None:
        """End them at once: the lake stays whole."""
        for worker in self._workers:
            worker.process.kill()
        self.close()


def backfill(lake: Lake, dates: list[dt.date], workers: int) -> Outcome:
    """Make everything of the dates; the instance (DAGSTER_HOME) must be there."""
    outcome = Outcome()
    files = Staleness(lake).files
    present: list[dt.date] = []
    for date in dates:
        served = supply(files, FUTURES_MBP10.name, calendar(lake.config).session(date)).sources
        if not served and not lake.manifest(FUTURES_MBP10, date):
            outcome.absent.append(date)
        elif not trading_dates.has_partition_key(str(date)):
            outcome.bad[date] = [f"not over yet: spymaster day {date} makes what there is of it"]
        else:
            present.append(date)
    if not present:
        return outcome
    _rounds(lake, [(phase, present) for phase in PHASES], min(workers, len(present)), f"{dates[0]}:{dates[-1]}", outcome)
    return outcome


def walk_forward(lake: Lake, dates: list[dt.date], workers: int) -> Outcome:
    """Make the models and predictions of dates that have Gold; the instance must be there.

    The first date of each week comes first, since it trains what the others share.
    """
    outcome = Outcome()
    present = [date for date in dates if lake.published(TRAINING, date) and lake.published(SEQUENCES, date)]
    outcome.absent = [date for date in dates if date not in present]
    if not present:
        return outcome
    since = {date: as_of(lake, date).since for date in present}
    first = [date for place, date in enumerate(present) if since[date] not in {since[one] for one in present[:place]}]
    rounds = [(MODELS, first), (MODELS, [date for date in present if date not in first])]
    _rounds(lake, rounds, min(workers, len(present)), f"{MODELS} {dates[0]}:{dates[-1]}", outcome)
    return outcome


def _rounds(lake: Lake, rounds: list[tuple[str, list[dt.date]]], workers: int, tag: str, outcome: Outcome) -> None:
    """Do phases of dates in processes, one round after the other; dates that went wrong are left out of later rounds."""
    runner = Runner(lake)  # makes the instance's tables, before the workers ask for them
    killed = runner.close_dead_runs()
    pool, total = Pool(workers, lake.root, tag, lake.url), sum(len(dates) for _, dates in rounds)
    try:
        with tqdm(total=total, unit="step", disable=None, dynamic_ncols=True, smoothing=0.05) as bar:
            for phase, dates in rounds:
                tasks = [Task(phase, date, date in killed) for date in dates if date not in outcome.bad]
                bar.update(len(dates) - len(tasks))
                bar.set_description(phase)
                while tasks:
                    held = []
                    for result in pool.run(tasks):
                        if result.held:
                            held.append(result.task)
                            continue
                        _note(outcome, result)
                        bar.update(1)
                        _say(bar, result)
                    tasks = held
                    time.sleep(HELD_SECONDS * bool(held))
    except KeyboardInterrupt:
        pool.kill()
        runner.close_dead_runs()
        raise
    finally:
        pool.close()


def _note(outcome: Outcome, result: Done) -> None:
    if result.ran:
        outcome.made.add(result.task.date)
    if result.trouble:
        outcome.bad[result.task.date] = result.trouble


def _say(bar: tqdm, result: Done) -> None:
    """Trouble at once; without a terminal, where there is no bar, a line for every step."""
    state = "; ".join(result.trouble) or ("made" if result.ran else "unchanged")
    if result.trouble:
        bar.write(f"{result.task.date} {result.task.phase}: {state}", file=sys.stderr)
    elif bar.disable:
        print(f"{result.task.date} {result.task.phase}: {state}", flush=True)


def default_workers() -> int:
    """As many as there are cores."""
    return os.cpu_count() or 1
