"""What is released: `python -m deploy.release` fills dist/ with wheel, source distribution, pins and their sha256.

Both are built from a copy of the files that git knows and of what the page takes from npm, so that nothing else that lies about
gets in; the same commit gives the same bytes. How to: docs/release.md.
"""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
PACKAGES: Final = ("spymaster_assets/", "spymaster_live/")
VENDOR: Final = tuple(f"spymaster_live/page/vendor/lightweight-charts.{ending}" for ending in ("mjs", "LICENSE"))
BESIDE: Final = ("constraints.txt", "lock.txt", "lock-build.txt")  # what an installation is pinned by
HOOKS: Final = "import sys; from setuptools import build_meta as made; print(getattr(made, f'build_{sys.argv[1]}')(sys.argv[2]))"
SECRETS: Final = {
    "a private key": rb"-----BEGIN [A-Z ]*PRIVATE KEY-----\s+[A-Za-z0-9+/]{20}",
    "an nkey's seed": rb"\bS[UANOX][A-Z2-7]{56}\b",
    "a key of the vendor's": rb"\bdb-[A-Za-z0-9]{29}\b",
}
STRANGE: Final = re.compile(r"\.(dbn|zst|parquet|duckdb|nk|pem|key|token|password|pyc|db)$|(^|/)(tests?|data)/")


def _git(*words: str) -> str:
    return subprocess.run(["git", *words], cwd=ROOT, check=True, capture_output=True, text=True).stdout


def version() -> str:
    """Of this tree, as pyproject.toml says it."""
    return str(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"])


def sources() -> list[str]:
    """The files of the tree that git knows, and the page's library. FileNotFoundError if that is not there."""
    if lacking := [name for name in VENDOR if not (ROOT / name).exists()]:
        raise FileNotFoundError(f"{lacking[0]} is not there: make page")
    known = _git("ls-files", "-z").split("\0")
    return sorted({*VENDOR, *(name for name in known if name and (ROOT / name).exists())})


def build(folder: Path, kinds: tuple[str, ...] = ("wheel", "sdist"), tree: Path | None = None) -> list[Path]:
    """Build into `folder` what `kinds` says, from a copy of `sources`, or from another `tree`. Nothing is downloaded."""
    folder.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "SOURCE_DATE_EPOCH": _git("log", "-1", "--format=%ct").strip()}
    with tempfile.TemporaryDirectory() as copied:
        if tree:
            shutil.copytree(tree, copied, dirs_exist_ok=True)
        for name in () if tree else sources():
            target = Path(copied, name)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, target)
        made = []
        for kind in kinds:
            words = [sys.executable, "-c", HOOKS, kind, str(folder.absolute())]
            done = subprocess.run(words, cwd=copied, env=environment, capture_output=True, text=True, check=False)
            if done.returncode:
                raise RuntimeError(f"the {kind} could not be built:\n{done.stderr}")
            made.append(folder / done.stdout.splitlines()[-1])
    return made


def expected() -> set[str]:
    """What a wheel holds beside its own records: every file of the packages."""
    return {name for name in sources() if name.startswith(PACKAGES)}


def trouble(wheel: Path) -> list[str]:
    """What is wrong with the content of a wheel: what lacks, what does not belong there, what is secret."""
    records, wanted, found = f"spymaster-{version()}.dist-info/", expected(), []
    with zipfile.ZipFile(wheel) as packed:
        names = {name for name in packed.namelist() if not name.startswith(records)}
        found += [f"lacks {name}" for name in sorted(wanted - names)]
        found += [f"{name} does not belong there" for name in sorted(names - wanted | {*filter(STRANGE.search, names)})]
        for name in packed.namelist():
            content = packed.read(name)
            found += [f"{name} holds {what}" for what, sign in SECRETS.items() if re.search(sign, content)]
    return found


def main() -> None:
    """Fill dist/."""
    if changed := _git("status", "--porcelain"):
        raise SystemExit(f"a release is what a commit holds; these are not committed:\n{changed}")
    dist = ROOT / "dist"
    shutil.rmtree(dist, ignore_errors=True)
    wheel, source = build(dist)
    if wrong := trouble(wheel):
        raise SystemExit(f"{wheel.name}:\n" + "\n".join(wrong))
    beside = [Path(shutil.copy(ROOT / name, dist)) for name in BESIDE]
    sums = "".join(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in (wheel, source, *beside))
    (dist / "SHA256SUMS").write_text(sums)
    print(f"{sums}commit {_git('rev-parse', 'HEAD').strip()}, {len(expected())} files in the wheel")


if __name__ == "__main__":
    main()
