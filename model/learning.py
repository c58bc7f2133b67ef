"""Fits one head per control from labelled samples, label names and unlabelled texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from model.calibration import apply_temperature, fit_temperature
from model.coldstart import normalise, refine_prototypes
from model.evaluation import evaluate, evaluate_multilabel, micro_f1
from model.features import Terms
from model.head import Choice, LinearHead, Member, OutOfFold, Reference, blend_zero_shot, restore_head
from model.holdout import stratified_folds
from model.labelnames import words_of
from model.plan import Plan, plan_search
from model.search import Data, Search, search
from model.selection import member_shares, nested_answers, zero_shot_share
from model.space import DIMENSIONS, choose_landmarks
from model.spec import Control, Document, Kind, Sample, Samples, TaskSpec, Text
from model.taught import match_labels

__all__ = ["Embedder", "Head", "fit_head", "fit_heads", "labels_of", "restore_head", "target_matrix"]

Floats = NDArray[np.floating]

REPEAT_SIZE = 300_000
"""Rows x dimensions x classes above which a whole search takes longer than half a second."""

SEARCH_GROWTH = 1.1
"""Growth in rows after which the choices are searched for again."""

TEMPERATURE_FROM = 64
"""Labels from which a temperature is fitted: below, T = 1 had the lower calibration error."""

HUMBLE, HUMBLE_STRENGTH = 0.25, 8.0
"""The prior of a head's log-temperature. Above 0: out-of-fold answers are luckier than others, since choices were made
on them. On sst2 at 64 labels (3 seeds) it takes the calibration error from .12 to .09, and costs SMS spam .01."""


class Embedder(Protocol):
    """An encoder, cached or not."""

    digest: str
    width: int
    depth: int

    def embed(self, texts: Sequence[Text]) -> NDArray[np.float32]:
        """Pooled outputs [n, depth, width]."""
        ...


class Head(Protocol):
    """What answers for one control."""

    @property
    def labels(self) -> tuple[str, ...]: ...

    def scores(self, texts: Sequence[Text], features: Floats) -> Floats:
        """Probabilities [n, K]."""
        ...

    def config(self) -> dict[str, Any]:
        """JSON state."""
        ...

    def tensors(self) -> dict[str, NDArray[np.float32]]:
        """Array state."""
        ...


def fit_heads(
    spec: TaskSpec,
    samples: Samples,
    pool: Sequence[Document],
    embedder: Embedder,
    *,
    seed: int = 0,
    previous: Mapping[str, Mapping[str, Any]] | None = None,
    repeat: bool = False,
    cross_fit: bool = False,
) -> dict[str, LinearHead]:
    """One head per control of `spec`.

    `samples` may lack a control, hold one class only or labels unknown to the spec (these rows are left out); `pool`
    are unlabelled tasks; `previous` the earlier heads' configs, around which the search is thinned when rows are many.
    `repeat`: with many rows take the choices of `previous` as they are, several times as fast; `is_settled` tells
    whether a search is due. `cross_fit`: answer every row out-of-fold, also where a plan would hold out one fifth (for
    label errors; several times as slow then).
    """
    return {
        control.name: fit_head(
            control,
            samples.get(control.name, ()),
            pool,
            embedder,
            seed=seed,
            previous=(previous or {}).get(control.name),
            repeat=repeat,
            cross_fit=cross_fit,
        )
        for control in spec.controls
    }


def fit_head(
    control: Control,
    samples: Sequence[Sample],
    pool: Sequence[Document],
    embedder: Embedder,
    *,
    seed: int = 0,
    previous: Mapping[str, Any] | None = None,
    repeat: bool = False,
    cross_fit: bool = False,
) -> LinearHead:
    """The head of one control; see `fit_heads`."""
    labels = labels_of(control, samples)
    multilabel = control.kind is Kind.MULTIPLE
    usable, targets = target_matrix(labels, samples, multilabel)
    texts = [sample.text for sample in usable]
    pooled = embedder.embed(texts)
    reference = _reference(control, labels, pooled, _pool_texts(control, pool), embedder)
    empty = LinearHead(labels, multilabel, reference, details={"n": len(usable)})
    if not usable or len(labels) < 2:
        return empty
    weights = np.array([sample.weight for sample in usable])
    plan = plan_search(len(texts), len(labels), previous)
    folds = stratified_folds(texts, targets, plan.folds, seed)
    data = Data(texts, pooled, targets, weights, multilabel, reference, Terms.fit(texts), folds)
    if repeat and previous and _can_repeat(data, labels, previous):
        return _fit_again(empty, data, previous)
    return _search_and_fit(empty, data, plan, [sample.task for sample in usable], seed, cross_fit)


def is_settled(config: Mapping[str, Any]) -> bool:
    """Whether a head's choices were searched for on about as many rows as it was fitted on."""
    count = int(config.get("n", 0))
    return count <= SEARCH_GROWTH * int(config.get("searched", count))


