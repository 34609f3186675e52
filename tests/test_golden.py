"""Golden bytes: the tables of one synthetic date, the short day with priors, as golden.json remembers them.

Columns of integers, and floats made of + - x / and square roots alone, have the same bytes on every machine: each has a hash. What
comes out of exp, tanh, sin or a power differs in the last place between mathematical libraries, and its hash would fail somewhere,
rounded or not: of these columns (features that are not `exact`, sigma, the scores) every so many values are kept, and compared
within 1e-12. What follows from them in whole numbers (theta, trigger) is hashed: thresholds do not lie that near.

`python -m tests.test_golden` renews golden.json after a change that is meant, and says which columns are others.
"""

import hashlib
import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from spymaster_assets.features import FEATURES
from tests import short_day

GOLDEN = Path(__file__).with_name("golden.json")
INEXACT = {
    "features": {feature.name for feature in FEATURES if not feature.exact},
    "touches": {"sigma"},
    "signals": {"score_tape", "break_score_raw", "break_score_smooth", "gamma_exposure"},
    "day_summary": {"gamma_threshold", "ofi_loading", "acceleration_coefficient"},
    "sequences": {"distance", "return", "volatility", "exposure"},  # over sigma, and options
}
EVERY = {"features": 7, "touches": 1, "signals": 101, "sequences": 211, "day_summary": 6}
PROBABILITIES = {feature.name for feature in FEATURES if feature.unit == "probability"}
PLAIN_MACHINE = {  # no fused multiply-add and no wide vectors: not in numba's code, nor in the C and numpy libraries
    "NUMBA_CPU_NAME": "generic",
    "NUMBA_CPU_FEATURES": "",
    "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX2,-FMA",
    "NPY_DISABLE_CPU_FEATURES": "X86_V3 X86_V4",
}


def tables_of(records):
    """The tables of the day, in memory."""
    day = short_day.run(records, short_day.priors())
    tables = {name: getattr(day, name).rows for name in ("prints", "flow", "levels", "touches", "features", "signals")}
    tables |= {
        "snaps": day.snaps,
        "options": day.options.flow.rows,
        "bars": np.concatenate([bars.rows for bars in day.bars.values()]),
    }
    return tables | {"labels": day.labels(), "day_summary": day.summary(), "sequences": short_day.sequences(day)}


@cache
def tables():
    return tables_of(short_day.records())


def hashed(values):
    """16 hex digits of the little-endian bytes of a column."""
    values = np.ascontiguousarray(values)
    return hashlib.sha256(values.astype(values.dtype.newbyteorder("<"), copy=False).tobytes()).hexdigest()[:16]


def kept(values):
    return [None if np.isnan(value) else value for value in values.ravel().tolist()]


def facts(records, found):
    """What golden.json holds: the input's hash, `exact` hashes and `near` values by table and column."""
    exact = {
        name: {column: hashed(rows[column]) for column in rows.dtype.names if column not in INEXACT.get(name, ())}
        for name, rows in sorted(found.items())
    }
    near = {
        name: {column: kept(found[name][column][:: EVERY[name]]) for column in sorted(columns)} for name, columns in INEXACT.items()
    }
    return {"records": {name: hashed(records[name]) for name in records.dtype.names}, "exact": exact, "near": near}


def close(column, expected, found):
    """Whether two columns of floats agree within 1e-12, of the value, or of 1 for a probability; nulls in the same places."""
    if expected is None or found is None:
        return False
    expected, found = (np.array(values, "f8") for values in (expected, found))
    if expected.shape != found.shape:
        return False
    least = 1.0 if column in PROBABILITIES else 0.0
    apart = np.abs(expected - found) > 1e-12 * np.maximum(np.abs(expected), least)
    return bool((np.isnan(expected) == np.isnan(found)).all() and not apart.any())


def others(expected, found):
    """Tables and columns of facts that are not the same, in words."""
    changed = [f"records.{column}" for column, value in expected["records"].items() if found["records"].get(column) != value]
    for part, same in (("exact", lambda _, was, now: was == now), ("near", close)):
        for name in sorted(expected[part] | found[part]):
            was, now = expected[part].get(name, {}), found[part].get(name, {})
            changed += [f"{name}.{column}" for column in sorted(was | now) if not same(column, was.get(column), now.get(column))]
    return changed


def golden():
    return json.loads(GOLDEN.read_text())


def test_golden():
    assert others(golden(), facts(short_day.records(), tables())) == []


def test_every_column_is_in_it():
    """Of floats that differ from machine to machine there are values, of all else hashes."""
    remembered = golden()
    for name, rows in tables().items():
        near = INEXACT.get(name, set())
        assert ({*remembered["exact"][name]}, {*remembered["near"].get(name, [])}) == ({*rows.dtype.names} - near, near)


PLANTED = [("snaps", "gap_ns"), ("features", "position"), ("features", "sigma"), ("signals", "score_tape")]


@pytest.mark.parametrize(("table", "column"), PLANTED)
def test_a_change_is_seen(table, column):
    """Of one unit in the last place where bytes count, of 1e-11 in one of the values that are kept where they do not."""
    changed = {name: rows.copy() for name, rows in tables().items()}
    values, at = changed[table][column], 0
    if column in INEXACT.get(table, ()):
        at = next(i for i in range(0, len(values), EVERY[table]) if values[i] > 0)
        values[at] *= 1 + 1e-11
    else:
        values[at] = np.nextafter(values[at], np.inf) if values.dtype.kind == "f" else values[at] + 1
    records = short_day.records()
    assert others(facts(records, tables()), facts(records, changed)) == [f"{table}.{column}"]


def write_tables(source, target):
    """Compute the tables of records stored in `source` (.npy) into `target` (.npz), with what numba made its code of."""
    from numba.core.registry import CPUDispatcher

    from spymaster_assets.compute import barrier, features_at, geometry, grid, score, touches

    found = tables_of(np.load(source))
    named = [value for module in (barrier, features_at, geometry, grid, score, touches) for value in vars(module).values()]
    code = "".join(text for value in named if isinstance(value, CPUDispatcher) for text in value.inspect_asm().values())
    np.savez(target, **found, wide=np.array([code.count("ymm") + code.count("zmm"), code.count("vfmadd"), len(code)]))


@pytest.mark.slow
def test_same_bytes_without_fma(tmp_path):
    """All of it compiled anew for a plain machine: the same exact bytes, the rest within 1e-12, every value of it."""
    np.save(tmp_path / "records.npy", short_day.records())
    call = "import sys; from tests.test_golden import write_tables; write_tables(*sys.argv[1:])"
    paths = [str(tmp_path / name) for name in ("records.npy", "tables.npz")]
    env = os.environ | PLAIN_MACHINE | {"NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    subprocess.run([sys.executable, "-c", call, *paths], check=True, env=env, cwd=GOLDEN.parents[1])
    with np.load(paths[1]) as stored:
        found = {name: stored[name] for name in stored.files}
    wide, fused, length = found.pop("wide")
    assert (wide, fused) == (0, 0) and length > 100_000
    assert others(golden(), facts(short_day.records(), found)) == []
    for name, columns in INEXACT.items():
        assert [column for column in sorted(columns) if not close(column, tables()[name][column], found[name][column])] == []


if __name__ == "__main__":
    new = facts(short_day.records(), tables())
    if GOLDEN.exists():
        print("\n".join(others(golden(), new)) or "nothing has changed")
    GOLDEN.write_text(json.dumps(new, indent=1) + "\n")
