"""Which Spymaster this is: the version that pyproject.toml says, as it was installed. Its history: CHANGELOG.md."""

from importlib.metadata import version
from typing import Final

VERSION: Final = version("spymaster")
