"""`spymaster download` by batch jobs, and by either way with kills: nothing is lost, ordered or paid twice."""

import contextlib
import itertools
import json
import multiprocessing
import os
import random
import signal
import time
from collections import Counter
from pathlib import Path

import pytest

from spymaster_assets.download import Way
from spymaster_assets.lake import MANIFEST
from spymaster_assets.staged import entries
from tests.vendor.bringing import bring
from tests.vendor.buying import DATE, NAMES, configure, contents, download, landing_of, on_its_way, spymaster, without_costs
from tests.vendor.historical import KEY, Fault, Historical

KILLS = 8
FILES = ("download", "timeseries.get_range")
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["tests.vendor.bringing"])


# Batch jobs


def test_large_requests_go_by_batch_and_small_ones_by_stream(
    vendor: Historical, downloaded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vendor.charges.clear()
    configure(vendor, tmp_path, monkeypatch, "batch_bytes = 4000000")
    root = tmp_path / "again"
    assert download(root, [DATE], "--yes").exit_code == 0
    assert [charge.schema for charge in vendor.charges if charge.way == "batch"] == ["mbp-10"]
    assert len(vendor.charges) == len(NAMES)
    assert without_costs(contents(root)) == without_costs(contents(downloaded))
    entry = entries(landing_of(root), DATE)["futures_mbp10-ESM5"]
    assert entry["job"] in vendor.jobs and len(entry["sha256"]) == 64


@pytest.mark.parametrize("ranges", [True, False])
def test_a_file_that_breaks_off_is_continued(vendor: Historical, downloaded: Path, tmp_path: Path, ranges: bool) -> None:
    vendor.charges.clear()
    vendor.honours_ranges = ranges
    vendor.faults["download"] = [Fault(), Fault(), Fault(drop_at=30_000), Fault(drop_at=20_000), Fault(500), Fault(cut_at=8192)]
    root = tmp_path / "again"
    result = download(root, [DATE], "--yes", "--batch", schemas="definition,trades,mbp-10")
    assert result.exit_code == 1 or ranges, result.output
    assert len(vendor.charges) == 4
    if not ranges:  # every attempt began anew: another run completes it, for nothing
        assert download(root, [DATE], "--yes", "--batch", schemas="definition,trades,mbp-10").exit_code == 0
    assert len(vendor.charges) == 4 and {charge.way for charge in vendor.charges} == {"batch"}
    for name, content in contents(root).items():
        assert name.endswith(MANIFEST) or content == contents(downloaded)[name]
    if ranges:
        [longest] = [job for job, n in Counter(job for job, _, _ in vendor.ranges).items() if n == 4]
        pieces = [(first, sent) for job, first, sent in vendor.ranges if job == longest]
        assert [first for first, _ in pieces] == [0, 30_000, 50_000, 58_192]
        assert sum(sent for _, sent in pieces) == entries(landing_of(root), DATE)["futures_mbp10-ESM5"]["bytes"]


def test_a_wrong_checksum_is_fetched_again_and_never_lands(vendor: Historical, tmp_path: Path) -> None:
    vendor.wrong_checksum = 1
    wrong = download(tmp_path, [DATE], "--yes", "--batch", schemas="definition")
    assert wrong.exit_code == 1 and "gave up after 4 attempts: expected sha256 0000" in wrong.output
    assert contents(tmp_path) == {} and len(vendor.ranges) == 4
    right = download(tmp_path, [DATE], "--yes", "--batch", schemas="definition")
    assert right.exit_code == 0 and len(vendor.charges) == 1


def test_a_files_name_at_the_vendors_leads_nowhere(vendor: Historical, tmp_path: Path) -> None:
    vendor.files_below = "../../../../evil/"
    assert download(tmp_path, [DATE], "--yes", "--batch", schemas="definition").exit_code == 0
    names = ("definitions.dbn.zst", MANIFEST)
    assert {*contents(tmp_path)} == {f"landing/download/{DATE}/{name}" for name in names}


@pytest.mark.parametrize(
    "host", ["https://example.org", "https://127.0.0.1.example.org", "https://evil-databento.com", "http://127.0.0.1"]
)
def test_the_key_is_shown_to_nobody_but_the_vendor(vendor: Historical, tmp_path: Path, host: str) -> None:
    vendor.files_at = host
    result = download(tmp_path, [DATE], "--yes", "--batch", schemas="definition")
    assert result.exit_code == 1 and "expected a file" in result.output and host in result.output
    assert KEY not in result.output and contents(tmp_path) == {} and vendor.ranges == []


@pytest.mark.parametrize("name", ["../../../etc/passwd", "/etc/passwd", "..", "a/b", ""])
def test_a_manifest_names_no_file_outside_its_folder(downloaded: Path, name: str) -> None:
    path = downloaded / "landing" / "download" / str(DATE) / MANIFEST
    manifest = json.loads(path.read_text())
    manifest["files"][name] = manifest["files"].pop("definitions")
    path.write_text(json.dumps(manifest))
    with pytest.raises(ValueError, match="expected the manifest of a download"):
        entries(landing_of(downloaded), DATE)
    result = spymaster(downloaded, "doctor")
    assert result.exit_code == 1 and str(path) in result.output


@pytest.fixture
def slow_jobs(vendor: Historical, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs that are not done before patience is over."""
    configure(vendor, tmp_path, monkeypatch, wait=0.1)
    vendor.looks_until_done = 10**6


@pytest.mark.usefixtures("slow_jobs")
def test_a_job_that_takes_long_is_told_and_found_by_the_next_run(vendor: Historical, tmp_path: Path) -> None:
    first = download(tmp_path, [DATE], "--yes", "--batch", schemas="definition")
    assert first.exit_code == 1 and "is still processing; run again later, it is paid and goes on" in first.output
    vendor.looks_until_done = 0
    second = download(tmp_path, [DATE], "--batch", schemas="definition")  # nothing is to be paid, nobody is asked
    assert second.exit_code == 0, second.output
    assert len(vendor.jobs) == len(vendor.charges) == 1


@pytest.mark.usefixtures("slow_jobs")
def test_a_job_is_never_ordered_twice(vendor: Historical, tmp_path: Path) -> None:
    """Neither where the answer to the order was lost, nor where its state was."""
    vendor.faults["batch.submit_job"] = [Fault(503, act=True)]
    assert download(tmp_path, [DATE], "--yes", "--batch", schemas="definition").exit_code == 1
    assert len(vendor.jobs) == 1
    for state in (tmp_path / "landing").rglob(".download/*/*.json"):
        state.write_text("{")
    vendor.looks_until_done = 0
    assert download(tmp_path, [DATE], "--yes", "--batch", schemas="definition").exit_code == 0
    assert len(vendor.jobs) == len(vendor.charges) == 1


@pytest.mark.usefixtures("slow_jobs")
def test_a_job_that_expired_is_told_and_then_priced_anew(vendor: Historical, tmp_path: Path) -> None:
    download(tmp_path, [DATE], "--yes", "--batch", schemas="definition")
    for job in vendor.jobs.values():
        job.state = "expired"
    vendor.looks_until_done = 0
    told = download(tmp_path, [DATE], "--yes", "--batch", schemas="definition")
    assert told.exit_code == 1 and "has expired at the vendor's; run again to price and order it anew" in told.output
    assert len(vendor.jobs) == 1
    unasked = download(tmp_path, [DATE], "--batch", schemas="definition")
    assert unasked.exit_code == 1 and "nothing was bought" in unasked.output and len(vendor.jobs) == 1
    assert download(tmp_path, [DATE], "--yes", "--batch", schemas="definition").exit_code == 0


# Kills


@pytest.mark.parametrize("way", ["batch", "stream"])
def test_kills_at_random_moments_lose_nothing_and_pay_nothing_twice(
    vendor: Historical, downloaded: Path, tmp_path: Path, way: Way
) -> None:
    """Batch jobs are charged once whatever happens; of streams, at most the one that a kill broke off is charged again."""
    root, chance, kills, trouble = tmp_path / "killed", random.Random(20250603), 0, None
    vendor.charges.clear()
    vendor.seconds_per_block = 0.002
    while trouble is None:
        ours, theirs = FORKS.Pipe()
        process = FORKS.Process(target=bring, args=(root, DATE, way, dict(os.environ), theirs))
        process.start()
        theirs.close()
        assert ours.recv() == "ready"
        ours.send("go")
        if kills < KILLS:  # after some more requests of any kind, or in the midst of a file
            due, before = (chance.randint(1, 12) if kills % 2 else 1), len(vendor.asked)
            while process.is_alive() and sum(one in FILES or kills % 2 for one in vendor.asked[before:]) < due:
                time.sleep(0.002)
            time.sleep(chance.uniform(0, 0.1))
            process.kill()
        else:
            vendor.seconds_per_block = 0.0
        with contextlib.suppress(EOFError, ConnectionError):
            trouble = ours.recv()
        process.join()
        kills += process.exitcode == -signal.SIGKILL
        ours.close()
    assert trouble == {} and kills >= 3, "runs were over before they were killed"
    assert without_costs(contents(root)) == without_costs(contents(downloaded))
    assert on_its_way(root) == []
    paid = Counter((charge.way, charge.schema, charge.symbols) for charge in vendor.charges)
    again = sum(paid.values()) - len(paid)
    assert len(paid) == len(NAMES) and {key[0] for key in paid} == {way}
    assert again == 0 if way == "batch" else again <= kills
    print(f"{way}: {kills} kills, {again} requests charged again, {len(vendor.ranges)} ranges asked for")
    if way == "batch":
        for job in vendor.jobs:
            pieces = sorted((first, first + sent) for name, first, sent in vendor.ranges if name == job)
            assert pieces[0][0] == 0 and all(later[0] <= earlier[1] for earlier, later in itertools.pairwise(pieces))
