"""Every parameter of the system, in one frozen tree. Nothing else reads the environment or a settings file.

`load()` returns the defaults, overlaid by the TOML file that SPYMASTER_CONFIG names (its tables are the groups below); an
unknown name or a value out of range is an error. Units stand in each line. Constants marked ° are proposed values that no
real full session has confirmed yet. `Config.digest(groups)` is the hash by which an artifact records the parameters it used:
only the groups it reads, so that a port or a threshold of a later stage makes nothing stale.

Source of the values: design of levels, touches, physics, score and labels (docs/architecture.md, docs/decisions/).
"""

import hashlib
import json
import os
import re
import tomllib
from datetime import date
from functools import cache, cached_property
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, model_validator

from spymaster_assets.contradictions import contradictions
from spymaster_assets.states import CONTEXT_KINDS, KEY_KINDS, LEVEL_KINDS

CLOCK = r"^([01]\d|2[0-3]):[0-5]\d$"  # HH:MM
EARLIER = r"^-?([01]\d|2[0-3]):[0-5]\d$"  # HH:MM, or -HH:MM of the calendar day before


class Group(BaseModel):
    """A frozen group of parameters; unknown names are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False)


class Instrument(Group):
    """The future and its options. The defaults, here and below, are ES; other instruments: docs/instruments.md."""

    root: str = Field("ES", pattern=r"^[A-Z0-9]{1,4}$")
    dataset: str = "GLBX.MDP3"
    currency: str = Field("USD", pattern=r"^[A-Z]{3}$")  # of prices: what units of columns call USD
    tick: int = Field(250_000_000, gt=0)  # 1e-9 USD per tick: 0.25 points
    point: int = Field(1_000_000_000, gt=0)  # 1e-9 USD per point
    multiplier: int | float = Field(50, gt=0)  # USD per point of one future, and of one option
    months: str = Field("HMUZ", pattern=r"^[FGHJKMNQUVXZ]+$")  # of the contracts that count: March, June, September, December
    expiry: Literal["third friday", "last friday", "third last date", "before the 25th"] = "third friday"  # as sessions.py says
    roll_days: int = Field(8, ge=0)  # calendar days before expiry at which the calendar rule turns to the next contract
    option_parents: tuple[str, ...] = (  # may be none
        "ES", "EW", "EW1", "EW2", "EW3", "EW4", "EYC",
        *(f"E{week}{day}" for day in "ABCD" for week in range(1, 6)),
    )  # roots of the options on the future: quarterly, month end, Friday, quarterly afternoon, Monday to Thursday  # fmt: skip


class Sessions(Group):
    """The trading date. Times are wall clock in the zone named beside them; every interval is (start, end]."""

    calendar: str = "XNYS"  # trading dates, closes and half days (exchange_calendars; "24/7": every day)
    first_date: date = date(2022, 1, 3)  # first trading date of the lake
    last_date: date = date(2030, 12, 31)  # how far the calendar is laid out
    exchange_zone: str = "America/Chicago"
    market_zone: str = "America/New_York"
    bronze_cut: str = Field("16:00", pattern=CLOCK)  # exchange zone: Bronze of D is (16:00 of the calendar day before, 16:00 of D]
    globex_open: str = Field("17:00", pattern=CLOCK)  # exchange zone, of the calendar day before
    globex_close: str = Field("16:00", pattern=CLOCK)  # exchange zone, of D
    premarket_start: str = Field("04:00", pattern=EARLIER)  # market zone; as regular_open: there is no premarket
    regular_open: str = Field("09:30", pattern=EARLIER)  # market zone
    regular_close: str = Field("16:00", pattern=EARLIER)  # market zone; cut at the calendar's close
    opening_range_end: str = Field("09:45", pattern=EARLIER)  # market zone
    signals_end: str = Field("13:30", pattern=EARLIER)  # market zone; cut at the session end
    session_end_minutes: int = Field(15, ge=0)  # minutes before the regular or early close at which outcomes end


class Landing(Group):
    """The files that come in."""

    capture_folder: str = "capture"  # files below landing/<this> are our own capture; a vendor's file wins over them


class Bronze(Group):
    """How Bronze is written."""

    row_group: int = Field(131_072, gt=0)  # rows
    zstd_level: int = Field(1, ge=1, le=22)
    contract_lookback: int = Field(5, ge=1)  # trading dates searched for the volumes that choose the contract
    dominance_min: float = Field(0.60, ge=0, le=1)  # volume share below which the choice is flagged


class Quality(Group):
    """Thresholds of the checks."""

    gap_seconds: float = Field(60.0, gt=0)  # seconds without a record in the regular session that count as a gap
    gap_count_max: int = Field(0, ge=0)  # such gaps allowed
    crossed_share_max: float = Field(0.001, ge=0, le=1)  # of records with a two-sided book
    flagged_share_max: float = Field(0.001, ge=0, le=1)  # of records with a bad receive time or a maybe bad book
    late_share_max: float = Field(0.001, ge=0, le=1)  # of records whose event time lies before an earlier record's
    unreconciled_share_max: float = Field(0.0, ge=0, le=1)  # of lots: T records against the trades file
    identity_share_max: float = Field(0.002, ge=0, le=1)  # ° of changed prices that flow does not explain
    censored_share_max: float = Field(0.2, ge=0, le=1)  # of labels of the primary horizon
    resolved_share_max: float = Field(0.6, ge=0, le=1)  # ° of labels of the primary horizon
    geometry_z_max: float = Field(5.0, gt=0)  # ° standard deviations between outcomes and geometry
    silent_share_max: float = Field(0.05, ge=0, le=1)  # ° of the time from 09:30 to the session's end, in gaps
    unsound_share_max: float = Field(0.01, ge=0, le=1)  # ° of snaps in that time without a sound book
    covered_share_min: float = Field(0.95, ge=0, le=1)  # ° of minutes from the premarket to the session's end, with records
    calendar_share_min: float = Field(0.9, ge=0, le=1)  # of preceding trading dates since the lake's first
    due: str = Field("12:00", pattern=CLOCK)  # market zone, of the day after a trading date: by then its Gold is there
    telling_rows_min: int = Field(1000, ge=10)  # rows of training that are needed to call a feature constant, or two alike
    drift_dates_min: int = Field(5, ge=2)  # earlier dates that are needed to speak of drift
    drift_z_max: float = Field(6.0, gt=0)  # ° robust standard deviations of a date's median from those of earlier dates
    drift_share_max: float = Field(0.1, ge=0, le=1)  # ° of features beyond it


class Grid(Group):
    """The 250 ms grid of event time."""

    interval_ns: int = Field(250_000_000, gt=0)  # ns per snap; a whole number of them in a second
    cluster_gap_ns: int = Field(100_000_000, gt=0)  # ns between prints of one cluster
    reference_seconds: float = Field(600.0, ge=60)  # trailing window of a reference
    reference_depth_seconds: float = Field(1800.0, ge=60)  # window of the median depth m_j
    reference_clusters: int = Field(200, ge=1)
    bucket_minutes: Literal[5, 10] = 5  # buckets of priors: 144 of them, 12 or 24 hours, from the start of the premarket on


class LevelWeights(Group):
    """° How much a level of a kind counts beside another."""

    PM_HIGH: float = Field(1.0, ge=0)
    PM_LOW: float = Field(1.0, ge=0)
    OR_HIGH: float = Field(0.9, ge=0)
    OR_LOW: float = Field(0.9, ge=0)
    SMA_200: float = Field(0.8, ge=0)
    SMA_400: float = Field(0.8, ge=0)
    PD_HIGH: float = Field(1.0, ge=0)
    PD_LOW: float = Field(1.0, ge=0)
    PD_CLOSE: float = Field(0.8, ge=0)
    ON_HIGH: float = Field(0.9, ge=0)
    ON_LOW: float = Field(0.9, ge=0)
    VWAP: float = Field(0.7, ge=0)
    VWAP_UPPER: float = Field(0.5, ge=0)
    VWAP_LOWER: float = Field(0.5, ge=0)
    ROUND: float = Field(0.3, ge=0)
    CALL_WALL: float = Field(1.0, ge=0)
    PUT_WALL: float = Field(1.0, ge=0)


assert {*LevelWeights.model_fields} == {*LEVEL_KINDS}, (
    f"LevelWeights: a weight for each kind of states.py; one side alone has {sorted({*LevelWeights.model_fields} ^ {*LEVEL_KINDS})}"
)


class Levels(Group):
    """Key levels and bars."""

    bar_minutes: tuple[Literal[1], Literal[2]] = (1, 2)  # references read the first, averages the second
    sma_bars: tuple[PositiveInt, PositiveInt] = (200, 400)  # closed 2-minute bars of SMA_200 and SMA_400
    atr_bars: int = Field(14, ge=1)  # closed 1-minute bars
    signal_kinds: tuple[str, ...] = KEY_KINDS  # whose touches are looked at
    context_kinds: tuple[str, ...] = CONTEXT_KINDS  # further ones, which tell where the price stands
    round_points: float = Field(25.0, gt=0)  # between the prices of ROUND
    stacking_points: tuple[float, float, float] = (2.0, 5.0, 10.0)  # columns are named after these of ES, whatever stands here
    confluence_points: float = Field(5.0, gt=0)  # other levels so near support one another
    trend_points: float = Field(0.05, ge=0)  # between the two averages, from which on there is a trend
    strong_weight: float = Field(0.8, ge=0)  # of a kind that ends a runway
    weights: LevelWeights = LevelWeights()
    approach_minutes: int = Field(10, ge=2)  # closed 1-minute bars before a touch


class Touches(Group):
    """When a level counts as touched."""

    monitor_band: float = Field(0.25, gt=0)  # points, ends included
    rearm_points: float = Field(2.00, gt=0)  # points away from the level
    cooldown_seconds: float = Field(300.0, gt=0)
    episode_points: float = Field(1.00, ge=0)
    episode_seconds: float = Field(300.0, ge=0)
    landmarks: tuple[int, ...] = (0, 5, 15, 30, 60, 120, 240)  # seconds after the touch


class Barrier(Group):
    """Resting liquidity."""

    w_b: float = 240.0  # seconds, reaction window of the volume clock
    approach_seconds: float = 60.0  # window of the volume clock before the touch
    barrier_zone_es_ticks: int = Field(8, ge=1)  # ticks beyond the level
    r_vac: float = 0.3
    r_wall: float = 1.5
    f_thresh: float = 0.10  # ° of D
    consumed_share: float = 0.25  # ° F/(P+F) without priors
    consumed_percentile: float = 0.80
    weak_ratio: float = 0.7  # °
    turnover_min: float = 0.25  # °


class Tape(Group):
    """Trade aggression."""

    w_t: float = 60.0  # seconds
    tape_band: float = 0.50  # points
    kappa_share: float = 0.10  # of the median 60-s volume
    kappa_min: float = 10.0  # contracts
    velocity_snaps: int = Field(13, ge=8)
    large_print: int = 10  # ° contracts
    sweep_levels: int = Field(2, ge=2)
    sweep_percentile: float = Field(0.99, gt=0, lt=1)


class Fuel(Group):
    """Dealer gamma of options that expire on the trading date."""

    w_g: float = 60.0  # seconds
    fuel_strike_range: float = 15.0  # points
    smile_range: float = Field(50.0, gt=0)  # points from the mid: the strikes whose volatilities make the smile
    es_0dte_strike_spacing: float = 5.0  # points, unit of the bands
    flip_step: float = Field(1.0, gt=0)  # points between the prices at which all gamma is added up to find where it turns
    option_tick: float = Field(0.05, gt=0)  # points; of a price
    option_large_tick: float = Field(0.25, gt=0)  # of a price from
    option_large_from: float = Field(10.0, gt=0)  # here on
    quote_fresh_seconds: float = 60.0
    quote_last_seconds: float = 900.0
    expiry_minutes: float = 15.0  # to expiration: UNKNOWN from here
    min_time_value_ticks: int = 2
    min_strikes: int = 3
    total_volatility_floor: float = 2.0  # points
    threshold_min: float = 5.0  # ° contracts of the future per point
    threshold_cold: float = 15.0  # ° contracts of the future per point, without priors


class Score(Group):
    """The mechanical 0-100 score and its trigger."""

    w_l: float = 0.45
    w_h: float = 0.35
    w_t: float = 0.20
    break_score_threshold: float = 80.0
    reject_score_threshold: float = 20.0
    release_break: float = 65.0
    release_bounce: float = 35.0
    trigger_snaps: int = 12
    tau_score: float = 2.0  # seconds
    hold_null_seconds: float = 5.0
    sweep_seconds: float = 3.0
    velocity_scale: float = Field(1.6, gt=0)  # of sigma: the speed that fills most of S_T
    contested_low: float = 30.0  # score range in which a consumed barrier and fast tape are CONTESTED
    contested_high: float = 70.0
    contested_rate: float = 2.0  # prints a minute over the reference's
    reaction_seconds: float = 5.0  # after the touch, until which the approach feeds the score
    min_prints: int = 5
    confident_prints: int = 20  # °
    confident_turnover: float = 1.0  # °


class Labels(Group):
    """Outcomes."""

    confirmation_windows_multi: tuple[int, ...] = (120, 240, 480)  # seconds
    confirmation_window_seconds: int = 240  # primary horizon
    label_barrier_scale: float = 1.0
    label_barrier_min_points: float = Field(2.00, gt=0)
    label_barrier_max_points: float = 50.0
    label_t1_fraction: float = 0.33
    sample_seconds: float = Field(5.0, ge=1)  # a whole number of snaps
    half_life_seconds: float = Field(600.0, gt=0)
    sigma_min: float = Field(0.03, gt=0)  # points per sqrt(second)
    min_returns: int = Field(60, ge=1)
    halt_seconds: float = 60.0
    gap_seconds: float = 30.0  # without records, or between samples, from which on no return is taken
    diurnal_shape: tuple[tuple[str, float], ...] = (
        ("04:00", 0.08), ("08:00", 0.20), ("09:30", 2.40), ("09:45", 1.70), ("10:30", 1.10),
        ("11:30", 0.75), ("14:00", 0.85), ("15:00", 1.20),
    )  # ° variance per second, by New York time from which it holds, where there are no priors; only ratios matter  # fmt: skip
    label_version: int = 1


class Priors(Group):
    """What earlier dates tell."""

    lookback: int = Field(20, ge=1)  # trading dates
    min_dates: int = Field(3, ge=1)
    turnover_min: float = 0.25  # of a sample of F/(P+F)


class Sequences(Group):
    """The time before a landmark, as steps."""

    landmarks: tuple[int, ...] = (0, 60)  # seconds after the touch
    scales: tuple[PositiveInt, ...] = (1, 60)  # seconds of a step
    steps: tuple[PositiveInt, ...] = (300, 120)  # of each scale
    depth_ticks: int = Field(8, ge=0)  # behind the best


class Models(Group):
    """What learns from Gold, and when."""

    retrain: Literal["day", "week", "never"] = "week"  # never: what was trained first is carried on
    train_dates: int = Field(90, ge=2)  # trading dates before the week (or day) that are learnt from, the embargo left out
    embargo: int = Field(1, ge=1)  # trading dates right before it that are not
    min_dates: int = Field(20, ge=4)  # fewer: insufficient data, geometry serves
    min_episodes: int = Field(100, ge=10)  # as above
    coverage: float = Field(0.9, ge=0, le=1)  # of the trading dates since the lake's first: fewer is a warning
    folds: int = Field(5, ge=2)  # of the inner out-of-fold predictions: blocks of dates
    seed: int = 1
    tree_rounds: int = Field(150, ge=1)  # at most; out-of-fold loss chooses
    tree_step: int = Field(10, ge=1)  # rounds from one number that is tried to the next
    tree_learning_rate: float = Field(0.05, gt=0)
    tree_leaves: int = Field(4, ge=2)
    tree_least_rows: int = Field(40, ge=1)  # of a leaf
    tree_share_of_features: float = Field(0.5, gt=0, le=1)  # that one tree may use
    tree_share_of_rows: float = Field(0.7, gt=0, le=1)
    tree_ridge: float = Field(50.0, ge=0)  # per squared leaf value
    tree_bins: int = Field(63, ge=2)  # of a feature
    head_rounds: int = Field(60, ge=1)  # of the heads of strength and reach
    coverage_level: float = Field(0.9, gt=0, lt=1)  # of the conformal sets
    sequence_epochs: int = Field(8, ge=1)
    veto_spread_ticks: int = Field(4, ge=1)  # wider: no trade
    veto_minutes_to_end: float = Field(5.0, ge=0)  # before signals end: no trade


class Gateway(Group):
    """Whom the gateway lets in, how much of it, and how long it waits."""

    address: str = Field("http://127.0.0.1:8000", pattern=r"https?://[^/]+")  # under which Dagster's links find the page
    hosts: tuple[str, ...] = ()  # names by which it is asked for, beside localhost and the address that it is bound to
    origins: tuple[str, ...] = ()  # pages of other servers that may ask, e.g. "https://desk.example"
    clients: int = Field(1000, ge=1)  # streams at once
    clients_per_address: int = Field(100, ge=1)
    connects_per_second: float = Field(20.0, gt=0)  # new streams of an address, after as many at once as in two seconds
    requests_per_second: float = Field(50.0, gt=0)  # the same, of everything that is asked for once
    messages_per_second: float = Field(10.0, gt=0)  # the same, what a client says in its stream
    heartbeat_seconds: float = Field(5.0, gt=0)  # between two questions whether a client lives
    patience_seconds: float = Field(15.0, gt=0)  # without an answer
    send_seconds: float = Field(5.0, gt=0)  # for one message to one client
    shown_stale_seconds: float = Field(2.0, gt=0)  # without anything new, after which the page says so
    stale_seconds: float = Field(5.0, gt=0)  # without a word of the engine, or of the market, after which it is not ready
    kept_messages: int = Field(4096, ge=1)  # for clients that come back
    kept_bytes: int = Field(64 << 20, ge=1 << 20)


class LiveVendor(Group):
    """The vendor's live gateway. The key is no setting: docs/operate.md."""

    gateway: str = ""  # host; empty: the one of the dataset
    port: int = Field(13_000, ge=1, le=65_535)
    quotes: Literal["tbbo", "bbo-1s", "bbo-1m"] = "tbbo"  # of options: at each trade, or the best by the second or minute
    lateness_ms: float = Field(500.0, ge=0)  # event time that the newest record may be ahead of one that still comes
    heartbeat_seconds: int = Field(5, ge=5, le=1800)  # between two words of a gateway that has nothing to send
    silent_seconds: float = Field(15.0, gt=0)  # without a byte, after which a connection is given up
    again_seconds: float = Field(1.0, gt=0)  # from a drop to the next connection; doubled, up to 32 times, while there is none
    overlap_seconds: float = Field(10.0, gt=0)  # event time before the watermark that is asked for again after a drop
    buffer_bytes: int = Field(64 << 20, ge=1 << 16)  # received and not worked on; beyond it the socket is not read
    spool_bytes: int = Field(256 << 20, ge=1 << 16)  # waiting for the watermark in memory; more waits in a temporary file
    prepare_minutes: float = Field(10.0, ge=0)  # before a session's open at which the feed of the date begins


