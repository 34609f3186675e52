"""Files that are replaced whole, by several machines in one folder."""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from spymaster_assets.store import DAY, files_below, size_of, temporary_of, write_atomic


@pytest.fixture
def ended() -> int:
    """The number of a process that is no more."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        pass
    return process.pid


def left_by(path: Path, process: int, age: float = 0.0) -> Path:
    """What a process of the machine that we are now has left of a file."""
    left = path.with_name(temporary_of(path).name.replace(f".{os.getpid()}.", f".{process}."))
    left.write_bytes(b"half of it")
    os.utime(left, (time.time() - age,) * 2)
    return left


def test_containers_that_share_a_folder_do_not_write_into_one_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of them counts its processes from 1."""
    path, names = tmp_path / "champion.json", set()
    monkeypatch.setattr(os, "getpid", lambda: 1)
    for host in ("dagster", "engine.local", "engine/7"):
        monkeypatch.setattr(socket, "gethostname", lambda host=host: host)
        names.add(temporary_of(path))
    assert len(names) == 3 and {name.parent for name in names} == {tmp_path}


def test_what_is_swept_is_of_nobody(tmp_path: Path, ended: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that ended here; on another machine, whose processes cannot be seen, one that wrote nothing for a day."""
    path = tmp_path / "a file.json"
    running, dead, other = left_by(path, os.getppid()), left_by(path, ended), tmp_path / ".another.json.1.tmp"
    other.write_bytes(b"")
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr(socket, "gethostname", lambda: "elsewhere")
        at_work, long_gone = left_by(path, ended), left_by(path, os.getpid(), age=2 * DAY)
    write_atomic(path, b"{}")
    assert {*tmp_path.iterdir()} == {path, running, at_work, other} and path.read_bytes() == b"{}"
    assert not dead.exists() and not long_gone.exists()


def test_a_folder_that_goes_while_one_looks_is_no_trouble(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a model's does when it is trained and gets its name: it is gone between two looks, that at its parent and that into it."""
    (tmp_path / "stays").mkdir()
    (tmp_path / "stays" / "file").write_bytes(b"four")
    (tmp_path / "file").symlink_to(tmp_path / "stays" / "file")
    look = os.scandir

    def late(place: str | Path) -> object:
        if Path(place).name == "goes":
            Path(place).rmdir()
        return look(place)

    monkeypatch.setattr(os, "scandir", late)
    (tmp_path / "goes").mkdir()
    assert sorted(files_below(tmp_path)) == [tmp_path / "file", tmp_path / "stays" / "file"]
    (tmp_path / "goes").mkdir()
    assert (size_of(tmp_path), size_of(tmp_path / "nothing")) == (8, 0)
