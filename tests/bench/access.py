"""What it costs to know who asks and whether they may: CPU time, against that of the whole request.

The guard is measured by itself, over a store in memory; the request is answered by a real daemon with its etcd, of
which only the daemon's own CPU time counts. Then all of it, the limits and the journal as well: the same requests of a
machine's token, over a socket and on a real etcd, in turn with everything and with nothing of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from starlette.requests import Request

from backend.access.model import Binding, Principal
from backend.api import app
from backend.api.call import Call
from backend.api.doors import PEER, SCOPE, Way
from backend.api.guard import guard
from backend.api.identity import Identity, Login
from backend.api.operations import OPERATIONS
from backend.api.rates import Rates
from backend.clock import SystemClock
from backend.issuers import Trusted
from backend.store import keys
from backend.store.access import AccessBook
from backend.store.base import Put
from backend.store.codec import encode
from backend.store.embedded import EmbeddedEtcd
from backend.store.etcd import EtcdStore
from backend.store.memory import MemoryStore
from backend.store.server_binary import provide
from backend.trust import Issuer, Trust
from tests.bench.engine import daemon
from tests.bench.gauges import spent
from tests.contract.service import Service
from tests.issuer_fixture import IssuerServer, Key

BINDINGS = 200  # of which few are the caller's
ROUNDS = 2000
REQUESTS = 1000
TURNS, EACH = 20, 50  # with and without, and requests of each
PATHS = {"get_pipeline": "/pipelines/sales-eu", "list_runs": "/runs", "get_run": "/runs/{run}"}


class Guarded(Service):
    """The application, and an issuer whose tokens it takes."""

    def __init__(self, folder: Path, issuer: IssuerServer) -> None:
        super().__init__(folder, MemoryStore(SystemClock()))
        self.issuer = issuer

    def login(self, access: AccessBook) -> Login:
        trust = Trust(issuers=(Issuer(self.issuer.url, "khantui"),), ca=self.issuer.ca)
        self.entrance = Login(access, None, Trusted(trust))
        return self.entrance


def measure(repeats: int = 3) -> Iterator[dict[str, Any]]:
    """Callers of three kinds, requests of three kinds."""
    with tempfile.TemporaryDirectory(prefix="kb") as folder:
        issuer = IssuerServer(Path(folder))
        issuer.keys = [Key("k1")]
        try:
            yield from asyncio.run(_measure(Path(folder), issuer, repeats))
        finally:
            issuer.close()
    with tempfile.TemporaryDirectory(prefix="kb") as folder:
        yield from asyncio.run(_with_and_without(Path(folder)))


async def _measure(folder: Path, issuer: IssuerServer, repeats: int) -> list[dict[str, Any]]:
    service, rows = Guarded(folder, issuer), list[dict[str, Any]]()
    for number in range(BINDINGS):
        other = Binding(f"user:u{number}@example.org", "editor", pipelines=f"p{number}-*")
        await service.store.commit([], [Put(keys.binding(other.id), encode(other))])
    whole = await asyncio.to_thread(_whole)
    async with service.serving(folder):
        await service.put("sales-eu", labels={"team": "sales-eu"}, stages={"a": {"script": "true"}})
        run = await service.begin("sales-eu")
        bind = {"subject": "user:ann@example.org", "role": "operator", "labels": {"team": "sales-eu"}}
        await service.ask("POST", "/auth/bindings", bind)
        made = await service.ask("POST", "/auth/tokens", {"name": "ci", "role": "viewer", "pipelines": "sales-*"})
        later = int(time.time()) + 3600
        shown = {"owner": "", "token": made.json()["token"], "issuer": issuer.token(exp=later)}
        for who, token in shown.items():
            for operation in PATHS:
                guarded = [await _guarded(service, operation, run, token) for _ in range(repeats)]
                rows.append(_row(f"{who}, {operation}", statistics.median(guarded), whole[operation]))
    return rows


def _whole() -> dict[str, float]:
    """CPU seconds of a real daemon for each request, asked by its owner over its socket."""
    found: dict[str, float] = {}
    with daemon(2) as engine:
        stages = {"a": {"image": "shell", "script": "true"}}
        engine.apply({"name": "sales-eu", "labels": {"team": "sales-eu"}, "stages": stages})
        runs = [engine.start("sales-eu") for _ in range(20)]
        engine.ended({r["id"] for r in runs}, runs[0]["revision"])
        for name, path in PATHS.items():
            path = path.format(run=runs[0]["id"])
            before = spent(engine.process.pid)
            for _ in range(REQUESTS):
                engine.http.get(path).raise_for_status()
            found[name] = (spent(engine.process.pid) - before) / REQUESTS
    return found


async def _guarded(service: Guarded, name: str, run: str, token: str) -> float:
    """CPU seconds of the guard."""
    operation = next(o for o in OPERATIONS if o.id == name)
    headers = [(b"host", b"khantui"), *([(b"authorization", b"Bearer " + token.encode())] if token else [])]
    here = {"client": None, SCOPE: Way.UNIX, PEER: os.getuid()}
    ends = {"client": ("10.0.0.1", 5), "server": ("10.0.0.2", 443), SCOPE: Way.REMOTE} if token else here
    parameters = {"name": "sales-eu", "run": run}
    scope = {"type": "http", "method": "GET", "query_string": b"", "headers": headers, "path_params": parameters}
    began = time.process_time()
    for _ in range(ROUNDS):
        request = Request({**scope, **ends})
        call = Call(request, service.services, await service.entrance.identify(request), name)
        await guard(call, operation)
    return (time.process_time() - began) / ROUNDS


async def _with_and_without(folder: Path) -> list[dict[str, Any]]:
    """CPU and wall time of requests, half of which nobody looks at, limits or writes down."""
    etcd = EmbeddedEtcd(folder / "etcd", await asyncio.to_thread(provide, print))
    await etcd.start()
    store = EtcdStore([etcd.target])
    try:
        await etcd.ready()
        service = Service(folder, store)
        async with service.serving(folder):
            object.__setattr__(service.services, "rates", Rates(1 << 30, 1 << 30))
            stages = {"a": {"script": "true"}}
            for number in range(60):
                await service.put(f"sales-{number}", stages=stages)
            await service.ask("PUT", "/schedules/s", {"pipeline": "sales-1", "kind": "cron", "cron": ["0 6 * * *"]})
            made = await service.ask("POST", "/auth/tokens", {"name": "ci", "role": "editor"})
            service.http.headers["authorization"] = f"Bearer {made.json()['token']}"
            return [
                await _shares(service, name, *request)
                for name, request in {
                    "read, get_pipeline": ("GET", "/pipelines/sales-1"),
                    "list, list_pipelines": ("GET", "/pipelines"),
                    "write, pause_schedule": ("POST", "/schedules/s/{pause}"),
                }.items()
            ]
    finally:
        await store.close()
        await etcd.stop()


async def _shares(service: Service, name: str, method: str, path: str) -> dict[str, Any]:
    """One request many times, in turn with and without."""
    found: dict[bool, list[tuple[float, float]]] = {True: [], False: []}
    turns = TURNS if method == "GET" else TURNS // 2
    for turn in range(2 * turns):
        bare = turn % 2 == 1
        with _nothing_of_it(service) if bare else contextlib.nullcontext():
            cpu, wall = time.process_time(), time.perf_counter()
            for number in range(EACH):
                asked = path.format(pause="resume" if number % 2 else "pause")
                (
                    await service.http.request(method, f"/api/v1{asked}", json={} if method == "POST" else None)
                ).raise_for_status()
            found[bare].append((time.process_time() - cpu, time.perf_counter() - wall))
    cpu, wall = (statistics.median(each[i] for each in found[False]) / EACH for i in (0, 1))
    bare_cpu, bare_wall = (statistics.median(each[i] for each in found[True]) / EACH for i in (0, 1))
    return {
        "workload": f"all of it: {name}",
        "wall_s": round(wall, 7),
        "per_request_us": round((cpu - bare_cpu) * 1e6, 1),
        "share_percent": round(100 * (cpu - bare_cpu) / cpu, 2),
        "wall_share_percent": round(100 * (wall - bare_wall) / wall, 2),
        "floor_s": round(bare_wall, 7),
        "floor_ratio": round(wall / bare_wall, 4),
    }


@contextlib.contextmanager
def _nothing_of_it(service: Service) -> Iterator[None]:
    """Everybody may do everything, as often as they like, and nothing is written down."""
    somebody = Identity(Principal("bench", owner=True), "unix")

    async def identify(_: Request) -> Identity:
        return somebody

    async def commit(call: Call, conditions: Any, changes: Any, target: str, **_: Any) -> int | None:
        return await call.services.store.commit(conditions, changes)

    async def unguarded(*_: object) -> None:
        pass

    before = app.guard, Call.commit, service.services.login.identify
    app.guard, Call.commit = unguarded, commit  # type: ignore[assignment,method-assign]
    service.services.login.identify = identify  # type: ignore[method-assign]
    try:
        yield
    finally:
        app.guard, Call.commit = before[:2]  # type: ignore[method-assign]
        service.services.login.identify = before[2]  # type: ignore[method-assign]


def _row(name: str, guarded: float, whole: float) -> dict[str, Any]:
    return {
        "workload": f"guard: {name}",
        "wall_s": round(guarded, 7),
        "per_request_us": round(guarded * 1e6, 1),
        "share_percent": round(100 * guarded / whole, 2),
        "floor_s": round(whole, 7),
        "floor_ratio": round(guarded / whole, 4),
    }
