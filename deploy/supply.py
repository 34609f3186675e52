"""What Spymaster is installed from: `python -m deploy.supply lock | licences`, in an environment with every extra.

`lock` writes lock.txt, what runs, lock-build.txt, what it is built with, and lock-dev.txt, the rest: every pin of constraints.txt
with the sha256 of each file that pip would take for it here, both where this machine looks and where pip does by itself.
`licences` writes docs/licences.md from the installed packages' own words.
"""

import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
import tomllib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import PackageMetadata, distribution
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT: Final = Path(__file__).parents[1]
RUN: Final = ("live", "deploy", "s3")  # extras of what runs
SOURCE: Final = "nkeys"  # has no wheel
BUILD: Final = {"setuptools"}
PAGE: Final = ROOT / "docs" / "licences.md"
HEAD: Final = "# Made by `python -m deploy.supply lock`: CPython 3.11 on Linux, x86-64.\n"


def pins() -> dict[str, str]:
    """Package -> version, as constraints.txt has them."""
    lines = (ROOT / "constraints.txt").read_text().split()
    return {canonicalize_name(name): version for name, _, version in (line.partition("==") for line in lines)}


def requirements(*extras: str) -> list[Requirement]:
    """What pyproject.toml asks for, and what it is built with."""
    about = tomllib.loads((ROOT / "pyproject.toml").read_text())
    project = about["project"]
    wanted = [*about["build-system"]["requires"], *project["dependencies"]]
    return [
        Requirement(line) for line in (*wanted, *(line for extra in extras for line in project["optional-dependencies"][extra]))
    ]


def needed(wanted: Iterable[Requirement]) -> set[str]:
    """The packages that requirements come to here, by what the installed ones say they need."""
    found: set[str] = set()
    asked: set[tuple[str, str]] = set()
    waiting = [(one, extra) for one in wanted for extra in ("", *one.extras)]
    while waiting:
        requirement, extra = waiting.pop()
        name = canonicalize_name(requirement.name)
        if (name, extra) in asked:
            continue
        asked.add((name, extra))
        found.add(name)
        for line in distribution(name).requires or ():
            further = Requirement(line)
            if further.marker is None or further.marker.evaluate({"extra": extra}):
                waiting += [(further, each) for each in ("", *further.extras)]
    return found


# ---- the lock ----


def _files(plainly: bool) -> Iterator[tuple[str, str]]:
    """(package, sha256) of the files that pip would take. `plainly`: without this machine's settings of where to look."""
    lines = [f"{name}=={version}" for name, version in pins().items()]
    environment = {name: value for name, value in os.environ.items() if not plainly or name != "PIP_FIND_LINKS"}
    if plainly:
        environment["PIP_CONFIG_FILE"] = os.devnull
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        told = ["-qq", "--dry-run", "--ignore-installed", "--no-deps", "--only-binary", ":all:", "--no-binary", SOURCE]
        told += ["--report", str(report)]
        done = subprocess.run([sys.executable, "-m", "pip", "install", *told, *lines], env=environment, check=False)
        if done.returncode:
            raise SystemExit("pip does not find everything")
        for one in json.loads(report.read_text())["install"]:
            where = one["download_info"]
            sha256 = where.get("archive_info", {}).get("hashes", {}).get("sha256")
            if sha256 is None:  # a file on this machine
                sha256 = hashlib.sha256(Path(unquote(urlsplit(where["url"]).path)).read_bytes()).hexdigest()
            yield canonicalize_name(one["metadata"]["name"]), sha256


def locked() -> dict[str, set[str]]:
    """Package -> sha256 of its files."""
    found: dict[str, set[str]] = defaultdict(set)
    for plainly in (False, True):
        for name, sha256 in _files(plainly):
            found[name].add(sha256)
    return found


def _lines(names: Iterable[str], hashes: Mapping[str, set[str]]) -> str:
    entries = ((f"{name}=={pins()[name]}", *(f"--hash=sha256:{each}" for each in sorted(hashes[name]))) for name in sorted(names))
    return HEAD + "".join(" \\\n    ".join(entry) + "\n" for entry in entries)


