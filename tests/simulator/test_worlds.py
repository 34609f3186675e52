"""Worlds: latents, the touches that the simulator sees for itself, the drifts that they start, and what this does to the book."""

import datetime as dt
import hashlib
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from spymaster_assets import dbn
from spymaster_assets.compute.stream import Day
from spymaster_assets.config import Config
from spymaster_assets.lake import Lake
from spymaster_assets.sessions import calendar
from spymaster_assets.simulator import definitions, drive, options, price
from spymaster_assets.simulator.drive import DRIFT_STEPS, INTERVAL, A, G, W
from spymaster_assets.simulator.price import STEP
from spymaster_assets.simulator.rng import ONE
from spymaster_assets.simulator.truth import simulate_with_truth
from spymaster_assets.simulator.world import WORLDS, World, world_of
from spymaster_assets.simulator.write import simulate
from spymaster_assets.states import LEVEL_KINDS
from spymaster_assets.tables import PATH_TRUTH, TOUCHES_TRUTH
from tests.test_golden import PLAIN_MACHINE

CONFIG, DATE, EVENTS = Config(), dt.date(2025, 6, 3), 60_000
SESSION = calendar(CONFIG).session(DATE)


class Run:
    """The records of a simulated date, and what drove it."""

    def __init__(self, root: Path, world: World | None, seed: int = 6) -> None:
        self.flow, self.driven = np.zeros(0, options.FLOW), None

        def keep(_: dt.date, flow: np.ndarray, driven: drive.Driven) -> None:
            self.flow, self.driven = flow, driven

        simulate(root, [DATE], events_per_session=EVENTS, seed=seed, config=CONFIG, world=world, on_truth=keep)
        paths = sorted((root / "futures").glob("*.mbp-10.dbn.zst"))
        rows = np.concatenate([chunk.copy() for path in paths for chunk in dbn.read(path, "mbp-10")])
        self.rows = dbn.pick(rows, rows["instrument_id"] == np.bincount(rows["instrument_id"]).argmax())
        self.touches = self.driven.touches
        self.trades = np.concatenate(
            [chunk.copy() for path in sorted((root / "options").glob("*.trades.dbn.zst")) for chunk in dbn.read(path, "trades")]
        )
        own = definitions.expiries(DATE, CONFIG)[0]
        middle = definitions.middle_strike(
            seed, DATE, price.carry(definitions.futures(DATE, CONFIG)[0].symbol, DATE, CONFIG), CONFIG
        )
        self.strikes = {own.number(right, at): at for at in definitions.strikes(middle, options.STRIKES, CONFIG) for right in "CP"}


