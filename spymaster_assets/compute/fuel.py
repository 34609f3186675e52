"""Dealers' gamma in the date's 0DTE options, at any snap and price: inventory, implied volatility, exposure. docs/physics.md, 4.4.

Every row of option flow becomes a row of the *chain*: the state of its contract from then on. Rows of a contract are linked to
earlier ones, the previous and one farther back (skew-binary jumps: Myers 1983), so that its state at any earlier snap is found in a
few steps however many rows follow.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from spymaster_assets.compute.black76 import KNOWN, YEAR, gamma, implied_total
from spymaster_assets.compute.clock import BUCKETS, NS, Clock, bucket_of
from spymaster_assets.compute.grid import UNKNOWN
from spymaster_assets.compute.growing import Growing
from spymaster_assets.compute.kernel import kernel
from spymaster_assets.states import AMPLIFY, DAMPEN, FUEL_NEUTRAL, FUEL_UNKNOWN
from spymaster_assets.tables import UNDEF_PRICE

if TYPE_CHECKING:
    from spymaster_assets.config import Config

CALL, PUT = 1, 0
CHAIN: Final = np.dtype(
    [
        ("k", "i8"),  # from which snap on
        ("signed", "i8"),  # lots that customers bought - sold since the open
        ("volume", "i8"),
        ("unsigned", "i8"),
        ("trade_k", "i8"),  # latest trade with a volatility, -1 without
        ("trade_volatility", "f8"),
        ("quote_k", "i8"),
        ("quote_volatility", "f8"),
        ("expiration", "i8"),
        ("previous", "i8"),  # rows of the same contract, -1 without
        ("jump", "i8"),
        ("depth", "i8"),  # rows before it
    ]
)
SURFACE: Final = np.dtype(
    [
        ("strike", "i8"),  # 1e-9 USD
        ("points", "f8"),
        ("calls", "i8"),  # dealers' inventory, contracts
        ("puts", "i8"),
        ("change", "i8"),  # of both, since `before`
        ("volume", "i8"),  # lots traded
        ("unsigned", "i8"),
        ("volatility", "f8"),  # per year, NaN unknown
        ("quoted", "i1"),  # 1: of its own trades or quotes, 0: between its neighbours
        ("gamma", "f8"),  # contracts per point, NaN unknown
    ]
)


class Options(NamedTuple):
    """What kernels read of a chain: rows of CHAIN, strikes (1e-9 USD, rising), the latest row of each strike's put and call (-1
    without), and their open interest before the open (-1 unknown)."""

    chain: np.ndarray
    strikes: np.ndarray
    heads: np.ndarray
    interest: np.ndarray


class FuelParams(NamedTuple):
    """Points, seconds and snaps; `whole`: trades are known from the open on; `threshold`: by bucket, contracts per point."""

    tick: float
    point: int
    interval: float
    reach: int
    smile: int
    spacing: int
    flip_step: int
    fresh: int
    latest: int
    window: int
    expiry: float
    time_value: float
    option_tick: float
    large_tick: float
    large_from: float
    floor: float
    min_strikes: int
    whole: bool
    cold: float
    threshold: np.ndarray


class Exposure(NamedTuple):
    """`effect`: a state; `gamma`: contracts per point, NaN if unknown; `velocity`: per second, NaN without a window."""

    effect: int
    gamma: float
    velocity: float


def fuel_params(config: Config, clock: Clock, priors: np.ndarray) -> FuelParams:
    """`priors`: 144 rows, or none."""
    rules = config.fuel
    usual = priors["gamma_threshold"] if len(priors) else np.full(BUCKETS, np.nan)
    return FuelParams(
        tick=config.instrument.tick / config.instrument.point,
        point=config.instrument.point,
        interval=config.grid.interval_ns / 1e9,
        reach=round(rules.fuel_strike_range * config.instrument.point),
        smile=round(rules.smile_range * config.instrument.point),
        spacing=round(rules.es_0dte_strike_spacing * config.instrument.point),
        flip_step=round(rules.flip_step * config.instrument.point),
        fresh=round(rules.quote_fresh_seconds * clock.second),
        latest=round(rules.quote_last_seconds * clock.second),
        window=round(rules.w_g * clock.second),
        expiry=rules.expiry_minutes * 60.0,
        time_value=float(rules.min_time_value_ticks),
        option_tick=rules.option_tick,
        large_tick=rules.option_large_tick,
        large_from=rules.option_large_from,
        floor=rules.total_volatility_floor,
        min_strikes=rules.min_strikes,
        whole=clock.complete_from == clock.open,
        cold=rules.threshold_cold,
        threshold=np.where(np.isnan(usual), rules.threshold_cold, np.maximum(usual, rules.threshold_min)),
    )


class Chain:
    """The states of the date's contracts, snap by snap."""

    def __init__(self) -> None:
        self.rows = Growing(CHAIN)
        self.strikes = np.zeros(0, np.int64)
        self.heads = self.interest = np.zeros((0, 2), np.int64)
        self._done = 0

    @property
    def options(self) -> Options:
        return Options(self.rows.array, self.strikes, self.heads, self.interest)

    def _know(self, strikes: np.ndarray) -> None:
        """Make room for strikes."""
        if len(np.setdiff1d(strikes, self.strikes)):
            known, self.strikes = self.strikes, np.union1d(self.strikes, strikes)
            places = np.searchsorted(self.strikes, known)
            for name in ("heads", "interest"):
                wider = np.full((len(self.strikes), 2), -1, np.int64)
                wider[places] = getattr(self, name)
                setattr(self, name, wider)

    def open_with(self, interest: np.ndarray) -> None:
        """Take the open interest of contracts: rows with strike, call, quantity; the last of a contract holds."""
        self._know(interest["strike"])
        self.interest[np.searchsorted(self.strikes, interest["strike"]), interest["call"]] = interest["quantity"]

    def advance(self, flow: np.ndarray, snaps: np.ndarray, params: FuelParams) -> None:
        """Take the rows of option flow that were not there before; their snaps are closed."""
        fresh = flow[self._done :]
        if not len(fresh):
            return
        self._know(fresh["strike"])
        chain = self.rows.reserve(len(fresh))
        _link(fresh, snaps, self.strikes, self.heads, chain, self.rows.count, params)
        self.rows.count += len(fresh)
        self._done = len(flow)


