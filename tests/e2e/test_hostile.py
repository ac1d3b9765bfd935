"""A hostile log in a real terminal: the frame around it stands, and the terminal is left as it was."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from khantui.render.text import width
from tests.e2e.program import READY, Program
from tests.e2e.test_terminal import Terminal
from tests.tui.test_logs import EVIL

pytestmark = [
    pytest.mark.slow,
    pytest.mark.attack,
    pytest.mark.skipif(not shutil.which("tmux"), reason="there is no tmux"),
    pytest.mark.timeout(READY + 120),
]
WRITE = "import sys; sys.stdout.buffer.write(open('evil', 'rb').read())"


@pytest.fixture
def folder() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="kh"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


def stands(text: str) -> bool:
    """Whether the box around the log is whole: more than 20 rows between its sides, each as wide as the terminal."""
    framed = [row for row in text.split("\n") if row.startswith("│")]
    return len(framed) > 20 and all((row[-1], width(row)) == ("│", 100) for row in framed)


def test_the_frame_stands_and_the_terminal_is_left_as_it_was(folder: Path) -> None:
    data = folder / "d"
    terminal = Terminal(folder / "tmux", f"{sys.executable} -m khantui up --data {data}; sleep 60", 100, 30)
    khantui = Program(data)
    try:
        title = terminal.ask("#{pane_title}")
        terminal.until(lambda t: "nothing has run yet" in t, READY)
        document = {"name": "evil", "code": ["evil"], "stages": {
            name: {"image": "python", "run": ["python3", "-c", WRITE]} for name in ("one", "two")}}  # fmt: skip
        khantui.apply(folder / "p", document, {"evil": "".join(f"{line}\n" for line in EVIL)})
        assert khantui("run", "evil", "--wait").code == 0
        terminal.type(":log evil *")
        terminal.press("Enter")
        terminal.until(lambda t: "log · all stages · 32 lines" in t and "the last of them" in t)
        for keys in (["f"], ["1"], ["w"], ["0"], ["t"], ["w"], ["1"]):
            terminal.press(*keys)
            # A picture taken in the middle of a paint is torn: the frame must come to stand, whatever the machine does.
            text = terminal.until(lambda t: "archived" in t and stands(t))
            assert "not markup" in text or "the last of them" in text or "xxxx" in text
        assert terminal.ask("#{pane_title}") == title
        assert terminal.ask("#{alternate_on}") == "1"
    finally:
        terminal.close()
