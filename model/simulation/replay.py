"""Replays labelled rows through the real learner: what it would have known after n labels, for many n.

One curve belongs to one strategy and one seed. The seed shuffles the rows; the first ones are the pool, so that the
labels of a curve are nested. Fine-tuning is somebody else's: a `Trainer`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

import numpy as np

from model.acquisition import strategies as acquisition
from model.decoding.evaluate_answers import measure
from model.features.cache import CachedEncoder
from model.features.long_texts import LabelAwarePooling
from model.head.fit import fit_head
from model.interfaces import Embedder
from model.numerics.arrays import Floats
from model.simulation.dataset import Dataset
from model.spec import Sample, TaskSpec, Text
from model.versions.live_model import LiveModel

Row = dict[str, str | int | float | None]
"""The measures after `n` labels, as they are printed."""

Tell = Callable[[str], None]

POOL_USED = 1000
"""Pool texts that a refit looks at, as in the product (backend/jobs/pool_reader.py)."""

CHUNK_TEXTS = 256
"""Texts encoded between two signs of life."""

ZERO_SHOT, HEAD, TUNED = "zero-shot", "prior-LR", "prior-LR + fine-tune"


@dataclass(frozen=True)
class ReplayPlan:
    """One curve: label counts (ascending), strategy, seed; `pool` rows may be chosen, `batch` at a time."""

    counts: tuple[int, ...]
    strategy: str = "random"
    seed: int = 0
    pool: int = 4000
    batch: int = 16


class Trainer(Protocol):
    """Fine-tunes when the policy says so."""

    def why_due(self, labels: int, classes: int, trained: int | None) -> str:
        """Why to fine-tune with so many labels, the last time being with `trained`; "" for not now."""
        ...

    def tune(self, spec: TaskSpec, samples: Sequence[Sample], pool: Sequence[dict[str, str]], seed: int) -> Tuned:
        """One training and its verdict."""
        ...


@dataclass(frozen=True)
class Tuned:
    """What a training came to: a model when its gate accepted it, the reason in any case, and wall seconds."""

    model: LiveModel | None
    reason: str
    seconds: float
    outdone: bool = False  # the head alone was better: an older fine-tune goes
    refused: LiveModel | None = None  # what the gate did not let through, to be measured
    cpu_seconds: float = 0.0


T = TypeVar("T")


def shuffled(samples: Sequence[T], seed: int) -> list[T]:
    """The samples in the order of this seed."""
    return [samples[index] for index in np.random.default_rng(seed).permutation(len(samples))]


def reachable(labelled: int, counts: Sequence[int]) -> tuple[int, ...]:
    """The counts, ascending, those above the number of labelled rows clipped to it."""
    return tuple(sorted({min(count, labelled) for count in counts}))


def encode_ahead(embedder: Embedder, texts: Sequence[Text], tell: Tell, what: str) -> None:
    """Have the features of these texts in the cache, with signs of life."""
    unique = list(dict.fromkeys(texts))
    held = embedder.holds(unique) if isinstance(embedder, CachedEncoder) else [True] * len(unique)
    missing = [text for text, has in zip(unique, held, strict=True) if not has]
    for start in range(0, len(missing), CHUNK_TEXTS):
        tell(f"encoding {what}: {start}/{len(missing)}")
        embedder.embed(missing[start : start + CHUNK_TEXTS])


class Replay:
    """One curve, row by row."""

    def __init__(
        self,
        data: Dataset,
        plan: ReplayPlan,
        base: Embedder,
        trainer: Trainer | None = None,
        tell: Tell = lambda _: None,
        teacher: Sequence[Sample] = (),
    ) -> None:
        """`teacher`: what one said to unlabelled texts."""
        self.data, self.plan, self.base, self.trainer, self.tell = data, plan, base, trainer, tell
        self.teacher = teacher
        self.control = data.control
        self.spec = TaskSpec((), (data.control,))
        order = shuffled(data.train, plan.seed)
        labelled = [sample for sample in order if sample.labelled]
        self.candidates = labelled[: max(plan.pool, *plan.counts)]
        self.pool = [dict(zip(self.control.inputs, s.text, strict=True)) for s in order[: min(plan.pool, POOL_USED)]]
        self.chosen: list[int] = []
        self.model: LiveModel | None = None
        self.trained: int | None = None
        self._fitted = -1
        self._features: Floats | None = None

    def rows(self) -> Iterator[Row]:
        """One row per label count: the measures on the test samples, and what it took."""
        self._encode()
        self._refit(repeat=False)  # untimed: libraries load, and a strategy needs an answer to begin with
        for count in self.plan.counts:
            self._grow(count)
            began = time.perf_counter()
            self._refit(repeat=False)
            seconds = time.perf_counter() - began
            tuned = self._tune(count)
            yield {**self._measure(count, seconds), **tuned}

    def _encode(self) -> None:
        read = [tuple(document[name] for name in self.control.inputs) for document in self.pool]
        last = self.plan.counts[-1]
        texts = [s.text for s in (self.candidates[:last] if self.plan.strategy == "random" else self.candidates)]
        reader = LabelAwarePooling(self.base, self.control)
        tests = [sample.text for sample in self.data.test]
        for what, whole in (("the pool", [*read, *texts]), ("the test rows", tests)):
            encode_ahead(self.base, [part for text in whole for part in reader.parts_of(text)], self.tell, what)

    def _grow(self, count: int) -> None:
        """Choose labels until there are `count`, batch by batch, with the answers of the head so far."""
        if self.plan.strategy == "random":
            self.chosen = list(range(count))
            return
        while len(self.chosen) < count:
            if self._fitted != len(self.chosen):
                self._refit(repeat=True)
            self.tell(f"choosing {len(self.chosen)}/{count}")
            wanted = min(self.plan.batch - len(self.chosen) % self.plan.batch, count - len(self.chosen))
            seed = self.plan.seed * 1_000_003 + len(self.chosen)
            self.chosen += acquisition.choose(self.plan.strategy, self._view(), wanted, seed).tolist()

    def _view(self) -> acquisition.Pool:
        """The candidates as the present head sees them."""
        assert self.model is not None
        texts = [sample.text for sample in self.candidates]
        if self._features is None:
            self._features = LabelAwarePooling(self.base, self.control).embed(texts)
        head = self.model.heads[self.control.name]
        several = self.control.multilabel
        scores, last = head.scores(texts, self._features), self._features[:, -1]
        pool = acquisition.Pool(scores, last, np.array(self.chosen, dtype=int), several, head.threshold)
        if self.plan.strategy != "bald":
            return pool
        shares = np.array([member.weight for member in head.members])
        return replace(pool, members=head.member_scores(texts, self._features), shares=shares)

    def _samples(self) -> list[Sample]:
        return [self.candidates[index] for index in self.chosen]

    def _refit(self, *, repeat: bool) -> None:
        """The head on all labels, as the learner does it; a fine-tuned encoder stays."""
        name = self.control.name
        previous = self.model.heads[name].config() if self.model else None
        seed = self.plan.seed
        head = fit_head(
            self.control,
            self._samples(),
            self.pool,
            self.base,
            seed=seed,
            previous=previous,
            repeat=repeat,
            teacher=self.teacher,
        )
        self._fitted = len(self.chosen)
        heads = {name: head}
        if self.model is None:
            self.model = LiveModel("v0", self.spec, heads, self.base)
        else:
            self.model = replace(self.model, heads=heads)

    def _tune(self, count: int) -> Row:
        """A training, if it is due; what is to be told of it."""
        told: Row = {"finetune_seconds": None, "finetune": ""}
        if self.trainer is None or not self.trainer.why_due(count, len(self.control.labels), self.trained):
            return told
        result = self.trainer.tune(self.spec, self._samples(), self.pool, self.plan.seed)
        self.trained = count
        if result.model is not None:
            self.model = result.model
        elif result.outdone and self.model is not None:
            self.model = replace(self.model, finetuned=None, tuned=None)
        return {"finetune_seconds": round(result.seconds, 3), "finetune": result.reason}

    def _measure(self, count: int, seconds: float) -> Row:
        assert self.model is not None
        self.tell(f"measuring {count} labels")
        name = self.control.name
        scores = self.model.scores(name, [sample.text for sample in self.data.test])
        found = measure(self.control, self.model.rules(name), scores, self.data.test)
        return {
            "strategy": self.plan.strategy,
            "n": count,
            "seed": self.plan.seed,
            **{key: round(value, 6) for key, value in found.items()},
            "refit_seconds": round(seconds, 4),
            "method": self._method(count),
            "classes": len(self.control.labels),
            "classes_seen": len({key for sample in self._samples() for key in sample.target}),
            "test_rows": len(self.data.test),
        }

    def _method(self, count: int) -> str:
        assert self.model is not None
        part = self.model.finetuned.heads.get(self.control.name) if self.model.finetuned is not None else None
        if part is not None and part.weight > 0:
            return TUNED
        return HEAD if count else ZERO_SHOT
