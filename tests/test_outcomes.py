"""`spymaster outcomes`: shares, how far a break is, what luck does, and whether the dates are of the market."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import numpy as np
import pytest

from spymaster_assets.config import Config
from spymaster_assets.lake import Lake
from spymaster_assets.outcomes import table
from spymaster_assets.states import LEVEL_KINDS, OUTCOMES
from spymaster_assets.tables import PATH_TRUTH, TRAINING
from tests.models.small_lake import put

DATE = dt.date(2025, 6, 3)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake", Config())


def touches(count: int) -> np.ndarray:
    """Touches at t0: each third one breaks, the rest bounce; 8, 16, 24, 32 ticks decide in turn."""
    rows = np.zeros(count, TRAINING.dtype)
    rows["kind"] = LEVEL_KINDS.index("PM_HIGH")
    rows["trainable_4min"] = 1
    rows["outcome_4min"] = np.where(np.arange(count) % 3, OUTCOMES.index("BOUNCE"), OUTCOMES.index("BREAK"))
    rows["theta_4min"] = 8 * (1 + np.arange(count) % 4)
    for name, odds in (("break", 0.25), ("bounce", 0.5), ("chop", 0.25)):
        rows[f"geometry_{name}_4min"] = odds
    return rows


def test_shares_distances_and_luck_are_told(lake: Lake) -> None:
    put(lake, TRAINING, DATE, touches(300))
    lines = list(table(lake))
    assert lines[3].split() == ["PM_HIGH", "300", "33.3", "66.7", "0.0", "25.0", "50.0", "25.0"]
    told = " ".join(lines)
    assert "3.50 to 6.50 points from the level" in told  # of 2, 4, 6 and 8 points, 75 each, between their neighbours
    assert "a share of 300 touches by up to 5 percentage points" in told  # 1.96 sqrt(1/3 2/3 / 300) = .0533
    assert "simulated" not in told


def test_simulated_dates_are_said_to_be_so(lake: Lake) -> None:
    put(lake, TRAINING, DATE, touches(3))
    put(lake, PATH_TRUTH, DATE, np.zeros(2, PATH_TRUTH.dtype))
    assert list(table(lake))[-1] == "1 of 1 dates are simulated: they tell nothing of the market."
