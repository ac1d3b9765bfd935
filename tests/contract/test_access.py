"""Who may do what: every operation as every role, and what is shown of what belongs to others."""

from __future__ import annotations

import asyncio
import base64
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
import backend.api.endless
from backend.access.model import ROLES, Binding, Principal, Session
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
        if method in ("PUT", "DELETE") and name != "end_session":  # one's own; of others it takes an administrator
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


def thing(path: str) -> str:
    """What a path names first."""
    return next(p for p in re.split(r"[/?]", path) if p not in ("", "runs", "pipelines", "schedules", "backfills"))


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


@pytest.fixture
async def teams(guarded: Guarded) -> Guarded:
    """Two teams' pipelines, and people of one of them: ann edits, bob looks on."""
    for name, team in (("sales-eu", "sales"), ("payroll", "people")):
        stages = {"a": {**STAGES["a"], "outputs": ["out"]}}
        await guarded.put(name, labels={"team": team}, outputs={"out": {}}, stages=stages)
        schedule = {"pipeline": name, "kind": "cron", "cron": ["0 6 * * *"]}
        await guarded.ask("PUT", f"/schedules/s-{name}", schedule)
        await guarded.begin(name)
        range_ = {"start": "2026-01-01", "end": "2026-01-02", "step": "1d"}
        await guarded.ask("POST", f"/pipelines/{name}/backfills", range_)
    await guarded.bind("user:ann", "editor", labels={"team": "sales"})
    await guarded.bind("user:bob", "viewer", pipelines="sales-*")
    await guarded.bind("everyone", "viewer", pipelines="nothing-*")
    return guarded


@pytest.mark.attack
@pytest.mark.parametrize("who", ["user:ann", "user:bob"])
async def test_lists_show_what_somebody_may_see_and_nothing_of_others(teams: Guarded, who: str) -> None:
    for path in ("/pipelines", "/runs", "/schedules", "/backfills", "/forecast?hours=48"):
        mine = await teams.as_(who, "GET", path)
        assert mine.status_code == 200, mine.text
        assert "sales-eu" in mine.text
        assert "payroll" not in mine.text, path
    for query in ("state=queued", "pipeline=payroll", "filter=pipeline~roll", "sort=pipeline", "filter=-l team=people"):
        found = await teams.as_(who, "GET", f"/runs?{query}")
        assert "payroll" not in found.text, query
        assert found.json()["total"] in (None, 0), query
    whole = (await teams.as_("", "GET", "/pipelines")).json()
    assert (whole["total"], (await teams.as_(who, "GET", "/pipelines")).json()["total"]) == (2, None)
    foresight = await teams.as_(who, "GET", "/schedules/s-sales-eu/foresight")
    assert "payroll" not in foresight.text  # it starts in the same minute


@pytest.mark.attack
async def test_what_belongs_to_others_is_answered_as_what_there_is_not(teams: Guarded) -> None:
    run = (await teams.as_("", "GET", "/runs?pipeline=payroll")).json()["items"][0]["id"]
    backfill = (await teams.as_("", "GET", "/backfills?pipeline=payroll")).json()["items"][0]["id"]
    for theirs, none in (
        ("/pipelines/payroll", "/pipelines/nosuch"),
        ("/pipelines/payroll/versions/1", "/pipelines/nosuch/versions/1"),
        ("/pipelines/payroll/log/search?text=x", "/pipelines/nosuch/log/search?text=x"),
        (f"/runs/{run}", "/runs/0000000000-000000"),
        (f"/runs/{run[-6:]}", "/runs/000000"),
        (f"/runs/{run}/log", "/runs/0000000000-000000/log"),
        (f"/runs/{run}/artifacts/out/content", "/runs/0000000000-000000/artifacts/out/content"),
        (f"/runs/{run}/stages/a/log/raw", "/runs/0000000000-000000/stages/a/log/raw"),
        ("/runs/payroll@latest", "/runs/0000000000-000000"),
        ("/schedules/s-payroll", "/schedules/nosuch"),
        (f"/backfills/{backfill}", "/backfills/nosuch"),
    ):
        one, other = await teams.as_("user:ann", "GET", theirs), await teams.as_("user:ann", "GET", none)
        assert (one.status_code, other.status_code) == (404, 404), theirs
        said, missing = one.json(), other.json()
        assert said["title"].replace(thing(theirs), "X") == missing["title"].replace(thing(none), "X")
        assert said.get("hint") == missing.get("hint")


