"""Fuzz a reader: `python -m tests.fuzz dbn|frames|split --minutes 10`. Wants atheris (`pip install -e '.[fuzz]'`), Linux.

Begins with tests/fuzz/corpus/TARGET and the seeds of spoil.py. Ends with 1 and leaves the input in crashes/ if a reader broke its
promise, hung for ten seconds or took 2 GiB. With --keep, inputs that reach what the kept ones do not are added to the corpus.
"""

import hashlib
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

import click

from tests.fuzz.spoil import MOST, SEEDS

CORPUS: Final = Path(__file__).parent / "corpus"
LIMITS: Final = ("-timeout=10", "-rss_limit_mb=2048", f"-max_len={MOST}")


def fuzzer(target: str, *arguments: str | Path) -> tuple[int, str]:
    """A run of libFuzzer: exit code and what it said."""
    command = [sys.executable, "-m", "tests.fuzz.run", target, *map(str, arguments), *LIMITS]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", check=False)
    return done.returncode, done.stdout


@click.command()
@click.argument("target", type=click.Choice([*SEEDS]))
@click.option("--minutes", default=10.0, help="How long.")
@click.option("--seed", default=1, help="Of libFuzzer's choices.")
@click.option("--keep", is_flag=True, help="Add to the corpus what reaches more.")
def main(target: str, minutes: float, seed: int, keep: bool) -> None:
    """Fuzz one reader for so long."""
    kept, crashes = CORPUS / target, Path("crashes")
    kept.mkdir(parents=True, exist_ok=True)
    crashes.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="spymaster_fuzz_") as folder:
        work = Path(folder)
        for data in SEEDS[target]():
            (work / hashlib.sha256(data).hexdigest()).write_bytes(data)
        time = f"-max_total_time={round(60 * minutes)}"
        code, said = fuzzer(target, work, kept, time, f"-seed={seed}", f"-artifact_prefix={crashes}/", "-print_final_stats=1")
        runs, covered = re.findall(r"number_of_executed_units:\s*(\d+)", said), re.findall(r"cov: (\d+) ft: (\d+)", said)
        click.echo(
            f"{target}: {int(runs[-1]) if runs else 0:,} inputs in {minutes:g} min, edges and features {covered[-1:]}, code {code}"
        )
        if code:
            click.echo(said[-6000:])
            sys.exit(1)
        if keep:
            command = [sys.executable, "-m", "tests.fuzz.keep", target, str(work), str(kept)]
            subprocess.run(command, env={**os.environ, "NUMBA_DISABLE_JIT": "1"}, check=True)
    if not any(crashes.iterdir()):
        crashes.rmdir()


if __name__ == "__main__":
    main()
