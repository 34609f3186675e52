"""Models as files: named by what they hold, told apart from what was tampered with, and never half there."""

import dataclasses
import datetime as dt
import json
import multiprocessing
import os
import shutil

import pytest

from spymaster_assets.config import Config
from spymaster_assets.fingerprint import Fingerprint
from spymaster_assets.lake import MANIFEST, Lake, LakeError
from spymaster_assets.models.artifacts import (
    CHAMPION,
    GEOMETRY,
    INSUFFICIENT,
    TRAINED,
    Artifacts,
    ModelManifest,
    Trained,
)
from spymaster_assets.version import VERSION

MONDAY = dt.date(2025, 6, 2)
TUESDAY, FRIDAY = MONDAY + dt.timedelta(days=1), MONDAY + dt.timedelta(days=4)
PRINT = Fingerprint({"gold/training 2025-05-30": "1"}, "config", "code", "schema")
OTHER = dataclasses.replace(PRINT, code="other")


@pytest.fixture
def models(tmp_path):
    return Artifacts(Lake(tmp_path, Config()))


def writes(text="text", status=TRAINED, **files):
    """A training that writes model.txt, a file below a folder, and what else is named."""

    def train(folder):
        (folder / "model.txt").write_text(text)
        (folder / "stage_a").mkdir()
        (folder / "stage_a" / "index.json").write_text("{}")
        for name, content in files.items():
            (folder / name).write_text(content)
        return Trained(status, {"rounds": 3})

    return train


def fails(folder):
    (folder / "model.txt").write_text("half")
    raise OSError("the disk is full")


def never(folder):
    raise AssertionError("trained anew")


def made(models, date=MONDAY, fingerprint=PRINT, train=None):
    return models.make("trees", date, fingerprint, train or writes())


def test_a_model_is_named_by_what_it_holds(models):
    """The same files, whoever made them and from what: the same folder; one byte more: another."""
    first, carried = made(models)
    assert not carried and first.status == TRAINED and first.facts == {"rounds": 3, "version": VERSION}
    assert sorted(first.files) == ["model.txt", "stage_a/index.json"]
    assert models.folder(first) == models.root / "trees" / first.content
    again, carried = made(models, FRIDAY, OTHER)
    assert not carried and again.content == first.content and again.fingerprint == OTHER
    changed, _ = made(models, TUESDAY, dataclasses.replace(PRINT, config="other"), writes("text."))
    renamed, _ = made(models, TUESDAY, dataclasses.replace(PRINT, config="more"), writes(more=""))
    assert len({first.content, changed.content, renamed.content}) == 3
    assert models.folder(first).joinpath("model.txt").read_text() == "text"


def test_a_date_of_the_same_week_carries_the_model(models):
    first, _ = made(models)
    again, carried = made(models, train=never)
    assert carried and again == first
    other, carried = made(models, FRIDAY, train=never)
    assert carried and other == dataclasses.replace(first, date="2025-06-06")
    assert models.manifest("trees", FRIDAY) == other and models.manifest("trees", MONDAY) == first
    assert models.dates("trees") == [MONDAY, FRIDAY] and models.dates("retrieval") == []
    earlier, carried = made(models, MONDAY - dt.timedelta(days=3), train=never)
    assert carried and earlier.content == first.content


def test_a_manifest_reads_back(models):
    first, _ = made(models)
    assert ModelManifest.decode(first.encode()) == first
    assert models.manifest("trees", MONDAY) == first and models.manifest("trees", TUESDAY) is None
    assert models.current("trees", MONDAY, PRINT) == first and models.current("trees", MONDAY, OTHER) is None


@pytest.mark.parametrize("broken", ["", "{", "[]", '{"name": "trees"}', '{"fingerprint": {}}', '"trees"'])
def test_a_broken_manifest_is_told_and_made_again(models, broken):
    first, _ = made(models)
    path = models.root / "trees" / "date=2025-06-02" / MANIFEST
    path.write_text(broken)
    with pytest.raises(LakeError, match="expected a model's manifest"):
        models.manifest("trees", MONDAY)
    assert models.current("trees", MONDAY, PRINT) is None
    again, carried = made(models)
    assert not carried and again == first and models.manifest("trees", MONDAY) == first


