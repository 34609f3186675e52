"""Parameters: overlaid by a file, refused when wrong, hashed by group."""

from pathlib import Path

import pytest

from spymaster_assets.config import Config, load, watches_landing


def test_a_file_overlays_the_defaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my.toml").write_text("[quality]\ngap_seconds = 30\n")
    monkeypatch.setenv("SPYMASTER_CONFIG", str(tmp_path / "my.toml"))
    assert load().quality.gap_seconds == 30
    assert load().bronze == Config().bronze


def test_an_instrument_that_comes_with_it_is_named_by_a_word(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SPYMASTER_CONFIG", "NQ")
    assert load().instrument.root == "NQ"
    Path("NQ").write_text("[instrument]\nmultiplier = 7\n")
    assert (load().instrument.root, load().instrument.multiplier) == ("ES", 7), "a file that is there comes first"
    monkeypatch.setenv("SPYMASTER_CONFIG", "XX")
    with pytest.raises(ValueError, match=r"configuration .*XX\.toml"):
        load()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[quality]\ngap_secs = 30\n", "gap_secs"),
        ("[bronze]\nrow_group = 0\n", "greater than 0"),
        ("[score]\nw_l = 0.9\n", "score weights sum to"),
        ("[quality\n", "Expected"),
    ],
)
def test_a_wrong_file_is_refused_by_name(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "my.toml"
    path.write_text(text)
    with pytest.raises(ValueError, match=message) as caught:
        load(path)
    assert str(path) in str(caught.value)


def test_the_digest_covers_the_named_groups_only() -> None:
    changed = Config().model_copy(update={"quality": Config().quality.model_copy(update={"gap_seconds": 1.0})})
    assert changed.digest("bronze", "instrument") == Config().digest("bronze", "instrument")
    assert changed.digest("quality") != Config().digest("quality")
    assert changed.digest() != Config().digest()


def test_nothing_can_be_changed_after_it_is_made() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Config().bronze.row_group = 1  # type: ignore[misc]


def test_the_landing_sensor_is_off_unless_the_environment_says_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SPYMASTER_LANDING_SENSOR", raising=False)
    assert not watches_landing()
    for said, watches in (("on", True), ("off", False)):
        monkeypatch.setenv("SPYMASTER_LANDING_SENSOR", said)
        assert watches_landing() is watches
    monkeypatch.setenv("SPYMASTER_LANDING_SENSOR", "yes")
    with pytest.raises(ValueError, match="'yes': expected on or off"):
        watches_landing()
