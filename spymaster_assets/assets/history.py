"""The edges between dates, as Dagster can follow them: earlier trades choose a contract, summaries make priors, Gold makes models.

An edge from an asset's own earlier partitions would turn Dagster's backfill astray: asked for some dates, it makes the dates that
the edge leads to. So the edge starts at an external asset of the group `history`, which nobody materializes: whoever makes trades
or a summary reports it there as observed, with its content as data version. A late or changed older date therefore shows later
ones as stale in the UI, and starts nothing.
"""

from __future__ import annotations

import dagster as dg

from spymaster_assets.assets.partitions import CONFIG, trading_dates
from spymaster_assets.fingerprint import Manifest
from spymaster_assets.schema import Table
from spymaster_assets.tables import DAY_SUMMARY, FUTURES_TRADES, SEQUENCES, TRAINING

LEARNT = 99  # trading dates that a model of any date of a week may reach back to: from 100 on Dagster follows no staleness
LOOKBACK = {
    FUTURES_TRADES: CONFIG.bronze.contract_lookback, DAY_SUMMARY: CONFIG.priors.lookback, TRAINING: LEARNT, SEQUENCES: LEARNT,
}  # trading dates  # fmt: skip


def history_key(table: Table) -> dg.AssetKey:
    return dg.AssetKey(["history", table.name])


history_assets = [
    dg.AssetSpec(
        history_key(table),
        group_name="history",
        partitions_def=trading_dates,
        description=f"{table.stage}/{table.name} as later dates see it: up to {dates} trading dates before theirs.",
    )
    for table, dates in LOOKBACK.items()
]


def earlier(table: Table) -> dg.AssetDep:
    """The dependency of a date on a table of the dates before it."""
    window = dg.TimeWindowPartitionMapping(start_offset=-LOOKBACK[table], end_offset=-1, allow_nonexistent_upstream_partitions=True)
    return dg.AssetDep(history_key(table), partition_mapping=window)


def observed(table: Table, manifest: Manifest) -> dg.AssetObservation:
    """What a later date will see of a table that was made, or found unchanged."""
    tags = {"dagster/data_version": manifest.content}
    return dg.AssetObservation(history_key(table), partition=manifest.date, tags=tags, metadata={"rows": manifest.rows})
