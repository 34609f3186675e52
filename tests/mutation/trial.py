"""Tests on trial: which of them notice a mutant. A plugin of pytest, loaded by __main__.py in a process without compiled kernels.

The tests are collected once. One child process runs them all, unchanged, and tells of each how long it takes and which functions
of compute/ it calls. Then each mutant is planted in a child of its own, which runs the tests that call its function, the
quickest first, until one fails. No mutant sees what another left.
"""

import itertools
import json
import os
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any, Final

import pytest
from _pytest.runner import runtestprotocol

from spymaster_assets import compute
from tests import made_once
from tests.mutation.mutants import Mutant, plant

FOLDER: Final = str(Path(str(compute.__file__)).parent)
HUNG: Final = " hung"
STEPS: Final = "day_steps.py"  # its tests compare whole tables: sooner asked than their seconds say
Tell = Callable[[Mutant, str, str, float], None]


def in_child(work: Callable[[], object], seconds: float) -> int | None:
    """Exit code of a child that does some work; None if it took too long. Its own group is ended with it."""
    child = os.fork()
    if not child:
        code, loud = 70, os.dup(2)
        try:
            os.setpgid(0, 0)
            quiet = os.open(os.devnull, os.O_RDWR)
            for stream in (0, 1, 2):
                os.dup2(quiet, stream)
            code = int(bool(work()))
        except BaseException:
            os.write(loud, traceback.format_exc().encode())
        finally:
            os._exit(code)
    until = time.monotonic() + seconds
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > until:
            os.killpg(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return None
        time.sleep(0.005)


def _over(*_: object) -> None:
    raise TimeoutError("a test takes too long without compilation")


def failed_in(item: pytest.Item, following: pytest.Item | None, limit: float = 0.0) -> bool:
    """Run a test: whether it failed. After `limit` seconds it does, if not 0."""
    signal.signal(signal.SIGALRM, _over)
    signal.setitimer(signal.ITIMER_REAL, limit)
    failed = any(report.failed for report in runtestprotocol(item, log=False, nextitem=following))
    signal.setitimer(signal.ITIMER_REAL, 0.0)
    return failed


def forget(item: pytest.Item) -> None:
    """Empty the caches of a test's file: what one test computed is not there for the next."""
    for value in vars(item.module).values():  # type: ignore[attr-defined]
        if hasattr(value, "cache_clear") and value.__module__ == item.module.__name__:  # type: ignore[attr-defined]
            value.cache_clear()


def killer(items: list[pytest.Item], seconds: dict[str, float]) -> str:
    """The first of some tests that fails, run in order; "" if none does. One that takes far longer than its seconds hangs."""
    for item, following in zip(items, [*items[1:], None], strict=True):
        began, limit = time.monotonic(), 5.0 + 4.0 * seconds[item.nodeid]
        if failed_in(item, following, limit):
            return f"{item.nodeid}{HUNG if time.monotonic() - began >= limit else ''}"
    return ""


class Trial:
    """`limit`: seconds that one test may take to be asked; `patience`: that a mutant's tests take unchanged, in all; `until`:
    monotonic, the end.

    `tell` hears of each mutant: killed | survived | timeout | no test, by which test, seconds. `notes`: what the first child tells.
    """

    def __init__(
        self, modules: list[ModuleType], mutants: list[Mutant], limit: float, patience: float, until: float, notes: Path, tell: Tell
    ) -> None:
        self.modules = {module.__name__: module for module in modules}
        self.mutants, self.limit, self.patience, self.until, self.notes, self.tell = mutants, limit, patience, until, notes, tell

        self.made = os.environ[made_once.FOLDER]

    def pytest_collection_finish(self) -> None:
        """What is made once was made before, compiled: not anew for these tests."""
        os.environ[made_once.FOLDER] = self.made

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        items = {item.nodeid: item for item in session.items}
        self.notes.touch()
        noted = {json.loads(line)["test"] for line in self.notes.read_text().splitlines()}
        if new := [item for name, item in items.items() if name not in noted]:
            in_child(lambda: self._look(new), 3600)
        seconds, calls = self._known(items)
        for mutant in self.mutants:
            began = time.monotonic()
            if began > self.until:
                break
            names = self._asked(mutant, seconds, calls)
            outcome, by = self._judge(mutant, [items[name] for name in names], seconds)
            self.tell(mutant, outcome, by, time.monotonic() - began)
        return True

    def _look(self, items: list[pytest.Item]) -> None:
        """Note of each test, run unchanged: seconds, whether it passes, functions of compute/ that it calls."""
        called: set[tuple[str, str]] = set()
        known: dict[Any, bool] = {}

        def profile(frame: FrameType, event: str, _: object) -> None:
            if event == "call":
                code = frame.f_code
                if code not in known:
                    known[code] = True
                    if code.co_filename.startswith(FOLDER):
                        called.add((Path(code.co_filename).stem, code.co_qualname.partition(".<")[0]))

        with self.notes.open("a") as notes:
            slow = Counter[str]()
            for item, following in zip(items, [*items[1:], None], strict=True):
                file = item.nodeid.partition("::")[0]
                if slow[file] == 3:
                    continue  # what its tests share takes too long
                forget(item)
                called.clear()
                known.clear()
                began = time.monotonic()
                sys.setprofile(profile)  # anew: an alarm that rings in it ends it
                failed = failed_in(item, following, 1.5 * self.limit)
                sys.setprofile(None)
                seconds = time.monotonic() - began
                slow[file] += seconds > self.limit
                line = {"test": item.nodeid, "seconds": seconds, "failed": failed, "calls": sorted(called)}
                notes.write(json.dumps(line) + "\n")
                notes.flush()

    def _known(self, items: dict[str, pytest.Item]) -> tuple[dict[str, float], dict[str, set[tuple[str, str]]]]:
        """Seconds and calls of the tests that may be asked: those that pass unchanged, and soon enough."""
        lines = [json.loads(line) for line in self.notes.read_text().splitlines()]
        fit = [line for line in lines if not line["failed"] and line["seconds"] <= self.limit and line["test"] in items]
        return {line["test"]: line["seconds"] for line in fit}, {line["test"]: {(a, b) for a, b in line["calls"]} for line in fit}

    def _asked(self, mutant: Mutant, seconds: dict[str, float], calls: dict[str, set[tuple[str, str]]]) -> list[str]:
        """The tests that may notice, the likeliest and quickest first."""
        function = mutant.module.rpartition(".")[2], mutant.function
        asked = [test for test in seconds if function in calls[test]]
        ordered = sorted(asked, key=lambda test: seconds[test] / (30.0 if STEPS in test else 1.0))
        spent = itertools.accumulate(seconds[test] for test in ordered)
        return [test for test, till in zip(ordered, spent, strict=True) if till <= self.patience]

    def _judge(self, mutant: Mutant, items: list[pytest.Item], seconds: dict[str, float]) -> tuple[str, str]:
        if not items:
            return "no test", ""
        read, write = os.pipe()

        def work() -> bool:
            plant(mutant, self.modules[mutant.module])
            by = killer(items, seconds)
            os.write(write, by.encode())
            return bool(by)

        code = in_child(work, 60.0 + sum(5.0 + 5.0 * seconds[item.nodeid] for item in items))
        os.close(write)
        with os.fdopen(read, "rb") as pipe:
            by = pipe.read().decode()
        if code is None or by.endswith(HUNG):
            return "timeout", by
        return ("survived", "") if code == 0 else ("killed", by or f"exit code {code}")
