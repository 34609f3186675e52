"""The gateway's guard by itself: what may be bound to, with which tokens, how often."""

import subprocess
import sys
from pathlib import Path

import pytest

from spymaster_live.gateway.guard import Rate, check_binding, token
from tests.live.asking import TOKEN
from tests.live.rig import ROOT


@pytest.mark.parametrize(
    ("host", "secret", "encrypted"),
    [("0.0.0.0", None, True), ("0.0.0.0", "x", False), ("::", None, False), ("10.0.0.1", "x", False), ("desk", "x", False)],
)
def test_beyond_this_machine_only_with_token_and_tls(host: str, secret: str | None, encrypted: bool) -> None:
    with pytest.raises(ValueError, match=f"^{host} can be reached from other machines"):
        check_binding(host, secret, encrypted)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost"])
def test_this_machine_alone_needs_neither(host: str) -> None:
    check_binding(host, None, False)
    check_binding("0.0.0.0", "x", True)


def test_the_command_refuses_in_one_sentence(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "spymaster_live", "--data", str(tmp_path), "gateway", "--host", "0.0.0.0"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and "0.0.0.0 can be reached from other machines" in done.stderr and "Traceback" not in done.stderr


def test_tokens(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("SPYMASTER_GATEWAY_TOKEN", raising=False)
    monkeypatch.delenv("SPYMASTER_GATEWAY_TOKEN_FILE", raising=False)
    assert token() is None
    monkeypatch.setenv("SPYMASTER_GATEWAY_TOKEN", TOKEN)
    assert token() == TOKEN
    (tmp_path / "token").write_text("from-a-file-of-its-own\n")
    monkeypatch.setenv("SPYMASTER_GATEWAY_TOKEN_FILE", str(tmp_path / "token"))
    assert token() == "from-a-file-of-its-own"
    for wrong in ("short", "with a space in it", "with/slashes/in/it/at", ""):
        (tmp_path / "token").write_text(wrong)
        with pytest.raises(ValueError, match="expected 16 to 256"):
            token()
    monkeypatch.setenv("SPYMASTER_GATEWAY_TOKEN_FILE", str(tmp_path / "none"))
    with pytest.raises(ValueError, match="No such file"):
        token()


def test_a_rate() -> None:
    rate = Rate(2.0)
    assert [rate.allows("a", 0.0) for _ in range(5)] == [True] * 4 + [False]
    assert rate.allows("b", 0.0) and not rate.allows("a", 0.4) and rate.allows("a", 0.5) and not rate.allows("a", 0.6)
    assert [rate.allows("a", 100.0) for _ in range(5)] == [True] * 4 + [False]