class Live(Group):
    """The bus, the feed, the engine, the writer and the gateway."""

    frame_ms: float = Field(20.0, gt=0)  # event time in a frame at real time; a replay's frames hold this times its speed
    frame_seconds: float = Field(60.0, gt=0)  # event time in a frame of a replay as fast as possible
    frame_bytes: int = Field(512 << 10, ge=1 << 12)  # records of a frame at most
    clock_ms: float = Field(250.0, gt=0)  # event time without a frame after which the clock is told alone
    window: int = Field(256, ge=1)  # messages published ahead of their acknowledgements
    market_bytes: int = Field(24 << 30, gt=0)  # a full MARKET refuses: nothing unread is dropped
    levels_bytes: int = Field(24 << 30, gt=0)
    dead_bytes: int = Field(1 << 30, gt=0)
    kept_days: float = Field(3.0, gt=0)  # in every stream
    replicas: Literal[1, 3, 5] = 1  # servers that hold each stream; more than one need a cluster of as many
    status_seconds: float = Field(1.0, gt=0)  # wall clock between two messages of levels.status
    capture_seconds: float = Field(3.0, gt=0)  # wall clock that a message waits in the writer at most before its batch is written
    capture_behind_seconds: float = Field(5.0, gt=0)  # age of what is not on disk from which on the writer is unwell
    capture_bytes: int = Field(64 << 20, ge=1 << 16)  # data of a batch that is written at once
    capture_zstd: int = Field(1, ge=1, le=22)  # level of segments and of what is handed over
    gateway: Gateway = Gateway()
    vendor: LiveVendor = LiveVendor()


