"""Landing files for other machines: what `spymaster share` does, where the lake is on object storage."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from spymaster_assets.lake import Lake
from spymaster_assets.landing import SHARED, Landing, file_hash, shared_index, shared_key
from spymaster_assets.lateness import CLOCK
from spymaster_assets.object_store import Bucket
from spymaster_assets.progress import Progress


def share(lake: Lake, progress: Progress | None = None) -> tuple[int, int]:
    """Put what this machine's landing holds, and is of use, onto the store; how many files went, and how many bytes.

    A file first, then its line in the index: who reads the index finds every file that it names. ValueError for a lake on a disk.
    """
    store = lake.store
    if not isinstance(store, Bucket):
        raise ValueError(f"{lake.root}: this lake is on a disk; nothing is shared")
    landing = Landing(lake.root / "landing", lake.config)
    there = shared_index(store)
    files = [file for file in landing.scan() if not file.problem]
    new = [file for file in files if there.get(file.path, {}).get("file", {}).get("digest") != file.digest]
    size = 0
    lines: dict[str, Any] = {}

    def added(raw: bytes | None) -> bytes:
        known: dict[str, Any] = json.loads(raw) if raw else {}
        return json.dumps(known | lines, indent=0, sort_keys=True).encode()

    try:
        for done, file in enumerate(new):
            if progress:
                progress("sharing", done, len(new))
            clock = landing.beside(file, CLOCK) if file.origin == "capture" else None
            sent = {landing.path(file): file.digest} | ({clock: file_hash(clock)} if clock else {})
            for path, digest in sent.items():
                store.put(shared_key(path.name, digest), path)
                size += path.stat().st_size
            beside = {CLOCK: sent[clock]} if clock else {}
            lines[file.path] = {"rules": landing.rules, "file": asdict(file), "beside": beside}
    finally:
        if lines:
            store.update(SHARED, added)
    return len(new), size
