"""From the vendor into landing: what dates lack is priced, agreed to, ordered and brought; what was interrupted goes on.

Requests below `vendor.batch_bytes` are streamed: a stream that breaks off begins anew, and the vendor charges again for what it
sends. Larger ones are batch jobs: charged once when they are ordered, found again whatever happened, and fetched from where an
earlier process left them.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, Literal

from spymaster_assets import dbn
from spymaster_assets.asking import DONE, EXPIRED, Broken, Quote, Request, VendorError
from spymaster_assets.lacking import Lacking, NotTold, Wanted
from spymaster_assets.lake import Lake
from spymaster_assets.landing import Landing
from spymaster_assets.sessions import calendar, nearest_contract, to_datetime
from spymaster_assets.staged import Staged, State, alone, entries, on_their_way

if TYPE_CHECKING:
    from spymaster_assets.vendor import Vendor

Way = Literal["batch", "stream"]
Progress = Callable[[str, int, int], None]
READY: Final = ("available", "degraded", "missing")  # conditions of a UTC day of which no more will come
TROUBLE: Final = (VendorError, NotTold, dbn.DbnError, OSError, ValueError)


@dataclass(frozen=True)
class Offer:
    """What a lacking file costs, and how it would come. `job`: it was ordered earlier, and is paid."""

    wanted: Wanted
    quote: Quote
    way: Way
    job: str | None = None

    @property
    def due(self) -> float:
        """USD that are still to be paid."""
        return 0.0 if self.job else self.quote.usd


@dataclass
class Outcome:
    """What became of the dates: files that came; why a date is not complete; what is to be known of it."""

    files: dict[dt.date, list[str]] = field(default_factory=dict)
    usd: float = 0.0  # agreed to
    lost: float = 0.0  # USD beyond that, at most, of streams that broke off
    bytes: int = 0  # that came
    trouble: dict[dt.date, list[str]] = field(default_factory=dict)
    notes: dict[dt.date, list[str]] = field(default_factory=dict)
    refused: list[Offer] = field(default_factory=list)  # what was not agreed to

    def blame(self, date: dt.date, why: object) -> None:
        self.trouble.setdefault(date, []).append(str(why))

    def note(self, date: dt.date, *what: str) -> None:
        known = self.notes.setdefault(date, [])
        known += [one for one in what if one not in known]


class Download:
    """Downloads into one lake. `schemas`: those of the configuration unless named; `way`: by the size of a request unless named."""

    def __init__(
        self, lake: Lake, vendor: Vendor, schemas: Sequence[str] = (), way: Way | None = None, progress: Progress | None = None
    ) -> None:
        self.lake, self.vendor, self.rules = lake, vendor, lake.config.vendor
        self.landing = Landing(lake.root / "landing", lake.config)
        self._schemas, self._way, self._progress = tuple(schemas) or self.rules.schemas, way, progress
        self._conditions: dict[str, str] = {}
        self._labels: dict[Wanted, str] = {}

    def run(self, dates: Sequence[dt.date], agree: Callable[[list[Offer]], bool], most: float = math.inf) -> Outcome:
        """Bring what the dates lack, in two steps, each agreed to before it is paid: what tells the rest, then the rest.

        `agree` sees what a step would bring and says whether to go on; where nothing is to be paid it is not asked. Trouble of
        one date does not stop the others. `most`: USD that may be paid in all; a stream that broke off is not begun again where
        that could exceed it. Busy if another process is at one of them; VendorError where no request can succeed.
        """
        outcome = Outcome()
        with contextlib.ExitStack() as locks:
            for date in dates:
                locks.enter_context(alone(self.landing, date))
            for staged in (one for date in dates for one in on_their_way(self.landing, date)):
                staged.resume()
            for step in (Lacking.telling, Lacking.told):
                lacking, wanted = Lacking(self.lake, self._schemas), []
                for date in (one for one in dates if one not in outcome.trouble):
                    with self._blaming(date, outcome):
                        wanted += step(lacking, date)
                offers = [self._offer(one) for one in self._available(wanted, outcome)]
                if sum(offer.due for offer in offers) and not agree(offers):
                    outcome.refused = offers
                    break
                outcome.usd += sum(offer.due for offer in offers)
                self._bring(offers, outcome, most)
        return outcome

    def outlook(self, dates: Sequence[dt.date]) -> float:
        """USD that the books of the dates cost, if the calendar's contract turns out to be each one's."""
        config, found = self.lake.config, 0.0
        for date in dates:
            window, symbol = calendar(config).session(date).bronze, nearest_contract(date, config)
            found += self.vendor.quote(
                Request(config.instrument.dataset, "mbp-10", (symbol,), "raw_symbol", window.start, window.end)
            ).usd
        return found

    @contextlib.contextmanager
    def _blaming(self, date: dt.date, outcome: Outcome, name: str = "") -> Iterator[None]:
        """Trouble is the date's, unless no other one can fare better."""
        try:
            yield
        except TROUBLE as error:
            if isinstance(error, VendorError) and error.final:
                raise
            outcome.blame(date, f"{name}: {error}" if name else error)

    def _available(self, wanted: list[Wanted], outcome: Outcome) -> list[Wanted]:
        """What the vendor has complete; what it says of the dates' UTC days is noted."""
        if not wanted:
            return []
        sessions = {one.date: calendar(self.lake.config).session(one.date) for one in wanted}
        days = [day for session in sessions.values() for day in session.utc_days]
        dataset = self.lake.config.instrument.dataset
        until = self.vendor.available_until(dataset)
        self._conditions |= self.vendor.conditions(dataset, min(days), max(days))
        for date, session in sessions.items():
            told = self._conditions_of(date)
            waiting = [f"{day} {state}" for day, state in told.items() if state not in READY]
            if session.bronze.end > until:
                end = to_datetime(until).strftime("%Y-%m-%d %H:%M")
                outcome.blame(date, f"not available yet: the vendor has {dataset} until {end} UTC")
            elif waiting:
                outcome.blame(date, f"not available yet: the vendor calls {', '.join(waiting)}")
            else:
                outcome.note(date, *(f"the vendor calls {day} {state}" for day, state in told.items()))
        return [one for one in wanted if one.date not in outcome.trouble]

    def _conditions_of(self, date: dt.date) -> dict[str, str]:
        """The UTC days of a date that are not plainly available."""
        days = map(str, calendar(self.lake.config).session(date).utc_days)
        return {day: state for day in days if (state := self._conditions.get(day, "available")) != "available"}

    def _staged(self, wanted: Wanted) -> Staged:
        return Staged(self.landing, wanted.date, wanted.name)

    def _offer(self, wanted: Wanted) -> Offer:
        """The vendor's price, or the one that was paid."""
        state = self._staged(wanted).state()
        if state is not None and state.job and state.request == wanted.request:
            return Offer(wanted, state.quote, "batch", state.job)
        quote = self.vendor.quote(wanted.request)
        return Offer(wanted, quote, self._way or ("batch" if quote.bytes >= self.rules.batch_bytes else "stream"))

    def _bring(self, offers: list[Offer], outcome: Outcome, most: float) -> None:
        """Order what comes by batch, stream the rest meanwhile, then fetch what is done."""
        for number, wanted in enumerate((offer.wanted for offer in offers), 1):
            self._labels[wanted] = f"{wanted.date} {wanted.name} ({number} of {len(offers)})"
        ordered: dict[str, Offer] = {}
        for offer in (one for one in offers if one.way == "batch"):
            with self._blaming(offer.wanted.date, outcome, offer.wanted.name):
                job = self._order(offer)
                ordered[job] = replace(offer, job=job)
        for offer in (one for one in offers if one.way == "stream"):
            with self._blaming(offer.wanted.date, outcome, offer.wanted.name):
                self._stream(offer, outcome, most)
                self._came(offer, outcome)
        self._await(ordered, outcome)

    def _came(self, offer: Offer, outcome: Outcome) -> None:
        wanted = offer.wanted
        entry = entries(self.landing, wanted.date)[wanted.name]
        outcome.files.setdefault(wanted.date, []).append(wanted.name)
        outcome.bytes += entry["bytes"]
        outcome.note(wanted.date, *entry["remarks"])

    def _new_state(self, offer: Offer) -> State:
        before = self._staged(offer.wanted).state()
        return State(
            offer.wanted.request, offer.quote, self._conditions_of(offer.wanted.date), begun=list(before.begun) if before else []
        )

    def _order(self, offer: Offer) -> str:
        """The batch job of an offer, its name on the disk before anything else happens."""
        if offer.job:
            return offer.job
        state = self._new_state(offer)
        state.job = self.vendor.submit(offer.wanted.request)
        state.remarks += self.vendor.warnings()
        self._staged(offer.wanted).keep(state)
        return state.job

    def _await(self, ordered: dict[str, Offer], outcome: Outcome) -> None:
        """Fetch the files of jobs as they are done; what is not done in time is told, and found by the next run."""
        until = time.monotonic() + self.rules.wait_seconds
        while ordered:  # `until` is renewed by every file that comes
            jobs = self.vendor.jobs()
            for job, offer in list(ordered.items()):
                state = jobs.get(job, EXPIRED)
                if state != DONE and state != EXPIRED and time.monotonic() < until:
                    continue
                del ordered[job]
                wanted = offer.wanted
                with self._blaming(wanted.date, outcome, wanted.name):
                    if state == EXPIRED:
                        self._staged(wanted).forget()
                        raise VendorError(f"job {job} has expired at the vendor's; run again to price and order it anew")
                    if state != DONE:
                        raise VendorError(f"job {job} is still {state}; run again later, it is paid and goes on")
                    self._fetch(offer, job)
                    self._came(offer, outcome)
                    until = time.monotonic() + self.rules.wait_seconds
            if ordered:
                time.sleep(self.rules.poll_seconds)

    def _fetch(self, offer: Offer, job: str) -> None:
        """The file of a job, from where an earlier process left it."""
        staged, file = self._staged(offer.wanted), self.vendor.file(job)
        self.vendor.fetch(file, staged.path, lambda done: self._show(offer, done, file.size))
        state = staged.state() or self._new_state(offer)
        state.remarks += self.vendor.warnings()
        try:
            staged.check(state, confirmed=True)
        except Broken as error:
            raise VendorError(f"job {job} gave a file with the right checksum, but {error}") from None
        state.checked = {**(state.checked or {}), "sha256": file.sha256}
        staged.keep(state)
        staged.publish(state)

    def _stream(self, offer: Offer, outcome: Outcome, most: float) -> None:
        """A request in one answer, from its beginning."""
        staged, state = self._staged(offer.wanted), self._new_state(offer)
        at_most, before = max(1, offer.quote.bytes), len(state.begun)  # what comes is compressed

        def ask() -> None:
            if len(state.begun) > before and outcome.usd + outcome.lost + offer.quote.usd > most:
                raise VendorError(
                    f"a stream of {state.request.schema} broke off: another could cost {offer.quote.usd:,.2f} USD more, and no more"
                    f" than {most:,.2f} USD may be paid in all",
                    final=True,
                )

        def begun() -> None:
            outcome.lost += offer.quote.usd if len(state.begun) > before else 0.0
            state.begun.append(offer.quote.usd)
            staged.keep(state)

        self.vendor.stream(
            state.request, staged.path, lambda: staged.check(state),
            lambda done: self._show(offer, min(done, at_most - 1), at_most), ask, begun,
        )  # fmt: skip
        self._show(offer, at_most, at_most)
        state.remarks += self.vendor.warnings()
        staged.keep(state)
        staged.publish(state)

    def _show(self, offer: Offer, done: int, total: int) -> None:
        if self._progress is not None:
            self._progress(self._labels[offer.wanted], done, total)
