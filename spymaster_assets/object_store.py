"""The lake's bytes on object storage that speaks S3.

    s3://BUCKET/PREFIX/<stage>/<table>/date=YYYY-MM-DD/manifest.json         replaced by a put that depends on the one before
                                                      /<key>-<random>.parquet    put before its manifest; no name is used twice
                                                      /checks.json
                      /claims/<work>                                         whose a piece of work is, renewed while it lasts
                      /landing/<content hash>/<name>, /landing_index.json    landing.py

There is no rename, no fsync and no lock, but a put appears whole or not at all, and may depend on what is there (If-Match,
If-None-Match). So a writer looks at the manifest, then at what else lies in the partition, puts its data under a name that nobody
ever had, and replaces the manifest only if it is still the one that it looked at; if not, it begins again under another name. Then
it removes what it had found lying there. None of that will ever be named: whoever put it had looked at a manifest that is gone now,
and its own put of a manifest will be refused. A manifest is never the same bytes twice, as the name within it never is. A put is
one request, so no part of an upload can stay behind. docs/decisions/0022-object-storage.md.

Files are read through copies on this machine, below `cache`: names are not used twice, so a copy is never out of date.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from email.utils import parsedate_to_datetime
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from spymaster_assets.config import Store as Settings
from spymaster_assets.store import ENDING, MANIFEST, Stat, files_below, sync

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.dataset as ds

LARGEST: Final = 5 << 30  # bytes of one put, as S3 allows
TOGETHER: Final = 16  # requests at once, where many small objects are read
YOUNG: Final = 3600.0  # seconds since a copy was last used within which it is not removed
RENEWALS: Final = 4  # of a claim, in the time after which it would be anybody's
LOST: Final = (404, 409, 412)  # what a conditional put is answered if the object is not as expected
PROBE: Final = ".conditional"
PROOFS: Final = 20  # looks for a mark that is still right: other processes try the same object out
MAKING: Final = ".making-"  # folders of files that are being written


class StoreError(OSError):
    """The object store refused, or cannot be reached; says what was asked of it."""


class Bucket:
    """Objects below `url`, s3://BUCKET/PREFIX; `cache`: the folder of copies. Region and credentials: AWS's own environment."""

    def __init__(self, url: str, cache: Path, settings: Settings) -> None:
        try:
            import boto3
            from botocore.config import Config
        except ImportError:
            raise StoreError(f"{url}: boto3 is not installed: pip install -c constraints.txt -e '.[s3]'") from None
        parts = urlsplit(url)
        self._bucket, self._prefix = parts.netloc, parts.path.strip("/")
        self._cache, self._settings = cache, settings
        self._brought = settings.cache_bytes  # bytes since room was last made; a process begins with that
        self._proven = False
        options = Config(
            retries={"mode": "standard", "max_attempts": 5}, max_pool_connections=TOGETHER, s3={"addressing_style": "path"}
        )
        with _told(url):
            self._session: Any = boto3.session.Session()
            self._client: Any = self._session.client("s3", endpoint_url=settings.endpoint or None, config=options)
        if "@" in urlsplit(self._client.meta.endpoint_url).netloc:  # every error would show it
            raise StoreError(f"{url}: no credentials belong in the endpoint's URL: AWS's own environment or files hold them")

    # ---- one object ----

    def where(self, key: str) -> PurePosixPath:
        return PurePosixPath(self._bucket, self._name(key))

    def _name(self, key: str) -> str:
        return f"{self._prefix}/{key}" if self._prefix else key

    def _ask(self, what: str, key: str, **more: Any) -> Any:
        """A request about an object. FileNotFoundError if there is none, StoreError for anything else."""
        with _told(self.where(key)):
            return getattr(self._client, what)(Bucket=self._bucket, Key=self._name(key), **more)

    def read(self, key: str) -> bytes:
        with _told(self.where(key)):
            content: bytes = self._ask("get_object", key)["Body"].read()
            return content

    def stat(self, key: str) -> Stat | None:
        try:
            found = self._ask("head_object", key)
        except FileNotFoundError:
            return None
        return Stat(found["ContentLength"], found["ETag"])

    def write(self, key: str, content: bytes) -> None:
        self._ask("put_object", key, Body=content)

    def put(self, key: str, path: Path) -> None:
        """A file as an object, in one request: it appears whole or not at all."""
        if (size := path.stat().st_size) > LARGEST:
            raise StoreError(f"{self.where(key)}: {size:,} bytes; one put takes {LARGEST:,} at most")
        with path.open("rb") as file:
            self._ask("put_object", key, Body=file)

    def _put_if(self, key: str, content: bytes, mark: str | None) -> str | None:
        """Write an object if it is still the one with `mark`, or still not there (None); its new mark, or None if it is not.

        `content` is like no other: an answer that was lost makes the client ask again, and be refused for what it did itself.
        """
        condition = {"IfMatch": mark} if mark else {"IfNoneMatch": "*"}
        try:
            written: str = self._ask("put_object", key, Body=content, **condition)["ETag"]
            return written
        except (StoreError, FileNotFoundError) as error:
            if _status(error) not in LOST:
                raise
        with contextlib.suppress(FileNotFoundError):
            found = self._ask("get_object", key)
            if found["Body"].read() == content:
                mine: str = found["ETag"]
                return mine
        return None

    def update(self, key: str, change: Callable[[bytes | None], bytes]) -> None:
        """Replace an object by what `change` makes of it (None: it is not there), whoever does so meanwhile."""
        self.prove()
        while True:
            try:
                found = self._ask("get_object", key)
                mark, content = found["ETag"], found["Body"].read()
            except FileNotFoundError:
                mark = content = None
            changed = change(content)
            if changed == content or self._put_if(key, changed, mark):
                return

    def _delete(self, key: str) -> None:
        self._ask("delete_object", key)

    def prove(self) -> None:
        """Once a process: that puts do depend on what is there. A server that takes no notice would mix writers up, and of one
        that never finds the right mark right a writer would ask for ever."""
        if self._proven:
            return
        self._put_if(PROBE, secrets.token_bytes(16), None)
        if self._put_if(PROBE, secrets.token_bytes(16), None) or self._put_if(PROBE, secrets.token_bytes(16), f'"{"0" * 32}"'):
            raise StoreError(f"{self.where('')}: this server takes no notice of If-Match and If-None-Match, without which writers "
                             "would overwrite one another")  # fmt: skip
        if not any(self._put_if(PROBE, secrets.token_bytes(16), self._mark(PROBE)) for _ in range(PROOFS)):
            raise StoreError(f"{self.where('')}: this server refuses If-Match with the mark (ETag) that it gave itself")
        self._proven = True

    def _mark(self, key: str) -> str:
        """The mark of an object that is there."""
        mark: str = self._ask("head_object", key)["ETag"]
        return mark

    # ---- many ----

    def _listed(self, folder: str, **more: Any) -> Iterator[tuple[str, int]]:
        """What lies below a folder: its name from there on, and bytes."""
        start = self._name(f"{folder}/")
        with _told(self.where(folder)):
            for page in self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=start, **more):
                for one in page.get("Contents", ()):
                    yield one["Key"].removeprefix(start), one["Size"]

    def names(self, folder: str) -> list[str]:
        return [name for name, _ in self._listed(folder, Delimiter="/")]

    def holders(self, folder: str, name: str) -> list[str]:
        found = (PurePosixPath(path) for path, _ in self._listed(folder))
        return [path.parent.name for path in found if path.name == name and len(path.parts) == 2]

    def size(self, folder: str) -> int:
        return sum(size for _, size in self._listed(folder))

    def dataset(self, folder: str, names: Sequence[str], schema: pa.Schema, files: Callable[[bytes], str]) -> ds.Dataset:
        """The partitions `names` right below `folder` as one table, read where they lie and only as far as is asked for.

        `files`: what a manifest says of its file. A partition's folder tells more columns, as in date=2025-06-02.
        """
        import pyarrow as pa
        import pyarrow.dataset as ds
        from pyarrow.fs import S3FileSystem

        found, at = self._session.get_credentials(), urlsplit(self._client.meta.endpoint_url)
        known = found.get_frozen_credentials() if found else None
        system = S3FileSystem(
            access_key=known and known.access_key, secret_key=known and known.secret_key, session_token=known and known.token,
            region=self._client.meta.region_name, scheme=at.scheme, endpoint_override=at.netloc,
        )  # fmt: skip
        with ThreadPoolExecutor(TOGETHER) as pool:
            manifests = pool.map(lambda name: self.read(f"{folder}/{name}/{MANIFEST}"), names)
            paths = [str(self.where(f"{folder}/{name}/{files(raw)}")) for name, raw in zip(names, manifests, strict=True)]
        parts = ds.partitioning(pa.schema([("date", pa.date32())]), flavor="hive")
        return ds.dataset(
            paths, pa.schema([*schema, ("date", pa.date32())]), filesystem=system, format="parquet", partitioning=parts
        )

    # ---- copies on this machine ----

    def file(self, key: str, fresh: bool = False) -> Path:
        copy = self._cache / key
        if fresh or not copy.exists():
            copy.parent.mkdir(parents=True, exist_ok=True)
            new = copy.with_name(f".{copy.name}.{secrets.token_hex(4)}.tmp")
            try:
                with _told(self.where(key)):
                    self._client.download_file(self._bucket, self._name(key), str(new))
                self._keep(new, key)
            finally:
                new.unlink(missing_ok=True)
        else:
            os.utime(copy)  # the copies unused for longest go first
        return copy

    def _keep(self, path: Path, key: str) -> None:
        """Make a file the copy of an object."""
        copy = self._cache / key
        copy.parent.mkdir(parents=True, exist_ok=True)
        sync(path)
        path.replace(copy)
        self._brought += copy.stat().st_size
        if self._brought > self._settings.cache_bytes // 16:
            self._brought = 0
            self._make_room()

    def _make_room(self) -> None:
        """Remove copies unused for longest where all take more than `cache_bytes`, and what killed processes left."""
        found = []
        for path in files_below(self._cache):
            with contextlib.suppress(FileNotFoundError):  # another process makes room, too
                found.append((path.stat().st_mtime, path.stat().st_size, path))
        total = sum(size for _, size, _ in found)
        for used, size, path in sorted(found):
            if time.time() - used < YOUNG:
                break
            if total > self._settings.cache_bytes or path.name.startswith("."):
                path.unlink(missing_ok=True)
                total -= size
            if path.parent.name.startswith(MAKING):
                with contextlib.suppress(OSError):
                    path.parent.rmdir()

    # ---- partitions ----

    @contextlib.contextmanager
    def alone(self, folder: str) -> Iterator[Path]:
        """A folder of this process's own; writers of one partition do not know of one another until they publish."""
        self._cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=MAKING, dir=self._cache) as place:
            yield Path(place)

    def publish(self, folder: str, made: Path, stem: str, manifest: Callable[[str], bytes]) -> str:
        self.prove()
        at = f"{folder}/{MANIFEST}"
        while True:
            before = self.stat(at)
            there = [name for name in self.names(folder) if name.endswith(ENDING)]
            name = f"{stem}-{secrets.token_hex(8)}{ENDING}"
            self.put(f"{folder}/{name}", made)
            if self._put_if(at, manifest(name), str(before.mark) if before else None):
                break
            self._delete(f"{folder}/{name}")
        self._keep(made, f"{folder}/{name}")
        for old in there:
            self._delete(f"{folder}/{old}")
            (self._cache / folder / old).unlink(missing_ok=True)
        return name

    def sweep(self, folder: str, kept: Callable[[], Collection[str]]) -> None:
        """Nothing: nobody is alone here. Publishing sweeps, once the manifest is replaced."""

    # ---- claims ----

    @contextlib.contextmanager
    def claim(self, name: str) -> Iterator[bool]:
        """Renewed by a thread; not renewed for `claim_seconds`, by the server's clock, it is anybody's who asks."""
        self.prove()
        claim = _Claim(self, f"claims/{name}", self._settings.claim_seconds)
        if not claim.take():
            yield False
            return
        with claim.renewed():
            yield True


