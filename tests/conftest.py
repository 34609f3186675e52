"""Shared fixtures: the real samples, where they are, and a small complete date made by hand."""

import gc
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests import build, made_once

ROOT = Path(__file__).parents[1]
# What several files of tests assert with: a failure there says what differs, too.
pytest.register_assert_rewrite(
    "tests.dbn_files", "tests.gold_defects", "tests.live.spoken", "tests.toy_options", "tests.toy_physics", "tests.toy_product"
)


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


def pytest_configure(config: pytest.Config) -> None:
    """Before workers start: the folder of what tests make once, and the kernels, which each of them would compile."""
    if not hasattr(config, "workerinput"):
        made_once.begin()
        if config.getoption("numprocesses", 0):
            compiling = [subprocess.Popen([sys.executable, "-m", "tests.kernels", part], cwd=ROOT) for part in ("day", "simulator")]
            assert [one.wait() for one in compiling] == [0, 0], "the kernels can be compiled"


def pytest_collection_finish() -> None:
    """Tests and libraries are many objects that stay: searching them for cycles again and again costs more than some tests."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)