def _can_repeat(data: Data, labels: Sequence[str], previous: Mapping[str, Any]) -> bool:
    rows, classes = data.targets.shape
    same = list(labels) == list(previous.get("labels", ())) and previous.get("multilabel") == data.multilabel
    return same and bool(previous.get("members")) and rows * min(rows, DIMENSIONS) * classes > REPEAT_SIZE


def _fit_again(empty: LinearHead, data: Data, previous: Mapping[str, Any]) -> LinearHead:
    """The previous choices, shares, temperature and threshold on the present rows; nothing is scored."""
    plan = plan_search(len(data.texts), len(empty.labels), previous)
    items = previous["members"][: plan.members]
    whole = sum(float(item["weight"]) for item in items)
    choices = [Choice(item["view"], item["words"], item["prior"], item["strength"]) for item in items]
    shares = [float(item["weight"]) / whole for item in items]
    members = Search(data, plan.iterations).fit(choices, shares)
    searched = previous.get("searched", previous.get("n", 0))
    return replace(
        empty,
        members=members,
        terms=_terms_of(members, data, empty),
        temperature=float(previous["temperature"]),
        zero_share=float(previous["zero_share"]),
        threshold=previous["threshold"],
        details={"n": len(data.texts), "searched": searched, "oof": previous.get("oof", {})},
    )


def _search_and_fit(
    empty: LinearHead, data: Data, plan: Plan, tasks: Sequence[int], seed: int, cross_fit: bool
) -> LinearHead:
    """The head of a whole search, with what it answered out-of-fold."""
    count = len(data.texts)
    runner = Search(data, plan.iterations)
    thinned = choose_landmarks(data.targets, seed, plan.rows)
    chooser = runner if thinned is None else Search(data.take(thinned), plan.iterations)
    candidates = search(chooser, plan)
    losses = np.stack([candidate.losses for candidate in candidates])
    with_prior = np.array([candidate.choice.prior > 0 for candidate in candidates])
    mean = np.array([candidate.loss for candidate in candidates])
    order, shares = member_shares(mean, with_prior, losses.shape[1], plan.members)
    choices = [candidates[index].choice for index in order]
    if plan.whole:
        rows: NDArray[Any] = np.arange(count)
        answers = np.stack([candidate.probabilities for candidate in candidates])
        held_out = nested_answers(answers, losses, with_prior, data.weights, data.folds, plan.members)
    else:
        scored = plan.folds if cross_fit else plan.scored
        rows = runner.scored_rows(scored)
        held_out = runner.cross_fit(choices, list(shares), scored)
    members = runner.fit(choices, list(shares))
    head = replace(empty, members=members, terms=_terms_of(members, data, empty), zero_share=0.0)
    return _calibrate(head, data, held_out, rows, tasks)


