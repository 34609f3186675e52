"""Run the table of stages, then live and the gateway: `python -m benchmarks`, with `--help` for how much of it.

Each measurement is a process of its own, so that peak memory is its own; ours, floor and peer take turns, so that whatever else the
machine does hits them alike. Figures are medians; compare ratios of one run, never seconds of two.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from tqdm import tqdm

from benchmarks.stages import DATE, STAGES, Sample, prepare


def _sample(stage: int, which: str, root: Path) -> Sample:
    """One run in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.measure", str(stage), which, str(root)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return Sample(**json.loads(done.stdout.splitlines()[-1]))


def _medians(samples: list[Sample]) -> tuple[float, float]:
    """CPU and wall seconds a record."""
    cpu = statistics.median(sample.cpu / sample.records for sample in samples)
    return cpu, statistics.median(sample.wall / sample.records for sample in samples)


def _row(name: str, samples: list[Sample], floor: tuple[float, float] | None, peer: tuple[float, float] | None) -> str:
    cpu, wall = _medians(samples)
    peak = statistics.median(sample.peak for sample in samples)
    each = f"{samples[0].written / samples[0].records:.1f}" if samples[0].written else ""
    ratios = f"{f'{cpu / floor[0]:.2f}' if floor else ''} | {f'{peer[0] / cpu:.2f}, {peer[1] / wall:.2f}' if peer else ''}"
    return f"| {name} | {cpu * 1e9:,.0f} | {wall * 1e9:,.0f} | {peak / 1e6:,.0f} | {each} | {ratios} |"


def _stages(root: Path, options: argparse.Namespace) -> Iterator[str]:
    """The table of stages, line by line."""
    yield "| stage (goal) | CPU ns/record | wall ns/record | peak MB | bytes/record | to floor | peer / this: CPU, wall |"
    yield "|---|---|---|---|---|---|---|"
    for number, stage in enumerate(STAGES):
        if options.only and options.only not in stage.name:
            continue
        works = {which: work for which in ("ours", "floor", "peer") if (work := getattr(stage, which))}
        samples: dict[str, list[Sample]] = {which: [] for which in works}
        for _ in tqdm(range(options.repeats), desc=stage.name, disable=None, leave=False):
            for which in works:
                samples[which].append(_sample(number, which, root))
        medians = {which: _medians(found) for which, found in samples.items()}
        for which, found in samples.items():
            told = getattr(works[which], "work", works[which]).__doc__
            name = f"**{stage.name}** ({stage.goal})" if which == "ours" else f"{which}: {told}".split(".")[0]
            yield _row(name, found, medians.get("floor"), medians.get("peer"))


def _processes(root: Path, options: argparse.Namespace) -> Iterator[str]:
    """What is measured on processes that talk to one another: the bus, the gateway."""
    for name, words in (("live", ["--data", str(root), "--date", str(DATE), "--seconds", "30"]), ("gateway", [])):
        if options.only and options.only != name:
            continue
        yield f"\n## {name.capitalize()}\n"
        command = [sys.executable, "-m", f"benchmarks.{name}", *words]
        yield subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.rstrip()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--only", help="only the stages whose name holds this; live or gateway: only that")
    parser.add_argument("--data", type=Path, help="keep the simulated date here (default: a temporary folder)")
    parser.add_argument("--write", type=Path, help="write what is printed into this file, too")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        root = (options.data or Path(temporary)).absolute()
        root.mkdir(parents=True, exist_ok=True)
        records = prepare(root, options.records) // 368
        call = f"`python -m benchmarks --records {options.records} --repeats {options.repeats}`"
        machine = f"{records:,} records, {os.cpu_count()} cores, {platform.machine()}"
        said = [f"# Results\n\n{call}: {machine}, medians; what it means: docs/benchmarks.md.\n"]
        print(said[0], flush=True)
        for line in chain(_stages(root, options), _processes(root, options)):
            print(line, flush=True)
            said.append(line)
        if options.write:
            options.write.write_text("\n".join(said) + "\n")


if __name__ == "__main__":
    main()
