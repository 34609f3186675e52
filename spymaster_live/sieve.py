"""What of the vendor's one stream is the date's: records by channel, each once, and a tally of the rest."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from spymaster_assets import dbn
from spymaster_assets.sessions import Window
from spymaster_assets.tables import DEFINITIONS, FUTURES_MBP10, FUTURES_TRADES, OPTION_QUOTES, OPTION_STATISTICS, OPTION_TRADES
from spymaster_live import messages, split
from spymaster_live.listing import Listing
from spymaster_live.split import Piece

log = logging.getLogger("spymaster.live")

Found = dict[str, tuple[np.ndarray, np.ndarray]]  # of each schema or channel: places in the stream (n,), records (n,)
Known = dict[str, Counter[bytes]]  # of each channel, records that the stream holds


@dataclass
class Tally:
    """What came, beside the records themselves."""

    records: Counter[str] = field(default_factory=Counter)  # published, by channel
    again: int = 0  # records that the stream held already
    others: int = 0  # of instruments that are none of the date's, or of another date
    unknown: Counter[int] = field(default_factory=Counter)  # by type
    late: int = 0
    connections: int = 0
    drops: int = 0
    paused: int = 0  # times at which the socket was not read, because the bus was slow
    slow: int = 0  # times at which the gateway said that we are
    errors: int = 0
    mappings: int = 0  # symbols that the gateway mapped to numbers; definitions tell us
    latest: str | None = None  # what it said last


class Sieve:
    """Sorts a date's records out of the stream. `window`: of event times; `quotes`: the schema that tells option quotes."""

    def __init__(self, listing: Listing, window: Window, quotes: str) -> None:
        self.listing, self.window, self.tally = listing, window, Tally()
        self._quotes = quotes

    def sorted(self, found: Found, since: int) -> Found:
        """The date's records by channel; what is none of them is counted. `since`: ns UTC, of all but definitions."""
        definitions = found["definition"]
        self.listing.take(definitions[1])
        futures, options = (np.fromiter(one, np.uint32) for one in (self.listing.outrights, self.listing.options))
        trades = found["trades"]
        channels = {
            DEFINITIONS.name: (definitions, None), OPTION_STATISTICS.name: (found.get("statistics"), options),
            OPTION_QUOTES.name: (found.get(self._quotes), options), OPTION_TRADES.name: (trades, options),
            FUTURES_MBP10.name: (found["mbp-10"], None), FUTURES_TRADES.name: (trades, futures),
        }  # fmt: skip
        wanted = {}
        for channel, (given, numbers) in channels.items():
            if given is None:
                continue
            places, records = given
            times = records[_index(channel, self._quotes)].view("i8")
            inside = (times > (self.window.start if channel == DEFINITIONS.name else since)) & (times <= self.window.end)
            if numbers is not None:
                inside &= np.isin(records["instrument_id"], numbers)
            wanted[channel] = places[inside], dbn.pick(records, inside)
        came = sum(len(places) for places, _ in found.values())
        self.tally.others += came - sum(len(places) for places, _ in wanted.values())
        return wanted

    def fresh(self, known: Known, channel: str, places: np.ndarray, records: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """What the stream does not hold: each of its records is passed over once."""
        held = known.get(channel)
        if not held:
            return places, records
        fresh = np.full(len(records), True)
        for number, one in enumerate(bytes_of(records)):
            if held[one] > 0:
                held[one] -= 1
                fresh[number] = False
        self.tally.again += int((~fresh).sum())
        return places[fresh], dbn.pick(records, fresh)

    def count_unknown(self, piece: Piece, found: Found) -> None:
        """Count records of types, or of lengths, that are none of what was asked for."""
        known = np.isin(piece.rtypes, (split.SYSTEM, split.ERROR, split.MAPPING))
        self.tally.mappings += int((piece.rtypes == split.MAPPING).sum())
        for places, _ in found.values():
            known[places] = True
        for rtype, count in Counter(piece.rtypes[~known].tolist()).items():
            if rtype not in self.tally.unknown:
                log.warning("the vendor sends records of type %d that nobody asked for: passed over and counted", rtype)
            self.tally.unknown[rtype] += count


def _index(channel: str, quotes: str) -> str:
    """The field that places a channel's records in a date."""
    return dbn.SCHEMAS[quotes if channel == OPTION_QUOTES.name else messages.SCHEMAS[channel][0]].index


def bytes_of(records: np.ndarray) -> list[bytes]:
    """Each record as its bytes."""
    size, data = records.itemsize, np.ascontiguousarray(records).tobytes()
    return [data[at : at + size] for at in range(0, len(data), size)]
