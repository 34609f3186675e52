"""The product's fuel against its naive twin (physics.md, 4.4) on random option flow."""

import math
from dataclasses import replace

import numpy as np
import pytest

from spymaster_assets.sessions import Window
from spymaster_assets.tables import OPTION_FLOW, PRIORS
from tests import short_day
from tests.naive_fuel import COLUMNS, Options, naive_fuel, naive_gamma_thresholds
from tests.rows import packed, plain
from tests.toy_days import INTERVAL, OPEN, SECOND, toy_session
from tests.toy_options import CONFIG, MID2, black, columns, differences, nanos, product, reports, row, same, whole_touch

COUNT = 9_600  # snaps of a random day: 40 minutes
DAYS = tuple(range(30))


def random_mids(rng, kind):
    """Twice the mid in ticks by snap: a walk with stretches at which nothing is known."""
    steps = rng.choice([-1, 0, 0, 0, 0, 1], COUNT + 1) * (6 if kind["wild"] else 1)
    mids = MID2 + int(rng.integers(-40, 41)) + np.cumsum(steps)
    mids = (MID2 + np.abs((mids - MID2 + 320) % 1280 - 640) - 320).tolist()  # reflected at 40 points
    for start in rng.integers(0, COUNT - 400, 6):
        length = int(rng.integers(1, 400))
        mids[start : start + length] = [None] * length
    return mids


def random_price(rng, mid2, strike, call, seconds):
    """A price in 1e-9 USD as it might be quoted, now and then one that tells nothing."""
    forward = 6000 if mid2 is None else mid2 / 8
    v = max(rng.uniform(0.05, 0.8) * math.sqrt(max(seconds, 1) / 31_536_000), 1e-6)
    ticks = max(round(black(forward, strike, v, call) / 0.05), 0)
    odd = rng.integers(0, 40)
    if odd == 0:
        return int(rng.choice([-50_000_000, nanos(strike), nanos(forward), *map(nanos, (0, 0.05, 0.1, 9.95, 10))]))
    return int(rng.integers(1, 400)) * 50_000_000 if odd == 1 else ticks * 50_000_000


def random_flow(rng, kind, mids, expiration):
    """Rows of option flow in order of (k, strike, call), prices carried on from row to row as the grid does."""
    step = 5 if rng.integers(0, 2) else 10
    strikes = [x for x in range(5880, 6121, step) if abs(x - 6000) < 60 or rng.integers(0, 2)]
    if not kind["rich"]:
        strikes = list(rng.choice(strikes, 7, replace=False))
    moments = sorted(rng.choice(range(kind["from"], COUNT + 1), kind["moments"], replace=False).tolist())
    if kind["rich"]:
        moments[0] = 0
    rows, latest = [], {}
    for k in moments:
        for strike in sorted(rng.choice(strikes, min(len(strikes), int(rng.integers(1, 5))), replace=False).tolist()):
            for call in (0, 1):
                if rng.integers(0, 3) == 0:
                    continue
                known = latest.setdefault((strike, call), {"last": None, "bid": None, "ask": None})
                found = row(k, strike, call, expiration=expiration)
                price = random_price(rng, mids[k], strike, call, (expiration - OPEN) / SECOND - k / 4)
                found["trades"], found["quotes"] = int(rng.integers(0, 3)), int(rng.integers(0, 3))
                if found["trades"] + found["quotes"] == 0:
                    found["quotes"] = 1
                if found["trades"]:
                    bought, sold, unknown = (int(rng.integers(0, 400) * share) for share in kind["sides"])
                    found |= {"signed": bought - sold, "unsigned": unknown, "volume": bought + sold + unknown}
                    known["last"] = price if rng.integers(0, 20) else None
                if found["quotes"]:
                    half = int(rng.integers(0, 3)) * 50_000_000
                    known |= {"bid": price - half, "ask": price + half}
                    odd = rng.integers(0, 12)
                    if odd < 2:
                        known["ask" if odd else "bid"] = None
                    elif odd == 2:
                        known |= {"bid": price + 50_000_000, "ask": price}
                rows.append(found | known)
    return rows


def random_interest(rng, kind):
    chosen = [] if kind["no_interest"] else sorted(rng.choice(range(5900, 6101, 5), 15, replace=False).tolist())
    contracts = {(strike, call): int(rng.integers(0, 3000)) for strike in chosen for call in (0, 1) if rng.integers(0, 3)}
    return reports(contracts)


def random_touches(rng):
    """Levels at strikes, between them, off the tick and far away; touches early and late."""
    prices = [6000.0, 5997.25, 6003.123456789, 6040.0, 5985.0, float(rng.integers(5950, 6050)), 6400.0]
    ks = [1, 100, *rng.integers(240, COUNT - 970, 5)]
    return [
        whole_touch(price=nanos(price), direction=str(rng.choice(["UP", "DOWN"])), k=int(k), touch=number)
        for number, (price, k) in enumerate(zip(prices, ks, strict=True))
    ]


