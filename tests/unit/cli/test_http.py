"""Requests survive a daemon's restart, and its problems become exceptions. Against a real server that misbehaves."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from backend.api.wire import EventView
from khantui.api.address import Address
from khantui.api.client import Client
from khantui.api.http import Http
from khantui.api.stream import events, follow_logs
from khantui.errors import Denied, Failure, Misuse, Unreachable

Answer = Callable[["Handler"], None]


class Handler(BaseHTTPRequestHandler):
    """Answers each request with the next of the answers."""

    answers: list[Answer]
    seen: list[tuple[str, str, str | None]]

    def answer(self) -> None:
        self.seen.append((self.command, self.path, self.headers.get("Idempotency-Key")))
        self.answers.pop(0)(self)

    do_GET = do_POST = do_PUT = answer  # noqa: N815

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def daemon(*answers: Answer) -> Iterator[tuple[Address, list[tuple[str, str, str | None]]]]:
    kind = type("Scripted", (Handler,), {"answers": list(answers), "seen": []})
    with HTTPServer(("127.0.0.1", 0), kind) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield Address(None, f"http://127.0.0.1:{server.server_port}"), kind.seen  # type: ignore[attr-defined]
        finally:
            server.shutdown()
            thread.join()


def says(value: object, status: int = 200) -> Answer:
    def answer(handler: Handler) -> None:
        body = json.dumps(value).encode()
        handler.send_response(status)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    return answer


def dies(handler: Handler) -> None:
    """The connection breaks before anything is said."""
    handler.close_connection = True


def breaks_off(*lines: str) -> Answer:
    """Some lines of a stream, and then the connection breaks."""

    def answer(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        for line in lines:
            data = line.encode()
            handler.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        handler.close_connection = True

    return answer


def http(address: Address, patience: float = 5.0) -> Http:
    return Http(address, patience=patience)


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_request_whose_connection_breaks_is_made_again(method: str) -> None:
    with daemon(says(1), dies, dies, says({"a": 2})) as (address, seen):
        client = http(address)
        client.get("/met", int)
        assert client.send(method, "/x", dict[str, int]) == {"a": 2}
        client.close()
    keys = {key for _, path, key in seen if path.endswith("/x")}
    assert len(seen) == 4
    assert len(keys) == 1  # so that the daemon knows it for the same
    assert (None in keys) == (method == "GET")


def test_two_changes_have_keys_of_their_own() -> None:
    with daemon(says(1), says(1)) as (address, seen):
        client = http(address)
        client.send("POST", "/x", int)
        client.send("POST", "/x", int)
        client.close()
    assert len({key for *_, key in seen}) == 2


def test_a_daemon_that_never_answered_is_reported_at_once() -> None:
    with daemon() as (address, _):
        pass
    client = http(address, patience=60)
    with pytest.raises(Unreachable, match="no daemon answers"):
        client.get("", int)
    client.close()


def test_a_daemon_that_stays_away_is_given_up() -> None:
    with daemon(says(1)) as (address, _):
        client = http(address, patience=0.3)
        client.get("", int)
    with pytest.raises(Unreachable, match="gone away"):
        client.get("", int)
    client.close()


@pytest.mark.parametrize(
    ("status", "code", "kind", "exit_code"),
    [
        (400, "invalid-request", Misuse, 2),
        (403, "not-allowed", Denied, 4),
        (404, "not-found", Failure, 1),
        (409, "conflict", Failure, 1),
        (507, "store-full", Failure, 1),
    ],
)
def test_a_problem_says_what_why_and_what_to_do(status: int, code: str, kind: type[Failure], exit_code: int) -> None:
    problem = {"title": "t", "status": status, "code": code, "detail": "what and why", "hint": "what to do"}
    with daemon(says(problem, status)) as (address, _):
        client = http(address)
        with pytest.raises(Failure) as caught:
            client.get("/x", int)
        client.close()
    assert type(caught.value) is kind
    assert caught.value.exit_code == exit_code
    assert (caught.value.message, caught.value.hint, caught.value.code) == ("what and why", "what to do", code)


def test_findings_are_told_with_the_problem() -> None:
    finding = {
        "code": "unknown-image",
        "severity": "error",
        "path": "$.stages.a.image",
        "line": 1,
        "column": 2,
        "message": "m",
    }
    problem = {"title": "t", "status": 422, "code": "invalid-document", "detail": "d", "findings": [finding]}
    with daemon(says(problem, 422)) as (address, _):
        client = http(address)
        with pytest.raises(Failure, match=r"\$\.stages\.a\.image: m \[unknown-image\]"):
            client.send("POST", "/x", int)
        client.close()


@pytest.mark.parametrize("answer", [says("text"), says({"a": "b"}, 502)])
def test_an_answer_that_makes_no_sense_is_said_to_be_one(answer: Answer) -> None:
    with daemon(answer) as (address, _):
        client = http(address)
        with pytest.raises(Failure):
            client.get("/x", int)
        client.close()


def test_a_list_is_read_page_by_page_and_only_as_far_as_wanted() -> None:
    image = {"name": "python", "description": "", "available": True, "reason": ""}
    pages = [{"items": [image] * 200, "cursor": "c1", "total": None, "revision": 1}] * 2
    with daemon(*(says(p) for p in pages), says(pages[0] | {"cursor": None})) as (address, seen):
        client = Client(address)
        assert len(client.images()) == 600
        client.close()
    assert ["cursor=c1" in path for _, path, _ in seen] == [False, True, True]


def event(revision: int, kind: str = "run") -> str:
    return f"id: {revision}\ndata: {json.dumps({'revision': revision, 'kind': kind, 'id': 'x', 'object': None})}\n\n"


def test_events_go_on_after_a_broken_connection_without_gap_or_repeat() -> None:
    first = breaks_off(event(5), ": ping\n\n", event(6), event(7)[:-9])
    with daemon(first, dies, breaks_off(event(9))) as (address, seen):
        client = Client(address)
        found: list[EventView] = []
        for each in events(client, 4):
            found.append(each)
            if len(found) == 3:
                break
        client.close()
    assert [e.revision for e in found] == [5, 6, 9]
    assert [path.rsplit("=")[-1] for _, path, _ in seen] == ["4", "6", "6"]


def log_line(number: int) -> str:
    line = {"number": number, "stage": "s", "attempt": 1, "line": number, "offset": 0, "text": "x", "time": None}
    return json.dumps(line | {"length": 1, "error": False}) + "\n"


def test_a_log_is_followed_over_a_broken_connection_without_gap_or_repeat() -> None:
    first = breaks_off(log_line(3), log_line(4), log_line(5)[:-9])
    with daemon(first, dies, breaks_off(log_line(5), log_line(6))) as (address, seen):
        client = Client(address)
        found: list[int] = []
        for line in follow_logs(client, "r", tail=7, stage=["s", "t"]):
            found.append(line.number)
            if len(found) == 4:
                break
        client.close()
    assert found == [3, 4, 5, 6]
    asked = [path.partition("?")[2] for _, path, _ in seen]
    assert asked == ["line=1&tail=7&stage=s&stage=t", *["line=5&stage=s&stage=t"] * 2]
