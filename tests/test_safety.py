"""What no file of the tree may do, read from its syntax, and what no file may hold.

A stored file is data: nothing that we read runs as a program (pickle and its kin, eval, unsafe YAML). A command is a list of words,
never a line for a shell. Nobody's certificate goes unchecked, and no secret is kept in the tree.
"""

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[1]
MODULES: Final = {  # load what may run as a program, or are made for other times
    "pickle", "cPickle", "_pickle", "cloudpickle", "dill", "joblib", "shelve", "marshal", "jsonpickle", "telnetlib", "ftplib",
}  # fmt: skip
CALLS: Final = {  # a name, or the last two of a dotted one
    "eval", "exec", "compile", "__import__", "os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput",
    "yaml.load",
    "yaml.full_load", "yaml.unsafe_load", "torch.load", "torch.save", "pandas.read_pickle", "pd.read_pickle", "tempfile.mktemp",
    "ssl._create_unverified_context", "hashlib.md5", "shutil.unpack_archive", "tarfile.open", "zipfile.ZipFile",
}  # fmt: skip
TRUE: Final = {"shell", "allow_pickle"}  # keywords that may not be true
FALSE: Final = {"verify", "check_hostname", "weights_only"}  # keywords and attributes that may not be false
ALLOWED: Final = {  # file -> what it does all the same, and why
    "tests/test_chunks.py": {"import pickle"},  # a Day survives being copied; what is loaded was dumped in the line before
    "tests/live/test_engine.py": {"import pickle"},  # the same of an engine
    "deploy/release.py": {"zipfile.ZipFile"},  # names and bytes of the wheel that it has built; nothing is unpacked
    "tests/test_release.py": {"zipfile.ZipFile", "shutil.unpack_archive"},  # of what was built in the line before
    "tests/mutation/stages.py": {"import pickle"},  # days that the run of mutants makes in a folder of its own, and asks again
    "tests/live/test_engine_messages.py": {"import pickle"},  # its bytes are compared, nothing is loaded
    "tests/mutation/mutants.py": {"compile"},  # of our own functions with a fault
}


def dotted(node: ast.expr) -> str:
    """`a.b.c` as text, its last two names; empty for what is no name."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value).rpartition('.')[2]}.{node.attr}"
    return ""


def constant(node: ast.expr | None) -> object:
    return node.value if isinstance(node, ast.Constant) else None


def offences(source: str) -> Iterator[str]:
    """What a program does that none of ours may."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (f"import {one.name}" for one in node.names if one.name.partition(".")[0] in MODULES)
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            yield from (f"import {name}" for name in [module.partition(".")[0]] if name in MODULES)
            yield from (f"{module}.{one.name}" for one in node.names if f"{module}.{one.name}" in CALLS)
        elif isinstance(node, ast.Call):
            if (name := dotted(node.func)) in CALLS:
                yield name
            for one in node.keywords:
                bad = (one.arg in TRUE and constant(one.value) is not False) or (one.arg in FALSE and constant(one.value) is False)
                yield from [f"{one.arg}="] if bad else []
        elif isinstance(node, ast.Assign):
            names = {target.attr for target in node.targets if isinstance(target, ast.Attribute)}
            yield from (f"{name} =" for name in names & FALSE if constant(node.value) is False)
        elif isinstance(node, ast.Attribute) and node.attr == "CERT_NONE":
            yield "CERT_NONE"


