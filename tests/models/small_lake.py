"""A lake of a few dozen dates that has only what models read: rows of `worlds` at three landmarks, sequences, touches, snaps.

Everything of a date hangs on the date and the seed alone. `trained` is made once a test run; who changes a lake changes a copy.
"""

import datetime as dt
import shutil
from functools import cache

import numpy as np

from spymaster_assets.config import Config, Models
from spymaster_assets.evaluating import evaluate
from spymaster_assets.features import CHANNELS, HORIZONS
from spymaster_assets.fingerprint import Fingerprint
from spymaster_assets.lake import Lake
from spymaster_assets.models.baselines import TEN
from spymaster_assets.sessions import calendar
from spymaster_assets.tables import SEQUENCES, SNAPS, TOUCHES, TRAINING
from spymaster_assets.tables.predictions import MEMBERS
from spymaster_assets.training import Trainer
from tests.made_once import made_once
from tests.models.worlds import EFFECT, NS, drawn, tilted, world

RULES = Models(
    min_dates=8, min_episodes=20, folds=3, tree_rounds=20, tree_step=5, tree_learning_rate=0.2, tree_least_rows=10, tree_ridge=1.0,
    tree_bins=15, tree_share_of_features=1.0, head_rounds=3, sequence_epochs=1,
)  # fmt: skip
CONFIG = Config(models=RULES)
STEPS = tuple(zip(CONFIG.sequences.scales, CONFIG.sequences.steps, strict=True))
LANDMARKS = (0, 15, 60)  # one of each group
TOUCHED = 8  # times a date
TOLD = (*EFFECT, *TEN["stage_b"], "sigma", "position_sigma_4min")  # columns that vary; the others are 0, or null as `NULL`
NULL = ("gamma_flip", "last_outcome")


def trading(first, count):
    """So many trading dates from the first on."""
    return calendar(CONFIG).dates(dt.date.fromisoformat(first), dt.date.fromisoformat(first) + dt.timedelta(days=3 * count))[:count]


DATES = trading("2025-06-02", 19)  # to 27 June; Juneteenth, a Thursday, lies between
FIRST = DATES[9]  # Friday: its week has no model yet; the two weeks after it have


def training(date, seed=1, touched=TOUCHED, effect=EFFECT):
    """Rows of training of a date: `touched` touches at LANDMARKS, outcomes of three horizons tilted by two features."""
    count = touched * len(LANDMARKS)
    told = world(1, count, seed * 1_000_000 + date.toordinal(), effect)[0]
    rng = np.random.default_rng(date.toordinal() + 31 * seed)
    rows = np.zeros(count, TRAINING.dtype)
    for name in told.dtype.names:
        rows[name] = told[name]
    number, landmark = np.divmod(np.arange(count), len(LANDMARKS))
    rows["touch"] = rows["episode"] = number
    rows["k"], rows["elapsed"] = np.arange(count), np.array(LANDMARKS)[landmark]
    opened = calendar(CONFIG).session(date).regular.start
    rows["t_decision"] = rows["t_feature"] = opened + number * 1800 * NS + (rows["elapsed"] * NS).astype(np.int64)
    rows["t_label_start"], rows["t_label_end"] = rows["t_decision"] + 1, rows["t_decision"] + 480 * NS
    for name in sorted(set(TOLD) - set(TEN["stage_a"])):  # the same draws in every process
        rows[name] = rng.normal(size=count)
    rows["sigma"] = np.exp(rng.normal(size=count) / 4)
    for name in NULL:
        rows[name] = np.nan
    rows["wall_ratio"][rng.random(count) < 0.2] = np.nan
    rows["kind"], rows["direction"] = number % 4, number % 2
    rows["price"] = 6_000_000_000_000 + number * 250_000_000
    rows["break_score_smooth"] = np.clip(50 + 20 * rows["approach_pulled_rate_60"] + rng.normal(0, 10, count), 0, 100)
    rows["break_score_smooth"][::7] = np.nan
    geometry = np.stack([rows[f"geometry_{word}_4min"] for word in ("break", "bounce", "chop")], axis=1)
    logits = sum(np.outer(rows[name], on) for name, on in effect.items()) if effect else np.zeros((count, 3))
    for horizon, seconds in HORIZONS.items():
        for word, column in zip(("break", "bounce", "chop"), geometry.T, strict=True):
            rows[f"geometry_{word}_{horizon}"] = column
        outcome = rows["outcome_4min"].copy() if horizon == "4min" else drawn(tilted(geometry, logits), rng)
        rows[f"outcome_{horizon}"], rows[f"trainable_{horizon}"] = outcome, 1
        rows[f"label_end_{horizon}"] = rows["t_decision"] + seconds * NS
        rows[f"strength_signed_{horizon}"] = rng.normal(np.array([2.0, -2.0, 0.0])[outcome], 1.0)
        rows[f"excursion_max_{horizon}"] = rng.exponential(np.array([3.0, 1.0, 1.0])[outcome])
        rows[f"excursion_min_{horizon}"] = -rng.exponential(np.array([1.0, 3.0, 1.0])[outcome])
        for way, code in (("break", 0), ("bounce", 1)):
            for barrier in (1, 2):
                when = rng.uniform(1, seconds, count) * barrier / 2
                rows[f"time_to_{way}_{barrier}_{horizon}"] = np.where(outcome == code, when, np.nan)
    return rows


