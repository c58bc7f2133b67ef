"""Answers for rows of a file: what a version says, in the words that people know."""

from __future__ import annotations

import copy
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from backend.errors import Undecidable
from backend.labelstudio.documents import Options, read_document
from backend.labelstudio.label_config.answer_values import task_score
from model.features.cache import peeking
from model.spec import NONE, Control, Json, JsonObject, Kind, Prediction, TaskSpec
from model.texts import bounds_for, characters_of, portions
from model.versions.live_model import LiveModel

log = logging.getLogger(__name__)

Document = dict[str, str]

UNHURRIED = 4
"""Times the texts of a short call: nobody waits in between here, and 64 short texts at once take a fifth less time."""

TOLD_ROWS = 3
"""Rows of a shard whose traceback is logged: where every row fails, ten million would fill the disk. `_errors` names
all."""


@dataclass(frozen=True)
class RowAnswer:
    """`answer`: a label, a list of labels or spans, of several controls an object of those; None for nothing.
    `problem`: why there is none, "" where that is what the version says."""

    answer: Json = None
    score: float | None = None
    problem: str = ""


@dataclass(frozen=True)
class _Known:
    place: int
    document: Document
    options: Options

    @property
    def key(self) -> str:
        return repr((self.document, self.options))

    @property
    def length(self) -> int:
        return characters_of(tuple(self.document.values()))


class RowAnswerer:
    """Answers rows with one version. `longest`: characters of a text that are read; it is silent below `sure`."""

    def __init__(self, model: LiveModel, longest: int, sure: float) -> None:
        self.model, self._longest, self._sure = _leaving_no_trace(model), longest, sure
        self._bounds = bounds_for(model.base)
        self._failed = 0

    @property
    def version(self) -> str:
        return self.model.version

    def answer(self, rows: Sequence[JsonObject]) -> list[RowAnswer]:
        """One for each row; no row fails the others."""
        answers = [RowAnswer()] * len(rows)
        known: list[_Known] = []
        for place, row in enumerate(rows):
            try:
                known.append(_Known(place, *read_document(self.model.spec, row, self._longest)))
            except Undecidable as reason:
                answers[place] = RowAnswer(problem=reason.reason)
        alike: dict[str, list[int]] = {}
        for one in known:
            alike.setdefault(one.key, []).append(one.place)
        first = {places[0] for places in alike.values()}
        # Texts of like length go together: none waits for a longer one in its batch.
        unique = sorted((one for one in known if one.place in first), key=lambda one: one.length)
        texts, characters = self._bounds
        for portion in portions(unique, lambda one: one.length, texts=UNHURRIED * texts, characters=characters):
            for one, own in zip(portion, self._predict(portion), strict=True):
                for place in alike[one.key]:
                    answers[place] = own
        return answers

    def _predict(self, portion: Sequence[_Known]) -> list[RowAnswer]:
        try:
            found = self.model.predict([one.document for one in portion], [one.options for one in portion])
        except Exception as error:  # whatever one text does to a model, the others are answered
            if len(portion) > 1:
                return [self._predict([one])[0] for one in portion]
            self._failed += 1
            if self._failed <= TOLD_ROWS:
                log.exception("a row was not answered")
            return [RowAnswer(problem=f"it was not answered: {type(error).__name__}")]
        return [self._worded(one.document, predictions) for one, predictions in zip(portion, found, strict=True)]

    def _worded(self, document: Document, predictions: Sequence[Prediction]) -> RowAnswer:
        score = task_score(predictions)
        if not predictions or score < self._sure:
            return RowAnswer(score=score if predictions else None)
        return RowAnswer(answer_of(self.model.spec, document, predictions), score)


def _leaving_no_trace(model: LiveModel) -> LiveModel:
    """Reads what the caches of this machine hold, and leaves nothing there: what people label now stays in them."""
    tools = model.tools
    if tools is not None:
        reader = copy.copy(tools.reader)
        reader.cache = None
        tools = replace(tools, reader=reader)
    tuned = None if model.tuned is None else peeking(model.tuned)
    return replace(model, base=peeking(model.base), tuned=tuned, tools=tools)


def answer_of(spec: TaskSpec, document: Document, predictions: Sequence[Prediction]) -> Json:
    """What one control says, or of several an object by their names."""
    said: dict[str, Json] = {one.control: _said(spec.control(one.control), document, one) for one in predictions}
    return said if len(spec.questions) > 1 else next(iter(said.values()), None)


def _said(control: Control, document: Mapping[str, str], prediction: Prediction) -> Json:
    if control.kind is Kind.SPANS:
        text = document[control.inputs[0]]
        return [
            {
                "start": span.start,
                "end": span.end,
                "label": span.label,
                "text": text[span.start : span.end],
                "score": round(span.score, 6),
            }
            for span in prediction.spans
        ]
    shown: list[Json] = [control.show(key) for key in prediction.chosen if key != NONE]
    if control.multilabel:
        return shown
    return shown[0] if shown else None
