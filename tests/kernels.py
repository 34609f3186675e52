"""Compile the kernels that most tests need: `python -m tests.kernels day`, or `simulator`.

The workers of a test run start at once; each would compile the same for a minute. conftest.py has it done before, once.
"""

import sys

from spymaster_assets.config import Config
from spymaster_live.rehearsal import rehearse
from tests import short_day, test_golden


def compile_part(part: str) -> None:
    """Of "day": what a date is made with, live and from files; the short day is simulated by the other part."""
    if part == "day":
        rehearse(Config())
        test_golden.tables()
    else:
        short_day.simulated()


if __name__ == "__main__":
    compile_part(sys.argv[1])