def sequences(rows, seed=1):
    """Steps before the landmarks 0 and 60 of rows of training; those of the last touch are missing, some are not observed."""
    rows = rows[np.isin(rows["elapsed"], CONFIG.sequences.landmarks) & (rows["touch"] < rows["touch"].max())]
    rng = np.random.default_rng(int(rows["t_decision"][0] % 1_000_003) + seed)
    scale = np.concatenate([np.full(steps, scale) for scale, steps in STEPS])
    step = np.concatenate([np.arange(steps) for _, steps in STEPS])
    out = np.zeros((len(rows), len(step)), SEQUENCES.dtype)
    for name in ("touch", "k", "elapsed"):
        out[name] = rows[name][:, None]
    out["ts"], out["scale"], out["step"] = rows["t_decision"][:, None], scale, step
    seen = step >= rng.integers(0, 40, len(rows))[:, None]
    out["observed"] = seen
    for channel in CHANNELS:
        out[channel.name] = np.where(seen, rng.normal(size=out.shape), np.nan)
    return out.reshape(-1)


def touches(rows):
    """The touches of rows of training."""
    first = rows[rows["elapsed"] == 0]
    out = np.zeros(len(first), TOUCHES.dtype)
    for name in ("touch", "episode", "kind", "direction", "price", "k", "sigma"):
        out[name] = first[name]
    out["t0"], out["ticks"] = first["t_decision"], first["price"] // 250_000_000
    return out


def snaps(rows):
    """A sound book, a tick wide, at the snaps of rows of training."""
    out = np.zeros(len(rows), SNAPS.dtype)
    out["k"], out["ts"], out["book_ok"] = rows["k"], rows["t_decision"], 1
    out["bid_ticks"], out["ask_ticks"] = 24_000 - np.arange(10), 24_001 + np.arange(10)
    return out


def put(lake, table, date, rows, schema=None, facts=None):
    """Publish rows as the partition of a date."""
    text = {
        column.name: np.array([f"{date} {column.name}"] * len(rows), object) for column in table.columns if column.dtype == "text"
    }
    with lake.write(table, date, Fingerprint({}, "config", "code", schema or table.digest)) as writer:
        writer.append_rows(rows, text)
        return writer.publish(facts or {})


def fill(lake, dates, seed=1, **how):
    """Publish what models read of the dates."""
    for date in dates:
        rows = training(date, seed, **how)
        put(lake, TRAINING, date, rows)
        put(lake, SEQUENCES, date, sequences(rows, seed))
        put(lake, TOUCHES, date, touches(rows))
        put(lake, SNAPS, date, snaps(rows))


def small(root, dates=DATES, config=CONFIG, **how):
    """A new lake of the dates."""
    lake = Lake(root, config)
    fill(lake, dates, **how)
    return lake


def walk(lake, dates):
    """Models and predictions of the dates."""
    trainer = Trainer(lake)
    for date in dates:
        for name in MEMBERS:
            trainer.make(name, date)
        trainer.predictions(date)


@cache
def filled():
    """The lake of DATES without models. Not to be changed."""
    return Lake(made_once("models-filled", small), CONFIG)


@cache
def trained():
    """The same with models and predictions of all dates from FIRST on. Not to be changed."""

    def make(folder):
        walk(laid(filled(), folder), DATES[DATES.index(FIRST) :])

    return Lake(made_once("models-trained", make), CONFIG)


@cache
def evaluated():
    """The same with an evaluation as of the last date. Not to be changed."""
    return Lake(made_once("models-evaluated", lambda folder: evaluate(laid(trained(), folder), DATES[-1])), CONFIG)


def laid(lake, folder):
    """The same lake in a folder."""
    shutil.copytree(lake.root, folder, dirs_exist_ok=True)
    return Lake(folder, lake.config)


def copied(lake, folder):
    """The same lake below a folder, to be changed."""
    return laid(lake, folder / "lake")