@kernel
def middle_of(mid2: int, params: FuelParams) -> int:
    """The mid in 1e-9 USD, which strikes are compared with. `mid2`: half ticks."""
    return round(0.5 * mid2 * params.tick * params.point)


@kernel
def _volatility(value: float, row: np.ndarray, snaps: np.ndarray, params: FuelParams) -> float:
    """Volatility per year of a price in points at the row's snap; NaN unless out of the money with enough time value."""
    snap = snaps[row[0]["k"]]
    seconds = (row[0]["expiration"] - snap["ts"]) / NS
    strike, mid, away = row[0]["strike"] / params.point, 0.5 * snap["mid2"] * params.tick, 0
    if snap["mid2"] != UNKNOWN:
        away = row[0]["strike"] - middle_of(snap["mid2"], params)
    if snap["mid2"] == UNKNOWN or seconds <= 0.0 or (away < 0 if row[0]["call"] else away > 0):
        return np.nan
    tick = params.option_tick if value < params.large_from else params.large_tick
    if value < params.time_value * tick * (1.0 - 1e-9):
        return np.nan
    total, reason = implied_total(value, mid, strike, row[0]["call"] == CALL)
    return total / math.sqrt(seconds / YEAR) if reason == KNOWN else np.nan


@kernel
def _link(
    flow: np.ndarray, snaps: np.ndarray, strikes: np.ndarray, heads: np.ndarray, chain: np.ndarray, count: int, params: FuelParams
) -> None:  # fmt: skip
    """Append the chain's rows from `count` on, one per row of flow."""
    for number in range(flow.size):
        row, new = flow[number], chain[count + number]
        at = np.searchsorted(strikes, row["strike"])
        head = heads[at, row["call"]]
        new["k"], new["expiration"], new["previous"] = row["k"], row["expiration"], head
        new["signed"], new["volume"], new["unsigned"] = row["signed"], row["volume"], row["unsigned"]
        new["trade_k"] = new["quote_k"] = new["jump"] = -1
        new["trade_volatility"] = new["quote_volatility"] = np.nan
        new["depth"] = 0
        if head >= 0:
            old = chain[head]
            new["k"] = max(row["k"], old["k"])
            new["signed"] += old["signed"]
            new["volume"] += old["volume"]
            new["unsigned"] += old["unsigned"]
            new["trade_k"], new["trade_volatility"] = old["trade_k"], old["trade_volatility"]
            new["quote_k"], new["quote_volatility"] = old["quote_k"], old["quote_volatility"]
            new["depth"] = old["depth"] + 1
            far = old["jump"]
            farther = chain[far]["jump"] if far >= 0 else -1
            even = far >= 0 and farther >= 0 and old["depth"] - chain[far]["depth"] == chain[far]["depth"] - chain[farther]["depth"]
            new["jump"] = farther if even else head
        if row["trades"] > 0 and row["last"] != UNDEF_PRICE:
            found = _volatility(row["last"] / params.point, flow[number : number + 1], snaps, params)
            if not np.isnan(found):
                new["trade_k"], new["trade_volatility"] = row["k"], found
        if row["quotes"] > 0 and row["bid"] != UNDEF_PRICE and row["ask"] != UNDEF_PRICE and 0 < row["bid"] <= row["ask"]:
            found = _volatility(0.5 * (row["bid"] + row["ask"]) / params.point, flow[number : number + 1], snaps, params)
            if not np.isnan(found):
                new["quote_k"], new["quote_volatility"] = row["k"], found
        heads[at, row["call"]] = count + number