@pytest.mark.attack
async def test_nobody_edits_their_way_to_what_is_others(teams: Guarded) -> None:
    def document(name: str, team: str, **more: Any) -> dict[str, str]:
        return {"document": json.dumps({"name": name, "labels": {"team": team}, "stages": STAGES} | more)}

    ann, reading = "user:ann", {"a": {**STAGES["a"], "inputs": ["p"]}}
    assert (await teams.as_(ann, "POST", "/pipelines", document("sales-us", "sales"))).status_code == 200
    for body in (
        document("payroll", "sales"),  # another team's pipeline, with our label
        document("payroll", "people"),
        document("new", "people"),  # into another team
        document("sales-eu", "people"),
        document("reads", "sales", inputs={"p": {"from": "payroll/out"}}, stages=reading),
        document("uses", "sales", stages={"a": {"uses": "payroll/a"}}),
    ):
        answer = await teams.as_(ann, "POST", "/pipelines", body)
        assert answer.status_code in (403, 404, 422), answer.text
        assert (await teams.as_(ann, "POST", "/pipelines", {**body, "dry_run": True})).status_code == answer.status_code
    linted = await teams.as_(ann, "POST", "/lint", document("x", "sales", inputs={"p": {"from": "payrol/out"}}))
    assert "payroll" not in linted.text  # nor is it suggested
    await teams.put("people", labels={"team": "people"}, stages=dict(STAGES))
    # a pipeline that was deleted still has runs: who makes it again must have been its editor
    await teams.ask("DELETE", "/pipelines/payroll", force="1", status=204)
    assert (await teams.as_(ann, "POST", "/pipelines", document("payroll", "sales"))).status_code in (403, 404)
    plan = {"pipeline": "sales-eu", "kind": "after", "after": ["payroll"]}
    assert (await teams.as_(ann, "PUT", "/schedules/spy", plan)).status_code == 404
    assert (await teams.as_(ann, "PUT", "/schedules/s-sales-eu", plan)).status_code == 404
    range_ = {"start": "2026-01-01", "end": "2026-01-02", "step": "s-hidden"}
    await teams.ask("PUT", "/schedules/s-hidden", {"pipeline": "people", "kind": "cron", "cron": ["0 6 * * *"]})
    stepped = await teams.as_(ann, "POST", "/pipelines/sales-eu/backfills/preview", range_)
    assert (stepped.status_code, "people" in stepped.text) == (404, False)
    takes = {"pipeline": "sales-us", "kind": "cron", "cron": ["0 7 * * *"]}
    assert (await teams.as_("user:bob", "PUT", "/schedules/mine", takes)).status_code == 403


@pytest.mark.attack
async def test_a_cursor_that_is_made_up_leads_to_no_other_list(teams: Guarded) -> None:
    from backend.api.cursor import Cursor, pack

    for path in ("/pipelines", "/pipelines/sales-eu/versions", "/runs", "/schedules", "/pipelines/sales-eu/cache"):
        for key in ("", "bindings/", "channels/", "tokens/", "versions/z", "zzz", "\U0010ffff", "pipelines/../tokens"):
            answer = await teams.as_("user:ann", "GET", path, cursor=pack(Cursor(0, key)), limit="1000")
            assert answer.status_code in (200, 400), (path, key, answer.text)
            assert "payroll" not in answer.text
            assert "user:" not in answer.text


