"""Spans by OTLP over HTTP, to a collector. The only place that knows OpenTelemetry; loaded only where it is wanted."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import datetime
from urllib.parse import urlsplit

from backend import __version__
from backend.errors import KhanError
from backend.telemetry.spans import Span, Traces

log = logging.getLogger(__name__)

PATH = "/v1/traces"  # where collectors take traces, unless the URL has a path of its own
QUEUE = 8192  # spans that wait for the collector; what comes when it is full is dropped
TIMEOUT = 10.0  # seconds


class OtlpTraces(Traces):
    """Sends spans in batches, from a thread; what the collector does not take is dropped, and said in the log."""

    def __init__(self, url: str, *, delay: float = 2.0) -> None:
        """Spans are sent after `delay` seconds at most. Raises KhanError for a bad URL, or without the packages."""
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise KhanError(f"--otlp: {url!r} is no http:// or https:// address", hint="e.g. http://localhost:4318")
        try:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
            from opentelemetry.sdk.resources import Resource
            from opentelemetry.sdk.trace.export import BatchSpanProcessor
        except ImportError as error:
            raise KhanError(
                f"--otlp needs packages that are not installed: {error.name}", hint="pip install 'khantui[otlp]'"
            ) from error
        endpoint = url if parts.path.strip("/") else f"{parts.scheme}://{parts.netloc}{PATH}"
        exporter = OTLPSpanExporter(endpoint=endpoint, timeout=TIMEOUT)
        self._resource = Resource.create({"service.name": "khantui", "service.version": __version__})
        self._processor = BatchSpanProcessor(
            exporter, max_queue_size=QUEUE, schedule_delay_millis=delay * 1000, export_timeout_millis=TIMEOUT * 1000
        )

    def add(self, spans: Iterable[Span]) -> None:
        """Send them, some time."""
        from opentelemetry.sdk.trace import ReadableSpan
        from opentelemetry.trace import SpanContext, Status, StatusCode, TraceFlags

        sampled = TraceFlags(TraceFlags.SAMPLED)
        for span in spans:
            parent = SpanContext(span.trace, span.parent, is_remote=False, trace_flags=sampled) if span.parent else None
            self._processor.on_end(
                ReadableSpan(
                    name=span.name,
                    context=SpanContext(span.trace, span.id, is_remote=False, trace_flags=sampled),
                    parent=parent,
                    resource=self._resource,
                    attributes=span.attributes,
                    status=Status(StatusCode.ERROR, span.error) if span.error else Status(StatusCode.OK),
                    start_time=_nanoseconds(span.start),
                    end_time=_nanoseconds(span.end),
                )
            )

    def close(self) -> None:
        """Send what is left, and let go; blocks the thread."""
        self._processor.shutdown()  # type: ignore[no-untyped-call]


def _nanoseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1_000_000) * 1000