@kernel
def as_of(head: int, k: int, chain: np.ndarray) -> int:
    """The row of a contract that holds at snap k, -1 before its first; `head`: its latest row."""
    while head >= 0 and chain[head]["k"] > k:
        far = chain[head]["jump"]
        head = far if far >= 0 and chain[far]["k"] > k else chain[head]["previous"]
    return head


@kernel
def _own_volatility(call: int, put: int, k: int, chain: np.ndarray, params: FuelParams) -> float:
    """A strike's volatility from its own trades and quotes; `call`, `put`: rows of the chain or -1."""
    trade_k = quote_k = -1
    trade = quote = np.nan
    for row in (call, put):
        if row >= 0:
            if chain[row]["trade_k"] > trade_k:
                trade_k, trade = chain[row]["trade_k"], chain[row]["trade_volatility"]
            if chain[row]["quote_k"] > quote_k:
                quote_k, quote = chain[row]["quote_k"], chain[row]["quote_volatility"]
    if trade_k >= 0 and k - trade_k < params.fresh:
        return trade
    if quote_k >= 0 and k - quote_k < params.fresh:
        return quote
    if max(trade_k, quote_k) >= 0 and k - max(trade_k, quote_k) <= params.latest:
        return trade if trade_k >= quote_k else quote
    return np.nan


@kernel
def _smile(surface: np.ndarray, first: int, stop: int) -> int:
    """Fill the volatilities of strikes without their own between known ones of first .. stop - 1; how many are known."""
    known, left = 0, -1
    for number in range(first, stop):
        if surface[number]["quoted"]:
            known += 1
    if not known:
        return 0
    right = first
    while not surface[right]["quoted"]:
        right += 1
    for number in range(surface.size):
        if first <= number < stop and surface[number]["quoted"]:
            left = number
            right = number + 1
            while right < stop and not surface[right]["quoted"]:
                right += 1
        elif left < 0:
            surface[number]["volatility"] = surface[right]["volatility"]
        elif right >= stop:
            surface[number]["volatility"] = surface[left]["volatility"]
        else:
            low, high = surface[left], surface[right]
            share = math.log(surface[number]["points"] / low["points"]) / math.log(high["points"] / low["points"])
            surface[number]["volatility"] = low["volatility"] + share * (high["volatility"] - low["volatility"])
        if not (first <= number < stop):
            surface[number]["quoted"] = 0
    return known


