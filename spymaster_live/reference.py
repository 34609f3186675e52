"""docs/live.md, from what stands in messages.py, payload.py and the tables: `python -m spymaster_live docs`."""

from __future__ import annotations

from collections.abc import Mapping

from spymaster_assets import dbn
from spymaster_assets.config import Config
from spymaster_assets.schema import Table
from spymaster_live import bus, health, messages, payload
from spymaster_live.engine import SNAPS_A_MESSAGE
from spymaster_live.messages import CHANNELS, FLOWS, HEADERS, ROWS, SCHEMAS

MARKET_HEADERS = ("Version", "Run", "Schema", "First", "Count", "Start", "End", "Watermark", "Hash", "Nats-Msg-Id")
SESSION_HEADERS = (
    "Version", "Run", "Date", "Contract", "Complete-From", "Frame-Span", "Paced-From", "Frame-Records", "Inputs", "Config",
    "Model", "Schema", "Count", "Hash", "Nats-Msg-Id",
)  # fmt: skip
LEVELS_HEADERS = ("Version", "Run", "Date", "Snaps", "Rows", "Nats-Msg-Id")


def markdown() -> str:
    """The page."""
    return "\n".join([*_head(), *_subjects(), *_headers(), *_payload(), *_tables(), *_control(), ""])


def _head() -> list[str]:
    return [
        "# Live: subjects, headers, payloads",
        "",
        "Generated from `spymaster_live/` and `spymaster_assets/tables/`; edit there and run `make docs`.",
        "",
        "Prices of records and rows are in 1e-9 USD or ticks as the tables say, of payloads in points; times are ns UTC of the market's",
        "own clock. No message holds a wall-clock time, except `levels.status`, which is about the process and not about the market.",
        "",
        f"A **market message** is a frame: Databento's records of one channel, little-endian as in the file, at most"
        f" {Config().live.frame_bytes >> 10} KB.",
        "Its **watermark** says that everything with an effective time up to it is in this message or an earlier one; of the frames that are",
        "cut together the last one carries the new watermark. A run begins with `market.session` and ends with a `market.clock` at the",
        "session's close. Whatever follows from a message follows from it and those before it in the stream.",
        "",
    ]


def _subjects() -> list[str]:
    rows = [
        *(
            f"| `{subject}` | {bus.MARKET} | records of the bronze table `{channel}`: {_schemas(channel)} |"
            for channel, subject in CHANNELS.items()
        ),
        f"| `{messages.SESSION}` | {bus.MARKET} | the first message of a run; data: the 144 rows of silver/priors, or none |",
        f"| `{messages.CLOCK}` | {bus.MARKET} | a watermark alone: after {Config().live.clock_ms:.0f} ms of event time without a frame,"
        " and at the end; no data |",
        f"| `{messages.LEVELS_SIGNALS}` | {bus.LEVELS} | one line of JSON a snap, at most {SNAPS_A_MESSAGE}: every snap of the signal"
        " window, and those of touches still scored after it |",
        f"| `{messages.LEVELS_ROWS}` | {bus.LEVELS} | new rows of {_named(ROWS)}, if there are any |",
        f"| `{messages.LEVELS_FLOW}` | {bus.LEVELS} | {_named(FLOWS)} of the whole seconds that signals were told about |",
        f"| `{messages.LEVELS_STATUS}` | {bus.LEVELS} | JSON, every second: where the engine stands, what it misses, what troubles it |",
        f"| `{messages.DEAD}.SUBJECT` | {bus.DLQ} | a message that could not be read, as it came, with `Reason` and `Stream-Sequence` |",
        f"| `{messages.CONTROL}` | none | requests to a replay, below |",
        f"| `{health.subject('NAME')}` | none | asked, a service answers with JSON: `ok`, `why` (text or null), `age` (seconds at the same work),"
        " and how it stands |",
        f"| key-value `{bus.STATE}` | KV | the latest of each level, for those who connect |",
    ]
    return ["## Subjects", "", "| subject | stream | data |", "|---|---|---|", *rows, ""]


def _schemas(channel: str) -> str:
    return ", ".join(f"`{name}` ({dbn.SCHEMAS[name].dtype.itemsize} bytes)" for name in SCHEMAS[channel])


def _named(tables: tuple[Table, ...]) -> str:
    return ", ".join(f"`{table.stage}/{table.name}`" for table in tables)


def _headers() -> list[str]:
    used = {
        "frames and clock": MARKET_HEADERS, messages.SESSION: SESSION_HEADERS,
        "levels.signals, rows, flow": LEVELS_HEADERS, "dead letters": ("Reason", "Stream-Sequence"),
    }  # fmt: skip
    rows = [
        f"| `{name}` | {meaning} | {', '.join(where for where, names in used.items() if name in names)} |"
        for name, meaning in HEADERS.items()
    ]
    return ["## Headers", "", "| header | meaning | on |", "|---|---|---|", *rows, ""]


def _payload() -> list[str]:
    rows = [f"| `{name}` | {unit} | {meaning} |" for name, unit, meaning in payload.described()]
    return [
        f"## {messages.LEVELS_SIGNALS}",
        "",
        "What is unknown is null; there is no NaN. A level without a touch that is being scored has null in every part.",
        "",
        "| name | unit | meaning |",
        "|---|---|---|",
        *rows,
        "",
    ]


def _tables() -> list[str]:
    lines = [
        "## Rows",
        "",
        "`levels.rows` and `levels.flow` hold packed little-endian records, one table after the other; `Rows` says how many of each.",
        "Meanings: [tables](tables.md). Codes are ASCII letters, categories their number (-1 unknown), unknown floats NaN.",
        "",
        "| table | bytes a row | fields |",
        "|---|---|---|",
    ]
    for table in (*ROWS, *FLOWS):
        fields = ", ".join(
            f"{name} {kind.base.str.lstrip('<|')}{list(kind.shape) if kind.shape else ''}" for name, (kind, *_) in _fields(table)
        )
        lines.append(f"| `{table.stage}/{table.name}` | {table.dtype.itemsize} | {fields} |")
    return [*lines, ""]


def _fields(table: Table) -> list[tuple[str, tuple]]:
    fields: Mapping[str, tuple] = table.dtype.fields or {}
    return [(name, fields[name]) for name in table.dtype.names or ()]


def _control() -> list[str]:
    return [
        f"## {messages.CONTROL}",
        "",
        "A request is JSON and is answered with where the replay stands, or with `error`. `python -m spymaster_live control` sends them.",
        "",
        "| do | with | effect |",
        "|---|---|---|",
        "| `start` | | go on |",
        "| `pause` | | publish nothing more |",
        "| `step` | `seconds` (0.25) | paused, publish so much event time |",
        "| `speed` | `speed` | times real time; 0: as fast as possible. Frames stay as they were cut |",
        "| `seek` | `to`: ns UTC, or HH:MM[:SS] New York time | up to a minute ahead: run through it; else a new run, at once up to there |",
        "| `state` | | nothing |",
    ]
