"""The documentation keeps to what is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from backend.api.operations import OPERATIONS
from backend.spec.lint import CODES
from backend.spec.schema import schema
from khantui.cli.root import khantui

ROOT = Path(__file__).parents[2]
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target, anchor in re.findall(r"\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)", page.read_text()):
        place = (page.parent / target) if target else page
        assert place.exists(), f"{page.name} links to {target}"
        if anchor:
            titles = re.findall(r"^#+ (.*)$", place.read_text(), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w -]", "", t.lower()).replace(" ", "-") for t in titles}, anchor


def test_every_page_is_listed() -> None:
    listed = (ROOT / "docs" / "README.md").read_text()
    assert {p.name for p in (ROOT / "docs").glob("*.md")} - {"README.md"} == set(
        re.findall(r"\(([\w-]+\.md)\)", listed)
    )


def test_every_code_of_lint_is_explained_in_its_own_words() -> None:
    rows = dict(re.findall(r"^\| `([a-z-]+)` \| (.+) \|$", (ROOT / "docs" / "document.md").read_text(), re.MULTILINE))
    assert {code: rows.get(code) for code in CODES} == CODES


def test_every_field_of_the_document_is_explained() -> None:
    text = (ROOT / "docs" / "document.md").read_text()
    fields = {*schema()["properties"], *schema()["$defs"]["stage"]["properties"]} - {"$schema"}
    assert [f for f in sorted(fields) if f"`{f}`" not in text] == []


def test_every_operation_of_the_api_is_listed() -> None:
    text = (ROOT / "docs" / "api.md").read_text()
    assert [f"{o.method} {o.path}" for o in OPERATIONS if f"`{o.method} {o.path or '/'}`" not in text] == []


def test_every_command_has_an_example() -> None:
    text = (ROOT / "docs" / "cli.md").read_text()
    assert [name for name in khantui.list_commands(None) if f"khantui {name}" not in text] == []  # type: ignore[arg-type]
