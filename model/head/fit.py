"""Fits one head per control from labelled samples, label names and unlabelled texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import exp

import numpy as np
from numpy.typing import NDArray

from model.decoding.answers import SetRules
from model.decoding.ratings import choose_smoothing
from model.decoding.taxonomy import has_parents
from model.features.long_texts import LabelAwarePooling
from model.features.tfidf import Terms
from model.head.calibration import calibrate_head, expected_log_temperature, member_shares, nested_answers
from model.head.feature_space import SPACE_DIMENSIONS, choose_landmarks
from model.head.head_config import HeadConfig, HeadDetails
from model.head.linear_head import LinearHead, Member, Reference, restore_head
from model.head.search import Data, Search, SearchPlan, plan_search, search
from model.head.zero_shot import (
    PAIR_UNIFORM_SHARE,
    UNIFORM_SHARE,
    refine_prototypes,
    sees_all_alike,
    uniform_share,
    with_none,
)
from model.interfaces import Embedder
from model.labels import names_of
from model.numerics.arrays import Floats, normalise
from model.numerics.holdout import stratified_folds
from model.pretrained.classifier_head import match_labels
from model.spec import NONE, Control, Document, Kind, Sample, Samples, TaskSpec, Text

__all__ = ["fit_head", "fit_heads", "labels_of", "restore_head", "target_matrix"]


REPEAT_SIZE = 300_000
"""Rows x dimensions x classes above which a whole search takes longer than half a second."""

MANY_CELLS = 10_000_000
"""Rows x classes from which targets are held in single precision: 5,000 of 6,000 are 120 MB then."""

LOOKED_AT = 50
"""Texts of the pool that tell how much of it the encoder's vocabulary knows: a few milliseconds."""

SEARCH_GROWTH = 1.1
"""Growth in rows after which the choices are searched for again."""