class Vendor(Group):
    """Databento's historical data: what a date is made of, what goes by which way, and how patiently it is asked for."""

    gateway: str = "https://hist.databento.com"
    schemas: tuple[str, ...] = ("definition", "trades", "mbp-10", "tbbo", "statistics")  # what `spymaster download` brings
    folder: str = Field("download", pattern=r"^[a-z][a-z0-9_-]*$")  # below landing: one folder per trading date
    symbols_max: int = Field(2000, ge=1)  # of one request, as Databento allows
    batch_bytes: int = Field(256 << 20, ge=0)  # billable bytes of a request from which on it becomes a batch job
    retries: int = Field(6, ge=0)  # after the first attempt, of which none brought anything
    retry_seconds: float = Field(1.0, gt=0)  # before the second attempt, twice as long before each further one
    retry_seconds_max: float = Field(60.0, gt=0)  # as above, at most; what the vendor asks for may be longer
    timeout_seconds: float = Field(100.0, gt=0)  # without a byte
    poll_seconds: float = Field(10.0, gt=0)  # between two questions whether batch jobs are done
    wait_seconds: float = Field(3600.0, gt=0)  # for batch jobs; they go on at the vendor's, and the next run finds them
    usd_per_date: float = Field(0.0, ge=0)  # what a date may cost in all that Dagster's asset buys, where nobody can be asked


