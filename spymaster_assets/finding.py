"""What `doctor` says of one thing that it looked at, here and in the live service."""

from __future__ import annotations

from dataclasses import dataclass

_HEADS = {True: "ok     ", False: "PROBLEM"}


@dataclass(frozen=True)
class Finding:
    """Is it well, and what was seen."""

    well: bool
    message: str

    def __str__(self) -> str:
        return f"{_HEADS[self.well]}  {self.message}"

    @staticmethod
    def read(line: str) -> Finding | None:
        """The finding that a line tells; None if it tells none."""
        for well, head in _HEADS.items():
            if line.startswith(f"{head}  "):
                return Finding(well, line.removeprefix(head).strip())
        return None


def counted(problems: int) -> str:
    """The last line."""
    return f"{problems} problem{'' if problems == 1 else 's'}" if problems else "all well"