@pytest.mark.parametrize(
    ("name", "tamper"),
    [
        ("model.txt", lambda path: path.write_text("Text")),
        ("model.txt", lambda path: path.write_text("")),
        ("model.txt", lambda path: path.unlink()),
        ("stage_a/index.json", lambda path: path.write_text("{} ")),
        ("stage_a/index.json", lambda path: shutil.rmtree(path.parent)),
        ("stage_a/more.json", lambda path: path.write_text("{}")),
        ("pickle.bin", lambda path: path.write_bytes(b"\x80")),
    ],
)
def test_a_file_that_is_not_the_models_is_named(models, name, tamper):
    """Changed, emptied, gone, or one too many; the date is trained again, and so are those that carried it."""
    first, _ = made(models)
    made(models, FRIDAY, train=never)
    tamper(models.folder(first) / name)
    with pytest.raises(LakeError, match=f"{first.content}/{name}: expected SHA-256"):
        models.folder(first)
    assert models.current("trees", MONDAY, PRINT) is None
    again, carried = made(models)
    assert not carried and again == first
    assert models.folder(first).joinpath("model.txt").read_text() == "text"
    assert made(models, FRIDAY, train=never)[1]


def test_a_folder_that_is_gone_names_what_is_missing(models):
    first, _ = made(models)
    shutil.rmtree(models.folder(first))
    with pytest.raises(LakeError, match=r"model\.txt: expected SHA-256"):
        models.folder(first)


def test_a_training_that_fails_leaves_the_old_model(models):
    first, _ = made(models)
    with pytest.raises(OSError, match="disk is full"):
        made(models, MONDAY, OTHER, fails)
    assert models.manifest("trees", MONDAY) == first and models.folder(first).is_dir()
    with pytest.raises(OSError, match="disk is full"):
        made(models, TUESDAY, OTHER, fails)
    assert models.manifest("trees", TUESDAY) is None
    again, carried = made(models, TUESDAY, OTHER, writes("new"))  # nothing of the half one is left
    assert not carried and models.folder(again).joinpath("model.txt").read_text() == "new"


def _dies(root, killed):
    """A process that trains Monday's model anew and dies before its manifest is written."""
    models = Artifacts(Lake(root, Config()))

    def train(folder):
        writes("new")(folder)
        if killed == "while training":
            os._exit(9)
        return Trained(TRAINED, {})

    def publish(self, manifest):
        os._exit(9)

    Artifacts._publish = publish
    made(models, MONDAY, OTHER, train)


@pytest.mark.parametrize("killed", ["while training", "before its manifest"])
def test_a_killed_process_leaves_the_old_model(models, killed):
    first, _ = made(models)
    process = multiprocessing.get_context("fork").Process(target=_dies, args=(models.lake.root, killed))
    process.start()
    process.join()
    assert process.exitcode == 9
    assert models.manifest("trees", MONDAY) == first
    assert models.folder(first).joinpath("model.txt").read_text() == "text"
    again, carried = made(models, MONDAY, OTHER, writes("new"))
    assert not carried and models.folder(again).joinpath("model.txt").read_text() == "new"
    assert models.folder(first).is_dir()
    left = {path.name for path in (models.root / "trees").iterdir()}
    assert left == {".lock", "date=2025-06-02", first.content, again.content}


# What serves


def test_geometry_serves_until_a_model_is_promoted(models):
    assert models.champion()["name"] == GEOMETRY and models.champion()["verdicts"] == []
    assert models.serving(MONDAY) == ""


def test_what_serves_is_the_dates_own_model(models):
    first, _ = made(models)
    models.crown({"name": "trees", "since": "2025-06-02", "why": "it gains", "verdicts": []})
    assert models.champion() == {"name": "trees", "since": "2025-06-02", "why": "it gains", "verdicts": []}
    assert models.serving(MONDAY) == f"trees {first.content}"
    assert models.serving(TUESDAY) == ""  # not trained as of that date
    made(models, TUESDAY, OTHER, lambda folder: Trained(INSUFFICIENT, {"lacking": "dates"}))
    assert models.serving(TUESDAY) == ""  # trained, but it knows nothing
    models.crown({"name": GEOMETRY, "since": None, "why": "back", "verdicts": []})
    assert models.serving(MONDAY) == ""


@pytest.mark.parametrize(
    "broken", ["", "{", "[]", "{}", '"trees"', '{"name": "evaluation"}', '{"name": null}', '{"name": ["trees"]}']
)
def test_a_broken_champion_is_told(models, broken):
    models.root.mkdir()
    (models.root / CHAMPION).write_text(broken)
    with pytest.raises(LakeError, match=r"champion\.json: expected the champion"):
        models.champion()
    with pytest.raises(LakeError, match="delete it"):
        models.serving(MONDAY)


def test_no_infinity_is_written(models):
    models.crown({"name": "trees", "since": None, "why": "", "verdicts": []})
    with pytest.raises(ValueError, match="JSON"):
        models.crown({"name": "retrieval", "since": None, "why": "", "verdicts": [float("inf")]})
    assert models.champion()["name"] == "trees"
    with pytest.raises(ValueError, match="JSON"):
        models.make("trees", MONDAY, PRINT, lambda folder: Trained(TRAINED, {"loss": float("nan")}))
    assert models.manifest("trees", MONDAY) is None
    assert json.loads((models.root / CHAMPION).read_text())["name"] == "trees"
