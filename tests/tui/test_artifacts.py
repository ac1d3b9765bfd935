"""Looking into what a run wrote: tables of any length, pictures, and what is damaged or hostile."""

from __future__ import annotations

import struct
import subprocess
import zlib
from pathlib import Path

import pytest
from textual_image._terminal import get_cell_size  # noqa: F401  without a terminal it does not ask

from backend.run.state import RunState
from khantui.render.protocols import protocol
from khantui.screens.artifacts import Artifacts
from khantui.screens.ask import Line
from khantui.screens.page import LinesPage, PicturePage
from khantui.screens.run import RunScreen
from khantui.screens.sheet_page import SheetPage
from khantui.state import duck
from tests.tui.conftest import shown, told, until
from tests.tui.desk import Desk, stage
from tests.tui.trial import opens, tried, tries, walk

pytestmark = pytest.mark.slow
WIDE, NARROW = (130, 40), (80, 24)
SVG = b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 40 20"><rect width="20" height="20" fill="#f00"/></svg>'


def png(across: int, down: int) -> bytes:
    """A red picture."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = (b"\0" + b"\xff\0\0" * across) * down
    head = struct.pack(">IIBBBBB", across, down, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def parquet(folder: Path, query: str) -> bytes:
    subprocess.run([duck._program(), "-c", f"COPY ({query}) TO 'made.parquet'"], cwd=folder, check=True, timeout=60)
    return (folder / "made.parquet").read_bytes()


@pytest.fixture(scope="module")
def written(desk: Desk, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A run that wrote some of everything: its id."""
    run = desk.do(desk.run_of("regions", RunState.SUCCEEDED, 30, 58.0, [stage("load", "succeeded", 30, 58.0)]))
    lines = "".join(f'{i},"a, b {i}",{i * 2}\n' for i in range(120_000))
    folder = tmp_path_factory.mktemp("parquet")
    contents = {
        "a_csv": f"id,note,twice\n{lines}".encode(),
        "b_parquet": parquet(folder, "SELECT i AS id, '\x1b[31m' || i AS evil FROM range(50000) t(i)"),
        "c_damaged": b"PAR1" + b"x" * 5000,
        "d_png": png(80, 40),
        "e_broken": b"\x89PNG\r\n\x1a\nrubbish",
        "f_svg": SVG,
        "g_bomb": png(20_000, 4_000),
    }
    desk.do(desk.write_artifacts(run, "load", contents))
    return run


async def test_a_long_table_is_paged_through(desk: Desk, written: str) -> None:
    app = desk.app(f"artifacts {written}")
    async with app.run_test(size=WIDE) as pilot:
        await until(pilot, lambda: "first 200 rows, 3 columns" in shown(app))
        await pilot.press("v")
        await until(pilot, lambda: isinstance(app.screen, SheetPage) and "120,000 rows, 3 columns" in shown(app))
        await until(pilot, lambda: "a, b 7" in shown(app))
        await pilot.press("G")
        await until(pilot, lambda: "120,000  119999  a, b 119999  239998" in shown(app))
        await pilot.press("colon")
        await pilot.press(*"60001", "enter")
        await until(pilot, lambda: "60,001   60000  a, b 60000   120000" in shown(app))
        await pilot.press("c")
        assert app.clipboard == "60000\ta, b 60000\t120000"
        sheet = app.screen
        assert isinstance(sheet, SheetPage)
        assert sheet._sheet is not None
        folder = sheet._sheet._folder
        assert folder.is_dir()
        await pilot.press("escape")
        await until(pilot, lambda: not folder.exists())  # nothing of it stays on this machine


async def test_parquet_is_shown_with_hostile_values_made_harmless(desk: Desk, written: str) -> None:
    app = desk.app(f"artifacts {written}")
    async with app.run_test(size=WIDE) as pilot:
        await until(pilot, lambda: "a_csv" in shown(app))
        await pilot.press("j")
        await until(pilot, lambda: "first 200 of 50,000 rows, 2 columns" in shown(app))
        assert "␛[31m5" in shown(app)
        await pilot.press("v")
        await until(pilot, lambda: "50,000 rows, 2 columns" in shown(app) and "␛[31m20" in shown(app))
        assert "\x1b" not in shown(app)
        await pilot.press("escape", "j")
        await until(pilot, lambda: "it cannot be read, the file may be damaged" in shown(app))


