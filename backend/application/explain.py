"""Why a task is answered as it is, for an admin; knows no HTTP."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from typing import TYPE_CHECKING

from backend.application.services import Services
from backend.errors import BadRequest, LabelStudioError, NotFound, NotReady, Undecidable
from backend.explained_json import CarriedOver, DecidingWord, ExplainedAnswer, Explanation
from backend.labelstudio.documents import read_document
from backend.labelstudio.label_config.assist_controls import runner_up
from backend.labelstudio.task_spec import parse_label_config
from backend.serving.explained_duplicates import describe_carried_over
from backend.serving.explained_spans import SpanQuery, describe_marks, read_marked
from backend.serving.predictors import alone
from backend.settings.settings import Settings
from backend.store.stores import Stores
from model.spec import Document, Prediction, TaskSpec

if TYPE_CHECKING:
    from model.explain.explanation import Explained
    from model.versions.live_model import LiveModel

WAIT_SECONDS = 20.0
"""Longest wait for a free predictor thread and the explanation."""

Options = dict[str, list[str]]


def explain_task(
    services: Services, project: int, task: int, control: str = "", span: SpanQuery | None = None
) -> Explanation:
    """What the version that serves now answers for a task, and the words that decided; of marked text, what decided for
    each span, and for or against `span`.

    `control`: default is the first that answers, with `span` the first that marks text. Raises NotFound for a task or
    an answer that is not there, BadRequest for a control that the label config has not or a span that the text has not,
    NotReady when models do not serve in time."""
    spec = parse_label_config(services.stores.projects.config(project))
    if control and control not in {item.name for item in spec.questions}:
        known = ", ".join(item.name for item in spec.questions)
        raise BadRequest(f"control: {control[:80]!r} is not learned here; there is {known}", field="control")
    if span is not None:
        control = _marking(spec, control)
    document, options = find_task(services.settings, services.stores, spec, project, task)
    model = services.registry.model_for(project, spec, WAIT_SECONDS)
    marked = read_marked(services.stores, project) if spec.spans else []
    url = services.settings.label_studio_url.rstrip("/")
    link = f"{url}/projects/{project}/data?task=" if url else ""

    def describe(answer: Prediction) -> ExplainedAnswer:
        return describe_marks(model, document, answer, task, span, marked, link)

    found: list[ExplainedAnswer] = []
    failed: list[Exception] = []

    def carried_over(answers: Sequence[Prediction]) -> Mapping[str, CarriedOver]:
        tables, store = services.background.labelled, services.stores.labelled_texts
        return describe_carried_over(tables, store, project, task, spec, document, answers, options)

    def compute() -> None:
        try:
            found.extend(_explain(model, document, options, control, describe, carried_over))
        except Exception as error:
            failed.append(error)

    in_time = services.predictors.run([alone(compute)], WAIT_SECONDS)
    if failed:
        raise failed[0]
    if not in_time:
        raise NotReady(f"no explanation within {WAIT_SECONDS:.0f} s: the server is busy, ask again")
    if not found:
        what = f"answer of {control}" if control else "answer"
        raise NotFound(
            f"task {task} has no {what}: it lacks a text or the choices that its control takes from it, or the page "
            "does not ask the question beside the other answers (visibleWhen)"
        )
    return {"project": project, "task": task, **found[0]}


def _marking(spec: TaskSpec, control: str) -> str:
    """The control that marks text: `control`, or the first. Raises BadRequest."""
    marking = [item.name for item in spec.spans]
    if control and control not in marking:
        raise BadRequest(f"control: {control[:80]!r} marks no text", field="control")
    if not marking:
        raise BadRequest("start: no control of this project marks text", field="start")
    return control or marking[0]


def _explain(
    model: LiveModel,
    document: Document,
    options: Options,
    control: str,
    describe_marked: Callable[[Prediction], ExplainedAnswer],
    carried_over: Callable[[Sequence[Prediction]], Mapping[str, CarriedOver]],
) -> list[ExplainedAnswer]:
    """The first answer (of `control`), described; empty when there is none."""
    from model.explain.explanation import explain_answer

    predictions = model.predict([document], [options])[0]
    answers = [one for one in predictions if control in ("", one.control)]
    if not answers:
        return []
    first = answers[0]
    if first.control in model.span_heads:
        return [describe_marked(first)]
    found = _describe(model, document, first, explain_answer(model, document, first, options.get(first.control)))
    taken = carried_over(predictions).get(first.control)
    return [{**found, "carried_over": taken} if taken is not None else found]


def find_task(settings: Settings, stores: Stores, spec: TaskSpec, project: int, task: int) -> tuple[Document, Options]:
    """The texts of a task and the choices it lists: as stored here, with its annotations or as an unlabelled text; from
    Label Studio for what is not stored. Raises NotFound with what to do."""
    stored = _stored(stores, project, task)
    listed = any(control.options_field is not None for control in spec.controls)
    if not listed and all(item.name in stored for item in spec.inputs):
        return stored, {}
    reason = "LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY are not set"
    if settings.has_label_studio:
        try:
            return _ask_label_studio(settings, spec, project, task)
        except (LabelStudioError, Undecidable) as error:
            reason = error.message
    if stored:
        return stored, {}
    raise NotFound(
        f"task {task} of project {project} is not known here ({reason}): open it in Label Studio once, or run "
        f"`understudy resync {project}`"
    )


def _ask_label_studio(settings: Settings, spec: TaskSpec, project: int, task: int) -> tuple[Document, Options]:
    from backend.labelstudio.rest.client import LabelStudioClient

    # A thread of the web process waits for it, and so does a person.
    with closing(LabelStudioClient.of(settings, attempts=1, read_seconds=WAIT_SECONDS)) as api:
        found = api.tasks.get(task)
    if found.get("project") != project:
        raise LabelStudioError(f"Label Studio has no task {task} in project {project}")
    return read_document(spec, found.get("data"), settings.max_text_chars)


def _stored(stores: Stores, project: int, task: int) -> Document:
    """Every text of the task that is stored; empty for an unknown one."""
    records = stores.examples.of_task(project, task)
    texts = {name: text for record in records for name, text in record.texts.items()}
    return {**(stores.projects.document(project, task) or {}), **texts}


def _describe(
    model: LiveModel, document: Document, answer: Prediction, explained: Sequence[Explained]
) -> ExplainedAnswer:
    control = model.spec.control(answer.control)
    inputs = control.inputs
    second = runner_up(answer)
    words: list[DecidingWord] = [
        {
            "label": control.show(one.label),
            "input": inputs[word.segment],
            "start": word.start,
            "end": word.end,
            "text": word.text,
            "weight": round(word.weight, 4),
            "log_odds": round(word.log_odds, 4),
        }
        for one in explained
        for word in one.words
    ]
    return {
        "version": model.version,
        "control": answer.control,
        "label": control.show(explained[0].label) if explained else "",
        "labels": [control.show(key) for key in answer.chosen],
        "score": answer.score,
        "runner_up": {"label": control.show(second[0]), "score": second[1]} if second else {},
        "texts": {name: document[name] for name in inputs},
        "words": words,
    }
