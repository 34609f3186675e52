"""What lake.json says of a lake: in which layout it is, and whose instrument it holds. Whoever asks with other settings is refused.

    {"format": 1, "instrument": "GLBX.MDP3 ES"}

Tables are named by date, not by instrument, and a model says nothing of which one it was trained on: two in one lake would be told
from one another by nothing. The first partition names the instrument. A lake that an earlier version began has no name yet: its
latest book says whose it is.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

from spymaster_assets.config import Config
from spymaster_assets.sessions import MONTHS
from spymaster_assets.store import MANIFEST, Store

FORMAT: Final = 1  # of the layout in lake.py; what a change of it asks for: docs/operate.md#upgrade
FORMAT_FILE: Final = "lake.json"
BOOKS: Final = "bronze/futures_mbp10"


class LakeError(RuntimeError):
    """A partition that is missing, incomplete or not what its manifest says; a lake of another format or instrument."""


def _decode(raw: bytes | None, store: Store) -> dict[str, Any]:
    """The content of lake.json; without one, format 1."""
    if raw is None:
        return {"format": 1}
    try:
        said: dict[str, Any] = json.loads(raw)
        if type(said["format"]) is not int or said["format"] < 1:
            raise ValueError(f"format {said['format']!r}")
        if not isinstance(said.get("instrument", ""), str):
            raise ValueError(f"instrument {said['instrument']!r}")
    except (ValueError, TypeError, KeyError) as error:
        raise LakeError(f'{store.where(FORMAT_FILE)}: expected {{"format": NUMBER}}: {error}') from error
    return said


def _said(store: Store) -> dict[str, Any]:
    try:
        return _decode(store.read(FORMAT_FILE), store)
    except (FileNotFoundError, NotADirectoryError):
        return _decode(None, store)


def format_of(store: Store) -> int:
    """The number of the layout in which a lake is laid out. LakeError for a broken lake.json."""
    number: int = _said(store)["format"]
    return number


def write_format(store: Store, number: int) -> None:
    """Say in which layout a lake is laid out."""
    store.update(FORMAT_FILE, lambda raw: _encode(_decode(raw, store) | {"format": number}))


def _encode(said: dict[str, Any]) -> bytes:
    return json.dumps(said).encode() + b"\n"


def instrument(config: Config) -> str:
    """What settings call their instrument: dataset and root."""
    return f"{config.instrument.dataset} {config.instrument.root}"


def require(store: Store, config: Config) -> None:
    """LakeError if a lake is laid out in another way than this program's, or holds another instrument than the settings'."""
    _fits(store, _said(store), config)


def name_instrument(store: Store, config: Config) -> None:
    """Say whose instrument a lake holds, for good; LakeError if it is another's, whoever said so meanwhile."""

    def named(raw: bytes | None) -> bytes:
        said = _decode(raw, store) if raw is not None else {"format": FORMAT}
        _fits(store, said, config)
        return _encode(said | {"instrument": instrument(config)})

    store.update(FORMAT_FILE, named)


def _fits(store: Store, said: dict[str, Any], config: Config) -> None:
    where, found = store.where(FORMAT_FILE).parent, said["format"]
    if found > FORMAT:
        raise LakeError(f"{where} is a lake of format {found}, made by a later version; this one knows up to {FORMAT}: upgrade")
    if found < FORMAT:
        raise LakeError(f"{where} is a lake of format {found}, this version has {FORMAT}: back it up, then spymaster migrate")
    holds, wanted = said.get("instrument"), instrument(config)
    if holds is None and (root := _root_of_books(store)) is not None:
        holds, wanted = root, config.instrument.root
    if holds not in (None, wanted):
        raise LakeError(
            f"{where} holds {holds}, but the settings are those of {wanted}: name another lake (SPYMASTER_DATA, SPYMASTER_LOCAL,"
            " --data) or other settings (SPYMASTER_CONFIG); each instrument has a lake of its own"
        )


def _root_of_books(store: Store) -> str | None:
    """The root of the contract of the latest book; None if there is no book, or none that tells."""
    for folder in sorted(store.holders(BOOKS, MANIFEST), reverse=True):
        try:
            symbol = json.loads(store.read(f"{BOOKS}/{folder}/{MANIFEST}"))["facts"]["contract"]["symbol"]
        except (OSError, ValueError, TypeError, KeyError):
            continue
        if found := re.fullmatch(rf"([A-Z0-9]+)[{MONTHS}]\d{{1,2}}", symbol):
            return found[1]
    return None
