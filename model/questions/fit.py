"""Fits a head for questions to answered ones: cold with figures on held-out passages, or on from the head before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from model.numerics.lbfgs import minimise
from model.questions.answer_memory import AnswerMemory
from model.questions.answer_model import AnswerWeights, Floats32, Gold, Questions, loss
from model.questions.asked import LAYERS, AnsweredText
from model.questions.head import QuestionHead
from model.questions.held_out import HeldOut, calibrate_head
from model.questions.layout import put_together
from model.questions.starting_weights import starting_weights
from model.spans.features.feature_space import StateScale
from model.spans.head.fit import ALWAYS_COLD, GROWTH, REPEAT_GROWTH
from model.spans.head.head import COLD_F1, COLD_THRESHOLD, ShowRules, SpanDetails
from model.spans.head.held_out import fold_texts
from model.spans.transfer.prior import TransferPrior

COLD_ITERATIONS, FOLD_ITERATIONS, WARM_ITERATIONS = 30, 20, 8

LONGEST, LONGEST_OF_ALL = 12, 60
"""Words of the longest answer that is looked for, where no annotator gave a longer one; and of the longest ever."""

FEWEST, FOLDS = 8, 4
"""Answered questions from which some are held out, and in how many parts."""

HOLD = 10.0
"""How hard the starting weights hold: of a sum of squares against a sum of log-likelihoods."""

DENSE = 0.0
"""Mean squared length of the states as they are, beside the columns; 0: not read. On questions of SQuAD 2.0 they cost a
quarter of the exact matches at 64 answers and at 256 (with 40; more with 120)."""

MOST_WORDS = 60_000
"""Words of all passages of a fit, each counted as often as it is asked of: with more, questions are left out."""


@dataclass(frozen=True)
class QuestionBasis:
    """What does not depend on answers: labels, the scale of word states, and the prior if there is one; whether the
    base model has a `taught` head for questions."""

    labels: tuple[str, ...]
    scale: StateScale
    prior: TransferPrior | None = None
    taught: bool = False


def cold_question_head(basis: QuestionBasis) -> QuestionHead:
    """Before any answer: what the starting weights are sure of."""
    weights = starting_weights(0, basis.taught)
    memory = AnswerMemory.empty(len(basis.scale.mean) // LAYERS)
    rules = ShowRules() if basis.taught else ShowRules(COLD_THRESHOLD, COLD_F1)
    return QuestionHead(
        basis.labels, (weights,) * len(basis.labels), basis.scale, basis.prior, 0.0, LONGEST, memory, rules=rules
    )


def fit_question_head(
    basis: QuestionBasis,
    examples: Sequence[AnsweredText],
    previous: QuestionHead | None = None,
    *,
    repeat: bool = False,
) -> QuestionHead:
    """The head of these answers, in the order in which they were given. `previous`, of the same basis, is gone on from
    where that is enough; with `repeat` for longer."""
    examples = [one for one in examples if one.asked.passage.bounds]
    used = _thin(examples)
    if not used:
        return cold_question_head(basis)
    if previous is not None and _is_enough(previous, basis, used, repeat):
        head = _fit(basis, used, WARM_ITERATIONS, previous)
        details = replace(previous.details, used=len(used), texts=len(examples))
        return replace(previous, weights=head.weights, memory=head.memory, details=details)
    return calibrate_head(fit_uncalibrated(basis, examples), _hold_out(basis, used))


def fit_fold(basis: QuestionBasis, examples: Sequence[AnsweredText]) -> QuestionHead:
    """A head of some of the answers, to be asked about the others: without calibration of its own."""
    return _fit(basis, _thin(examples), FOLD_ITERATIONS)


def _is_enough(previous: QuestionHead, basis: QuestionBasis, used: Sequence[AnsweredText], repeat: bool) -> bool:
    """Whether a warm fit will do."""
    count = len(used)
    same = previous.labels == basis.labels and previous.prior is basis.prior and previous.details.cold > 0
    same = same and np.array_equal(previous.scale.mean, basis.scale.mean) and longest_answer(used) <= previous.longest
    return same and count > ALWAYS_COLD and count < (REPEAT_GROWTH if repeat else GROWTH) * previous.details.cold


def _thin(examples: Sequence[AnsweredText]) -> Sequence[AnsweredText]:
    """All of them, or as many as a fit can read: by the hash of their passage, so that they stay the same."""
    if sum(len(one.asked.passage.bounds) for one in examples) <= MOST_WORDS:
        return examples
    order = fold_texts(["\0".join(one.asked.key) for one in examples], len(examples))
    kept: set[int] = set()
    total = 0
    for place in np.argsort(order, kind="stable"):
        total += len(examples[place].asked.passage.bounds)
        if total > MOST_WORDS and kept:
            break
        kept.add(int(place))
    return [one for place, one in enumerate(examples) if place in kept]


def longest_answer(examples: Sequence[AnsweredText]) -> int:
    """Words of the longest answer, within bounds."""
    sizes = [
        last - first + 1
        for one in examples
        for label in {span.label for span in one.spans}
        for first, last in one.answers(label)
    ]
    return int(np.clip(max(sizes, default=1), LONGEST, LONGEST_OF_ALL))


def _fit(
    basis: QuestionBasis,
    examples: Sequence[AnsweredText],
    iterations: int,
    previous: QuestionHead | None = None,
) -> QuestionHead:
    """Of these answers; on from `previous` if there is one."""
    dense = previous.dense if previous is not None else DENSE
    longest = previous.longest if previous is not None else longest_answer(examples)
    asked = [one.asked for one in examples]
    memory = AnswerMemory.of(examples, basis.scale)
    questions = put_together(asked, basis.scale, basis.prior, memory, dense, longest)
    width = questions.states.shape[1]
    start = previous.weights if previous is not None else (None,) * len(basis.labels)
    weights = [
        _minimise(questions, examples, label, iterations, begin or starting_weights(width, basis.taught), basis.taught)
        for label, begin in zip(basis.labels, start, strict=True)
    ]
    return QuestionHead(basis.labels, tuple(weights), basis.scale, basis.prior, dense, longest, memory)


def _minimise(
    questions: Questions,
    examples: Sequence[AnsweredText],
    label: str,
    iterations: int,
    begin: AnswerWeights,
    taught: bool,
) -> AnswerWeights:
    """The likeliest weights of one label's answers, held to the starting ones."""
    answers = [one.answers(label) for one in examples]
    gold = Gold.of(questions.band, answers, [one.weight for one in examples])
    centre = starting_weights(questions.states.shape[1], taught)
    middle, hold = centre.flat, _holds(centre)

    def objective(flat: Floats32) -> tuple[float, Floats32]:
        value, gradient = loss(questions, gold, centre.like(flat))
        off = flat - middle
        return value + 0.5 * float((hold * off * off).sum()), gradient.flat + hold * off

    found = minimise(objective, begin.flat, iterations)
    return centre.like(found.point)


