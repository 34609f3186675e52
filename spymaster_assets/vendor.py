"""Databento's historical data over HTTPS: what a request costs, its records as a stream or as a batch job. Knows no lake.

Questions and orders go through Databento's own client. Bytes do not: the client shows no progress, waits for ever where nothing
comes, appends to a file whatever the server answers, and only warns of a wrong checksum (docs/decisions/0018). The only import of
databento; its file format is dbn.py's.

Busy servers, dropped connections and cut bodies are tried again; an order is never placed before looking whether it was placed.
The key appears in no message.
"""

from __future__ import annotations

import datetime as dt
import email.utils
import hashlib
import logging
import os
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

import databento
import requests
from databento.common import API_VERSION
from databento.common.error import BentoError, BentoHttpError, BentoWarning
from databento.common.http import check_backend_warnings, check_http_error
from databento.common.system import USER_AGENT
from requests.auth import HTTPBasicAuth

from spymaster_assets.asking import DONE, EXPIRED, Broken, Quote, RemoteFile, Request, VendorError
from spymaster_assets.config import KEY, KEY_FILE, Config
from spymaster_assets.sessions import to_ns

LOG: Final = logging.getLogger(__name__)  # without a setting of its own it goes to stderr
Answer = TypeVar("Answer")
OnBytes = Callable[[int], None]
BLOCK: Final = 1 << 18  # bytes that are written at once
AGAIN: Final = (408, 425, 429)  # refusals that pass; so does every status from 500 on
KEY_REFUSED: Final = (401, 403)
OWED: Final = 402
HOUSE: Final = ".databento.com"
LIVING: Final = ("queued", "processing", DONE)  # states of a job that may still be fetched


class Vendor:
    """The API with one key. `warnings`: what the vendor remarked since they were last taken."""

    def __init__(self, config: Config, key: str | None) -> None:
        """VendorError without a key."""
        if key is None:
            raise VendorError(f"no key: set {KEY}, or {KEY_FILE} to the path of a file that holds it", final=True)
        self._rules, self._key = config.vendor, key
        self._client = databento.Historical(key, gateway=config.vendor.gateway)
        self._heard: dict[str, None] = {}

    def warnings(self) -> list[str]:
        """What the vendor remarked since this was last asked."""
        heard, self._heard = list(self._heard), {}
        return heard

    def quote(self, request: Request) -> Quote:
        of, what = self._client.metadata, f"the cost of {request.schema}"
        return Quote(
            float(self._ask(what, lambda: of.get_cost(**request.terms))),
            int(self._ask(what, lambda: of.get_billable_size(**request.terms))),
            int(self._ask(what, lambda: of.get_record_count(**request.terms))),
        )

    def available_until(self, dataset: str) -> int:
        """ns UTC at which the data end that this key may have."""
        said = self._ask("what is available", lambda: self._client.metadata.get_dataset_range(dataset))
        return _ns(said["end"])

    def conditions(self, dataset: str, first: dt.date, last: dt.date) -> dict[str, str]:
        """Per UTC day what the vendor thinks of its data: available, degraded, pending or missing."""
        said = self._ask(
            "the condition of the data", lambda: self._client.metadata.get_dataset_condition(dataset, str(first), str(last))
        )
        return {str(day["date"]): str(day["condition"]) for day in said}

    def submit(self, request: Request) -> str:
        """The name of a batch job of this request: one that is there already, else a new one, which is charged."""

        def once() -> str:
            listed = self._client.batch.list_jobs(states=",".join(LIVING))
            found = next((str(job["id"]) for job in listed if _is_of(job, request)), None)
            if found is not None:
                return found
            return str(self._client.batch.submit_job(**request.terms, split_duration="none")["id"])

        return self._ask(f"a batch job of {request.schema}", once)

    def jobs(self) -> dict[str, str]:
        """The account's batch jobs, those that expired too: name -> state."""
        said = self._ask("the batch jobs", lambda: self._client.batch.list_jobs(states=",".join((*LIVING, EXPIRED))))
        return {str(job["id"]): str(job["state"]) for job in said}

    def file(self, job: str) -> RemoteFile:
        """The data file of a job that is done."""
        listed = self._ask(f"the files of job {job}", lambda: self._client.batch.list_files(job))
        data = [file for file in listed if str(file["filename"]).endswith(".dbn.zst")]
        if len(data) != 1:
            names = ", ".join(str(file["filename"]) for file in listed)
            raise VendorError(f"job {job}: expected one DBN file, found {names or 'none'}")
        kind, _, digest = str(data[0]["hash"]).partition(":")
        url = str(data[0]["urls"]["https"])
        if kind != "sha256" or urlsplit(url).scheme != "https":
            raise VendorError(f"job {job}: expected a file with a sha256 behind https, found {kind} at {url}")
        if not _same_house(urlsplit(url).hostname or "", urlsplit(self._rules.gateway).hostname or ""):
            raise VendorError(f"job {job}: expected a file at the vendor's, found {url}, which would be shown the key")
        return RemoteFile(url, int(data[0]["size"]), digest)

    def fetch(self, file: RemoteFile, path: Path, on_bytes: OnBytes) -> None:
        """A job's file to `path`, going on behind what is there; on the disk, with the size and the checksum listed."""

        def there() -> int:
            return path.stat().st_size if path.exists() else 0

        def once() -> None:
            have = there()
            if have > file.size:
                path.unlink()
                have = 0
            if have < file.size:
                headers = {"Range": f"bytes={have}-"} if have else {}
                with self._open("GET", file.url, headers=headers) as response:
                    goes_on = response.headers.get("Content-Range", "").startswith(f"bytes {have}-")
                    _write(response, path, response.status_code == 206 and goes_on, on_bytes)
            if there() < file.size:
                raise Broken(f"{there():,} of {file.size:,} bytes came")
            if (found := _sha256(path)) != file.sha256:
                path.unlink()
                raise Broken(f"expected sha256 {file.sha256}, found {found}")

        self._ask(f"the file {path.name}", once, there)

    def stream(
        self, request: Request, path: Path, check: Callable[[], Answer], on_bytes: OnBytes, ask: Callable[[], None],
        begun: Callable[[], None],
    ) -> Answer:  # fmt: skip
        """The records of a request to `path`, on the disk; what `check` says of them. It raises Broken if they are not whole.

        Every attempt begins anew and is charged for what it sends: `ask` is called before each and may refuse it by a VendorError,
        `begun` once the vendor sends.
        """
        url = f"{self._client.gateway}/v{API_VERSION}/timeseries.get_range"
        form = {
            **request.terms, "symbols": ",".join(request.symbols), "stype_out": "instrument_id", "encoding": "dbn",
            "compression": "zstd",
        }  # fmt: skip

        def once() -> Answer:
            ask()
            with self._open("POST", url, data=form) as response:
                begun()
                _write(response, path, False, on_bytes)
            return check()

        return self._ask(f"a stream of {request.schema}", once)

    def _open(self, method: str, url: str, **how: Any) -> requests.Response:
        """An answer whose body is still to come."""
        wait = self._rules.timeout_seconds
        headers = {"User-Agent": USER_AGENT, "Accept-Encoding": "identity", **how.pop("headers", {})}
        response = requests.request(
            method, url, headers=headers, auth=HTTPBasicAuth(self._key, ""), timeout=(wait, wait), stream=True, **how
        )
        try:
            check_backend_warnings(response)
            check_http_error(response)
        except BaseException:
            response.close()
            raise
        return response

    def _ask(self, what: str, call: Callable[[], Answer], reached: Callable[[], int] = lambda: 0) -> Answer:
        """Call until there is an answer; VendorError if the vendor refuses, or after as many attempts in vain as are allowed.

        `reached`: how far the call has come; an attempt that came farther was not in vain.
        """
        vain, far = 0, reached()
        while True:
            wait = min(self._rules.retry_seconds * 2**vain, self._rules.retry_seconds_max)
            try:
                with warnings.catch_warnings(record=True) as heard:
                    warnings.simplefilter("always")
                    try:
                        return call()
                    finally:
                        said = (str(one.message) for one in heard if issubclass(one.category, BentoWarning))
                        self._heard |= dict.fromkeys(map(self._safe, said))
            except BentoHttpError as error:
                if error.http_status < 500 and error.http_status not in AGAIN:
                    raise self._refused(what, error) from None
                wait, reason = max(wait, _retry_after(error.headers)), str(error)
            except (BentoError, Broken, requests.RequestException) as error:
                reason = str(error)
            if reached() > far:
                vain, far = 0, reached()
            if vain >= self._rules.retries:
                raise VendorError(f"{what}: gave up after {vain + 1} attempts: {self._safe(reason)}") from None
            vain += 1
            LOG.warning("%s: no answer (%s); again in %.0f s", what, self._safe(reason), wait)
            time.sleep(wait)

    def _refused(self, what: str, error: BentoHttpError) -> VendorError:
        told = " ".join(self._safe(str(error)).split())
        if error.http_status in KEY_REFUSED:
            return VendorError(f"Databento refused the key ({KEY} or {KEY_FILE}): {told}", final=True)
        if error.http_status == OWED:
            return VendorError(f"Databento asks for payment first: {told}", final=True)
        return VendorError(f"{what}: Databento refused: {told}")

    def _safe(self, text: str) -> str:
        return text.replace(self._key, "<key>")


