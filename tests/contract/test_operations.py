"""Every operation, called for real, answers as the OpenAPI document says."""

from __future__ import annotations

import asyncio
import base64
import getpass
import json
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from backend.access.model import Session
from backend.api.operations import OPERATIONS
from backend.spec.bundle import address, pack
from backend.store import keys
from backend.store.base import Put
from backend.store.codec import encode
from tests.contract.service import OPENAPI, Service

pytestmark = pytest.mark.sandbox

STAGES: dict[str, Any] = {
    "words": {"run": ["sh", "words.sh"], "outputs": ["words"]},
    "count": {"script": "wc -w < $KHAN_INPUT_words > $KHAN_OUTPUT_count", "inputs": ["words"], "outputs": ["count"]},
}
PIPELINE: dict[str, Any] = {
    "code": {"words.sh": 'echo one; echo "ERROR: two"; echo a b c > "$KHAN_OUTPUT_words"'},
    "intermediates": {"words": {}},
    "outputs": {"count": {}},
    "stages": STAGES,
}


async def test_every_operation_answers_as_described(engine: Service) -> None:
    await _pipelines(engine)
    run = await _runs(engine)
    await _logs(engine, run)
    await _artifacts(engine, run)
    await _cache(engine)
    await _schedules(engine)
    await _backfills(engine)
    await _system(engine)
    await engine.ask("DELETE", "/pipelines/words", status=204)
    assert {o.id for o in OPERATIONS} - engine.answered == set()


async def _pipelines(api: Service) -> None:
    text = json.dumps({"name": "words", "stages": {"a": {"image": "shell", "script": "true"}}})
    lint = (await api.ask("POST", "/lint", {"document": text})).json()
    assert lint["ok"]
    assert lint["plan"]["width"] == 1
    packed = pack({"words.sh": (b"", False)})
    await api.ask("HEAD", f"/bundles/{address(packed)}", status=404)
    applied = await api.put("words", **PIPELINE)
    assert (applied["version"], applied["outcome"]) == (1, "created")
    await api.ask("HEAD", f"/bundles/{address(pack({'words.sh': (PIPELINE['code']['words.sh'].encode(), False)}))}")
    assert (await api.put("words", **{**PIPELINE, "description": "counts"}))["version"] == 2
    assert [p["name"] for p in (await api.ask("GET", "/pipelines")).json()["items"]] == ["words"]
    assert (await api.ask("GET", "/pipelines/words")).json()["description"] == "counts"
    versions = (await api.ask("GET", "/pipelines/words/versions")).json()["items"]
    assert [v["version"] for v in versions] == [2, 1]
    assert (await api.ask("GET", "/pipelines/words/versions/1")).json()["code"] == {
        "words.sh": len(PIPELINE["code"]["words.sh"])
    }
    lines = (await api.ask("GET", "/pipelines/words/diff")).json()["lines"]
    assert lines[:2] == ["--- words v1", "+++ words v2"]
    assert any(line.startswith("+") and "counts" in line for line in lines)
    assert (await api.ask("POST", "/pipelines/words/rollback", {"version": 1})).json()["version"] == 3


async def _runs(api: Service) -> str:
    run = await api.begin("words", date="2026-03-03")
    await api.ended(run)
    found = (await api.ask("GET", f"/runs/{run}")).json()
    assert (found["state"], found["logical_time"]) == ("succeeded", "2026-03-03T00:00:00Z")
    assert [s["state"] for s in found["stages"]] == ["succeeded", "succeeded"]
    assert (await api.ask("GET", f"/runs/{run[-6:]}")).json()["id"] == run
    assert (await api.ask("GET", "/runs/words@latest")).json()["id"] == run
    assert (await api.ask("GET", "/runs")).json()["total"] == 1
    assert (await api.ask("GET", f"/runs/{run}/stages/count")).json()["needs"] == ["words"]
    await api.ask("POST", f"/runs/{run}/cancel", status=409)
    await api.ask("POST", f"/runs/{run}/retry", {"from_stage": "count"})
    await api.until(run, lambda r, _: r.round == 2 and r.state.ended)
    await api.put("sleeps", stages={"a": {"script": "sleep 600"}})
    sleeping = await api.begin("sleeps")
    await api.ask("POST", f"/runs/{sleeping}/cancel", status=202)
    await api.ended(sleeping)
    return run


