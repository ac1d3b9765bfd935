"""The API as it is served, over a unix socket, with an engine behind it; every answer is held against OpenAPI."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import httpx
from jsonschema import Draft202012Validator

from backend.api.app import create_app
from backend.api.doors import open_doors
from backend.api.identity import Login
from backend.api.openapi import document
from backend.api.serve import serve
from backend.api.services import Services
from backend.artifacts import FolderStore
from backend.listening import Listening
from backend.logs import LogStore
from backend.spec.bundle import address, pack
from backend.store.access import AccessBook
from backend.store.catalogue import Catalogue
from backend.store.feed import Feed
from backend.store.images import Images
from backend.store.roster import Roster
from backend.store.standing import Standing
from backend.store.tally import Tally
from tests.scenarios.world import World

anyio.open_file  # noqa: B018  imported lazily, and where the stack is deep that fails under pytest on Python 3.11
OPENAPI = document()
COMPONENTS = OPENAPI["components"]


def operation_of(method: str, path: str) -> tuple[str, dict[str, Any]]:
    """The operation that answers a request, as (its path's template, its description)."""
    for template, methods in OPENAPI["paths"].items():
        pattern = re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(template))
        if re.fullmatch(pattern, path) and method.lower() in methods:
            return template, methods[method.lower()]
    raise AssertionError(f"OpenAPI knows no {method} {path}")


def check(response: httpx.Response) -> str:
    """Hold an answer against its description: the operation's id."""
    _, operation = operation_of(response.request.method, response.request.url.path)
    described = operation["responses"].get(str(response.status_code))
    if described is None:
        assert response.status_code >= 400, f"{operation['operationId']} does not say that it answers {response}"
        described = operation["responses"]["default"]
        if response.request.method == "HEAD":
            return str(operation["operationId"])
    for media, content in described.get("content", {}).items():
        assert response.headers["content-type"].split(";")[0] == media
        if "json" in media and "schema" in content:
            schema = content["schema"] | {"components": COMPONENTS}
            Draft202012Validator(schema).validate(response.json())
    if "content" not in described:
        assert not response.content
    if response.status_code >= 400 and response.content:
        problem = response.json()
        assert problem["status"] == response.status_code
        assert problem["title"]
        assert problem["code"]
    return str(operation["operationId"])


class Service(World):
    """An engine, and a client of the API before it. `answered` are the operations that have answered well."""

    http: httpx.AsyncClient
    answered: set[str]
    access: AccessBook
    services: Services

    def login(self, access: AccessBook) -> Login:
        """Who callers are taken for."""
        return Login(access)

    @contextlib.asynccontextmanager
    async def serving(self, sockets: Path) -> AsyncIterator[None]:
        """Serve meanwhile, on a socket in a folder with a short path."""
        access = self.access = AccessBook(self.store)
        self.standing = Standing(self.store)
        clock, feed, images, secrets = self.clock, Feed(self.store), Images(self.store), self.secrets()
        tally, roster = Tally(self.store, feed), Roster(self.store, feed)
        services = self.services = Services(
            store=self.store,
            feed=feed,
            tally=tally,
            roster=roster,
            catalogue=Catalogue(self.store),
            logs=LogStore(self.layout, clock, masker_of=secrets.masker),
            artifacts=FolderStore(self.layout),
            code=self.code,
            clock=clock,
            layout=self.layout,
            executor="sandbox",
            sandboxed=True,
            images=images,
            secrets=secrets,
            missing=lambda: {"bigquery": "this machine has no bqrun"},
            slots=4,
            leader=lambda: True,
            access=access,
            standing=self.standing,
            login=self.login(access),
        )
        ready, self.answered = asyncio.Event(), set()
        socket = sockets / "api.sock"
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(feed.run())]
            await feed.started.wait()
            running += [tasks.create_task(tally.run()), tasks.create_task(roster.run())]
            await images.load()
            running.append(tasks.create_task(access.run(feed)))
            await access.loaded.wait()
            running.append(tasks.create_task(secrets.run(feed)))
            await secrets.loaded.wait()
            app = create_app(services)
            serving = serve(app, app, open_doors(socket, Listening()), ready.set)
            running.append(tasks.create_task(serving))
            await ready.wait()
            transport = httpx.AsyncHTTPTransport(uds=str(socket))
            async with httpx.AsyncClient(transport=transport, base_url="http://khantui", timeout=30) as self.http:
                yield
            for task in running:
                task.cancel()

    async def ask(  # type: ignore[override]  # here one asks over HTTP
        self, method: str, path: str, body: Any = None, *, status: int | None = None, key: str = "", **query: Any
    ) -> httpx.Response:
        """A request whose answer fits its description; `status` is what it must be (None: any good one)."""
        headers = {"Idempotency-Key": key} if key else {}
        content = body if isinstance(body, bytes) else json.dumps(body).encode() if body is not None else None
        response = await self.http.request(
            method, f"/api/v1{path}", content=content, params=query, headers=headers, timeout=30
        )
        operation = check(response)
        assert response.is_success if status is None else response.status_code == status, response.text
        if response.is_success:
            self.answered.add(operation)
        return response

    async def put(self, name: str, code: dict[str, str] | None = None, **document: Any) -> dict[str, Any]:
        """Apply a pipeline over HTTP; stages without an image are shell scripts."""
        for stage in document["stages"].values():
            stage.setdefault("image", "shell")
        bundle = ""
        if code:
            document["code"] = list(code)
            packed = pack({path: (text.encode(), False) for path, text in code.items()})
            bundle = address(packed)
            await self.ask("PUT", f"/bundles/{bundle}", packed)
        text = json.dumps({"name": name, **document})
        applied: dict[str, Any] = (await self.ask("POST", "/pipelines", {"document": text, "bundle": bundle})).json()
        return applied

    async def begin(self, name: str, **body: Any) -> str:
        """Start a run over HTTP: its id."""
        return str((await self.ask("POST", f"/pipelines/{name}/runs", body)).json()["id"])
