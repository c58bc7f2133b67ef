"""What /metrics tells Prometheus. One object per web process, with a registry of its own."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.registry import Collector

from backend.labelstudio.rejects import REJECT_CODES


class Metrics:
    """All counters of the web process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._collectors: set[type[Collector]] = set()
        self._closers: list[Callable[[], None]] = []
        ProcessCollector(registry=self.registry)  # memory, open files, CPU, start
        self.requests = Counter(
            "understudy_requests", "HTTP requests by route and status.", ["route", "status"], registry=self.registry
        )
        self.seconds = Histogram(
            "understudy_request_seconds",
            "Time to answer, by route.",
            ["route"],
            buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 30, 100),
            registry=self.registry,
        )
        self.predictions = Counter("understudy_predictions", "Tasks answered.", registry=self.registry)
        self.declined = Counter(
            "understudy_predictions_declined", "Tasks declined, by reason.", ["reason"], registry=self.registry
        )
        self.dropped_regions = Counter(
            "understudy_regions_dropped",
            "Regions kept back because the page cannot show them, by reason.",
            ["reason"],
            registry=self.registry,
        )
        self.unread_texts = Counter(
            "understudy_unread_texts",
            "Tasks answered before their long texts were read to the end.",
            registry=self.registry,
        )
        self.carried_over = Counter(
            "understudy_carried_over",
            "Tasks answered with the labels of their duplicates.",
            registry=self.registry,
        )
        self.stage = Histogram(
            "understudy_stage_seconds",
            "Time of a /predict by stage: parse, read (the tasks), queue, compute (a chunk), reply.",
            ["stage"],
            buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 30, 100),
            registry=self.registry,
        )
        self.chunk_texts = Histogram(
            "understudy_chunk_texts",
            "Tasks computed in one go, of all requests that were waiting.",
            buckets=(1, 2, 4, 8, 12, 16),
            registry=self.registry,
        )
        self.chunk_fill = Histogram(
            "understudy_chunk_fill",
            "How full a chunk was, by texts or characters, whichever bounds it.",
            buckets=(0.1, 0.25, 0.5, 0.75, 1),
            registry=self.registry,
        )
        self.refused = Counter(
            "understudy_predict_refused", "/predict requests refused because too much waited.", registry=self.registry
        )
        self.swap_seconds = Histogram(
            "understudy_swap_seconds",
            "From a version's files to a warm model.",
            buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10),
            registry=self.registry,
        )
        self.highlights = Counter(
            "understudy_highlights",
            "Tasks to be highlighted, by outcome.",
            ["outcome"],
            registry=self.registry,
        )
        self.events = Counter(
            "understudy_webhook_events", "Webhook events by action.", ["action"], registry=self.registry
        )
        self.webhooks_refused = Counter(
            "understudy_webhook_refused",
            "Webhooks that were not stored, by status: a reconciliation makes up for them.",
            ["status"],
            registry=self.registry,
        )
        self.rejects = Counter(
            "understudy_rejects",
            "Tasks, labels and requests that came to nothing, or not whole, by reason.",
            ["reason"],
            registry=self.registry,
        )
        for code in REJECT_CODES:
            self.rejects.labels(code)
        for status in ("400", "401", "413", "429", "503"):
            self.webhooks_refused.labels(status)  # from 0: Prometheus sees no increase in a series that begins at 1
        self.examples = Counter(
            "understudy_example_changes", "Outcomes of annotation changes.", ["outcome"], registry=self.registry
        )
        self.store_errors = Counter(
            "understudy_store_errors", "Requests refused because Redis was away.", registry=self.registry
        )
        self.swaps = Counter("understudy_model_swaps", "Versions swapped in.", registry=self.registry)
        self.load_failures = Counter(
            "understudy_model_load_failures", "Versions that could not be loaded.", registry=self.registry
        )
        self.live = Gauge(
            "understudy_live_version", "1 for the version served.", ["project", "version"], registry=self.registry
        )
        self.last_event = Gauge(
            "understudy_last_event_timestamp_seconds", "When the last webhook came.", registry=self.registry
        )

    def add(self, collector: Collector, close: Callable[[], None] | None = None) -> None:
        """What is read off when /metrics is asked, and how it ends. Of one class the first one counts: two applications
        may be made over the same services."""
        if type(collector) not in self._collectors:
            self._collectors.add(type(collector))
            self.registry.register(collector)
            self._closers += [close] if close else []

    def close(self) -> None:
        """Ends what was added."""
        for close in self._closers:
            close()
