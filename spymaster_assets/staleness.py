"""What of the lake is not what there would be now, and why: a date's tables against landing, configuration, code and each other."""

from __future__ import annotations

import datetime as dt

from spymaster_assets.gold import STAGES
from spymaster_assets.ingest import Intake
from spymaster_assets.lake import Lake, LakeError
from spymaster_assets.landing import landing_of
from spymaster_assets.maker import Maker, Stage
from spymaster_assets.schema import Table
from spymaster_assets.tables import DAY_SUMMARY, FUTURES_MBP10

MISSING = "not made yet"
_STAGE = {table.name: stage for stage in STAGES for table in stage.tables}


class Staleness:
    """Answers about one state of the lake: looks at each file once, so make a new one after a change."""

    def __init__(self, lake: Lake) -> None:
        self.lake = lake
        self.landing = landing_of(lake)
        self.files = self.landing.scan()
        self._makers: dict[dt.date, tuple[Intake, Maker]] = {}
        self._known: dict[tuple[str, dt.date], list[str]] = {}

    def why(self, table: Table, date: dt.date) -> list[str]:
        """Why a table of a date is stale: its own reasons, else which table before it is stale. Empty if it is not; MISSING alone
        if it is not there."""
        key = (f"{table.stage}/{table.name}", date)
        if key not in self._known:
            self._known[key] = self._look(table, date)
        return self._known[key]

    def _look(self, table: Table, date: dt.date) -> list[str]:
        try:
            manifest = self.lake.manifest(table, date)
        except LakeError:
            return ["its manifest cannot be read"]
        if manifest is None:
            return [MISSING]
        if not self.lake.is_whole(table, date, manifest):
            return ["its file is gone, or not of the size that was written"]
        if date not in self._makers:
            self._makers[date] = Intake(date, self.lake, self.landing, files=self.files), Maker(date, self.lake)
        intake, maker = self._makers[date]
        if table.stage == "bronze":
            return intake.stale(table)
        stage = _STAGE[table.name]
        return maker.stale(stage, table) or self._before(stage, maker)

    def _before(self, stage: Stage, maker: Maker) -> list[str]:
        """The tables that a stage reads and that are stale, so that it will be."""
        read = [(table, maker.date) for table in stage.inputs]
        if stage.earlier:
            read += [(FUTURES_MBP10, maker.date), *((DAY_SUMMARY, date) for date in maker.summarised)]
        return [
            f"{table.stage}/{table.name}{'' if date == maker.date else f' of {date}'} is stale"
            for table, date in read
            if (why := self.why(table, date)) and why != [MISSING]
        ]
