"""Options that are defined, defined anew or reported within the session: batch and live say the same, nothing before it came."""

import datetime as dt
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from spymaster_assets.config import Config, load
from spymaster_assets.ingest import Intake, ingest_date
from spymaster_assets.lake import Lake
from spymaster_assets.landing import Landing
from spymaster_assets.lateness import CLOCK
from spymaster_assets.maker import Maker
from spymaster_assets.sessions import calendar, to_ns
from spymaster_assets.silver import SILVER_STAGES
from spymaster_assets.tables import DEFINITIONS, OPEN_INTEREST, OPTION_FLOW, OPTION_TRADES
from spymaster_live.batches import write_clock, write_records
from spymaster_live.feed import plan
from spymaster_live.messages import CHANNELS, Frame, Session
from spymaster_live.parity import differences
from spymaster_live.symbols import unpacked
from tests import build
from tests.live.rig import small_lake
from tests.live.test_instruments import said_live
from tests.live.test_together import DATE

ELEVEN = to_ns(dt.datetime(2025, 6, 3, 15, tzinfo=dt.UTC))  # New York time
TEN = ELEVEN - 3600 * 1_000_000_000


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A date in which the three options that traded most before eleven are defined at eleven, and a fourth is called off then.

    The third has the strike of another one of its side, which was defined in the evening.
    """
    root = small_lake(tmp_path_factory.mktemp("late"), DATE, 5_000)
    lake = Lake(root, Config())
    trades, definitions = lake.arrays(OPTION_TRADES, DATE), lake.arrays(DEFINITIONS, DATE)
    own = {symbol for symbol, at in zip(definitions["raw_symbol"], definitions["expiration"], strict=True)
           if at // 86_400_000_000_000 == ELEVEN // 86_400_000_000_000}  # fmt: skip
    early = [str(symbol) for symbol, ts in zip(trades["symbol"], trades["ts_event"], strict=True) if ts < ELEVEN and symbol in own]
    chosen = sorted(set(early), key=lambda symbol: (-early.count(symbol), symbol))[:4]
    assert early.count(chosen[-1]) > 0
    every = list(zip(*(definitions[name].tolist() for name in ("raw_symbol", "instrument_class", "strike_price")), strict=True))
    side = {symbol: right for symbol, right, _ in every}[chosen[2]]
    strike = next(strike for symbol, right, strike in every if symbol in own - {*chosen} and right == side and symbol in early)

    def late(rows: np.ndarray) -> np.ndarray:
        names = np.array([raw.partition(b"\0")[0].decode("latin-1") for raw in rows["raw_symbol"].tolist()])
        moved, again = np.isin(names, chosen[:3]), rows[names == chosen[3]].copy()
        rows["strike_price"][names == chosen[2]] = strike
        rows["ts_recv"][moved] = np.maximum(rows["ts_recv"][moved], np.uint64(ELEVEN))
        again["ts_recv"], again["expiration"] = ELEVEN, again["expiration"] + np.uint64(7 * 86_400_000_000_000)
        rows = np.concatenate([rows[~moved], rows[moved], again[-1:]])
        return rows[np.argsort(rows["ts_recv"], kind="stable")]

    paths = sorted((root / "landing").glob("options/*definition*"))
    for path in paths[-1:]:
        build.rewrite(path, late)
    for path in paths[:-1]:  # of the evening before
        build.rewrite(path, lambda rows: rows[~np.isin(
            [raw.partition(b"\0")[0].decode("latin-1") for raw in rows["raw_symbol"].tolist()], chosen[:3])])  # fmt: skip
    (root / "chosen").write_text("\n".join(chosen))
    return root


def made(root: Path) -> Lake:
    lake = Lake(root, load(root / "short.toml"))
    ingest_date(Intake(DATE, lake, Landing(root / "landing", lake.config)))
    for stage in SILVER_STAGES:
        Maker(DATE, lake).make(stage)
    return lake


def test_live_says_what_the_batch_says(first: Path) -> None:
    lake = made(first)
    found, _ = differences(lake, DATE, said_live(lake, DATE))
    assert found == []


def test_what_comes_at_eleven_changes_nothing_before(first: Path, tmp_path: Path) -> None:
    """The rows until eleven are the same where the definitions of eleven never come."""
    shutil.copytree(first / "landing", tmp_path / "landing")
    shutil.copy(first / "short.toml", tmp_path)
    for path in (tmp_path / "landing").glob("options/*definition*"):
        build.rewrite(path, lambda rows: rows[rows["ts_recv"] < ELEVEN])
    until = (ELEVEN - calendar(Config()).session(DATE).globex.start) // Config().grid.interval_ns
    whole, cut = (lake.rows(OPTION_FLOW, DATE) for lake in (made(first), made(tmp_path)))
    before = [rows[rows["k"] <= until] for rows in (whole, cut)]
    assert len(before[0]) and before[0].tobytes() == before[1].tobytes()
    assert len(whole) > len(cut)  # what comes afterwards counts


def test_definitions_that_come_behind_the_watermark(tmp_path: Path) -> None:
    """All of them are held up until ten. A batch of what was captured knows as little before that as live did."""
    lake = Lake(small_lake(tmp_path / "sent", DATE, 5_000), load(tmp_path / "sent" / "short.toml"))
    session, *messages = plan(lake, DATE, 0).messages(f"{DATE}.1")
    assert isinstance(session, Session)
    held = [one for one in messages if isinstance(one, Frame) and one.channel == DEFINITIONS.name]
    others = [one for one in messages if not (isinstance(one, Frame) and one.channel == DEFINITIONS.name)]
    place = 1 + next(number for number, one in enumerate(others) if not isinstance(one, Session) and one.watermark >= TEN)
    sent = [*others[:place], *held, *others[place:]]

    folder, window = tmp_path / "landing" / "capture" / str(DATE), calendar(lake.config).session(DATE).bronze
    folder.mkdir(parents=True)
    came, clock = Counter[str](), []
    for one in sent:
        if isinstance(one, Frame):
            came[one.channel] += len(one.records)
        clock.append((0, 0 if isinstance(one, Session) else one.watermark, *(came[name] for name in CHANNELS)))
    write_clock(np.array(clock, np.int64), folder / CLOCK)
    for name in came:
        frames = [one for one in sent if isinstance(one, Frame) and one.channel == name]
        mappings = unpacked(session.symbology)[name]
        write_records(folder / f"{name}.dbn.zst", frames[0].schema, [one.records for one in frames], window, mappings, lake.config)
    shutil.copy(tmp_path / "sent" / "short.toml", tmp_path)
    captured = made(tmp_path)
    found, _ = differences(captured, DATE, said_live(captured, DATE, [session, *sent]))
    assert found == []
    flow = captured.rows(OPTION_FLOW, DATE)
    until = (TEN - calendar(lake.config).session(DATE).globex.start) // lake.config.grid.interval_ns
    assert len(flow) and flow["k"].min() > until - 1


def test_open_interest_that_comes_after_the_open_is_not_known(tmp_path: Path) -> None:
    """Reports of before, which are received at eleven: what was reported until then holds, in the batch and in live."""
    late, never = (small_lake(tmp_path / name, DATE, 5_000) for name in ("late", "never"))

    def held_up(rows: np.ndarray) -> np.ndarray:
        chosen = (rows["stat_flags"] == 1) & (rows["instrument_id"] % 2 == 0)
        rows["ts_recv"][chosen] = ELEVEN
        return rows[np.argsort(rows["ts_recv"], kind="stable")]

    def left_out(rows: np.ndarray) -> np.ndarray:
        rows = held_up(rows)
        return rows[rows["ts_recv"] < ELEVEN]

    for root, change in ((late, held_up), (never, left_out)):
        for path in (root / "landing").glob("options/*statistics*"):
            build.rewrite(path, change)
    lake = made(late)
    found, _ = differences(lake, DATE, said_live(lake, DATE))
    assert found == []
    without = Lake(never, load(never / "short.toml"))
    ingest_date(Intake(DATE, without, Landing(never / "landing", without.config)))
    Maker(DATE, without).make(next(stage for stage in SILVER_STAGES if stage.name == "option_flow"))
    assert lake.rows(OPEN_INTEREST, DATE).tobytes() == without.rows(OPEN_INTEREST, DATE).tobytes() != b""