async def _logs(api: Service, run: str) -> None:
    log = f"/runs/{run}/stages/words/log"
    page = (await api.ask("GET", log)).json()
    assert [line["text"] for line in page["lines"]] == ["one", "ERROR: two"]
    assert (page["first_error"], page["complete"]) == (2, True)
    assert (await api.ask("GET", f"{log}/raw")).text == "one\nERROR: two\n"
    found = (await api.ask("GET", f"{log}/search", text="two")).json()
    assert [m["line"]["number"] for m in found["matches"]] == [2]
    found = (await api.ask("GET", f"{log}/search", errors="1", before="100")).json()
    assert [m["line"]["number"] for m in found["matches"]] == [2]
    followed = (await api.ask("GET", f"{log}/follow")).text.splitlines()
    assert [json.loads(line)["number"] for line in followed] == [1, 2]
    while not (merged := (await api.ask("GET", f"/runs/{run}/log")).json())["complete"]:
        await asyncio.sleep(0.05)  # until all of it is archived, the API cannot tell that no more will come
    assert [(line["stage"], line["text"]) for line in merged["lines"]] == [("words", "one"), ("words", "ERROR: two")]
    assert (merged["complete"], merged["logs"]) == (True, 3)  # count was done twice
    followed = (await api.ask("GET", f"/runs/{run}/log/follow", tail="1")).text.splitlines()
    assert [json.loads(line)["text"] for line in followed] == ["ERROR: two"]
    await api.ask("GET", f"/runs/{run}/log", stage="nothing", status=404)
    for path in (f"/runs/{run}/log/search", "/pipelines/words/log/search"):
        found = (await api.ask("GET", path, errors="1", context="1")).json()
        assert [(h["run"], h["stage"], h["number"], h["before"][0]["text"]) for h in found["hits"]] == [
            (run, "words", 2, "one")
        ]
        assert (found["cursor"], found["runs"], found["logs"]) == (None, 1, 3)
    await api.ask("GET", "/pipelines/none/log/search", text="x", status=404)


async def test_logs_of_all_attempts_are_followed_to_their_end(engine: Service) -> None:
    script = "echo one; echo ERROR: two; exit 3"
    await engine.put("tries", stages={"a": {"script": script, "retries": {"limit": 1}}, "b": {"script": "echo b"}})
    run = await engine.begin("tries")
    followed = (await engine.ask("GET", f"/runs/{run}/log/follow")).text.splitlines()
    lines = [json.loads(line) for line in followed]
    assert [line["number"] for line in lines] == [1, 2, 3, 4, 5]
    told = [(line["attempt"], line["text"]) for line in lines if line["stage"] == "a"]
    assert told == [(1, "one"), (1, "ERROR: two"), (2, "one"), (2, "ERROR: two")]
    assert (await engine.ask("GET", f"/runs/{run}/log")).json()["archived"]


async def _artifacts(api: Service, run: str) -> None:
    found = (await api.ask("GET", f"/runs/{run}/artifacts")).json()["items"]
    assert {(a["name"], a["role"]) for a in found} == {("words", "intermediate"), ("count", "output")}
    assert (await api.ask("GET", f"/runs/{run}/artifacts/count/content")).text.strip() == "3"


