"""The gateway's hub by itself: what a slow client misses, and what one gets that comes back."""

import pytest

from spymaster_assets.config import Gateway as Limits
from spymaster_live.gateway.fold import Fold, Said
from spymaster_live.gateway.hub import Client, Hub


class Slow:
    """A line that is never free."""

    free = False


def test_a_slow_client_misses_only_what_has_a_newer_one() -> None:
    hub = Hub(Limits(), Fold(250_000_000))
    client = Client("here", Slow(), frozenset(("signals", "rows", "status")))
    hub.join(client, None, None)
    for seq, topic in enumerate(["signals", "rows", "flow", "signals", "rows", "status", "signals", "rows"], 1):
        hub.tell(Said(topic, seq, b""))
    found = iter(client.take, None)
    expected = [("snapshot", 0), ("rows", 2), ("rows", 5), ("status", 6), ("signals", 7), ("rows", 8)]
    assert [(one.topic, one.seq) for one in found] == expected
    assert hub.metrics.conflated.labels("signals")._value.get() == 2


@pytest.mark.parametrize(("after", "expected"), [(2, None), (3, [4, 6]), (5, [6]), (6, []), (7, None), (None, None)])
def test_who_comes_back_gets_all_rows_since_or_a_snapshot(after: int | None, expected: list[int] | None) -> None:
    fold = Fold(250_000_000)
    hub = Hub(Limits(kept_messages=3), fold)
    hub.stream = "this"
    for seq, topic in ((2, "rows"), (3, "rows"), (4, "rows"), (5, "flow"), (6, "rows")):
        hub.tell(Said(topic, seq, b""))
    fold.seq = 6
    client = Client("here", Slow(), frozenset(("rows",)))
    hub.join(client, after, "this")
    told = [(one.topic, one.seq) for one in iter(client.take, None)]
    assert told == ([("snapshot", 6)] if expected is None else [("resumed", after), *(("rows", seq) for seq in expected)])
