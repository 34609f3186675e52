"""The settings files of instruments, as configurations."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from spymaster_assets.config import Config

FOLDER = Path(__file__).parents[1] / "spymaster_assets" / "settings" / "instruments"
NAMES = sorted(path.stem for path in FOLDER.glob("*.toml"))


def stated(name: str) -> dict[str, Any]:
    """What a file says."""
    return tomllib.loads((FOLDER / f"{name}.toml").read_text())


def config_of(name: str, **more: Mapping[str, Any]) -> Config:
    """The configuration of a settings file, overlaid by groups."""
    settings = stated(name)
    return Config.model_validate(settings | {group: {**settings.get(group, {}), **values} for group, values in more.items()})
