"""What /metrics reads off caches, queue and encoder when it is asked: they count for themselves."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from backend.labelstudio.task_spec import count_cached
from backend.serving.answer_cache import AnswerCache
from backend.serving.predictors import Predictors
from backend.serving.registry import Registry


class ServingCollector(Collector):
    """A Prometheus collector over what serves."""

    def __init__(self, registry: Registry, predictors: Predictors, answers: AnswerCache) -> None:
        self._registry, self._predictors, self._answers = registry, predictors, answers

    def collect(self) -> Iterator[Metric]:
        """All families, read now."""
        yield from self._caches()
        requests, rows = self._predictors.waiting()
        yield GaugeMetricFamily("understudy_queued_requests", "Requests that wait for a predictor.", value=requests)
        yield GaugeMetricFamily("understudy_queued_tasks", "Tasks that wait for a predictor.", value=rows)
        yield from self._encoder()
        stale = "Versions that should serve and could not be loaded: the ones before go on serving."
        yield GaugeMetricFamily("understudy_versions_stale", stale, value=len(self._registry.stale()))
        unusable = "1 when BASE_MODEL cannot be used and a former encoder answers instead."
        why = self._registry.encoders.unusable
        yield GaugeMetricFamily("understudy_base_model_unusable", unusable, value=bool(why))
        yield from self._object_store()
        ready = "1 when models serve."
        yield GaugeMetricFamily("understudy_ready", ready, value=not self._registry.not_ready)

    def _object_store(self) -> Iterator[Metric]:
        """Without samples where ARTIFACTS_URL is not set."""
        up = GaugeMetricFamily("understudy_artifacts_up", "1 when the object store answers.", labels=[])
        fetches = CounterMetricFamily(
            "understudy_artifacts_fetches", "Versions fetched from the object store.", labels=["outcome"]
        )
        seconds = CounterMetricFamily(
            "understudy_artifacts_fetch_seconds", "Seconds that fetching versions took.", labels=[]
        )
        if (prefetch := self._registry.prefetch) is not None:
            up.add_metric([], not prefetch.artifacts.store.watch.now.is_away)
            fetches.add_metric(["done"], prefetch.fetched)
            fetches.add_metric(["failed"], prefetch.failed)
            seconds.add_metric([], prefetch.seconds)
        yield from (up, fetches, seconds)

    def _caches(self) -> Iterator[Metric]:
        lookups = CounterMetricFamily(
            "understudy_cache_lookups", "Look-ups of caches by outcome.", labels=["cache", "outcome"]
        )
        size = GaugeMetricFamily("understudy_cache_bytes", "Bytes kept in a cache.", labels=["cache"])
        answers, encoder = self._answers, self._registry.encoders.loaded
        counts = {"answers": (answers.hits, answers.misses), "configs": count_cached()}
        size.add_metric(["answers"], answers.bytes)
        if self._registry.artifacts is not None:
            size.add_metric(["versions"], self._registry.artifacts.cache.bytes)
        if encoder is not None:
            counts["features"] = encoder.hits, encoder.misses
            size.add_metric(["features"], encoder.cache.bytes())
        for cache, (hits, misses) in counts.items():
            lookups.add_metric([cache, "hit"], hits)
            lookups.add_metric([cache, "miss"], misses)
        yield lookups
        yield size

    def _encoder(self) -> Iterator[Metric]:
        tally = self._registry.encoders.tally
        seconds = CounterMetricFamily(
            "understudy_encoder_seconds", "Seconds spent reading texts, by stage.", labels=["stage"]
        )
        seconds.add_metric(["tokenise"], tally.tokenise_seconds)
        seconds.add_metric(["forward"], tally.forward_seconds)
        yield seconds
        yield CounterMetricFamily("understudy_encoder_tokens", "Tokens read.", value=tally.tokens)
        yield CounterMetricFamily("understudy_encoder_texts", "Texts read.", value=tally.texts)
        yield CounterMetricFamily("understudy_encoder_forwards", "Forward passes.", value=tally.forwards)
