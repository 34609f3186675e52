"""What is measured on a published Bronze partition, against which threshold.

Every check reads the published files back (DuckDB or Arrow over Parquet), so it judges what is stored, not what was meant.
Blocking checks stop everything downstream of the partition in the same run; the others warn. Checks say what they measured, the
threshold and, in a sentence, what a failure means. The verdict is kept beside the partition (checks.json): the same content is
judged once.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Final

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from spymaster_assets import dbn
from spymaster_assets.ahead import together
from spymaster_assets.columnar import to_numpy
from spymaster_assets.fingerprint import Manifest, code_digest
from spymaster_assets.lake import Lake, LakeError, scan
from spymaster_assets.landing import option, outright
from spymaster_assets.schema import Table
from spymaster_assets.sessions import NS_PER_SECOND, Session, calendar
from spymaster_assets.tables import (
    BRONZE,
    DEFINITIONS,
    FUTURES_MBP10,
    FUTURES_TRADES,
    OPTION_QUOTES,
    OPTION_STATISTICS,
    OPTION_TRADES,
    TABLES,
    UNDEF_PRICE,
)

_CODE: Final = tuple(  # what decides a verdict
    f"spymaster_assets.{module}"
    for module in (
        "quality", "silver_quality", "gold_quality", "history_quality", "lake", "columnar", "fingerprint", "landing", "dbn",
        "sessions", "schema", "states",
        "features", "features.channels", "features.context", "features.feature", "features.physics",
        "tables.bronze", "tables.silver", "tables.gold", "compute.clock", "compute.kernel",
    )
)  # fmt: skip
DAY_NS: Final = 86_400 * NS_PER_SECOND
Value = int | float | str | None


@dataclass(frozen=True)
class Outcome:
    """What a check found. `measured` and `threshold`: named values; `message`: one sentence."""

    passed: bool
    measured: Mapping[str, Value]
    threshold: Mapping[str, Value]
    message: str


class Partition:
    """One published partition as the checks see it: its file in DuckDB, its manifest, its session."""

    def __init__(self, lake: Lake, table: Table, date: dt.date, connection: duckdb.DuckDBPyConnection) -> None:
        manifest = lake.manifest(table, date)
        if manifest is None:
            raise LakeError(f"expected {table.name} of {date}, found no partition")
        self.lake, self.table, self.date, self.manifest, self._connection = lake, table, date, manifest, connection
        self.consulted: dict[str, str | None] = {}
        self.session: Session = calendar(lake.config).session(date)
        self.rows = scan([str(lake.path(table, date))])

    @cached_property
    def damage(self) -> str | None:
        """What is wrong with the stored file, or None: it is read whole, once."""
        return self.lake.verify(self.table, self.date)

    @cached_property
    def readable(self) -> bool:
        """Whether the file can be read at all, with the declared columns."""
        if self.damage is None:
            return True
        try:
            for _ in self.lake.batches(self.table, self.date, self.table.names):
                pass
        except (OSError, pa.ArrowException, KeyError):
            return False
        return True

    def beside(self, table: Table) -> Manifest | None:
        """The manifest of another table of the date, if there is one. What was consulted is part of the verdict."""
        manifest = self.lake.manifest(table, self.date)
        self.consulted[f"{table.stage}/{table.name}"] = _seen(manifest)
        return manifest

    def other(self, table: Table) -> str:
        """SQL of another table of the date."""
        self.beside(table)
        return f"({scan([str(self.lake.path(table, self.date))])})"

    def rows_of(self, table: Table, columns: Sequence[str] | None = None) -> np.ndarray:
        """Another table of the date in its in-memory form; `columns`: see `Lake.rows`."""
        self.beside(table)
        return self.lake.rows(table, self.date, columns)

    def arrays(self, columns: Sequence[str]) -> Iterator[dict[str, np.ndarray]]:
        """Some columns of the partition, a row group at a time."""
        for batch in self.lake.batches(self.table, self.date, columns):
            yield {name: to_numpy(self.table[name], batch.column(name)) for name in columns}

    def row(self, sql: str) -> tuple[Any, ...]:
        """The one row of a query in which `{rows}` stands for the partition."""
        found = self._connection.cursor().execute(sql.replace("{rows}", f"({self.rows})")).fetchone()
        assert found is not None, "an aggregate query returns a row"
        return tuple(found)


_OF_OPTIONS: Final = (OPTION_TRADES, OPTION_QUOTES, OPTION_STATISTICS)


def schema(part: Partition) -> Outcome:
    """Stored types and row count are the declared ones, values lie in their ranges, the content is what was written."""
    damage, again = part.damage, f"make it again: spymaster day {part.date} --force"
    if not part.readable:
        return Outcome(False, {"damage": damage}, {"damage": ""}, f"the stored file cannot be read; {again}")
    stored = pq.read_schema(part.lake.path(part.table, part.date))
    wrong = [c.name for c in part.table.columns if c.name not in stored.names or stored.field(c.name).type != c.arrow]
    rows = part.row("select count(*) from {rows}")[0]
    tests = [
        f"count(*) filter ({c.name} {beyond} {limit})"
        for c in part.table.columns
        for beyond, limit in (("<", c.low), (">", c.high))
        if limit is not None and c.name not in wrong
    ]
    outside = sum(part.row(f"select {', '.join(tests)} from {{rows}}")) if tests else 0
    passed = not wrong and not outside and rows == part.manifest.rows and damage is None
    return Outcome(
        passed,
        {"rows": rows, "columns_wrong": ", ".join(wrong), "values_out_of_range": outside, "damage": damage or ""},
        {"rows": part.manifest.rows, "columns_wrong": "", "values_out_of_range": 0},
        "stored as declared and as written"
        if passed
        else f"the stored file is not what {'was written' if damage else 'tables.py declares'}; {again}",
    )


def accounted(part: Partition) -> Outcome:
    """Every record read is kept, outside the date, of another instrument, or held by two files; none is of an unknown one."""
    files = part.manifest.facts["files"]
    lost = [
        f["path"] for f in files
        if f["read"] != f["kept"] + sum(f["outside"].values()) + sum(f["other_instruments"].values()) + f["unresolved"]
    ]  # fmt: skip
    kept, twice = sum(f["kept"] for f in files), part.manifest.facts["overlap"]["in_both_files"]
    unresolved = sum(f["unresolved"] for f in files)
    passed = not lost and not unresolved and part.manifest.rows == kept - twice
    return Outcome(
        passed,
        {
            "read": sum(f["read"] for f in files),
            "kept": kept,
            "in_two_files": twice,
            "unresolved": unresolved,
            "files_not_adding_up": ", ".join(lost),
        },
        {"rows": part.manifest.rows, "unresolved": 0, "files_not_adding_up": ""},
        "every record is accounted for"
        if passed
        else "records are of instruments that neither header nor definitions name"
        if unresolved
        else "records were lost or doubled on the way in",
    )


def agreement(part: Partition) -> Outcome:
    """Files that cover the same time hold the same records of the contract."""
    single, same = (part.manifest.facts["overlap"][name] for name in ("in_one_file", "in_both_files"))
    return Outcome(
        not single,
        {"in_one_file": single, "in_both_files": same},
        {"in_one_file": 0},
        "files agree" if not single else "two files tell the same time differently: remove the one that is superseded",
    )


def coverage(part: Partition) -> Outcome:
    """Every UTC day that the date needs has files over all of the session's hours."""
    days = part.manifest.facts["coverage"]
    holes = {day: state for day, state in days.items() if not state.startswith("full")}
    may_be_absent = part.table.optional or (part.table in _OF_OPTIONS and not part.lake.config.instrument.option_parents)
    if may_be_absent and set(holes.values()) == {"missing"} and len(holes) == len(days):
        return Outcome(True, dict(days), {"days_not_full": 0}, "absent, which it may be")
    message = "both UTC days are covered" if not holes else "; ".join(f"{day}: {state}" for day, state in holes.items())
    return Outcome(not holes, dict(days), {"days_not_full": 0}, message)


