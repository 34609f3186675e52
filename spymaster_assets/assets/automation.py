"""What runs by itself: the daily schedules, and the sensor that turns files arriving in landing into runs."""

import datetime as dt
import hashlib
import json

import dagster as dg

from spymaster_assets.assets.bronze import landing_key
from spymaster_assets.assets.checks import key_of
from spymaster_assets.assets.partitions import CONFIG
from spymaster_assets.assets.resources import LakeResource
from spymaster_assets.config import Config, watches_landing
from spymaster_assets.lake import Lake
from spymaster_assets.landing import FEEDS, LandingFile, dates_served
from spymaster_assets.sessions import calendar, to_datetime, to_ns, wall
from spymaster_assets.staged import at_work, dates_downloaded, folder
from spymaster_assets.tables import BRONZE, TRAINING

LOOK_SECONDS = 20.0  # Dagster gives up a tick after 60
READY = "00:05"  # market zone, of the day after: from here on a date's partition exists and may be run

bronze_job = dg.define_asset_job(
    "bronze_job",
    selection=dg.AssetSelection.groups("bronze"),
    description="Landing to Bronze of one trading date.",
)


def latest_due(config: Config, now: dt.datetime) -> dt.date:
    """The latest trading date whose Gold is due at `now`: the clock of the market has passed `quality.due` of the day after it."""
    zone, trading = config.sessions.market_zone, calendar(config)
    today = to_datetime(to_ns(now), zone).date()
    over = to_ns(now) >= wall(today, config.quality.due, zone)
    return trading.before(today if over else today - dt.timedelta(days=1), 1)[0]


def freshness(lake: Lake, now: dt.datetime) -> dg.AssetCheckResult:
    """Whether the latest date that is due has Gold; says by how many trading dates the lake is behind."""
    due = latest_due(lake.config, now)
    there = lake.dates(TRAINING)
    latest = max((date for date in there if date <= due), default=None)
    trading = calendar(lake.config)
    behind = len(trading.dates(latest, due)) - 1 if latest else None
    return dg.AssetCheckResult(
        passed=latest == due,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"{due} is there" if latest == due else f"{due} was due; the latest is {latest or 'none'}",
        metadata={"latest": str(latest), "threshold: latest": str(due), "trading dates behind": behind if latest else "all"},
    )


latest_date = dg.AssetSpec(  # external, so that no run of a date judges it
    dg.AssetKey(["gold", "latest_date"]),
    group_name="gold",
    deps=[key_of(TRAINING)],
    description="The latest trading date that is due: is its Gold there?",
)


@dg.asset_check(asset=latest_date.key, name="freshness", description="The latest trading date that is due has Gold.")
def freshness_check(lake: LakeResource) -> dg.AssetCheckResult:
    return freshness(lake.lake(), dt.datetime.now(dt.UTC))


date_job = dg.define_asset_job(
    "date_job",
    selection=dg.AssetSelection.groups("bronze", "silver", "gold"),
    description="One trading date, from landing to the last stage.",
)
models_job = dg.define_asset_job(
    "models_job",
    selection=dg.AssetSelection.groups("models") - dg.AssetSelection.assets("model/evaluation", "model/drift", "model/champion"),
    description="The models of one trading date, and what they say of its touches; spymaster walk-forward runs it for many.",
)
freshness_job = dg.define_asset_job(
    "freshness_job", selection=dg.AssetSelection.checks(freshness_check), description="Is the latest trading date there?"
)
freshness_schedule = dg.ScheduleDefinition(
    name="freshness",
    job=freshness_job,
    cron_schedule=f"{int(CONFIG.quality.due[3:])} {int(CONFIG.quality.due[:2])} * * *",
    execution_timezone=CONFIG.sessions.market_zone,
)


