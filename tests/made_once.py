"""What takes long to make and nobody changes afterwards: made once a test run, by the first worker that asks for it.

conftest.py begins before the workers start; without pytest the folder is the process's own.
"""

import atexit
import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

FOLDER: Final = "SPYMASTER_MADE_ONCE"  # the environment's name for the folder of this test run


def begin() -> None:
    """A new folder, for this process and those that it starts, which goes with it."""
    os.environ[FOLDER] = tempfile.mkdtemp(prefix="spymaster_tests_")
    atexit.register(shutil.rmtree, os.environ[FOLDER], ignore_errors=True)


def made_once(name: str, make: Callable[[Path], object]) -> Path:
    """A folder that `make` has filled, in this process or in another; who changes it changes a copy.

    Whoever asks meanwhile waits. What a failure left is made anew under another name.
    """
    if FOLDER not in os.environ:
        begin()
    root = Path(os.environ[FOLDER])
    with (root / f"{name}.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        folder, done = root / name, root / f"{name}.done"
        if not done.exists():
            folder = folder.with_name(f"{name}.{os.getpid()}")
            folder.mkdir()
            make(folder)
            done.write_text(folder.name)
        return root / done.read_text()