def _calibrate(
    head: LinearHead, data: Data, held_out: Floats, rows: NDArray[np.int64], tasks: Sequence[int]
) -> LinearHead:
    """Share of the zero-shot answer, temperature and threshold, by the answers [m, K] held out at `rows`."""
    count, targets, weights = len(data.texts), data.targets[rows], data.weights[rows]
    multilabel = data.multilabel
    share = 0.0 if multilabel else zero_shot_share(held_out, data.zero_shot[rows], targets, weights)
    if not multilabel:
        held_out = blend_zero_shot(held_out, data.zero_shot[rows], share)
    temperature = 1.0
    if count >= TEMPERATURE_FROM:
        strength, centre = (2.0, 0.0) if multilabel else (HUMBLE_STRENGTH, HUMBLE)
        temperature = fit_temperature(held_out, targets, prior_strength=strength, centre=centre, multilabel=multilabel)
        held_out = apply_temperature(held_out, temperature, multilabel=multilabel)
    threshold = _threshold(held_out, targets) if multilabel else 0.5
    measures = evaluate_multilabel(held_out, targets, threshold) if multilabel else evaluate(held_out, targets)
    return replace(
        head,
        temperature=temperature,
        zero_share=share,
        threshold=threshold,
        details={
            "n": count,
            "searched": count,
            "oof": {key: round(float(value), 4) for key, value in measures.items()},
        },
        out_of_fold=OutOfFold(tuple(tasks[row] for row in rows), held_out, targets),
    )


def _terms_of(members: Sequence[Member], data: Data, empty: LinearHead) -> Terms:
    """The vocabulary, when a member uses it."""
    return data.terms if any(member.word_coefficients is not None for member in members) else empty.terms


def labels_of(control: Control, samples: Sequence[Sample]) -> tuple[str, ...]:
    """The control's labels; for choices listed in the task data, those seen so far."""
    if control.options_field is None:
        return control.keys()
    return tuple(sorted({key for sample in samples for key in sample.target}))


def target_matrix(labels: Sequence[str], samples: Sequence[Sample], multilabel: bool) -> tuple[list[Sample], Floats]:
    """The samples that hold a known label, and their targets [n, K]."""
    column = {label: index for index, label in enumerate(labels)}
    usable, rows = [], []
    for sample in samples:
        row = np.zeros(len(labels))
        for key, share in sample.target.items():
            if key in column:
                row[column[key]] = share
        if sample.weight > 0 and (row.sum() > 0 or (multilabel and not sample.target)):
            usable.append(sample)
            rows.append(row if multilabel else row / row.sum())
    return usable, np.array(rows).reshape(len(rows), len(labels))


def _pool_texts(control: Control, pool: Sequence[Document]) -> list[Text]:
    return [control.text_of(document) for document in pool if all(name in document for name in control.inputs)]


def _reference(
    control: Control, labels: Sequence[str], pooled: Floats, pool: Sequence[Text], embedder: Embedder
) -> Reference:
    words = {label.key: label.words for label in control.labels}
    names = embedder.embed([(words_of(words.get(label, label)),) for label in labels])
    background = embedder.embed(pool)
    # Labelled texts are part of the pool, too: with a small pool they are most of it.
    everything = np.concatenate([background, pooled]) if len(pooled) else background
    if len(everything) == 0:
        everything = names if len(names) else np.zeros((1, embedder.depth, embedder.width), np.float32)
    prototypes = refine_prototypes(names[:, -1], background[:, -1])
    similarity = (normalise(everything[:, -1]) @ prototypes.T).mean(0)
    taught = match_labels(getattr(embedder, "taught", None), control, labels)
    return Reference(everything.mean(0), prototypes, similarity, taught)


def _threshold(probabilities: Floats, targets: Floats) -> float:
    """The one threshold with the best out-of-fold micro-F1: .5 costs 9 to 21 points with few labels."""
    grid = np.round(np.arange(0.1, 0.71, 0.02), 2)
    true = targets >= 0.5
    scores = [micro_f1(probabilities >= threshold, true) for threshold in grid]
    return float(grid[int(np.argmax(scores))])
