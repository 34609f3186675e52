"""What docs/ says of the tree is true: modules by name, one word per thing, decisions listed, links that lead somewhere."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

import pytest

from spymaster_assets.features import CHANNELS, FEATURES
from spymaster_assets.models.artifacts import GEOMETRY
from spymaster_assets.states import LEVEL_KINDS
from spymaster_assets.tables import TABLES
from spymaster_assets.tables.predictions import MEMBERS

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PACKAGES = ("spymaster_assets", "spymaster_live")
PAGES = sorted([*DOCS.rglob("*.md"), *ROOT.glob("*.md")])


def words_of(table_row: str) -> list[str]:
    """The first cell of a row of a Markdown table, in its words."""
    return [word.strip() for word in table_row.split("|")[1].split(",")]


def glossary() -> dict[str, tuple[str, list[str]]]:
    """Word -> its meaning, and the words that are not used for it."""
    found: dict[str, tuple[str, list[str]]] = {}
    for line in (DOCS / "glossary.md").read_text().splitlines():
        if not line.startswith("| ") or line.startswith("| word"):
            continue
        meaning = line.split("|")[2].strip()
        rivals = re.search(r"; not (\*[^*]+\*(?:, \*[^*]+\*)*)$", meaning)
        for word in words_of(line):
            assert word not in found, f"{word} stands there twice"
            found[word] = meaning, re.findall(r"\*([^*]+)\*", rivals[1]) if rivals else []
    return found


def identifiers() -> set[str]:
    """Words that names in our code are made of."""
    names: set[str] = set()
    for package in PACKAGES:
        for file in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text())):
                names |= {
                    name
                    for name in (getattr(node, "name", None), getattr(node, "id", None), getattr(node, "arg", None))
                    if isinstance(name, str)
                }
    return {part.lower() for name in names for part in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)}


def test_one_word_per_thing() -> None:
    """What the glossary rules out is the name of nothing, and is not a word of its own there."""
    known = glossary()
    rivals = {rival: word for word, (_, those) in known.items() for rival in those}
    assert len(rivals) > 10 and not rivals.keys() & known.keys()
    assert {rival: rivals[rival] for rival in rivals.keys() & identifiers()} == {}


def test_every_kind_of_thing_has_its_word() -> None:
    known = {part for word in glossary() for part in (word, word.removesuffix("s"), word.split(" (")[0])}
    families = {feature.family for feature in FEATURES}
    stages = {table.stage for table in TABLES.values()}
    services = {"feed", "engine", "writer", "gateway"}
    assert sorted({*families, *stages, *services, *MEMBERS, GEOMETRY} - known) == []


FAMILIES = {  # parts of a name in docs/physics.md that stand for several
    "i": r"\d", "w": r"\d+", "Ws": r"\d+s", "Wmin": r"\d+min", "jstrike": r"\d+strike", "h": "(2|4|8)min",
    "KIND": f"({'|'.join(LEVEL_KINDS).lower()})",
}  # fmt: skip


def names_in(section: str) -> re.Pattern[str]:
    """The names of columns that stand in backticks, those that stand for several as patterns."""
    words = set(re.findall(r"[A-Za-z]\w*", " ".join(re.findall(r"`([^`\n]+)`", section))))
    return re.compile("|".join("_".join(FAMILIES.get(part, part) for part in word.split("_")) for word in sorted(words)))


def test_every_number_has_its_formula() -> None:
    """Features, channels and kinds of level stand in docs/physics.md; `approach_` stands before a name as the page says."""
    before, gold = (DOCS / "physics.md").read_text().split("## 8. Gold")
    features, channels = names_in(before), names_in(gold)
    known = {one.name for one in FEATURES if features.fullmatch(one.name) or features.fullmatch(one.name.removeprefix("approach_"))}
    assert [one.name for one in FEATURES if one.name not in known] == []
    assert [one.name for one in CHANNELS if not channels.fullmatch(one.name)] == []
    rows = [row for row in before.split("## 2. Bars")[1].split("## 3. Touches")[0].splitlines() if row.startswith("| ")]
    assert sorted(set(LEVEL_KINDS) - {word for row in rows for word in words_of(row)}) == []
    assert not features.fullmatch("nothing_of_it") and not features.fullmatch("exposure_5s")


@pytest.mark.parametrize("package", PACKAGES)
def test_the_architecture_names_every_module(package: str) -> None:
    """Those beside one another in a package, of compute and models, of the gateway and the page."""
    named = set(re.findall(r"[\w/]+", " ".join(re.findall(r"`([^`\n]+)`", (DOCS / "architecture.md").read_text()))))
    folders = [ROOT / package, *(ROOT / package / name for name in ("compute", "models", "gateway", "page"))]
    files = {file.stem for folder in folders if folder.is_dir() for file in folder.iterdir() if file.suffix in (".py", ".js")}
    assert sorted(files - named - {"__init__"}) == []


def test_the_architecture_names_nothing_that_is_gone() -> None:
    rows = [line for line in (DOCS / "architecture.md").read_text().splitlines() if line.startswith("| `")]
    named = {name.rstrip("/") for line in rows for name in re.findall(r"`([\w/]+)`", line.split("|")[1])}
    there = {file.stem for package in PACKAGES for file in (ROOT / package).rglob("*")} | set(PACKAGES)
    assert len(named) > 80 and sorted(named - there) == []


def layers(of: str) -> dict[str, int]:
    """The modules that an import contract orders, by their place: one may import those of lower places."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    found = next(one["layers"] for one in contracts if one["name"] == of)
    names = [(name.strip(), place) for place, layer in enumerate(reversed(found)) for name in layer.split("|")]
    return {name.rsplit(".", 1)[1]: place for name, place in names if "." in name}


