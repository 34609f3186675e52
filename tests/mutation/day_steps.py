"""The short day, step by step, beside what the code made of it before it was mutated.

That is what the suite holds true of the whole day: its naive twins agree with every value (tests/test_silver_twins.py: whole
numbers, and floats that are declared exact, to the bit, all else within 1e-12), and so do the golden bytes. Uncompiled, both take
minutes.
"""

import numpy as np
import pytest

from spymaster_assets.features import FEATURES
from tests.mutation import stages
from tests.mutation.stages import LOUD, WITH, WITHOUT, Tables
from tests.test_golden import INEXACT

NEAR = {name for names in INEXACT.values() for name in names}
INEXACT_FEATURES = {feature.name for feature in FEATURES if not feature.exact}
ONE = {feature.name for feature in FEATURES if feature.unit == "probability" or feature.family == "fuel"}  # sums of that size


def others(found: Tables, expected: Tables) -> list[str]:
    """Columns that differ."""
    apart = []
    for table, rows in found.items():
        known = expected[table]
        assert rows.shape == known.shape, table
        for name in rows.dtype.names or [""]:
            one, other = (rows[name], known[name]) if name else (rows, known)
            if one.dtype.kind != "f":
                same = one == other
            else:
                inexact = name in NEAR | INEXACT_FEATURES or not name
                least = np.where(name in ONE, np.maximum(np.abs(other), 1.0), np.abs(other))
                same = (one == other) | (np.isnan(one) & np.isnan(other)) | (inexact & (np.abs(one - other) <= 1e-12 * least))
            if not same.all():
                apart.append(f"{table}.{name}")
    return apart


STEPS = {
    "grid": (stages.grid, (WITH,)), "path": (stages.paths, (WITHOUT, WITH)), "touches": (stages.touches, (WITHOUT, WITH)),
    "features": (stages.features, (WITHOUT, WITH, LOUD)), "signals": (stages.signals, (WITHOUT, WITH)),
    "labels": (stages.labels, (WITHOUT, WITH)), "summary": (stages.summary, (WITHOUT, WITH)),
    "sequences": (stages.sequences, (WITHOUT, WITH)),
}  # fmt: skip
CASES = [(step, kind, part) for step, (_, kinds) in STEPS.items() for kind in kinds for part in (0.1, 0.3, 1)]


@pytest.mark.parametrize(("step", "kind", "part"), CASES)
def test_a_step_of_the_short_day(step: str, kind: str, part: float) -> None:
    found, expected = STEPS[step][0](kind, part)
    assert others(found, expected) == []
