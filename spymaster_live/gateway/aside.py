"""The lake's dates, asked for in a process of its own: whatever is read, or compiled, for one page holds up no stream."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, Concatenate, Final, ParamSpec, TypeVar

from spymaster_assets.lake import Lake
from spymaster_live.gateway.past import Past

Asked = ParamSpec("Asked")
Answer = TypeVar("Answer")
WATCH_SECONDS: Final = 1.0  # between two looks whether the gateway lives
_here: list[Past] = []  # in the process: what it asks


class Aside:
    """A process that is started when it is first asked, and again if it died."""

    def __init__(self, lake: Lake) -> None:
        self._lake = lake
        self._pool: ProcessPoolExecutor | None = None

    async def ask(self, what: Callable[Concatenate[Past, Asked], Answer], *of: Asked.args, **more: Asked.kwargs) -> Answer:
        """A method of Past, there. What it raises is raised here."""
        if self._pool is None:
            self._pool = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), _begin, (self._lake, os.getpid()))
        pool = self._pool
        try:
            return await asyncio.wrap_future(pool.submit(_ask, what.__name__, *of, **more))
        except BrokenProcessPool:
            if self._pool is pool:
                self._pool = None
            raise OSError("what reads the lake died; ask again") from None

    def close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)


def _begin(lake: Lake, gateway: int) -> None:
    """The process begins. It ends with the gateway, however that ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _here[:] = [Past(lake)]

    def watch() -> None:
        while os.getppid() == gateway:
            time.sleep(WATCH_SECONDS)
        os._exit(0)

    threading.Thread(target=watch, daemon=True).start()


def _ask(name: str, *of: Any, **more: Any) -> Any:
    return getattr(_here[0], name)(*of, **more)
