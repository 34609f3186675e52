"""Naive twin of physics.md, section 4.4 (fuel), from the page alone.

Rows are dicts with the column names of tables.py, None for null. Snaps need `mid2` and `ts` alone. Distances between prices, which
decide what is counted, are exact fractions of a point; what is computed is double precision. Nothing here imports the code that it
checks.
"""

import math
from fractions import Fraction
from statistics import median

from spymaster_assets.features import FEATURES

SECOND = 1_000_000_000
YEAR_SECONDS = 31_536_000
BUCKETS = 144
BUCKET_MINUTES = 5
HALF_HOUR = 30  # minutes
OPENING = 0
FLIP_POINTS = 50  # the grid on which the flip is looked for: so many points to either side of the mid, in steps of one
BANDS = (1, 2, 3)  # strikes
COLUMNS = tuple(feature.name for feature in FEATURES if feature.family == "fuel")


# ---- Black (1976), undiscounted; v is the volatility over the whole time left ----


def normal(x):
    """N(x)."""
    return math.erfc(-x / math.sqrt(2)) / 2


def density(x):
    """phi(x)."""
    return math.exp(-x * x / 2) / math.sqrt(2 * math.pi)


def black_d(forward, strike, v):
    return math.log(forward / strike) / v + v / 2


def black_price(forward, strike, v, call):
    """F N(d) - K N(d - v); the put is that - F + K, written so that nothing large cancels."""
    d = black_d(forward, strike, v)
    if call:
        return forward * normal(d) - strike * normal(d - v)
    return strike * normal(v - d) - forward * normal(-d)


def black_gamma(forward, strike, v):
    return density(black_d(forward, strike, v)) / (forward * v)


def implied_v(value, forward, strike, call):
    """The v that gives a price, by bisection down to neighbouring doubles; None where no v does."""
    intrinsic = max(0, forward - strike if call else strike - forward)
    if value <= intrinsic or value >= (forward if call else strike):
        return None
    low, high = 0.0, 1.0
    while black_price(forward, strike, high, call) < value:
        low, high = high, 2 * high
    while True:
        middle = (low + high) / 2
        if middle in (low, high):
            return middle
        if black_price(forward, strike, middle, call) < value:
            low = middle
        else:
            high = middle


# ---- units ----


def exact(number):
    """A parameter as the decimal fraction that it is written as."""
    return Fraction(str(number))


def points_of(nanos, config):
    """1e-9 USD as points, exactly."""
    return Fraction(nanos, config.instrument.point)


def mid_points(snap, config):
    """The mid in points, exactly; None without a two-sided book."""
    return None if snap["mid2"] is None else Fraction(snap["mid2"] * config.instrument.tick, 2 * config.instrument.point)


def seconds_of(snaps, config):
    return snaps * config.grid.interval_ns / SECOND


def sign(touch):
    """+1 where a break is a rise."""
    return 1 if touch["direction"] == "UP" else -1


def bucket_of(ts, session):
    """The number of the 5-minute bucket (start, end] that holds a time; None outside the 144 from 04:00 on."""
    number = (ts - session.premarket.start - 1) // (BUCKET_MINUTES * 60 * SECOND)
    return number if 0 <= number < BUCKETS else None


# ---- points of a row ----


def enough_to_invert(price, config):
    """Whether a price in points is at least so many ticks of options."""
    fuel = config.fuel
    tick = exact(fuel.option_large_tick if price >= exact(fuel.option_large_from) else fuel.option_tick)
    return price >= fuel.min_time_value_ticks * tick


def point_of(kind, price, row, snap, config):
    """One point of volatility from a price (points, exact; None if unknown); None if there is none."""
    forward, strike = mid_points(snap, config), points_of(row["strike"], config)
    left = row["expiration"] - snap["ts"]
    if price is None or forward is None or left <= 0:
        return None
    in_the_money = strike < forward if row["call"] else strike > forward
    if in_the_money or not enough_to_invert(price, config):
        return None
    v = implied_v(float(price), float(forward), float(strike), row["call"])
    if v is None:
        return None
    volatility = v / math.sqrt(left / SECOND / YEAR_SECONDS)
    return {"k": row["k"], "strike": row["strike"], "call": row["call"], "kind": kind, "volatility": volatility}


def trade_price(row, config):
    return None if row["trades"] == 0 or row["last"] is None else points_of(row["last"], config)


def quote_price(row, config):
    """(bid + ask) / 2 of a quote in this row that is two-sided and not crossed."""
    if row["quotes"] == 0 or row["bid"] is None or row["ask"] is None or not 0 < row["bid"] <= row["ask"]:
        return None
    return points_of(row["bid"] + row["ask"], config) / 2


