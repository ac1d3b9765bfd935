"""Reuse from the command line, on a real daemon: what stands for what, and why."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.e2e.program import Program

pytestmark = [pytest.mark.slow, pytest.mark.sandbox, pytest.mark.etcd]


def test_results_are_reused_explained_refused_and_forgotten(khantui: Program, tmp_path: Path) -> None:
    events = tmp_path / "events"
    events.write_text("b\na\n")
    sort: dict[str, Any] = {
        "image": "shell",
        "script": 'sort "$KHAN_INPUT_events" > "$KHAN_OUTPUT_sorted"; echo sorted',
    }
    count: dict[str, Any] = {"image": "shell", "script": 'wc -l < "$KHAN_INPUT_sorted" > "$KHAN_OUTPUT_n"'}
    khantui.apply(
        tmp_path / "p",
        {
            "name": "cached",
            "cache": True,
            "inputs": {"events": {"uri": f"file://{events}"}},
            "intermediates": {"sorted": {}},
            "outputs": {"n": {}},
            "stages": {
                "sort": {**sort, "inputs": ["events"], "outputs": ["sorted"]},
                "count": {**count, "inputs": ["sorted"], "outputs": ["n"]},
            },
        },
    )

    def states(*flags: str) -> dict[str, str]:
        return {s["name"]: s["state"] for s in khantui.json("run", "cached", "--wait", *flags)["stages"]}

    assert states() == {"sort": "succeeded", "count": "succeeded"}
    assert states() == {"sort": "reused", "count": "reused"}
    assert "reused from" in khantui("why", "cached", "sort").out
    assert "sorted" in khantui("logs", "cached").out
    assert khantui("logs", "cached", "sort").out == "sorted\n"  # that of the run that made it
    assert khantui("artifacts", "cached", "n").out.strip() == "2"
    events.write_text("a\nb\n")
    assert states() == {"sort": "succeeded", "count": "reused"}
    assert "sort succeeded: ran: input events changed (" in khantui("why", "cached", "sort").out
    assert states("--no-cache") == {"sort": "succeeded", "count": "succeeded"}
    assert [r["stage"] for r in khantui.json("cache", "list", "cached", "count")] == ["count"]
    assert khantui.json("cache", "clear", "cached", "count") == {"results": 1}
    assert states() == {"sort": "reused", "count": "succeeded"}
    assert "its earlier results were cleared" in khantui("why", "cached", "count").out
    assert khantui("why", "cached", "sroot").code == 1
