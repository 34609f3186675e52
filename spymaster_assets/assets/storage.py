"""Dagster's event log in SQLite, with engines that are kept.

Dagster's own storage makes a new SQLAlchemy engine for every event, so that each statement is compiled anew and each commit waits
for the disk. A run of a date writes about 350 events: that is most of what orchestration costs. This is the same storage (the same
files, tables and statements) with one engine a shard, kept for the shards in use, and SQLite told to fsync at checkpoints rather
than at each commit: a killed process loses nothing, a power failure at most the latest events, never the lake. The events planned
for a run are one transaction, and the materialization that all checks of a partition ask for is read once. `dagster.yaml` names
it; docs/decisions/0008 has the measurements.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dagster import AssetKey, AssetRecordsFilter, DagsterEventType, EventLogEntry, EventRecordsResult, StringSource
from dagster._core.definitions.partitions.subset import DefaultPartitionsSubset
from dagster._core.storage.event_log.sqlite.sqlite_event_log import INDEX_SHARD_NAME, SqliteEventLogStorage
from dagster._serdes import ConfigurableClassData
from dagster_shared.record import replace
from sqlalchemy import Connection, Engine, create_engine, event

BUSY_SECONDS = 60.0  # how long a writer waits for another process
KEPT = 4  # shards: the index, and runs


class KeptSqliteEventLogStorage(SqliteEventLogStorage):
    """SqliteEventLogStorage below `home`/history/runs, where Dagster's own lies; `home`: the instance's folder."""

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
        self._engines: OrderedDict[str, Engine] = OrderedDict()
        self._tables: set[str] = set()
        self._begun: dict[str, Connection] = {}  # transactions of this thread, which holds the lock
        self._asked: tuple[object, EventRecordsResult] | None = None
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
                self._initdb(engine)
                self._initialized_dbs.add(shard)
            self._engines[shard] = engine
            for other in list(self._engines):
                if len(self._engines) > KEPT and other not in (shard, INDEX_SHARD_NAME):
                    self._engines.pop(other).dispose()
        self._engines.move_to_end(shard)
        return self._engines[shard]

    @contextmanager
    def _connect(self, shard: str) -> Iterator[Connection]:
        """A transaction on the shard, or the one that this thread has begun."""
        with self._db_lock:
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
        """In one transaction of each shard; the run's commits first, as with Dagster's own."""
        if any(event.dagster_event_type is DagsterEventType.ASSET_MATERIALIZATION for event in events):
            self._asked = None
        with self._connect(INDEX_SHARD_NAME), self._connect(events[0].run_id):
            for event in events:
                super().store_event(_brief(event))

    def fetch_materializations(
        self,
        records_filter: AssetKey | AssetRecordsFilter,
        limit: int,
        cursor: str | None = None,
        ascending: bool = False,
    ) -> EventRecordsResult:
        """The same question again is answered from memory, while neither this storage nor another wrote what could matter."""
        with self._connect(INDEX_SHARD_NAME) as connection:  # data_version: what others have committed
            question = records_filter, limit, cursor, ascending, connection.exec_driver_sql("PRAGMA data_version").scalar()
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
        self._forget()  # the files are about to be removed
        super().wipe()

    def dispose(self) -> None:
        super().dispose()
        self._forget()

    def _forget(self) -> None:
        self._asked = None
        while self._engines:
            self._engines.popitem()[1].dispose()


def _brief(entry: EventLogEntry) -> EventLogEntry:
    """The plan to run a check names its partition; Dagster would write out the whole calendar with every holiday instead, twice."""
    event = entry.dagster_event
    if event is None or event.event_type is not DagsterEventType.ASSET_CHECK_EVALUATION_PLANNED:
        return entry
    planned = event.asset_check_planned_data
    if planned.partitions_subset is None:
        return entry
    keys = DefaultPartitionsSubset(set(planned.partitions_subset.get_partition_keys()))
    return entry._replace(dagster_event=event._replace(event_specific_data=replace(planned, partitions_subset=keys)))


def _lazy(connection: Any, _: object) -> None:
    connection.execute("PRAGMA synchronous = NORMAL")