def kept() -> list[Path]:
    """The files that are kept in version control."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True, check=True
    )
    return [path for name in listed.stdout.decode().split("\0") if name and (path := ROOT / name).is_file()]


@pytest.mark.parametrize("part", ["spymaster_assets", "spymaster_live", "deploy", "benchmarks", "tests"])
def test_nothing_that_is_read_runs_as_a_program(part: str) -> None:
    files = sorted((ROOT / part).rglob("*.py"))
    assert files
    found = {path.relative_to(ROOT).as_posix(): {*offences(path.read_text())} for path in files}
    assert {name: does - ALLOWED.get(name, set()) for name, does in found.items() if does - ALLOWED.get(name, set())} == {}


PROGRAMS: Final = {
    "import pickle": "import pickle", "from pickle import loads": "import pickle", "import joblib.hashing": "import joblib.hashing",
    "torch.load(f)": "torch.load", "np.load(f, allow_pickle=True)": "allow_pickle=", "np.load(f, allow_pickle=x)": "allow_pickle=",
    "eval(text)": "eval", "exec(text)": "exec", "yaml.load(f, L)": "yaml.load", "from yaml import load": "yaml.load",
    "subprocess.run(line, shell=True)": "shell=", "os.system(line)": "os.system", "requests.get(u, verify=False)": "verify=",
    "context.check_hostname = False": "check_hostname =", "context.verify_mode = ssl.CERT_NONE": "CERT_NONE",
    "tempfile.mktemp()": "tempfile.mktemp", "tarfile.open(f)": "tarfile.open", "import numpy.lib, dill": "import dill",
}  # fmt: skip
HARMLESS: Final = (
    "re.compile(text)", "network.eval()", "yaml.safe_load(f)", "np.load(f, allow_pickle=False)", "run(words, shell=False)",
    "requests.get(u, verify=path)", "json.load(f)", "tokens.load(f)", "text = 'eval(x) pickle'", "model.load(f)",
)  # fmt: skip


@pytest.mark.parametrize("program", PROGRAMS)
def test_an_offence_is_seen(program: str) -> None:
    assert [*offences(program)] == [PROGRAMS[program]]


@pytest.mark.parametrize("program", HARMLESS)
def test_what_is_harmless_is_none(program: str) -> None:
    assert [*offences(program)] == []


# ---- secrets ----

SECRETS: Final = re.compile(
    r"\bdb-[A-Za-z0-9]{25,}"  # Databento's keys
    r"|\bS[UAONCX][A-Z2-7]{56}\b"  # seeds of nkeys
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----"
    r"|://[^/\s:@{}]+:[^/\s:@{}]+@(?!127\.0\.0\.1|example\.org)"  # a password in an address
    r"|(?i:password|token|secret|api_key)\s*[=:]\s*[\"'][A-Za-z0-9+/_-]{16,}[\"']"
)
DOUBLES: Final = {  # of the tests' own servers
    "db-0nlyT0BeFoundInTheEnvironment", "db-0123456789abcdefghijKLMNOPQRS", 'TOKEN = "a-token-for-tests-alone"',
}  # fmt: skip


def secrets_in(text: str) -> set[str]:
    return {found for found in SECRETS.findall(text) if found not in DOUBLES}


def test_no_file_holds_a_secret() -> None:
    found = {}
    for path in kept():
        text = path.read_bytes().decode("utf-8", "replace")
        if "\0" not in text and path != Path(__file__) and (seen := secrets_in(text)):
            found[path.relative_to(ROOT).as_posix()] = seen
    assert found == {}


@pytest.mark.parametrize(
    "text",
    [
        "db-" + "a1B2" * 7 + "x", "SU" + "A2" * 28, "-----BEGIN EC " + "PRIVATE KEY-----", "nats://user:pass" + "@bus:4222",
        "postgresql://dagster:hunter22" + "@db/dagster",
        'token = "' + "0123456789abcdef" + '"', "API_KEY: '" + "0123456789abcdefgh" + "'",
    ],
)  # fmt: skip
def test_a_secret_is_seen(text: str) -> None:
    assert secrets_in(f"x {text} y")


def test_folders_of_secrets_are_not_kept() -> None:
    ignored = (ROOT / ".gitignore").read_text().split()
    assert {"keys/", "data/"} <= {*ignored}
    image = (ROOT / ".dockerignore").read_text().split()
    assert image[0] == "*" and not [line for line in image if re.search(r"key|secret|\.env", line)]
    assert not [path for path in kept() if path.suffix in (".nk", ".key", ".pem", ".token", ".password", ".pgpass")]