async def _schedules(api: Service) -> None:
    body = {"pipeline": "words", "kind": "cron", "cron": ["0 6 * * *"], "zone": "Europe/Berlin"}
    made = (await api.ask("PUT", "/schedules/dawn", body)).json()
    assert (len(made["next"]), made["when"]) == (5, "every day at 06:00 (Europe/Berlin)")
    assert (await api.ask("GET", "/schedules/dawn")).json()["cron"] == ["0 6 * * *"]
    assert [s["name"] for s in (await api.ask("GET", "/schedules", pipeline="words")).json()["items"]] == ["dawn"]
    assert len((await api.ask("GET", "/schedules/dawn/preview", n="3")).json()["items"]) == 3
    foreseen = (await api.ask("POST", "/schedules/dusk/preview", body, n="2")).json()
    assert [f["beside"] for f in foreseen["firings"]] == [["words"], ["words"]]
    assert foreseen["when"] == made["when"]
    foreseen = (await api.ask("POST", "/schedules/dawn/preview", body)).json()
    assert [(f["at"], f["beside"]) for f in foreseen["firings"]] == [(at, []) for at in made["next"]]
    edited = body | {"cron": ["30 2 * * *"], "deadline": "07:00"}
    foreseen = (await api.ask("POST", "/schedules/dawn/preview", edited, n="3")).json()
    assert (len(foreseen["old"]), foreseen["old_when"]) == (3, "every day at 06:00 (Europe/Berlin)")
    assert any("does not exist" in warning for warning in foreseen["warnings"])
    assert foreseen["firings"][0]["due_by"] == foreseen["firings"][0]["at"].replace("T01:30", "T06:00")
    foreseen = (await api.ask("GET", "/schedules/dawn/foresight", n="2", since="2030-07-01T00:00:00Z")).json()
    assert [f["logical_time"] for f in foreseen["firings"]] == [f"2030-07-0{n}T06:00:00+02:00" for n in (1, 2)]
    await api.ask("GET", "/schedules/dawn/foresight", since="tomorrow", status=400)
    never = await api.ask("POST", "/schedules/dusk/preview", body | {"cron": ["0 6 30 2 *"]}, status=400)
    assert "never fires" in never.json()["title"]
    assert [s["name"] for s in (await api.ask("GET", "/schedules")).json()["items"]] == ["dawn"]  # nothing was stored
    assert (await api.ask("POST", "/schedules/dawn/pause", {"reason": "moves"})).json()["paused_reason"] == "moves"
    assert not (await api.ask("POST", "/schedules/dawn/resume")).json()["paused"]
    started = (await api.ask("POST", "/schedules/dawn/run")).json()
    assert started["trigger"]["schedule"] == "dawn"
    await api.ended(started["id"])
    forecast = (await api.ask("GET", "/forecast", **{"from": "2030-07-01T00:00:30Z"}, hours="12", slot="60")).json()
    assert [(s["begin"], s["starts"]) for s in forecast["slots"] if s["starts"]] == [("2030-07-01T04:00:00Z", 1)]
    assert (forecast["starts"], forecast["schedules"], forecast["end"]) == (1, 1, "2030-07-01T12:00:00Z")
    assert len((await api.ask("GET", "/forecast")).json()["slots"]) == 96
    for wrong in (
        {"from": "soon"},
        {"from": "2030-07-01"},
        {"from": "9999-12-31T00:00:00Z"},
        {"slot": "7"},
        {"hours": "0"},
    ):
        await api.ask("GET", "/forecast", **wrong, status=400)
    await api.ask("DELETE", "/schedules/dawn", status=204)


