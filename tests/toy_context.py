"""What the twin of physics.md, section 4.5, says of toy days, and what tests of it expect."""

from fractions import Fraction
from types import SimpleNamespace

from spymaster_assets.config import Config
from tests.naive_approach import DEPTHS
from tests.naive_context import naive_context
from tests.naive_labels import LOADINGS
from tests.naive_physics import approach_columns
from tests.naive_touches import KINDS
from tests.toy_days import OPEN, QUIET_BOOK, SECOND, TICK, L, ladder, toy_day, toy_touch
from tests.toy_physics import rows_of


def changed(config, group, **values):
    return config.model_copy(update={group: getattr(config, group).model_copy(update=values)})


WEIGHTS = dict.fromkeys(KINDS, 0.5) | {"OR_HIGH": 0.8, "SMA_200": 1.0, "ROUND": 0.25, "CALL_WALL": 1.0}
CONFIG = changed(Config(), "levels", weights=SimpleNamespace(**WEIGHTS))
EXACT = changed(CONFIG, "instrument", point=Fraction(CONFIG.instrument.point), tick=Fraction(CONFIG.instrument.tick))
EXACT = changed(EXACT, "grid", interval_ns=Fraction(CONFIG.grid.interval_ns))
POINT = CONFIG.instrument.point


def context(day, touch=None, k=None, priors=None, levels=(), bars1=None, touches=None, config=CONFIG):
    """What the twin says of a touch, at t0 if no moment is named."""
    touch, rows = touch or day.touches[0], rows_of(day)

    def approach(other):
        found = approach_columns(rows, other, day.session, config, priors)
        return {f"approach_{name}": value for name, value in found.items()}

    bars1 = day.bars1 if bars1 is None else bars1
    k = touch["k"] if k is None else k
    return naive_context(rows, touch, k, day.session, config, priors, list(levels), bars1, touches or [touch], approach)


def all_priors(**columns):
    return [{"bucket": bucket, "dates": 20, "consumed_share": None, "cluster_p99": None, **columns} for bucket in range(144)]


def loadings(*values):
    return dict(zip(LOADINGS, (*values, *(0.0,) * (DEPTHS - len(values))), strict=True))


def quiet(count, **touch):
    """A day on which nothing moves, with one touch."""
    day = toy_day(count, {0: QUIET_BOOK})
    day.touches.append(toy_touch(day, **touch))
    return day


def mid_book(mid2):
    """A book whose best prices sum to mid2: one or two ticks wide, ten lots at every price."""
    bid = (mid2 - 1) // 2
    return ladder(bid, mid2 - bid)


def path_day(count, offset, k, **touch):
    """A day whose doubled mid is that of the level + offset(seconds before snap k), with a touch there."""
    day = toy_day(count, {j: mid_book(2 * L + offset(-((j - k) // 4))) for j in range(count)})
    day.touches.append(toy_touch(day, k=k, **touch))
    return day


def level(kind, points, start=0, end=10_000):
    """A row of levels that holds over (start, end] seconds."""
    price = round(points * POINT)
    return {
        "kind": kind, "price": price, "ticks": price // TICK,
        "valid_from": OPEN + start * SECOND, "valid_to": OPEN + end * SECOND,
    }  # fmt: skip
