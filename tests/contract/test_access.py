"""Who may do what: every operation as every role, and what is shown of what belongs to others."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from msgspec.structs import replace
from starlette.requests import Request
from starlette.responses import Response

import backend.api.app
from backend.access.model import ROLES, Binding, Principal
from backend.api.call import Call
from backend.api.identity import Identity, Login
from backend.clock import SystemClock
from backend.run.ids import new_id
from backend.run.state import Run
from backend.schedule.backfill import Backfill, Steps
from backend.schedule.model import Schedule
from backend.store import keys
from backend.store.access import AccessBook
from backend.store.base import Put
from backend.store.codec import encode
from backend.store.memory import MemoryStore
from backend.store.records import PipelineHead, create_run
from tests.contract.service import OPENAPI, Service

DOCS = Path(__file__).parents[2] / "docs" / "access.md"
NOW = datetime(2026, 3, 3, 6, tzinfo=UTC)
STAGES = {"a": {"script": "true", "image": "shell"}}
HEADER = "x-tests-caller"
# how a role can be given; but for the first, on the pipeline `mine` alone
KINDS: dict[str, dict[str, Any]] = {
    "all": {},
    "name": {"pipelines": "min?"},
    "label": {"labels": {"team": "a"}},
    "both": {"pipelines": "m*", "labels": {"team": "a"}},
}


class Told(Login):
    """Takes everybody for whom they say that they are; who says nothing owns the daemon."""

    async def identify(self, request: Request) -> Identity:
        named = request.headers.get(HEADER, "")
        kind, _, name = named.partition(":")
        if not named:
            return Identity(Principal("root", owner=True), "unix")
        return Identity(Principal(name, "token" if kind == "token" else "user"), "unix")


class Guarded(Service):
    """The API, of whose callers is believed what they say."""

    def login(self, access: AccessBook) -> Login:
        return Told(access)

    async def as_(self, who: str, method: str, path: str, body: Any = None, **query: Any) -> httpx.Response:
        """A request of somebody."""
        content = json.dumps(body).encode() if body is not None else None
        return await self.http.request(
            method, f"/api/v1{path}", content=content, params=query, headers={HEADER: who} if who else {}
        )

    async def bind(self, subject: str, role: str, **on: Any) -> str:
        """Give a role: the binding's id."""
        return str((await self.ask("POST", "/auth/bindings", {"subject": subject, "role": role, **on})).json()["id"])

    async def furnish(self, name: str, labels: dict[str, str]) -> dict[str, str]:
        """A pipeline with one of each that belongs to it: what paths name it by."""
        run = Run(new_id(NOW, name), name, 1, NOW, created=NOW)
        conditions, changes = create_run(run)
        schedule = Schedule(f"s-{name}", name, "cron", cron=("0 6 * * *",))
        backfill = Backfill(f"b{name}", name, NOW, NOW, Steps(every=60), "1m")
        changes += [
            Put(keys.pipeline(name), encode(PipelineHead(name, 1, labels=labels))),
            Put(keys.schedule(schedule.name), encode(schedule)),
            Put(keys.backfill(backfill.id), encode(backfill)),
        ]
        await self.store.commit(conditions, changes)
        return {"pipelines": name, "runs": run.id, "schedules": schedule.name, "backfills": backfill.id}


@pytest.fixture
async def guarded(tmp_path: Path, sockets: Path) -> AsyncIterator[Guarded]:
    service = Guarded(tmp_path, MemoryStore(SystemClock()))
    async with service.serving(sockets):
        yield service


def documented() -> dict[str, tuple[str, str]]:
    """The table of docs/access.md: operation -> its role, and on what."""
    rows = re.findall(r"^\| `(\w+)` \| `[A-Z]+ [^`]*` \| (\w+) \| (\w+) \|", DOCS.read_text(), re.MULTILINE)
    return {name: (role, on) for name, role, on in rows}


def operations() -> list[tuple[str, str, str]]:
    """All of the OpenAPI document: (id, method, path)."""
    return [
        (described["operationId"], method.upper(), path.removeprefix("/api/v1"))
        for path, methods in OPENAPI["paths"].items()
        for method, described in methods.items()
    ]


def test_the_table_says_what_the_openapi_document_says() -> None:
    described = {
        d["operationId"]: (d["x-role"], d["x-on"]) for methods in OPENAPI["paths"].values() for d in methods.values()
    }
    assert documented() == described
    assert {method for _, method, _ in operations()} <= {"GET", "HEAD", "POST", "PUT", "DELETE"}
    for name, method, _ in operations():
        if method in ("PUT", "DELETE"):
            assert ROLES.index(described[name][0]) > ROLES.index("viewer"), name


def expected(name: str, role: str, covered: bool, everywhere: bool) -> set[int]:
    """What the table says of somebody with a role, on everything or on one pipeline (`covered`: that one is meant)."""
    needed, on = documented()[name]
    rank = ROLES.index(role)  # type: ignore[arg-type]
    enough = rank >= ROLES.index(needed)  # type: ignore[arg-type]
    if needed == "anyone":
        return {299}
    if not enough or (on == "all" and not everywhere):
        return {403}
    if on in ("pipeline", "run", "schedule", "backfill") and not (everywhere or covered):
        return {404}  # they may not even know of it
    return {299}


def concrete(template: str, things: dict[str, str]) -> str:
    """A path that leads to what there is."""
    named = re.sub(r"/(pipelines|runs|schedules|backfills)/\{\w+\}", lambda m: f"/{m[1]}/{things[m[1]]}", template)
    return re.sub(r"\{\w+\}", "x", named)


async def test_every_operation_answers_every_role_as_its_table_says(
    tmp_path: Path, sockets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def passed(call: Call) -> Response:
        return Response(status_code=299)

    reached = [replace(o, handler=passed) for o in backend.api.app.OPERATIONS]
    monkeypatch.setattr(backend.api.app, "OPERATIONS", reached)
    api = Guarded(tmp_path, MemoryStore(SystemClock()))
    for role in ROLES[1:]:
        for kind, where in KINDS.items():
            binding = Binding(f"user:{role}-{kind}", role, **where)
            await api.store.commit([], [Put(keys.binding(binding.id), encode(binding))])
    mine = await api.furnish("mine", {"team": "a"})
    theirs = await api.furnish("theirs", {"team": "b"})
    asked, wrong = 0, []
    async with api.serving(sockets):
        for name, method, template in operations():
            for things in (mine, theirs):
                path = concrete(template, things)
                for who in ("nobody", *(f"{role}-{kind}" for role in ROLES[1:] for kind in KINDS)):
                    role, _, kind = who.partition("-")
                    answer = await api.as_(f"user:{who}", method, path)
                    may = expected(name, "anyone" if who == "nobody" else role, things is mine, kind == "all")
                    asked += 1
                    if answer.status_code not in may:
                        wrong.append(f"{who} {name} {things['pipelines']}: {answer.status_code}, not {may}")
    assert not wrong
    assert asked == len(operations()) * 2 * 17
