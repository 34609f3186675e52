"""A simulated roll: the date before it trades more of the next contract, so that the next date is of that one."""

import datetime as dt
from pathlib import Path

import numpy as np

from spymaster_assets import dbn
from spymaster_assets.config import Config
from spymaster_assets.ingest import Intake, ingest_date
from spymaster_assets.lake import Lake
from spymaster_assets.landing import Landing
from spymaster_assets.simulator.definitions import futures
from spymaster_assets.simulator.write import simulate
from spymaster_assets.tables import FUTURES_MBP10

CONFIG = Config()
EVE, ROLL = dt.date(2025, 6, 12), dt.date(2025, 6, 13)  # ESM5 expires on 20 June; 8 days before, ESU5 takes over


def test_contract_follows_the_volume_over_a_roll(tmp_path: Path) -> None:
    simulate(tmp_path / "landing", [EVE, ROLL], events_per_session=5_000, seed=5, config=CONFIG)
    lake = Lake(tmp_path, CONFIG)
    for date in (EVE, ROLL):
        ingest_date(Intake(date, lake, Landing(tmp_path / "landing", CONFIG)))
    told = [lake.manifest(FUTURES_MBP10, date) for date in (EVE, ROLL)]
    assert [one.facts["contract"]["symbol"] for one in told if one] == ["ESM5", "ESU5"]
    (path,) = (tmp_path / "landing" / "futures").glob("*20250612.trades*")
    trades = np.concatenate([chunk.copy() for chunk in dbn.read(path, "trades")])
    front, following, _ = futures(EVE, CONFIG)
    front_lots, next_lots = (int(trades["size"][trades["instrument_id"] == one.number].sum()) for one in (front, following))
    assert 0 < front_lots < next_lots < 20 * front_lots
    assert (np.diff(trades["ts_recv"].astype(np.int64)) >= 0).all()
