"""What a bucket is refused for before anything is written: conditions that never hold, credentials where they would be shown."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from spymaster_assets.cli import main
from spymaster_assets.config import Store, data_url
from spymaster_assets.lake import Lake
from spymaster_assets.object_store import Bucket, StoreError
from tests.build import DATE
from tests.kinds import ALL_KINDS, OLD, publish
from tests.s3_server import BUCKET, S3Server, reached, serving
from tests.test_object_store import SMALL

HIDDEN = "a-password-that-nobody-may-see"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with serving(tmp_path_factory.mktemp("server")) as found, reached(found):
        yield found


@pytest.mark.usefixtures("server")
def test_a_server_whose_marks_never_fit_is_refused_rather_than_asked_for_ever(tmp_path: Path) -> None:
    """As one behind a proxy that changes ETags: whoever waits for the right mark puts its data again and again."""
    lake, puts = Lake(tmp_path, SMALL, f"s3://{BUCKET}/never"), []

    def another(request: Any, **_: Any) -> None:
        puts.append(request.url)
        assert len(puts) < 50, "it goes on for ever"
        if "If-Match" in request.headers:
            del request.headers["If-Match"]
            request.headers["If-Match"] = '"ffffffffffffffffffffffffffffffff"'

    assert isinstance(lake.store, Bucket)
    lake.store._client.meta.events.register("before-sign.s3.PutObject", another)
    with pytest.raises(StoreError, match="If-Match"):
        for _ in range(2):
            publish(lake, OLD)
    assert lake.dates(ALL_KINDS) == [] and DATE


@pytest.mark.parametrize("named", [f"s3://me:{HIDDEN}@bucket/lake", f"s3://{HIDDEN}@bucket"])
def test_a_name_with_credentials_is_refused_and_not_shown(monkeypatch: pytest.MonkeyPatch, named: str) -> None:
    monkeypatch.setenv("SPYMASTER_DATA", named)
    with pytest.raises(ValueError, match="no credentials") as told:
        data_url()
    said = CliRunner().invoke(main, ["--data", named, "status"])
    assert said.exit_code == 1 and "no credentials" in said.output
    assert HIDDEN not in said.output + str(told.value)


def test_an_endpoint_with_credentials_is_refused_and_not_shown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    endpoint = f"http://me:{HIDDEN}@127.0.0.1:9"
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    with pytest.raises(StoreError, match="no credentials") as told:
        Lake(tmp_path, SMALL, f"s3://{BUCKET}/one").manifest(ALL_KINDS, DATE)
    chain, error = "", told.value  # Dagster keeps all of it
    while error is not None:
        chain, error = chain + str(error), error.__cause__ or error.__context__  # type: ignore[assignment]
    assert HIDDEN not in chain
    settings = tmp_path / "settings.toml"
    settings.write_text(f"[store]\nendpoint = {json.dumps(endpoint)}\n")
    monkeypatch.setenv("SPYMASTER_CONFIG", str(settings))
    said = CliRunner().invoke(main, ["--data", f"s3://{BUCKET}/two", "status"])
    assert said.exit_code == 1 and HIDDEN not in said.output
    assert Store(endpoint="http://127.0.0.1:9").endpoint
