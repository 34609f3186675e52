"""The page's code without a browser: how much of it there is, and that its colours can be told apart."""

import re

import pytest

from spymaster_live.gateway.serving import PAGE

LIMIT = 60_000  # bytes of what we wrote


def test_the_code_is_small() -> None:
    files = [path for path in PAGE.iterdir() if path.suffix in (".html", ".css", ".js", ".svg")]
    assert {path.name for path in PAGE.iterdir()} - {path.name for path in files} <= {"vendor"}
    assert sum(len(path.read_bytes()) for path in files) <= LIMIT


def luminance(colour: str) -> float:
    """Relative luminance of #rrggbb, as WCAG 2 defines it."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_contrast_is_enough(theme: str) -> None:
    """4.5 to 1 for text, 3 to 1 for what is drawn."""
    text = (PAGE / "page.css").read_text()
    blocks = {"dark": text[: text.index("[data-theme")], "light": text[text.index("[data-theme") :]}
    colours = dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6})", blocks[theme].split("}")[0]))

    def contrast(one: str, other: str) -> float:
        low, high = sorted((luminance(colours[one]), luminance(colours[other])))
        return (high + 0.05) / (low + 0.05)

    words = ("text", "soft", "break", "bounce", "chop", "bad", "good")
    pairs = [(word, ground) for word in words for ground in ("ground", "panel")] + [("bad", "bad-ground"), ("text", "bad-ground")]
    assert {pair: contrast(*pair) for pair in pairs if contrast(*pair) < 4.5} == {}
    drawn = [(name, "panel") for name in ("bid", "ask")]
    assert {pair: contrast(*pair) for pair in drawn if contrast(*pair) < 3} == {}
