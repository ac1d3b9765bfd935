"""What the API promises beyond its shapes: once, without a gap, and to nobody else."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from msgspec.structs import replace

from backend.api import cursor, filter
from backend.api.doors import SCOPE, Way
from backend.api.identity import Login
from backend.clock import SystemClock
from backend.errors import InvalidRequest, NotAllowed
from backend.run.state import Run, RunState
from backend.store import keys
from backend.store.access import AccessBook
from backend.store.codec import decode
from backend.store.memory import MemoryStore
from backend.store.records import change_run
from tests.contract.service import Service

pytestmark = pytest.mark.sandbox
STAGES = {"a": {"script": "true"}}


async def test_the_same_key_happens_once_and_answers_alike(api: Service) -> None:
    await api.put("p", stages=STAGES)
    answers = await asyncio.gather(*(api.ask("POST", "/pipelines/p/runs", {}, key="k1") for _ in range(5)))
    assert len({a.json()["id"] for a in answers}) == 1
    assert (await api.ask("GET", "/runs")).json()["total"] == 1
    again = await api.ask("POST", "/pipelines/p/runs", {}, key="k1")
    assert again.headers["Idempotent-Replay"] == "true"
    await api.ask("POST", "/pipelines/p/runs", {}, key="k2")
    assert (await api.ask("GET", "/runs")).json()["total"] == 2


async def test_the_same_key_with_another_request_is_refused(api: Service) -> None:
    await api.put("p", stages=STAGES)
    await api.ask("POST", "/pipelines/p/runs", {}, key="k")
    response = await api.ask("POST", "/pipelines/p/runs", {"date": "2026-01-01"}, key="k", status=409)
    assert "Idempotency-Key" in response.json()["title"]
    assert (await api.ask("GET", "/runs")).json()["total"] == 1


async def test_a_version_that_was_not_expected_is_not_replaced(api: Service) -> None:
    body: dict[str, Any] = {"document": json.dumps({"name": "p", "stages": {"a": {"image": "shell", "script": "1"}}})}
    await api.ask("POST", "/pipelines", body | {"expect": 0})
    changed = body | {"document": body["document"].replace('"1"', '"2"')}
    await api.ask("POST", "/pipelines", changed | {"expect": 0}, status=409)
    await api.ask("POST", "/pipelines", changed | {"dry_run": True})
    assert (await api.ask("GET", "/pipelines/p")).json()["version"] == 1
    assert (await api.ask("POST", "/pipelines", changed | {"expect": 1})).json()["version"] == 2
    assert (await api.ask("POST", "/pipelines", changed)).json()["outcome"] == "unchanged"


async def test_pages_do_not_repeat_or_leave_out_while_runs_come(api: Service) -> None:
    await api.put("p", stages=STAGES)
    runs = [await api.begin("p") for _ in range(7)]
    seen: list[str] = []
    query: dict[str, str] = {}
    while True:
        page = (await api.ask("GET", "/runs", limit="2", **query)).json()
        seen += [run["id"] for run in page["items"]]
        await api.begin("p")
        if not page["cursor"]:
            break
        query = {"cursor": page["cursor"]}
    assert seen == runs[::-1]


async def test_runs_in_several_states_are_one_list_and_only_those_are_read(
    api: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    await api.put("p", stages=STAGES)
    made = [await api.begin("p") for _ in range(9)]
    for number, run in enumerate(made):
        kv = await api.store.get(keys.run(run))
        assert kv is not None
        before = decode(kv.value, Run)
        state = [RunState.FAILED, RunState.SUCCEEDED, RunState.CANCELLED][number % 3]
        await api.store.commit([], change_run(before, replace(before, state=state)))
    read: list[str] = []
    get_many = api.store.get_many

    async def counted(asked: list[str]) -> list[Any]:
        read.extend(keys.run_of(key) for key in asked)
        return await get_many(asked)

    monkeypatch.setattr(api.store, "get_many", counted)
    wanted = [run for number, run in enumerate(made) if number % 3 != 1][::-1]
    for query in ({"state": ["failed", "cancelled"]}, {"filter": "state=failed,cancelled"}):
        seen: list[str] = []
        cursor = ""
        while True:
            page = (await api.ask("GET", "/runs", limit="2", cursor=cursor, **query)).json()
            seen += [run["id"] for run in page["items"]]
            assert page["total"] == (None if cursor else 6)
            cursor = page["cursor"]
            if not cursor:
                break
        assert seen == wanted
    assert set(read) == set(wanted)
    await api.ask("GET", "/runs", state=["failed", "queued"], skip="1", status=400)


async def test_a_filter_finds_the_same_by_what_is_kept_in_mind_as_by_the_store(
    api: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("clean", "learn"):
        await api.put(name, stages=STAGES)
    for number in range(24):
        run = await api.begin(("clean", "learn")[number % 2])
        kv = await api.store.get(keys.run(run))
        assert kv is not None
        before = decode(kv.value, Run)
        message = f"a: exit {number % 5}" if number % 3 == 0 else ""
        after = replace(before, message=message, state=RunState.FAILED if message else RunState.SUCCEEDED)
        await api.store.commit([], change_run(before, after))
    filters = ["exit", "exit learn", "!exit", "message~exit", "nowhere", "state=failed exit", run[-3:], f"id~{run[:4]}"]
    for query in [{"filter": each} for each in [*filters, "age<1h exit", "age>1h"]] + [
        {"filter": "exit", "sort": "pipeline"},
        {"filter": "exit 4", "pipeline": "learn", "state": "failed"},
    ]:
        answers = []
        for known in (True, False):
            monkeypatch.setattr(api.services.roster, "current", api.services.roster.current if known else _nothing)
            found: list[str] = []
            cursor = ""
            while cursor is not None:
                page = (await api.ask("GET", "/runs", limit="3", cursor=cursor, **query)).json()
                found += [run["id"] for run in page["items"]]
                cursor = page["cursor"]
            answers.append(found)
            monkeypatch.undo()
        assert answers[0] == answers[1], query
        assert "exit" not in str(query) or answers[0], query


async def _nothing() -> int:
    return 0


@contextlib.asynccontextmanager
async def events(api: Service, **query: str) -> AsyncIterator[AsyncIterator[dict[str, Any]]]:
    async with api.http.stream("GET", "/api/v1/events", params=query) as response:
        assert response.status_code == 200

        async def each() -> AsyncIterator[dict[str, Any]]:
            async for line in response.aiter_lines():
                if line.startswith("data: "):
                    yield json.loads(line.removeprefix("data: "))

        yield each()


async def test_events_go_on_where_a_list_or_an_earlier_stream_ended(api: Service) -> None:
    await api.put("p", stages=STAGES)
    revision = (await api.ask("GET", "/runs")).json()["revision"]
    runs = [await api.begin("p") for _ in range(4)]
    async with asyncio.timeout(20), events(api, since=str(revision), kind="run") as stream:
        first = [await anext(stream) for _ in range(2)]
    async with asyncio.timeout(20), events(api, since=str(first[-1]["revision"]), kind="run") as stream:
        rest = [await anext(stream) for _ in range(2)]
    assert [event["id"] for event in first + rest] == runs
    assert all(event["object"]["pipeline"] == "p" for event in first + rest)


async def test_a_stream_of_what_is_forgotten_is_refused(api: Service) -> None:
    await api.put("p", stages=STAGES)
    response = await api.http.get("/api/v1/events", params={"since": "0"})
    assert (response.status_code, response.json()["code"]) == (410, "revision-compacted")


def request(headers: dict[str, str], way: Way) -> Any:
    from starlette.requests import Request

    pairs = [(k.lower().encode(), v.encode()) for k, v in headers.items()]
    ends = {"client": ("127.0.0.1", 55555), "server": ("127.0.0.1", 80), SCOPE: way}
    return Request({"type": "http", "headers": pairs, **ends})


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "127.0.0.1:8080", "Origin": "https://evil.example"},
        {"Host": "localhost:8080", "Origin": "http://localhost:9999"},
        {},
    ],
)
async def test_pages_of_other_sites_are_kept_out_of_the_port(headers: dict[str, str]) -> None:
    login = Login(AccessBook(MemoryStore(SystemClock())))
    with pytest.raises(NotAllowed):
        await login.identify(request({"Host": "evil"} | headers, Way.LOOPBACK))


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("", ["a", "b", "c"]), ("learn", ["a"]), ("!learn", ["b", "c"]), ("state=failed", ["b"]),
        ("state!=failed", ["a", "c"]),
        ("state=failed,queued", ["b", "c"]), ("pipeline~LEARN", ["a"]), ("took>10m", ["b"]), ("took<=10m", ["a"]),
        ("version>=2", ["b", "c"]), ("version=v2", ["b"]), ("-l label.team=x", []), ("-l team=x", ["c"]),
        ("state=failed version=2", ["b"]), ("message~'no space'", ["b"]),
    ],
)  # fmt: skip
def test_filters(text: str, names: list[str]) -> None:
    subjects: dict[str, dict[str, Any]] = {
        "a": {"pipeline": "weekly-learners", "state": "succeeded", "version": 1, "took": 600.0, "message": ""},
        "b": {"pipeline": "etl", "state": "failed", "version": 2, "took": 601.0, "message": "no space left"},
        "c": {"pipeline": "etl", "state": "queued", "version": 3, "took": None, "message": "", "label.team": "x"},
    }
    fields = frozenset(("pipeline", "state", "version", "took", "message"))
    tests = filter.parse(text, fields)
    assert [name for name, subject in subjects.items() if filter.matches(tests, subject)] == names


@pytest.mark.parametrize(
    "text", ["colour=red", "version>soon", "took>10", "state>failed", "'open", "-l", "-l team", "age<2 moons"]
)
def test_what_is_no_filter(text: str) -> None:
    with pytest.raises(InvalidRequest):
        filter.parse(text, frozenset(("version", "took", "state", "age")))


def test_cursors() -> None:
    made = cursor.Cursor(7, "runs/é")
    assert cursor.unpack(cursor.pack(made)) == made
    assert cursor.unpack("") is None
    for text in ("x", "!!!", "e30", cursor.pack(made)[:-4]):
        with pytest.raises(InvalidRequest, match="none of ours"):
            cursor.unpack(text)


async def test_the_socket_is_its_owners_alone(api: Service, sockets: Any) -> None:
    assert (sockets / "api.sock").stat().st_mode & 0o777 == 0o600
    assert isinstance(await api.http.get("/healthz"), httpx.Response)


async def test_a_retry_that_is_not_taken_up_yet_shows_in_the_run(api: Service) -> None:
    """So that who waits for its end does not take the end before it for that."""
    await api.put("p", stages={"only": {"image": "shell", "script": "exit 1"}})
    async with api.engine():
        run = await api.begin("p")
        await api.ended(run)
    assert (await api.ask("GET", f"/runs/{run}")).json()["asked"] == []
    await api.ask("POST", f"/runs/{run}/retry", {})
    view = (await api.ask("GET", f"/runs/{run}")).json()
    assert (view["state"], view["asked"]) == ("failed", ["retry"])
    async with api.engine():
        async with asyncio.timeout(20):
            while (view := (await api.ask("GET", f"/runs/{run}")).json())["asked"] or not view["ended"]:
                await asyncio.sleep(0.01)
    assert [a["number"] for a in view["stages"][0]["attempts"]] == [1, 2]
