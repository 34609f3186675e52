"""Bronze is lossless, accounts for every record, and says clearly what is missing."""

import datetime as dt
import shutil
from pathlib import Path

import numpy as np
import pytest

from spymaster_assets import dbn
from spymaster_assets.ingest import NO_DATE, Ingested, Intake, MissingInput, ingest_date
from spymaster_assets.lake import Lake
from spymaster_assets.sessions import DAY, NotATradingDate, utc_midnight
from spymaster_assets.tables import (
    BRONZE,
    DEFINITIONS,
    FUTURES_MBP10,
    FUTURES_TRADES,
    OPTION_QUOTES,
    OPTION_TRADES,
    Table,
)
from tests import build
from tests.build import DATE, EVE, FRONT, NEXT, SESSION, SPREAD, lake_at, landing_at


def intake(root: Path, date: dt.date = DATE) -> Intake:
    return Intake(date, lake_at(root), landing_at(root))


def made(root: Path, table: Table, date: dt.date = DATE, force: bool = False) -> Ingested:
    return intake(root, date).ingest(table, force)


def account(result: Ingested, index: int = 0) -> dict[str, object]:
    return result.manifest.facts["files"][index]  # type: ignore[no-any-return]


def rebuilt(lake: Lake, table: Table, date: dt.date, dtype: np.dtype, constant: dict[str, int]) -> np.ndarray:
    """DBN records made from Bronze columns alone: what "lossless" means."""
    columns = lake.arrays(table, date)
    records = np.zeros(len(columns["ts_event"]), dtype)
    for name, value in constant.items():
        records[name] = value
    for name, values in columns.items():
        if name in (dtype.names or ()):
            records[name] = values.astype("i8").view("u8") if dtype[name] == np.uint64 else values
        elif name[-2:].isdigit() and "levels" in (dtype.names or ()):
            records["levels"][:, int(name[-2:])][name[:-3]] = values
    return records


class TestLossless:
    def test_every_byte_of_the_book_can_be_rebuilt_from_bronze(self, small_date):
        root, book, _ = small_date
        made(root, FUTURES_MBP10)
        again = rebuilt(lake_at(root), FUTURES_MBP10, DATE, dbn.MBP10, {"length": 92, "rtype": 10})
        assert again.tobytes() == book.tobytes()

    def test_every_byte_of_the_trades_can_be_rebuilt_from_bronze(self, small_date):
        root, _, prints = small_date
        made(root, FUTURES_TRADES)
        again = rebuilt(lake_at(root), FUTURES_TRADES, DATE, dbn.TRADE, {"length": 12, "rtype": 0})
        assert again.tobytes() == prints.tobytes()
        assert set(lake_at(root).arrays(FUTURES_TRADES, DATE, ["symbol"])["symbol"]) == {FRONT}

    def test_extreme_values_survive(self, tmp_path):
        rows = build.books(build.times(4))
        rows["levels"][1]["bid_px"][3:] = dbn.UNDEF_PRICE
        rows["price"][2] = dbn.UNDEF_PRICE
        rows["size"][2], rows["sequence"][3], rows["ts_in_delta"][0] = 2**32 - 1, 2**32 - 1, -(2**31)
        build.write(tmp_path / "landing", "a.dbn.zst", "mbp-10", rows, EVE)
        made(tmp_path, FUTURES_MBP10)
        again = rebuilt(lake_at(tmp_path), FUTURES_MBP10, DATE, dbn.MBP10, {"length": 92, "rtype": 10})
        assert again.tobytes() == rows.tobytes()

    def test_more_rows_than_a_row_group_keep_their_order(self, tmp_path):
        rows = build.books(build.times(140_001, step=100_000))
        build.write(tmp_path / "landing", "a.dbn.zst", "mbp-10", rows, EVE)
        made(tmp_path, FUTURES_MBP10)
        again = rebuilt(lake_at(tmp_path), FUTURES_MBP10, DATE, dbn.MBP10, {"length": 92, "rtype": 10})
        assert again.tobytes() == rows.tobytes()