async def _cache(api: Service) -> None:
    stage = {"script": "echo > $KHAN_OUTPUT_x", "outputs": ["x"], "each": {"N": [1, 2, 3]}, "cache": True}
    await api.put("thrice", intermediates={"x": {}}, stages={"a": stage})
    await api.ended(await api.begin("thrice"))
    run = await api.begin("thrice")
    await api.ended(run)
    found = (await api.ask("GET", f"/runs/{run}")).json()
    assert {s["state"] for s in found["stages"]} == {"reused"}
    assert "nothing that it depends on has changed" in found["stages"][0]["reason"]
    fresh = (await api.ask("POST", "/pipelines/thrice/runs", {"fresh": True})).json()
    await api.ended(fresh["id"])
    assert fresh["fresh"]
    page = (await api.ask("GET", "/pipelines/thrice/cache", limit="2")).json()
    rest = (await api.ask("GET", "/pipelines/thrice/cache", stage="a", cursor=page["cursor"])).json()
    results = [*page["items"], *rest["items"]]
    assert ({r["run"] for r in results}, sorted(r["instance"] for r in results)) == (
        {fresh["id"]},
        ["a.1", "a.2", "a.3"],
    )
    await api.ask("GET", "/pipelines/words/cache", cursor=page["cursor"], status=400)
    await api.ask("POST", "/pipelines/thrice/cache/clear", {"stage": "b"}, status=404)
    cleared = await api.ask("POST", "/pipelines/thrice/cache/clear", {"stage": "a"}, key="once")
    again = await api.ask("POST", "/pipelines/thrice/cache/clear", {"stage": "a"}, key="once")
    assert (cleared.json(), again.json()) == ({"results": 3}, {"results": 3})
    assert (await api.ask("POST", "/pipelines/thrice/cache/clear", {})).json() == {"results": 0}


async def _backfills(api: Service) -> None:
    body = {"start": "2026-03-01", "end": "2026-03-04", "parallel": 2}
    seen = (await api.ask("POST", "/pipelines/words/backfills/preview", body, n="2")).json()
    assert (seen["total"], seen["good"], seen["step"]) == (4, 1, "1d")  # 3 March was run before
    assert [m["logical_time"] for m in seen["moments"]] == [f"2026-03-0{day}T00:00:00Z" for day in (1, 2)]
    assert (await api.ask("GET", "/backfills")).json()["items"] == []
    made = (await api.ask("POST", "/pipelines/words/backfills", body, key="once")).json()
    again = (await api.ask("POST", "/pipelines/words/backfills", body, key="once")).json()
    assert (again["id"], made["state"], made["progress"]["waiting"]) == (made["id"], "running", 4)
    assert [b["id"] for b in (await api.ask("GET", "/backfills", pipeline="words")).json()["items"]] == [made["id"]]
    assert (await api.ask("GET", "/backfills", pipeline="other")).json()["items"] == []
    assert (await api.ask("POST", f"/backfills/{made['id']}/pause")).json()["state"] == "paused"
    assert (await api.ask("POST", f"/backfills/{made['id']}/resume")).json()["state"] == "running"
    assert (await api.ask("GET", f"/backfills/{made['id']}")).json()["parallel"] == 2
    assert (await api.ask("POST", f"/backfills/{made['id']}/cancel")).json()["state"] == "cancelled"
    assert (await api.ask("POST", f"/backfills/{made['id']}/resume", status=409)).json()["code"] == "conflict"
    await api.ask("PUT", "/schedules/dawn", {"pipeline": "words", "kind": "cron", "cron": ["0 6 * * MON"]})
    seen = (await api.ask("POST", "/pipelines/words/backfills/preview", body | {"end": "2026-03-09"})).json()
    assert [m["logical_time"] for m in seen["moments"]] == [f"2026-03-0{day}T06:00:00Z" for day in (2, 9)]
    await api.ask("PUT", "/schedules/dusk", {"pipeline": "words", "kind": "every", "every": 7200})
    several = (await api.ask("POST", "/pipelines/words/backfills/preview", body, status=400)).json()
    assert "dawn, dusk" in several["title"]
    for wrong in ({"step": "0"}, {"step": "2.5s"}, {"step": "1m"}, {"step": "0 6 31 2"}, {"parallel": 0}):
        await api.ask("POST", "/pipelines/words/backfills", body | {"end": "2026-11-01"} | wrong, status=400)
    await api.ask("POST", "/pipelines/words/backfills", body | {"step": "nobody"}, status=404)
    for start, end in (("2026-03-04", "2026-03-01"), ("2999-01-01", "2999-02-01"), ("", ""), ("soon", "2026-03-01")):
        await api.ask("POST", "/pipelines/words/backfills", {"start": start, "end": end, "step": "1d"}, status=400)
    for name in ("dawn", "dusk"):
        await api.ask("DELETE", f"/schedules/{name}", status=204)
    made = (await api.ask("POST", "/pipelines/words/backfills", body)).json()
    await api.ask("POST", f"/backfills/{made['id']}/cancel", status=202)


