"""Whether a zstd file is whole, told from the lengths in its frames and blocks: nothing is decoded, so it takes milliseconds.

Source: the zstd format, RFC 8878, 3.1. What lies inside a block is not looked at: a flipped bit there shows when it is decoded.
"""

from __future__ import annotations

import mmap
from pathlib import Path
from typing import Final

import zstandard

_SKIPPABLE: Final = range(0x184D2A50, 0x184D2A60)  # magic numbers of frames that hold no data
_RLE, _RESERVED = 1, 3  # types of a block: one byte, repeated; none that there is
_MOST: Final = 18  # bytes of a frame's header


def broken(path: Path) -> str | None:
    """Why a zstd file cannot be read to its end; None if it is whole as far as its lengths tell, or is no zstd. OSError."""
    size = path.stat().st_size
    if not path.name.endswith(".zst") or not size:
        return None
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        at = 0
        while at < size:
            end = _frame(data, at, size)
            if end is None:
                return f"at byte {at:,}: expected a zstd frame, found other bytes"
            if end > size:
                return f"it was cut: its last frame begins at byte {at:,} and goes on behind the end, {size:,}"
            at = end
    return None


def _frame(data: mmap.mmap, at: int, size: int) -> int | None:
    """Where the frame at a byte ends, beyond `size` if it is not all there; None if there is none."""
    head = data[at : at + _MOST]
    if int.from_bytes(head[:4], "little") in _SKIPPABLE:
        return at + 8 + int.from_bytes(head[4:8], "little")
    try:
        checked = zstandard.get_frame_parameters(head).has_checksum
        at += zstandard.frame_header_size(head)
    except zstandard.ZstdError:
        return size + 1 if size - at < _MOST else None
    while at + 3 <= size:
        block = int.from_bytes(data[at : at + 3], "little")
        last, kind, length = block & 1, block >> 1 & 3, block >> 3
        if kind == _RESERVED:
            return None
        at += 3 + (1 if kind == _RLE else length)
        if last:
            return at + (4 if checked else 0)
    return size + 1
