"""Highlights for the tasks of a /predict whose config asks for them: after the answers, in the time that is left."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from backend.labelstudio.label_config.assist_controls import Helper, evidence_results
from backend.serving.predictors import Predictors, alone
from backend.telemetry.metrics import Metrics
from model.spec import Json, Prediction

if TYPE_CHECKING:
    from model.explain.occlusion import Word
    from model.versions.live_model import LiveModel

log = logging.getLogger(__name__)

EXPLANATIONS_KEPT = 2048
"""Explanations kept: an annotator opens a task that was shown in a list a moment ago."""

FEW_TASKS = 8
"""Tasks of a request up to which an annotator waits for these very tasks."""

FEW_SECONDS, MANY_SECONDS = 5.0, 10.0
"""What explaining may add to a reply. Label Studio itself takes 0.16 s per prediction that it stores."""

MOST_SHOWN = 6
"""Highlighted words of a task: more of them decide nothing for the eye."""

Words = Sequence["Word"]

_Key = tuple[int | None, str, str, str, tuple[str, ...], tuple[str, ...], tuple[str, ...] | None]
"""Project, version, digest of the spec, control, answer, the texts that it reads, and the choices listed."""


@dataclass(frozen=True)
class HighlightRequest:
    """One answer to be explained, of the task at `index` of a request."""

    index: int
    document: Mapping[str, str]
    answer: Prediction
    listed: Sequence[str] | None


class Highlighter:
    """Explains answers and remembers the latest. Thread-safe."""

    def __init__(self, kept: int = EXPLANATIONS_KEPT) -> None:
        self._kept = kept
        self._known: OrderedDict[_Key, Words] = OrderedDict()
        self._guard = threading.Lock()

    def of(self, project: int | None) -> Callable[[LiveModel, HighlightRequest], Words]:
        """The explaining function of one project: versions have the same names in every project."""
        return partial(self.explain, project)

    def explain(self, project: int | None, model: LiveModel, wanted: HighlightRequest) -> Words:
        """The words that decided for the likeliest chosen label, heaviest first."""
        from model.explain.explanation import explain_answer

        inputs = model.spec.control(wanted.answer.control).inputs
        read = tuple(wanted.document[name] for name in inputs)
        answer, listed = wanted.answer, tuple(wanted.listed) if wanted.listed is not None else None
        key = (project, model.version, model.spec.digest, answer.control, answer.chosen, read, listed)
        with self._guard:
            if key in self._known:
                self._known.move_to_end(key)
                return self._known[key]
        explained = explain_answer(model, wanted.document, answer, listed)
        words = tuple(explained[0].words) if explained else ()
        with self._guard:
            self._known[key] = words
            while len(self._known) > self._kept:
                self._known.popitem(last=False)
        return words


def highlight(
    model: LiveModel,
    helper: Helper,
    tasks: Sequence[HighlightRequest],
    *,
    explain: Callable[[LiveModel, HighlightRequest], Words],
    predictors: Predictors,
    metrics: Metrics,
    seconds: float,
) -> dict[int, list[dict[str, Json]]]:
    """Task index -> the regions of its deciding words, of as many tasks as `seconds` suffice for."""
    found: dict[int, list[dict[str, Json]]] = {}
    failed: list[int] = []

    def one(wanted: HighlightRequest) -> None:
        try:
            segment = model.spec.control(wanted.answer.control).inputs.index(helper.to_name)
            words = [word for word in explain(model, wanted) if word.segment == segment]
            found[wanted.index] = evidence_results(helper, words[:MOST_SHOWN])
        except Exception:
            failed.append(wanted.index)
            log.exception("task answered without highlights")

    predictors.run([alone(partial(one, wanted)) for wanted in tasks], seconds)
    done = dict(found)  # a chunk that is late may still write into `found`
    late = len(tasks) - len(done) - len(failed)
    metrics.highlights.labels("done").inc(len(done))
    metrics.highlights.labels("failed").inc(len(failed))
    metrics.highlights.labels("late").inc(max(0, late))
    if late > 0:
        log.info("no time for the highlights of %s of %s tasks", late, len(tasks))
    return done


def seconds_for(tasks: int, left: float) -> float:
    """How long a request with this many tasks may explain, `left` seconds before its deadline."""
    return max(0.0, min(FEW_SECONDS if tasks <= FEW_TASKS else MANY_SECONDS, left / 2))
