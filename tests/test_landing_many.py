"""Landing under many hands: the same file brought in twice at once, a disk full of files that arrives in one go."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from spymaster_assets import dbn, landing
from spymaster_assets.assets import automation
from spymaster_assets.assets.resources import LakeResource
from spymaster_assets.config import Config
from spymaster_assets.landing import ENDINGS, Landing, receive
from tests import build
from tests.build import DATE

CHECKOUT = Path(__file__).parents[1]
DIES = """
import os, shutil, signal, sys
from pathlib import Path
from spymaster_assets.config import Config
from spymaster_assets.landing import receive

def half(source, target):
    content = Path(source).read_bytes()
    Path(target).write_bytes(content[: len(content) // 2])
    os.kill(os.getpid(), signal.SIGKILL)

shutil.copyfile = half
receive(Path(sys.argv[1]), Path(sys.argv[2]), Config())
"""


@pytest.fixture
def sound(tmp_path: Path) -> Path:
    build.write(tmp_path / "in", "sound.dbn.zst", "trades", build.trades(build.times(500)), DATE)
    return tmp_path / "in" / "sound.dbn.zst"


def brought(root: Path) -> list[Path]:
    return [path for path in root.rglob("*") if path.is_file()]


def test_one_that_dies_at_the_same_file_spoils_nothing(sound: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While one reads its copy another begins to copy, and is killed half way; the first one moves, so its copy is all there is."""
    content, reading = sound.read_bytes(), dbn.read

    def read(path: Path, *args: Any, **more: Any) -> Any:
        done = subprocess.run([sys.executable, "-c", DIES, sound, tmp_path / "landing"], cwd=CHECKOUT, check=False)
        assert done.returncode == -9
        return reading(path, *args, **more)

    monkeypatch.setattr(dbn, "read", read)
    assert receive(sound, tmp_path / "landing", Config(), move=True).taken
    monkeypatch.setattr(dbn, "read", reading)
    assert not sound.exists()
    [path] = [path for path in brought(tmp_path / "landing") if path.name.endswith(ENDINGS)]
    assert path.read_bytes() == content
    sound.write_bytes(content)
    path.unlink()
    assert receive(sound, tmp_path / "landing", Config()).taken and brought(tmp_path / "landing") == [path]  # leftovers are swept


def test_of_two_files_of_one_name_the_second_is_refused_even_if_both_were_read_first(
    sound: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build.write(tmp_path / "other", sound.name, "trades", build.trades(build.times(50)), DATE)
    reading, told = dbn.read, []

    def read(path: Path, *args: Any, **more: Any) -> Any:
        if not told:
            told.append(None)
            code = "import sys; from pathlib import Path; from spymaster_assets.config import Config\n"
            code += (
                "from spymaster_assets.landing import receive; print(receive(Path(sys.argv[1]), Path(sys.argv[2]), Config()).taken)"
            )
            words = [sys.executable, "-c", code, tmp_path / "other" / sound.name, tmp_path / "landing"]
            done = subprocess.run(words, cwd=CHECKOUT, capture_output=True, text=True, check=False)
            assert done.stdout == "True\n", done.stderr
        return reading(path, *args, **more)

    monkeypatch.setattr(dbn, "read", read)
    second = receive(sound, tmp_path / "landing", Config(), move=True)
    assert not second.taken and "exists with other content" in second.message and sound.exists()


def test_what_is_moved_is_on_the_disk_before_it_is_taken_away(sound: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    syncing, unlinking = os.fsync, Path.unlink

    def fsync(handle: int) -> None:
        done.append(str(Path(f"/proc/self/fd/{handle}").readlink()))
        syncing(handle)

    def unlink(path: Path, *args: Any, **more: Any) -> None:
        if path == sound:
            done.append("taken away")
        unlinking(path, *args, **more)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "unlink", unlink)
    assert receive(sound, tmp_path / "landing", Config(), move=True).taken
    [path] = brought(tmp_path / "landing")
    assert (
        len(done) == 3 and done[0].startswith(str(path.parent / f".{path.name}.")) and done[1:] == [str(path.parent), "taken away"]
    )


@pytest.fixture
def many(tmp_path: Path) -> Path:
    """A lake into whose landing seven files have come."""
    for number in range(7):
        build.write(tmp_path / "landing", f"{number}.dbn.zst", "trades", build.trades(build.times(5 + number)), DATE)
    return tmp_path


def test_the_sensor_looks_at_many_files_in_many_ticks_and_runs_dates_once(many: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(automation, "LOOK_SECONDS", 0.0)
    hashed: list[Path] = []
    hashing = landing.file_hash
    monkeypatch.setattr(landing, "file_hash", lambda path: hashed.append(path) or hashing(path))
    looks, cursor, requests = [], None, []
    for _ in range(9):
        before = len(hashed)
        with dg.build_sensor_context(cursor=cursor, definitions=None) as context:
            said = automation.landing_sensor(context, lake=LakeResource(root=str(many)))
        looks.append(len(hashed) - before)
        if isinstance(said, dg.SensorResult):
            cursor, requests = said.cursor or cursor, [*requests, *(said.run_requests or [])]
        elif len(looks) < 7:
            assert isinstance(said, dg.SkipReason) and f"{7 - len(looks)} new files" in (said.skip_message or "")
    assert looks == [1] * 7 + [0, 0]
    assert [request.partition_key for request in requests] == [str(DATE), "2025-06-04"]  # which share the UTC day


def test_what_was_found_out_is_kept_however_the_search_ends(many: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(landing, "KEEP_SECONDS", 0.0)
    hashing, seen = landing.file_hash, []

    def until_killed(path: Path) -> str:
        if len(seen) == 4:
            raise KeyboardInterrupt
        seen.append(path)
        return hashing(path)

    monkeypatch.setattr(landing, "file_hash", until_killed)
    with pytest.raises(KeyboardInterrupt):
        Landing(many / "landing", Config()).scan()
    seen.clear()
    monkeypatch.setattr(landing, "file_hash", lambda path: seen.append(path) or hashing(path))
    assert len(Landing(many / "landing", Config()).scan()) == 7 and len(seen) == 3


def test_files_that_are_the_same_are_neither_read_nor_noted_again(
    sound: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A year has 3,500 files, and every table of every date looks: the index is written only when it says something else."""
    noted: list[Path] = []
    monkeypatch.setattr(landing, "write_atomic", lambda path, content: (noted.append(path), path.write_bytes(content)))
    root = tmp_path / "landing"
    (root / "a").mkdir(parents=True)
    for path in ("one.dbn.zst", "a-b.dbn.zst", "a/two.dbn.zst"):
        (root / path).write_bytes(sound.read_bytes() + b"\0" * len(path))
    first = Landing(root, Config()).scan()
    assert [file.path for file in first] == ["a/two.dbn.zst", "a-b.dbn.zst", "one.dbn.zst"]  # by folders, then by names
    monkeypatch.setattr(landing, "file_hash", lambda path: pytest.fail(f"{path} was read again"))
    assert Landing(root, Config()).scan() == first and len(noted) == 1
    (root / "one.dbn.zst").unlink()
    assert Landing(root, Config()).scan() == first[:2] and len(noted) == 2