def test_every_module_has_its_layer() -> None:
    for package, contract in zip(PACKAGES, ("data flows one way", "messages flow one way, and what is pure stays so"), strict=True):
        there = {file.stem for file in (ROOT / package).iterdir() if file.suffix == ".py" or (file / "__init__.py").exists()}
        assert sorted(there - {"__init__"} ^ layers(contract).keys()) == [], "pyproject.toml, [tool.importlinter]"


def test_the_architecture_stands_in_the_order_of_imports() -> None:
    rows = re.findall(r"^\| (`.*?) \|", (DOCS / "architecture.md").read_text().split("## ")[1], re.MULTILINE)
    order, places = [name for row in rows for name in re.findall(r"`(\w+)/?`", row)], layers("data flows one way")
    assert order.pop() == "spymaster_live"
    assert order == sorted(order, key=places.__getitem__), "a module of docs/architecture.md stands above one that it may import"
    assert sorted(order) == sorted(places)


def test_every_decision_is_listed() -> None:
    listed = re.findall(r"\((\d{4}-[\w-]+\.md)\)", (DOCS / "decisions" / "index.md").read_text())
    assert listed == sorted(file.name for file in (DOCS / "decisions").glob("0*.md"))


def anchors(page: Path) -> set[str]:
    heads = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).strip().replace(" ", "-") for head in heads}


def test_links_lead_somewhere() -> None:
    broken, seen = [], 0
    for page in PAGES:
        for link in re.findall(r"\]\((?!https?:)([^)\s]+)\)", page.read_text()):
            path, _, anchor = link.partition("#")
            target = (page.parent / path).resolve() if path else page
            seen += 1
            if not target.exists() or (anchor and target.suffix == ".md" and anchor not in anchors(target)):
                broken.append(f"{page.relative_to(ROOT)}: {link}")
    assert seen > 100 and broken == []


def test_tests_that_are_named_are_there() -> None:
    files = list((ROOT / "tests").rglob("test_*.py"))
    there = {file.stem for file in files} | {name for file in files for name in re.findall(r"def (test_\w+)", file.read_text())}
    named = {(page.name, name) for page in PAGES for name in re.findall(r"\b(test_\w+)(?!\w*\*)", page.read_text())}
    assert len(named) > 20 and sorted(one for one in named if one[1] not in there) == []