def order(part: Partition) -> Outcome:
    """Records stand in the order of receipt; few lie before an earlier one in event time (not asked of samples, statistics)."""
    restated = part.table in (OPTION_QUOTES, OPTION_STATISTICS)
    limit = part.lake.config.quality.late_share_max
    rows, late, early = 0, 0, 0
    seen = received = np.iinfo(np.int64).min
    for columns in part.arrays(("ts_event", "ts_recv", *(["flags"] if "flags" in part.table.names else []))):
        latest = np.maximum.accumulate(np.maximum(columns["ts_event"], seen))
        behind = columns["ts_event"] < latest
        if "flags" in columns:
            behind &= columns["flags"] & dbn.F_SNAPSHOT == 0
        late += int(behind.sum())
        receipts = columns["ts_recv"]
        early += int((receipts[1:] < receipts[:-1]).sum() + (receipts[0] < received))
        rows, seen, received = rows + len(latest), latest[-1], receipts[-1]
    late = 0 if restated else late
    share = late / rows if rows else 0.0
    passed = share <= limit and early == 0
    return Outcome(
        passed,
        {"late": late, "late_share": share, "received_out_of_order": early},
        {"late_share": limit, "received_out_of_order": 0},
        "in order" if passed else "records are out of order: files were joined wrongly, or the feed was disturbed",
    )


