"""Everything Dagster loads, on one screen."""

from pathlib import Path

import dagster as dg

from spymaster_assets.assets.automation import (
    bronze_job,
    daily_schedule,
    date_job,
    freshness_check,
    freshness_job,
    freshness_schedule,
    landing_sensor,
    latest_date,
    models_job,
)
from spymaster_assets.assets.bronze import bronze_assets, landing_assets
from spymaster_assets.assets.download import download, download_job
from spymaster_assets.assets.history import history_assets
from spymaster_assets.assets.logger import begin
from spymaster_assets.assets.models import model_assets
from spymaster_assets.assets.resources import resources
from spymaster_assets.assets.stages import stage_assets


def build(root: Path | None = None, url: str = "") -> dg.Definitions:
    """The code location whose lake lies at `root`, its tables at `url` if given; or where the environment says."""
    begin()
    return dg.Definitions(
        assets=[download, *landing_assets, *history_assets, *bronze_assets, *stage_assets, *model_assets, latest_date],
        asset_checks=[freshness_check],
        jobs=[download_job, bronze_job, date_job, models_job, freshness_job],
        schedules=[daily_schedule, freshness_schedule],
        sensors=[landing_sensor],
        resources=resources(root, url),
        executor=dg.in_process_executor,  # one process a date: small steps are not worth an interpreter each
    )


defs = build()
