"""The journal: what each entry says, that it is whole, that it is bounded, and that a reason can be asked for."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from backend.api.journal import Refusals
from backend.api.rates import Rates
from backend.clock import FakeClock, SystemClock
from backend.control.journal import Journal
from backend.errors import TooMany
from backend.run.ids import new_id
from backend.safeguards import Safeguards
from backend.store import keys
from backend.store.codec import decode
from backend.store.memory import MemoryStore
from backend.store.records import AuditRecord, record_audit
from tests.contract.service import Service
from tests.contract.test_access import NOW, Guarded

STAGES = {"a": {"script": "true"}}
CRON = {"pipeline": "p", "kind": "cron", "cron": ["0 6 * * *"]}


@pytest.fixture
async def guarded(tmp_path: Path, sockets: Path) -> AsyncIterator[Guarded]:
    service = Guarded(tmp_path, MemoryStore(SystemClock()))
    async with service.serving(sockets):
        yield service


def told(api: Service, **settings: Any) -> None:
    """Give the API that serves already other settings."""
    for name, value in settings.items():
        object.__setattr__(api.services, name, value)


async def newest(api: Service, **query: Any) -> dict[str, Any]:
    """The newest entry that fits."""
    entry: dict[str, Any] = (await api.ask("GET", "/audit", limit="1", **query)).json()["items"][0]
    return entry


async def test_an_entry_says_who_from_where_by_which_proof_why_and_with_which_request(api: Service) -> None:
    await api.put("p", stages=STAGES)
    headers = {
        "X-Khantui-Reason": "wieder f%C3%BCr M%C3%A4rz",
        "X-Request-Id": "ticket-17",
        "User-Agent": "curl/8",
        "X-Forwarded-For": "203.0.113.9",  # nobody who asks says from where
    }
    made = await api.http.post("/api/v1/pipelines/p/runs", content=b"{}", headers=headers)
    assert made.headers["X-Request-Id"] == "ticket-17"
    entry = await newest(api)
    assert entry["what"] == "start_run"
    assert entry["target"] == made.json()["id"]
    assert (entry["origin"], entry["proof"], entry["client"]) == ("unix", "socket", "curl/8")
    assert (entry["request"], entry["outcome"]) == ("ticket-17", "done")
    assert entry["reason"] == "wieder für März"
    (change,) = [c for c in entry["changes"] if c["key"].startswith("runs/")]
    assert change["before"] is None
    assert (change["after"]["pipeline"], change["after"]["version"]) == ("p", 1)


async def test_objects_are_told_before_and_after_and_documents_by_their_hash(api: Service) -> None:
    await api.put("p", stages={"a": {"script": "echo very-special-words"}})
    await api.put("p", stages=STAGES)
    entry = await newest(api, what="apply_pipeline")
    changes = {c["key"]: c for c in entry["changes"]}
    assert changes["pipelines/p"]["before"]["version"] == 1
    assert changes["pipelines/p"]["after"]["version"] == 2
    assert changes["versions/p/00000002"]["after"]["document"].startswith("sha256:")
    await api.ask("PUT", "/schedules/p", CRON)
    await api.ask("POST", "/schedules/p/pause", {"reason": "moving house"})
    paused = await newest(api)
    (change,) = paused["changes"]
    assert (paused["reason"], change["key"]) == ("moving house", "schedules/p")
    assert not change["before"].get("paused")
    assert change["after"]["paused"] is True
    await api.ask("DELETE", "/schedules/p", status=204)
    (gone,) = (await newest(api))["changes"]
    assert (gone["before"]["cron"], gone["after"]) == (["0 6 * * *"], None)


@pytest.mark.attack
async def test_no_secret_is_ever_in_the_journal(api: Service) -> None:
    await api.ask("PUT", "/channels/oncall", {"urls": ["json://127.0.0.1:9/s3cr3t-hook"]})
    made = (await api.ask("POST", "/auth/tokens", {"name": "ci", "role": "viewer"})).json()
    await api.ask("PUT", "/channels/oncall", {"title": "x"})
    await api.ask("DELETE", "/auth/tokens/ci", status=204)
    await api.ask("DELETE", "/channels/oncall", status=204)
    page = await api.store.page(keys.AUDIT, keys.after(keys.AUDIT))
    text = b"".join(kv.value for kv in page.items).decode()
    assert len(page.items) == 5
    assert "s3cr3t" not in text
    assert made["token"] not in text
    assert '"hash"' not in text
    assert '"urls"' not in text


async def test_what_is_asked_twice_is_written_down_once(api: Service) -> None:
    await api.put("p", stages=STAGES)
    for _ in range(3):
        await api.ask("POST", "/pipelines/p/runs", {}, key="k")
    assert len((await api.ask("GET", "/audit", what="start_run")).json()["items"]) == 1


async def test_what_is_refused_is_written_down_and_by_far_not_all_of_it(guarded: Guarded) -> None:
    await guarded.furnish("mine", {})
    await guarded.bind("user:ann", "viewer", pipelines="mine")
    assert (await guarded.as_("user:ann", "POST", "/pipelines/mine/runs", {})).status_code == 403
    assert (await guarded.as_("user:eve", "GET", "/pipelines/mine")).status_code == 403
    entries = (await guarded.ask("GET", "/audit", outcome="denied")).json()["items"]
    assert [(e["who"], e["what"], e["target"], e["detail"]["status"]) for e in entries] == [
        ("eve", "get_pipeline", "mine", 403),
        ("ann", "start_run", "mine", 403),
    ]
    for _ in range(50):
        await guarded.as_("user:eve", "GET", "/pipelines/mine")
    assert len((await guarded.ask("GET", "/audit", who="eve")).json()["items"]) == Refusals.EACH


async def test_refusals_that_are_not_written_down_are_counted() -> None:
    store, clock = MemoryStore(SystemClock()), FakeClock(NOW)
    refusals = Refusals(store)
    for second in range(Refusals.EACH + 5):
        at = clock.now() + timedelta(seconds=second)
        await refusals.note(AuditRecord(at, "eve", "get_run", "x", "unix", {}, outcome="denied"))
    later = AuditRecord(clock.now() + timedelta(minutes=2), "eve", "get_run", "x", "unix", {}, outcome="denied")
    await refusals.note(later)
    page = await store.page(keys.AUDIT, keys.after(keys.AUDIT))
    assert page.count == Refusals.EACH + 1
    assert decode(page.items[0].value, AuditRecord).detail == {"not_written_before": 5}


async def test_the_journal_is_filtered_and_read_in_pages(api: Service) -> None:
    for name in ("a", "b", "c"):
        await api.put(name, stages=STAGES)
        await api.begin(name)
    everything = (await api.ask("GET", "/audit")).json()["items"]
    assert len(everything) == 6
    middle = everything[3]["at"]
    since = (await api.ask("GET", "/audit", since=middle)).json()["items"]
    until = (await api.ask("GET", "/audit", until=middle)).json()["items"]
    assert [e["id"] for e in (*since, *until)] == [e["id"] for e in everything]
    applied = (await api.ask("GET", "/audit", what="apply_*", target="[ab]")).json()["items"]
    assert [e["target"] for e in applied] == ["b", "a"]
    assert len((await api.ask("GET", "/audit", text="START_run")).json()["items"]) == 3
    found, cursor = [], ""
    while True:
        page = (await api.ask("GET", "/audit", what="start_run", limit="1", cursor=cursor)).json()
        found += [e["id"] for e in page["items"]]
        if not (cursor := page["cursor"] or ""):
            break
    assert found == [e["id"] for e in everything if e["what"] == "start_run"]
    for wrong in ("yesterday", "2026-11-25T06:00", "0001-01-01T00:00Z", "9999-12-31T23:59Z"):
        response = await api.http.get("/api/v1/audit", params={"until": wrong})
        assert response.status_code == (400 if "Z" not in wrong else 200), wrong


async def test_a_reason_can_be_asked_for(api: Service) -> None:
    told(api, safeguards=Safeguards(reasons=("delete_*", "apply_pipeline")))
    document = json.dumps({"name": "p", "stages": {"a": {"image": "shell", "script": "1"}}})
    refused = await api.ask("POST", "/pipelines", {"document": document}, status=400)
    assert refused.json()["code"] == "reason-required"
    assert "--message" in refused.json()["hint"]
    await api.ask("GET", "/pipelines/p", status=404)  # nothing was done
    await api.ask("POST", "/pipelines", {"document": document, "message": "new"})
    await api.ask("DELETE", "/pipelines/p", status=400)
    response = await api.http.delete("/api/v1/pipelines/p", headers={"X-Khantui-Reason": "not%20needed"})
    assert response.status_code == 204
    assert (await newest(api))["reason"] == "not needed"
    for wrong in ("x" * 501, "two%0Alines"):
        bad = await api.http.delete("/api/v1/pipelines/p", headers={"X-Khantui-Reason": wrong})
        assert bad.status_code == 400


async def test_nothing_in_the_api_takes_an_entry_away(api: Service) -> None:
    for method in ("DELETE", "PUT", "POST", "PATCH"):
        assert (await api.http.request(method, "/api/v1/audit")).status_code == 405


async def test_old_entries_go_and_one_entry_tells_of_it() -> None:
    store, clock = MemoryStore(SystemClock()), FakeClock(NOW)
    old, new = NOW - timedelta(days=11), NOW - timedelta(days=9)
    for number in range(300):
        for at in (old, new):
            entry = AuditRecord(at, "ann", "start_run", str(number), "unix", {})
            await store.commit([], [record_audit(new_id(at), entry)])
    journal = Journal(store, clock, lambda: [], Safeguards(audit_days=10, audit_entries=0))
    assert await journal.prune() == 300
    assert await journal.prune() == 0
    page = await store.page(keys.AUDIT, keys.after(keys.AUDIT))
    records = [decode(kv.value, AuditRecord) for kv in page.items]
    assert [r.what for r in records].count("start_run") == 300
    assert (records[0].who, records[0].what) == ("khantui", "prune_audit")
    assert await Journal(store, clock, lambda: [], Safeguards(audit_days=0, audit_entries=100)).prune() > 0
    assert (await store.page(keys.AUDIT, keys.after(keys.AUDIT), count_only=True)).count <= 100 + 125
    assert {r.at for r in records[1:]} == {new}


async def test_who_asks_too_often_is_told_when_to_come_back(guarded: Guarded) -> None:
    await guarded.furnish("mine", {})
    await guarded.bind("everyone", "viewer")
    now = 0.0
    told(guarded, rates=Rates(1, 3, lambda: now))
    answers = [await guarded.as_("user:eve", "GET", "/pipelines/mine") for _ in range(5)]
    assert [a.status_code for a in answers] == [200, 200, 200, 429, 429]
    assert answers[-1].headers["Retry-After"] == "1"
    assert answers[-1].json()["code"] == "too-many"
    assert (await guarded.as_("user:ann", "GET", "/pipelines/mine")).status_code == 200  # a bucket for each
    assert (await guarded.as_("", "GET", "/pipelines/mine")).status_code == 200  # whoever runs it is not held to it
    now = 1.0
    assert (await guarded.as_("user:eve", "GET", "/pipelines/mine")).status_code == 200


def test_buckets_fill_up_again_and_are_bounded() -> None:
    now = 0.0
    rates = Rates(2, 4, lambda: now)
    for _ in range(4):
        rates.take("ann")
    with pytest.raises(TooMany) as refused:
        rates.take("ann")
    assert refused.value.wait == 1
    now = 100.0
    for _ in range(4):
        rates.take("ann")
    with pytest.raises(TooMany):
        rates.take("ann")
    for _ in range(1000):
        Rates(0, 1).take("ann")


async def test_answers_are_nothing_that_a_browser_would_run(api: Service) -> None:
    response: httpx.Response = await api.http.get("/api/v1/whoami")
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert "sandbox" in response.headers["Content-Security-Policy"]
    assert response.headers["Cache-Control"] == "no-store"


async def test_nobody_can_push_out_the_journal() -> None:
    store, clock = MemoryStore(SystemClock()), FakeClock(NOW)
    refusals = Refusals(store)
    for minute in range(1300):  # nearly a day
        at = clock.now() + timedelta(seconds=61 * minute)
        record = AuditRecord(at, "", "get_run", "x", f"10.0.0.{minute % 200}", {}, outcome="denied")
        await refusals.note(record)
    page = await store.page(keys.AUDIT, keys.after(keys.AUDIT))
    days = {decode(kv.value, AuditRecord).at.date() for kv in page.items}
    assert page.count <= len(days) * Refusals.NOBODY
    assert page.count < 1300
