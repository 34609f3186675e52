"""Where models live: folders of files named by what they hold, and per date the one that is in force.

    <root>/models/<name>/<content>/<files>                 a trained model; never changed
                         /date=YYYY-MM-DD/manifest.json    which of them is the model of the date, and what it was made from
    <root>/models/champion.json                            the model that serves; only `promotion` writes it

Dates of a week name the same folder. A folder is written beside, synced and renamed, its manifest last; whoever reads a model
compares every file with the manifest's hash. No pickle: text, JSON, Parquet and safetensors.
"""

from __future__ import annotations

import datetime as dt
import fcntl
import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from spymaster_assets.fingerprint import Fingerprint
from spymaster_assets.lake import MANIFEST, Lake, LakeError
from spymaster_assets.store import write_atomic
from spymaster_assets.tables.predictions import MEMBERS
from spymaster_assets.version import VERSION

_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}")
TRAINED: Final = "trained"
INSUFFICIENT: Final = "insufficient_data"  # the model is geometry, or knows nothing
GEOMETRY: Final = "geometry"  # serves until a model is promoted
CHAMPION: Final = "champion.json"


@dataclass(frozen=True)
class ModelManifest:
    """The model of a date. `status`: TRAINED or INSUFFICIENT; `content`: its folder; `files`: name -> SHA-256 of each file.

    `facts`: the window, features, seeds, versions of libraries, losses out of fold.
    """

    name: str
    date: str
    status: str
    content: str
    files: Mapping[str, str]
    fingerprint: Fingerprint
    facts: Mapping[str, Any] = field(default_factory=dict)

    def encode(self) -> bytes:
        return (json.dumps(asdict(self), indent=1, sort_keys=True, allow_nan=False) + "\n").encode()

    @staticmethod
    def decode(raw: bytes) -> ModelManifest:
        values = json.loads(raw)
        return ModelManifest(**{**values, "fingerprint": Fingerprint(**values["fingerprint"])})


@dataclass(frozen=True)
class Trained:
    """What training made in a folder: its status and what it has to say."""

    status: str
    facts: Mapping[str, Any]


@dataclass(frozen=True)
class Artifacts:
    """The models of a lake."""

    lake: Lake

    @property
    def root(self) -> Path:
        return self.lake.root / "models"

    def manifest(self, name: str, date: dt.date) -> ModelManifest | None:
        """The model of a date, None if there is none. An unreadable manifest is a LakeError."""
        path = self._manifest(name, date)
        try:
            return ModelManifest.decode(path.read_bytes())
        except FileNotFoundError:
            return None
        except (ValueError, TypeError, KeyError) as error:
            raise LakeError(f"{path}: expected a model's manifest: {error}") from error

    def dates(self, name: str) -> list[dt.date]:
        """The dates that have a model of this name."""
        found = (path.parent.name.removeprefix("date=") for path in (self.root / name).glob(f"date=*/{MANIFEST}"))
        return sorted(dt.date.fromisoformat(one) for one in found if _DATE.fullmatch(one))

    def folder(self, manifest: ModelManifest) -> Path:
        """The files of a model, each compared with its hash. LakeError if one is missing, changed, or too many."""
        folder = self.root / manifest.name / manifest.content
        found = hashes(folder) if folder.is_dir() else {}
        for name in sorted({*found, *manifest.files}):
            if found.get(name) != manifest.files.get(name):
                expected, there = manifest.files.get(name, "no such file"), found.get(name, "none")
                raise LakeError(f"{folder / name}: expected SHA-256 {expected}, found {there}: train the date again")
        return folder

    def current(self, name: str, date: dt.date, fingerprint: Fingerprint) -> ModelManifest | None:
        """The model of a date if it was made from exactly this, and is whole."""
        try:
            manifest = self.manifest(name, date)
            if manifest is None or manifest.fingerprint != fingerprint:
                return None
            self.folder(manifest)
        except LakeError:
            return None
        return manifest

    def make(
        self, name: str, date: dt.date, fingerprint: Fingerprint, train: Callable[[Path], Trained]
    ) -> tuple[ModelManifest, bool]:
        """The model of a date, and whether it was carried: found under the date or under another with the same fingerprint.

        `train` writes the model's files into the folder that it is given. One process trains a name at a time.
        """
        home = self.root / name
        home.mkdir(parents=True, exist_ok=True)
        with (home / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if found := self.current(name, date, fingerprint):
                return found, True
            for other in self.dates(name)[::-1]:
                if found := self.current(name, other, fingerprint):
                    return self._publish(ModelManifest(**{**vars(found), "date": date.isoformat()})), True
            new = home / ".new"
            shutil.rmtree(new, ignore_errors=True)
            new.mkdir()
            trained = train(new)
            files = hashes(new)
            content = hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()[:16]
            for path in (*(new / one for one in files), new):
                handle = os.open(path, os.O_RDONLY)
                os.fsync(handle)
                os.close(handle)
            there = home / content
            if there.exists() and hashes(there) == files:
                shutil.rmtree(new)
            else:
                shutil.rmtree(there, ignore_errors=True)  # what was tampered with
                new.rename(there)
            manifest = ModelManifest(
                name, date.isoformat(), trained.status, content, files, fingerprint, {**trained.facts, "version": VERSION}
            )
            return self._publish(manifest), False

    def champion(self) -> dict[str, Any]:
        """What serves: "name", "since", "why", "verdicts"; geometry until a model was promoted. LakeError for a broken file."""
        path = self.root / CHAMPION
        if not path.exists():
            return {"name": GEOMETRY, "since": None, "why": "no model was promoted yet", "verdicts": []}
        try:
            found = json.loads(path.read_text())
            if found["name"] not in (GEOMETRY, *MEMBERS):
                raise ValueError(f"{found['name']!r} is no model")
        except (ValueError, KeyError, TypeError) as error:
            raise LakeError(f"{path}: expected the champion: {error}; delete it, and spymaster report decides anew") from error
        return dict(found)

    def crown(self, decision: Mapping[str, Any]) -> None:
        """Write what serves from now on."""
        self.root.mkdir(parents=True, exist_ok=True)
        write_atomic(self.root / CHAMPION, (json.dumps(decision, indent=1, sort_keys=True, allow_nan=False) + "\n").encode())

    def serving(self, date: dt.date) -> str:
        """The champion's model of a date as "name content"; empty if geometry serves, or it is not trained as of the date."""
        name = self.champion()["name"]
        manifest = None if name == GEOMETRY else self.manifest(name, date)
        return f"{name} {manifest.content}" if manifest and manifest.status == TRAINED else ""

    def _publish(self, manifest: ModelManifest) -> ModelManifest:
        path = self._manifest(manifest.name, dt.date.fromisoformat(manifest.date))
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, manifest.encode())
        return manifest

    def _manifest(self, name: str, date: dt.date) -> Path:
        return self.root / name / f"date={date.isoformat()}" / MANIFEST


def hashes(folder: Path) -> dict[str, str]:
    """SHA-256 of every file below a folder, by its path in it."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