@pytest.mark.attack
async def test_the_stream_of_events_is_of_what_somebody_may_see_as_long_as_they_may(
    teams: Guarded, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backend.api.endless, "AGAIN", 3600.0)  # it is to go on
    since = (await teams.as_("", "GET", "/runs")).json()["revision"]
    binding = await teams.bind("user:eve", "viewer", pipelines="sales-*")
    seen: list[dict[str, Any]] = []
    url = "/api/v1/events"
    async with teams.http.stream("GET", url, params={"since": since}, headers={HEADER: "user:eve"}) as stream:
        await teams.begin("payroll")
        run = await teams.begin("sales-eu")
        await teams.ask("POST", f"/runs/{run}/cancel", status=202)
        await teams.ask("POST", "/schedules/s-payroll/pause", {"reason": "x"})
        await teams.ask("POST", "/schedules/s-sales-eu/pause", {"reason": "x"})
        await teams.ask("DELETE", "/schedules/s-payroll", status=204)
        await teams.ask("DELETE", "/schedules/s-sales-eu", status=204)
        lines = stream.aiter_lines()
        async for line in lines:
            if line.startswith("data: "):
                seen.append(json.loads(line.removeprefix("data: ")))
                if seen[-1]["kind"] == "schedule" and seen[-1]["object"] is None:
                    break
        assert "payroll" not in json.dumps(seen)
        assert {e["kind"] for e in seen} == {"run", "command", "schedule"}
        await teams.ask("DELETE", f"/auth/bindings/{binding}", status=204)
        await teams.begin("sales-eu")  # she hears of it no more
        await teams.bind("user:eve", "viewer", pipelines="payroll")
        told = await teams.begin("payroll")
        async for line in lines:
            if line.startswith("data: "):
                assert json.loads(line.removeprefix("data: "))["id"] == told
                break


@pytest.mark.attack
async def test_a_stream_ends_when_its_callers_role_has(teams: Guarded, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend.api.endless, "AGAIN", 0.0)
    binding = await teams.bind("token:eve", "viewer", pipelines="sales-*")
    since = (await teams.as_("", "GET", "/runs")).json()["revision"]
    run = await teams.begin("sales-eu")
    headers, query = {HEADER: "token:eve"}, {"since": since}
    log = f"/api/v1/runs/{run}/log/follow"  # nothing runs here: it would wait for ever
    async with teams.http.stream("GET", "/api/v1/events", params=query, headers=headers) as events:
        lines = events.aiter_lines()
        async for line in lines:
            if run in line:
                break
        await teams.ask("DELETE", f"/auth/bindings/{binding}", status=204)
        await teams.begin("sales-eu")
        assert "data:" not in "".join([line async for line in lines])
    assert (await teams.http.get(log, headers=headers)).status_code == 403


@pytest.mark.attack
async def test_a_stream_in_which_nothing_happens_ends_as_well(teams: Guarded, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend.api.endless, "AGAIN", 0.05)
    binding = await teams.bind("token:eve", "viewer", pipelines="sales-*")
    run = await teams.begin("sales-eu")
    headers = {HEADER: "token:eve"}
    log = f"/api/v1/runs/{run}/stages/a/log/follow"  # nothing runs here: it waits for ever
    async with (
        teams.http.stream("GET", "/api/v1/events", headers=headers) as events,
        teams.http.stream("GET", log, headers=headers) as lines,
    ):
        assert (events.status_code, lines.status_code) == (200, 200)
        await teams.ask("DELETE", f"/auth/bindings/{binding}", status=204)
        async with asyncio.timeout(30):
            assert "data:" not in "".join([part async for part in events.aiter_text()])
            assert [part async for part in lines.aiter_text()] == []


