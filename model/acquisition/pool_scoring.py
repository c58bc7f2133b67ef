"""Every text of a pool answered anew after a refit, in the time of a few matrix products.

What is answered equals `LiveModel.scores` to 1e-5; the difference is single precision. A block of rows is widened
once, then all members of one encoder view are one product. Where there are two cores two blocks are worked on at a
time: numpy and scipy let go of the interpreter in between.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import xxhash
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from model.batching import characters_of, portions
from model.errors import RescoringError
from model.features.cache import BATCH, KEPT
from model.features.hashed_tfidf import HashedVocabulary, pack_terms
from model.features.long_texts import LabelAwarePooling, has_own_reading, reading_of
from model.features.matrix import FeatureMatrix, Halves
from model.head.linear_head import LinearHead
from model.interfaces import Embedder
from model.numerics.arrays import Floats, normalise
from model.numerics.float16 import widen
from model.spec import Control, Text
from model.texts import text_key

if TYPE_CHECKING:
    from model.versions.live_model import LiveModel

Consume = Callable[[slice, Floats], None]

BLOCK = 512
"""Rows worked on at a time: 3 MB for MiniLM, so that they stay in the cache between the products."""

SMALLEST = 1e-12


@dataclass(frozen=True)
class Outcome:
    """One entry per row of the matrix, float32 [n] each but for `top`, the column of the likeliest label.

    For sets as in `model/acquisition/strategies.py`: `confidence` is that of the whole set, `margin` the distance of
    the nearest label to the threshold, `entropy` (nats) the sum over the labels."""

    labels: tuple[str, ...]
    top: NDArray[np.int32]
    confidence: Floats
    margin: Floats
    entropy: Floats


def rescore(
    model: LiveModel, control: str, matrix: FeatureMatrix, tuned: FeatureMatrix | None = None, *, threads: int = 0
) -> Outcome:
    """What `model` says to every text of the matrix, summarised; no [n, K] is kept.

    `tuned`: the same texts read by the model's fine-tuned encoder. Raises RescoringError without it when that has a
    share in the answer, or when it lacks one of the texts. `threads`: 0 for as many as cores."""
    count, multilabel = len(matrix), model.spec.control(control).multilabel
    threshold = model.rules(control).threshold
    top = np.zeros(count, np.int32)
    confidence, margin, entropy = (np.zeros(count, np.float32) for _ in range(3))

    def consume(rows: slice, answers: Floats) -> None:
        summary = _summarise_sets(answers, threshold) if multilabel else _summarise(answers)
        top[rows], confidence[rows], margin[rows], entropy[rows] = summary

    _run(model, control, matrix, tuned, consume, threads)
    return Outcome(model.labels(control), top, confidence, margin, entropy)


def probabilities(
    model: LiveModel, control: str, matrix: FeatureMatrix, tuned: FeatureMatrix | None = None, *, threads: int = 0
) -> NDArray[np.float32]:
    """What `model` says to every text of the matrix [n, K]; as `rescore`."""
    result = np.zeros((len(matrix), len(model.labels(control))), np.float32)

    def consume(rows: slice, answers: Floats) -> None:
        result[rows] = answers

    _run(model, control, matrix, tuned, consume, threads)
    return result


def member_probabilities(
    model: LiveModel, control: str, matrix: FeatureMatrix, *, threads: int = 0
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """What each member of the head says to every text of the matrix [m, n, K], and the members' shares [m]; for
    `acquisition.bald`. Without the fine-tuned encoder. m times the memory of `probabilities`."""
    head = model.heads[control]
    result = np.zeros((len(head.members), len(matrix), len(model.labels(control))), np.float32)

    def work(scorer: _Scorer, rows: slice, halves: Halves, words: Any) -> None:
        for index, logits in enumerate(scorer.parts(halves, words)[0]):
            result[index, rows] = scorer.head.squash(logits)

    _for_blocks(model, control, matrix, work, threads)
    return result, np.array([member.weight for member in head.members])


def fill(matrix: FeatureMatrix, control: Control, embedder: Embedder, texts: Sequence[Text]) -> int:
    """Add the texts that the matrix lacks, as `control` reads them; how many. Takes as long as the encoder for texts
    that its cache does not hold."""
    return _fill(matrix, control, LabelAwarePooling(embedder, control), texts)


def fill_tuned(matrix: FeatureMatrix, control: Control, embedder: Embedder, texts: Sequence[Text]) -> int:
    """As `fill`, for a fine-tuned encoder: a matrix of depth 1, since only the last layer counts."""
    return _fill(matrix, control, embedder, texts)


def _fill(matrix: FeatureMatrix, control: Control, reader: Embedder, texts: Sequence[Text]) -> int:
    keys = dict(zip(row_keys(control, texts), texts, strict=True))
    missing = [key for key, row in zip(keys, matrix.find(list(keys)), strict=True) if row < 0]
    added = 0
    for portion in portions(missing, lambda key: characters_of(keys[key]), texts=BATCH, characters=KEPT):
        wanted = [keys[key] for key in portion]
        features = reader.embed(wanted)[:, -matrix.depth :]
        added += matrix.append(portion, features, [pack_terms(text) for text in wanted])
    return added


def row_keys(control: Control, texts: Sequence[Text]) -> list[bytes]:
    """The keys of texts in a matrix: long texts are read with an eye for the control's labels and those of a Pairwise
    are compared, others are the same for all controls."""
    reading = reading_of(control).encode("utf-8", "surrogatepass")
    return [
        xxhash.xxh3_128(text_key(text) + reading).digest() if has_own_reading(control, text) else text_key(text)
        for text in texts
    ]


class _Scorer:
    """One head with its members' coefficients side by side, float32. Thread-safe: what changes is each thread's own."""

    def __init__(self, head: LinearHead) -> None:
        self.head = head
        self.vocabulary = HashedVocabulary(head.terms) if head.uses_words else None
        self._mean = head.reference.mean.astype(np.float32)
        self._prototypes = np.ascontiguousarray(head.reference.prototypes.T, np.float32)
        by_view = {view: [m.coefficients for m in head.members if m.choice.view == view] for view in head.views}
        self._fused = {view: _side_by_side(found) for view, found in by_view.items()}
        self._words = _side_by_side([m.word_coefficients for m in head.members if m.word_coefficients is not None])
        self._own = threading.local()

    def answer(self, halves: Halves, words: Any) -> Floats:
        """`LinearHead.scores` of rows [n, depth, width] and their TF-IDF."""
        return self.head.combine(*self.parts(halves, words))

    def parts(self, halves: Halves, words: Any) -> tuple[Iterable[Floats], Floats]:
        """The members' logits and the zero-shot answer, [n, K] each."""
        reference = self.head.reference
        wide = self._widen(halves if "layers" in self._fused else halves[:, -1:])
        last = wide[:, -1]
        similarity = normalise(last) @ self._prototypes
        base = reference.zero_shot_from(similarity, last)
        if not self.head.members:
            return (), base
        prior = reference.prior_from(similarity, base)
        return self._logits(self._views(wide), words, prior), base

    def _widen(self, halves: Halves) -> Floats:
        room = getattr(self._own, "room", None)
        if room is None or room.shape[1:] != halves.shape[1:] or len(room) < len(halves):
            room = self._own.room = np.empty(halves.shape, np.int32)
        return widen(halves, room[: len(halves)])

    def _views(self, wide: Floats) -> dict[str, Floats]:
        """`dense_features` of every view times the coefficients [n, members * K]; `wide` is overwritten."""
        wide -= self._mean[-wide.shape[1] :]
        lengths = np.sqrt(np.einsum("ijk,ijk->ij", wide, wide))
        wide *= (1 / np.maximum(lengths, SMALLEST))[:, :, None]
        found: dict[str, Floats] = {}
        if "last" in self._fused:
            found["last"] = wide[:, -1] @ self._fused["last"]
        if "layers" in self._fused:
            found["layers"] = wide.reshape(len(wide), -1) @ self._fused["layers"]
            found["layers"] *= np.float32(1 / np.sqrt(wide.shape[1]))
        return found

    def _logits(self, products: dict[str, Floats], words: Any, prior: Floats) -> Iterator[Floats]:
        classes = len(self.head.labels)
        parts = {view: iter(np.split(found, found.shape[1] // classes, 1)) for view, found in products.items()}
        from_words = words @ self._words if words is not None else np.zeros((len(prior), 0))
        word_parts = iter(np.split(from_words, max(1, from_words.shape[1] // classes), 1))
        for member in self.head.members:
            logits = next(parts[member.choice.view])
            if member.word_coefficients is not None:
                logits += next(word_parts)
            yield member.complete(logits, prior)


Work = Callable[[_Scorer, slice, Halves, Any], None]


def _run(
    model: LiveModel,
    control: str,
    matrix: FeatureMatrix,
    tuned: FeatureMatrix | None,
    consume: Consume,
    threads: int,
) -> None:
    if not len(matrix) or not model.labels(control):
        return
    read_tuned = _tuned_rows(model, control, matrix, tuned)

    def work(scorer: _Scorer, rows: slice, halves: Halves, words: Any) -> None:
        own = scorer.answer(halves, words)
        mixed = model.blended(control, own, read_tuned(rows.start, rows.stop) if read_tuned else None)
        consume(rows, model.correct(control, own if mixed is None else mixed))

    _for_blocks(model, control, matrix, work, threads)


def _for_blocks(model: LiveModel, control: str, matrix: FeatureMatrix, work: Work, threads: int) -> None:
    """`work` on every block of rows, as many at a time as there are threads."""
    head = model.heads[control]
    if not len(matrix) or not head.labels:
        return
    scorer = _Scorer(head)

    def block(start: int) -> None:
        stop = min(start + BLOCK, len(matrix))
        words = scorer.vocabulary.matrix(*matrix.terms(start, stop)) if scorer.vocabulary else None
        work(scorer, slice(start, stop), matrix.rows(start, stop), words)

    # BLAS with one thread each: two threads in one small product cost more than they bring.
    with threadpool_limits(1), ThreadPoolExecutor(threads or os.cpu_count() or 1) as pool:
        for _ in pool.map(block, range(0, len(matrix), BLOCK)):
            pass


def _tuned_rows(
    model: LiveModel, control: str, matrix: FeatureMatrix, tuned: FeatureMatrix | None
) -> Callable[[int, int], Floats] | None:
    """Reads the fine-tuned encoder's last layer for a range of the matrix's rows; None when it has no share."""
    part = model.finetuned.heads.get(control) if model.finetuned is not None else None
    if part is None or model.tuned is None or part.weight <= 0:
        return None
    if part.multilabel != model.spec.control(control).multilabel:
        return None
    if tuned is None:
        raise RescoringError(
            f"{control}: the answer is a blend: fill a matrix with `model.tuned`, too", control=control
        )
    places = tuned.find(matrix.keys())
    lacking = int((places < 0).sum())
    if lacking:
        raise RescoringError(f"{control}: the fine-tuned encoder has not read {lacking} texts: `fill` its matrix first")
    return lambda start, stop: widen(tuned.gather(places[start:stop]))[:, -1]


def _summarise(answers: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """(top, confidence, margin, entropy) of single-label rows [n, K]."""
    top = answers.argmax(1)
    first = answers[np.arange(len(answers)), top]
    margin = np.ones_like(first)
    if answers.shape[1] > 1:
        second, largest = np.partition(answers, -2, axis=1)[:, -2:].T
        margin = largest - second
    return top, first, margin, -(answers * np.log(np.maximum(answers, SMALLEST))).sum(1)


def _summarise_sets(answers: Floats, threshold: float) -> tuple[Floats, Floats, Floats, Floats]:
    """As `_summarise`, of independent labels."""
    other = 1 - answers
    confidence = np.where(answers >= threshold, answers, other).prod(1)
    logs = answers * np.log(np.maximum(answers, SMALLEST)) + other * np.log(np.maximum(other, SMALLEST))
    return answers.argmax(1), confidence, np.abs(answers - threshold).min(1), -logs.sum(1)


def _side_by_side(matrices: Sequence[Floats]) -> NDArray[np.float32]:
    return np.hstack([matrix.astype(np.float32, copy=False) for matrix in matrices] or [np.zeros((0, 0), np.float32)])