class Doctor(Group):
    """From when on `doctor` calls something a problem."""

    disk_bytes_min: int = Field(5 << 30, ge=0)  # free where the lake lies
    hung_seconds: float = Field(60.0, gt=0)  # that a part of live may be at the same work
    still_seconds: float = Field(3.0, gt=0)  # that an engine may stand still while the feed is ahead of it


class Store(Group):
    """Object storage, if that is where the lake is. Credentials and region are no settings: AWS's own environment or files."""

    endpoint: str = Field("", pattern=r"^(https?://[^/]+)?$")  # URL of a server that speaks S3; empty: AWS_ENDPOINT_URL, else AWS
    cache_bytes: int = Field(20 << 30, ge=0)  # of copies on this machine; those unused for longest go first
    claim_seconds: float = Field(60.0, ge=1)  # without a word of a backfill's worker, after which its date is another's


class Config(Group):
    """The whole tree."""

    instrument: Instrument = Instrument()
    sessions: Sessions = Sessions()
    landing: Landing = Landing()
    bronze: Bronze = Bronze()
    quality: Quality = Quality()
    grid: Grid = Grid()
    levels: Levels = Levels()
    touches: Touches = Touches()
    barrier: Barrier = Barrier()
    tape: Tape = Tape()
    fuel: Fuel = Fuel()
    score: Score = Score()
    labels: Labels = Labels()
    priors: Priors = Priors()
    sequences: Sequences = Sequences()
    models: Models = Models()
    live: Live = Live()
    vendor: Vendor = Vendor()
    doctor: Doctor = Doctor()
    store: Store = Store()

    @model_validator(mode="after")
    def _consistent(self) -> "Config":
        if (found := next(contradictions(self), None)) is not None:
            raise ValueError(found)
        return self

    @cached_property
    def of_tables(self) -> str:
        """Hash of everything that tables and their checks depend on."""
        return self.digest(
            *(group for group in type(self).model_fields if group not in ("models", "live", "vendor", "doctor", "store"))
        )

    def digest(self, *groups: str) -> str:
        """Hash (16 hex digits) of the named groups, of all of them without names."""
        chosen = self.model_dump(mode="json", include=set(groups) or None)
        return hashlib.sha256(json.dumps(chosen, sort_keys=True).encode()).hexdigest()[:16]