def points_of_row(row, snap, config):
    """The trade point and the quote point of a row of option flow, those that there are."""
    found = [
        point_of("trade", trade_price(row, config), row, snap, config),
        point_of("quote", quote_price(row, config), row, snap, config),
    ]
    return [point for point in found if point is not None]


class Options:
    """The plain rows of a date's options. Every point of every row is found once; each says in which snap it was known.

    `whole`: whether trades are there from the open on.
    """

    def __init__(self, snaps, rows, open_interest, session, config, whole=True):
        self.snaps, self.rows, self.open_interest = snaps, rows, open_interest
        self.session, self.config, self.whole = session, config, whole
        self.points = [point for row in rows for point in points_of_row(row, snaps[row["k"]], config)]

    def rows_until(self, k):
        return [row for row in self.rows if row["k"] <= k]


# ---- volatility of a strike, smile ----


def latest_point(options, strike, k, kind):
    """The latest point of one kind of a strike up to k, the call's before the put's of the same snap; None without one."""
    found = [point for point in options.points if point["strike"] == strike and point["kind"] == kind and point["k"] <= k]
    return max(found, key=lambda point: (point["k"], point["call"]), default=None)


def age(point, k, config):
    """Seconds since the snap of a point."""
    return seconds_of(k - point["k"], config)


def strike_volatility(options, strike, k):
    """The volatility of a strike from its own trades and quotes; None if unknown."""
    config = options.config
    trade, quote = (latest_point(options, strike, k, kind) for kind in ("trade", "quote"))
    if trade is not None and age(trade, k, config) < config.fuel.quote_fresh_seconds:
        return trade["volatility"]
    if quote is not None and age(quote, k, config) < config.fuel.quote_fresh_seconds:
        return quote["volatility"]
    both = [point for point in (trade, quote) if point is not None]
    if not both:
        return None
    later = max(both, key=lambda point: point["k"])  # max takes the first of equals: the trade
    return later["volatility"] if age(later, k, config) <= config.fuel.quote_last_seconds else None


def smile(options, k):
    """{strike: volatility} of the known strikes near the mid; None if the mid is unknown or too few strikes are known."""
    config = options.config
    forward = mid_points(options.snaps[k], config)
    if forward is None:
        return None
    known = {}
    for strike in strikes_until(options, k):
        if abs(points_of(strike, config) - forward) <= exact(config.fuel.smile_range):
            volatility = strike_volatility(options, strike, k)
            if volatility is not None:
                known[strike] = volatility
    return known if len(known) >= config.fuel.min_strikes else None


def smile_at(known, strike):
    """The volatility of any strike: its own, on the line in ln K between its neighbours, or that of the outermost."""
    if strike in known:
        return known[strike]
    lower, upper = [x for x in known if x < strike], [x for x in known if x > strike]
    if not lower:
        return known[min(known)]
    if not upper:
        return known[max(known)]
    a, b = max(lower), min(upper)
    share = (math.log(strike) - math.log(a)) / (math.log(b) - math.log(a))
    return known[a] + share * (known[b] - known[a])


# ---- inventory and exposure ----


def expiration(options, k):
    """When the options of the date expire, as known at k; None before the first row."""
    found = {row["expiration"] for row in options.rows_until(k)}
    assert len(found) <= 1, "one date, one expiration"
    return found.pop() if found else None


def seconds_left(options, k):
    end = expiration(options, k)
    return None if end is None else (end - options.snaps[k]["ts"]) / SECOND


def exposure_known(options, k):
    """Whether the mid is known, more than 15 minutes are left, and there is a smile."""
    left = seconds_left(options, k)
    return left is not None and left > options.config.fuel.expiry_minutes * 60 and smile(options, k) is not None


def inventory(options, strike, call, k):
    """Contracts that dealers hold: the opposite of what customers bought."""
    return -sum(row["signed"] for row in options.rows_until(k) if row["strike"] == strike and row["call"] == call)


def strike_inventory(options, strike, k):
    return inventory(options, strike, 1, k) + inventory(options, strike, 0, k)


def total_volatility(options, known, strike, k):
    """v of a strike over the time that is left at k, which must be known."""
    forward = float(mid_points(options.snaps[k], options.config))
    v = smile_at(known, strike) * math.sqrt(seconds_left(options, k) / YEAR_SECONDS)
    return max(v, options.config.fuel.total_volatility_floor / forward)


def gamma_of(options, known, strike, k):
    """Gamma of a strike at the mid of k."""
    config = options.config
    forward = float(mid_points(options.snaps[k], config))
    return black_gamma(forward, float(points_of(strike, config)), total_volatility(options, known, strike, k))


