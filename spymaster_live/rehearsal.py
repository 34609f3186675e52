"""A rehearsal: a made-up date with one touch, so that every kernel is compiled, or loaded, before the first message comes."""

from __future__ import annotations

import numpy as np

from spymaster_assets import dbn
from spymaster_assets.compute.display import dealers
from spymaster_assets.compute.stream import Day
from spymaster_assets.config import Config
from spymaster_assets.sessions import calendar

NS = 1_000_000_000


def rehearse(config: Config) -> int:
    """Run a Day over a price that leaves the premarket's high, or the opening range's, and comes back; the number of touches."""
    session = calendar(config).session(calendar(config).before(config.sessions.last_date, 1)[0])
    point = config.instrument.point
    day = Day(session, config)
    away = 4 * config.touches.rearm_points
    window = session.premarket if session.premarket.end > session.premarket.start else session.opening_range
    path = [(window.start + NS, 0.0), (window.end - NS, -1.0)]  # (time, points from the high)
    path += [(window.end + second * NS, -away) for second in range(1, 60)]
    path += [(window.end + second * NS, 0.0) for second in range(60, 90)]
    records = np.concatenate([_event(time, round(distance * point), config) for time, distance in path])
    for start in range(0, len(records), 7):
        part = records[start : start + 7]
        day.step(part, int(part["ts_event"][-1]) - 1)
    day.step(records[:0], window.end + 120 * NS)
    dealers(day.closed, day.snaps, day.chain.options, day.physics.fuel, day.clock)
    return day.touches.count


def _event(time: int, distance: int, config: Config) -> np.ndarray:
    """A trade and the book after it, around 5000 points."""
    tick = config.instrument.tick
    price = (5000 * config.instrument.point + distance) // tick * tick
    rows = np.zeros(2, dbn.MBP10)
    rows["length"], rows["rtype"] = dbn.MBP10.itemsize // 4, dbn.SCHEMAS["mbp-10"].rtype
    rows["ts_event"], rows["price"], rows["size"] = time, price, 1 + time // NS % 5
    rows["action"], rows["side"], rows["flags"] = [ord("T"), ord("A")], ord("B"), [0, dbn.F_LAST]
    for level in range(dbn.BOOK_LEVELS):
        rows["levels"]["bid_px"][:, level] = price - (level + 1) * tick
        rows["levels"]["ask_px"][:, level] = price + level * tick
        rows["levels"]["bid_sz"][:, level] = rows["levels"]["ask_sz"][:, level] = 10 + time // NS % 3
    return rows
