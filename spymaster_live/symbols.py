"""Symbology on its way: which symbol an instrument's number means on which UTC day, packed for the session of a run."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence

import orjson
import zstandard

from spymaster_assets.dbn import Interval
from spymaster_assets.sessions import DAY
from spymaster_live.messages import BadMessage

Mappings = Mapping[str, Sequence[Interval]]  # symbol -> its numbers, each for one UTC day
MOST_BYTES = 256 << 20  # of a date's symbology, unpacked
MOST_LETTERS = 70  # of a symbol in a DBN file


def packed(symbology: Mapping[str, Mappings]) -> bytes:
    """The mappings of each channel as zstd-compressed JSON."""
    plain = {
        channel: {symbol: [[str(one.start), one.instrument_id] for one in numbers] for symbol, numbers in mappings.items()}
        for channel, mappings in symbology.items()
    }
    return zstandard.ZstdCompressor(level=3).compress(orjson.dumps(plain))


def unpacked(data: bytes) -> dict[str, dict[str, list[Interval]]]:
    """The mappings of each channel; none where nobody told. BadMessage for anything else than what `packed` made."""
    if not data:
        return {}
    try:
        if (size := zstandard.frame_content_size(data)) > MOST_BYTES:  # a size that is told is allocated, whatever the limit
            raise ValueError(f"{size:,} bytes, at most {MOST_BYTES:,}")
        plain = orjson.loads(zstandard.ZstdDecompressor().decompress(data, max_output_size=MOST_BYTES))
        symbols = [symbol for mappings in plain.values() for symbol in mappings]
        if odd := [symbol for symbol in symbols if not symbol.isascii() or len(symbol) > MOST_LETTERS]:
            raise ValueError(f"{odd[0]!r} is no symbol")
        return {
            channel: {symbol: [_interval(*one) for one in numbers] for symbol, numbers in mappings.items()}
            for channel, mappings in plain.items()
        }
    except (zstandard.ZstdError, ValueError, TypeError, AttributeError, OverflowError) as error:
        raise BadMessage(f"the symbology cannot be read: {error}") from error


def _interval(told: str, number: int) -> Interval:
    """The UTC day of a number, both as JSON."""
    if type(number) is not int or not 0 <= number < 1 << 32:
        raise ValueError(f"{number!r} is no number of an instrument")
    day = dt.date.fromisoformat(told)
    return Interval(day, day + DAY, number)


def of_instruments(mappings: Mappings, wanted: set[int]) -> dict[str, list[Interval]]:
    """The part of the mappings that names some instruments."""
    found = {symbol: [one for one in numbers if one.instrument_id in wanted] for symbol, numbers in mappings.items()}
    return {symbol: numbers for symbol, numbers in found.items() if numbers}
