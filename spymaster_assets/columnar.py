"""Columns as Arrow and as numpy, and the hash of their values.

The content hash is over canonical column bytes, not over Parquet's, so it does not depend on chunking, compression or library
versions.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xxhash

from spymaster_assets.schema import TEXT, Column, Table


class ContentHash:
    """Hash of a table's values, independent of chunking: per column the little-endian bytes of its values, nulls as zero and
    marked; text as lengths and UTF-8. `update` takes Arrow arrays in schema order."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._hashes = [(xxhash.xxh3_128(), xxhash.xxh3_128()) for _ in table.columns]
        self.rows = 0

    def update(self, arrays: Sequence[pa.Array]) -> None:
        for column, array, (values, marks) in zip(self._table.columns, arrays, self._hashes, strict=True):
            if column.dtype == TEXT:
                text = array.dictionary_decode() if pa.types.is_dictionary(array.type) else array
                marks.update(pc.fill_null(pc.binary_length(text), -1).to_numpy(zero_copy_only=False).tobytes())
                values.update("".join(filter(None, text.to_pylist())).encode())
                continue
            if column.null:
                marks.update(array.is_valid().to_numpy(zero_copy_only=False).tobytes())
            values.update(np.ascontiguousarray(to_numpy(column, array)).data)
        self.rows += len(arrays[0])

    def hexdigest(self) -> str:
        total = xxhash.xxh3_128(f"{self._table.digest}:{self.rows}".encode())
        for values, marks in self._hashes:
            total.update(values.digest() + marks.digest())
        return str(total.hexdigest())


def to_numpy(column: Column, array: pa.Array) -> np.ndarray:
    """Values of an Arrow array as the column's dtype: the in-memory form of schema.py, text as objects (None for null).

    The null of an integer that declares no `unknown` becomes 0.
    """
    if column.dtype == TEXT:
        text = array.dictionary_decode() if pa.types.is_dictionary(array.type) else array
        return np.array(text.to_pylist(), dtype=object)
    if column.is_text:
        words = array.dictionary.to_pylist() or [None]
        places = {word: number for number, word in enumerate(column.categories)} if column.categories else {}
        values = np.array([(places[word] if places else ord(word)) if word else 0 for word in words], np.dtype(column.dtype))
        indices = array.indices
        picked = values[(pc.fill_null(indices, 0) if indices.null_count else indices).to_numpy(zero_copy_only=False)]
        if indices.null_count:
            picked[array.is_null().to_numpy(zero_copy_only=False)] = -1 if column.categories else 0
        return picked
    if not array.null_count:
        return array.to_numpy(zero_copy_only=False)
    unknown = math.nan if pa.types.is_floating(array.type) else column.unknown or 0
    return pc.fill_null(array, unknown).to_numpy(zero_copy_only=False)


@cache
def _letters(codes: str) -> tuple[np.ndarray, pa.Array]:
    """Lookup from ASCII letter to its index among the codes (-1: not declared), and the codes as Arrow."""
    lookup = np.full(256, -1, np.int32)
    lookup[[ord(code) for code in codes]] = np.arange(len(codes))
    return lookup, pa.array(list(codes), pa.string())


def to_arrow(column: Column, values: np.ndarray | pa.Array, null: np.ndarray | None = None) -> pa.Array:
    """A column's in-memory values as Arrow; `null`: mask of nulls beside those that the values tell. Text: Arrow or objects.

    A code or category that is not declared is a ValueError.
    """
    if isinstance(values, pa.Array):
        return values if values.type == column.arrow else values.cast(column.arrow)
    if null is None:
        null = column.unknowns(values)
    if column.categories:
        lowest, highest = (int(values.min()), int(values.max())) if values.size else (0, 0)
        if highest >= len(column.categories) or (null is None and lowest < 0):
            raise ValueError(f"column {column.name}: expected the numbers of {', '.join(column.categories)}")
        return pa.DictionaryArray.from_arrays(
            pa.array(values.astype(np.int32), mask=null), pa.array(column.categories, pa.string())
        )
    if column.dtype == TEXT:
        if values.dtype == np.uint8:  # single letters, NUL for none
            values = np.array([chr(code) if code else "" for code in range(256)], object)[values]
        kept = [v.decode("latin-1") if isinstance(v, bytes) else v for v in values.tolist()]
        return pa.array(kept, pa.string(), from_pandas=True).dictionary_encode()
    if column.codes:
        lookup, codes = _letters("".join(sorted(column.codes)))
        indices = lookup[values]
        bad = indices < 0 if null is None else (indices < 0) & ~null
        if bad.any():
            raise ValueError(f"column {column.name}: {chr(values[np.argmax(bad)])!r} is not one of {', '.join(codes.to_pylist())}")
        return pa.DictionaryArray.from_arrays(pa.array(indices, mask=null), codes)
    return pa.array(np.ascontiguousarray(values), column.arrow, mask=null)
