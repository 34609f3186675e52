"""Messages there and back, and every way in which one can be bad: BadMessage says which.

Contents are random bytes under the right types and lengths, so no bit of a record or a row is special.
"""

import re

import numpy as np
import pytest

from spymaster_assets.dbn import SCHEMAS
from spymaster_assets.tables import DEALERS, FLOW, LEVELS, PRIORS, SNAPS, STRIKES
from spymaster_live.messages import (
    CHANNELS,
    FLOWS,
    HEADERS,
    ROWS,
    BadMessage,
    Clock,
    Frame,
    Session,
    digest,
    pack,
    read,
    unpack,
)

TIME = 1_748_952_000_000_000_000
MBP10 = CHANNELS["futures_mbp10"]


def noise(dtype, count):
    return np.frombuffer(np.random.default_rng(count).bytes(count * dtype.itemsize), dtype).copy()


def records(schema="mbp-10", count=5):
    """Records of random bytes; of types and times that are right."""
    layout, rows = SCHEMAS[schema], noise(SCHEMAS[schema].dtype, count)
    rows["rtype"], rows["length"], rows[layout.index] = layout.rtype, layout.dtype.itemsize // 4, TIME + np.arange(count)
    return rows


def frame(schema="mbp-10", count=5, channel="futures_mbp10"):
    return Frame("2025-06-03.1", channel, schema, 70, records(schema, count), TIME + 60)


def session(count=144):
    priors = noise(PRIORS.dtype, count)
    return Session(
        "2025-06-03.1",
        "2025-06-03",
        "ESM5 by volume",
        TIME,
        60_000_000_000,
        TIME + 9,
        0,
        "0123456789abcdef",
        "cafe",
        "ensemble 0616f0943d6a637a",
        priors,
    )


CLOCK = Clock("2025-06-03.1", TIME + 61)
EVERY = {"frame": frame(), "session": session(), "clock": CLOCK}


def there_and_back(sent):
    message = sent.message()
    return read(message.subject, message.headers, message.data)


def facts(message):
    """A message's fields, arrays as (dtype, bytes)."""
    return {
        name: (value.dtype, value.tobytes()) if isinstance(value, np.ndarray) else value for name, value in vars(message).items()
    }


CARRIED = [
    ("definitions", "definition"), *(("option_quotes", name) for name in ("tbbo", "bbo-1s", "bbo-1m")),
    ("option_trades", "trades"), ("futures_mbp10", "mbp-10"), ("futures_trades", "trades"),
]  # fmt: skip


@pytest.mark.parametrize("count", [1, 5])
@pytest.mark.parametrize("channel, schema", CARRIED)
def test_frames_there_and_back(channel, schema, count):
    sent = frame(schema, count, channel)
    found = there_and_back(sent)
    assert type(found) is Frame and facts(found) == facts(sent)


@pytest.mark.parametrize("sent", [session(144), session(0), CLOCK], ids=["session", "session without priors", "clock"])
def test_the_others_there_and_back(sent):
    found = there_and_back(sent)
    assert type(found) is type(sent) and facts(found) == facts(sent)


def test_records_need_not_lie_side_by_side():
    every = records("mbp-10", 9)
    sent = Frame("run", "futures_mbp10", "mbp-10", 0, every[::2], TIME)
    assert there_and_back(sent).records.tobytes() == b"".join(every[number].tobytes() for number in range(0, 9, 2))


@pytest.mark.parametrize("sent", EVERY.values(), ids=EVERY)
def test_headers_are_the_documented_ones(sent):
    headers = sent.message().headers
    assert set(headers) <= set(HEADERS) and all(isinstance(value, str) for value in headers.values())


def test_headers_of_a_frame():
    headers = frame().message().headers
    assert headers["Nats-Msg-Id"] == "2025-06-03.1:futures_mbp10:70-74"
    assert {name: headers[name] for name in ("First", "Count", "Start", "End", "Watermark")} == {
        "First": "70", "Count": "5", "Start": str(TIME), "End": str(TIME + 4), "Watermark": str(TIME + 60),
    }  # fmt: skip
    quotes = frame("bbo-1s", 3, "option_quotes").message().headers  # placed by ts_recv, not by ts_event
    assert (quotes["Start"], quotes["End"]) == (str(TIME), str(TIME + 2))


def test_ids_differ():
    several = [*EVERY.values(), frame(count=4), frame("trades", 5, "futures_trades"), Clock("2025-06-03.1", TIME), Clock("2", TIME)]
    assert len({one.message().id for one in several}) == len(several)


