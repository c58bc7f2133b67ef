"""Fine-tunes for `understudy simulate` by the real policy and with the real training process, in a place aside."""

from __future__ import annotations

import resource
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from backend.cpu import cores
from backend.jobs.train.process import LOG_FILE, Progress, run_process
from backend.rules.finetune_due import Facts, why_due
from backend.settings.settings import Settings
from model.errors import ModelError
from model.evidence.gate import find_outdone
from model.simulation.replay import Tuned
from model.span import SpanSampleJson, SpanSamples
from model.spec import Sample, TaskSpec
from model.spec_json import SampleJson
from model.training.request import REQUEST, Request, read_result, write_json

if TYPE_CHECKING:
    from model.encoder.encoder import Encoder
    from model.features.cache import CachedEncoder, FeatureCache
    from model.features.varied_cache import VariedCache
    from model.interfaces import Embedder
    from model.spans.patterns.lexicon import Lexicon
    from model.versions.live_model import LiveModel
    from model.versions.span_answers import SpanTools

PROJECT_ID = 1
WORDS = "words"
"""Folder of the words' states within that of the features."""


class Workplace:
    """Base encoder, feature cache and scratch directory of one simulation."""

    def __init__(self, settings: Settings, scratch: Path, features: Path, threads: int = 0) -> None:
        from backend.base_model.hub import find_encoder_files
        from model.encoder.encoder import Encoder
        from model.features.cache import CachedEncoder, FeatureCache
        from model.head.warm_up import warm_up_learning

        self.settings, self.scratch, self.features = settings, scratch, features
        self.threads = threads or cores()
        self.base_model = find_encoder_files(settings)
        self.cache: FeatureCache = FeatureCache(features, settings.feature_cache_mb)
        # A simulation makes no DATA_DIR: where the product never ran, the machine's timing is kept for its trainings.
        self.timings = (settings.data_dir if settings.data_dir.is_dir() else scratch).absolute()
        encoder = Encoder(self.base_model, threads=self.threads, precision=settings.precision, timings=self.timings)
        self.base: CachedEncoder = CachedEncoder(encoder, self.cache)
        self.lexicons: Mapping[str, Lexicon] = {}
        self._words: VariedCache | None = None
        self._tokens: Encoder = encoder
        warm_up_learning(self.base)

    def open_encoder(self, weights: Path) -> Embedder:
        """The encoder with fine-tuned weights."""
        from model.encoder.encoder import Encoder
        from model.features.cache import CachedEncoder

        base = self.base.encoder
        encoder = Encoder(self.base_model, threads=self.threads, weights=weights, base=base)  # type: ignore[arg-type]
        return CachedEncoder(encoder, self.cache)

    def span_tools(self) -> SpanTools:
        """For spans: states of words, in a cache of their own beside the other, and the prior that fits the encoder."""
        from backend.base_model.encoders import find_prior
        from model.features.varied_cache import VariedCache
        from model.spans.features.reading import SpanReader
        from model.versions.span_answers import SpanTools

        if self._words is None:
            self._words = VariedCache(self.features / WORDS, self.settings.word_cache_mb)
        prior = find_prior(self.settings, self._tokens)
        return SpanTools(SpanReader(self._tokens, prior, self._words), self.settings.spans_show, self.lexicons)

    def close(self) -> None:
        self.cache.close()
        if self._words is not None:
            self._words.close()


@dataclass(frozen=True)
class Learned:
    """What one training is given: samples of controls that choose, and of those that mark text."""

    spec: TaskSpec
    samples: Mapping[str, Sequence[SampleJson]]
    spans: Mapping[str, Sequence[SpanSampleJson]]
    pool: list[dict[str, str]]
    seed: int


