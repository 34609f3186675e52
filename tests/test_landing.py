"""What may lie in landing, or be brought there, and harms nothing: names, links, folders, bombs, files that change meanwhile."""

import os
import shutil
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from spymaster_assets import dbn, landing
from spymaster_assets.cli import main
from spymaster_assets.ingest import Ingested, Intake, ingest_date
from spymaster_assets.landing import receive
from tests import build
from tests.build import DATE
from tests.dbn_files import frame, header, mapping, naive_plain, records_of


@pytest.fixture
def sound(tmp_path: Path) -> Path:
    """A file that landing takes."""
    return build.write(tmp_path / "vendor", "sound.dbn.zst", "mbp-10", build.books(build.times(50)), DATE)


def ingest(root: Path, *paths: Path | str) -> Result:
    return CliRunner().invoke(main, ["--data", str(root), "ingest", *map(str, paths)], catch_exceptions=False)


def files_below(root: Path) -> list[str]:
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())


# ---- names ----


def test_where_a_file_comes_from_does_not_lead_where_it_goes(sound: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "a" / "b")
    assert ingest(tmp_path / "data", "../../vendor/sound.dbn.zst").exit_code == 0
    assert files_below(tmp_path / "data") == ["landing/futures/sound.dbn.zst"]


@pytest.mark.parametrize("name", [".dbn.zst", ".sound.dbn.zst", "..dbn.zst"])
def test_a_hidden_name_is_refused_because_nobody_would_see_the_file(sound: Path, tmp_path: Path, name: str) -> None:
    hidden = sound.rename(sound.with_name(name))
    result = ingest(tmp_path / "data", hidden)
    assert result.exit_code == 1 and "a hidden name, which landing passes over; rename it" in result.output
    assert files_below(tmp_path / "data") == []


@pytest.mark.parametrize("name", ["red \x1b[31m.dbn.zst", "two\nlines.dbn.zst", "not text \udcff.dbn.zst"])
def test_a_name_that_cannot_be_printed_is_refused_and_not_printed(sound: Path, tmp_path: Path, name: str) -> None:
    odd = sound.rename(sound.with_name(name))
    result = ingest(tmp_path / "data", odd)
    assert result.exit_code == 1 and "a name with signs that cannot be printed" in result.output
    assert len(result.output.splitlines()) == 1 and result.output.strip().isprintable()
    (tmp_path / "data" / "landing").mkdir(parents=True)
    shutil.copy(odd, tmp_path / "data" / "landing" / name)
    for _ in range(2):
        [file] = build.landing_at(tmp_path / "data").scan()
        assert file.problem == landing.UNPRINTABLE and file.path.isprintable()
    assert "cannot be printed" in CliRunner().invoke(main, ["--data", str(tmp_path / "data"), "doctor"]).output


def test_names_that_differ_in_case_alone_are_two_files(sound: Path, tmp_path: Path) -> None:
    other = build.write(tmp_path / "vendor", "SOUND.dbn.zst", "mbp-10", build.books(build.times(60)), DATE)
    assert ingest(tmp_path / "data", sound, other).exit_code == 0
    assert {file.path for file in build.landing_at(tmp_path / "data").scan() if not file.problem} == {
        "futures/SOUND.dbn.zst", "futures/sound.dbn.zst",
    }  # fmt: skip


def test_a_name_as_long_as_a_name_may_be_is_refused_in_a_sentence(sound: Path, tmp_path: Path) -> None:
    longest = sound.rename(sound.with_name("n" * (255 - len(".dbn.zst")) + ".dbn.zst"))
    result = ingest(tmp_path / "data", longest)
    assert result.exit_code == 1 and "File name too long" in result.output and files_below(tmp_path / "data") == []


# ---- links, folders, devices ----