async def _channels(api: Service) -> None:
    url = "json://127.0.0.1:9/s3cr3t"  # nobody listens there
    made = (await api.ask("PUT", "/channels/oncall", {"urls": [url], "title": "$pipeline"})).json()
    assert made["services"] == ["json://127.0.0.1:9/…"]
    assert (await api.ask("PUT", "/channels/oncall", {"every": 5})).json()["title"] == "$pipeline"
    assert (await api.ask("GET", "/channels/oncall")).json()["every"] == 5
    assert [c["name"] for c in (await api.ask("GET", "/channels")).json()["items"]] == ["oncall"]
    tested = await api.ask("POST", "/channels/oncall/test")
    assert not tested.json()["good"]
    assert "s3cr3t" not in tested.text
    await api.ask("DELETE", "/channels/oncall", status=204)


async def _calendars(api: Service) -> None:
    made = (await api.ask("PUT", "/calendars/holidays", {"days": ["12-25", "12-25"], "description": "bank"})).json()
    assert (made["days"], made["schedules"]) == (["12-25"], [])
    body = {"pipeline": "words", "kind": "cron", "cron": ["0 6 25 12 *"], "calendars": ["holidays"]}
    never = await api.ask("PUT", "/schedules/dawn", body, status=400)
    assert "never fire" in never.json()["title"]
    await api.ask("PUT", "/schedules/dawn", body | {"calendars": ["nope"]}, status=404)
    stored = (await api.ask("PUT", "/schedules/dawn", body | {"cron": ["0 6 25,26 12 *"]})).json()
    assert stored["calendars"] == ["holidays"]
    assert {at[5:10] for at in stored["next"]} == {"12-26"}
    assert (await api.ask("GET", "/calendars/holidays")).json()["schedules"] == ["dawn"]
    await api.ask("PUT", "/calendars/holidays", {"days": ["2026-02-30"]}, status=400)
    await api.ask("PUT", "/calendars/holidays", {"days": []}, status=400)
    changed = (await api.ask("PUT", "/calendars/holidays", {"days": ["12-26"]})).json()
    assert (changed["description"], changed["schedules"]) == ("bank", ["dawn"])
    followed = (await api.ask("GET", "/schedules/dawn")).json()
    assert {at[5:10] for at in followed["next"]} == {"12-25"}
    refused = await api.ask("DELETE", "/calendars/holidays", status=409)
    assert "is used by dawn" in refused.json()["title"]
    kept = {k: v for k, v in body.items() if k != "calendars"} | {"cron": ["0 7 * * *"]}
    assert (await api.ask("PUT", "/schedules/dawn", kept)).json()["calendars"] == ["holidays"]
    assert (await api.ask("PUT", "/schedules/dawn", kept | {"calendars": []})).json()["calendars"] == []
    assert [c["name"] for c in (await api.ask("GET", "/calendars")).json()["items"]] == ["holidays"]
    await api.ask("DELETE", "/calendars/holidays", status=204)
    await api.ask("DELETE", "/calendars/holidays", status=404)
    await api.ask("DELETE", "/schedules/dawn", status=204)


