"""Progress bars on a terminal; silent where nobody watches (Dagster's runs, tests, pipes)."""

import os
from collections.abc import Callable
from threading import RLock

from tqdm import tqdm

_SCREEN = os.fdopen(os.dup(2), "w")  # the terminal itself: Dagster redirects standard error while an asset runs

Progress = Callable[[str, int, int], None]


def silence() -> None:
    """No bars from this process any more: another one has the terminal."""
    global _SCREEN
    tqdm.set_lock(RLock())  # its own is made for several processes, and a killed one would leave it behind
    _SCREEN = os.fdopen(os.open(os.devnull, os.O_WRONLY), "w")


def terminal() -> Progress:
    """A function of (label, done, total) that keeps one bar per label; each closes when it is done or the next begins."""
    bars: dict[str, tqdm] = {}

    def show(label: str, done: int, total: int) -> None:
        if label not in bars:
            for bar in bars.values():
                bar.close()
            bars.clear()
            bars[label] = tqdm(
                total=total, desc=label, file=_SCREEN, disable=None, unit_scale=True, leave=False, dynamic_ncols=True, delay=1
            )
        bars[label].update(done - bars[label].n)
        if done >= total:
            bars.pop(label).close()

    return show
