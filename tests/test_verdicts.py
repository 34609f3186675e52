"""How long the verdict on a partition holds: as long as nothing changes that its checks read, on the example of Gold's."""

import os
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import wraps
from pathlib import Path

import duckdb
import pytest

from spymaster_assets import quality
from spymaster_assets.config import Config
from spymaster_assets.gold_quality import GOLD_CHECKS
from spymaster_assets.lake import VERDICT, Lake
from spymaster_assets.quality import Check, Outcome, Partition, examine, recall
from spymaster_assets.tables import LABELS, OPTION_FLOW, PRIORS, SNAPS, TRAINING
from tests.defects import DATE, add, beside, flip, lose, measured, publish, put, shown, store
from tests.gold_lakes import sound_date


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    return sound_date(tmp_path_factory.mktemp("verdicts"))


KEPT = [
    check for check in GOLD_CHECKS if check.table is TRAINING and check.name in ("ranges", "geometry", "reconciliation", "calendar")
]


class Counted:
    """Some checks of training, and how often each has measured."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.checks = [replace(check, measure=self._counted(check)) for check in KEPT]

    def _counted(self, check: Check) -> Callable[[Partition], Outcome]:
        @wraps(check.measure)
        def measure(part: Partition) -> Outcome:
            self.calls[check.name] += 1
            return check.measure(part)

        return measure

    def measured(self, lake: Lake, checks: list[Check] | None = None) -> bool:
        """Examine; whether every check measured anew (none did otherwise)."""
        self.calls.clear()
        asked = self.checks if checks is None else checks
        found = examine(lake, TRAINING, DATE, asked)
        assert set(found) == {check.name for check in asked}
        assert self.calls in (Counter(), Counter(found.keys()))
        return bool(self.calls)


@pytest.fixture
def judged_before(made: Lake, tmp_path: Path) -> tuple[Lake, Counted]:
    """A lake of its own whose training has a verdict."""
    lake, counted = beside(made, tmp_path, TRAINING, LABELS, SNAPS, OPTION_FLOW, PRIORS), Counted()
    assert counted.measured(lake), "a partition that nobody looked at has no verdict"
    return lake, counted


def test_the_same_content_is_measured_once(judged_before: tuple[Lake, Counted]) -> None:
    lake, counted = judged_before
    verdict = lake.folder(TRAINING, DATE) / VERDICT
    before = verdict.read_bytes()
    first = recall(lake, TRAINING, DATE, counted.checks)
    assert not counted.measured(lake)
    assert first == examine(lake, TRAINING, DATE, counted.checks)
    assert verdict.read_bytes() == before


def test_a_recalled_verdict_is_what_was_measured(judged_before: tuple[Lake, Counted]) -> None:
    lake, counted = judged_before
    part = Partition(lake, TRAINING, DATE, duckdb.connect())
    anew = {check.name: check.measure(part) for check in KEPT}
    assert recall(lake, TRAINING, DATE, counted.checks) == anew


def test_a_failure_is_kept_too(judged_before: tuple[Lake, Counted]) -> None:
    lake, counted = judged_before
    publish(lake, TRAINING, lose(30))
    assert counted.measured(lake)
    assert not counted.measured(lake)
    found = recall(lake, TRAINING, DATE, counted.checks)
    assert found is not None and not found["reconciliation"].passed and found["geometry"].passed


def _published_again(lake: Lake) -> Lake:
    publish(lake, TRAINING, add("theta_8min", 1, 30))
    return lake


def _other_facts(lake: Lake) -> Lake:
    publish(lake, TRAINING, facts={"touches": 0})
    return lake


def _file_touched(lake: Lake) -> Lake:
    path = lake.path(TRAINING, DATE)
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 1))
    return lake


def _file_exchanged(lake: Lake) -> Lake:
    store(lake, TRAINING, lambda file: file)
    return lake


def _other_labels(lake: Lake) -> Lake:
    publish(lake, LABELS, add("label_version", 1, 30))
    return lake


def _other_priors(lake: Lake) -> Lake:
    publish(lake, PRIORS, put("dates", 1, slice(None)))
    return lake


def _other_threshold(lake: Lake) -> Lake:
    return Lake(lake.root, Config.model_validate({"quality": {"geometry_z_max": 4.0}}))


@pytest.mark.parametrize(
    "change",
    [_published_again, _other_facts, _file_touched, _file_exchanged, _other_labels, _other_priors, _other_threshold],
    ids=lambda change: change.__name__.strip("_").replace("_", " "),
)
def test_what_changed_is_measured_again(change: Callable[[Lake], Lake], judged_before: tuple[Lake, Counted]) -> None:
    lake, counted = judged_before
    changed = change(lake)
    assert recall(changed, TRAINING, DATE, counted.checks) is None
    assert counted.measured(changed)


def test_other_code_of_the_checks_measures_again(judged_before: tuple[Lake, Counted], monkeypatch: pytest.MonkeyPatch) -> None:
    lake, counted = judged_before
    digest = quality.code_digest
    for module in ("spymaster_assets.gold_quality", "spymaster_assets.quality"):
        with monkeypatch.context() as patch:
            patch.setattr(quality, "code_digest", lambda *names, module=module: digest(*names) + "*" * (module in names))
            assert counted.measured(lake), module
            assert not counted.measured(lake)
        assert counted.measured(lake)


def test_other_checks_measure_again(judged_before: tuple[Lake, Counted]) -> None:
    lake, counted = judged_before
    assert counted.measured(lake, counted.checks[:2])
    assert counted.measured(lake)


def test_a_table_that_no_check_reads_does_not_matter(judged_before: tuple[Lake, Counted]) -> None:
    lake, counted = judged_before
    publish(lake, OPTION_FLOW, lose(0))
    assert not counted.measured(lake)


def test_the_same_labels_published_again_do_not_matter(judged_before: tuple[Lake, Counted]) -> None:
    lake, counted = judged_before
    publish(lake, LABELS)
    assert not counted.measured(lake)


@pytest.mark.parametrize(
    "content", [b"", b"{", b"\xff\x00", b"{}", b"[]", None], ids=["empty", "cut", "binary", "other", "list", "gone"]
)
def test_a_verdict_that_cannot_be_read_is_ignored(content: bytes | None, judged_before: tuple[Lake, Counted]) -> None:
    lake, counted = judged_before
    verdict = lake.folder(TRAINING, DATE) / VERDICT
    verdict.unlink()
    if content is not None:
        verdict.write_bytes(content)
    assert recall(lake, TRAINING, DATE, counted.checks) is None
    assert counted.measured(lake)
    assert not counted.measured(lake)


def test_a_verdict_on_a_damaged_file_is_shown_and_not_believed(judged_before: tuple[Lake, Counted]) -> None:
    """`spymaster status` says of the file what the run found; the next run looks again, since a disk may have been at fault."""
    lake, counted = judged_before
    folder, path = lake.folder(TRAINING, DATE), lake.path(TRAINING, DATE)
    sound, verdict = path.read_bytes(), (folder / VERDICT).read_bytes()
    (folder / VERDICT).unlink()
    flip(lake, TRAINING, 0)
    assert not any(outcome.passed for outcome in examine(lake, TRAINING, DATE, counted.checks).values())
    kept = recall(lake, TRAINING, DATE, counted.checks)
    assert kept is not None and not any(outcome.passed for outcome in kept.values())
    refused = path.stat()
    path.write_bytes(sound)
    os.utime(path, ns=(refused.st_atime_ns, refused.st_mtime_ns))  # as far as the verdict can tell, the same file
    assert counted.measured(lake)
    assert all(outcome.passed for outcome in examine(lake, TRAINING, DATE, counted.checks).values())
    flip(lake, TRAINING, 0)
    (folder / VERDICT).write_bytes(verdict)  # an older one does not speak for the damaged file either
    assert recall(lake, TRAINING, DATE, counted.checks) is None


def test_a_second_run_shows_the_verdict_of_the_first(
    judged_before: tuple[Lake, Counted], made: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake, _ = judged_before
    first = measured(lake, TRAINING)
    monkeypatch.setattr(Partition, "row", lambda *_: pytest.fail("measured again"))
    again = measured(lake, TRAINING)
    assert {name: (one.passed, shown(one), one.description) for name, one in first.items()} == {
        name: (one.passed, shown(one), one.description) for name, one in again.items()
    }
