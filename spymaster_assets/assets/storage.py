"""Dagster's event log in SQLite, with engines that are kept.

Dagster's own storage makes a new SQLAlchemy engine for every event, so that each statement is compiled anew and each commit waits
for the disk. A run of a date writes about 350 events: that is most of what orchestration costs. This is the same storage (the same
files, tables and statements) with one engine a shard, kept for the shards in use, and SQLite told to fsync at checkpoints rather
than at each commit: a killed process loses at most what the checks of its unfinished step said, a power failure the latest events,
neither anything of the lake. What a run plans is one transaction, and so is what a step's checks say; the materialization that all
checks of a partition ask for is read once. `dagster.yaml` names it; docs/decisions/0008 has the measurements.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from dagster import AssetKey, AssetRecordsFilter, DagsterEventType, EventLogEntry, EventRecordsResult, StringSource
from dagster._core.definitions.partitions.subset import DefaultPartitionsSubset, PartitionsSubset
from dagster._core.events import ASSET_CHECK_EVENTS, ASSET_EVENTS, EVENT_TYPE_TO_PIPELINE_RUN_STATUS
from dagster._core.storage.event_log.schema import SqlEventLogStorageTable
from dagster._core.storage.event_log.sqlite.sqlite_event_log import INDEX_SHARD_NAME, SqliteEventLogStorage
from dagster._serdes import ConfigurableClassData
from dagster_shared.record import replace
from sqlalchemy import Connection, Engine, create_engine, event

BUSY_SECONDS = 60.0  # how long a writer waits for another process
KEPT = 4  # shards: the index, and runs
HELD = 100  # events that wait for the transaction of a later one, at most
INDEXED = {*ASSET_EVENTS, *ASSET_CHECK_EVENTS, *EVENT_TYPE_TO_PIPELINE_RUN_STATUS}  # stored in the index too, as Dagster does
IDENTIFIED = SqlEventLogStorageTable.insert().returning(SqlEventLogStorageTable.c.id, sort_by_parameter_order=True)
WAITING = {DagsterEventType.STEP_OUTPUT, DagsterEventType.ASSET_CHECK_EVALUATION}  # followed by others before their step ends


class KeptSqliteEventLogStorage(SqliteEventLogStorage):
    """SqliteEventLogStorage below `home`/history/runs, where Dagster's own lies; `home`: the instance's folder."""

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
        self._engines: OrderedDict[str, Engine] = OrderedDict()
        self._tables: set[str] = set()
        self._begun: dict[str, Connection] = {}  # transactions of this thread, which holds the lock
        self._asked: tuple[object, EventRecordsResult] | None = None
        self._held: list[EventLogEntry] = []
        self._empty: bytes | None = None  # a run's shard before its first event
        super().__init__(base_dir, inst_data)
        self._db_lock = threading.RLock()  # type: ignore[assignment]  # a transaction may be begun within another

    @classmethod
    def config_type(cls) -> dict[str, Any]:
        return {"home": StringSource}

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> KeptSqliteEventLogStorage:
        return cls(str(Path(config_value["home"]) / "history" / "runs"), inst_data)

    def _engine(self, shard: str) -> Engine:
        """The shard's engine; the one unused for longest makes room, but never the index."""
        if shard not in self._engines:
            engine = create_engine(self.conn_string_for_shard(shard), connect_args={"timeout": BUSY_SECONDS})
            event.listen(engine, "connect", _lazy)
            if shard not in self._initialized_dbs:
                self._initialize(shard, engine)
                self._initialized_dbs.add(shard)
            self._engines[shard] = engine
            for other in list(self._engines):
                if len(self._engines) > KEPT and other not in (shard, INDEX_SHARD_NAME):
                    self._engines.pop(other).dispose()
        self._engines.move_to_end(shard)
        return self._engines[shard]

    def _initialize(self, shard: str, engine: Engine) -> None:
        """Make the shard's tables if they are missing: a new run's are copied from the first, since its migrations take 0.1 s."""
        path = Path(self.path_for_shard(shard))
        if path.exists() or shard == INDEX_SHARD_NAME:
            self._initdb(engine)
        elif self._empty is None:
            self._initdb(engine)
            with engine.connect() as connection:
                self._empty = connection.connection.driver_connection.serialize()  # type: ignore[union-attr]
        else:
            new = path.with_name(f".{shard}-{os.getpid()}")
            new.write_bytes(self._empty)
            with suppress(FileExistsError):  # another process was first
                os.link(new, path)
            new.unlink()

    @contextmanager
    def _connect(self, shard: str) -> Iterator[Connection]:
        """A transaction on the shard, or the one that this thread has begun; what waited is stored before."""
        with self._db_lock:
            self._store_held()
            if shard in self._begun:
                yield self._begun[shard]
                return
            with self._engine(shard).begin() as connection:
                self._begun[shard] = connection
                try:
                    yield connection
                finally:
                    del self._begun[shard]

    def store_event(self, event: EventLogEntry) -> None:
        self.store_event_batch([event])

    def store_event_batch(self, events: Sequence[EventLogEntry]) -> None:
        """In one transaction of each shard, with what waited; if that fails, `events` are not stored and the others still wait."""
        with self._db_lock:
            if self._held and self._held[0].run_id != events[0].run_id:
                self._store_held()
            if len(self._held) < HELD and all(entry.run_id and entry.dagster_event_type in WAITING for entry in events):
                self._held += events
            else:
                self._store_held(events)

    def _store_held(self, more: Sequence[EventLogEntry] = ()) -> None:
        held, self._held = self._held, []  # a connection stores what waits, and needs one
        try:
            if held or more:
                self._store([*held, *more])
        except BaseException:
            self._held = held
            raise

    def _store(self, entries: Sequence[EventLogEntry]) -> None:
        """Write to the shard of the run and, what other runs may ask for, to the index; as Dagster does for each event alone."""
        planned: dict[int, PartitionsSubset] = {}
        briefs = [_brief(entry, planned) for entry in entries]
        rows = [(entry, entry.dagster_event_type, self._event_to_row(entry)) for entry in briefs]
        indexed = [row for row in rows if row[1] in INDEXED]
        with self._connect(INDEX_SHARD_NAME) as index, self._connect(entries[0].run_id) as shard:
            shard.execute(SqlEventLogStorageTable.insert(), [row for *_, row in rows])
            ids = index.scalars(IDENTIFIED, [row for *_, row in indexed]).all() if indexed else []
            for (entry, kind, _), number in zip(indexed, ids, strict=True):
                if kind in ASSET_EVENTS:
                    self._store_asset_event_tags(index, [entry], [number])
                    self._store_asset_event(index, entry, number)
                elif kind in ASSET_CHECK_EVENTS:
                    self.store_asset_check_event(entry, number)
                if kind is DagsterEventType.ASSET_MATERIALIZATION:
                    self._asked = None

    def fetch_materializations(
        self,
        records_filter: AssetKey | AssetRecordsFilter,
        limit: int,
        cursor: str | None = None,
        ascending: bool = False,
    ) -> EventRecordsResult:
        """The same question again is answered from memory, while neither this storage nor another wrote what could matter."""
        with self._db_lock:
            with self._engine(INDEX_SHARD_NAME).connect() as connection:  # data_version: what others have committed
                committed = connection.exec_driver_sql("PRAGMA data_version").scalar()
            question = records_filter, limit, cursor, ascending, committed
            if self._asked is None or self._asked[0] != question:
                self._asked = question, super().fetch_materializations(records_filter, limit, cursor, ascending)
            return self._asked[1]

    def has_table(self, table_name: str) -> bool:
        """Asked for every check; a table that is there stays there."""
        if table_name not in self._tables and super().has_table(table_name):
            self._tables.add(table_name)
        return table_name in self._tables

    def _has_asset_key_col_on_connection(self, conn: Connection, column_name: str) -> bool:
        """Asked for every asset event, as above."""
        column = f"asset_keys.{column_name}"
        if column not in self._tables and super()._has_asset_key_col_on_connection(conn, column_name):
            self._tables.add(column)
        return column in self._tables

    def delete_events(self, run_id: str) -> None:
        self._asked = None
        super().delete_events(run_id)
        if engine := self._engines.pop(run_id, None):
            engine.dispose()

    def wipe_asset(self, asset_key: AssetKey) -> None:
        self._asked = None
        super().wipe_asset(asset_key)

    def wipe(self) -> None:
        self._held.clear()
        self._forget()  # the files are about to be removed
        super().wipe()

    def dispose(self) -> None:
        self._store_held()
        super().dispose()
        self._forget()

    def _forget(self) -> None:
        self._asked = None
        while self._engines:
            self._engines.popitem()[1].dispose()


def _brief(entry: EventLogEntry, planned: dict[int, PartitionsSubset]) -> EventLogEntry:
    """The same event without what Dagster would write more than once.

    The plan to run a check names its partition instead of the whole calendar with every holiday; `planned`: what it says for each
    of Dagster's, which are one object for all checks of a run. A step's output leaves metadata, pictures among it, to the
    materialization.
    """
    event = entry.dagster_event
    if event is None:
        return entry
    data: Any = event.event_specific_data
    if event.event_type is DagsterEventType.STEP_OUTPUT and data.metadata:
        data = data._replace(metadata={})
    elif event.event_type is DagsterEventType.ASSET_CHECK_EVALUATION_PLANNED and data.partitions_subset is not None:
        whole = id(data.partitions_subset)
        if whole not in planned:
            planned[whole] = DefaultPartitionsSubset(set(data.partitions_subset.get_partition_keys()))
        data = replace(data, partitions_subset=planned[whole])
    else:
        return entry
    return entry._replace(dagster_event=event._replace(event_specific_data=data))


def _lazy(connection: Any, _: object) -> None:
    connection.execute("PRAGMA synchronous = NORMAL")
