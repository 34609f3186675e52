"""Doctor finds what is broken: the real thing is broken, and named. Parquet pages and missing dates: test_staleness.py."""

import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from spymaster_assets.cli import main
from spymaster_assets.config import Config
from spymaster_assets.doctor import examine_lake, examine_models
from spymaster_assets.finding import Finding
from spymaster_assets.lake import Lake, LakeError
from spymaster_assets.layout import FORMAT, FORMAT_FILE, format_of
from spymaster_assets.migration import migrate
from spymaster_assets.models.artifacts import Artifacts
from spymaster_assets.store import Disk
from spymaster_assets.whole import broken
from spymaster_live import server
from tests.build import DATE, landing_of_a_date
from tests.disks import disk
from tests.models.small_lake import DATES, copied, trained


def spymaster(root: Path, *words: str) -> Result:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPYMASTER_DATA", str(root))
        patch.setenv("DAGSTER_HOME", str(root / "dagster"))
        return CliRunner().invoke(main, ["--data", str(root), *words], catch_exceptions=False)


def problems(findings: list[Finding]) -> list[str]:
    return [one.message for one in findings if not one.well]


@pytest.mark.parametrize("change", ["a bit", "gone", "one more"])
def test_a_model_that_was_tampered_with_is_named(tmp_path: Path, change: str) -> None:
    lake = copied(trained(), tmp_path)
    assert problems(list(examine_models(lake))) == []
    manifest = Artifacts(lake).manifest("trees", DATES[-1])
    assert manifest is not None
    folder = lake.root / "models" / "trees" / manifest.content
    path = folder / sorted(manifest.files)[0]
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    if change == "a bit":
        path.write_bytes(raw)
    elif change == "gone":
        path.unlink()
    else:
        path = folder / "another"
        path.write_text("x")
    told = problems(list(examine_models(lake)))
    assert len(told) == 2 and f"{path}: expected SHA-256" in told[0] and "train the date again" in told[0]
    assert told[1].startswith("models: ") and "are what their manifests say" in told[1]


def test_a_champion_that_is_none_is_named(tmp_path: Path) -> None:
    lake = copied(trained(), tmp_path)
    Artifacts(lake).crown({"name": "trees", "since": "2025-06-13", "why": "", "verdicts": []})
    assert problems(list(examine_models(lake))) == []
    for path in (lake.root / "models" / "trees").glob("date=*"):
        shutil.rmtree(path)
    assert problems(list(examine_models(lake))) == ["trees serves, and no date has a model of it: spymaster walk-forward"]
    (lake.root / "models" / "champion.json").write_text("{}")
    assert "champion.json: expected the champion" in problems(list(examine_models(lake)))[0]


def test_a_disk_that_is_nearly_full_is_named(tmp_path: Path) -> None:
    config = Config.model_validate({"doctor": {"disk_bytes_min": 1 << 20}})
    with disk(tmp_path / "lake", "4m"):
        root = tmp_path / "lake"
        (root / "landing").mkdir()
        assert not [one for one in problems(list(examine_lake(Lake(root, config)))) if "free" in one]
        (root / "filling").write_bytes(bytes(3_500_000))
        [told] = [one for one in problems(list(examine_lake(Lake(root, config)))) if "free" in one]
        assert told.startswith(f"0.0 GB free at {root}, expected 0.0 GB") and "operate.md#disk" in told
        [told] = [one for one in problems(list(examine_lake(Lake(root, Config())))) if "free" in one]
        assert "expected 5.4 GB" in told


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


def test_a_landing_file_that_was_cut_is_named_by_status_and_doctor(tmp_path: Path) -> None:
    landing_of_a_date(tmp_path)
    path = tmp_path / "landing" / f"book-{DATE}.dbn.zst"
    assert broken(path) is None
    cut(path)
    told = f"landing/{path.name}: it was cut: its last frame begins at byte "
    assert f"cannot be read: {told}" in spymaster(tmp_path, "status").output
    assert f"PROBLEM  {told}" in spymaster(tmp_path, "doctor").output


def test_status_names_the_only_landing_file_if_it_is_none(tmp_path: Path) -> None:
    (tmp_path / "landing").mkdir()
    (tmp_path / "landing" / "notes.dbn").write_text("not DBN")
    told = spymaster(tmp_path, "status")
    assert told.exit_code == 1 and "not used: landing/notes.dbn: " in told.output


