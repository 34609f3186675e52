"""The count of instructions that `make check` compares: what is kept, and what is told of more."""

import json

from benchmarks.instructions import KEPT, grown

KNOWN = json.loads(KEPT.read_text())


def test_what_is_kept_is_of_every_kernel_that_costs():
    assert len(KNOWN) == 6 and min(KNOWN.values()) > 500


def test_a_seventh_more_is_told_by_name():
    name = "grid, a record"
    assert grown(KNOWN, KNOWN) == []
    assert grown(KNOWN | {name: 1.14 * KNOWN[name]}, KNOWN) == []
    assert grown(KNOWN | {name: 1.16 * KNOWN[name]}, KNOWN) == [name]
    assert grown(KNOWN | {"something new": 1}, KNOWN) == ["something new"]
