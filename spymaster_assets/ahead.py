"""Work beside other work: the next piece read while the one before is worked on, or two pieces at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Made = TypeVar("Made")
_END = object()


def ahead(items: Iterable[Item]) -> Iterator[Item]:
    """The same items in the same order; each is made in a thread of its own while the consumer has the one before.

    What making one raises is raised where it would have come. An item may live in a buffer that the next but one reuses.
    """
    source = iter(items)
    with ThreadPoolExecutor(1, thread_name_prefix="ahead") as thread:
        upcoming = thread.submit(next, source, _END)
        while (item := upcoming.result()) is not _END:
            upcoming = thread.submit(next, source, _END)
            yield item  # type: ignore[misc]  # not _END


def together(work: Callable[[Item], Made], items: Iterable[Item]) -> Iterator[Made]:
    """What `work` makes of each item, in their order; two are worked on at a time, each in a thread."""
    with ThreadPoolExecutor(2, thread_name_prefix="together") as threads:
        yield from threads.map(work, items)