async def test_pictures_are_drawn_and_damaged_ones_named(
    desk: Desk, written: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KHANTUI_PICTURES", "blocks")
    app = desk.app(f"artifacts {written}")
    async with app.run_test(size=WIDE) as pilot:
        await until(pilot, lambda: "a_csv" in shown(app))
        await pilot.press("j", "j", "j")
        await until(pilot, lambda: "80 × 40 pixels" in shown(app) and "▀" * 60 in shown(app))
        reds = {
            s.style.color.triplet.hex
            for strip in app.screen._compositor.render_strips()
            for s in strip
            if s.text == "▀" and s.style and s.style.color and s.style.color.triplet
        }
        assert reds == {"#ff0000"}
        await pilot.press("v")
        await until(pilot, lambda: isinstance(app.screen, PicturePage) and "▀" * 100 in shown(app))
        await pilot.press("escape", "j")
        await until(pilot, lambda: "it cannot be drawn: the file is damaged" in shown(app))
        await pilot.press("j")
        await until(pilot, lambda: "SVG picture" in shown(app) and "▀" * 60 in shown(app))
        await pilot.press("j")
        await until(pilot, lambda: "20,000 × 4,000 pixels: too many to be drawn" in shown(app))
    assert not told(app)


@tries({Artifacts: "enter v ctrl+s c y tab shift+tab r ctrl+z N S", PicturePage: "escape q v"})
async def test_keys_of_artifacts(desk: Desk, written: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KHANTUI_PICTURES", "blocks")
    app = desk.app(f"artifacts {written}")
    async with app.run_test(size=WIDE) as pilot:
        await until(pilot, lambda: "first 200 rows, 3 columns" in shown(app))
        page = app.screen
        assert isinstance(page, Artifacts)

        def listed() -> list[str]:
            return [a.name for a in page.rows.items]

        usual = listed()
        sizes = {a.name: a.record.bytes for a in page.rows.items}
        await tried(pilot, "S", lambda: listed() == sorted(usual, key=lambda n: sizes[n]) and "SIZE↑" in shown(app))
        await pilot.press("S", "S")
        await until(pilot, lambda: listed() == usual)
        await tried(pilot, "N", lambda: "ARTIFACT↑" in shown(app) and listed() == usual)
        await tried(pilot, "N", lambda: "ARTIFACT↓" in shown(app) and listed() == usual[::-1])
        await pilot.press("N", "g")
        await until(pilot, lambda: page.table.current.name == "a_csv")
        hashes = {a.name: a.record.sha256 for a in page.rows.items}
        await tried(pilot, "c", lambda: app.clipboard == hashes["a_csv"])
        await tried(pilot, "ctrl+z", lambda: "[role=output]" in shown(app))
        await tried(pilot, "ctrl+z", lambda: "[role=output]" not in shown(app))
        for key in ("tab", "shift+tab"):
            await tried(pilot, key, lambda: page.panel.body.has_focus)
            await tried(pilot, key, lambda: page.table.has_focus)
        await opens(pilot, "y", LinesPage, hashes["a_csv"])
        await opens(pilot, "v", SheetPage, "120,000 rows")
        await pilot.press("tab")  # in the preview the list has not got the key
        await opens(pilot, "enter", SheetPage, "120,000 rows")
        await pilot.press("tab")
        await opens(pilot, "r", RunScreen, "graph ·")
        await tried(pilot, "ctrl+s", lambda: isinstance(app.screen, Line) and "download" in shown(app))
        await pilot.press("enter")
        await until(pilot, lambda: Path("a_csv").stat().st_size == sizes["a_csv"])
        await pilot.press("j", "j", "j")
        await until(pilot, lambda: "80 × 40 pixels" in shown(app) and "▀" * 60 in shown(app))
        for out in ("escape", "q", "v"):
            await pilot.press("enter")
            await until(pilot, lambda: isinstance(app.screen, PicturePage))
            await tried(pilot, out, lambda: app.screen is page)


@tries({SheetPage: "escape q v : / left h right l c"})
async def test_keys_of_a_table(desk: Desk) -> None:
    names = [f"column number {n}" for n in range(10)]
    wide = "\n".join(",".join(f"{row} {name}" for name in names) for row in range(300))
    run = desk.do(desk.run_of("regions", RunState.SUCCEEDED, 31, 58.0, [stage("load", "succeeded", 31, 58.0)]))
    desk.do(desk.write_artifacts(run, "load", {"table": f"{','.join(names)}\n{wide}\n".encode()}))
    app = desk.app(f"artifacts {run}")
    async with app.run_test(size=NARROW) as pilot:
        await until(pilot, lambda: app.screen.panel.sample(app.screen.source) is not None)
        page = app.screen
        for out, go in (("escape", ":"), ("q", "/"), ("v", "")):
            await pilot.press("v")
            await until(pilot, lambda: isinstance(app.screen, SheetPage) and "3 column number 0" in shown(app))
            table = app.screen.table
            if go:
                await tried(pilot, go, lambda: isinstance(app.screen, Line) and "to which row?" in shown(app))
                await pilot.press(*"201", "enter")
                await until(pilot, lambda: "200 column number 0" in shown(app) and table.cursor == 200)  # noqa: B023
                await tried(pilot, "c", lambda: app.clipboard == "\t".join(f"200 {name}" for name in names))
                app.copy_to_clipboard("")
            else:
                steps = [("right", 20), ("l", 40), ("left", 20), ("h", 0)]
                await walk(pilot, lambda: table.scroll_offset.x, steps)  # noqa: B023
            await tried(pilot, out, lambda: app.screen is page)


async def test_where_nothing_can_be_drawn_there_are_words(
    desk: Desk, written: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KHANTUI_PICTURES", "words")
    app = desk.app(f"artifacts {written}")
    async with app.run_test(size=WIDE) as pilot:
        await until(pilot, lambda: "a_csv" in shown(app))
        await pilot.press("j", "j", "j")
        await until(pilot, lambda: "PNG picture, 80 × 40 pixels" in shown(app))
        assert "▀" not in shown(app)


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"TERM": "xterm-256color"}, "blocks"),
        ({"TERM": "xterm-kitty"}, "kitty"),
        ({"TERM": "xterm-256color", "KITTY_WINDOW_ID": "1"}, "kitty"),
        ({"TERM": "xterm-kitty", "TMUX": "/tmp/x"}, "blocks"),
        ({"TERM": "tmux-256color"}, "blocks"),
        ({"TERM": "foot"}, "sixel"),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "WezTerm"}, "sixel"),
        ({"TERM": "linux"}, "words"),
        ({"TERM": "xterm", "NO_COLOR": "1"}, "words"),
        ({"TERM": "dumb", "TEXTUAL_DRIVER": "web"}, "blocks"),
        ({"TERM": "linux", "KHANTUI_PICTURES": "sixel"}, "sixel"),
    ],
)
def test_what_a_terminal_can_is_told_by_its_environment(environment: dict[str, str], expected: str) -> None:
    assert protocol(environment) == expected