def _write(response: requests.Response, path: Path, append: bool, on_bytes: OnBytes) -> None:
    """A body to a file, and both on the disk; what came of a body that breaks off stays."""
    with path.open("ab" if append else "wb") as file:
        try:
            for block in response.iter_content(BLOCK):
                file.write(block)
                on_bytes(file.tell())
        finally:
            file.flush()
            os.fsync(file.fileno())


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _ns(text: str) -> int:
    """ns UTC of an ISO 8601 time; one without a zone is UTC."""
    moment = dt.datetime.fromisoformat(text)
    return to_ns(moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC))


def _same_house(host: str, gateway: str) -> bool:
    """Whether a host may be shown the key: the gateway's own, or another of the vendor's where the gateway is the vendor's."""
    return host == gateway or (host.endswith(HOUSE) and gateway.endswith(HOUSE))


def _is_of(job: Mapping[str, Any], request: Request) -> bool:
    """Whether a listed job gives one DBN file of exactly this request."""
    symbols: str | Sequence[str] = job.get("symbols") or ()
    listed = symbols.split(",") if isinstance(symbols, str) else symbols
    return (
        (job.get("dataset"), job.get("schema"), job.get("stype_in")) == (request.dataset, request.schema, request.stype)
        and (_ns(job["start"]), _ns(job["end"])) == (request.start, request.end)
        and {*listed} == {*request.symbols}
        and (job.get("encoding"), job.get("compression"), job.get("split_duration")) == ("dbn", "zstd", "none")
        and not (job.get("limit") or job.get("split_symbols"))
    )


def _retry_after(headers: Mapping[str, Any]) -> float:
    """Seconds that a busy server asks to wait, told as a number or as a date; 0 if it does not say."""
    said = str(headers.get("Retry-After", "")).strip()
    if said.isdecimal():
        return float(said)
    try:
        until = email.utils.parsedate_to_datetime(said)
    except ValueError:
        return 0.0
    return max(0.0, (until if until.tzinfo else until.replace(tzinfo=dt.UTC)).timestamp() - time.time())