@pytest.fixture(scope="module")
def linear(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return Run(tmp_path_factory.mktemp("linear"), WORLDS["LINEAR"])


@pytest.fixture(scope="module")
def null(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return Run(tmp_path_factory.mktemp("null"), WORLDS["NULL"])


@pytest.mark.parametrize("name", ["linear", "null"])
def test_touches_are_those_that_the_pipeline_finds(name: str, request: pytest.FixtureRequest) -> None:
    """Two programs written apart: the same moments, kinds, directions and prices to 1e-9 USD, the averages' too."""
    run = request.getfixturevalue(name)
    day = Day(SESSION, CONFIG)
    inside = (run.rows["ts_event"] > SESSION.globex.start - 10**12) & (run.rows["ts_event"] <= SESSION.globex.end)
    day.step(dbn.pick(run.rows, inside), SESSION.globex.end)
    found = [(int(t["k"]), int(t["kind"]), int(t["direction"]), int(t["price"])) for t in day.touches.rows]
    planted = [(int(t["k"]), int(t["kind"]), int(t["up"] < 0), int(t["price"])) for t in run.touches]
    assert planted == found and len({kind for _, kind, _, _ in found}) >= 4


def test_latents_are_stationary_and_forget_at_their_own_pace() -> None:
    found = np.concatenate([drive.latents(seed, price.clock(DATE, CONFIG)) for seed in range(12)], axis=1) / ONE
    assert found.mean(axis=1) == pytest.approx([0, 0, 0], abs=0.25) and found.std(axis=1) == pytest.approx([1, 1, 1], abs=0.12)
    for which, memory in ((W, 600), (A, 600), (G, 3600)):
        kept = np.corrcoef(found[which, :-memory], found[which, memory:])[0, 1]
        assert kept == pytest.approx(np.exp(-1), abs=0.12)
    assert np.abs(np.corrcoef(found)[np.triu_indices(3, 1)]).max() < 0.2


def test_a_touch_drifts_once_and_for_240_seconds(linear: Run, null: Run) -> None:
    """S sigma sqrt(240 s) s toward the break, from the touch on; a touch meanwhile carries on; nothing at s = 0."""
    begun = linear.touches[linear.touches["own"] == 1]
    assert len(begun) > 8 and (np.diff(begun["k"]) * INTERVAL >= DRIFT_STEPS * STEP).all()
    for touch in begun:
        minute = int(touch["k"]) * INTERVAL // (60 * 10**9)
        whole = 0.6 * touch["score"] / ONE * linear.driven.sigma[minute] * np.sqrt(DRIFT_STEPS) * touch["up"]
        assert touch["drift"] * DRIFT_STEPS == pytest.approx(whole, abs=DRIFT_STEPS + 1e-3 * abs(whole))
    for touch in linear.touches[linear.touches["own"] == 0]:
        before = begun[begun["k"] <= touch["k"]][-1]
        assert touch["drift"] == before["drift"] and (touch["k"] - before["k"]) * INTERVAL <= DRIFT_STEPS * STEP
    assert (null.touches["drift"] == 0).all() and len(null.touches) > 8


def test_score_is_the_weighted_latents(linear: Run) -> None:
    w, a, g, wg = WORLDS["LINEAR"].weights()
    assert w**2 + a**2 + g**2 + wg**2 == pytest.approx(1)
    t = linear.touches
    assert t["score"] == pytest.approx(w * t["w"] + a * t["a"] + g * t["g"], abs=4)
    assert np.array_equal(t["w"], linear.driven.latents[W, t["k"] // 4])


def test_customers_trade_toward_what_dealers_shall_hold(linear: Run) -> None:
    """In the signal window, what dealers hold at and around the money follows g, as the pipeline counts it."""
    mids = linear.driven.path * 0.25 / ONE
    held: dict[int, int] = {}
    found = []
    for trade in linear.trades:
        second = (int(trade["ts_event"]) - SESSION.globex.start) // 10**9
        strike = linear.strikes.get(int(trade["instrument_id"]))
        if strike is None or trade["side"] == ord("N"):
            continue
        held[strike] = held.get(strike, 0) - int(trade["size"]) * (1 if trade["side"] == ord("B") else -1)
        if second > 61_200:
            near = [lots for at, lots in held.items() if abs(at - mids[second * 10]) <= 15]
            found.append((sum(near), linear.driven.latents[G, second]))
    assert len(found) > 200 and np.corrcoef(np.array(found, float).T)[0, 1] > 0.4


def test_without_a_world_nothing_is_driven(tmp_path: Path) -> None:
    plain, other = Run(tmp_path / "plain", None), Run(tmp_path / "null", WORLDS["NULL"])
    assert len(plain.touches) == 0
    assert plain.rows.tobytes() != other.rows.tobytes()


def test_the_same_seed_and_world_give_the_same_bytes(linear: Run, tmp_path: Path) -> None:
    assert Run(tmp_path / "again", WORLDS["LINEAR"]).rows.tobytes() == linear.rows.tobytes()
    assert Run(tmp_path / "other", WORLDS["LINEAR"], seed=7).rows.tobytes() != linear.rows.tobytes()
    stronger = Run(tmp_path / "stronger", replace(WORLDS["LINEAR"], s=0.9))
    assert stronger.rows.tobytes() != linear.rows.tobytes()


@pytest.mark.slow
def test_the_same_bytes_without_fma(linear: Run, tmp_path: Path) -> None:
    """In a process of its own, compiled for a plain machine."""
    code = (
        "import sys, pathlib, hashlib; from tests.simulator.test_worlds import Run, WORLDS; "
        "print(hashlib.sha256(Run(pathlib.Path(sys.argv[1]), WORLDS['LINEAR']).rows.tobytes()).hexdigest())"
    )
    env = os.environ | PLAIN_MACHINE | {"NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    command = [sys.executable, "-c", code, str(tmp_path / "plain")]
    told = subprocess.run(command, check=True, env=env, cwd=Path(__file__).parents[2], capture_output=True, text=True)
    assert told.stdout.strip() == hashlib.sha256(linear.rows.tobytes()).hexdigest()


def test_shift_turns_the_sign_from_its_date_on() -> None:
    world = world_of("SHIFT", None, DATE)
    assert (world.strength(DATE - dt.timedelta(1)), world.strength(DATE)) == (0.6, -0.6)
    assert world_of("LINEAR", 0.3, DATE).strength(DATE) == 0.3
    with pytest.raises(ValueError, match="'NEITHER': expected one of NULL, LINEAR"):
        world_of("NEITHER", None, DATE)
    with pytest.raises(ValueError, match="world NULL has no strength"):
        world_of("NULL", 0.6, DATE)


def test_a_leaky_book_knows_the_future(tmp_path: Path) -> None:
    run = Run(tmp_path, WORLDS["LEAKY"])
    moves = []
    for touch in run.touches:
        step = int(touch["k"]) * INTERVAL // STEP
        moves.append(touch["up"] * (run.driven.path[step + DRIFT_STEPS] - run.driven.path[step]))
    assert np.corrcoef(moves, run.touches["w"])[0, 1] > 0.8 and (run.touches["drift"] == 0).all()


def test_confluent_levels_come_together(tmp_path: Path) -> None:
    run = Run(tmp_path, WORLDS["DUPLICATE"])
    tick = CONFIG.instrument.tick
    last = {int(t["kind"]): int(t["price"]) for t in run.touches}
    pairs = [(LEVEL_KINDS.index(f"PM_{end}"), LEVEL_KINDS.index(f"OR_{end}")) for end in ("HIGH", "LOW")]
    apart = [abs(last[a] - last[b]) / tick for a, b in pairs if a in last and b in last]
    assert apart and min(apart) <= 4 and max(apart) <= 8


def test_truth_stands_beside_the_date(tmp_path: Path) -> None:
    lake = Lake(tmp_path, CONFIG)
    simulate_with_truth(lake, [DATE], 5_000, 6, {}, world=WORLDS["LINEAR"])
    path, touches = lake.rows(PATH_TRUTH, DATE), lake.rows(TOUCHES_TRUTH, DATE)
    assert len(path) == 331_201 and (np.diff(path["ts"]) == INTERVAL).all() and path["ts"][0] == SESSION.globex.start
    for touch in touches[touches["own"] == 1]:
        at = int((touch["ts"] - SESSION.globex.start) // INTERVAL)
        assert path["drift"][at + 1] == pytest.approx(touch["drift"]) and path["remaining"][at + 1] == pytest.approx(
            239.75, abs=0.2
        )
        assert (path["w"][at], path["a"][at], path["g"][at]) == (touch["w"], touch["a"], touch["g"])
    assert ((path["drift"] != 0) == (path["remaining"] > 0)).mean() > 0.999
    day = path[(path["ts"] > SESSION.regular.start) & (path["ts"] <= SESSION.regular.end)]
    assert day["sigma"].mean() == pytest.approx(np.sqrt(np.diff(day["price"]).var() * 4), rel=0.2)