def strikes_until(options, k):
    """The strikes of rows up to k."""
    return sorted({row["strike"] for row in options.rows_until(k)})


def strikes_near(options, level, k):
    """|K - L| <= 15 points."""
    reach = exact(options.config.fuel.fuel_strike_range)
    return [x for x in strikes_until(options, k) if abs(points_of(x - level, options.config)) <= reach]


def strikes_above(options, level, k, reach):
    """0 < K - L <= reach."""
    return [x for x in strikes_until(options, k) if 0 < points_of(x - level, options.config) <= reach]


def strikes_below(options, level, k, reach):
    """-reach <= K - L < 0."""
    return [x for x in strikes_until(options, k) if -reach <= points_of(x - level, options.config) < 0]


def mostly_signed(options, level, k):
    """Whether at most half of the lots traded at the strikes near the level had no aggressor."""
    near = strikes_near(options, level, k)
    rows = [row for row in options.rows_until(k) if row["strike"] in near]
    return 2 * sum(row["unsigned"] for row in rows) <= sum(row["volume"] for row in rows)


def fuel_known(options, level, k):
    return options.whole and exposure_known(options, k) and mostly_signed(options, level, k)


def strike_exposure(options, known, strike, k):
    """G(K)."""
    return strike_inventory(options, strike, k) * gamma_of(options, known, strike, k)


def contract_exposure(options, known, strike, call, k):
    """G of the calls or of the puts of a strike alone."""
    return inventory(options, strike, call, k) * gamma_of(options, known, strike, k)


def exposure(options, level, k):
    """G at a price `level` (1e-9 USD); None if fuel is UNKNOWN."""
    if not fuel_known(options, level, k):
        return None
    known = smile(options, k)
    return sum(strike_exposure(options, known, strike, k) for strike in strikes_near(options, level, k))


def velocity(options, level, a, k):
    """Change of exposure per second by the trades of (a, k] alone; None if fuel is UNKNOWN."""
    if not fuel_known(options, level, k):
        return None
    known, total = smile(options, k), 0.0
    for strike in strikes_near(options, level, k):
        change = strike_inventory(options, strike, k) - strike_inventory(options, strike, a)
        total += change * gamma_of(options, known, strike, k)
    return total / seconds_of(k - a, options.config)


# ---- walls and flip ----


def wall(options, known, k, side):
    """(distance from the mid, G) of the most damping strike on a side (+1 above, -1 below) of the mid; (None, None) without."""
    config = options.config
    forward, found, best = mid_points(options.snaps[k], config), [], (None, None)
    for strike in strikes_until(options, k):
        distance = side * (points_of(strike, config) - forward)
        if 0 < distance <= exact(config.fuel.smile_range):
            found.append((distance, strike_exposure(options, known, strike, k)))
    for distance, size in sorted(found):
        if size > 0 and (best[1] is None or size > best[1]):
            best = (float(distance), size)
    return best


def profile(held, x):
    """P(x): what dealers would have to trade per point if the future stood at x, all else the same; held: (contracts, K, v)."""
    return sum(contracts * black_gamma(x, strike, v) for contracts, strike, v in held)


def flip(options, known, k):
    """The zero of P nearest to the mid, less the mid, in points; None without one."""
    config = options.config
    forward, held = mid_points(options.snaps[k], config), []
    for strike in strikes_until(options, k):
        price = points_of(strike, config)
        if abs(price - forward) <= exact(config.fuel.smile_range):
            v = total_volatility(options, known, strike, k)
            held.append((strike_inventory(options, strike, k), float(price), v))
    steps = range(-FLIP_POINTS, FLIP_POINTS + 1)
    values = {step: profile(held, float(forward) + step) for step in steps}
    zeros = []
    for step in steps[:-1]:
        left, right = values[step], values[step + 1]
        if left < 0 < right or right < 0 < left:
            zeros.append(step + left / (left - right))
    return min(zeros, key=lambda zero: (abs(zero), zero), default=None)


# ---- open interest ----


def open_contracts(options):
    """{(strike, call): contracts}: the last report of each up to 09:30."""
    found = {}
    for row in sorted(options.open_interest, key=lambda row: row["ts"]):
        if row["ts"] <= options.session.regular.start:
            found[row["strike"], row["call"]] = row["quantity"]
    return found


