"""Whatever can be asked, by whoever: nothing breaks, and nothing is answered beyond the role.

Requests are made up by schemathesis from the OpenAPI document, valid ones and others; each is sent by every role. A few
of every operation here; `-m long` sends hundreds. What was sent and how it was answered is said at the end (`-s`).
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, settings

import backend.api.app  # noqa: F401  registers the operations
from backend.access.model import ROLES
from backend.api.openapi import document
from tests.attack.victim import FOREIGN, OURS, Victim

pytestmark = [
    pytest.mark.attack,
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]
LARGEST = 1 << 20  # bytes of an answer that are looked at
ENDLESS = ("text/event-stream", "application/x-ndjson")
EACH = 5  # of each operation, in short: the first ones that the document suggests
SILENT = 0.1  # seconds after which an endless answer has said what it has to say
MANY = int(os.environ.get("KHANTUI_TEST_REQUESTS", "20"))  # made up for each operation, at length

CONNECTION = requests.Session()
SAID: Counter[str] = Counter()  # how many requests were answered how
ASKED: Counter[str] = Counter()  # operation -> cases in short
TOOK: Counter[str] = Counter()  # operation -> milliseconds
schema = schemathesis.openapi.from_dict(document())


@pytest.fixture(scope="module", autouse=True)
def told() -> Iterator[None]:
    """What was asked and answered, for whoever runs this by hand."""
    yield
    slowest = ", ".join(f"{name} {took / 1000:.1f} s" for name, took in TOOK.most_common(5))
    print(f"\n{SAID.total()} requests, of {len(TOOK)} operations: {dict(sorted(SAID.items()))}; longest: {slowest}")


def few(examples: int) -> settings:
    """So many requests of each operation, the same ones at each run of few."""
    return settings(
        max_examples=examples,
        deadline=None,
        derandomize=examples < 10,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )


@schema.parametrize()
@few(1)
def test_no_answer_is_an_accident_or_beyond_the_role(case: schemathesis.Case, victim: Victim) -> None:
    name = case.operation.definition.raw["operationId"]
    ASKED[name] += 1
    if ASKED[name] <= EACH:
        attack(case, victim)


@pytest.mark.long
@schema.parametrize()
@few(MANY)
def test_no_answer_is_an_accident_or_beyond_the_role_at_length(case: schemathesis.Case, victim: Victim) -> None:
    attack(case, victim)


def attack(case: schemathesis.Case, victim: Victim) -> None:
    """Send it as everybody, from who may least; then once more, to what is there."""
    described = case.operation.definition.raw
    for named in (False, True):
        if named:
            if not case.path_parameters or case.method.upper() == "DELETE":
                return
            case.path_parameters = {k: victim.names.get(k, "mine") for k in case.path_parameters}
        for who in ("", *ROLES[1:-1], FOREIGN, "admin"):
            began = time.monotonic()
            status, content, shown = ask(case, victim, who)
            TOOK[described["operationId"]] += int(1000 * (time.monotonic() - began))
            SAID[f"{status // 100}xx" if status < 500 else str(status)] += 1
            # an upstream that is away is said to be (502, 503); whatever else is in the five hundreds is an accident
            assert status < 500 or status in (502, 503), f"{who or 'nobody'}: {shown}: {status} {content[:500]!r}"
            if status >= 300:
                continue
            role = {"": "anyone", FOREIGN: "editor"}.get(who, who)
            assert ROLES.index(role) >= ROLES.index(described["x-role"]), f"{who or 'nobody'}: {shown}: {status}"
            if who == FOREIGN:
                assert OURS.encode() not in content, shown


def ask(case: schemathesis.Case, victim: Victim, who: str) -> tuple[int, bytes, str]:
    """Its status, its beginning, and what was asked. An answer that goes on is not waited for."""
    arguments: dict[str, Any] = case.as_transport_kwargs(base_url=victim.url)
    # of nobody: a token that is none, since the kernel would know whose the connection is
    token = victim.tokens.get(who, "khan_" + "x" * 43)
    arguments["headers"] = {**dict(arguments.get("headers") or {}), "Authorization": f"Bearer {token}"}
    arguments["headers"].pop("Expect", None)
    with CONNECTION.request(**arguments, timeout=60, stream=True) as answer:
        shown = f"{arguments['method']} {answer.url}"
        if answer.headers.get("content-type", "").startswith(ENDLESS):
            answer.raw.connection.sock.settimeout(SILENT)
        content = b""
        try:
            for piece in answer.iter_content(1 << 16):
                content += piece
                if len(content) > LARGEST:
                    break
        except requests.ConnectionError:
            assert answer.headers["content-type"].startswith(ENDLESS), shown
        return answer.status_code, content, shown
