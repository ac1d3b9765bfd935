"""Values that parsers stumble over, in every place where a request can have one: each is refused, and never a 500."""

from __future__ import annotations

import base64
import contextlib
import json
import re
from collections.abc import Iterator
from typing import Any

import httpx
import msgspec
import pytest

import backend.api.app  # noqa: F401  registers the operations
from backend.api.operations import OPERATIONS, Operation
from tests.attack.victim import Victim

pytestmark = [pytest.mark.attack, pytest.mark.slow]
HUGE = "9" * 5000  # more digits than Python makes a number of
TEXTS = (
    *(
        "²",
        "٣",
        HUGE,
        f"-{HUGE}",
        "9" * 20,
        "1e999",
        "nan",
        "inf",
        "\0",
        "",
        "../..",
        "${",
        "[",
        "(a+)+$",
        "(?P<x>a)(?P<x>b)",
    ),
    *("9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00+23:59", "9999-12-31", "0001-01-01", "2026-02-30", "2026-W01"),
    *(
        "99999999999d",
        "age<99999999999999d",
        "started>9999-12-31",
        "took>1e400d",
        "UTC\0",
        "Europe/../UTC",
        "/etc/passwd",
    ),
    *(base64.urlsafe_b64encode(key.encode()).decode() for key in ("{}", "[]", f'{{"key":"{HUGE}"}}')),
)
HEADERS = (
    ("Range", f"bytes=0-{HUGE}"), ("Range", f"bytes=-{HUGE}"), ("Range", "bytes=²-"), ("Last-Event-ID", HUGE),
    ("Last-Event-ID", "²"), ("X-Khantui-Reason", "%ff%00"), ("X-Request-Id", "²"), ("Idempotency-Key", "²"),
)  # fmt: skip
BODIES = (
    b"[" * 100_000,
    b'{"a":' * 100_000,
    b'{"\xff": 1}',
    b'"\\ud800"',
    b"1e999999",
    HUGE.encode(),
    b"null",
    b"[]",
    b"\xff",
)
CUTS = {"text/event-stream", "application/x-ndjson"}  # answers without an end
VALID: dict[str, dict[str, Any]] = {
    "put_schedule": {"pipeline": "mine", "kind": "cron", "cron": ["0 6 * * *"]},
    "foresee_schedule": {"pipeline": "mine", "kind": "cron", "cron": ["0 6 * * *"]},
    "start_backfill": {"pipeline": "mine", "from": "2026-01-01", "to": "2026-01-02"},
    "preview_backfill": {"pipeline": "mine", "from": "2026-01-01", "to": "2026-01-02"},
    "create_token": {"name": "t", "role": "viewer"},
    "bind_role": {"subject": "user:a@example.org", "role": "viewer"},
    "put_secret": {"value": "12345678"},
}


def where(operation: Operation, victim: Victim, **values: str) -> str:
    """Its path, with what is there for each parameter but these."""
    return re.sub(r"\{(\w+)\}", lambda m: values.get(m[1]) or victim.names.get(m[1], "mine"), operation.path)


@contextlib.contextmanager
def asked(victim: Victim, operation: Operation, path: str, **more: Any) -> Iterator[httpx.Response]:
    """The answer; of one that has no end, the beginning."""
    if operation.method in ("POST", "PUT"):
        more.setdefault("content", b"{}")
    with victim.http.stream(operation.method, path, **more) as answer:
        if operation.media not in CUTS or answer.status_code >= 400:
            answer.read()
        yield answer


def refused_well(victim: Victim, operation: Operation, path: str, **more: Any) -> None:
    """It is answered, and by no accident."""
    with asked(victim, operation, path, **more) as answer:
        said = answer.text[:300] if answer.is_stream_consumed else ""
        assert answer.status_code < 500 or answer.status_code in (502, 503), (
            operation.id,
            path[:100],
            str(more)[:200],
            said,
        )


@pytest.mark.parametrize("operation", [o for o in OPERATIONS if o.method != "DELETE"], ids=lambda o: o.id)
def test_a_value_that_is_none_is_refused(operation: Operation, victim: Victim) -> None:
    path = where(operation, victim)
    look = {"text": "x"} if "text" in operation.query else {}
    for name in operation.query:
        for text in TEXTS:
            refused_well(victim, operation, path, params={**look, name: text})
    for name in re.findall(r"\{(\w+)\}", operation.path):
        for part in ("%C2%B2", "9" * 400, "%00", "..%2F..", "%FF"):
            refused_well(victim, operation, where(operation, victim, **{name: part}))
    for header, value in HEADERS:
        refused_well(victim, operation, path, headers=[(header.encode(), value.encode("latin-1"))])
    if operation.body is None:
        return
    for body in BODIES:
        refused_well(victim, operation, path, content=body)
    valid = VALID.get(operation.id, {})
    for field in msgspec.structs.fields(operation.body):
        for value in (*TEXTS, 10**18, -1, 1e300, None, [], {}, ["²"], [HUGE], True):
            content = json.dumps({**valid, field.encode_name: value}).encode()
            refused_well(victim, operation, path, content=content)


def document(**fields: Any) -> str:
    """A small document with these fields, or a stage with them."""
    stage = {"image": "shell", "script": "true", **fields.pop("stage", {})}
    return json.dumps({"name": "x", "stages": {"a": stage}, **fields})


@pytest.mark.parametrize("path", ["/lint", "/pipelines"])
def test_a_document_that_is_none_is_refused(path: str, victim: Victim) -> None:
    many = {f"V{number}": [str(each) for each in range(30)] for number in range(10)}
    for text in (
        *(document(environment={"D": f"${{date - {n}d}}"}) for n in (HUGE, "99999999999", "999999999", "²")),
        *(document(stage={"timeout": n}) for n in (f"{HUGE}d", "99999999999999d", "1e400d", "²d")),
        *(document(stage={"resources": {"memory": n, "cpu": n}}) for n in (HUGE, "1e400", "9" * 30 + "Ei", "²")),
        *(document(outputs={"o": {"keep": n}}) for n in (f"{HUGE}d", "99999999999d", "²")),
        document(stage={"retries": {"limit": 1, "delay": "99999999999d", "backoff": 1e308}}),
        document(stage={"each": many}),
        document(stage={"each": {"X": [str(each) for each in range(100_000)]}}),
        *(
            "[" * 100_000,
            '{"a":' * 50_000,
            '{"name":"\\ud800","stages":{}}',
            f'{{"name":"x","n":{HUGE}}}',
            "\ufeff{}",
            "null",
            "",
        ),
    ):
        answer = victim.http.post(path, content=json.dumps({"document": text}).encode(), timeout=60)
        assert answer.status_code in (200, 400, 413, 422), (text[:100], answer.text[:300])
