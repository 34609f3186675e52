"""docs/operate.md knows every alarm that there is, and where it is pointed to it has the place."""

import re
from pathlib import Path

import pytest
import yaml

from spymaster_assets.assets.checks import EVERY_CHECK
from spymaster_assets.assets.download import CHECKS as DOWNLOADED
from spymaster_assets.definitions import defs
from spymaster_assets.models_quality import MODEL_CHECKS
from spymaster_live.doctor import COUNTED

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "operate.md").read_text()
PLACES = {re.sub(r"[^\w\- ]", "", head.lower()).strip().replace(" ", "-") for head in re.findall(r"^#+ (.+)$", PAGE, re.M)}
PLACES.add("on-object-storage")  # the section of a lake on object storage


def named(text: str) -> set[str]:
    return {word for words in re.findall(r"`([^`\n]+)`", text) for word in words.split(": ")}


def section(head: str) -> str:
    return PAGE.partition(f"\n### {head}\n")[2].partition("\n#")[0]


def test_every_check_is_named_with_what_to_do() -> None:
    known = {check.name for check in (*EVERY_CHECK, *MODEL_CHECKS)} | {*DOWNLOADED}
    known |= {key.name for checks in defs.asset_checks or () for key in checks.check_keys}
    rows = re.findall(r"^\| (`.*?) \| ", section("Checks in Dagster"), re.M)
    assert known == {name for row in rows for name in named(row)}


def test_every_alert_is_named_with_what_to_do() -> None:
    rules = yaml.safe_load((ROOT / "deploy" / "alerts.yml").read_text())["groups"]
    known = {rule["alert"] for group in rules for rule in group["rules"]}
    assert known <= named(section("Metrics and alerts"))


def test_what_an_engine_counts_is_named_with_what_to_do() -> None:
    assert {*COUNTED, "behind", "market_full", "partial", "model_trouble", "late"} <= named(section("levels.status, health"))


@pytest.mark.parametrize("path", ["docs", "README.md", "spymaster_assets", "spymaster_live", "deploy", "docker-compose.yml"])
def test_places_that_are_pointed_to_are_there(path: str) -> None:
    found = ROOT / path
    files = (
        [one for one in found.rglob("*") if one.suffix in (".md", ".py", ".yaml", ".yml", ".conf")] if found.is_dir() else [found]
    )
    pointed = {place for one in files for place in re.findall(r"operate\.md#([\w-]+)", one.read_text())}
    pointed |= set(re.findall(r"\]\(#([\w-]+)\)", PAGE))
    assert pointed - PLACES == set()
