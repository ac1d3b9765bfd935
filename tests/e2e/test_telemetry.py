"""Traces of a real daemon at a real OTLP receiver, over its death and the receiver's; and its metrics."""

from __future__ import annotations

import gzip
import queue
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from backend.telemetry.spans import trace_id
from tests.e2e.daemon import Daemon

pytestmark = [pytest.mark.slow, pytest.mark.sandbox, pytest.mark.etcd]


class Receiver:
    """Takes spans as a collector does, by OTLP over HTTP; or refuses them."""

    def __init__(self) -> None:
        self.spans: queue.Queue[Span] = queue.Queue()
        self.refused = threading.Event()
        self.refuses = False
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                if receiver.refuses:
                    receiver.refused.set()
                    self.send_error(400)
                    return
                assert self.path == "/v1/traces"
                if self.headers.get("content-encoding") == "gzip":
                    body = gzip.decompress(body)
                for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                    for scope in resource.scope_spans:
                        for span in scope.spans:
                            receiver.spans.put(span)
                self.send_response(200)
                self.end_headers()
                self.wfile.write(ExportTraceServiceResponse().SerializeToString())

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def trace(self, run: str) -> dict[str, Span]:
        """The spans of a run, by their names, up to its root."""
        found: dict[str, Span] = {}
        while not any(name.startswith("run ") for name in found):
            span = self.spans.get(timeout=30)
            if int.from_bytes(span.trace_id) == trace_id(run):
                found[span.name] = span
        return found

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.close()


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    daemon = Daemon(tmp_path)
    yield daemon
    daemon.close()


def test_a_trace_is_one_whoever_leads_and_a_receiver_that_refuses_stops_nothing(
    daemon: Daemon, receiver: Receiver
) -> None:
    daemon.start("--otlp", receiver.url)
    stages = {
        "a": {"script": 'echo > "$KHAN_OUTPUT_a"', "outputs": ["a"]},
        "b": {"script": "sleep 0.5", "inputs": ["a"]},  # it runs when the daemon dies
        "c": {"script": "exit 3", "inputs": ["a"]},
    }
    daemon.apply("three", intermediates={"a": {}}, stages=stages)
    run = daemon.run("three")
    daemon.until(run, lambda r: any(s["state"] == "succeeded" for s in r["stages"]))
    daemon.kill()  # what it had not sent is lost; what comes is part of the same trace
    daemon.start("--otlp", receiver.url)
    assert daemon.ended(run)["state"] == "failed"
    again = daemon.run("three")
    daemon.ended(again)
    found = receiver.trace(again)
    assert {"run three", "stage a", "stage b", "stage c", "attempt 1", "command", "publish", "queue"} <= found.keys()
    root = found["run three"]
    assert {found[f"stage {name}"].parent_span_id for name in "abc"} == {root.span_id}
    assert (found["stage c"].status.code, found["stage c"].status.message) == (2, "exit 3")
    assert root.start_time_unix_nano <= found["stage a"].start_time_unix_nano

    receiver.refuses = True
    third = daemon.run("three")
    daemon.ended(third)
    assert receiver.refused.wait(30)
    metrics = _metrics(daemon)
    assert metrics['khantui_runs_ended_total{state="failed",trigger="manual"}'] >= 2
    assert metrics['khantui_attempts_ended_total{reason="exit"}'] >= 2
    assert metrics["khantui_stage_overhead_seconds_count"] >= 4
    assert metrics['khantui_etcd_request_seconds_count{method="Txn"}'] > 0
    assert metrics["khantui_controller_lag_seconds_count"] > 0
    assert metrics["process_resident_memory_bytes"] > 0
    assert daemon.stop() == 0


def _metrics(daemon: Daemon) -> dict[str, float]:
    transport = httpx.HTTPTransport(uds=str(daemon.socket))
    with httpx.Client(transport=transport, base_url="http://khantui") as client:
        lines = client.get("/metrics").text.splitlines()
    return {name: float(value) for name, _, value in (li.rpartition(" ") for li in lines if not li.startswith("#"))}