async def _access(api: Service) -> None:
    await _sessions(api)
    bound = (await api.ask("POST", "/auth/bindings", {"subject": "Ann@Example.org", "role": "editor"})).json()
    assert (bound["subject"], bound["created_by"]) == ("user:ann@example.org", getpass.getuser())
    again = await api.ask("POST", "/auth/bindings", {"subject": "user:ann@example.org", "role": "editor"})
    assert again.json() == bound
    assert (await api.ask("GET", "/auth/bindings")).json()["items"] == [bound]
    can = (await api.ask("GET", "/auth/can-i", user="ann@example.org", verb="apply", pipeline="words")).json()
    assert (can["allowed"], can["because"]["binding"]) == (True, bound["id"])
    assert f"editor of all pipelines, as user:ann@example.org, binding {bound['id']}" in can["reason"]
    told = (await api.ask("GET", "/auth/explain", user="ann@example.org")).json()
    assert (told["role"], told["verbs"]["schedule"], told["verbs"]["bind"]) == ("editor", True, False)
    await api.ask("DELETE", f"/auth/bindings/{bound['id']}", status=204)
    await api.ask("DELETE", f"/auth/bindings/{bound['id']}", status=404)
    made = (
        await api.ask("POST", "/auth/tokens", {"name": "ci", "role": "operator", "pipelines": "w*"}, status=201)
    ).json()
    assert made["token"].startswith("khan_")
    assert (await api.ask("GET", "/auth/tokens")).json()["items"] == [made["view"]]
    await api.ask("POST", "/auth/tokens", {"name": "ci", "role": "viewer"}, status=409)
    await api.ask("DELETE", "/auth/tokens/ci", status=204)
    await api.ask("POST", "/auth/session", status=403)  # for whom an issuer has signed: tests/identity
    api.answered.add("begin_session")


async def _sessions(api: Service) -> None:
    assert (await api.ask("GET", "/auth/sessions")).json()["items"] == []
    until = datetime(2099, 1, 1, tzinfo=UTC)
    for digest, user in (("ab" * 32, "ann@example.org"), ("cd" * 32, "bob@example.org")):
        await api.store.commit([], [Put(keys.session(digest), encode(Session(user, ("staff",), until)))])
    signed_in = (await api.ask("GET", "/auth/sessions")).json()["items"]
    assert [(s["id"], s["user"], s["groups"]) for s in signed_in] == [
        ("ab" * 8, "ann@example.org", ["staff"]), ("cd" * 8, "bob@example.org", ["staff"]),
    ]  # fmt: skip
    assert (await api.access.session("ab" * 32)) is not None
    await api.ask("DELETE", f"/auth/sessions/{'ab' * 8}", status=204)
    assert (await api.access.session("ab" * 32)) is None
    for nobody in ("ab" * 8, "cd", "zz" * 8):
        await api.ask("DELETE", f"/auth/sessions/{nobody}", status=404)
    await api.ask("DELETE", f"/auth/sessions/{'cd' * 8}", status=204)


async def _accounts(api: Service) -> None:
    value = base64.b64encode(b"s3cr3t-value").decode()
    made = await api.ask("PUT", "/secrets/token", {"value": value, "description": "for tests"})
    assert (made.json()["version"], made.json()["last_used"]) == (1, None)
    account = {"network": ["api.example.org:443"], "secrets": [{"secret": "token", "env": "TOKEN"}]}
    assert (await api.ask("PUT", "/accounts/loader", account)).json()["network"] == ["api.example.org:443"]
    assert [a["name"] for a in (await api.ask("GET", "/accounts")).json()["items"]] == ["loader"]
    stages = {"a": {"script": 'test "$TOKEN" = s3cr3t-value; echo "it is $TOKEN"'}}
    await api.put("loads", service_account="loader", stages=stages)
    assert (await api.ask("GET", "/accounts/loader")).json()["pipelines"] == ["loads"]
    run = await api.begin("loads")
    await api.ended(run)
    shown = await api.ask("GET", f"/runs/{run}")
    assert (shown.json()["state"], shown.json()["environment"]) == ("succeeded", {"TOKEN": "***"})
    raw = await api.ask("GET", f"/runs/{run}/stages/a/log/raw")
    assert raw.text == "it is ************\n"
    seen = await api.ask("GET", "/secrets/token")
    assert [(u["run"], u["stage"], u["current"]) for u in seen.json()["uses"]] == [(run, "a", True)]
    for path in ("/secrets/token", "/accounts/loader"):
        assert (await api.ask("DELETE", path, status=409)).json()["code"] == "conflict"
    rewrapped = (await api.ask("POST", "/secrets/rewrap")).json()
    assert rewrapped["secrets"] == 1
    listed = await api.ask("GET", "/secrets")
    assert [(s["name"], s["key"]) for s in listed.json()["items"]] == [("token", rewrapped["key"])]
    journal = await api.ask("GET", "/audit", limit="50")
    for response in (made, shown, raw, seen, listed, journal):
        assert "s3cr3t" not in response.text
        assert value not in response.text
    await api.ask("DELETE", "/pipelines/loads", status=204)
    await api.ask("DELETE", "/accounts/loader", status=204)
    await api.ask("DELETE", "/secrets/token", status=204)


