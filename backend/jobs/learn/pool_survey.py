"""What the live version says to the unlabelled tasks: against it, the labelled ones show how they were chosen.

Done when nobody waits, and only when the labels have grown or the encoder is another one.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from backend.errors import BackendError
from backend.jobs.context import Context
from backend.store.evidence import Survey
from model.decoding.answers import decide
from model.errors import ModelError
from model.evidence.pool_accuracy import PoolSummary, summarise_pool
from model.numerics.arrays import Floats
from model.spec import Control, Document, Prediction
from model.texts import characters_of, portions
from model.visibility import is_conditional

if TYPE_CHECKING:
    from model.versions.live_model import LiveModel

log = logging.getLogger(__name__)

LABEL_GROWTH = 1.1
"""Growth in labels after which the survey is made again."""

MARKED_TEXTS = 200
"""Texts that are asked for their spans: two seconds where none has been read."""

TUNED_TEXTS = 300
"""Texts asked when a fine-tuned encoder has to read them first: about a second."""


def survey_pool(work: Context, project: int) -> bool:
    """Whether a survey was made and kept."""
    stores = work.stores
    live = stores.versions.live(project)
    if live is None or stores.jobs.is_learner_wanted():
        return False
    try:
        model = work.live_model(project, live)
        last = stores.evidence.survey(project)
        if model.manifest is None or not _is_due(model, last):
            return False
        found = _survey(work, project, model)
    except (BackendError, ModelError, ValueError) as error:
        log.error("survey failed project=%s version=%s: %s", project, live, error)
        return False
    if found is None:
        return False
    facts: Survey = {"version": live, "tuned": model.manifest.finetuned, "labels": _labels(model), "controls": found}
    stores.evidence.save_survey(project, facts)
    return True


def _is_due(model: LiveModel, last: Survey) -> bool:
    if not _labels(model):
        return False
    tuned = model.manifest.finetuned if model.manifest else None
    return not last or tuned != last.get("tuned") or _labels(model) >= LABEL_GROWTH * int(last["labels"])


def _labels(model: LiveModel) -> int:
    return max(model.manifest.labels_seen.values(), default=0) if model.manifest else 0


def _survey(work: Context, project: int, model: LiveModel) -> dict[str, PoolSummary] | None:
    """Control -> the pool's confidences, summarised; None when somebody waits for the learner."""
    documents = work.pools.read(work.stores, work.encoders.of(model.base.digest).base, project)
    records = work.stores.examples.snapshot(project).records
    asked_of = _asked_of(work, model, documents)
    if asked_of is None:
        return None
    found = {}
    for control in model.spec.controls:
        readable = [documents[row] for row in asked_of[control.name]]
        labelled = {control.text_of(r.texts) for r in records if all(name in r.texts for name in control.inputs)}
        texts = [text for d in readable if (text := control.text_of(d)) not in labelled]
        asked = texts if model.tuned is None else texts[:TUNED_TEXTS]
        scores: list[float] = []
        for portion in portions(asked, characters_of):
            if work.stores.jobs.is_learner_wanted():
                return None
            rows = model.scores(control.name, portion)
            scores += [_confidence(model, control, row) for row in rows]
        found[control.name] = summarise_pool(np.array(scores))
    for control in model.spec.spans:
        if work.stores.jobs.is_learner_wanted():
            return None
        labelled_texts = {control.text_of(r.texts) for r in records if all(name in r.texts for name in control.inputs)}
        readable = [d for d in documents if all(name in d for name in control.inputs)]
        open_ones = [d for d in readable if control.text_of(d) not in labelled_texts]
        answers = model.mark(control.name, open_ones[:MARKED_TEXTS])
        found[control.name] = _summarise_marks(answers)
    return found


def _summarise_marks(answers: Sequence[Prediction]) -> PoolSummary:
    found = summarise_pool(np.array([answer.score for answer in answers]))
    hits = sum(span.score for answer in answers for span in answer.spans)
    sizes = sum(len(answer.spans) + answer.expected_spans for answer in answers)
    shown = [round(answer.score, 4) for answer in answers if answer.spans]
    return {**found, "f1": round(2 * hits / sizes, 5) if sizes else 0.0, "shown": shown}


def _asked_of(work: Context, model: LiveModel, documents: Sequence[Document]) -> dict[str, list[int]] | None:
    """Control -> the rows whose page asks it, as far as the answers decide that; None when a refit waits."""
    found: dict[str, list[int]] = {}
    for control in model.spec.controls:
        found[control.name] = [row for row, d in enumerate(documents) if all(name in d for name in control.inputs)]
    if not is_conditional(model.spec):
        return found
    shown: list[set[str]] = []
    for portion in portions(list(documents), lambda d: sum(map(len, d.values()))):
        if work.stores.jobs.is_learner_wanted():
            return None
        shown += [{one.control for one in answers} for answers in model.predict(portion)]
    return {name: [row for row in rows if name in shown[row]] for name, rows in found.items()}


def _confidence(model: LiveModel, control: Control, row: Floats) -> float:
    rules = model.rules(control.name)
    answer = decide(control, rules, row, options=rules.labels)
    return answer.score if answer is not None else 0.0
