"""What an operator's Prometheus asks for."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest


class Metrics:
    """The daemon's metrics, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "khantui_http_requests", "Requests answered", ["operation", "status"], registry=self.registry
        )
        self.seconds = Histogram(
            "khantui_http_request_seconds",
            "How long answers took to begin",
            ["operation"],
            buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5),
            registry=self.registry,
        )
        self.streams = Gauge("khantui_event_streams", "Clients that follow events", registry=self.registry)
        self.watch_restarts = Gauge(
            "khantui_watch_restarts", "How often the watch had to begin anew", registry=self.registry
        )
        self.revision = Gauge("khantui_store_revision", "The newest revision seen", registry=self.registry)
        self.store_bytes = Gauge("khantui_store_bytes", "Size of the store on disk", registry=self.registry)
        self.leader = Gauge("khantui_leader", "1 while this daemon leads", registry=self.registry)
        self.active = Gauge("khantui_runs_active", "Runs that have not ended", registry=self.registry)

        self.cluster_requests = Gauge(
            "khantui_cluster_requests",
            "Requests sent to the API server of Kubernetes since the daemon's start",
            ["verb", "resource"],
            registry=self.registry,
        )

    def text(self) -> bytes:
        """In Prometheus' text format."""
        return generate_latest(self.registry)
