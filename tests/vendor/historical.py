"""A double of Databento's historical API: HTTPS on a socket of this machine, simulated dates as if they were the vendor's.

It answers what the client asks (metadata.*, timeseries.get_range, batch.*), charges as the vendor does (a stream when it is sent, a
batch job when it is ordered), and misbehaves as told. Written from Databento's documentation and client, not from our code.
"""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import json
import ssl
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np

from spymaster_assets import dbn

KEY = "db-0nlyT0BeFoundInTheEnvironment"
USD_PER_GB = 1000.0
DAY_NS = 86_400_000_000_000
DAY = dt.timedelta(days=1)
BLOCK = 4096


@dataclass(frozen=True)
class Fault:
    """What happens to one request instead of, or in the midst of, its answer."""

    status: int = 0  # an error of this status
    case: str = "some_case"
    headers: Mapping[str, str] = field(default_factory=dict)
    drop_at: int | None = None  # the connection ends after so many bytes of the body
    cut_at: int | None = None  # the body ends there, as if it were whole
    act: bool = False  # with a status: what was asked for happens all the same


@dataclass(frozen=True)
class Charge:
    """What was paid for: `stream` or `batch`, the request's form, and USD."""

    way: str
    schema: str
    symbols: str
    start: int
    end: int
    usd: float


@dataclass
class Job:
    name: str
    form: dict[str, str]
    state: str = "queued"
    asked: int = 0


@dataclass(frozen=True)
class File:
    """One simulated file: its records and what its instruments are."""

    kind: str  # FUT or OPT
    schema: str
    day: dt.date
    symbols: dict[int, str]
    records: np.ndarray