def fit_heads(
    spec: TaskSpec,
    samples: Samples,
    pool: Sequence[Document],
    embedder: Embedder,
    *,
    seed: int = 0,
    previous: Mapping[str, HeadConfig] | None = None,
    repeat: bool = False,
    cross_fit: bool = False,
    per_label: bool = False,
    teacher: Samples | None = None,
) -> dict[str, LinearHead]:
    """One head per control of `spec`.

    `samples` may lack a control, hold one class only or labels unknown to the spec (these rows are left out); `pool`
    are unlabelled tasks; `previous` the earlier heads' configs, around which the search is thinned when rows are many.
    `repeat`: with many rows take the choices of `previous` as they are, several times as fast; `is_settled` tells
    whether a search is due. `cross_fit`: answer every row out-of-fold, also where a plan would hold out one fifth (for
    label errors; several times as slow then). `per_label`: sets get one threshold a label, for macro-F1. `teacher`:
    what a teacher said to unlabelled texts; no label, but a place to start from.
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
            per_label=per_label,
            teacher=(teacher or {}).get(control.name, ()),
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
    previous: HeadConfig | None = None,
    repeat: bool = False,
    cross_fit: bool = False,
    per_label: bool = False,
    teacher: Sequence[Sample] = (),
) -> LinearHead:
    """The head of one control; see `fit_heads`."""
    embedder = LabelAwarePooling(embedder, control)
    labels = labels_of(control, samples)
    multilabel = control.multilabel
    usable, targets = target_matrix(labels, samples, multilabel)
    texts = [sample.text for sample in usable]
    pooled = embedder.embed(texts)
    unlabelled = _pool_texts(control, pool)
    background = embedder.embed(unlabelled)
    looked_at = (unlabelled or texts)[:: max(1, len(unlabelled or texts) // LOOKED_AT)][:LOOKED_AT]
    reference = _reference(control, labels, pooled, background, embedder, embedder.unread_share(looked_at))
    weights = np.array([sample.weight for sample in usable])
    if teacher:
        reference = _with_teacher(reference, labels, teacher, (texts, pooled, targets, weights), embedder, multilabel)
    sets = SetRules(nonempty=control.required or len(labels) > 1) if multilabel else SetRules()
    expected = 1.0 if multilabel else _expected_temperature(reference, background)
    empty = LinearHead(labels, multilabel, reference, temperature=expected, details=HeadDetails(len(usable), sets=sets))
    if not usable or len(labels) < (1 if multilabel else 2):  # one label of a set may be there or not
        return empty
    plan = plan_search(len(texts), len(labels), previous.members if previous is not None else ())
    folds = stratified_folds(texts, targets, plan.folds, seed)
    data = Data(texts, pooled, targets, weights, multilabel, reference, Terms.fit(texts), folds)
    if repeat and previous is not None and _can_repeat(data, labels, previous):
        return _fit_again(empty, data, previous)
    tasks = [sample.task for sample in usable]
    head = _search_and_fit(empty, data, plan, tasks, seed=seed, cross_fit=cross_fit, per_label=per_label)
    return replace(head, details=_rules_of_kind(control, head, usable))


def _expected_temperature(reference: Reference, background: Floats) -> float:
    """Of answers by names; nothing is known of a trained head's, or a teacher's."""
    if reference.taught is not None or len(reference.prototypes) < 2:
        return 1.0
    return exp(expected_log_temperature(reference.zero_shot(background)))


def _with_teacher(
    plain: Reference,
    labels: tuple[str, ...],
    answers: Sequence[Sample],
    labelled: tuple[Sequence[Text], Floats, Floats, Floats],
    embedder: Embedder,
    multilabel: bool,
) -> Reference:
    """The reference that has learned from a teacher's answers to texts that nobody has labelled, or `plain` where
    the labels speak against it. `labelled`: texts, features, targets and weights."""
    from model.head.teacher import is_trusted, teach  # few projects have one

    texts, pooled, targets, weights = labelled
    known = set(texts)
    usable, said = target_matrix(labels, [sample for sample in answers if sample.text not in known], multilabel)
    if not usable:
        return plain
    taught = teach(plain, labels, embedder.embed([sample.text for sample in usable]), said, multilabel)
    if taught is plain or (len(texts) and not is_trusted(taught, plain, pooled, targets, weights)):
        return plain
    return taught


def _rules_of_kind(control: Control, head: LinearHead, samples: Sequence[Sample]) -> HeadDetails:
    """The head's, with how far stars are spread, from answers held out; whether people give a node along with one above
    it."""
    held_out, details = head.out_of_fold, head.details
    if control.kind is Kind.RATING and held_out is not None:
        stars = [index for index, label in enumerate(head.labels) if label != NONE]
        smoothing = choose_smoothing(held_out.probabilities[:, stars], held_out.targets[:, stars])
        details = replace(details, smoothing=smoothing)
    if control.several:
        paths = {label.key: label.path for label in control.labels}
        found = [[paths[key] for key, share in s.target.items() if share >= 0.5 and key in paths] for s in samples]
        details = replace(details, ancestors=any(map(has_parents, found)))
    return details


def is_settled(config: HeadConfig) -> bool:
    """Whether a head's choices were searched for on about as many rows as it was fitted on."""
    return (config.details.count or 0) <= SEARCH_GROWTH * config.searched


def _can_repeat(data: Data, labels: Sequence[str], previous: HeadConfig) -> bool:
    rows, classes = data.targets.shape
    same = tuple(labels) == previous.labels and previous.multilabel == data.multilabel
    same = same and (previous.taught is None) == (data.reference.taught is None)  # a teacher came, or was left out
    return same and bool(previous.members) and rows * min(rows, SPACE_DIMENSIONS) * classes > REPEAT_SIZE


def _fit_again(empty: LinearHead, data: Data, previous: HeadConfig) -> LinearHead:
    """The previous choices, shares, temperature and threshold on the present rows; nothing is scored."""
    plan = plan_search(len(data.texts), len(empty.labels), previous.members)
    kept = previous.members[: plan.members]
    whole = sum(member.weight for member in kept)
    choices = [member.choice for member in kept]
    shares = [member.weight / whole for member in kept]
    members = Search(data, plan.iterations).fit(choices, shares)
    return replace(
        empty,
        members=members,
        terms=_terms_of(members, data, empty),
        temperature=previous.temperature,
        zero_share=previous.zero_share,
        threshold=previous.threshold,
        details=replace(
            previous.details,
            count=len(data.texts),
            searched=previous.searched,
            held_out=previous.details.held_out or {},
            served_temperature=None,
        ),
    )


