"""What the other parts say of themselves, for Prometheus: the engine on levels.status, feed and writer when the gateway asks them.

A part that is not there, or does not say something, has no sample; the metric's name stands there all the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

Told = Mapping[str, Any]


@dataclass(frozen=True)
class Asked:
    """A metric: the part that tells it, its name, its meaning, and where it stands in what the part says.

    `counts`: it only grows, within a run or the life of the process; `by`: the label, where the value is a mapping.
    """

    part: str
    name: str
    meaning: str
    value: Callable[[Told], Any]
    counts: bool = False
    by: str = ""

    def family(self, told: Told | None) -> Metric:
        kind = CounterMetricFamily if self.counts else GaugeMetricFamily
        made = kind(f"spymaster_{self.part}_{self.name}", self.meaning, labels=[self.by] if self.by else [])
        found = None if told is None else self.value(told)
        for label, value in (found.items() if self.by else [("", found)]) if found is not None else ():
            if isinstance(value, (int, float)):
                made.add_metric([label] if self.by else [], float(value))
        return made


def _at(name: str) -> Callable[[Told], Any]:
    return lambda told: told.get(name)


def _vendors(name: str) -> Callable[[Told], Any]:
    """Of the feed from the vendor: a replay means another thing by that name."""
    return lambda told: told.get(name) if told.get("live") else None


def _of_streams(name: str) -> Callable[[Told], Any]:
    return lambda told: {stream: its.get(name) for stream, its in told.get("streams", {}).items()}


def _seconds(told: Told) -> dict[str, float]:
    """Of work per snap, by quantile."""
    return {f"0.{name[1:]}": value / 1e6 for name, value in (told.get("microseconds_a_snap") or {}).items() if name != "snaps"}


METRICS: Final = (
    Asked("engine", "well", "1: nothing troubles it", lambda told: told.get("trouble") is None if told else None),
    Asked("engine", "snap", "the latest snap that is closed", _at("snap")),
    Asked("engine", "behind_messages", "messages of MARKET that it has not read yet", _at("behind")),
    Asked("engine", "market_full", "1: MARKET takes nothing more, the feed waits", _at("market_full")),
    Asked("engine", "snap_seconds", "work per closed snap", _seconds, by="quantile"),
    Asked("engine", "records", "records of the run, by channel", _at("records"), counts=True, by="channel"),
    Asked("engine", "missing_records", "records of the run that never came", _at("missing"), counts=True),
    Asked("engine", "late_records", "records of the run that came behind the watermark", _at("late"), counts=True),
    Asked("engine", "dead_messages", "messages of the run that could not be read", _at("dead"), counts=True),
    Asked("engine", "lost_messages", "messages that MARKET had dropped before they were read", _at("lost"), counts=True),
    Asked("engine", "touches", "touches of the run", _at("touches"), counts=True),
    Asked("engine", "signals", "rows of signals of the run", _at("signals"), counts=True),
    Asked("writer", "well", "1: what is on the bus reaches the disk", _at("ok")),
    Asked("writer", "behind_seconds", "that the disk is behind the stream", _of_streams("seconds_behind"), by="stream"),
    Asked("writer", "batches", "batches on disk", _of_streams("batches"), counts=True, by="stream"),
    Asked("writer", "dead_messages", "messages that could not be read", _of_streams("dead"), counts=True, by="stream"),
    Asked("writer", "lost_messages", "messages that the stream no longer held", _of_streams("lost"), counts=True, by="stream"),
    Asked("feed", "well", "1: nothing troubles it", _at("ok")),
    Asked("feed", "age_seconds", "since the vendor was heard, or that a message has waited to be stored", _at("age")),
    Asked("feed", "lag_seconds", "of this clock behind the newest event time of the vendor", _at("lag")),
    Asked("feed", "records", "records of the vendor that were published, by channel", _at("records"), counts=True, by="channel"),
    Asked("feed", "late_records", "records of the vendor that came behind the watermark", _at("late"), counts=True),
    Asked("feed", "connections", "connections to the vendor", _at("connections"), counts=True),
    Asked("feed", "drops", "connections to the vendor that broke", _at("drops"), counts=True),
    Asked("feed", "errors", "errors that the vendor told", _at("errors"), counts=True),
    Asked("feed", "slow", "times at which the vendor said that we are slow", _at("slow"), counts=True),
    Asked("feed", "paused", "times at which the vendor's socket was not read", _vendors("paused"), counts=True),
    Asked("feed", "waiting_bytes", "received from the vendor and not worked on", _at("waiting_bytes")),
    Asked("feed", "spooled_bytes", "waiting for the watermark", _at("spooled_bytes")),
)  # fmt: skip


class Parts(Collector):
    """`told`: by part, what it said last; None: it is not there."""

    def __init__(self, told: Callable[[], Mapping[str, Told | None]]) -> None:
        self._told = told

    def collect(self) -> Iterable[Metric]:
        now = self._told()
        return [one.family(now.get(one.part)) for one in METRICS]
