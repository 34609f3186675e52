"""One measurement: `python -m benchmarks.measure STAGE ours|floor|peer FOLDER` prints a Sample as JSON."""

import json
import resource
import sys
import time
from dataclasses import asdict
from pathlib import Path

from benchmarks.stages import STAGES, Sample, held, warm


def measure(stage: int, which: str, root: Path) -> Sample:
    """Run one of a stage's three works with everything imported and compiled beforehand."""
    warm()
    work = getattr(STAGES[stage], which)
    for what in STAGES[stage].needs:
        held(root, what)
    if STAGES[stage].needs:
        work(root)  # compiled, and its pages touched
    before, start = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    found = work(root)
    if isinstance(found, Sample):
        return found
    records, written = found
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    peak = next(
        int(line.split()[1]) << 10 for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")
    )
    return Sample(records, written, cpu, wall, peak)


if __name__ == "__main__":
    print(json.dumps(asdict(measure(int(sys.argv[1]), sys.argv[2], Path(sys.argv[3])))))