@pytest.fixture(scope="module")
def lake(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """Bronze of the real hour's trading date, made with every sample lying in landing."""
    root = tmp_path_factory.mktemp("real")
    shutil.copytree(real_data, root / "landing")
    for outcome in ingest_date(intake(root, dt.date(2023, 12, 26))).values():
        assert isinstance(outcome, Ingested)
    return lake_at(root)


class TestRealHour:
    def genuine(self, real_data: Path, schema: str) -> np.ndarray:
        """The hour as Databento's own decoder reads it, without the snapshot row stamped on 2023-12-24."""
        import databento

        stored = databento.DBNStore.from_bytes((real_data / f"esh4-20231225.{schema}.dbn.zst").read_bytes()).to_ndarray()
        return stored[stored["ts_event"] > utc_midnight(dt.date(2023, 12, 25))]

    def test_the_book_has_40037_rows_and_the_trades_2973(self, lake):
        date = dt.date(2023, 12, 26)
        assert lake.manifest(FUTURES_MBP10, date).rows == 40_037
        assert lake.manifest(FUTURES_TRADES, date).rows == 2_973

    @pytest.mark.parametrize(
        ("table", "schema"), [(FUTURES_MBP10, "mbp-10"), (FUTURES_TRADES, "trades")], ids=lambda v: str(v)[:20]
    )
    def test_every_field_equals_databentos_own_decoder(self, lake, real_data, table, schema):
        expected = self.genuine(real_data, schema)
        stored = lake.arrays(table, dt.date(2023, 12, 26))
        for name in expected.dtype.names:
            if name not in ("length", "rtype"):
                want = expected[name].view("u1") if expected[name].dtype == "S1" else expected[name].astype(stored[name].dtype)
                np.testing.assert_array_equal(stored[name], want, err_msg=name)

    def test_the_manifest_counts_the_snapshot_row_of_the_24th_as_outside(self, lake):
        facts = lake.manifest(FUTURES_MBP10, dt.date(2023, 12, 26)).facts
        assert facts["files"][0]["outside"] == {NO_DATE: 1}
        assert facts["files"][0]["read"] == 40_038
        assert facts["contract"]["symbol"] == "ESH4"
        assert facts["coverage"] == {"2023-12-25": "full (vendor)", "2023-12-26": "missing"}

    def test_trades_across_utc_midnight_belong_to_the_later_date_and_coverage_is_partial(self, real_data, tmp_path):
        shutil.copytree(real_data, tmp_path / "landing")
        result = made(tmp_path, FUTURES_TRADES, dt.date(2024, 7, 2))
        assert (result.manifest.rows, result.manifest.facts["volumes"]) == (120, {"ESU4": 253})
        assert result.manifest.facts["coverage"] == {"2024-07-01": "partial (vendor)", "2024-07-02": "partial (vendor)"}

    def test_genuine_option_quotes_are_read_with_their_symbol(self, real_data, tmp_path):
        shutil.copytree(real_data, tmp_path / "landing")
        date = dt.date(2026, 1, 9)
        assert made(tmp_path, OPTION_QUOTES, date).manifest.rows == 8
        quotes = lake_at(tmp_path).arrays(OPTION_QUOTES, date)
        assert set(quotes["symbol"]) == {"EW2F6 C7000"}
        assert set(quotes["source"]) == {"bbo-1m"}

    def test_genuine_definitions_are_read(self, real_data, tmp_path):
        shutil.copytree(real_data, tmp_path / "landing")
        date = dt.date(2026, 1, 9)
        assert made(tmp_path, DEFINITIONS, date).manifest.rows == 1
        stored = lake_at(tmp_path).arrays(DEFINITIONS, date)
        assert stored["raw_symbol"][0] == "EW2F6 C7000"
        assert stored["expiration"][0] == 1_767_992_400_000_000_000  # 2026-01-09 21:00Z
        assert (stored["security_type"][0], stored["instrument_class"][0], stored["underlying"][0]) == ("OOF", "C", "ESH6")

    def test_the_genuine_live_stream_gives_its_records_to_its_date(self, real_data, tmp_path):
        (tmp_path / "landing").mkdir()
        shutil.copy(real_data / "test_data.live.dbn.zst", tmp_path / "landing")
        file = landing_at(tmp_path).scan()[0]
        assert (file.schema, file.problem, file.products) == (None, None, ("futures",))
        result = made(tmp_path, FUTURES_TRADES, dt.date(2023, 11, 20))
        assert (account(result)["read"], result.manifest.rows) == (2, 2)
        assert set(lake_at(tmp_path).arrays(FUTURES_TRADES, dt.date(2023, 11, 20), ["symbol"])["symbol"]) == {"ESZ4"}


class TestAccounting:
    def test_records_of_other_dates_are_counted_by_date_and_holidays_by_none(self, tmp_path):
        date = dt.date(2024, 1, 16)  # the day before is Martin Luther King day: Globex trades, no trading date
        inside = build.times(3, utc_midnight(date) + 15 * 3600 * build.SECOND)
        holiday = build.times(2, utc_midnight(date - DAY) + 15 * 3600 * build.SECOND)
        build.write(tmp_path / "landing", "a.dbn.zst", "mbp-10", build.books(holiday), date - DAY)
        build.write(tmp_path / "landing", "b.dbn.zst", "mbp-10", build.books(inside), date)
        result = made(tmp_path, FUTURES_MBP10, date)
        assert result.manifest.rows == 3
        assert account(result)["outside"] == {NO_DATE: 2}

    def test_both_ends_of_the_date_are_exact(self, tmp_path):
        edges = np.array([SESSION.bronze.start, SESSION.bronze.start + 1, SESSION.bronze.end, SESSION.bronze.end + 1], np.int64)
        build.write(tmp_path / "landing", "a.dbn.zst", "mbp-10", build.books(edges[:2]), EVE)
        build.write(tmp_path / "landing", "b.dbn.zst", "mbp-10", build.books(edges[2:]), DATE)
        result = made(tmp_path, FUTURES_MBP10)
        assert lake_at(tmp_path).arrays(FUTURES_MBP10, DATE, ["ts_event"])["ts_event"].tolist() == edges[1:3].tolist()
        assert account(result, 0)["outside"] == {"2025-06-02": 1}
        assert account(result, 1)["outside"] == {"2025-06-04": 1}

    def test_spreads_and_other_products_stay_out_of_the_trades_and_are_counted(self, tmp_path):
        when = build.times(9)
        rows = np.concatenate(
            [build.trades(when[:4]), build.trades(when[4:6], NEXT), build.trades(when[6:7], SPREAD), build.trades(when[7:], "NQM5")]
        )
        build.write(tmp_path / "landing", "a.dbn.zst", "trades", rows, EVE, symbols=[FRONT, NEXT, SPREAD, "NQM5"])
        result = made(tmp_path, FUTURES_TRADES)
        assert result.manifest.facts["volumes"] == {FRONT: 8, NEXT: 4}
        assert account(result)["other_instruments"] == {SPREAD: 1, "NQM5": 2}

    def test_definitions_tell_a_spread_whose_symbol_looks_like_an_outright(self, tmp_path):
        wrong = build.definitions([NEXT], EVE)
        wrong["instrument_class"] = ord("S")
        build.write(tmp_path / "landing", "d.dbn.zst", "definition", wrong, EVE, symbols=[NEXT])
        rows = np.concatenate([build.trades(build.times(3)), build.trades(build.times(2), NEXT)])
        build.write(tmp_path / "landing", "a.dbn.zst", "trades", rows[np.argsort(rows["ts_recv"])], EVE, symbols=[FRONT, NEXT])
        assert made(tmp_path, FUTURES_TRADES).manifest.facts["volumes"] == {FRONT: 6}

    def test_an_instrument_nobody_names_is_counted_as_unresolved(self, tmp_path):
        rows = build.trades(build.times(5))
        rows["instrument_id"][2:] = 999
        build.write(tmp_path / "landing", "a.dbn.zst", "trades", rows, EVE)
        result = made(tmp_path, FUTURES_TRADES)
        assert (result.manifest.rows, account(result)["unresolved"]) == (2, 3)

    def test_an_id_that_changes_hands_at_midnight_is_followed(self, tmp_path):
        """instrument_id is unique within a day only: 101 is ESM5 on the eve and ESU5 on the date."""
        for day, symbol in ((EVE, FRONT), (DATE, NEXT)):
            rows = build.trades(build.times(3, max(utc_midnight(day), SESSION.globex.start) + build.SECOND))
            rows["instrument_id"] = 101
            maps = {symbol: [dbn.Interval(day, day + DAY, 101)]}
            path = tmp_path / "landing" / f"{day}.dbn.zst"
            path.parent.mkdir(exist_ok=True)
            ends = {"start": utc_midnight(day), "end": utc_midnight(day + DAY)}
            with dbn.Writer(path, "trades", dataset="GLBX.MDP3", symbols=[symbol], mappings=maps, **ends) as writer:
                writer.write(rows)
        assert made(tmp_path, FUTURES_TRADES).manifest.facts["volumes"] == {FRONT: 6, NEXT: 6}


class TestOptions:
    def test_option_trades_keep_weeklies_and_user_defined_and_drop_foreign_ones(self, tmp_path):
        build.IDS.setdefault("UD:1V: VT 1", 401)
        build.IDS.setdefault("OZNM5 C110", 402)
        when = build.times(4)
        names = ["E1BM5 C6000", "E1BM5 P6000", "UD:1V: VT 1", "OZNM5 C110"]
        rows = np.concatenate([build.trades(when[i : i + 1], name) for i, name in enumerate(names)])
        build.write(tmp_path / "landing", "o.dbn.zst", "trades", rows, EVE, symbols=names)
        result = made(tmp_path, OPTION_TRADES)
        assert lake_at(tmp_path).arrays(OPTION_TRADES, DATE, ["symbol"])["symbol"].tolist() == names[:3]
        assert account(result)["other_instruments"] == {"OZNM5 C110": 1}

    def test_tbbo_wins_over_sampled_quotes_and_sampled_ones_say_what_they_are(self, tmp_path):
        def quotes(dtype: np.dtype, rtype: int) -> np.ndarray:
            rows = np.zeros(3, dtype)
            rows["length"], rows["rtype"], rows["instrument_id"] = dtype.itemsize // 4, rtype, build.IDS["E1BM5 C6000"]
            rows["ts_event"] = rows["ts_recv"] = build.times(3)
            rows["side"] = ord("N")
            return rows

        sampled = quotes(dbn.BBO, 196)
        sampled["ts_event"] -= 40 * 3600 * build.SECOND  # the last change, days ago: the sample's own time places it
        build.write(tmp_path / "landing", "s.dbn.zst", "bbo-1m", sampled, EVE, symbols=["E1BM5 C6000"])
        assert made(tmp_path, OPTION_QUOTES).manifest.rows == 3
        stored = next(lake_at(tmp_path).batches(OPTION_QUOTES, DATE))
        assert stored.column("action").null_count == stored.column("depth").null_count == 3
        assert set(stored.column("source").to_pylist()) == {"bbo-1m"}
        traded = quotes(dbn.MBP1, 1)
        traded["action"] = ord("T")
        build.write(tmp_path / "landing", "t.dbn.zst", "tbbo", traded[:2], EVE, symbols=["E1BM5 C6000"])
        assert made(tmp_path, OPTION_QUOTES).manifest.rows == 2
        assert set(lake_at(tmp_path).arrays(OPTION_QUOTES, DATE, ["source"])["source"]) == {"tbbo"}

    def test_a_date_without_options_has_empty_tables_that_say_so(self, small_date):
        root, _, _ = small_date
        for table in (OPTION_TRADES, OPTION_QUOTES):
            result = made(root, table)
            assert result.manifest.rows == 0
            assert set(result.manifest.facts["coverage"].values()) == {"missing"}
            assert "missing" in (result.note or "")


class TestFilesOfADate:
    def test_a_missing_utc_day_is_flagged_not_fatal(self, small_date):
        root, _, _ = small_date
        (root / "landing" / f"book-{EVE}.dbn.zst").unlink()
        result = made(root, FUTURES_MBP10)
        assert result.manifest.rows > 0
        assert result.manifest.facts["coverage"] == {str(EVE): "missing", str(DATE): "full (vendor)"}
        assert str(EVE) in (result.note or "")

    def test_two_overlapping_files_keep_each_record_once(self, small_date):
        root, book, _ = small_date
        _, late = build.split_days(book)
        cut = utc_midnight(DATE) + 9 * 3600 * build.SECOND
        (root / "landing" / f"book-{DATE}.dbn.zst").unlink()
        early = late[late["ts_recv"] < cut + 3600 * build.SECOND]
        rest = late[late["ts_recv"] >= cut]
        build.write(root / "landing", "one.dbn.zst", "mbp-10", early, DATE, end=cut + 3600 * build.SECOND)
        build.write(root / "landing", "two.dbn.zst", "mbp-10", rest, DATE, start=cut)
        result = made(root, FUTURES_MBP10)
        again = rebuilt(lake_at(root), FUTURES_MBP10, DATE, dbn.MBP10, {"length": 92, "rtype": 10})
        assert again.tobytes() == book.tobytes()
        assert result.manifest.facts["overlap"]["in_both_files"] == len(early) + len(rest) - len(late) > 0

    def test_a_copy_of_a_file_under_another_name_changes_nothing(self, small_date):
        root, book, _ = small_date
        shutil.copy(root / "landing" / f"book-{DATE}.dbn.zst", root / "landing" / "zz-copy.dbn.zst")
        assert made(root, FUTURES_MBP10).manifest.rows == len(book)

    def test_the_vendors_file_wins_over_our_capture_of_the_same_day(self, small_date):
        root, book, _ = small_date
        _, late = build.split_days(book)
        build.write(root / "landing" / "capture", "book.dbn.zst", "mbp-10", late[:-7], DATE)
        result = made(root, FUTURES_MBP10)
        assert result.manifest.rows == len(book)
        assert result.manifest.facts["coverage"][str(DATE)] == "full (vendor)"
        (root / "landing" / f"book-{DATE}.dbn.zst").unlink()
        kept = made(root, FUTURES_MBP10, force=True)
        assert kept.manifest.rows == len(book) - 7
        assert kept.manifest.facts["coverage"] == {str(EVE): "full (vendor)", str(DATE): "full (capture)"}

    def test_a_capture_fills_only_the_days_that_the_vendor_lacks(self, small_date):
        root, book, _ = small_date
        (root / "landing" / f"book-{EVE}.dbn.zst").unlink()
        build.write(root / "landing" / "capture", "all.dbn.zst", "mbp-10", book, EVE, end=utc_midnight(DATE + DAY))
        result = made(root, FUTURES_MBP10)
        assert result.manifest.rows == len(book)
        assert result.manifest.facts["coverage"] == {str(EVE): "full (capture)", str(DATE): "full (vendor)"}

    def test_removing_landing_files_later_does_not_shrink_bronze(self, small_date):
        root, book, _ = small_date
        first = made(root, FUTURES_MBP10)
        (root / "landing" / f"book-{EVE}.dbn.zst").unlink()
        again = made(root, FUTURES_MBP10)
        assert again.unchanged
        assert again.manifest == first.manifest
        assert f"book-{EVE}" in (again.note or "")
        shutil.rmtree(root / "landing")
        assert made(root, FUTURES_MBP10).manifest.rows == len(book)

    def test_nor_does_it_when_parameters_change_afterwards(self, small_date):
        root, book, _ = small_date
        made(root, FUTURES_MBP10)
        (root / "landing" / f"book-{EVE}.dbn.zst").unlink()
        other = Lake(root, build.CONFIG.model_copy(update={"bronze": build.CONFIG.bronze.model_copy(update={"zstd_level": 3})}))
        assert Intake(DATE, other, landing_at(root)).ingest(FUTURES_MBP10).manifest.rows == len(book)

    def test_a_vendors_file_of_the_next_dates_evening_leaves_our_capture_of_the_day_in_place(self, small_date):
        root, book, _ = small_date
        captured = root / "landing" / "capture" / "day.dbn.zst"
        captured.parent.mkdir()
        (root / "landing" / f"book-{DATE}.dbn.zst").rename(captured)
        evening = build.books(build.times(5, SESSION.globex.end + 3700 * build.SECOND))
        build.write(root / "landing", "evening.dbn.zst", "mbp-10", evening, DATE, start=SESSION.globex.end + 3600 * build.SECOND)
        result = made(root, FUTURES_MBP10)
        assert result.manifest.rows == len(book)
        assert result.manifest.facts["coverage"][str(DATE)].endswith("(capture)")

    def test_definitions_of_other_contracts_do_not_hide_the_only_outright_present(self, tmp_path):
        names = [FRONT, NEXT, SPREAD]
        build.write(tmp_path / "landing", "d.dbn.zst", "definition", build.definitions(names, EVE), EVE, symbols=names)
        build.write(tmp_path / "landing", "b.dbn.zst", "mbp-10", build.books(build.times(5), NEXT), EVE, symbols=[NEXT])
        assert made(tmp_path, FUTURES_MBP10).manifest.facts["contract"]["basis"] == "only outright"

    def test_a_second_run_makes_nothing_again(self, small_date):
        root, _, _ = small_date
        first = ingest_date(intake(root))
        stamps = {path: path.stat().st_mtime_ns for path in (root / "bronze").rglob("*.parquet")}
        second = ingest_date(intake(root))
        assert all(isinstance(made, Ingested) and made.unchanged for made in second.values())
        assert [made.manifest for made in first.values()] == [made.manifest for made in second.values()]
        assert stamps == {path: path.stat().st_mtime_ns for path in (root / "bronze").rglob("*.parquet")}

    def test_a_changed_file_or_parameter_makes_the_table_again(self, small_date):
        root, book, _ = small_date
        made(root, FUTURES_MBP10)
        build.write(root / "landing", f"book-{DATE}.dbn.zst", "mbp-10", build.split_days(book)[1][:-1], DATE)
        assert intake(root).stale(FUTURES_MBP10) == [f"input book-{DATE}.dbn.zst changed"]
        assert made(root, FUTURES_MBP10).manifest.rows == len(book) - 1
        other = Lake(root, build.CONFIG.model_copy(update={"bronze": build.CONFIG.bronze.model_copy(update={"zstd_level": 3})}))
        assert Intake(DATE, other, landing_at(root)).stale(FUTURES_MBP10) == ["config"]

    def test_two_clones_give_the_same_content(self, tmp_path):
        manifests = []
        for clone in ("one", "two"):
            build.landing_of_a_date(tmp_path / clone)
            manifests.append({name: made.manifest for name, made in ingest_date(intake(tmp_path / clone)).items()})
        assert manifests[0] == manifests[1]

    @pytest.mark.parametrize("chunk", [368, 5_000, 100_000])
    def test_chunk_size_changes_nothing(self, small_date, monkeypatch, chunk):
        root, _, _ = small_date
        usual = made(root, FUTURES_MBP10).manifest
        monkeypatch.setattr(dbn.read, "__defaults__", (chunk, *dbn.read.__defaults__[1:]))
        assert made(root, FUTURES_MBP10, force=True).manifest == usual


class TestMissing:
    def test_an_empty_folder_says_what_to_do(self, tmp_path):
        with pytest.raises(MissingInput, match=r"it is empty: put Databento files there, or run `spymaster simulate`"):
            made(tmp_path, FUTURES_MBP10)

    def test_book_missing_while_trades_exist_names_what_is_there(self, small_date):
        root, _, prints = small_date
        for day in (EVE, DATE):
            (root / "landing" / f"book-{day}.dbn.zst").unlink()
        results = ingest_date(intake(root))
        assert results["futures_trades"].manifest.rows == len(prints)
        assert isinstance(results["futures_mbp10"], MissingInput)
        assert "no futures_mbp10" in str(results["futures_mbp10"]) and "it holds trades" in str(results["futures_mbp10"])
        assert lake_at(root).manifest(FUTURES_MBP10, DATE) is None

    def test_wrong_schema_is_named(self, real_data, tmp_path):
        (tmp_path / "landing").mkdir()
        shutil.copy(next(real_data.glob("futures_mbp-1*")), tmp_path / "landing")
        with pytest.raises(MissingInput, match="schema mbp-1; Bronze is made from"):
            made(tmp_path, FUTURES_MBP10, dt.date(2024, 7, 2))

    def test_another_instrument_is_named(self, tmp_path):
        build.write(tmp_path / "landing", "nq.dbn.zst", "mbp-10", build.books(build.times(3), "NQM5"), EVE, symbols=["NQM5"])
        with pytest.raises(MissingInput, match="symbols NQM5; expected futures or options of ES"):
            made(tmp_path, FUTURES_MBP10)

    def test_another_contract_than_the_dates_is_named(self, tmp_path):
        sold = build.trades(build.times(5, SESSION.bronze.start - 3600 * build.SECOND), NEXT)
        build.write(tmp_path / "landing", "t.dbn.zst", "trades", sold, EVE, symbols=[NEXT])
        made(tmp_path, FUTURES_TRADES, EVE)
        build.write(tmp_path / "landing", "b.dbn.zst", "mbp-10", build.books(build.times(6)), EVE)
        with pytest.raises(MissingInput, match=rf"expected MBP-10 of {NEXT} \(by volume\), found {FRONT}: 6"):
            made(tmp_path, FUTURES_MBP10)
        assert lake_at(tmp_path).manifest(FUTURES_MBP10, DATE) is None

    def test_another_dataset_is_named(self, tmp_path):
        build.write(tmp_path / "landing", "x.dbn.zst", "mbp-10", build.books(build.times(3)), EVE, dataset="XNAS.ITCH")
        with pytest.raises(MissingInput, match=r"dataset XNAS\.ITCH; expected GLBX\.MDP3"):
            made(tmp_path, FUTURES_MBP10)

    def test_a_cut_file_is_an_error_with_offset_and_leaves_nothing(self, small_date):
        root, _, _ = small_date
        path = root / "landing" / f"book-{DATE}.dbn.zst"
        path.write_bytes(path.read_bytes()[:-40])
        with pytest.raises(
            dbn.DbnError, match=rf"book-{DATE}.dbn.zst: at byte [\d,]+ of the decoded stream: expected an intact zstd"
        ):
            made(root, FUTURES_MBP10)
        folder = lake_at(root).folder(FUTURES_MBP10, DATE)
        assert {p.name for p in folder.iterdir()} <= {".lock"}

    def test_a_holiday_is_refused_with_the_nearest_dates(self, tmp_path):
        with pytest.raises(NotATradingDate, match=r"2023-12-25 is a holiday of XNYS.*2023-12-22 and 2023-12-26"):
            intake(tmp_path, dt.date(2023, 12, 25))


def test_every_bronze_table_is_made_for_a_date(small_date):
    root, _, _ = small_date
    assert list(ingest_date(intake(root))) == [table.name for table in BRONZE]
