"""The vendor's feed of one trading date after the other."""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
import time
from typing import Any, Final

from nats.aio.client import Client

from spymaster_assets.lake import Lake
from spymaster_assets.logs import about
from spymaster_assets.sessions import calendar, to_datetime
from spymaster_live import health
from spymaster_live.live_feed import LiveFeed

NS: Final = 1_000_000_000
log = logging.getLogger("spymaster.live")


class LiveDates:
    """The feed of one date after the other, each from shortly before its session opens. `date`: that one alone."""

    def __init__(self, client: Client, lake: Lake, key: str, date: dt.date | None) -> None:
        self._client, self._lake, self._key, self._date = client, lake, key, date
        self._feed: LiveFeed | None = None
        self._waiting_for: dt.date | None = None

    async def run(self) -> str:
        """The id of the last run; without a date it goes on for ever."""
        await health.answer(self._client, "feed", self.state)
        while True:
            date = self._date or await self._due()
            about(run=None, date=str(date))
            self._feed = LiveFeed(self._client, self._lake, self._key, date)
            run = await self._feed.run()
            log.warning("run %s is published", run)
            if self._date is not None:
                return run
            await asyncio.sleep(1)

    async def _due(self) -> dt.date:
        """Wait for the session that runs or is the next; its date. The wall clock decides when a feed begins and nothing else."""
        config = self._lake.config
        trading, ahead = calendar(config), round(config.live.vendor.prepare_minutes * 60 * NS)
        while True:
            now = time.time_ns()
            date = trading.date_of(now) or trading.after(to_datetime(now, config.sessions.exchange_zone).date())
            if now >= trading.session(date).globex.start - ahead:
                self._waiting_for = None
                return date
            self._feed, self._waiting_for = None, date
            await asyncio.sleep(1)

    def state(self) -> dict[str, Any]:
        """For health.feed."""
        if self._feed is None:
            return {"ok": True, "why": None, "age": 0.0, "live": True, "waiting_for": str(self._waiting_for)}
        return self._feed.state()
