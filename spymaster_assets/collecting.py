"""How often Python searches for cycles of garbage."""

import gc


def collect_rarely() -> None:
    """For a process that loads much and ends: to search all of it again and again is a fifth of its time."""
    gc.set_threshold(100_000, 50, 100)