class Historical:
    """The double; `port` once it is up. Set its attributes to change what it does."""

    def __init__(self, source: Path) -> None:
        self.charges: list[Charge] = []
        self.jobs: dict[str, Job] = {}
        self.asked: list[str] = []  # methods, in order
        self.ranges: list[tuple[str, int, int]] = []  # of batch files: name, first byte, bytes sent
        self.faults: dict[str, list[Fault]] = defaultdict(list)  # method -> what happens to its next requests
        self.conditions: dict[str, str] = {}
        self.available_end = "2026-01-01T00:00:00.000000000Z"
        self.warnings: list[str] = []
        self.honours_ranges = True
        self.looks_until_done = 1  # questions after a job in which it is not done yet
        self.wrong_checksum = 0  # lists of files that tell a wrong one
        self.files_at = ""  # where lists say that files are; empty: here
        self.files_below = ""  # what stands before their names there
        self.seconds_per_block = 0.0
        self.port = 0
        self._source, self._lock = source, threading.Lock()
        self._bodies: dict[tuple[str, ...], bytes] = {}

    @property
    def gateway(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    @contextmanager
    def serving(self, certificates: Path) -> Iterator[Historical]:
        """Serve, with gateway.pem and gateway.key of a folder that spymaster_live.keys made."""
        server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        server.daemon_threads = True
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificates / "gateway.pem", certificates / "gateway.key")
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        self.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield self
        finally:
            server.shutdown()
            thread.join()
            server.server_close()

    # Its data

    @cached_property
    def _files(self) -> list[File]:
        found = []
        for path in sorted(self._source.glob("*/*.dbn.zst")):  # futures before options
            header = dbn.read_header(path)
            assert header.schema is not None
            chunks = [chunk.copy() for chunk in dbn.read(path, header.schema)]
            records = np.concatenate(chunks) if chunks else np.zeros(0, dbn.SCHEMAS[header.schema].dtype)
            day = dt.datetime.strptime(path.name.split("-")[2][:8], "%Y%m%d").date()
            kind = "FUT" if path.parent.name == "futures" else "OPT"
            found.append(File(kind, header.schema, day, header.symbols_on(day), records))
        return found

    @cached_property
    def _parents(self) -> dict[tuple[dt.date, int], str]:
        """(UTC day, instrument) -> parent symbol, from the definitions."""
        found = {}
        for file in self._files:
            if file.schema == "definition":
                for number, asset in zip(file.records["instrument_id"].tolist(), file.records["asset"].tolist(), strict=True):
                    found[file.day, number] = f"{asset.decode()}.{file.kind}"
        return found

    def select(self, form: Mapping[str, str]) -> tuple[np.ndarray, dict[str, list[dbn.Interval]]]:
        """The records of a request in order of receipt, and which numbers its symbols have."""
        start, end, asked = int(form["start"]), int(form["end"]), set(form["symbols"].split(","))
        days = range(start // DAY_NS, (end - 1) // DAY_NS + 1)
        parts: list[np.ndarray] = []
        due: list[np.ndarray] = []  # receive times made rising: a file's own order stays
        mappings: dict[str, list[dbn.Interval]] = {}
        for file in self._files:
            if file.schema != form["schema"] or (file.day - dt.date(1970, 1, 1)).days not in days:
                continue
            if form["stype_in"] == "parent":
                numbers = [number for number in file.symbols if self._parents[file.day, number] in asked]
            else:
                numbers = [number for number, symbol in file.symbols.items() if symbol in asked]
            for number in numbers:
                mappings.setdefault(file.symbols[number], []).append(dbn.Interval(file.day, file.day + DAY, number))
            received = file.records["ts_recv"].view("i8")
            kept = np.isin(file.records["instrument_id"], numbers) & (received >= start) & (received < end)
            parts.append(file.records[kept])
            due.append(np.maximum.accumulate(received[kept]) if kept.any() else received[:0])
        if not parts:
            return np.zeros(0, dbn.SCHEMAS[form["schema"]].dtype), mappings
        return np.concatenate(parts)[np.argsort(np.concatenate(due), kind="stable")], mappings

    def body(self, form: Mapping[str, str]) -> bytes:
        """The DBN file of a request, zstd."""
        key = tuple(form[name] for name in ("schema", "symbols", "stype_in", "start", "end"))
        with self._lock:
            if key not in self._bodies:
                records, mappings = self.select(form)
                with tempfile.NamedTemporaryFile() as file:
                    with dbn.Writer(
                        Path(file.name), form["schema"], dataset=form["dataset"], start=int(form["start"]), end=int(form["end"]),
                        symbols=form["symbols"].split(","), mappings=mappings, stype_in=form["stype_in"],
                    ) as writer:  # fmt: skip
                        writer.write(records)
                    self._bodies[key] = Path(file.name).read_bytes()
            return self._bodies[key]

    # Its books

    def size_of(self, form: Mapping[str, str]) -> int:
        records, _ = self.select(form)
        return int(records.nbytes)

    def charge(self, way: str, form: Mapping[str, str]) -> None:
        usd = self.size_of(form) / 1e9 * USD_PER_GB
        self.charges.append(Charge(way, form["schema"], form["symbols"], int(form["start"]), int(form["end"]), usd))

    def listed(self, job: Job) -> dict[str, Any]:
        """A job as batch.list_jobs tells it."""
        form = job.form
        times = {name: _iso(int(form[name])) for name in ("start", "end")}
        return {
            "id": job.name, "user_id": "USER", "cost_usd": self.size_of(form) / 1e9 * USD_PER_GB, "dataset": form["dataset"],
            "symbols": form["symbols"], "stype_in": form["stype_in"], "stype_out": form["stype_out"], "schema": form["schema"],
            **times, "limit": None, "encoding": form["encoding"], "compression": form["compression"], "pretty_px": False,
            "pretty_ts": False, "map_symbols": False, "split_symbols": form["split_symbols"] == "True",
            "split_duration": form["split_duration"], "split_size": None, "delivery": "download", "state": job.state,
            "ts_received": "2026-01-01 00:00:00.000000+00:00",
        }  # fmt: skip

    def files_of(self, job: Job) -> list[dict[str, Any]]:
        """The files of a job as batch.list_files tells them."""
        name, content = f"glbx-mdp3-{job.form['start']}.{job.form['schema']}.dbn.zst", self.body(job.form)
        told = hashlib.sha256(content).hexdigest()
        if self.wrong_checksum:
            self.wrong_checksum -= 1
            told = "0" * 64
        other = b"{}"
        return [
            {
                "filename": f"{self.files_below}{each}", "size": len(what), "hash": f"sha256:{digest}",
                "urls": {"https": f"{self.files_at or self.gateway}/v0/batch/download/USER/{job.name}/{each}", "ftp": "ftp://nowhere"},
            }
            for each, what, digest in (("metadata.json", other, hashlib.sha256(other).hexdigest()), (name, content, told))
        ]  # fmt: skip


def _iso(ns: int) -> str:
    return dt.datetime.fromtimestamp(ns // 10**9, dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.000000000Z")


def _handler(double: Historical) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            self._answer(parts.path, {name: values[0] for name, values in parse_qs(parts.query).items()})

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            self._answer(urlsplit(self.path).path, {name: values[0] for name, values in parse_qs(body).items()})

        def _answer(self, path: str, form: dict[str, str]) -> None:
            self.close_connection = True
            method = "download" if path.startswith("/v0/batch/download/") else path.removeprefix("/v0/")
            double.asked.append(method)
            expected = base64.b64encode(f"{KEY}:".encode()).decode()
            if self.headers.get("Authorization") != f"Basic {expected}":
                return self._error(401, "auth_authentication_failed", {})
            fault = double.faults[method].pop(0) if double.faults[method] else Fault()
            if fault.status and not fault.act:
                return self._error(fault.status, fault.case, fault.headers)
            if method == "download":
                return self._file(path.split("/")[-2], fault)
            if int(form.get("end") or 0) > _until(double.available_end):
                return self._error(422, "data_end_after_available_end", {})
            if method == "timeseries.get_range":
                assert (form["encoding"], form["compression"], form["stype_out"]) == ("dbn", "zstd", "instrument_id")
                double.charge("stream", form)
                return self._body(200, double.body(form), fault, {})
            answer = self._json_of(method, form)
            if fault.status:
                return self._error(fault.status, fault.case, fault.headers)
            self._body(200, json.dumps(answer).encode(), fault, {"Content-Type": "application/json"})

        def _json_of(self, method: str, form: dict[str, str]) -> Any:
            if method == "metadata.get_cost":
                return double.size_of(form) / 1e9 * USD_PER_GB
            if method == "metadata.get_billable_size":
                return double.size_of(form)
            if method == "metadata.get_record_count":
                return len(double.select(form)[0])
            if method == "metadata.get_dataset_range":
                return {"start": "2010-06-06T00:00:00.000000000Z", "end": double.available_end}
            if method == "metadata.get_dataset_condition":
                first, last = (dt.date.fromisoformat(form[name]) for name in ("start_date", "end_date"))
                days = [str(first + DAY * n) for n in range((last - first).days + 1)]
                return [
                    {"date": day, "condition": double.conditions.get(day, "available"), "last_modified_date": day} for day in days
                ]
            if method == "batch.submit_job":
                job = Job(f"GLBX-20260101-{len(double.jobs):010d}", form)
                double.jobs[job.name] = job
                double.charge("batch", form)
                return double.listed(job)
            if method == "batch.list_jobs":
                for job in double.jobs.values():
                    job.asked += 1
                    if job.state in ("queued", "processing"):
                        job.state = "done" if job.asked > double.looks_until_done else "processing"
                return [double.listed(job) for job in double.jobs.values() if job.state in form["states"].split(",")]
            assert method == "batch.list_files", method
            return double.files_of(double.jobs[form["job_id"]])

        def _file(self, job: str, fault: Fault) -> None:
            content, first, status, headers = double.body(double.jobs[job].form), 0, 200, {}
            asked = self.headers.get("Range")
            if asked and double.honours_ranges:
                first, status = int(asked.removeprefix("bytes=").split("-")[0]), 206
                headers = {"Content-Range": f"bytes {first}-{len(content) - 1}/{len(content)}"}
            sent = self._body(status, content[first:], fault, headers)
            double.ranges.append((job, first, sent))

        def _body(self, status: int, content: bytes, fault: Fault, headers: dict[str, str]) -> int:
            """Send a body in chunks; how much of it."""
            self.send_response(status)
            if double.warnings:
                self.send_header("X-Warning", json.dumps(double.warnings))
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Transfer-Encoding", "chunked")
            self.send_header("Connection", "close")
            self.end_headers()
            if fault.cut_at is not None:
                content = content[: fault.cut_at]
            until = len(content) if fault.drop_at is None else min(fault.drop_at, len(content))
            sent = 0
            try:
                while sent < until:
                    block = content[sent : min(sent + BLOCK, until)]
                    self.wfile.write(b"%x\r\n%s\r\n" % (len(block), block))
                    sent += len(block)
                    if double.seconds_per_block:
                        time.sleep(double.seconds_per_block)
                if fault.drop_at is None:
                    self.wfile.write(b"0\r\n\r\n")
            except OSError:  # the client is gone
                pass
            return sent

        def _error(self, status: int, case: str, headers: Mapping[str, str]) -> None:
            detail = {"case": case, "message": f"The vendor says {case}.", "status_code": status, "docs": "https://example.com"}
            content = json.dumps({"detail": detail}).encode()
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(content)

    return Handler


def _until(text: str) -> int:
    return int(dt.datetime.fromisoformat(text).timestamp()) * 10**9
