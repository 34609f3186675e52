"""What fuzzing kept is tried again, and a few hundred new inputs; and the checks see readers that break their promise.

For long: `python -m tests.fuzz dbn --minutes 10` (docs/operate.md).
"""

import random
from collections.abc import Iterator

import numpy as np
import pytest

from spymaster_assets import dbn
from spymaster_live import messages, split
from tests.fuzz import targets
from tests.fuzz.__main__ import CORPUS
from tests.fuzz.spoil import MOST, SEEDS, spoilt
from tests.fuzz.targets import TARGETS, Broken

EVERY = pytest.mark.parametrize("target", TARGETS)
OUTCOMES = {
    "dbn": {"whole", "refused", "damaged", "no header"}, "split": {"whole", "damaged", "no header"},
    "frames": {"good", "bad", "no message"},
}  # fmt: skip


@EVERY
def test_what_was_kept_is_still_read_or_refused(target: str) -> None:
    kept = [path for path in sorted((CORPUS / target).iterdir()) if path.is_file()]
    assert kept and max(path.stat().st_size for path in kept) <= MOST
    outcomes = {TARGETS[target](path.read_bytes()) for path in kept}
    assert outcomes >= OUTCOMES[target] - {"no message"}


@EVERY
def test_seeds_are_sound(target: str) -> None:
    outcomes = [TARGETS[target](data) for data in SEEDS[target]()]
    assert {*outcomes} <= {"whole", "good", "refused", "bad"} and outcomes.count("refused") + outcomes.count("bad") <= 2


@EVERY
def test_spoilt_inputs_are_read_or_refused(target: str) -> None:
    rng, seeds, outcomes = random.Random(target), [*SEEDS[target]()], set()
    for _ in range(250):
        data = spoilt(target, rng.choice(seeds), rng)
        outcomes.add(TARGETS[target](spoilt(target, data, rng) if rng.random() < 0.3 else data))
    assert outcomes >= OUTCOMES[target] - {"no message"}


def broken(target: str) -> None:
    """Some seed shows that a reader breaks its promise."""
    with pytest.raises(Broken):
        for data in SEEDS[target]():
            TARGETS[target](data)


@pytest.mark.parametrize("name", ["_plain", "_mixed"])
def test_a_reader_that_loses_a_record_is_seen(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    right = getattr(dbn, name)

    def wrong(*words: object) -> Iterator[np.ndarray]:
        yield from (chunk[:-1] if len(chunk) > 1 else chunk for chunk in right(*words))

    monkeypatch.setattr(dbn, name, wrong)
    monkeypatch.setattr(targets, "CHUNKS", (dbn.CHUNK_BYTES,))
    broken("dbn")


def test_a_reader_that_believes_a_damaged_file_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    def patient(stream: object, into: memoryview, path: object, offset: int) -> int:
        try:
            return right(stream, into, path, offset)  # type: ignore[arg-type]
        except dbn.DbnError:
            return 0

    right = dbn._fill
    monkeypatch.setattr(dbn, "_fill", patient)
    whole = next(SEEDS["dbn"]())
    with pytest.raises(Broken):
        targets.check_dbn(whole[:-2])


def test_a_message_that_is_not_what_was_sent_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    right = messages._number
    monkeypatch.setattr(messages, "_number", lambda facts, name: right(facts, name) + (name == "Watermark"))
    broken("frames")


def test_a_type_that_is_passed_over_in_a_stream_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    right = split.Piece.records
    monkeypatch.setattr(split.Piece, "records", lambda piece, layout: tuple(part[1:] for part in right(piece, layout)))
    broken("split")