def _search_and_fit(
    empty: LinearHead,
    data: Data,
    plan: SearchPlan,
    tasks: Sequence[int],
    *,
    seed: int,
    cross_fit: bool,
    per_label: bool,
) -> LinearHead:
    """The head of a whole search, with what it answered out-of-fold."""
    count = len(data.texts)
    runner = Search(data, plan.iterations)
    thinned = choose_landmarks(data.targets, seed, plan.rows)
    chooser = runner if thinned is None else Search(_thin(data, thinned, plan.folds, seed), plan.iterations)
    candidates = search(chooser, plan)
    losses = np.stack([candidate.losses for candidate in candidates])
    with_prior = np.array([candidate.choice.prior > 0 for candidate in candidates])
    mean = np.array([candidate.loss for candidate in candidates])
    order, shares = member_shares(mean, with_prior, losses.shape[1], plan.members)
    choices = [candidates[index].choice for index in order]
    if plan.whole:
        rows: NDArray[np.int64] = np.arange(count, dtype=np.int64)
        answers = np.stack([candidate.probabilities for candidate in candidates])
        held_out = nested_answers(answers, losses, with_prior, data.weights, data.folds, plan.members)
    else:
        scored = plan.folds if cross_fit else plan.scored
        rows = runner.scored_rows(scored)
        held_out = runner.cross_fit(choices, list(shares), scored)
    members = runner.fit(choices, list(shares))
    head = replace(empty, members=members, terms=_terms_of(members, data, empty), zero_share=0.0)
    return calibrate_head(head, data, held_out, rows, tasks, per_label)


def _thin(data: Data, rows: NDArray[np.int64], folds: int, seed: int) -> Data:
    """These rows, dealt to folds anew: where most texts are copies, the first fold of all rows may be none of them."""
    part = data.take(rows)
    return replace(part, folds=stratified_folds(part.texts, part.targets, folds, seed))


def _terms_of(members: Sequence[Member], data: Data, empty: LinearHead) -> Terms:
    """The vocabulary, when a member uses it."""
    return data.terms if any(member.word_coefficients is not None for member in members) else empty.terms


def labels_of(control: Control, samples: Sequence[Sample]) -> tuple[str, ...]:
    """The control's labels; for choices listed in the task data, those seen so far. NONE, last, is one more where a
    question of which one label is the answer was left blank, or may be and has one label: then it is a checkbox."""
    seen = {key for sample in samples for key in sample.target}
    labels = control.keys() if control.options_field is None else tuple(sorted(seen - {NONE}))
    checkbox = len(labels) == 1 and not control.required
    return (*labels, NONE) if not control.multilabel and (NONE in seen or checkbox) else labels


def target_matrix(labels: Sequence[str], samples: Sequence[Sample], multilabel: bool) -> tuple[list[Sample], Floats]:
    """The samples that hold a known label, and their targets [n, K]."""
    column = {label: index for index, label in enumerate(labels)}
    usable: list[Sample] = []
    matrix = np.zeros((len(samples), len(labels)), np.float32 if len(samples) * len(labels) > MANY_CELLS else float)
    for sample in samples:
        row = matrix[len(usable)]
        for key, share in sample.target.items():
            if key in column:
                row[column[key]] = share
        if sample.weight > 0 and (row.sum() > 0 or (multilabel and not sample.target)):
            usable.append(sample)
            row /= 1 if multilabel else row.sum()
        else:
            row[:] = 0
    return usable, matrix[: len(usable)]


def _pool_texts(control: Control, pool: Sequence[Document]) -> list[Text]:
    return [control.text_of(document) for document in pool if all(name in document for name in control.inputs)]


def _reference(
    control: Control, labels: Sequence[str], pooled: Floats, background: Floats, embedder: Embedder, unread: float
) -> Reference:
    names = embedder.embed([(name,) for name in names_of(control.words, [label for label in labels if label != NONE])])
    # Labelled texts are part of the pool, too: with a small pool they are most of it.
    everything = np.concatenate([background, pooled]) if len(pooled) else background
    if len(everything) == 0:
        everything = names if len(names) else np.zeros((1, embedder.depth, embedder.width), np.float32)
    mean, last = everything.mean(0), everything[:, -1]
    named, unlabelled = names[:, -1], background[:, -1]
    if centred := sees_all_alike(named, last):
        named, last, unlabelled = named - mean[-1], last - mean[-1], unlabelled - mean[-1]
    prototypes = with_none(refine_prototypes(named, unlabelled), labels)
    similarity = normalise(last).mean(0) @ prototypes.T
    taught = match_labels(embedder.taught, control, labels)
    usual = PAIR_UNIFORM_SHARE if len(control.inputs) > 1 else UNIFORM_SHARE
    return Reference(mean, prototypes, similarity, taught, uniform_share(usual, unread), centred)