# ---- bad messages ----


def changed(sent, data=None, hashed=True, **headers):
    """A message's subject, headers and data with some of them changed; a header of None is taken out. `hashed`: the hash fits."""
    message = sent.message()
    data = message.data if data is None else data
    told = {**message.headers, **({"Hash": digest(data)} if hashed else {})}
    told |= {name.replace("_", "-"): value for name, value in headers.items()}
    return message.subject, {name: value for name, value in told.items() if value is not None}, data


def refused(subject, headers, data):
    """Why a message is refused."""
    with pytest.raises(BadMessage) as error:
        read(subject, headers, data)
    reason = str(error.value)
    assert reason and "\n" not in reason
    return reason


NEEDED = {
    "frame": ("Version", "Run", "Schema", "First", "Count", "Watermark", "Hash"),
    "session": (
        "Version", "Run", "Date", "Contract", "Complete-From", "Frame-Span", "Paced-From", "Frame-Records", "Inputs", "Config",
        "Schema", "Count", "Hash",
    ),
    "clock": ("Version", "Run", "Watermark", "Hash"),
}  # fmt: skip
NUMBERS = {
    "frame": ("First", "Count", "Watermark"), "session": ("Complete-From", "Frame-Span", "Paced-From", "Frame-Records", "Count"),
    "clock": ("Watermark",),
}  # fmt: skip


@pytest.mark.parametrize("kind, name", [(kind, name) for kind, names in NEEDED.items() for name in names])
def test_a_header_is_missing(kind, name):
    assert refused(*changed(EVERY[kind], **{name: None})) == f"header {name} is missing"


@pytest.mark.parametrize("headers", [None, {}])
def test_no_headers_at_all(headers):
    assert refused(MBP10, headers, frame().message().data) == "header Version is missing"


@pytest.mark.parametrize("kind", EVERY)
@pytest.mark.parametrize("version", ["0", "2", "", "one"])
def test_version(kind, version):
    assert refused(*changed(EVERY[kind], Version=version)) == f"version {version}; this engine reads version 1"


@pytest.mark.parametrize("value", ["", "x", "1.5", "1e3", " 1", "0x10", "-", "1-", "none", "²"])
@pytest.mark.parametrize("kind, name", [(kind, name) for kind, names in NUMBERS.items() for name in names])
def test_not_a_number(kind, name, value):
    assert refused(*changed(EVERY[kind], **{name: value})) == f"header {name} is {value!r}; expected a whole number"


@pytest.mark.parametrize("value", ["--5", "9" * 5000])
def test_not_a_number_though_made_of_digits(value):
    """int() does not take these: two signs, and more digits than it converts."""
    assert "header Watermark is" in refused(*changed(CLOCK, Watermark=value))


@pytest.mark.parametrize("kind", ["frame", "session"])
@pytest.mark.parametrize("share", [0, 0.3, 0.7, 1])
@pytest.mark.parametrize("bit", [0, 7])
def test_a_flipped_bit(kind, share, bit):
    data = bytearray(EVERY[kind].message().data)
    data[round(share * (len(data) - 1))] ^= 1 << bit
    reason = refused(*changed(EVERY[kind], bytes(data), hashed=False))
    assert reason == f"the data's hash is {digest(bytes(data))}, the header says {EVERY[kind].message().headers['Hash']}"


def test_a_wrong_hash():
    assert "the header says 0123456789abcdef" in refused(*changed(CLOCK, Hash="0123456789abcdef"))


@pytest.mark.parametrize("kind", ["frame", "session"])
@pytest.mark.parametrize("less", [1, 8, 368])
def test_truncated(kind, less):
    """The hash shows it; where the hash was made of what is left, the count does."""
    sent = EVERY[kind]
    data = sent.message().data[:-less]
    assert "hash" in refused(*changed(sent, data, hashed=False))
    rows, size = (5, 368) if kind == "frame" else (144, PRIORS.dtype.itemsize)
    words = "records" if kind == "frame" else "rows"
    assert refused(*changed(sent, data)).startswith(f"{len(data)} bytes; expected {rows} {words} of {size}")


@pytest.mark.parametrize("kind, counts", [("frame", (0, 4, 6, -5)), ("session", (0, 143, 145, -144))])
def test_a_wrong_count(kind, counts):
    for count in counts:
        reason = refused(*changed(EVERY[kind], Count=str(count)))
        assert reason.startswith(f"{len(EVERY[kind].message().data)} bytes; expected {count} ")


