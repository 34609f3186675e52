"""A part that is asked to stop stops, also if the asking is lost on the way."""

import asyncio
import os
import signal
import time

import pytest

from spymaster_live.__main__ import STOP_SECONDS, _run


@pytest.mark.parametrize("lost", [0, 1])
def test_a_part_stops_though_a_cancellation_is_lost(lost: int) -> None:
    """Before Python 3.12, wait_for returns what it waited for and forgets that it was cancelled, if both come at once."""
    swallowed = 0

    async def work() -> None:
        nonlocal swallowed
        os.kill(os.getpid(), signal.SIGTERM)
        for _ in range(lost):
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                swallowed += 1
        await asyncio.sleep(60)

    began = time.monotonic()
    assert _run(work) is None
    assert swallowed == lost and time.monotonic() - began < lost * STOP_SECONDS + 2
