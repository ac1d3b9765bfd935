"""Every key of the interface is pressed by a test that sees what it does, and the documentation names it."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

from textual.dom import DOMNode
from textual.screen import ModalScreen

from khantui.app import KhantuiApp
from khantui.screens.access import Access, Tokens
from khantui.screens.accounts import Accounts
from khantui.screens.artifacts import Artifacts
from khantui.screens.ask import Choice, Confirm, Line, Pause, Trigger
from khantui.screens.backfills import Backfills
from khantui.screens.channels import Channels
from khantui.screens.compare import Compare
from khantui.screens.editor import Editor, Parts
from khantui.screens.filling import BackfillForm
from khantui.screens.firings import FiringsPanel
from khantui.screens.forecast import Forecast
from khantui.screens.form import Form, Storing
from khantui.screens.grid import GridScreen
from khantui.screens.help import Help
from khantui.screens.listing import Listing
from khantui.screens.log_panel import LogPanel
from khantui.screens.log_search import LogSearch
from khantui.screens.page import LinesPage, PicturePage
from khantui.screens.pipeline import PipelineScreen
from khantui.screens.pipelines import Pipelines
from khantui.screens.pulse import Pulse
from khantui.screens.run import RunScreen
from khantui.screens.runs import Runs
from khantui.screens.schedules import Schedules
from khantui.screens.secrets import Secrets
from khantui.screens.sheet_page import SheetPage
from khantui.screens.text import TextPage
from khantui.screens.timing import ScheduleForm
from khantui.screens.versions import VersionsPanel
from khantui.screens.view import View
from khantui.widgets.gantt_view import GanttView
from khantui.widgets.graph_view import GraphView
from khantui.widgets.grid_view import GridView
from khantui.widgets.line_view import LineView
from khantui.widgets.log_view import LogView
from khantui.widgets.prompt import Prompt
from khantui.widgets.resource_table import ResourceTable
from khantui.widgets.sections import Sections
from tests import tui
from tests.tui.trial import all_bindings, declared, named_key

ROOT = Path(__file__).parents[3]
BINDINGS = all_bindings()
ARROWS = {"←": "left", "↓": "down", "↑": "up", "→": "right"}
WORDS = {"PgUp": "pageup", "PgDn": "pagedown", "esc": "escape", "$EDITOR": "f4"}
# a row of the documentation's table -> whose keys it tells; those of moving about are the same wherever there are any
WHERE: dict[str, list[type[DOMNode]]] = {
    "anywhere": [KhantuiApp, View],
    "moving about": [ResourceTable, GridView],
    "the line of `:` and `/`": [Prompt],
    "a list": [ResourceTable, Listing, Runs],
    "runs": [Runs],
    "pipelines": [Pipelines],
    "schedules": [Schedules],
    "backfills": [Backfills],
    "channels": [Channels],
    "access": [Access, Tokens],
    "accounts": [Accounts],
    "secrets": [Secrets],
    "a run": [RunScreen, GraphView, GanttView],
    "a log": [LogPanel, LogView, RunScreen],
    "a search": [LogSearch],
    "pulse": [Pulse, Sections],
    "a grid": [GridScreen, GridView],
    "a forecast": [Forecast],
    "a pipeline": [PipelineScreen],
    "its versions": [VersionsPanel],
    "its schedules": [FiringsPanel],
    "the editor": [Editor, Parts],
    "artifacts": [Artifacts],
    "a table": [SheetPage],
    "a text, a picture": [TextPage, LinesPage, LineView, PicturePage, Help],
    "a question": [Confirm],
    "a choice": [Choice],
    "a form": [Form, Trigger, ScheduleForm, BackfillForm, Storing, Pause, Compare, Line],
}


def test_every_key_is_tried_by_some_test() -> None:
    tried = set()
    for path in sorted(Path(next(iter(tui.__path__))).glob("test_*.py")):
        module = importlib.import_module(f"tests.tui.{path.stem}")
        for name, test in vars(module).items():
            if name.startswith("test_"):
                tried |= declared(getattr(test, "pytestmark", ()))
    keys = {(cls, b.key) for cls, bindings in BINDINGS.items() for b in bindings}
    assert _sorted(keys - tried) == "", "no test says that it tries these"
    assert _sorted(tried - keys) == "", "a test says that it tries what is no key"


def test_every_key_is_documented() -> None:
    rows = documented()
    told = {cls: set(rows["moving about"]) for cls in BINDINGS}
    for where, classes in WHERE.items():
        for cls in classes:
            told[cls] |= rows[where]
    keys = {(cls, b.key) for cls, bindings in BINDINGS.items() for b in bindings}
    assert _sorted({(cls, key) for cls, key in keys if key not in told[cls]}) == "", "docs/tui.md does not tell these"


def test_every_documented_key_is_there() -> None:
    rows = documented()
    assert set(rows) - {"where"} == set(WHERE)
    for where, classes in WHERE.items():
        there = {key for cls in classes for key in _bound(cls)}
        assert rows[where] - there == set(), f"{where}: docs/tui.md tells of keys that are not there"


def _bound(cls: type[DOMNode]) -> set[str]:
    """Its keys, with those that it has from Textual, and those of the list or of the fields in it."""
    fields = ("tab", "shift+tab") if issubclass(cls, ModalScreen) else ()
    return {*cls._merge_bindings().key_to_bindings, "enter", *fields}


def documented() -> dict[str, set[str]]:
    """The table of docs/tui.md: where -> keys, as Textual names them."""
    section = (ROOT / "docs" / "tui.md").read_text().partition("\n## Keys\n")[2].partition("\n## ")[0]
    rows = dict(re.findall(r"^\| (.+?) \| (.+) \|$", section, re.MULTILINE))
    return {where: {named(key) for key in re.findall(r"`([^`]+)`", said)} for where, said in rows.items()}


def named(key: str) -> str:
    """`ctrl-s` is `ctrl+s` to Textual, and `F2` is `f2`."""
    if len(key) == 1:
        return ARROWS.get(key) or named_key(key)
    return WORDS.get(key) or re.sub(r"^(ctrl|shift)-", r"\1+", key).lower()


def _sorted(keys: set[tuple[type, str]]) -> str:
    return ", ".join(sorted(f"{cls.__name__} {key}" for cls, key in keys))