def test_no_records():
    assert refused(*changed(frame(), b"", Count="0")) == "0 bytes; expected 0 records of 368, at least one"


@pytest.mark.parametrize("schema", ["", "mbp-11", "ohlcv-1s", "priors", f"{PRIORS.name} {PRIORS.digest}"])
def test_an_unknown_schema(schema):
    assert refused(*changed(frame(), Schema=schema)) == f"schema {schema} is unknown"


@pytest.mark.parametrize("name, value", [("rtype", 0), ("rtype", 11), ("length", 20), ("length", 0)])
@pytest.mark.parametrize("number", [0, 2, 4])
def test_another_record_inside(name, value, number):
    rows = records()
    rows[name][number] = value
    assert refused(*changed(frame(), rows.tobytes())) == "a record is not of rtype 10 with 368 bytes"


def test_another_schema_of_the_same_size():
    """bbo-1s and tbbo records have one size; rtype tells them apart."""
    assert refused(*changed(frame("tbbo", 3, "option_quotes"), Schema="bbo-1s")) == "a record is not of rtype 195 with 80 bytes"


@pytest.mark.parametrize("schema", [f"{PRIORS.name} 0123456789abcdef", PRIORS.name, "mbp-10", ""])
def test_priors_of_another_form(schema):
    reason = refused(*changed(session(), Schema=schema))
    assert reason == f"priors of the form {schema}; expected {PRIORS.name} {PRIORS.digest}"


@pytest.mark.parametrize("subject", ["", "market", "market.futures", f"{MBP10}.x", "levels.rows", "MARKET.CLOCK", "dlq"])
def test_an_unknown_subject(subject):
    reason = refused(subject, *changed(frame())[1:])
    assert reason.startswith(f"subject {subject} is not one of ") and all(its in reason for its in CHANNELS.values())


# ---- rows of several tables ----


def rows_of(tables, counts):
    return {table.name: noise(table.dtype, count) for table, count in zip(tables, counts, strict=True)}


@pytest.mark.parametrize(
    "tables, counts",
    [
        (ROWS, (5, 3, 1, 2, 7, 2)),
        (ROWS, (0, 0, 0, 0, 0, 0)),
        (ROWS, (1, 0, 4, 0, 1, 0)),
        (FLOWS, (128, 9, 2, 50)),
        (FLOWS, (1, 0, 0, 0)),
    ],
)
def test_rows_there_and_back(tables, counts):
    rows = rows_of(tables, counts)
    told, data = pack(tables, rows)
    assert told == " ".join(f"{table.name}={count}" for table, count in zip(tables, counts, strict=True))
    found = unpack(tables, told, data)
    assert list(found) == [table.name for table in tables]
    for table in tables:
        assert found[table.name].dtype == table.dtype and found[table.name].tobytes() == rows[table.name].tobytes()


@pytest.mark.parametrize(
    "change",
    [
        lambda counts, data: (counts, data[:-1]),
        lambda counts, data: (counts, data + b"\0"),
        lambda counts, data: (counts, b""),
        lambda counts, data: (counts.replace("=3", "=4"), data),
        lambda counts, data: (counts.replace("=3", "=2"), data),
        lambda counts, data: (counts.replace("=2", "=20"), data),
        lambda counts, data: (re.sub("=.", "=0", counts), data),
    ],
    ids=["short", "long", "empty", "one more", "one less", "many more", "none"],
)
def test_rows_that_are_not_what_the_header_says(change):
    told, data = change(*pack(FLOWS, rows_of(FLOWS, (3, 2, 1, 5))))
    with pytest.raises(BadMessage, match=f"^{len(data)} bytes; expected .*{re.escape(told)}"):
        unpack(FLOWS, told, data)


@pytest.mark.parametrize(
    "told", ["", "snaps=3", "snaps=3 flow=2", "snaps=x flow=2 dealers=1 strikes=5", "snaps=-1 flow=2 dealers=1 strikes=5"]
)
def test_counts_that_cannot_be_read(told):
    _, data = pack(FLOWS, rows_of(FLOWS, (3, 2, 1, 5)))
    with pytest.raises(BadMessage):
        unpack(FLOWS, told, data)


assert (SNAPS, FLOW, DEALERS, STRIKES) == FLOWS and LEVELS in ROWS


def test_a_first_record_before_the_first():
    assert refused(*changed(EVERY["frame"], First="-5")) == "header First is -5; records are numbered from 0"
