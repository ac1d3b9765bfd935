"""`python -m tests.pictures`: the pictures of the documentation, made from the real program on its examples.

A daemon of its own on a folder of its own runs the examples a few times; then each screen is gone to, and drawn.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path
from typing import Any

from msgspec.structs import replace
from textual.pilot import Pilot

from khantui.api.address import of_socket
from khantui.api.client import Client
from khantui.app import KhantuiApp
from tests.e2e.program import Program, environment, until_ready
from tests.tui.conftest import shown, until

TARGET = Path(__file__).parent.parent / "docs" / "images"
SIZE = (130, 36)
EDIT = ["j", "e", "3", "0", "space", "6", "space", "asterisk", "space", "asterisk", "space", *"MON"]
# name -> where it is, what shows that it is all there, and the keys pressed then
SCREENS: dict[str, tuple[str, str, list[str], str]] = {
    "runs": ("runs", "penguins-mass", ["j", "j"], ""),
    "run": ("run penguins-mass", "body_mass_g is 'NA'", [], ""),
    "against": ("run weather", "graph ·", ["equals_sign"], "parameters"),
    "why": ("run penguins-mass", "body_mass_g is 'NA'", ["w"], "retries what"),
    "pulse": ("pulse", "Last 7 days", [], "leader"),
    "grid": ("grid quakes", "stages ×", [], ""),
    "pipelines": ("pipelines", "weather-compare", [], ""),
    "pipeline": ("pipeline weather", "4 stages", [], ""),
    "schedules": ("schedules", "weather", [], ""),
    "schedule": ("schedules", "weather", EDIT, "06:30 ("),
    "editor": ("edit weather", "what it is for", ["j", "j", "j", "j", "j", "j"], "what it is written in"),
    "artifacts": ("artifacts weather", "months", ["G", "k", "k"], "▀▀▀▀"),
    "table": ("artifacts weather", "months", ["v"], "rows,"),
    "palette": ("runs", "penguins-mass", ["ctrl+p", *"weat"], "grid weather"),
}


def main() -> None:
    """Make them all, or those that are named."""
    wanted = sys.argv[1:] or list(SCREENS)
    with tempfile.TemporaryDirectory(prefix="kh") as folder:
        data = Path(folder) / "d"
        os.environ |= {"XDG_STATE_HOME": f"{folder}/state", "KHANTUI_CONFIG": f"{folder}/config", "TZ": "UTC"}
        os.environ["KHANTUI_PICTURES"] = "blocks"
        time.tzset()
        command = [sys.executable, "-m", "khantui", "up", "--headless", "--examples", "--data", str(data)]
        process = subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, text=True)
        try:
            until_ready(process)
            furnish(Program(data))
            ask = Client.daemon
            hidden: Any = lambda self: replace(ask(self), data="/var/lib/khantui", pid=4242)  # noqa: E731
            Client.daemon = hidden  # type: ignore[method-assign]
            for name in wanted:
                asyncio.run(draw(data / "api.sock", name))
        finally:
            process.terminate()
            process.wait(30)


def furnish(khantui: Program) -> None:
    """More runs than one of each, and schedules."""
    while "penguins-mass" not in khantui("runs", "state=failed", "-o", "table").out:  # the tour of the examples
        time.sleep(0.5)

    def do(*arguments: str) -> None:
        done = khantui(*arguments)
        assert done.code == 0, done

    for _ in range(3):
        for name in ("weather", "quakes", "penguins", "temperature", "weather-compare"):
            do("run", name)
    do("run", "co2", "--wait")
    do("run", "weather", "-p", "wet=2", "--wait")
    do("run", "quakes", "--wait")
    do("schedule", "weather", "--cron", "0 6 * * MON", "--tz", "America/Los_Angeles")
    do("schedule", "quakes", "--cron", f"{(datetime.now().minute + 12) % 60} * * * *")
    do("schedule", "penguins", "--cron", "30 6 * * MON", "--tz", "America/Los_Angeles")
    do("schedule", "weather-compare", "--after", "weather")


async def draw(socket: Path, name: str) -> None:
    """One picture."""
    command, sign, keys, then = SCREENS[name]
    app = KhantuiApp(of_socket(socket), start=command)
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: sign in shown(app) and "⟲ live" in shown(app) and app.overview.loaded, 60)
        await settle(pilot)
        for key in keys:
            await pilot.press(key)
        if then:
            await until(pilot, lambda: then in shown(app), 60)
        await settle(pilot)
        text = app.export_screenshot(title=f"khantui · {name}")
        assert str(socket.parent) not in text
        (TARGET / f"{name}.svg").write_text(text)
        print(f"docs/images/{name}.svg")


async def settle(pilot: Pilot[Any]) -> None:
    """Until nothing is asked for any more."""
    app = pilot.app
    await until(pilot, lambda: not any(w.is_running for w in app.workers if w.group not in ("log",)), 60)
    await pilot.pause(0.3)


if __name__ == "__main__":
    main()
