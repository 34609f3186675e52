"""What Spymaster is installed from: everything is pinned and hashed, and every licence is one that is allowed."""

import json
import re
from email.message import Message
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name

from deploy import supply

ROOT = Path(__file__).parents[1]
LOCKS = ("lock.txt", "lock-build.txt", "lock-dev.txt")


def test_locks_hold_every_pin_once_with_hashes() -> None:
    locks = [supply.read_lock(name) for name in LOCKS]
    assert {name: version for lock in locks for name, (version, _) in lock.items()} == supply.pins()
    assert sum(map(len, locks)) == len(supply.pins())
    for name in LOCKS:  # nothing that read_lock would pass over
        lines = (ROOT / name).read_text().splitlines()
        assert all(re.match(r"# |\S+==\S+ \\$|    --hash=sha256:[0-9a-f]{64}( \\)?$", line) for line in lines)


def test_what_runs_comes_to_what_the_lock_holds() -> None:
    held = {*supply.read_lock("lock.txt"), *supply.read_lock("lock-build.txt")}
    assert held == supply.needed(supply.requirements(*supply.RUN))
    extras = ("live", "deploy", "dev", "fuzz")
    assert {canonicalize_name(one.name) for one in supply.requirements(*extras)} <= {*supply.pins()}


def test_pins_are_what_pyproject_allows() -> None:
    wrong = [
        one
        for one in supply.requirements("live", "deploy", "dev", "fuzz")
        if supply.pins()[canonicalize_name(one.name)] not in one.specifier
    ]
    assert wrong == []


def test_the_image_installs_by_hash() -> None:
    text = " ".join((ROOT / "deploy" / "Dockerfile").read_text().split())
    assert "pip install" in text and text.count("pip install") == text.count("--require-hashes -r") + text.count(
        "--no-deps --no-build-isolation -e ."
    )


def test_the_pages_packages_are_hashed() -> None:
    listed = json.loads((ROOT / "deploy" / "page" / "package-lock.json").read_text())["packages"]
    wanted = json.loads((ROOT / "deploy" / "page" / "package.json").read_text())["dependencies"]
    for name, version in wanted.items():
        assert listed[f"node_modules/{name}"]["version"] == version
    packages = {path: one for path, one in listed.items() if path}
    assert packages and all(re.fullmatch(r"sha512-[A-Za-z0-9+/]{86}==", one["integrity"]) for one in packages.values())
    assert "npm ci" in (ROOT / "Makefile").read_text()


def test_every_licence_is_allowed_and_listed() -> None:
    assert {name: said for name, (_, said) in supply.licences().items() if supply.refused(said)} == {}
    assert supply.PAGE.read_text() == supply.markdown(), "run `python -m deploy.supply licences`"


@pytest.mark.parametrize(
    ("headers", "said", "bad"),
    [
        ({"License-Expression": "MIT AND (Apache-2.0 OR GPL-3.0-only)"}, "MIT AND (Apache-2.0 OR GPL-3.0-only)", []),
        ({"License-Expression": "MIT AND GPL-3.0-only"}, "MIT AND GPL-3.0-only", ["GPL-3.0-only"]),
        ({"Classifier": "License :: OSI Approved :: BSD License", "License": "whatever\nit says"}, "BSD-3-Clause", []),
        ({"Classifier": "License :: OSI Approved :: GNU General Public License v3"}, "GNU General Public License v3", None),
        ({"License": "Apache 2.0"}, "Apache-2.0", []),
        ({"License": "Commercial"}, "Commercial", ["Commercial"]),
        ({}, "nothing said", ["nothing said"]),
    ],
)  # fmt: skip
def test_a_licence_that_is_not_allowed_is_seen(headers: dict[str, str], said: str, bad: list[str] | None) -> None:
    about = Message()
    for name, value in headers.items():
        about[name] = value
    assert supply.licence(about) == said
    assert supply.refused(said) == ([said] if bad is None else bad)


def test_the_pages_notice_is_shown() -> None:
    page = (ROOT / "spymaster_live" / "page" / "index.html").read_text()
    assert 'href="https://www.tradingview.com/"' in page and "Apache 2.0" in page
    assert "lightweight-charts.LICENSE" in (ROOT / "Makefile").read_text()
