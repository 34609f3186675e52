"""Tests on trial: which of them notice a mutant. A plugin of pytest, loaded by __main__.py in a process without compiled kernels.

The tests are collected once. One child process runs them all, unchanged, and tells of each how long it takes and which functions
of compute/ it calls. Then each mutant is planted in a child of its own, which runs the tests of the files that call its function,
those first that call it themselves, the quickest of them first, until one fails. No mutant sees what another left.
"""

import itertools
import json
import os
import signal
import sys
import time
import traceback
from collections import Counter, defaultdict
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


def run(items: list[pytest.Item], each: Callable[[pytest.Item, bool], bool]) -> None:
    """Run tests in order; `each` is told which failed, and says whether to go on."""
    for item, following in zip(items, [*items[1:], None], strict=True):
        if not each(item, failed_in(item, following)):
            return


class Trial:
    """`limit`: seconds that one test may take to be asked; `patience`: that a mutant's tests take unchanged, in all, four times as
    long is a mutant that hangs; `until`: monotonic, the end.

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
        if not self.notes.exists():
            in_child(lambda: self._look([*items.values()]), 3600)
        seconds, calls = self._known(items)
        for mutant in self.mutants:
            began = time.monotonic()
            if began > self.until:
                break
            names = self._asked(mutant, seconds, calls)
            outcome, by = self._judge(mutant, [items[name] for name in names])
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

        with self.notes.open("w") as notes:
            began, slow = time.monotonic(), Counter[str]()

            def note(item: pytest.Item, failed: bool) -> bool:
                nonlocal began
                seconds = time.monotonic() - began
                slow[item.nodeid.partition("::")[0]] += seconds > self.limit
                line = {"test": item.nodeid, "seconds": seconds, "failed": failed, "calls": sorted(called)}
                notes.write(json.dumps(line) + "\n")
                notes.flush()
                called.clear()
                known.clear()
                began = time.monotonic()
                return True

            sys.setprofile(profile)
            for item, following in zip(items, [*items[1:], None], strict=True):
                if slow[item.nodeid.partition("::")[0]] < 3:  # else what its tests share takes too long
                    note(item, failed_in(item, following, 1.5 * self.limit))
            sys.setprofile(None)

    def _known(self, items: dict[str, pytest.Item]) -> tuple[dict[str, float], dict[str, set[tuple[str, str]]]]:
        """Seconds and calls of the tests that may be asked: those that pass unchanged, and soon enough."""
        lines = [json.loads(line) for line in self.notes.read_text().splitlines()]
        fit = [line for line in lines if not line["failed"] and line["seconds"] <= self.limit and line["test"] in items]
        return {line["test"]: line["seconds"] for line in fit}, {line["test"]: {(a, b) for a, b in line["calls"]} for line in fit}

    def _asked(self, mutant: Mutant, seconds: dict[str, float], calls: dict[str, set[tuple[str, str]]]) -> list[str]:
        """The tests that may notice, the likeliest and quickest first."""
        function = mutant.module.rpartition(".")[2], mutant.function
        files: dict[str, bool] = defaultdict(bool)
        for test, made in calls.items():
            files[test.partition("::")[0]] |= function in made
        candidates = [test for test in seconds if files[test.partition("::")[0]]]
        ordered = sorted(candidates, key=lambda test: (function not in calls[test], seconds[test]))
        spent = itertools.accumulate(seconds[test] for test in ordered)
        return [test for test, till in zip(ordered, spent, strict=True) if till <= self.patience]

    def _judge(self, mutant: Mutant, items: list[pytest.Item]) -> tuple[str, str]:
        if not items:
            return "no test", ""
        read, write = os.pipe()

        def work() -> bool:
            plant(mutant, self.modules[mutant.module])
            killer = ""

            def each(item: pytest.Item, failed: bool) -> bool:
                nonlocal killer
                killer = item.nodeid if failed else ""
                return not failed

            run(items, each)
            os.write(write, killer.encode())
            return bool(killer)

        code = in_child(work, 10.0 + 4.0 * self.patience)
        os.close(write)
        with os.fdopen(read, "rb") as pipe:
            killer = pipe.read().decode()
        if code is None:
            return "timeout", ""
        return ("survived", "") if code == 0 else ("killed", killer or f"exit code {code}")