def open_exposure(options, level, k, inside):
    """Sum over the strikes with inside(K - L) as if dealers were long calls and short puts; None if unknown."""
    held = {key: n for key, n in open_contracts(options).items() if inside(points_of(key[0] - level, options.config))}
    if not exposure_known(options, k) or options.snaps[k]["ts"] <= options.session.regular.start or not held:
        return None
    known = smile(options, k)
    return sum((n if call else -n) * gamma_of(options, known, strike, k) for (strike, call), n in held.items())


# ---- the columns ----


def threshold(ts, session, config, priors):
    """g: that of the priors for the bucket of a time, at least 5; 15 where unknown."""
    number = bucket_of(ts, session)
    known = None if priors is None or number is None else priors[number]["gamma_threshold"]
    return config.fuel.threshold_cold if known is None else max(known, config.fuel.threshold_min)


def effect(total, g):
    if total is None:
        return "UNKNOWN"
    if total < -g:
        return "AMPLIFY"
    return "DAMPEN" if total > g else "NEUTRAL"


def band_columns(options, known, level, k):
    """What lies how far above and below the level."""
    values = {}
    for band in BANDS:
        reach = band * exact(options.config.fuel.es_0dte_strike_spacing)
        above, below = strikes_above(options, level, k, reach), strikes_below(options, level, k, reach)
        values[f"gex_above_{band}strike"] = sum(strike_exposure(options, known, x, k) for x in above)
        values[f"gex_below_{band}strike"] = sum(strike_exposure(options, known, x, k) for x in below)
        values[f"call_gex_above_{band}strike"] = sum(contract_exposure(options, known, x, 1, k) for x in above)
        values[f"put_gex_below_{band}strike"] = sum(contract_exposure(options, known, x, 0, k) for x in below)
    return values


def dealer_columns(options, touch, k):
    """The columns that are null where fuel is UNKNOWN, without the velocities."""
    level, s, known = touch["price"], sign(touch), smile(options, k)
    at = [strike for strike in strikes_near(options, level, k) if strike == level]
    values = {
        "gamma_exposure": exposure(options, level, k),
        "gex_at": sum(strike_exposure(options, known, strike, k) for strike in at),
        **band_columns(options, known, level, k),
    }
    beyond, before = values["gex_above_3strike"], values["gex_below_3strike"]
    if s < 0:
        beyond, before = before, beyond
    values["gex_asymmetry"] = beyond - before
    values["gex_ratio"] = beyond / abs(before) if before != 0 else None
    for name, side in (("ahead", s), ("behind", -s)):
        values[f"gamma_wall_{name}"], values[f"gamma_wall_{name}_size"] = wall(options, known, k, side)
    zero = flip(options, known, k)
    values["gamma_flip"] = None if zero is None else s * zero
    return values


def naive_fuel(options, touch, k, priors=None):
    """Every fuel column of a touch at snap k."""
    config, session, level, k0 = options.config, options.session, touch["price"], touch["k"]
    reach, window = exact(config.fuel.fuel_strike_range), round(config.fuel.w_g * SECOND / config.grid.interval_ns)
    values = dict.fromkeys(COLUMNS)
    if fuel_known(options, level, k):
        values |= dealer_columns(options, touch, k)
        if k > k0:
            values["gamma_velocity"] = velocity(options, level, max(k0, k - window), k)
    values["fuel_effect"] = effect(values["gamma_exposure"], threshold(options.snaps[k]["ts"], session, config, priors))
    values["approach_gamma_velocity"] = velocity(options, level, max(OPENING, k0 - window), k0)
    values["gex_oi"] = open_exposure(options, level, k, lambda d: abs(d) <= reach)
    values["gex_oi_above"] = open_exposure(options, level, k, lambda d: 0 < d <= reach)
    values["gex_oi_below"] = open_exposure(options, level, k, lambda d: -reach <= d < 0)
    return values


# ---- the day's threshold ----


def naive_gamma_thresholds(options):
    """gamma_threshold of the 144 buckets: of each half hour, the median of |G| at the mid at its closes of minutes."""
    config, start = options.config, options.session.premarket.start
    snap_at = {snap["ts"]: k for k, snap in enumerate(options.snaps)}
    found = []
    for half_hour in range(BUCKETS * BUCKET_MINUTES // HALF_HOUR):
        sizes = []
        for minute in range(1, HALF_HOUR + 1):
            k = snap_at.get(start + (half_hour * HALF_HOUR + minute) * 60 * SECOND)
            if k is None or options.snaps[k]["mid2"] is None:
                continue
            level = mid_points(options.snaps[k], config) * config.instrument.point
            total = exposure(options, level, k)
            if total is not None:
                sizes.append(abs(total))
        found += [median(sizes) if sizes else None] * (HALF_HOUR // BUCKET_MINUTES)
    return found