@kernel
def surface_at(
    k: int, before: int, price: int, snaps: np.ndarray, options: Options, params: FuelParams, surface: np.ndarray
) -> tuple[int, float]:  # fmt: skip
    """The strikes near the mid and near `price` (1e-9 USD) at snap k, by strike: (how many, seconds to expiration).

    Seconds are NaN where gamma is unknown: without a mid, at or below zero, near the expiration, or without a smile.

    `before`: snap since which `change` counts. `surface` has room for all `strikes`. A strike that comes up later in the date has
    rows of zeros here, and changes nothing.
    """
    mid2, chain, strikes, heads = snaps[k]["mid2"], options.chain, options.strikes, options.heads
    low, high, middle = price - params.reach, price + params.reach, 0
    if mid2 != UNKNOWN:
        middle = middle_of(mid2, params)
        low, high = min(low, middle - params.smile), max(high, middle + params.smile)
    start, stop = int(np.searchsorted(strikes, low)), int(np.searchsorted(strikes, high, side="right"))
    first = last = 0
    seconds = np.nan
    for number in range(start, stop):
        row, strike = surface[number - start], strikes[number]
        put, call = as_of(heads[number, PUT], k, chain), as_of(heads[number, CALL], k, chain)
        row["strike"], row["points"] = strike, strike / params.point
        row["calls"] = row["puts"] = row["change"] = row["volume"] = row["unsigned"] = 0
        for right, at in ((CALL, call), (PUT, put)):
            if at >= 0:
                held = chain[at]
                earlier = as_of(at, before, chain)
                bought = chain[earlier]["signed"] if earlier >= 0 else 0
                row["change"] -= held["signed"] - bought
                row["volume"] += held["volume"]
                row["unsigned"] += held["unsigned"]
                if right == CALL:
                    row["calls"] = -held["signed"]
                else:
                    row["puts"] = -held["signed"]
                seconds = (held["expiration"] - snaps[k]["ts"]) / NS
        row["volatility"] = _own_volatility(call, put, k, chain, params)
        row["quoted"] = not np.isnan(row["volatility"])
        row["gamma"] = np.nan
        if strike < middle - params.smile:
            first = number - start + 1
        if strike <= middle + params.smile:
            last = number - start + 1
    count = stop - start
    known = 0
    if mid2 != UNKNOWN and mid2 > 0 and seconds > params.expiry:
        known = _smile(surface[:count], first, last)
    if known < params.min_strikes:
        return count, np.nan
    mid = 0.5 * mid2 * params.tick
    for number in range(count):
        row = surface[number]
        row["gamma"] = gamma(mid, row["points"], total_at(row["volatility"], seconds, mid, params))
    return count, seconds


@kernel
def total_at(volatility: float, seconds: float, mid: float, params: FuelParams) -> float:
    """Standard deviation of the logarithm until expiration, not below the floor in points."""
    return max(volatility * math.sqrt(seconds / YEAR), params.floor / mid)


@kernel
def exposure(
    k: int, since: int, price: int, seconds: float, surface: np.ndarray, snaps: np.ndarray, params: FuelParams, clock: Clock
) -> Exposure:
    """What the surface at snap k says about a level at `price`; `since`: its `before`; `seconds`: NaN if gamma is unknown."""
    total = moved = 0.0
    volume = unsigned = 0
    for number in range(surface.size):
        row = surface[number]
        if abs(row["strike"] - price) <= params.reach:
            total += (row["calls"] + row["puts"]) * row["gamma"]
            moved += row["change"] * row["gamma"]
            volume += row["volume"]
            unsigned += row["unsigned"]
    if np.isnan(seconds) or 2 * unsigned > volume or not params.whole:
        return Exposure(FUEL_UNKNOWN, np.nan, np.nan)
    bucket = bucket_of(snaps[k]["ts"], clock)
    threshold = params.threshold[bucket] if bucket >= 0 else params.cold
    effect = AMPLIFY if total < -threshold else DAMPEN if total > threshold else FUEL_NEUTRAL
    return Exposure(effect, total, moved / ((k - since) * params.interval) if k > since else np.nan)


@kernel
def exposure_at(k: int, since: int, price: int, snaps: np.ndarray, options: Options, params: FuelParams, clock: Clock) -> Exposure:
    """What dealers' gamma says at snap k about a level at `price` (1e-9 USD); `since`: from which snap the velocity counts."""
    surface = np.empty(options.strikes.size, SURFACE)
    count, seconds = surface_at(k, since, price, snaps, options, params, surface)
    return exposure(k, since, price, seconds, surface[:count], snaps, params, clock)
