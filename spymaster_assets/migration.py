"""From a lake of an older format to this version's, step by step.

A format's number rises only where files lie elsewhere, or mean something else, than a program of the number before took them to.
What a table holds is another matter: columns, code and parameters stand in each partition's fingerprint; what differs is stale.
"""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from spymaster_assets.layout import FORMAT, LakeError, format_of, write_format
from spymaster_assets.store import Disk

Step = Callable[[Path], None]
STEPS: Final[Mapping[int, Step]] = {}  # what leads from a format to the next: renames, and may be run again after a kill


def migrate(root: Path, steps: Mapping[int, Step] = STEPS, last: int = FORMAT) -> str:
    """Do what leads to format `last`; what was done, in a sentence. LakeError for a lake that is newer, or none."""
    if not root.is_dir():
        raise LakeError(f"{root} is not there")
    with (root / ".migration.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        found = format_of(Disk(root))
        if found > last:
            raise LakeError(f"{root} is a lake of format {found}, made by a later version; this one knows up to {last}: upgrade")
        for number in range(found, last):
            steps[number](root)
            write_format(Disk(root), number + 1)
    return f"{root}: format {last}, as this version has it" if found == last else f"{root}: from format {found} to {last}"
