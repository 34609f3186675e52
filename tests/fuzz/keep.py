"""Choose the inputs that are kept: `python -m tests.fuzz.keep TARGET FROM TO`, with NUMBA_DISABLE_JIT=1.

The smallest first, an input is kept if it takes a step from one line to another, within the readers, that none before it took.
"""

import hashlib
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any, Final

from spymaster_assets import dbn
from spymaster_live import messages, split, symbols
from tests.fuzz.targets import TARGETS

WATCHED: Final = {str(module.__file__) for module in (dbn, messages, split, symbols)}
Step = tuple[str, int, int]  # file, line, next line


def steps(check: Callable[[bytes], str], data: bytes) -> set[Step]:
    """The steps that a check of an input takes, and what it says."""
    found: set[Step] = set()

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        if frame.f_code.co_filename not in WATCHED:
            return None
        last = frame.f_lineno

        def line(inner: FrameType, kind: str, _: Any) -> Any:
            nonlocal last
            if kind == "line":
                found.add((inner.f_code.co_filename, last, inner.f_lineno))
                last = inner.f_lineno
            return line

        return line

    sys.settrace(trace)
    try:
        found.add((check(data), 0, 0))
    finally:
        sys.settrace(None)
    return found


def chosen(target: str, inputs: list[bytes]) -> list[bytes]:
    """The inputs that are worth keeping."""
    taken: set[Step] = set()
    found = []
    for data in sorted(inputs, key=lambda data: (len(data), data)):
        reached = steps(TARGETS[target], data)
        if reached - taken:
            taken |= reached
            found.append(data)
    return found


def main(target: str, source: Path, kept: Path) -> None:
    every = [path.read_bytes() for folder in (source, kept) for path in folder.iterdir()]
    found = chosen(target, every)
    for path in kept.iterdir():
        path.unlink()
    for data in found:
        (kept / hashlib.sha256(data).hexdigest()[:16]).write_bytes(data)
    print(f"{target}: {len(found)} of {len(every)} inputs are kept, {sum(map(len, found)):,} bytes")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