SETTINGS = Path(__file__).with_name("settings")  # what comes with the program: instruments, Dagster's workspace and instance


def load(path: Path | None = None) -> Config:
    """The configuration: defaults, overlaid by `path` or by the file that SPYMASTER_CONFIG names, by its path or as NQ.

    A word of capitals and digits is one of settings/instruments, unless a file of that name is there.
    """
    found = os.environ.get("SPYMASTER_CONFIG")
    if path is None and not found:
        return Config()
    named = path or Path(found or "")
    if path is None and re.fullmatch("[A-Z0-9]+", str(named)) and not named.exists():
        named = SETTINGS / "instruments" / f"{named}.toml"
    try:
        return Config.model_validate(tomllib.loads(named.read_text()))
    except (OSError, ValueError) as error:
        raise ValueError(f"configuration {named}: {error}") from error


KEY = "DATABENTO_API_KEY"  # the environment variable that holds the vendor's key; KEY_FILE names a file that does
KEY_FILE = f"{KEY}_FILE"
LOG = "SPYMASTER_LOG"  # the environment variable that says how processes log


def vendor_key() -> str | None:
    """Databento's key: KEY, else the content of the file that KEY_FILE names, else None.

    ValueError for a file that cannot be read or a text that is no key; the message does not show it.
    """
    key, named = os.environ.get(KEY, "").strip(), os.environ.get(KEY_FILE)
    source = KEY
    if not key and named:
        source = f"{KEY_FILE} ({named})"
        try:
            key = Path(named).read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(f"{source}: {error.strerror if isinstance(error, OSError) else 'not a text'}") from None
    if not key:
        if named:
            raise ValueError(f"{source}: the file is empty")
        return None
    if not re.fullmatch(r"[!-9;-~]+", key):
        raise ValueError(f"{source}: expected a key as Databento gives it, found spaces, colons or other signs that none has")
    return key


