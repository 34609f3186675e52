"""docs/live.md, from what stands in messages.py, payload.py and the tables: `python -m spymaster_live docs`."""

from __future__ import annotations

from collections.abc import Mapping

from spymaster_assets import dbn
from spymaster_assets.config import Config
from spymaster_assets.schema import Table
from spymaster_live import bus, health, messages, payload
from spymaster_live.batches import CLOCK_COLUMNS, SIGNALS
from spymaster_live.engine import SNAPS_A_MESSAGE
from spymaster_live.gateway.fold import KEPT
from spymaster_live.gateway.guard import PROTOCOL, TOKEN
from spymaster_live.gateway.rest import ENDPOINTS
from spymaster_live.gateway.wire import LATEST, TOPICS
from spymaster_live.live_feed import TOLD
from spymaster_live.messages import CHANNELS, FLOWS, HEADERS, ROWS, SCHEMAS

MARKET_HEADERS = ("Version", "Run", "Schema", "First", "Count", "Start", "End", "Watermark", "Hash", "Nats-Msg-Id")
SESSION_HEADERS = (
    "Version", "Run", "Date", "Contract", "Complete-From", "Frame-Span", "Paced-From", "Frame-Records", "Inputs", "Config",
    "Model", "Schema", "Count", "Symbology", "Hash", "Nats-Msg-Id",
)  # fmt: skip
LEVELS_HEADERS = ("Version", "Run", "Date", "Snaps", "Rows", "Nats-Msg-Id")


def markdown() -> str:
    """The page."""
    return "\n".join(
        [*_head(), *_subjects(), *_headers(), *_payload(), *_tables(), *_control(), *_vendor(), *_capture(), *_gateway(), ""]
    )


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
        f"| `{messages.SESSION}` | {bus.MARKET} | the first message of a run; data: the 144 rows of silver/priors, or none, then the symbology: zstd-compressed JSON, by channel and symbol the pairs of UTC day and number |",
        f"| `{messages.CLOCK}` | {bus.MARKET} | a watermark alone: after {Config().live.clock_ms:.0f} ms of event time without a frame,"
        " and at the end; no data |",
        f"| `{messages.LEVELS_SIGNALS}` | {bus.LEVELS} | one line of JSON a snap, at most {SNAPS_A_MESSAGE}: every snap of the signal"
        " window, and those of touches still scored after it |",
        f"| `{messages.LEVELS_ROWS}` | {bus.LEVELS} | new rows of {_named(ROWS)}, if there are any:"
        " with the signals, before and after their window as bars close |",
        f"| `{messages.LEVELS_FLOW}` | {bus.LEVELS} | {_named(FLOWS)} of the whole seconds that signals were told about |",
        f"| `{messages.LEVELS_STATUS}` | {bus.LEVELS} | JSON, every second: where the engine stands, what it misses, what troubles it |",
        f"| `{messages.DEAD}.SUBJECT` | {bus.DLQ} | a message that could not be read, as it came, with `Reason` and `Stream-Sequence` |",
        f"| `{messages.CONTROL}` | none | requests to a replay, below; a feed from the vendor is not steered |",
        f"| `{health.subject('NAME')}` | none | asked, a service answers with JSON: `ok`, `why` (text or null), `age` (seconds at the same work),"
        " `version` of Spymaster, and how it stands |",
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


def _vendor() -> list[str]:
    vendor = Config().live.vendor
    return [
        "",
        "## The feed from the vendor",
        "",
        "`python -m spymaster_live feed --live` publishes the same messages as a replay. The watermark is the newest event time less"
        f" {vendor.lateness_ms:g} ms;",
        "in silence the vendor's heartbeats move it. `market.session` names the contract that the lake's earlier dates choose; up to `Paced-From`"
        " the",
        f"vendor repeated the past, in frames of {Config().live.frame_seconds:g} s. After a drop or a kill the run goes on with the next record"
        " of each channel.",
        "",
        f"`{health.subject('feed')}` tells, beside `ok`, `why` and `age` (seconds since the vendor was heard):",
        "",
        "| name | meaning |",
        "|---|---|",
        *(f"| `{name}` | {meaning} |" for name, meaning in TOLD.items()),
    ]