@pytest.mark.attack
async def test_who_is_no_administrator_sees_and_ends_only_sessions_of_their_own(teams: Guarded) -> None:
    until = datetime(2099, 1, 1, tzinfo=UTC)
    for digest, user in (("ab" * 32, "eve"), ("cd" * 32, "ann")):
        await teams.store.commit([], [Put(keys.session(digest), encode(Session(user, (), until)))])
    (own,) = (await teams.as_("user:eve", "GET", "/auth/sessions")).json()["items"]
    assert (own["id"], own["user"]) == ("ab" * 8, "eve")
    assert (await teams.as_("user:eve", "DELETE", f"/auth/sessions/{'cd' * 8}")).status_code == 404
    assert (await teams.as_("token:eve", "DELETE", f"/auth/sessions/{'ab' * 8}")).status_code == 404
    assert (await teams.as_("user:eve", "DELETE", f"/auth/sessions/{'ab' * 8}")).status_code == 204
    left = (await teams.as_("", "GET", "/auth/sessions")).json()["items"]
    assert [s["user"] for s in left] == ["ann"]


async def test_what_is_sent_again_is_answered_to_the_same_caller_alone(teams: Guarded) -> None:
    one = await teams.http.post(
        "/api/v1/pipelines/sales-eu/runs", content="{}", headers={"Idempotency-Key": "k", HEADER: "user:ann"}
    )
    assert one.status_code == 201
    await teams.bind("user:cat", "operator", pipelines="sales-*")
    other = await teams.http.post(
        "/api/v1/pipelines/sales-eu/runs", content="{}", headers={"Idempotency-Key": "k", HEADER: "user:cat"}
    )
    assert other.json()["id"] != one.json()["id"]


@pytest.mark.attack
async def test_whoever_has_stages_run_as_an_account_must_be_one_of_its_users(guarded: Guarded) -> None:
    value = base64.b64encode(b"s3cr3t-value").decode()
    await guarded.ask("PUT", "/secrets/token", {"value": value})
    account = {"secrets": [{"secret": "token", "env": "TOKEN"}], "users": ["ann@example.org", "group:ops", "token:ci"]}
    await guarded.ask("PUT", "/accounts/loader", account)
    for who in ("user:ann@example.org", "user:bob@example.org", "token:ci", "token:other"):
        await guarded.bind(who, "editor")
    document = json.dumps({"name": "loads", "service_account": "loader", "stages": STAGES})
    schedule = {"pipeline": "loads", "kind": "cron", "cron": ["0 6 * * *"]}
    span = {"start": "2026-03-01", "end": "2026-03-02", "step": "1d"}
    requests: list[tuple[str, str, Any]] = [
        ("POST", "/pipelines", {"document": document}),
        ("POST", "/pipelines/loads/runs", {}),
        ("POST", "/pipelines/loads/rollback", {"version": 1}),
        ("PUT", "/schedules/dawn", schedule),
        ("POST", "/schedules/dawn/run", {}),
        ("POST", "/pipelines/loads/backfills", span),
    ]
    for method, path, body in requests:
        for who, may in (("user:ann@example.org", True), ("user:bob@example.org", False), ("token:ci", True),
                         ("token:other", False)):  # fmt: skip
            answer = await guarded.as_(who, method, path, body)
            assert (answer.status_code < 300) is may, (who, method, path, answer.text)
            assert may or "may not use the service account loader" in answer.json()["title"]
    for again in ({}, {"latest": True}):
        answer = await guarded.as_("user:bob@example.org", "POST", "/runs/loads@latest/retry", again)
        assert "may not use the service account loader" in answer.json()["title"]
    for path in ("/secrets", "/secrets/token"):
        assert "s3cr3t" not in (await guarded.as_("user:ann@example.org", "GET", path)).text
    for method, path, body in (
        ("PUT", "/accounts/loader", account),
        ("DELETE", "/accounts/loader", None),
        ("PUT", "/secrets/token", {"value": value}),
        ("DELETE", "/secrets/token", None),
        ("POST", "/secrets/rewrap", None),
    ):
        assert (await guarded.as_("user:ann@example.org", method, path, body)).status_code == 403
