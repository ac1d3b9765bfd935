"""What an operator measures: metrics for Prometheus, traces for OpenTelemetry."""

from backend.telemetry.metrics import Metrics
from backend.telemetry.runs import RunTelemetry
from backend.telemetry.spans import Span, Traces

__all__ = ["Metrics", "RunTelemetry", "Span", "Traces"]
