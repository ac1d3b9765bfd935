"""The examples and the templates that are shipped: clean, small, and what they are said to be."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from backend.spec.lint import lint
from khantui.cli.documents import find, in_order
from khantui.cli.examples import EXAMPLES
from khantui.cli.init import FOLDER as TEMPLATES

DOCUMENTS = {path.parent.name: path for folder in (EXAMPLES, TEMPLATES) for path in folder.glob("*/pipeline.json")}
SHIPPED = 300 * 1024  # bytes: what an example may add to everybody's download


def document(name: str) -> dict[str, Any]:
    value = json.loads(DOCUMENTS[name].read_text())
    assert isinstance(value, dict)
    return value


@pytest.mark.parametrize("path", DOCUMENTS.values(), ids=DOCUMENTS)
def test_nothing_is_found_in_it(path: Path) -> None:
    report = lint(path.read_text(), file=str(path))
    assert not report.findings


@pytest.mark.parametrize("path", DOCUMENTS.values(), ids=DOCUMENTS)
def test_all_its_code_is_there_and_nothing_else_is(path: Path) -> None:
    named = {*json.loads(path.read_text()).get("code", ()), "pipeline.json"}
    assert named == {p.name for p in path.parent.iterdir() if p.name != "__pycache__"}


def test_data_are_small_and_their_origin_is_told() -> None:
    data = list(EXAMPLES.glob("*/*.csv"))
    assert sum(p.stat().st_size for p in data) < SHIPPED
    told = (EXAMPLES / "DATA.md").read_text()
    assert {f"`{p.relative_to(EXAMPLES)}`" for p in data} == {
        row.split("|")[1].strip() for row in told.splitlines() if row.startswith("| `")
    }


def test_they_show_what_they_are_there_for() -> None:
    images = {stage.get("image") for stage in document("weather")["stages"].values()}
    assert images == {"shell", "duckdb", "python"}
    assert len(document("quakes")["stages"]["hour"]["each"]["HOUR"]) == 24
    assert document("co2")["stages"]["fetch"]["retries"]["limit"] >= 2
    assert document("co2")["stages"]["trend"]["uses"] == "temperature/trend"
    assert document("weather-compare")["inputs"]["months"]["from"] == "weather/months"
    assert [n for n in DOCUMENTS if document(n).get("labels", {}).get("expect") == "failed"] == ["penguins-mass"]


def test_whoever_is_read_from_is_applied_first() -> None:
    order = [d.name for d in in_order(find([str(EXAMPLES)]))]
    for before, after in [("weather", "weather-compare"), ("penguins", "penguins-mass"), ("temperature", "co2")]:
        assert order.index(before) < order.index(after)
