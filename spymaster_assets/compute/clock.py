"""The times of a trading date as the kernels need them: snap numbers, and the buckets of priors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from spymaster_assets.compute.kernel import kernel
from spymaster_assets.contradictions import BUCKETS as BUCKETS  # of grid.bucket_minutes each, from the start of the premarket on
from spymaster_assets.features.context import LOOKBACK

if TYPE_CHECKING:
    from spymaster_assets.config import Config
    from spymaster_assets.sessions import Session

NS: Final = 1_000_000_000


class Clock(NamedTuple):
    """Times in ns UTC; `count`: snaps after the open; `interval`: ns; `second`: snaps in one."""

    open: int
    interval: int
    count: int  # type: ignore[assignment]  # hides tuple.count
    second: int
    premarket_start: int
    regular_start: int
    opening_range_end: int
    signals_start: int
    signals_end: int
    regular_end: int
    session_end: int
    globex_end: int
    bucket: int
    complete_from: int  # every record after this moment is there; the open, unless one joined late


def clock_of(session: Session, config: Config, complete_from: int | None = None) -> Clock:
    """The clock of a session. `complete_from`: the moment (ns UTC) at which one joined; no touch until nothing looks behind it."""
    interval = config.grid.interval_ns
    joined = session.globex.start if complete_from is None else max(complete_from, session.globex.start)
    whole = joined == session.globex.start
    return Clock(
        open=session.globex.start,
        interval=interval,
        count=(session.globex.end - session.globex.start) // interval,
        second=NS // interval,
        premarket_start=session.premarket.start,
        regular_start=session.regular.start,
        opening_range_end=session.opening_range.end,
        signals_start=session.signals.start if whole else max(session.signals.start, joined + LOOKBACK * NS),
        signals_end=session.signals.end,
        regular_end=session.regular.end,
        session_end=session.end,
        globex_end=session.globex.end,
        bucket=config.grid.bucket_minutes * 60 * NS,
        complete_from=joined,
    )


@kernel
def bucket_of(time: int, clock: Clock) -> int:
    """The bucket that holds an instant, -1 outside of all."""
    bucket = (time - clock.premarket_start - 1) // clock.bucket
    return bucket if 0 <= bucket < BUCKETS and time > clock.premarket_start else -1
