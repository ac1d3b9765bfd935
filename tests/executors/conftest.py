"""A sandbox executor on a folder of its own, and attempts that are shell or Python scripts."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from backend.clock import SystemClock
from backend.executors.base import AttemptKey, AttemptSpec, Mount, Observation
from backend.executors.sandbox import Limits, SandboxExecutor
from backend.layout import Layout
from backend.spec.model import Resources

RUN = "01m85n6fsm-k8mv3h"


class Bench:
    """Starts scripts, and tells what became of them."""

    def __init__(self, layout: Layout, limits: Limits, *, sandboxed: bool = True) -> None:
        self.layout = layout
        self.executor = SandboxExecutor(layout, SystemClock(), limits=limits, sandboxed=sandboxed)
        self._ended: dict[AttemptKey, asyncio.Future[Observation]] = {}
        self._watch = asyncio.create_task(self._follow())
        self._count = 0

    async def _follow(self) -> None:
        async for batch in self.executor.observe():
            for seen in batch:
                if seen.state != "running" and not self._future(seen.key).done():
                    self._future(seen.key).set_result(seen)

    def _future(self, key: AttemptKey) -> asyncio.Future[Observation]:
        return self._ended.setdefault(key, asyncio.get_running_loop().create_future())

    def spec(self, script: str, image: str = "shell", **more: Any) -> AttemptSpec:
        """An attempt of a stage of its own."""
        self._count += 1
        given: dict[str, Any] = {
            "key": AttemptKey(RUN, f"s{self._count}", 1), "image": image, "argv": (), "script": script,
            "environment": {}, "inputs": (), "outputs": ("out",), "code": "", "resources": Resources(),
        }  # fmt: skip
        return AttemptSpec(**(given | more))

    def input(self, name: str, text: str, entry: str = "") -> Mount:
        """An input that is in the artifact store."""
        location = f"artifacts/inputs/{name}.{entry}"
        path = self.layout.artifact(location)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return Mount(name, location, "file", entry)

    async def start(self, script: str, image: str = "shell", **more: Any) -> AttemptKey:
        spec = self.spec(script, image, **more)
        await self.executor.ensure(spec)
        return spec.key

    async def ended(self, key: AttemptKey) -> Observation:
        async with asyncio.timeout(40):
            return await asyncio.shield(self._future(key))

    async def run(self, script: str, image: str = "shell", **more: Any) -> tuple[Observation, str]:
        """Run it to its end: what was seen, and the log."""
        key = await self.start(script, image, **more)
        seen = await self.ended(key)
        return seen, self.log(key)

    async def good(self, script: str, image: str = "shell", **more: Any) -> str:
        """Run it to a good end: the log."""
        seen, log = await self.run(script, image, **more)
        assert seen.exit_code == 0, (seen, log)
        return log

    def forget_ended(self, key: AttemptKey) -> None:
        """Wait for its end anew."""
        self._ended.pop(key, None)

    def folder(self, key: AttemptKey) -> Path:
        return self.layout.attempt(*key)

    def log(self, key: AttemptKey) -> str:
        return (self.folder(key) / "log").read_text(errors="replace")

    async def logged(self, key: AttemptKey, words: str) -> None:
        """Wait until the log has these words."""
        async with asyncio.timeout(20):
            while not (self.folder(key) / "log").exists() or words not in self.log(key):
                await asyncio.sleep(0.01)

    async def close(self) -> None:
        self._watch.cancel()
        await self.executor.close()


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    bench = Bench(Layout(tmp_path / "data"), Limits())
    yield bench
    await bench.close()


@pytest.fixture
async def bare(tmp_path: Path) -> AsyncIterator[Bench]:
    """Without a sandbox."""
    bench = Bench(Layout(tmp_path / "data"), Limits(), sandboxed=False)
    yield bench
    await bench.close()


def status(folder: Path) -> dict[str, Any]:
    """What the sandbox has said of itself."""
    return {k: v for line in (folder / "status.json").read_text().splitlines() for k, v in json.loads(line).items()}