async def _system(api: Service) -> None:
    assert (await api.ask("GET", "")).json()["leader"]
    who = (await api.ask("GET", "/whoami")).json()
    assert (who["role"], who["origin"], who["refused"]) == ("admin", "unix", {})
    images = {i["name"]: i["available"] for i in (await api.ask("GET", "/images")).json()["items"]}
    assert images["shell"]
    assert not images["bigquery"]
    dbt = {"container": "ghcr.io/example/dbt:1.9", "holds": {"dbt": "1.9"}}
    assert (await api.ask("PUT", "/images/dbt", dbt)).json()["registered_by"]
    assert (await api.ask("GET", "/images/dbt")).json()["holds"] == {"dbt": "1.9"}
    await api.ask("DELETE", "/images/dbt", status=204)
    await _accounts(api)
    await _channels(api)
    await _calendars(api)
    await _access(api)
    journal = (await api.ask("GET", "/audit", limit="3", outcome="done")).json()
    assert [e["what"] for e in journal["items"]] == ["revoke_token", "create_token", "unbind_role"]
    assert journal["cursor"]
    async with api.http.stream("GET", "/api/v1/events") as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        async for line in stream.aiter_lines():
            assert line == ": hello"
            break
    api.answered.add("stream_events")


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics", "/openapi.json"])
async def test_what_operators_look_at(api: Service, path: str) -> None:
    response = await api.http.get(path)
    assert response.status_code == 200
    if path == "/openapi.json":
        assert response.json() == json.loads(json.dumps(OPENAPI))
    if path == "/metrics":
        assert "khantui_" in response.text


WRONG: list[tuple[str, str, Any, int, str]] = [
    ("GET", "/runs/zzzzzz", None, 404, "not-found"),
    ("GET", "/runs?limit=0", None, 400, "invalid-request"),
    ("GET", "/runs?limit=many", None, 400, "invalid-request"),
    ("GET", "/runs?cursor=%00", None, 400, "invalid-request"),
    ("GET", "/runs?colour=red", None, 400, "invalid-request"),
    ("GET", "/runs?sort=colour", None, 400, "invalid-request"),
    ("GET", "/runs?filter=colour=red", None, 400, "invalid-request"),
    ("GET", "/events?kind=weather", None, 400, "invalid-request"),
    ("GET", "/events?since=soon", None, 400, "invalid-request"),
    ("GET", "/pipelines/nope", None, 404, "not-found"),
    ("GET", "/pipelines/..%2f..%2fetc", None, 404, "not-found"),
    ("GET", "/pipelines/Not%20A%20Name", None, 400, "invalid-request"),
    ("POST", "/pipelines", b"{", 400, "invalid-request"),
    ("POST", "/pipelines", {"document": 3}, 422, "invalid-request"),
    ("POST", "/pipelines", {"document": "{}", "colour": "red"}, 422, "invalid-request"),
    ("POST", "/pipelines", {"document": "{}"}, 422, "invalid-document"),
    ("POST", "/pipelines", b"x" * (5 << 20), 413, "value-too-large"),
    ("POST", "/pipelines/nope/runs", {}, 404, "not-found"),
    ("PUT", "/schedules/s", {"pipeline": "nope", "kind": "cron", "cron": ["@daily"]}, 404, "not-found"),
    ("PUT", "/bundles/" + "0" * 64, b"x", 422, "invalid-document"),
    ("POST", "/runs/zzzzzz/cancel", None, 404, "not-found"),
    ("DELETE", "/schedules/nope", None, 404, "not-found"),
    ("GET", "/backfills/nope", None, 404, "not-found"),
    ("POST", "/backfills/nope/cancel", None, 404, "not-found"),
    ("POST", "/pipelines/nope/backfills", {"start": "2026-03-01", "end": "2026-03-04"}, 404, "not-found"),
    ("PATCH", "/runs", None, 405, "method-not-allowed"),
    ("GET", "/nothing", None, 404, "not-found"),
]


