"""Fingerprints: a partition is current for its own alone, which says in words what changed; code is statements, not layout."""

import sys
from pathlib import Path

import pytest

from spymaster_assets.fingerprint import Fingerprint, _module_digest, code_digest
from spymaster_assets.lake import Lake
from tests.build import DATE
from tests.kinds import ALL_KINDS, NEW, OTHER, PRINT, SMALL, publish


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "it's a lake", SMALL)


def test_a_partition_is_current_for_its_own_fingerprint_only(lake: Lake) -> None:
    manifest = publish(lake, NEW)
    assert lake.current(ALL_KINDS, DATE, PRINT) == manifest == lake.manifest(ALL_KINDS, DATE)
    for other in (OTHER, Fingerprint(PRINT.inputs, "x", "code", "schema"), Fingerprint(PRINT.inputs, "config", "code", "x")):
        assert lake.current(ALL_KINDS, DATE, other) is None
        assert other.key != PRINT.key


def test_fingerprints_say_in_words_what_changed() -> None:
    before = Fingerprint({"a": "1", "b": "1", "c": "1"}, "config", "code", "schema")
    now = Fingerprint({"a": "1", "b": "2", "d": "1"}, "config", "code 2", "schema 2")
    assert now.differences(before) == ["code", "schema", "input b changed", "input c gone", "input d new"]
    assert Fingerprint({}, "other", "code", "schema").differences(Fingerprint({}, "config", "code", "schema")) == ["config"]
    assert before.differences(before) == []
    assert Fingerprint({"b": "1", "a": "1"}, "", "", "").key == Fingerprint({"a": "1", "b": "1"}, "", "", "").key


CODE = '"""A module."""\nLIMIT = 3\n\n\ndef f(x):\n    """Adds."""\n    # why\n    return x + LIMIT\n'


def digest_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str) -> str:
    folder = tmp_path / f"code{len(list(tmp_path.iterdir()))}"
    folder.mkdir()
    (folder / "some_module.py").write_text(code)
    with monkeypatch.context() as patch:
        patch.syspath_prepend(folder)
        _module_digest.cache_clear()
        found = code_digest("some_module")
    _module_digest.cache_clear()
    assert "some_module" not in sys.modules
    return found


@pytest.mark.parametrize(
    "code",
    [
        "LIMIT = 3\ndef f(x):\n    return x + LIMIT\n",
        '"""Another."""\nLIMIT = 3  # three\n\ndef f(x):\n    """Adds\n    up."""\n    return (x\n        + LIMIT)\n',
    ],
)
def test_the_code_digest_ignores_comments_docstrings_and_layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    assert digest_of(tmp_path, monkeypatch, code) == digest_of(tmp_path, monkeypatch, CODE)


@pytest.mark.parametrize(("old", "new"), [("3", "4"), ("x + LIMIT", "x - LIMIT"), ("def f(x)", "def f(x=1)"), ("= 3", "= 3.0")])
def test_the_code_digest_changes_with_the_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, old: str, new: str) -> None:
    assert digest_of(tmp_path, monkeypatch, CODE.replace(old, new)) != digest_of(tmp_path, monkeypatch, CODE)


def test_the_code_digest_of_no_module_is_an_error() -> None:
    with pytest.raises(ModuleNotFoundError, match="expected a module no_such_module"):
        code_digest("no_such_module")
