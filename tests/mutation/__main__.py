"""How many faults in compute/ do the tests notice? `python -m tests.mutation --minutes 25`, then docs/mutation.md.

A sample of each module's mutants, drawn with a seed, is planted one by one, without compilation (NUMBA_DISABLE_JIT=1: the kernels
are the same Python). The tests asked are those below; the short day comes from compiled kernels, made before.
"""

import functools
import importlib
import json
import math
import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

import click
import numpy as np

One = TypeVar("One")
ROOT: Final = Path(__file__).parents[2]
TESTS: Final = (
    "test_silver_twins", "test_behaviours", "test_behaviours_levels", "test_black76", "test_display", "test_fuel_twins",
    "test_naive_fuel", "test_naive_volatility", "test_transpose", "test_kernel_edges", "test_unseen_edges", "mutation/day_steps",
)  # fmt: skip
LONG: Final = (  # over the short day, half a minute each time without compilation
    "test_path test_bars test_touches test_signals test_labels test_day_summary test_priors test_landmarks test_feature"
)
KERNEL: Final = {"kernel", "__init__"}  # decorators: nothing to compute


def modules() -> list[str]:
    names = sorted(path.stem for path in (ROOT / "spymaster_assets" / "compute").glob("*.py"))
    return [name for name in names if name not in KERNEL]


def widen() -> None:
    """Columns of whole numbers with 64 bits, as numba computes: without it numpy keeps 32 where it is told of a Python number."""
    from spymaster_assets.schema import Table

    narrow = Table.dtype.func

    def wide(table: Table) -> np.dtype[Any]:
        fields = narrow(table).descr
        return np.dtype([(name, "i8" if kind[1] in "iu" else kind, *shape) for name, kind, *shape in fields])

    Table.dtype = functools.cached_property(wide)  # type: ignore[method-assign]
    Table.dtype.__set_name__(Table, "dtype")


def wilson(hits: int, count: int) -> tuple[float, float]:
    """95 % interval of a share."""
    if not count:
        return 0.0, 1.0
    z, share = 1.96, hits / count
    middle, width = share + z * z / (2 * count), z * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    return (middle - width) / (1 + z * z / count), (middle + width) / (1 + z * z / count)


def estimate(rows: Sequence[tuple[int, int, int]]) -> tuple[float, float]:
    """Share of all mutants that are killed, and its standard error: rows of (mutants, sampled, killed), each a stratum."""
    total = sum(all_ for all_, _, _ in rows)
    share = sum(all_ * killed / sampled for all_, sampled, killed in rows) / total
    variance = sum(
        (all_ / total) ** 2 * (1 - sampled / all_) * (killed / sampled) * (1 - killed / sampled) / max(sampled - 1, 1)
        for all_, sampled, killed in rows
    )
    return share, math.sqrt(variance)


def in_turn(groups: Sequence[Sequence[One]]) -> list[One]:
    """All of them, mixed: of whatever comes first, each group's part is as large as in the whole."""
    places = [((at + 0.5) / len(group), one) for group in groups for at, one in enumerate(group)]
    return [one for _, one in sorted(places, key=lambda place: place[0])]