async def test_what_is_wrong_is_a_problem(api: Service, subtests: pytest.Subtests) -> None:
    for method, path, body, status, code in WRONG:
        with subtests.test(f"{method} {path} {str(body)[:40]}"):
            content = body if isinstance(body, bytes) else json.dumps(body).encode() if body is not None else None
            response = await api.http.request(method, f"/api/v1{path}", content=content)
            assert (response.status_code, response.headers["content-type"]) == (status, "application/problem+json")
            problem = response.json()
            assert (problem["status"], problem["code"]) == (status, code)
            assert problem["title"]


async def test_a_document_with_mistakes_is_refused_with_every_finding(api: Service) -> None:
    text = '{\n "name": "x",\n "stages": {"a": {"image": "pyhton", "script": "1", "inputs": ["nowhere"]}}\n}'
    response = await api.ask("POST", "/pipelines", {"document": text}, status=422)
    findings = {f["code"]: f for f in response.json()["findings"]}
    assert "python" in findings["unknown-image"]["suggestion"]
    assert (findings["unknown-image"]["line"], findings["unknown-image"]["path"]) == (3, "$.stages.a.image")
    assert len(findings) >= 2
    await api.ask("GET", "/pipelines/x", status=404)


async def test_the_journal_says_who_did_what(api: Service) -> None:
    await api.put("p", stages={"a": {"script": "true"}})
    response: httpx.Response = await api.http.post(
        "/api/v1/pipelines/p/runs", content=b"{}", headers={"X-Khan-User": "ann"}
    )
    login = getpass.getuser()  # as the kernel knows who asks, whatever a header says
    entry = (await api.ask("GET", "/audit", who=login)).json()["items"][0]
    assert (entry["what"], entry["target"], entry["origin"]) == ("start_run", response.json()["id"], "unix")


async def test_every_list_can_be_had_in_pages(api: Service, subtests: pytest.Subtests) -> None:
    for name in ("a", "b", "c"):
        await api.put(name, stages={"s": {"script": "true"}})
        await api.begin(name)
        await api.ask("PUT", f"/schedules/{name}", {"pipeline": name, "kind": "cron", "cron": ["@daily"]})
    lists = ["/pipelines", "/runs", "/runs?sort=pipeline", "/schedules", "/schedules/a/preview", "/images", "/audit"]
    for path in lists:
        with subtests.test(path):
            url = httpx.URL(f"/api/v1{path}")
            whole = (await api.http.get(url)).json()["items"]
            assert len(whole) >= 3
            found, cursor = [], ""
            while True:
                params = {"limit": "2"} | ({"cursor": cursor} if cursor else {})
                response = await api.http.get(url.copy_merge_params(params))
                assert response.status_code == 200, response.text
                page = response.json()
                assert len(page["items"]) <= 2
                found += page["items"]
                if not page["cursor"]:
                    break
                cursor = page["cursor"]
            assert found == whole