def gaps(part: Partition) -> Outcome:
    """Nowhere in the regular session do records stay away for long."""
    config = part.lake.config.quality
    regular = part.session.regular
    first, last, inner, count = part.row(f"""
        select coalesce(min(ts_event), {regular.end}), coalesce(max(ts_event), {regular.end}),
               max(pause), count(*) filter (pause > {config.gap_seconds} * 1e9)
        from (select ts_event, ts_event - lag(ts_event) over () as pause
              from {{rows}} where ts_event > {regular.start} and ts_event <= {regular.end})""")
    edges = [first - regular.start, regular.end - last]
    longest = max(*edges, inner or 0) / NS_PER_SECOND
    count += sum(edge > config.gap_seconds * NS_PER_SECOND for edge in edges)
    passed = count <= config.gap_count_max
    return Outcome(
        passed,
        {"gaps": count, "longest_seconds": longest},
        {"gaps": config.gap_count_max, "longer_than_seconds": config.gap_seconds},
        "no gap in the regular session" if passed else "the regular session has holes: a halt, or missing data",
    )


def crossed(part: Partition) -> Outcome:
    """After the open, bid below ask in (almost) every book; trades are passed over: theirs is the book before them."""
    limit = part.lake.config.quality.crossed_share_max
    books, wrong = part.row(f"""
        select count(*), count(*) filter (bid_px_00 >= ask_px_00) from {{rows}}
        where action <> 'T' and ts_event > {part.session.globex.start}
          and bid_px_00 <> {UNDEF_PRICE} and ask_px_00 <> {UNDEF_PRICE}""")
    share = wrong / books if books else 0.0
    return Outcome(
        share <= limit,
        {"books": books, "crossed_or_locked": wrong, "share": share},
        {"share": limit},
        "books are in order" if share <= limit else "too many crossed or locked books: instruments mixed, or a damaged feed",
    )


def flags(part: Partition) -> Outcome:
    """Few records carry the flags for a bad receive time or a maybe bad book (snapshot rows aside)."""
    limit = part.lake.config.quality.flagged_share_max
    rows, bad_time, bad_book = part.row(f"""
        select count(*), count(*) filter (flags & {dbn.F_BAD_TS_RECV} <> 0), count(*) filter (flags & {dbn.F_MAYBE_BAD_BOOK} <> 0)
        from {{rows}} where flags & {dbn.F_SNAPSHOT} = 0""")
    share = (bad_time + bad_book) / rows if rows else 0.0
    return Outcome(
        share <= limit,
        {"bad_receive_time": bad_time, "maybe_bad_book": bad_book, "share": share},
        {"share": limit},
        "flags are clean" if share <= limit else "the vendor marks many records as doubtful",
    )