def _holds(weights: AnswerWeights) -> Floats32:
    """How hard each weight is held: those of states by 1, whose size says how much they may."""
    held = AnswerWeights(*(np.full_like(part, HOLD) for part in weights.arrays().values()))
    return replace(held, states=np.ones_like(weights.states)).flat


def _hold_out(basis: QuestionBasis, examples: Sequence[AnsweredText]) -> HeldOut:
    """What heads fitted to the other passages say of each: all questions about one passage are held out together."""
    held_out = HeldOut()
    if len(examples) < FEWEST:
        return held_out
    own = fold_texts([one.asked.passage.text for one in examples], FOLDS)
    for fold in range(FOLDS):
        rest = [one for one, part in zip(examples, own, strict=True) if part != fold]
        out = [one for one, part in zip(examples, own, strict=True) if part == fold]
        if rest and out:
            head = _fit(basis, rest, FOLD_ITERATIONS)
            held_out = held_out.add(out, head.best([one.asked for one in out]))
    return held_out


def fit_uncalibrated(basis: QuestionBasis, examples: Sequence[AnsweredText]) -> QuestionHead:
    """The head of these answers, from nothing, with the probabilities that it has of itself."""
    examples = [one for one in examples if one.asked.passage.bounds]
    used = _thin(examples)
    if not used:
        return cold_question_head(basis)
    head = _fit(basis, used, COLD_ITERATIONS)
    return replace(head, details=SpanDetails(len(examples), len(used), len(used), head.longest))
