"""The search behind retrieval beside faiss: 100,000 points of 64 dimensions, the NEIGHBOURS nearest ones, one core."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from spymaster_assets.models.nearest import Points, lay_out, nearest

COUNT, DIMS, BATCH, NEIGHBOURS = 100_000, 64, 256, 100


@cache
def points() -> tuple[np.ndarray, np.ndarray, Points]:
    """Normal points and queries, f4, and the points laid out: each an episode of its own, all of one date before the queries'."""
    rng = np.random.default_rng(1)
    values, queries = (rng.normal(size=(count, DIMS)).astype(np.float32) for count in (COUNT, BATCH))
    return values, queries, lay_out(values, np.zeros(COUNT, np.int64), np.arange(COUNT))


@cache
def _faiss() -> Any:
    import faiss

    faiss.omp_set_num_threads(1)
    index = faiss.IndexFlatL2(DIMS)
    index.add(points()[0])
    return index


def batch(root: Path) -> tuple[int, int]:
    """Ours: all queries at once."""
    _, queries, laid = points()
    places = nearest(laid, queries, np.ones(BATCH, np.int64), NEIGHBOURS, 0)[1]
    assert (places >= 0).all()
    return BATCH, 0


def batch_floor(root: Path) -> tuple[int, int]:
    """The matrix product alone, nothing selected."""
    values, queries, _ = points()
    np.matmul(queries, values.T)
    return BATCH, 0


def batch_peer(root: Path) -> tuple[int, int]:
    """faiss: IndexFlatL2, all queries at once."""
    _faiss().search(points()[1], NEIGHBOURS)
    return BATCH, 0


def single(root: Path) -> tuple[int, int]:
    """Ours: one query after the other."""
    _, queries, laid = points()
    for i in range(BATCH):
        nearest(laid, queries[i : i + 1], np.ones(1, np.int64), NEIGHBOURS, 0)
    return BATCH, 0


def single_floor(root: Path) -> tuple[int, int]:
    """The matrix product alone, query by query."""
    values, queries, _ = points()
    for i in range(BATCH):
        np.matmul(queries[i : i + 1], values.T)
    return BATCH, 0


def single_peer(root: Path) -> tuple[int, int]:
    """faiss: IndexFlatL2, one query after the other."""
    for i in range(BATCH):
        _faiss().search(points()[1][i : i + 1], NEIGHBOURS)
    return BATCH, 0