def reconciliation(part: Partition) -> Outcome:
    """The T records of the book stream are the trades of the trades file, one for one."""
    limit = part.lake.config.quality.unreconciled_share_max
    trades = part.beside(FUTURES_TRADES)
    symbol = part.manifest.facts["contract"]["symbol"]
    if trades is None or not trades.facts.get("volumes", {}).get(symbol):
        return Outcome(False, {"trades_file": "absent"}, {"trades_file": "present"}, f"no trades of {symbol} to compare with")
    other = part.other(FUTURES_TRADES)
    key = "ts_event, ts_recv, sequence, price, size, side"
    lots, only_book, only_trades = part.row(f"""
        with trade as (select {key}, true as of_book from {{rows}} where action = 'T'
                       union all select {key}, false from {other} where symbol = '{symbol}'),
             counted as (select size, count(*) filter (of_book) as book, count(*) filter (not of_book) as file
                         from trade group by {key})
        select coalesce(sum(size * greatest(book, file)), 0)::bigint,
               coalesce(sum(size * greatest(book - file, 0)), 0)::bigint,
               coalesce(sum(size * greatest(file - book, 0)), 0)::bigint
        from counted""")
    share = (only_book + only_trades) / lots if lots else 0.0
    return Outcome(
        share <= limit,
        {"lots": lots, "only_in_book": only_book, "only_in_trades": only_trades, "share": share},
        {"share": limit},
        "book and trades agree" if share <= limit else "book stream and trades file tell different trades",
    )


def purity(part: Partition) -> Outcome:
    """One contract: a single instrument per UTC day in the book, and the one that the date's trades call by its symbol."""
    symbol = part.manifest.facts["contract"]["symbol"]
    by_day = f"select distinct ts_recv // {DAY_NS} as day, instrument_id"
    foreign_ones = "0"
    if part.beside(FUTURES_TRADES) is not None:
        trades = f"({by_day}, symbol from {part.other(FUTURES_TRADES)} where symbol <> '{symbol}')"
        foreign_ones = f"(select count(*) from book join {trades} using (day, instrument_id))"
    days, ids, most, foreign = part.row(f"""
        with book as materialized ({by_day} from {{rows}})
        select count(*), coalesce(sum(n), 0), coalesce(max(n), 0), {foreign_ones}
        from (select count(*) as n from book group by day)""")
    passed = most <= 1 and not foreign
    return Outcome(
        passed,
        {"contract": symbol, "days": days, "instruments": int(ids), "instruments_a_day": most, "of_another_symbol": foreign},
        {"instruments_a_day": 1, "of_another_symbol": 0},
        "one contract" if passed else "records of several instruments are mixed",
    )


def contract(part: Partition) -> Outcome:
    """The contract was chosen by a clear majority of an earlier date's volume."""
    choice = part.manifest.facts["contract"]
    limit = part.lake.config.bronze.dominance_min
    passed = choice["basis"] == "volume" and not choice["flagged"]
    basis = {
        "volume": f"by volume of {choice['volume_date']}",
        "only outright": "as the only outright present",
        "calendar": "by the calendar: no earlier date's volume yet, as on a first date",
    }
    message = f"{choice['symbol']} {basis[choice['basis']]}"
    measured = {"symbol": choice["symbol"], "basis": choice["basis"], "dominance": choice["dominance"]}
    return Outcome(passed, measured, {"basis": "volume", "dominance": limit}, message)


def symbols(part: Partition) -> Outcome:
    """Every row has a symbol, of the kind that the table is about."""
    config = part.lake.config
    pattern = outright(config).pattern if part.table is FUTURES_TRADES else rf"{option(config).pattern}|UD:.*"
    unknown, foreign = part.row(f"""
        select count(*) filter (symbol is null), count(*) filter (not regexp_full_match(symbol, '{pattern}')) from {{rows}}""")
    passed = not unknown and not foreign
    return Outcome(
        passed,
        {"unknown": unknown, "foreign": foreign},
        {"unknown": 0, "foreign": 0},
        "symbols are known" if passed else "rows without a symbol, or of another kind of instrument: definitions may be missing",
    )


@dataclass(frozen=True)
class Check:
    """A check of one table. `blocking`: its failure stops what lies downstream; otherwise it warns."""

    name: str
    table: Table
    blocking: bool
    measure: Callable[[Partition], Outcome]

    @property
    def description(self) -> str:
        return (self.measure.__doc__ or "").strip()