class PolicyTrainer:
    """Fine-tunes at the counts at which `backend.trigger` would, by growth alone: a replay has no clock."""

    def __init__(self, place: Workplace, tell: Callable[[str], None] = lambda _: None) -> None:
        self.place, self.tell, self._runs = place, tell, 0

    def why_due(self, labels: int, classes: int, trained: int | None) -> str:
        return why_due(self.place.settings, Facts(labels, classes, now=0.0, trained_labels=trained))

    def why_marked_due(self, texts: int, trained: int | None) -> str:
        facts = Facts(texts, 0, now=0.0, trained_labels=trained, marked=True)
        return why_due(self.place.settings, facts)

    def tune(self, spec: TaskSpec, samples: Sequence[Sample], pool: Sequence[dict[str, str]], seed: int) -> Tuned:
        """Runs the training process to its end; an accepted version is loaded as the server would load it."""
        learned = {spec.controls[0].name: [sample.to_json() for sample in samples]}
        return self._tune(Learned(spec, learned, {}, list(pool), seed), len(samples))

    def tune_marks(self, spec: TaskSpec, samples: SpanSamples, pool: Sequence[dict[str, str]], seed: int) -> Tuned:
        """The same for marked text."""
        marked = {name: [sample.to_json() for sample in own] for name, own in samples.items()}
        return self._tune(Learned(spec, {}, marked, list(pool), seed), max(map(len, marked.values())))

    def _tune(self, learned: Learned, count: int) -> Tuned:
        began, before = time.perf_counter(), _children_seconds()
        self._runs += 1
        version = f"v{self._runs}"
        directory = self.place.scratch / "runs" / version
        directory.mkdir(parents=True)
        models = self.place.scratch / "models"
        try:
            write_json(directory / REQUEST, self._request(version, models, learned))
            error = self._run(directory, count)
            result = read_result(directory)
            if result is None:
                return Tuned(None, f"failed: {error}", time.perf_counter() - began)
            seconds = time.perf_counter() - began
            model = self._load(models, version) if result.accepted or learned.spans else None
            kept, refused = (model, None) if result.accepted else (None, model)
            outdone, spent = bool(find_outdone(result.gate)), _children_seconds() - before
            return Tuned(kept, result.reason, seconds, outdone, refused, spent)
        except ModelError as problem:
            return Tuned(None, f"failed: {problem.message}", time.perf_counter() - began)
        finally:  # loaded weights are in memory; a version of 90 MB per training would fill the disk
            shutil.rmtree(directory, ignore_errors=True)
            shutil.rmtree(models / str(PROJECT_ID) / version, ignore_errors=True)

    def _load(self, models: Path, version: str) -> LiveModel:
        from model.versions.live_model import load_version

        place = self.place
        return load_version(models, PROJECT_ID, version, place.base, place.open_encoder, place.span_tools)

    def _request(self, version: str, models: Path, learned: Learned) -> Request:
        settings = self.place.settings
        return Request(
            project=PROJECT_ID,
            version=version,
            parent=None,
            snapshot_seq=0,
            spec=learned.spec.to_json(),
            samples=learned.samples,
            pool=learned.pool,
            base_model=str(self.place.base_model.absolute()),
            models=str(models.absolute()),
            features=str(self.place.features.absolute()),
            features_mb=settings.feature_cache_mb,
            steps=settings.finetune_steps,
            threads=self.place.threads,
            seed=learned.seed,
            min_examples=settings.gate_min_examples,
            precision=settings.precision,
            timings=str(self.place.timings),
            spans=learned.spans,
            patterns={control: lexicon.text for control, lexicon in self.place.lexicons.items()},
            words=str((self.place.features / WORDS).absolute()) if learned.spans else "",
            words_mb=settings.word_cache_mb,
            priors=str(settings.priors_dir.absolute()) if learned.spans else "",
        )

    def _run(self, directory: Path, count: int) -> str:
        """What went wrong, "" when nothing did."""
        settings = self.place.settings.model_copy(update={"finetune_threads": self.place.threads})
        outcome = run_process(
            settings, directory, lambda said: self.tell(f"fine-tuning on {count} labels: {describe(said)}")
        )
        if not outcome.crashed:
            return outcome.error
        words = (directory / LOG_FILE).read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return f"{outcome.error}: {words[-1]}" if words else outcome.error


def _children_seconds() -> float:
    """CPU seconds of all processes that were started here and have ended."""
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime


def describe(last: Progress) -> str:
    """How far a training is, in words."""
    parts = [str(last.get("stage") or "starting")]
    if last.get("of"):
        parts.append(f"step {last.get('step', 0)}/{last['of']}")
    if (left := last.get("seconds_left")) is not None:
        parts.append(f"{float(left):.0f} s left")
    return ", ".join(parts)
