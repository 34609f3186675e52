"""DBN files made by hand for tests: a few records with known fields, in landing folders of known content."""

import datetime as dt
from collections.abc import Callable, Sequence
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np

from spymaster_assets import dbn
from spymaster_assets.config import Config
from spymaster_assets.lake import Lake
from spymaster_assets.landing import Landing
from spymaster_assets.sessions import DAY, calendar, utc_midnight

CONFIG = Config()
DATE = dt.date(2025, 6, 3)  # a Tuesday; its session runs from 22:00Z of 2 June to 21:00Z of 3 June
EVE = DATE - DAY
SESSION = calendar(CONFIG).session(DATE)
TICK = CONFIG.instrument.tick
PX = 6_000_000_000_000  # 6000.00
FRONT, NEXT, SPREAD = "ESM5", "ESU5", "ESM5-ESU5"
IDS = {FRONT: 101, NEXT: 102, SPREAD: 103, "E1BM5 C6000": 201, "E1BM5 P6000": 202, "NQM5": 301}
SECOND = 1_000_000_000
SOUND = 1600, 50  # number of books and seconds between them


def new_york(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text).replace(tzinfo=ZoneInfo("America/New_York"))


def times(count: int, start: int = SESSION.globex.start + SECOND, step: int = SECOND) -> np.ndarray:
    return start + step * np.arange(count, dtype=np.int64)


def books(ts_event: np.ndarray, symbol: str = FRONT, first_sequence: int = 1, action: str = "A") -> np.ndarray:
    """MBP-10 rows of a tidy book around PX, one per time; sizes differ from row to row."""
    rows = np.zeros(len(ts_event), dbn.MBP10)
    number = np.arange(len(ts_event))
    rows["length"], rows["rtype"], rows["publisher_id"] = 92, 10, 1
    rows["instrument_id"], rows["ts_event"], rows["ts_recv"] = IDS[symbol], ts_event, ts_event + 100_000
    rows["sequence"], rows["ts_in_delta"], rows["flags"] = first_sequence + number, 15_000, 130
    rows["action"], rows["side"], rows["price"], rows["size"] = ord(action), ord("B"), PX, 1 + number % 7
    for level in range(10):
        book = rows["levels"][:, level]
        book["bid_px"], book["ask_px"] = PX - level * TICK, PX + (level + 1) * TICK
        book["bid_sz"], book["ask_sz"] = 10 + number % 5 + level, 20 + number % 3 + level
        book["bid_ct"], book["ask_ct"] = 3, 4
    return rows


def trades(ts_event: np.ndarray, symbol: str = FRONT, first_sequence: int = 1, size: int = 2) -> np.ndarray:
    """Trades at PX, buyer as aggressor."""
    rows = np.zeros(len(ts_event), dbn.TRADE)
    rows["length"], rows["publisher_id"], rows["instrument_id"] = 12, 1, IDS[symbol]
    rows["ts_event"], rows["ts_recv"] = ts_event, ts_event + 100_000
    rows["price"], rows["size"], rows["action"], rows["side"] = PX, size, ord("T"), ord("B")
    rows["sequence"], rows["ts_in_delta"] = first_sequence + np.arange(len(ts_event)), 15_000
    return rows


def trade_books(prints: np.ndarray) -> np.ndarray:
    """The MBP-10 T records that tell the same trades."""
    rows = books(prints["ts_event"].astype(np.int64), action="T")
    for name in ("instrument_id", "ts_recv", "price", "size", "side", "sequence", "ts_in_delta", "flags"):
        rows[name] = prints[name]
    return rows


def definitions(symbols: Sequence[str], day: dt.date, expiration: int = utc_midnight(DATE) + 20 * 3600 * SECOND) -> np.ndarray:
    """Definitions as restated at 00:00Z of `day`."""
    rows = np.zeros(len(symbols), dbn.DEFINITION)
    rows["length"], rows["rtype"], rows["publisher_id"] = dbn.DEFINITION.itemsize // 4, 19, 1
    for row, symbol in zip(rows, symbols, strict=True):
        option = " " in symbol
        row["instrument_id"], row["raw_symbol"] = IDS[symbol], symbol.encode()
        row["ts_recv"], row["ts_event"], row["expiration"] = utc_midnight(day), utc_midnight(day - DAY), expiration
        row["asset"] = symbol[:3].encode() if option else symbol[:2].encode()
        row["underlying"] = FRONT.encode() if option else b""
        row["instrument_class"] = ord(symbol.split()[1][0]) if option else ord("S" if "-" in symbol else "F")
        row["security_type"] = b"OOF" if option else b"FUT"
        row["user_defined_instrument"] = row["security_update_action"] = ord("N")
    return rows


def write(
    folder: Path,
    name: str,
    schema: str,
    records: np.ndarray,
    day: dt.date,
    *,
    symbols: Sequence[str] = (FRONT,),
    start: int | None = None,
    end: int | None = None,
    dataset: str = "GLBX.MDP3",
) -> Path:
    """One DBN file of a UTC day (or of [start, end)) whose header maps `symbols`."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    maps = {symbol: [dbn.Interval(day - DAY, day + 3 * DAY, IDS[symbol])] for symbol in symbols}
    first = utc_midnight(day) if start is None else start
    last = utc_midnight(day + DAY) if end is None else end
    with dbn.Writer(path, schema, dataset=dataset, start=first, end=last, symbols=list(symbols), mappings=maps) as writer:
        writer.write(records)
    return path


def rewrite(path: Path, change: Callable[[np.ndarray], np.ndarray]) -> None:
    """Write a simulated file again, with other records."""
    header = dbn.read_header(path)
    assert header.schema is not None and header.end is not None
    rows = change(np.concatenate([chunk.copy() for chunk in dbn.read(path, header.schema)]))
    with dbn.Writer(
        path, header.schema, dataset=header.dataset, start=header.start, end=header.end, symbols=header.symbols,
        mappings=header.mappings, stype_in="parent",
    ) as writer:  # fmt: skip
        writer.write(rows)


def disordered(rows: np.ndarray) -> np.ndarray:
    """A UTC day's records, one in fifty of the second quarter (of the date's own session) an hour too early: 'order' blocks."""
    rows["ts_event"][len(rows) // 4 : len(rows) // 2 : 50] -= np.uint64(3_600 * SECOND)
    return rows


def split_days(records: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Records received on the eve and on the date, UTC."""
    late = records["ts_recv"] >= utc_midnight(DATE)
    return records[~late], records[late]


def landing_of_a_date(root: Path, count: int = 400, step: int = 200) -> tuple[np.ndarray, np.ndarray]:
    """A small complete landing folder below `root`: book and trades of DATE in two UTC-day files each. Returns (book, trades).

    `step`: seconds between books. 400 of them are too thin for Gold; SOUND is what passes every blocking check.
    """
    prints = trades(times(count // 4, SESSION.globex.start + SECOND // 2, 4 * step * SECOND))
    book = books(times(count, step=step * SECOND), first_sequence=10_000)
    both = np.concatenate([book, trade_books(prints)])
    both = both[np.argsort(both["ts_recv"], kind="stable")]
    for day, rows, sold in zip((EVE, DATE), split_days(both), split_days(prints), strict=True):
        write(root / "landing", f"book-{day}.dbn.zst", "mbp-10", rows, day)
        write(root / "landing", f"trades-{day}.dbn.zst", "trades", sold, day)
    return both, prints


def lake_at(root: Path) -> Lake:
    return Lake(root, CONFIG)


def landing_at(root: Path) -> Landing:
    return Landing(root / "landing", CONFIG)