@click.command()
@click.option("--sample", default=1, help="Mutants a module, at least.")
@click.option("--share", default=0.05, help="Of each module's mutants, where that is more.")
@click.option("--seed", default=1)
@click.option("--only", default="", help="Modules, separated by commas.")
@click.option("--tests", default=",".join(TESTS), help="Files of tests, separated by commas.")
@click.option("--limit", default=10.0, help="Seconds that a test may take to be asked.")
@click.option("--patience", default=150.0, help="Seconds that a mutant's tests may take.")
@click.option("--again", is_flag=True, help="Those that survived, once more, by the tests given now.")
@click.option("--minutes", default=25.0, help="After which no further mutant is planted; what was is in proportion too.")
@click.option("--out", default="build/mutation.json", help="Outcomes; a later run adds to them.")
def main(
    sample: int,
    share: float,
    seed: int,
    only: str,
    tests: str,
    limit: float,
    patience: float,
    again: bool,
    minutes: float,
    out: str,
) -> None:
    """Draw, plant, run, and write down what came of it."""
    if os.environ.get("NUMBA_DISABLE_JIT") != "1":
        from tests import made_once, short_day

        folder = ROOT / "build" / "mutation"
        folder.mkdir(parents=True, exist_ok=True)
        os.environ[made_once.FOLDER] = str(folder)
        short_day.simulated()  # compiled, into a folder that what follows inherits
        os.environ["NUMBA_DISABLE_JIT"] = "1"
        sys.exit(subprocess.call([sys.executable, "-m", "tests.mutation", *sys.argv[1:]]))
    import pytest

    widen()
    from tests.mutation import stages
    from tests.mutation.mutants import Mutant, mutants
    from tests.mutation.trial import Trial

    if not stages.path().exists():
        stages.make()
    stages.remember()
    kept = ROOT / out
    kept.parent.mkdir(exist_ok=True)
    known = json.loads(kept.read_text()) if kept.exists() else {}
    found, drawn, counts = [], list[list[Mutant]](), dict[str, int]()
    for name in only.split(",") if only else modules():
        module = importlib.import_module(f"spymaster_assets.compute.{name}")
        possible = [*mutants(module)]
        counts[name] = len(possible)
        found.append(module)
        size = min(max(sample, round(share * len(possible))), len(possible))
        drawn.append(random.Random(f"{seed} {name}").sample(possible, size))
    every = in_turn(drawn)
    left = {name for name, one in known.items() if one.get("outcome") in ("survived", "no test")}
    fresh = [one for one in every if (one.name in left if again else one.name not in known)]

    def tell(mutant: Mutant, outcome: str, by: str, seconds: float) -> None:
        if again and outcome == "no test":
            return
        about = {"module": mutant.module.rpartition(".")[2], "outcome": outcome, "by": by, "source": mutant.source}
        known[mutant.name] = {**about, "seconds": round(seconds, 2)}
        kept.write_text(json.dumps(known, indent=1, sort_keys=True))
        click.echo(f"{seconds:.1f} s {outcome} {mutant.name} {by}")

    known |= {f"all of {name}": {"count": count} for name, count in counts.items()}
    until = time.monotonic() + 60 * minutes
    trial = Trial(found, fresh, limit, patience, until, kept.with_suffix(".again" if again else ".tests"), tell)
    files = [str(ROOT / "tests" / f"{name}.py") for name in tests.split(",")]
    pytest.main(["-q", "-s", "-p", "no:cacheprovider", "-k", f"not ({' or '.join(LONG.split())})", *files], plugins=[trial])
    click.echo(table(known))


def table(known: dict[str, dict]) -> str:
    """Outcomes by module, and in all."""
    counts = {key.removeprefix("all of "): one["count"] for key, one in known.items() if key.startswith("all of ")}
    rows, lines = [], []
    for name, count in sorted(counts.items()):
        outcomes = Counter(one["outcome"] for one in known.values() if one.get("module") == name)
        sampled, killed = outcomes.total(), outcomes["killed"] + outcomes["timeout"]
        if sampled:
            rows.append((count, sampled, killed))
            lines.append(f"| {name} | {count} | {sampled} | {outcomes['killed']} | {outcomes['timeout']} | {sampled - killed} |")
    share, error = estimate(rows)
    all_, sampled, killed = (sum(column) for column in zip(*rows, strict=True))
    low, high = wilson(killed, sampled)
    head = "| module | mutants | sampled | killed | hung | survived |\n|---|---|---|---|---|---|\n"
    sample = f"{killed} of {sampled} killed ({killed / sampled:.1%}; 95 % {low:.1%} to {high:.1%})"
    return f"{sample}; of all {all_:,}, weighed by module, {share:.1%} ± {1.96 * error:.1%}\n\n{head}" + "\n".join(lines)


if __name__ == "__main__":
    main()