_EVERY: Final = (("schema", True, schema), ("accounted", True, accounted), ("coverage", False, coverage))
_MARKET: Final = (("order", True, order), ("flags", False, flags))
_BOOK: Final = (
    *_MARKET,
    ("agreement", True, agreement),
    ("gaps", False, gaps),
    ("crossed", False, crossed),
    ("reconciliation", False, reconciliation),
    ("purity", True, purity),
    ("contract", False, contract),
)
_OPTIONS: Final = (("symbols", False, symbols), ("order", False, order))
_BY_TABLE: Final = {DEFINITIONS.name: (), FUTURES_TRADES.name: (*_MARKET, ("symbols", True, symbols)), FUTURES_MBP10.name: _BOOK}
CHECKS: Final = tuple(
    Check(name, table, blocking, measure)
    for table in BRONZE
    for name, blocking, measure in (*_EVERY, *_BY_TABLE.get(table.name, _OPTIONS))
)


def examine(
    lake: Lake, table: Table, date: dt.date, checks: Sequence[Check] = CHECKS, connection: duckdb.DuckDBPyConnection | None = None
) -> dict[str, Outcome]:  # fmt: skip
    """All of `checks` of one published partition, by name; what was found before of the same content is not measured again,
    unless its file was damaged: a disk may have been at fault."""
    wanted = [check for check in checks if check.table is table]
    before = recall(lake, table, date, wanted)
    if before is not None and not _damaged(before):
        return before
    part = Partition(lake, table, date, connection or duckdb.connect())
    unseen = Outcome(False, {"looked_at": "no"}, {"looked_at": "yes"}, "not looked at, since the stored file cannot be read")
    judged = [check for check in wanted if part.readable or check.measure is schema]
    measured = dict(zip(judged, together(lambda check: check.measure(part), judged), strict=True))
    found = {check.name: measured.get(check, unseen) for check in wanted}
    _remember(part, wanted, found)
    return found


def _damaged(found: Mapping[str, Outcome]) -> bool:
    """Whether a verdict is about a file that could not be read, or was not what had been written."""
    return any(outcome.measured.get("damage") or "looked_at" in outcome.measured for outcome in found.values())


def recall(lake: Lake, table: Table, date: dt.date, checks: Sequence[Check]) -> dict[str, Outcome] | None:
    """What was found of a partition, if by the same checks, thresholds, content and file, and beside the same other tables.

    What a check read of other dates (drift) is as it was when it was measured.
    """
    manifest = lake.published(table, date)
    try:
        stored = json.loads(lake.verdict(table, date))
        if manifest is None or stored["of"] != _judged(lake, table, date, manifest, checks):
            return None
        if any(_seen(lake.published(TABLES[name], date)) != seen for name, seen in stored["consulted"].items()):
            return None
        return {name: Outcome(**outcome) for name, outcome in stored["found"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):  # not there, or not ours: measured anew
        return None


def _seen(manifest: Manifest | None) -> str | None:
    """What a verdict remembers of a table that it consulted: content and facts."""
    return hashlib.sha256(manifest.encode()).hexdigest()[:16] if manifest else None


def _judged(lake: Lake, table: Table, date: dt.date, manifest: Manifest, checks: Sequence[Check]) -> dict[str, Any]:
    """What a verdict is about: content, facts and file, the checks' code, the configuration."""
    file = lake.stat(table, date, manifest)
    if file is None:
        return {}
    return {
        "manifest": _seen(manifest), "file": [file.size, file.mark],
        "checks": [check.name for check in checks], "code": code_digest(*_CODE), "config": lake.config.of_tables,
    }  # fmt: skip


def _remember(part: Partition, checks: Sequence[Check], found: Mapping[str, Outcome]) -> None:
    """Keep a verdict beside the partition."""
    judged = _judged(part.lake, part.table, part.date, part.manifest, checks)
    facts = {
        "of": judged,
        "consulted": dict(sorted(part.consulted.items())),
        "found": {name: asdict(outcome) for name, outcome in found.items()},
    }
    text = json.dumps(facts, indent=1, default=lambda value: value.item())
    with contextlib.suppress(OSError):  # no room, read-only, or swept by another writer: judged again the next time
        part.lake.keep_verdict(part.table, part.date, text.encode())
