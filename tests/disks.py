"""A disk that fills up: a real file system of a few bytes."""

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest


@contextmanager
def disk(folder: Path, size: str) -> Iterator[Callable[[], object]]:
    """A file system of so many bytes at a folder that is made; what is yielded makes room on it."""
    if os.geteuid():
        pytest.skip("only root may mount")
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "spymaster-test", folder], capture_output=True).returncode:
        pytest.skip("nothing may be mounted here")
    try:
        yield partial(subprocess.run, ["mount", "-o", "remount,size=512m", folder], check=True)
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)