def test_every_file_that_is_whole_is_found_whole_and_every_cut_of_one_is_found(tmp_path: Path) -> None:
    """Several frames, one with a checksum, one that can be skipped; cut at every byte."""
    import zstandard

    frames = [zstandard.ZstdCompressor(write_checksum=check).compress(bytes(range(256)) * 9) for check in (True, False)]
    frames.insert(1, bytes.fromhex("502a4d18") + (5).to_bytes(4, "little") + b"words")
    whole, path = b"".join(frames), tmp_path / "some.dbn.zst"
    ends = {sum(map(len, frames[:count])) for count in range(4)}
    found = set()
    for size in range(1, len(whole) + 1):
        path.write_bytes(whole[:size])
        if broken(path) is None:
            found.add(size)
    assert found == ends - {0}
    path.write_bytes(whole + b"and more than a frame's header")
    assert broken(path) == f"at byte {len(whole):,}: expected a zstd frame, found other bytes"


def test_training_without_data_says_what_is_missing(tmp_path: Path) -> None:
    told = spymaster(tmp_path, "train", "2025-08-01")
    assert told.exit_code == 1 and "nothing to learn from: no date of its window has Gold" in told.output


def test_a_lake_of_a_later_version_is_refused_everywhere(tmp_path: Path) -> None:
    from spymaster_assets.assets.resources import LakeResource
    from spymaster_live.__main__ import main as live

    (tmp_path / FORMAT_FILE).write_text(f'{{"format": {FORMAT + 1}}}')
    told = f"{tmp_path} is a lake of format {FORMAT + 1}, made by a later version; this one knows up to {FORMAT}: upgrade"
    for words in (("status",), ("day", str(DATE)), ("doctor",), ("migrate",), ("backup", str(tmp_path.parent / "copy"))):
        done = spymaster(tmp_path, *words)
        assert done.exit_code == 1 and told in done.output, words
    with pytest.raises(LakeError, match="made by a later version"):
        LakeResource(root=str(tmp_path)).lake()
    done = CliRunner().invoke(live, ["--data", str(tmp_path), "hand-over", str(DATE)])
    assert done.exit_code == 1 and told in done.output


def test_an_older_lake_is_brought_forward_step_by_step_even_if_a_step_was_killed(tmp_path: Path) -> None:
    """A step renames; the one after it fails once, and goes on from where the lake stands."""
    (tmp_path / "silver" / "bars").mkdir(parents=True)
    failing = [True]

    def renames(root: Path) -> None:
        (root / "silver" / "bars").rename(root / "silver" / "candles")

    def fails_once(root: Path) -> None:
        if failing.pop() if failing else False:
            raise OSError("killed")
        assert (root / "silver" / "candles").is_dir()

    steps = {1: renames, 2: fails_once}
    with pytest.raises(OSError, match="killed"):
        migrate(tmp_path, steps, 3)
    assert format_of(Disk(tmp_path)) == 2
    assert migrate(tmp_path, steps, 3) == f"{tmp_path}: from format 2 to 3"
    assert format_of(Disk(tmp_path)) == 3 and migrate(tmp_path, steps, 3) == f"{tmp_path}: format 3, as this version has it"
    with pytest.raises(LakeError, match="made by a later version"):
        migrate(tmp_path, steps, 2)


@pytest.mark.parametrize("content", ["{}", "nothing", '{"format": "1"}', '{"format": 0}', '{"format": true}'])
def test_a_broken_lake_json_is_a_sentence(tmp_path: Path, content: str) -> None:
    (tmp_path / FORMAT_FILE).write_text(content)
    done = spymaster(tmp_path, "status")
    assert done.exit_code == 1 and f'{tmp_path / FORMAT_FILE}: expected {{"format": NUMBER}}' in done.output


def test_doctor_says_that_live_does_not_run_or_that_a_bus_which_was_named_is_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "landing").mkdir()
    monkeypatch.setenv("NATS_URL", f"nats://user:secret@127.0.0.1:{server.free_port()}")
    told = spymaster(tmp_path, "doctor").output
    assert "PROBLEM  no NATS server at nats://127.0.0.1:" in told and "secret" not in told
