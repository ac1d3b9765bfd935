"""The journal by the command line, on a real daemon: what was done, by whom and why, and what was refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.program import Program

pytestmark = [pytest.mark.slow, pytest.mark.sandbox, pytest.mark.etcd]


def entries(khantui: Program, *words: str) -> list[dict[str, Any]]:
    """What `khantui audit` prints, the newest first."""
    found = khantui("audit", *words, "-o", "jsonl")
    assert found.code == 0, found
    return [json.loads(line) for line in found.out.splitlines()]


def test_what_is_done_and_refused_is_found_by_who_what_and_why(khantui: Program, tmp_path: Path) -> None:
    khantui.apply(tmp_path, {"name": "audited", "stages": {"a": {"image": "shell", "script": "true"}}})
    assert khantui("run", "audited", "--wait", "--message", "because of ticket 4711").code == 0
    made = khantui("auth", "token", "create", "audited-ci", "--role", "viewer", "--pipelines", "audited")
    token = made.out.strip()
    socket = httpx.HTTPTransport(uds=str(khantui.data / "api.sock"))
    with httpx.Client(transport=socket, base_url="http://khantui/api/v1") as other:
        headers = {"Authorization": f"Bearer {token}"}
        assert other.delete("/pipelines/audited", headers=headers).status_code == 403
        assert other.get("/whoami", headers={"Authorization": f"Bearer khan_{'x' * 43}"}).status_code == 401
    assert khantui("delete", "audited", "--yes").code == 0

    deleted, denied, bound, run, applied = entries(khantui, "--since", "1d", "audited")
    assert [e["what"] for e in (deleted, denied, bound, run, applied)] == [
        "delete_pipeline", "delete_pipeline", "create_token", "start_run", "apply_pipeline",
    ]  # fmt: skip
    assert (run["reason"], run["proof"], run["origin"]) == ("because of ticket 4711", "socket", "unix")
    assert (denied["who"], denied["outcome"], denied["detail"]["status"]) == ("token:audited-ci", "denied", 403)
    assert applied["changes"][0]["before"] is None
    assert entries(khantui, "who=token:audited-ci") == [denied]
    assert deleted in entries(khantui, "what=delete_*")
    assert (entries(khantui, "denied")[0]["who"], entries(khantui, "denied")[1]) == ("", denied)
    table = khantui("audit", "--since", "1d")
    assert "because of ticket 4711" in table.out
    assert token not in json.dumps(entries(khantui, "--since", "1d"))