@dg.schedule(job=date_job, name="daily", cron_schedule="5 0 * * *", execution_timezone=CONFIG.sessions.market_zone)
def daily_schedule(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
    """Everything of the trading date that has just ended, at READY; nothing after weekends and holidays."""
    ended = context.scheduled_execution_time.date() - dt.timedelta(days=1)
    if not calendar(CONFIG).is_trading_date(ended):
        return dg.SkipReason(f"{ended} was no trading date")
    return dg.RunRequest(run_key=str(ended), partition_key=str(ended))


def is_ready(date: dt.date, now: dt.datetime) -> bool:
    """Whether a date's partition exists: the market's clock has passed READY of the next day."""
    return to_ns(now) >= wall(date + dt.timedelta(days=1), READY, CONFIG.sessions.market_zone)


def _arrived(files: list[LandingFile], done: set[str]) -> dict[dt.date, list[LandingFile]]:
    """The trading dates served by files that have not been reported for them yet; definitions alone make no date."""
    market = {date for file in files if file.schema != "definition" for date in dates_served(file, CONFIG)}
    dates: dict[dt.date, list[LandingFile]] = {}
    for file in files:
        for date in dates_served(file, CONFIG):
            if date in market and _mark(file, date) not in done:
                dates.setdefault(date, []).append(file)
    return dict(sorted(dates.items()))


def _mark(file: LandingFile, date: dt.date) -> str:
    return f"{file.digest[:16]} {date}"


def respond(files: list[LandingFile], cursor: str | None, now: dt.datetime) -> dg.SensorResult | dg.SkipReason:
    """What the landing sensor does about `files` at `now`. The cursor lists what has been reported, for files still there."""
    done = set(json.loads(cursor)) if cursor else set()
    arrived = _arrived(files, done)
    ready = {date: new for date, new in arrived.items() if is_ready(date, now)}
    waiting = [str(date) for date in arrived if date not in ready]
    if not ready:
        until = f"waiting for {', '.join(waiting)} to end ({READY} New York time of the day after)"
        return dg.SkipReason(until if waiting else "no new file in landing")
    there = {_mark(file, date) for file in files for date in dates_served(file, CONFIG)}
    reported = (done & there) | {_mark(file, date) for date, new in ready.items() for file in new}
    return dg.SensorResult(
        run_requests=[dg.RunRequest(partition_key=str(date), run_key=f"{date}:{_hash(new)}") for date, new in ready.items()],
        asset_events=[observed for date, new in ready.items() for file in new for observed in _observations(file, date)],
        cursor=json.dumps(sorted(reported)),
    )


_STATUS = dg.DefaultSensorStatus.RUNNING if watches_landing() else dg.DefaultSensorStatus.STOPPED


@dg.sensor(job=date_job, minimum_interval_seconds=30, name="landing_sensor", default_status=_STATUS)
def landing_sensor(context: dg.SensorEvaluationContext, lake: LakeResource) -> dg.SensorResult | dg.SkipReason:
    """New files in landing: an observation on the landing assets and a run for every trading date they serve, once it is over.

    Files of a date that is being downloaded wait until all of them are there. A tick looks at new files for LOOK_SECONDS; where
    they take longer the next ones go on, and what they serve is run once all of them are known.
    """
    landing = lake.landing()
    busy = {folder(landing, date) for date in dates_downloaded(landing) if at_work(landing, date)}
    found, left = landing.look(LOOK_SECONDS)
    if left:
        return dg.SkipReason(f"{left} new files in landing are still to be looked at; {len(found)} are known")
    files = [file for file in found if (landing.root / file.path).parent not in busy]
    return respond(files, context.cursor, dt.datetime.now(dt.UTC))


def _hash(files: list[LandingFile]) -> str:
    return hashlib.sha256("".join(sorted(file.digest for file in files)).encode()).hexdigest()[:12]


def _observations(file: LandingFile, date: dt.date) -> list[dg.AssetObservation]:
    """What a file is, on each landing asset that it serves."""
    return [
        dg.AssetObservation(
            asset_key=landing_key(table),
            partition=date.isoformat(),
            metadata={"file": file.path, "bytes": file.bytes, "digest": file.digest, "origin": file.origin},
        )
        for table in BRONZE
        if any(file.holds(schema, FEEDS[table.name][0]) for schema in FEEDS[table.name][1])
    ]
