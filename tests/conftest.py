"""Shared fixtures: the real samples, where they are, and a small complete date made by hand."""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests import build


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of genuine Databento samples; they may not be redistributed, so they live outside the project."""
    named = os.environ.get("SPYMASTER_REAL_DATA")
    if not named:
        pytest.skip("SPYMASTER_REAL_DATA is not set: the genuine samples are not at hand")
    return Path(named).absolute() / "glbx"


@pytest.fixture
def small_date(tmp_path: Path) -> Iterator[tuple[Path, np.ndarray, np.ndarray]]:
    """(data folder, book records, trade records) of build.DATE, complete in landing."""
    book, prints = build.landing_of_a_date(tmp_path)
    yield tmp_path, book, prints


def pytest_xdist_auto_num_workers() -> int:
    """Workers of `-n auto`: half again as many as cores, because many tests wait for processes that they started."""
    return (os.cpu_count() or 1) * 3 // 2
