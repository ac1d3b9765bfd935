"""What an operator's Prometheus asks for. Every label has a bounded number of values."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

_SHORT = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
_WAITS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 15, 60, 300, 1800, 7200)
_SPANS = (0.05, 0.25, 1, 5, 15, 60, 300, 900, 3600, 4 * 3600, 24 * 3600)
MOST_PIPELINES = 200  # that have series of their own; what comes after them is counted as one
OTHERS = "(others)"


class Metrics:
    """The daemon's metrics, in a registry of their own."""

    def __init__(self) -> None:
        registry = self.registry = CollectorRegistry()
        self._pipelines: set[str] = set()
        self._numbers = _Numbers()
        self._messages = _Messages()
        registry.register(self._numbers)
        registry.register(self._messages)
        ProcessCollector(registry=registry)

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"khantui_{name}", text, labels, registry=registry)

        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(f"khantui_{name}", text, labels, registry=registry)

        def histogram(name: str, text: str, *labels: str, buckets: tuple[float, ...] = _SHORT) -> Histogram:
            return Histogram(f"khantui_{name}", text, labels, buckets=buckets, registry=registry)

        # the API
        self.requests = counter("http_requests", "Requests answered", "operation", "status")
        self.seconds = histogram("http_request_seconds", "How long answers took to begin", "operation")
        self.streams = gauge("event_streams", "Clients that follow events")
        # the store
        self.etcd_seconds = histogram("etcd_request_seconds", "How long etcd took to answer", "method")
        self.etcd_errors = counter("etcd_errors", "Requests that etcd refused, or did not answer", "method", "code")
        self.revision = gauge("store_revision", "The newest revision seen")
        self.store_bytes = gauge("store_bytes", "Size of the store on disk")
        self.store_in_use = gauge("store_in_use_bytes", "Size of what is in the store")
        self.store_quota = gauge("store_quota_bytes", "Size at which the store takes no more; 0: not known")
        self.store_full = gauge("store_full", "1 while the store refuses writes for want of space")
        # the controller
        self.leader = gauge("leader", "1 while this daemon leads")
        self.lag = histogram("controller_lag_seconds", "From news of a run to its being seen to")
        # runs and stages, counted by the daemon that leads
        self.active = gauge("runs_active", "Runs that have not ended")
        self.runs = gauge("runs", "Runs that have not ended, by state", "state")
        self.runs_ended = counter("runs_ended", "Runs that have ended", "state", "trigger")
        self.run_queue = histogram("run_queue_seconds", "From a run's creation to its beginning", buckets=_WAITS)
        self.run_seconds = histogram("run_seconds", "From a run's beginning to its end", "state", buckets=_SPANS)
        self.runs_late = counter("runs_late", "Runs that had not ended when they should have")
        self.tick_late = histogram(
            "schedule_lateness_seconds", "From when a schedule was to fire to its run's creation", buckets=_WAITS
        )
        self.stages_ended = counter("stages_ended", "Stages that have ended", "state")
        self.attempts_ended = counter("attempts_ended", "Attempts that have ended, by why", "reason")
        self.stage_queue = histogram(
            "stage_queue_seconds", "From when a stage had all that it needs to its first attempt", buckets=_WAITS
        )
        self.stage_start = histogram(
            "stage_start_seconds", "From an attempt's being decided to its command's beginning", buckets=_WAITS
        )
        self.stage_seconds = histogram("stage_seconds", "From a command's beginning to its end", buckets=_SPANS)
        self.stage_publish = histogram(
            "stage_publish_seconds", "From a command's end to its outputs' being published", buckets=_WAITS
        )
        self.overhead = histogram(
            "stage_overhead_seconds", "What an attempt took beside its command: start and publish", buckets=_WAITS
        )
        self.pipeline_runs = counter("pipeline_runs_ended", "A pipeline's runs that have ended", "pipeline", "state")
        self.pipeline_good = gauge(
            "pipeline_last_success_timestamp_seconds", "When a run of a pipeline last succeeded", "pipeline"
        )
        # others
        self.cluster_requests = gauge(
            "cluster_requests", "Requests sent to the API server of Kubernetes since the start", "verb", "resource"
        )
        self.channels_failing = gauge("channels_failing", "Channels that could not tell what they were to tell")

    def pipeline(self, name: str) -> str:
        """The label that stands for a pipeline: its name, as long as there are not too many."""
        if name not in self._pipelines:
            if len(self._pipelines) >= MOST_PIPELINES:
                return OTHERS
            self._pipelines.add(name)
        return name

    def etcd(self, method: str, seconds: float, code: str = "") -> None:
        """A request to etcd was answered after so many seconds, or went wrong with that code."""
        self.etcd_seconds.labels(method).observe(seconds)
        if code:
            self.etcd_errors.labels(method, code).inc()

    def count(self, name: str, text: str, number: Callable[[], float]) -> None:
        """A counter that somebody else keeps, asked when it is scraped."""
        self._numbers.add(f"khantui_{name}", text, number, CounterMetricFamily)

    def show(self, name: str, text: str, number: Callable[[], float]) -> None:
        """A value that goes up and down, asked when it is scraped."""
        self._numbers.add(f"khantui_{name}", text, number, GaugeMetricFamily)

    def sent(self, requests: Mapping[tuple[str, str], int]) -> None:
        """So many requests were sent to a cluster, by verb and kind."""
        for (verb, resource), count in requests.items():
            self.cluster_requests.labels(verb, resource).set(count)

    def told(self, counts: Mapping[str, tuple[int, int, int]]) -> None:
        """So often each channel sent a message, failed at that, and gave up what it had to tell. The store counts."""
        self._messages.counts = counts

    def text(self) -> bytes:
        """In Prometheus' text format."""
        return generate_latest(self.registry)


class _Messages(Collector):
    """What channels have told, as the store has it: the same whichever daemon is asked."""

    def __init__(self) -> None:
        self.counts: Mapping[str, tuple[int, int, int]] = {}

    def collect(self) -> Iterator[Metric]:
        found = CounterMetricFamily(
            "khantui_channel_messages", "Messages of a channel, by what became of them", labels=["channel", "outcome"]
        )
        for channel, counts in self.counts.items():
            for outcome, count in zip(("sent", "failed", "given up"), counts, strict=True):
                found.add_metric([channel, outcome], count)
        yield found


class _Numbers(Collector):
    """What is asked for at each scrape. The same name again takes the place of what was there."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[str, Callable[[], float], type[CounterMetricFamily | GaugeMetricFamily]]] = {}

    def add(
        self,
        name: str,
        text: str,
        number: Callable[[], float],
        kind: type[CounterMetricFamily | GaugeMetricFamily],
    ) -> None:
        self._known[name] = (text, number, kind)

    def collect(self) -> Iterator[Metric]:
        for name, (text, number, kind) in self._known.items():
            yield kind(name, text, value=number())