def test_a_link_brings_what_it_leads_to_and_moving_it_leaves_that(sound: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.dbn.zst"
    link.symlink_to(sound)
    assert CliRunner().invoke(main, ["--data", str(tmp_path / "data"), "ingest", "--move", str(link)]).exit_code == 0
    target = tmp_path / "data" / "landing" / "futures" / "link.dbn.zst"
    assert not target.is_symlink() and target.read_bytes() == sound.read_bytes() and not link.is_symlink()


def test_a_folder_with_a_files_name_is_no_file_and_is_not_replaced(sound: Path, tmp_path: Path) -> None:
    there = tmp_path / "data" / "landing" / "futures" / "sound.dbn.zst"
    there.mkdir(parents=True)
    result = ingest(tmp_path / "data", sound)
    assert result.exit_code == 1 and "exists with other content; rename one of them" in result.output and there.is_dir()
    shutil.copy(sound, there / "inside.dbn.zst")
    assert [file.path for file in build.landing_at(tmp_path / "data").scan()] == ["futures/sound.dbn.zst/inside.dbn.zst"]
    assert ingest(tmp_path / "other", there.parent).exit_code == 0  # a folder that holds it is searched
    assert files_below(tmp_path / "other") == ["landing/futures/inside.dbn.zst"]


def test_links_into_nowhere_in_circles_and_to_folders_are_passed_over(sound: Path, tmp_path: Path) -> None:
    folder = tmp_path / "data" / "landing"
    folder.mkdir(parents=True)
    (folder / "nowhere.dbn.zst").symlink_to(tmp_path / "absent")
    (folder / "circle.dbn.zst").symlink_to(folder / "circle.dbn.zst")
    (folder / "up").symlink_to(tmp_path)
    (folder / "elsewhere.dbn.zst").symlink_to(sound)  # kept on another disk, say
    assert [(file.path, file.problem) for file in build.landing_at(tmp_path / "data").scan()] == [("elsewhere.dbn.zst", None)]


@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_what_is_no_regular_file_is_never_opened(tmp_path: Path, kind: str) -> None:
    """To open a pipe nobody writes to would wait for ever."""
    odd = tmp_path / "data" / "landing" / "odd.dbn.zst"
    odd.parent.mkdir(parents=True)
    if kind == "pipe":
        os.mkfifo(odd)
    else:
        odd.symlink_to("/dev/zero")
    assert build.landing_at(tmp_path / "data").scan() == []
    result = ingest(tmp_path / "other", odd)
    assert result.exit_code == 1 and "no file ending in" in result.output


def test_a_link_to_a_secret_shows_nothing_of_it(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("hunter2hunter2")
    link = tmp_path / "data" / "landing" / "link.dbn.zst"
    link.parent.mkdir(parents=True)
    link.symlink_to(secret)
    [file] = build.landing_at(tmp_path / "data").scan()
    assert file.problem and "expected a DBN file" in file.problem and "hunter2" not in file.problem


# ---- files that change ----


def test_a_file_that_changes_while_it_is_read_lands_as_it_was_read_or_not_at_all(sound: Path, tmp_path: Path) -> None:
    """Two contents in turn, each sound, and a damaged one between them."""
    first = sound.read_bytes()
    other = build.write(tmp_path / "vendor", "other.dbn.zst", "mbp-10", build.books(build.times(80)), DATE).read_bytes()
    contents, stop = (first, first[:-40], other, first[:60]), threading.Event()

    def change() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            sound.write_bytes(contents[number % len(contents)])

    thread = threading.Thread(target=change)
    thread.start()
    outcomes = set()
    try:
        until = time.monotonic() + 2.0
        while time.monotonic() < until and len(outcomes) < 2:
            root = tmp_path / "landing"
            outcome = receive(sound, root, build.CONFIG)
            outcomes.add(outcome.taken)
            landed = files_below(root) if root.exists() else []
            assert landed == (["futures/sound.dbn.zst"] if outcome.taken else [])
            if outcome.taken:
                kept = root / "futures" / "sound.dbn.zst"
                assert kept.read_bytes() in (first, other)
                kept.unlink()
    finally:
        stop.set()
        thread.join()
    assert False in outcomes


def test_what_is_read_is_what_lands(sound: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Damaged when it is described and copied, sound whenever anything looks at it again."""
    good, bad = sound.read_bytes(), sound.read_bytes()[:-40]
    sound.write_bytes(bad)
    copy = shutil.copyfile

    def copied(source: Path, target: Path) -> None:
        copy(source, target)
        sound.write_bytes(good)

    monkeypatch.setattr(shutil, "copyfile", copied)
    outcome = receive(sound, tmp_path / "landing", build.CONFIG)
    assert not outcome.taken and str(sound) in outcome.message and "expected an intact zstd stream" in outcome.message
    assert files_below(tmp_path / "landing") == []


def test_files_that_come_and_go_while_landing_is_searched(sound: Path, tmp_path: Path) -> None:
    root, stop = tmp_path / "data" / "landing", threading.Event()
    (root / "stays").mkdir(parents=True)
    shutil.copy(sound, root / "stays")

    def change() -> None:
        while not stop.is_set():
            for number in range(20):
                (root / f"{number}").mkdir(exist_ok=True)
                shutil.copy(sound, root / f"{number}" / "comes.dbn.zst")
            for number in range(20):
                shutil.rmtree(root / f"{number}")

    thread = threading.Thread(target=change)
    thread.start()
    try:
        until = time.monotonic() + 1.5
        while time.monotonic() < until:
            assert "stays/sound.dbn.zst" in {file.path for file in build.landing_at(tmp_path / "data").scan()}
    finally:
        stop.set()
        thread.join()


def test_a_full_disk_is_a_sentence_and_leaves_nothing(sound: Path, tmp_path: Path) -> None:
    """A limit on the size of files, which the kernel tells like a full disk."""
    code = f"""
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
from spymaster_assets.cli import main
resource.setrlimit(resource.RLIMIT_FSIZE, ({sound.stat().st_size - 1},) * 2)
main(["--data", {str(tmp_path / "data")!r}, "ingest", {str(sound)!r}])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "refused" in done.stdout and "File too large" in done.stdout, done.stderr
    assert "Traceback" not in done.stderr and files_below(tmp_path / "data") == []


# ---- bombs and lengths ----

MEASURED = """
import sys
from pathlib import Path
from spymaster_assets.config import Config
from spymaster_assets.landing import receive

def peak():
    return int(next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")).split()[1])

receive(Path(sys.argv[1]), Path(sys.argv[3]), Config())
before = peak()
print(receive(Path(sys.argv[2]), Path(sys.argv[3]), Config()).message)
print((peak() - before) // 1024)
"""


def received(small: Path, path: Path, root: Path) -> tuple[str, int]:
    """What is said of a file, and by how many MiB memory grew after a small one was read."""
    done = subprocess.run([sys.executable, "-c", MEASURED, small, path, root], capture_output=True, text=True, check=True)
    said, mib = done.stdout.splitlines()
    return said, int(mib)


def test_a_bomb_of_records_takes_time_and_no_memory(sound: Path, tmp_path: Path) -> None:
    """Half a gigabyte in a few kilobytes."""
    record = records_of("mbp-10", 1)
    record["instrument_id"] = build.IDS[build.FRONT]
    part = frame(record.tobytes() * 100_000)
    path = tmp_path / "bomb.dbn.zst"
    path.write_bytes(frame(naive_plain(sound)[: dbn.read_header(sound).length]) + part * 14)
    assert path.stat().st_size < 200_000
    said, mib = received(sound, path, tmp_path / "landing")
    assert "mbp-10, futures, 1,400,000 records" in said and mib < 64


@pytest.mark.parametrize("size", [1 << 28, 2**32 - 1])
def test_a_header_that_lies_about_its_length_costs_nothing(sound: Path, tmp_path: Path, size: int) -> None:
    path = tmp_path / "long.dbn"
    path.write_bytes(b"DBN\3" + struct.pack("<I", size) + header("trades")[8:])
    said, mib = received(sound, path, tmp_path / "landing")
    assert f"{size:,} bytes" in said and mib < 8


def test_a_bomb_of_a_header_is_bounded(sound: Path, tmp_path: Path) -> None:
    """256 MiB of zeros, the longest that is read: held once, and once as the decoder wants it."""
    path = tmp_path / "zeros.dbn.zst"
    packed = frame(bytes(1 << 24))
    path.write_bytes(frame(b"DBN\3" + struct.pack("<I", 1 << 28)) + packed * 16)
    assert path.stat().st_size < 30_000
    said, mib = received(sound, path, tmp_path / "landing")
    assert mib < 900 and said


def test_a_window_larger_than_we_allow_is_refused(tmp_path: Path) -> None:
    """A frame may ask its reader to remember 2 GiB; more than 128 MiB is not given."""
    content = header("trades") + records_of("trades", 4).tobytes()
    block = len(content) << 3 | 1  # the last block, raw
    path = tmp_path / "window.dbn.zst"
    for exponent, taken in ((17, True), (21, False)):
        path.write_bytes(b"\x28\xb5\x2f\xfd" + b"\0" + bytes([exponent << 3]) + block.to_bytes(3, "little") + content)
        try:
            rows = sum(len(chunk) for chunk in dbn.read(path, "trades"))
        except dbn.DbnError:
            rows = 0
        assert (rows == 4) == taken


@pytest.mark.parametrize("name", [b"\xff\xfe\x80", b"ESM5\0garbage", b""])
def test_symbols_may_be_any_bytes(tmp_path: Path, name: bytes) -> None:
    path = tmp_path / "data" / "landing" / "live.dbn"
    path.parent.mkdir(parents=True)
    path.write_bytes(header(None) + mapping(3, 7, name) + records_of("trades", 1).tobytes())
    [file] = build.landing_at(tmp_path / "data").scan()
    assert bool(file.problem) == (not name.startswith(b"ESM5"))
    assert dbn.live_symbols(path) == {7: name.partition(b"\0")[0].decode("latin-1")}
    assert receive(path, tmp_path / "landing", build.CONFIG).taken == (not file.problem)


@pytest.mark.parametrize(("start", "end"), [(0, 2**64 - 2), (2**63, 5), (0, 0)])
def test_times_beyond_every_calendar_serve_no_date(tmp_path: Path, start: int, end: int) -> None:
    path = build.write(tmp_path, "far.dbn.zst", "trades", build.trades(build.times(3)), DATE, start=start, end=end)
    outcome = receive(path, tmp_path / "landing", build.CONFIG)
    assert outcome.taken and "serves" in outcome.message


def test_definitions_with_names_that_are_no_text_are_other_instruments(tmp_path: Path) -> None:
    build.landing_of_a_date(tmp_path)
    rows = build.definitions([build.FRONT, "NQM5"], DATE)
    rows["raw_symbol"][1], rows["asset"][1] = b"\xff\xfe", b"\x80"
    build.write(tmp_path / "landing", "definitions.dbn.zst", "definition", rows, DATE, symbols=[build.FRONT, "NQM5"])
    found = ingest_date(Intake(DATE, build.lake_at(tmp_path), build.landing_at(tmp_path)))["definitions"]
    assert isinstance(found, Ingested) and found.manifest.rows == 1
    assert found.manifest.facts["files"][0]["other_instruments"] == {"ÿþ": 1}
