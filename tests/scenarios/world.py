"""A whole engine in one process: the real store, executor, artifacts and logs, and the controller between them."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from backend.artifacts import CodeStore, FolderStore
from backend.clock import SystemClock
from backend.control.attempts import Attempts
from backend.control.grants import Grants
from backend.control.runs import Parts, RunController
from backend.executors.sandbox import SandboxExecutor
from backend.layout import Layout
from backend.logs import LogStore
from backend.run.create import new_run
from backend.run.ids import new_id
from backend.run.state import Run, StageRecord, Trigger
from backend.spec.bundle import pack
from backend.spec.lint import lint
from backend.store import keys
from backend.store.base import Condition, Put, Store
from backend.store.catalogue import Catalogue
from backend.store.codec import decode, encode
from backend.store.feed import Feed
from backend.store.records import Command, PipelineHead, Version, create_run
from backend.store.secrets import Secrets
from backend.vault import Keyring


class World:
    """Pipelines, runs, and an engine that can be stopped and started anew on the same store and folder."""

    def __init__(self, folder: Path, store: Store, *, slots: int = 4) -> None:
        self.layout = Layout(folder)
        self.store = store
        self.slots = slots
        self.clock = SystemClock()
        self.code = CodeStore(self.layout)
        self.versions: dict[str, int] = {}

    @contextlib.asynccontextmanager
    async def engine(self) -> AsyncIterator[None]:
        """A controller that runs meanwhile, and is cancelled, not asked, at the end."""
        executor = SandboxExecutor(self.layout, self.clock)
        secrets = self.secrets()
        logs = LogStore(self.layout, self.clock, masker_of=secrets.masker)
        feed = Feed(self.store)
        catalogue = Catalogue(self.store)
        grants = Grants(self.store, secrets, self.clock)
        attempts = Attempts(self.store, FolderStore(self.layout), self.code, self.clock, grants)
        parts = Parts(self.store, feed, catalogue, executor, attempts, logs, self.clock)
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(feed.run()), tasks.create_task(logs.run())]
            await feed.started.wait()
            running.append(tasks.create_task(secrets.run(feed)))
            running.append(tasks.create_task(RunController(parts, list, slots=self.slots).run()))
            try:
                yield
            finally:
                for task in running:
                    task.cancel()
                await executor.close()

    def secrets(self) -> Secrets:
        """What each daemon makes of the store's secrets, with the key that all of them have."""
        return Secrets(self.store, Keyring(self.layout.secrets_key, own=True))

    async def apply(self, name: str, code: dict[str, str] | None = None, **document: Any) -> None:
        """A pipeline's next version: `document` is all but its name; stages without an image are shell scripts."""
        for stage in document["stages"].values():
            stage.setdefault("image", "shell")
        if code:
            document["code"] = list(code)
        text = json.dumps({"name": name, **document})
        report = lint(text)
        assert report.ok, report.findings
        assert report.pipeline is not None
        retention = report.pipeline.retention
        bundle = ""
        if code:
            bundle = await self.code.put(pack({path: (body.encode(), False) for path, body in code.items()}))
        number = self.versions[name] = self.versions.get(name, 0) + 1
        found = await self.store.get(keys.pipeline(name))
        await self.store.commit(
            [Condition(keys.pipeline(name), modified=found.modified if found else 0)],
            [
                Put(keys.pipeline(name), encode(PipelineHead(name, number, retention=retention))),
                Put(keys.version(name, number), encode(Version(name, number, text, bundle))),
            ],
        )

    async def start(
        self, name: str, trigger: Trigger | None = None, retry_from: str = "", *, fresh: bool = False, **parameters: str
    ) -> str:
        """A new run: its id."""
        loaded = await Catalogue(self.store).current(name)
        now = datetime.now(UTC)
        run = new_run(
            loaded.pipeline,
            loaded.plan,
            identifier=new_id(now),
            version=loaded.record.version,
            moment=now,
            now=now,
            parameters=parameters,
            trigger=trigger or Trigger(),
            retry_from=retry_from,
            fresh=fresh,
        )
        assert await self.store.commit(*create_run(run)) is not None
        return run.id

    async def ask(self, run_id: str, kind: str, **more: Any) -> None:
        """Cancel or retry a run."""
        command = Command(kind, "alice", datetime.now(UTC), **more)  # type: ignore[arg-type]
        await self.store.commit([], [Put(keys.command(run_id, new_id(command.at)), encode(command))])

    async def run(self, run_id: str) -> Run:
        """Its summary now."""
        found = await self.store.get(keys.run(run_id))
        assert found is not None
        return decode(found.value, Run)

    async def stages(self, run_id: str) -> dict[str, StageRecord]:
        """Its stages' records now."""
        found: dict[str, StageRecord] = {}
        async for page in self.store.scan(keys.stages(run_id)):
            found |= {r.name: r for r in (decode(item.value, StageRecord) for item in page.items)}
        return found

    async def until(self, run_id: str, what: Callable[[Run, dict[str, StageRecord]], bool], limit: float = 30) -> Run:
        """Wait until `what(run, stages)` holds."""
        async with asyncio.timeout(limit):
            found = await self.store.page("", "\x7f", limit=1, keys_only=True)
            changes = self.store.watch("", found.revision + 1)
            while not what(run := await self.run(run_id), await self.stages(run_id)):
                await anext(changes)
            return run

    async def ended(self, run_id: str, limit: float = 30) -> Run:
        """Wait until the run has ended."""
        return await self.until(run_id, lambda run, _: run.state.ended, limit)
