"""Where a client's token comes from, when it is got anew, and that nobody else comes to see it."""

from __future__ import annotations

import base64
import json
import logging
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from khantui.api.address import Address, of_context
from khantui.api.contexts import Context
from khantui.api.credential import Command, Credential
from khantui.api.http import Http
from khantui.errors import Denied, Failure, Misuse

HERE = Address(None, "http://127.0.0.1:9")


def signed(seconds: float) -> str:
    """What looks like a signed token that expires then."""
    claims = base64.urlsafe_b64encode(json.dumps({"exp": time.time() + seconds}).encode()).decode().rstrip("=")
    return f"eyJhbGciOiJFUzI1NiJ9.{claims}.c2lnbmF0dXJl"


def printing(folder: Path, *outputs: str, code: int = 0, stderr: str = "") -> str:
    """A command that prints these, one after another, and then the last again."""
    (folder / "outputs").write_text(json.dumps(outputs))
    script = folder / "plugin.py"
    script.write_text(
        "import json, pathlib, sys\n"
        f"file = pathlib.Path({str(folder / 'outputs')!r})\n"
        "first, *rest = json.loads(file.read_text())\n"
        "file.write_text(json.dumps(rest or [first]))\n"
        f"print({stderr!r}, file=sys.stderr)\n"
        f"print(first)\nsys.exit({code})\n"
    )
    return f"{sys.executable} '{script}'"


def shown(credential: Credential, *statuses: int, url: str = "https://khantui.example.org/") -> list[str]:
    """What is shown to a daemon that answers so, request by request."""
    seen: list[str] = []
    answers = list(statuses) or [200]

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers.get("authorization", ""))
        return httpx.Response(answers.pop(0))

    with httpx.Client(transport=httpx.MockTransport(answer), auth=credential) as client:
        while answers:
            client.get(url)
    return seen


def test_a_context_wins_over_the_environment_and_a_token_over_its_file(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("from-file\n")
    around = {"KHANTUI_TOKEN": "from-variable", "KHANTUI_TOKEN_FILE": str(file)}
    assert shown(Credential(HERE, around)) == ["Bearer from-variable"]
    assert shown(Credential(HERE, {"KHANTUI_TOKEN_FILE": str(file)})) == ["Bearer from-file"]
    assert shown(Credential(HERE._replace(token_file=str(file)), around)) == ["Bearer from-file"]
    named = of_context(Context("https://h", token_command=printing(tmp_path, "from-command")))
    assert shown(Credential(named, around)) == ["Bearer from-command"]
    assert shown(Credential(HERE, {"KHANTUI_TOKEN_COMMAND": printing(tmp_path, "also")})) == ["Bearer also"]
    assert shown(Credential(HERE, {})) == [""]


def test_a_command_is_run_once_for_all_requests_until_its_token_ends(tmp_path: Path) -> None:
    first, second = signed(3600), signed(7200)
    credential = Credential(HERE._replace(token_command=printing(tmp_path, first, second)), {})
    assert shown(credential, 200, 200) == [f"Bearer {first}"] * 2
    short = signed(5)  # too near its end to be shown again
    credential = Credential(HERE._replace(token_command=printing(tmp_path, short, second)), {})
    assert shown(credential, 200, 200, 200) == [f"Bearer {short}", f"Bearer {second}", f"Bearer {second}"]


def test_a_token_that_is_refused_is_got_anew_once(tmp_path: Path) -> None:
    credential = Credential(HERE._replace(token_command=printing(tmp_path, "old", "new")), {})
    assert shown(credential, 401, 200, 200) == ["Bearer old", "Bearer new", "Bearer new"]
    credential = Credential(HERE._replace(token_command=printing(tmp_path, "same")), {})
    assert shown(credential, 401) == ["Bearer same"]  # nothing new: it is not asked again


def test_a_file_that_was_exchanged_meanwhile_is_read_again(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("old")
    credential = Credential(HERE._replace(token_file=str(file)), {})
    flow = credential.auth_flow(httpx.Request("GET", "https://h/"))
    assert next(flow).headers["authorization"] == "Bearer old"
    file.write_text("new")
    assert flow.send(httpx.Response(401)).headers["authorization"] == "Bearer new"


def test_plugins_of_kubectl_do(tmp_path: Path) -> None:
    soon = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 10))
    outputs = [json.dumps({"status": {"token": t, "expirationTimestamp": soon}}) for t in ("one", "two")]
    command = Command(printing(tmp_path, *outputs))
    assert [command.run(), command.run()] == ["one", "two"]


@pytest.mark.attack
@pytest.mark.parametrize(
    ("outputs", "more", "kind", "said"),
    [
        (["a secret of\nseveral lines"], {}, Denied, "printed none"),
        ([""], {}, Denied, "printed none"),
        (['{"kind": "ExecCredential"}'], {}, Denied, "no ExecCredential"),
        (["x"], {"code": 3, "stderr": f"refused {signed(60)}"}, Denied, "ended with 3: refused …"),
    ],
)
def test_what_a_command_says_wrong_is_told_without_its_secrets(
    tmp_path: Path, outputs: list[str], more: dict[str, Any], kind: type[Failure], said: str
) -> None:
    with pytest.raises(kind) as failed:
        Command(printing(tmp_path, *outputs, **more)).run()
    told = failed.value.message + failed.value.hint
    assert said in told
    assert "a secret of" not in told
    assert "eyJ" not in told


def test_a_command_that_there_is_not_is_named() -> None:
    with pytest.raises(Misuse, match="cannot be run"):
        Command("/no/such/plugin --now").run()


@pytest.mark.attack
def test_a_token_is_not_sent_where_it_could_be_read() -> None:
    credential = Credential(HERE, {"KHANTUI_TOKEN": "s3cr3t"})
    with pytest.raises(Misuse, match="could be read") as refused:
        shown(credential, url="http://khantui.example.org/")
    assert "s3cr3t" not in str(refused.value)
    assert shown(credential, url="http://localhost:8080/") == ["Bearer s3cr3t"]


@pytest.mark.attack
def test_a_token_is_in_no_log_and_no_error(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("KHANTUI_TOKEN", "s3cr3t-0123456789")
    http = Http(HERE, timeout=2, patience=0)
    try:
        with pytest.raises(Failure) as failed:
            http.request("GET", "/runs")
    finally:
        http.close()
    assert "s3cr3t" not in caplog.text + repr(failed.value) + str(failed.value) + failed.value.hint
    monkeypatch.setenv("KHANTUI_TOKEN", "s3cr3t\r\nX-Evil: 1")
    with pytest.raises(Misuse) as refused:
        shown(Credential(HERE, {"KHANTUI_TOKEN": "s3cr3t\r\nX-Evil: 1"}))
    assert "s3cr3t" not in str(refused.value)