class _Claim:
    """An object that says whose a piece of work is. Each writing of it is like no other."""

    def __init__(self, store: Bucket, key: str, seconds: float) -> None:
        self._store, self._key, self._seconds = store, key, seconds
        self._name = f"{socket.gethostname()} {os.getpid()} {secrets.token_hex(8)}"
        self._count, self._mark = 0, ""

    def _write(self, mark: str | None) -> bool:
        self._count += 1
        written = self._store._put_if(self._key, f"{self._name} {self._count}\n".encode(), mark)
        self._mark = written or ""
        return bool(written)

    def take(self) -> bool:
        """Whether it is ours now: nobody had it, or whoever had it is gone."""
        if self._write(None):
            return True
        try:
            found = self._store._ask("head_object", self._key)
        except FileNotFoundError:
            return self._write(None)
        now = parsedate_to_datetime(found["ResponseMetadata"]["HTTPHeaders"]["date"])
        return (now - found["LastModified"]).total_seconds() > self._seconds and self._write(found["ETag"])

    @contextlib.contextmanager
    def renewed(self) -> Iterator[None]:
        """Ours until the end of this, then nobody's."""
        ended = threading.Event()

        def renew() -> None:
            while self._mark and not ended.wait(self._seconds / RENEWALS):
                with contextlib.suppress(OSError):  # asked again in a moment
                    self._write(self._mark)

        renewing = threading.Thread(target=renew, daemon=True)
        renewing.start()
        try:
            yield
        finally:
            ended.set()
            renewing.join()
            if self._mark:  # else another has taken it
                self._store._delete(self._key)


@contextlib.contextmanager
def _told(what: object) -> Iterator[None]:
    """The client's errors as ours, with what was asked about; never with a key."""
    from boto3.exceptions import Boto3Error
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except ClientError as error:
        status = _status_of(error.response)
        if status == 404 and error.response["Error"].get("Code") != "NoSuchBucket":
            raise FileNotFoundError(f"{what}: no such object") from error
        raise StoreError(f"{what}: {error}") from error
    except (BotoCoreError, Boto3Error) as error:
        raise StoreError(f"{what}: {error}") from error


def _status_of(response: Mapping[str, Any]) -> int:
    status: int = response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return status


def _status(error: BaseException) -> int:
    """The HTTP status behind one of our errors; 0 if there was no answer."""
    return _status_of(getattr(error.__cause__, "response", {}))
