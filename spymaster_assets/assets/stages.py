"""Silver and Gold as assets: each is one call into a stage; its result carries rows, content hash, facts and the column schema."""

from collections.abc import Iterator
from typing import Any

import dagster as dg
from dagster_duckdb import DuckDBResource

from spymaster_assets.ahead import together
from spymaster_assets.assets.bronze import column_schema, published
from spymaster_assets.assets.checks import key_of, results, specs
from spymaster_assets.assets.history import LOOKBACK, earlier, observed
from spymaster_assets.assets.lineage import column_lineage, lineage_page
from spymaster_assets.assets.partitions import CONFIG, date_of, trading_dates
from spymaster_assets.assets.pictures import drawn, gold_picture
from spymaster_assets.assets.resources import LakeResource
from spymaster_assets.gold import STAGES
from spymaster_assets.lake import Lake
from spymaster_assets.maker import TROUBLE, Maker, Stage
from spymaster_assets.progress import terminal
from spymaster_assets.schema import Table
from spymaster_assets.tables import DAY_SUMMARY, FUTURES_MBP10, GOLD, TRAINING

completes = (  # the latest date's later stages are made once what they need is there, summaries of other dates aside
    dg.AutomationCondition.in_latest_time_window()
    & (
        dg.AutomationCondition.missing().newly_true()
        | (dg.AutomationCondition.missing() & dg.AutomationCondition.initial_evaluation())
    ).since(dg.AutomationCondition.newly_requested() | dg.AutomationCondition.newly_updated())
    & ~dg.AutomationCondition.any_deps_missing().ignore(dg.AssetSelection.groups("history"))
).with_label("completes the latest date")
_latest: list[Maker] = []  # the date in memory, for the stages of one run


def _maker(lake: Lake, context: dg.AssetExecutionContext) -> Maker:
    """The maker of the run's date; its tables stay in memory from one stage of a run to the next."""
    date = date_of(context)
    if not (_latest and _latest[0].date == date and _latest[0].lake == lake):
        _latest[:] = [Maker(date, lake, terminal())]
    return _latest[0]


def _deps(stage: Stage) -> list[dg.AssetDep]:
    """The inputs of the date and, for priors, the book and the summaries of earlier dates."""
    deps = [dg.AssetDep(key_of(table)) for table in stage.inputs]
    if stage.earlier:
        deps += [earlier(DAY_SUMMARY), dg.AssetDep(key_of(FUTURES_MBP10))]
    return deps


def _shown(table: Table, maker: Maker) -> dict[str, Any]:
    """What Gold's results show besides: the page of the date, a picture of it, and where each column comes from."""
    if table not in GOLD:
        return {}
    picture = {"picture": dg.MetadataValue.md(drawn(lambda: gold_picture(maker.lake, maker.date)))} if table is TRAINING else {}
    page = {"day view": dg.MetadataValue.url(f"{maker.config.live.gateway.address}/?date={maker.date}")}
    lineage = {"columns made from": dg.MetadataValue.md(lineage_page(table)), "dagster/column_lineage": column_lineage(table)}
    return {**page, **picture, **lineage}


def stage_asset(stage: Stage) -> dg.AssetsDefinition:
    """The asset, or assets, of one stage with their checks."""

    @dg.multi_asset(
        name=stage.step,
        group_name=stage.tables[0].stage,
        partitions_def=trading_dates,
        specs=[
            dg.AssetSpec(
                key_of(table),
                deps=_deps(stage),
                description=f"{table.meaning[0].upper()}{table.meaning[1:]}.",
                code_version=f"{stage.code}-{CONFIG.digest(*stage.groups)}",
                kinds={"parquet"},
                automation_condition=completes,
                metadata={"dagster/column_schema": column_schema(table)},
            )
            for table in stage.tables
        ],
        check_specs=[spec for table in stage.tables for spec in specs(table)],
    )
    def asset(context: dg.AssetExecutionContext, lake: LakeResource, duckdb: DuckDBResource) -> Iterator[object]:
        maker = _maker(lake.lake(), context)
        try:
            made = maker.make(stage)
        except TROUBLE as error:
            raise dg.Failure(str(error), allow_retries=False) from error
        with duckdb.get_connection() as connection:
            judged = together(lambda table: [*results(maker.lake, table, maker.date, connection)], stage.tables)
            for table, found in zip(stage.tables, judged, strict=True):
                one = made[table.name]
                yield dg.MaterializeResult(
                    asset_key=key_of(table),
                    metadata={**published(table, one), **_shown(table, maker)},
                    data_version=dg.DataVersion(one.manifest.content),
                )
                if table in LOOKBACK:
                    context.log_event(observed(table, one.manifest))
                yield from found

    return asset


stage_assets = [stage_asset(stage) for stage in STAGES]