def lock() -> None:
    """Write the lock files."""
    run, hashes = needed(requirements(*RUN)) - BUILD, locked()
    for name, packages in (("lock", run), ("lock-build", BUILD), ("lock-dev", {*pins()} - run - BUILD)):
        (ROOT / f"{name}.txt").write_text(_lines(packages, hashes))


def read_lock(name: str) -> dict[str, tuple[str, set[str]]]:
    """Package -> (version, sha256 of its files) of a lock file."""
    entries = re.findall(r"^(\S+)==(\S+)((?: \\\n    --hash=sha256:[0-9a-f]{64})+)$", (ROOT / name).read_text(), re.M)
    return {package: (version, {*re.findall("[0-9a-f]{64}", hashes)}) for package, version, hashes in entries}


# ---- licences ----

WORDS: Final = {  # what packages say, in SPDX's words
    "Apache 2.0": "Apache-2.0", "Apache 2 License": "Apache-2.0", "Apache License Version 2.0": "Apache-2.0",
    "Apache Software License": "Apache-2.0", "MIT License": "MIT", "MIT license": "MIT", "BSD License": "BSD-3-Clause",
    "BSD": "BSD-3-Clause", "BSD 3-Clause License": "BSD-3-Clause", "3-Clause BSD License": "BSD-3-Clause",
    "BSD 2-Clause License": "BSD-2-Clause", "Python Software Foundation License": "PSF-2.0",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0", "GNU Library or Lesser General Public License (LGPL)": "LGPL-3.0-or-later",
}  # fmt: skip
ALLOWED: Final = {  # permissive, or copyleft that ends at the package's own files
    "0BSD", "Apache-2.0", "Apache-2.0 WITH LLVM-exception", "BSD-2-Clause", "BSD-3-Clause", "BSL-1.0", "CC0-1.0",
    "LGPL-3.0-or-later", "MIT", "MIT-0", "MIT-CMU", "MPL-2.0", "PSF-2.0", "Zlib",
}  # fmt: skip


def licence(about: PackageMetadata) -> str:
    """A package's licence as SPDX has it: its expression, else its classifiers, else the line it has for it."""
    if said := about.get("License-Expression"):
        return str(said)
    told = [line.rpartition(" :: ")[2] for line in about.get_all("Classifier") or () if line.startswith("License :: ")]
    told = told or [str(about.get("License") or "nothing said").split("\n")[0]]
    return " OR ".join(dict.fromkeys(WORDS.get(word, word) for word in told))


def refused(said: str) -> list[str]:
    """The parts of an expression that are not allowed; of alternatives one will do."""
    bad = []
    for part in re.split(r"\s+AND\s+(?![^(]*\))", said):
        choices = re.split(r"\s+OR\s+", part.strip("() "))
        if not any(choice in ALLOWED for choice in choices):
            bad.append(part)
    return bad


def licences() -> dict[str, tuple[str, str]]:
    """Package -> (version, licence) of everything that runs, the page's included."""
    found = {}
    for name in sorted(needed(requirements(*RUN))):
        about = distribution(name).metadata
        found[name] = (pins().get(name, about["Version"]), licence(about))
    listed = json.loads((ROOT / "deploy" / "page" / "package-lock.json").read_text())["packages"]
    page = {path.removeprefix("node_modules/"): (one["version"], one["license"]) for path, one in listed.items() if path}
    return found | {f"{name} (npm)": one for name, one in page.items()}


def markdown() -> str:
    """The page of licences."""
    rows = "".join(f"| {name} | {version} | {said} |\n" for name, (version, said) in licences().items())
    return f"""# Licences

Generated by `python -m deploy.supply licences` from what the packages say of themselves. A package whose licence is not on the list
in `deploy/supply.py` fails a test.

Spymaster itself has no licence yet: nobody but its owner may copy it. To choose one is up to the owner.

None of these packages is copied into this repository. `make page` puts lightweight-charts beside its licence
(`spymaster_live/page/vendor/`), and the page names TradingView, as its notice asks. psycopg2 (LGPL) is loaded as it comes, by
Dagster's storage alone.

| what runs | version | licence |
|---|---|---|
{rows}"""


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["lock"]:
            lock()
        case ["licences"]:
            PAGE.write_text(markdown())
        case _:
            raise SystemExit(__doc__)