def random_priors(rng, kind):
    """None, or 144 rows as short_day has them, with thresholds of which some are unknown."""
    if kind["no_priors"]:
        return None
    rows = short_day.priors().copy()
    rows["gamma_threshold"] = np.where(rng.integers(0, 2, 144), rng.uniform(0, 30, 144), np.nan)
    return rows


def random_day(seed):
    """(options of the twin, touches, priors as an array) of a day of one kind or another."""
    rng = np.random.default_rng(seed)
    kind = {
        "rich": seed % 3 > 0, "wild": seed % 4 == 1, "no_interest": seed % 5 == 3, "no_priors": seed % 2 == 0,
        "from": (1, 3000)[seed % 7 == 2], "moments": (60, 220, 500)[seed % 3],
        "sides": ((1, 1, 0), (1, 0.2, 0.1), (0.2, 1, 0.5), (0.5, 0.5, 1), (0, 0, 1))[seed % 5],
    }  # fmt: skip
    session = replace(toy_session(premarket=120, regular=700, signals=2000, end=2300), globex=Window(OPEN, OPEN + COUNT * INTERVAL))
    expiration = OPEN + (COUNT * INTERVAL if seed % 4 == 3 else 6 * 3600 * SECOND) + int(rng.integers(0, 300)) * SECOND
    mids = random_mids(rng, kind)
    snaps = [{"k": k, "ts": OPEN + k * INTERVAL, "mid2": mid2} for k, mid2 in enumerate(mids)]
    flow = random_flow(rng, kind, mids, expiration)
    day = Options(snaps, flow, random_interest(rng, kind), session, CONFIG)
    return day, random_touches(rng), random_priors(rng, kind)


def moments_of(rng, touch):
    after = [0, 1, 20, 239, 240, 241, 960]
    return sorted({touch["k"] + more for more in [*rng.choice(after, 4, replace=False).tolist(), int(rng.integers(0, 960))]})


@pytest.mark.parametrize("seed", DAYS)
def test_product(seed):
    """Every column of touches at strikes, between them and far away, at t0 and after it."""
    day, touches, priors = random_day(seed)
    made, rng = product(day, touches, priors), np.random.default_rng(1000 + seed)
    usual = None if priors is None else plain(PRIORS, priors)
    wrong = {
        (touch["touch"], k): found
        for touch in touches
        for k in moments_of(rng, touch)
        if (found := differences(naive_fuel(day, touch, k, usual), columns(made, touch["touch"], k)))
    }
    assert not wrong


def test_random_days_tell_everything():
    """Every column is known somewhere, every state is met."""
    values = [
        naive_fuel(day, touch, touch["k"] + 20)
        for seed in (1, 3, 4, 5, 6)
        for day, touches, _ in [random_day(seed)]
        for touch in touches
    ]
    assert {row["fuel_effect"] for row in values} == {"UNKNOWN", "AMPLIFY", "NEUTRAL", "DAMPEN"}
    assert all(any(row[name] is not None for row in values) for name in COLUMNS)


@pytest.mark.parametrize("seed", DAYS)
def test_product_does_not_look_ahead(seed):
    """To the last bit what a Day says that has nothing after k, whatever followed in the other."""
    day, touches, priors = random_day(seed)
    whole = product(day, touches, priors)
    for touch in touches[1:5]:
        for k in (touch["k"], touch["k"] + 77):
            assert columns(whole, touch["touch"], k) == columns(product(day, touches, priors, k), touch["touch"], k)


@pytest.mark.parametrize("seed", DAYS[:6])
def test_product_takes_rows_in_pieces(seed):
    """Snaps close a few at a time, strikes come up one by one; and contracts that come one after the other."""
    day, touches, priors = random_day(seed)
    whole, pieces, shuffled = (product(day, touches, priors, until) for until in (None, -1, -1))
    rows = packed(OPTION_FLOW, day.rows)
    for made, order in ((pieces, ("k", "strike", "call")), (shuffled, ("strike", "call", "k"))):
        made.snaps = whole.snaps
        for piece in np.array_split(np.sort(rows, order=order), 17):
            grown = made.options.flow
            grown.reserve(len(piece))[grown.count : grown.count + len(piece)] = piece
            grown.count += len(piece)
            made.advance_options()
        for touch in touches:
            k = touch["k"] + 300
            assert columns(made, touch["touch"], k) == columns(whole, touch["touch"], k)


@pytest.mark.parametrize("seed", DAYS)
def test_threshold_of_the_product(seed):
    day, touches, priors = random_day(seed)
    found = product(day, touches, priors).summary()["gamma_threshold"].tolist()
    pairs = zip(naive_gamma_thresholds(day), [None if math.isnan(value) else value for value in found], strict=True)
    assert not [pair for pair in pairs if not same(*pair)]