DATA = "SPYMASTER_DATA"  # the environment variable that names the lake: a folder, or s3://BUCKET/PREFIX
LOCAL = "SPYMASTER_LOCAL"  # where the lake is on object storage: the folder of this machine for all that is no table


def data_root() -> Path:
    """The data folder of this machine: DATA, or LOCAL if the lake is on object storage; else `data` in the working folder."""
    return Path(os.environ.get(LOCAL if data_url() else DATA, "data")).absolute()


def data_url() -> str:
    """Where the lake is on object storage, as s3://BUCKET/PREFIX; empty if it is on a disk."""
    named = os.environ.get(DATA, "")
    if named.startswith("s3://") and "@" in named:  # not shown: a password may stand before it
        raise ValueError(f"{DATA}: expected s3://BUCKET or s3://BUCKET/PREFIX, and no credentials: AWS's environment holds them")
    if named.startswith("s3://") and not re.fullmatch(r"s3://[^/]+(/[^/]+)*/?", named):
        raise ValueError(f"{DATA} {named!r}: expected s3://BUCKET or s3://BUCKET/PREFIX")
    return named.rstrip("/") if named.startswith("s3://") else ""


def name_data(data: str) -> None:
    """Have this process and those that it starts use another lake: a folder, or s3://BUCKET/PREFIX."""
    if not data.startswith("s3://") and Path(data).is_file():
        raise ValueError(f"{data}: expected a folder, found a file")
    os.environ[DATA] = data if data.startswith("s3://") else str(Path(data).absolute())
    data_url()


def log_format() -> Literal["text", "json"]:
    """How processes log: SPYMASTER_LOG, text (the default) or json. ValueError for anything else."""
    said = os.environ.get(LOG, "text")
    if said not in ("text", "json"):
        raise ValueError(f"{LOG} {said!r}: expected text or json")
    return "json" if said == "json" else "text"


def watches_landing() -> bool:
    """Whether Dagster's landing sensor runs unless it was switched off: SPYMASTER_LANDING_SENSOR, on or off (the default)."""
    said = os.environ.get("SPYMASTER_LANDING_SENSOR", "off")
    if said not in ("on", "off"):
        raise ValueError(f"SPYMASTER_LANDING_SENSOR {said!r}: expected on or off")
    return said == "on"


@cache
def default() -> Config:
    """The configuration of this process."""
    return load()