def _capture() -> list[str]:
    live = Config().live
    return [
        "",
        "## Capture",
        "",
        f"The writer puts everything below `capture/{{date}}/{{run}}/`, at most {live.capture_seconds:.0f} s after it read it. A batch is what",
        "it read of one stream between two moments; its files count once its manifest names them.",
        "",
        "| file | holds | named by |",
        "|---|---|---|",
        "| `session.json` | the message that began the run: headers, and data in base64 | |",
        f"| `CHANNEL/FIRST-LAST.dbn.zst` | a segment: records of {', '.join(f'`{name}`' for name in CHANNELS)} as a DBN file | numbers of records in channel and run |",
        f"| `clock/FIRST-LAST.parquet` | {', '.join(f'`{name}`' for name in CLOCK_COLUMNS[:2])}, and per channel how many records had come | sequences of {bus.MARKET} |",
        f"| `signals/FIRST-LAST.parquet` | {', '.join(f'`{name}`' for name in SIGNALS.names)}: the lines of `{messages.LEVELS_SIGNALS}` | sequences of {bus.LEVELS} |",
        f"| `rows/TABLE/FIRST-LAST.parquet` | `sequence` and the rows of `{messages.LEVELS_ROWS}`: {_named(ROWS)} | sequences of {bus.LEVELS} |",
        "| `market/`, `levels/FIRST-LAST.json` | manifests: each file's xxh3 and bytes, and the account | sequences |",
        "| `market/outcome.json` | what became of a run that is over: handed over, or why not | |",
        "",
        "The **account** of a batch: `segments` with the sequences they came in, `gaps` (records that never came, by channel), `lost`",
        "(sequences that the stream no longer held), `dead` (messages that could not be read, with the reason), `repeated` (records that",
        "had come before). Manifests of a stream follow one another without a hole in their sequences.",
        "",
    ]


def _gateway() -> list[str]:
    kept, latest = ", ".join(f"`{table.name}`" for table in KEPT), ", ".join(f"`{topic}`" for topic in LATEST)
    return [
        "## The gateway",
        "",
        "`python -m spymaster_live gateway` tells browsers what stands in LEVELS. A token (environment) is wanted as `Authorization: Bearer`,",
        'of a stream as a subprotocol. Trouble is `{"error": a sentence}`. A table is `{"columns": [...], "rows": [[...], ...]}` with the names and',
        "units of [tables](tables.md), categories as words, what is unknown as null.",
        "",
        "| path | what |",
        "|---|---|",
        *(f"| `{path}` | {meaning} |" for path, meaning in ENDPOINTS.items()),
        "",
        "### /ws/stream",
        "",
        f"    wscat -c 'ws://127.0.0.1:8000/ws/stream?topics=signals,rows' -s {PROTOCOL} -s {TOKEN}$SPYMASTER_GATEWAY_TOKEN",
        "",
        f"(wscat answers no ping, so it is closed after {Config().live.gateway.patience_seconds:.0f} s.)",
        "",
        f"Topics: {', '.join(f'`{topic}`' for topic in TOPICS)}; all of them without `topics`. Every message is JSON text with `type`, `seq` and, but for the",
        "last two, `data`. `seq` grows; it is the sequence in LEVELS, so the same for every gateway.",
        "",
        "| type | data |",
        "|---|---|",
        "| `snapshot` | everything so far, to begin with or anew. `why`: `begin`; `resync`, what came since is not kept any more; `session`, another run has begun;"
        " `subscribe`. `stream`: which LEVELS. `session`: run, date, contract, complete_from, model, config; null before the first. `topics`, and each of"
        " them as below, rows from the session's first on, of the others the latest |",
        "| `signals` | list of payloads, a snap each, as above |",
        f"| `rows` | new rows by table, of {kept} |",
        "| `flow` | `snaps` and `flow` as tables, an array as one column; `bar`: the minute that is not closed yet, in ticks, from its snap `from` on; until it"
        " closes its `open` is the last print of its first interval that has one, and `volume` is null if its first snap was not seen |",
        "| `status` | levels.status, and as `replay` where the replay stands, as `writer` whether what is on the bus reaches the disk: `ok`, and `why` not (null: none answers) |",
        "| `resumed` | none: what follows comes behind the message that the client named |",
        "| `ping` | none: to be answered, else the client is closed with 1013 |",
        "",
        f"A client that is slower than the market gets of {latest} the latest only; of `rows` it gets all. One that takes nothing, or does not answer, is",
        "closed with 1013 and may come again with `?after=SEQ&stream=STREAM`; one that says what it may not, or too often, with 1008.",
        "",
        "| a client says | effect |",
        "|---|---|",
        '| `{"do": "ack", "seq": N}` | answers a ping |',
        '| `{"do": "subscribe", "topics": [...]}` | other topics from now on, beginning with a snapshot |',
        "",
        "In Python, across restarts on either side (`python -m spymaster_live watch` prints its levels):",
        "",
        "    import asyncio",
        "    from spymaster_live.client import Stream",
        "",
        "    async def main(token=None):",
        '        async with Stream("http://127.0.0.1:8000", token, ["signals"]) as stream:',
        "            async for message in stream:",
        '                print(message["type"], message["seq"])',
        "",
        "    asyncio.run(main())",
    ]
