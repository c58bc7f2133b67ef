"""`understudy accept`: sure answers to unlabelled tasks become annotations, marked, and can be taken back."""

from __future__ import annotations

import secrets
from collections import Counter
from typing import TYPE_CHECKING, TypedDict

import click

from backend.cli.options.admin_api import project_argument, with_api
from backend.errors import BadRequest, SettingsError
from backend.screen import say
from backend.settings.settings import Settings, current_settings
from model.spec import Json, JsonObject

if TYPE_CHECKING:
    from backend.client.admin import AdminClient
    from backend.labelstudio.rest.client import LabelStudioClient
    from backend.labelstudio.results import PredictionJson
    from model.evidence.auto_accept import CarriedJson, DialJson

LOT_TASKS = 200
"""Tasks that are asked for, and annotated, at a time."""

VERSION_PREFIX = "understudy-accept-"


class _Answer(TypedDict):
    """The answer to an unlabelled task."""

    task: int
    score: float
    result: list[dict[str, Json]]
    carried: str
    """Of what duplicates it is carried over: exact, near; "" where it is the version's own."""


@click.command()
@project_argument
@click.option("--accuracy", type=click.FloatRange(0.5, 1, max_open=True), help="Of what is accepted; such as 0.98.")
@click.option("--write", is_flag=True, help="Annotate the sure tasks in Label Studio; without it nothing is changed.")
@click.option("--undo", is_flag=True, help="Delete what was accepted, but for what a person has changed since.")
@with_api
def accept(api: AdminClient, project: int, accuracy: float | None, write: bool, undo: bool) -> None:
    """Let sure answers stand as annotations: says which, and with --write makes them."""
    from backend.labelstudio.rest.client import LabelStudioClient

    settings = current_settings()
    if not settings.has_label_studio:
        raise SettingsError("set LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY: tasks are read from Label Studio")
    if undo == (accuracy is not None) or (undo and write):
        raise BadRequest("give --accuracy 0.98 [--write], or --undo")
    with LabelStudioClient.of(settings) as studio:
        if undo:
            _undo(studio, project)
        else:
            _accept(api, studio, settings, project, float(accuracy or 0), write)


def _undo(studio: LabelStudioClient, project: int) -> None:
    marked = list(studio.predictions.accepted(project))
    for annotation in marked:
        studio.predictions.take_back(annotation)
    say(f"{len(marked)} accepted annotations deleted")


def _accept(
    api: AdminClient, studio: LabelStudioClient, settings: Settings, project: int, accuracy: float, write: bool
) -> None:
    control, marked = _only_control(studio, project)
    answers, blank = _ask(studio, settings, api.url, project)
    if blank:
        what = (
            "seem to hold nothing to mark and are left to people"
            if marked
            else "are answered with none of these and left to people"
        )
        say(
            f"{blank} of {blank + len(answers)} unlabelled tasks {what}: "
            "an annotation without any answer bears no mark, so that it could not be told from a person's, nor undone."
        )
    if not answers:
        say("There is no answer to accept.")
        return
    own = [answer for answer in answers if not answer["carried"]]
    counts = Counter(f"{answer['score']:.4f}" for answer in own)
    carried = Counter(answer["carried"] for answer in answers if answer["carried"])
    dial = (
        api.dial(project, accuracy, control, counts, carried)
        if carried
        else api.dial(project, accuracy, control, counts)
    )
    sure = [one for one in own if dial["threshold"] is not None and round(one["score"], 4) >= dial["threshold"]]
    if own or not carried:
        say(_tell_own(dial, accuracy, len(sure), len(own), bool(blank or carried)))
    for kind, found in dial.get("carried_over", {}).items():
        say(_tell_carried(kind, found, accuracy))
        sure += [answer for answer in answers if answer["carried"] == kind and found["accepted"]]
    if not sure:
        return
    if not write:
        say("Nothing was changed; --write annotates them.")
        return
    run = secrets.token_hex(4)
    made = sum(
        _write(studio, project, sure[start : start + LOT_TASKS], run) for start in range(0, len(sure), LOT_TASKS)
    )
    say(f"{made} tasks annotated, marked {run}; `understudy accept {project} --undo` deletes them again.")


def _tell_own(dial: DialJson, accuracy: float, sure: int, asked: int, others: bool) -> str:
    """What becomes of the version's own answers."""
    if dial["threshold"] is None:
        return f"No confidence reaches {accuracy:.1%}: {dial['reason']}."
    return (
        f"Confidence {dial['threshold']:.4f} and up: {sure} of {asked} {'other ' if others else ''}unlabelled tasks, "
        f"at least {dial['lower_bound']:.1%} of them right ({dial['errors']} errors in {dial['tests']} tests)."
    )


def _tell_carried(kind: str, found: CarriedJson, accuracy: float) -> str:
    """And of those of labelled duplicates: the tests of the version say nothing of them."""
    like = "the same text as" if kind == "exact" else "nearly the text of"
    seen = f"labels of such duplicates differ {found['errors']} times in {found['tests']} here"
    told = f"{found['count']} unlabelled tasks have {like} a labelled one, and its label as their answer: "
    if found["accepted"]:
        return f"{told}at least {found['lower_bound']:.1%} of them right ({seen})."
    return f"{told}left to people, for that does not prove {accuracy:.1%} ({seen}; {found['more']} more are needed)."


def _only_control(studio: LabelStudioClient, project: int) -> tuple[str, bool]:
    """Its name, and whether it marks text. Raises BadRequest for a project with several: no number says how sure all
    of them are."""
    from backend.labelstudio.task_spec import parse_label_config

    spec = parse_label_config(str(studio.project(project).get("label_config") or ""))
    controls = spec.questions
    if len(controls) != 1:
        raise BadRequest(f"project {project} has {len(controls)} controls that are learned; accept needs exactly one")
    return controls[0].name, bool(spec.spans)


def _ask(studio: LabelStudioClient, settings: Settings, url: str, project: int) -> tuple[list[_Answer], int]:
    """task, score and result of each unlabelled task that is answered, and how many are with nothing at all; blind
    tasks are declined, and left out here as well. Tasks that somebody skipped or has a draft of are theirs."""
    from backend.client.predict import PredictClient
    from model.acquisition.batch import is_blind

    found: list[_Answer] = []
    last = blank = 0
    with PredictClient(settings, url) as asker:
        while tasks := studio.tasks.page(project, last, most=LOT_TASKS, labelled=False):
            last = int(tasks[-1]["id"])
            free = [task for task in tasks if not _is_taken(task)]
            free = [task for task in free if not is_blind(project, int(task["id"]), settings.queue_blind_share)]
            items, _ = asker.predict(project, [{"id": task["id"], "data": task["data"]} for task in free])
            for task, item in zip(free, items, strict=True):
                if isinstance(item, list):
                    continue
                blank += not item["result"]
                if item["result"]:
                    found.append(_answer_of(int(task["id"]), item))
    return found, blank


def _answer_of(task: int, item: PredictionJson) -> _Answer:
    carried = item.get("carried_over", "")
    return {"task": task, "score": float(item["score"]), "result": item["result"], "carried": carried}


def _is_taken(task: JsonObject) -> bool:
    return bool(task.get("drafts") or task.get("cancelled_annotations") or task.get("total_annotations"))


def _write(studio: LabelStudioClient, project: int, answers: list[_Answer], run: str) -> int:
    from backend.labelstudio.annotations import mark_result

    rows = [{"task": one["task"], "score": one["score"], "result": mark_result(one["result"], run)} for one in answers]
    return studio.predictions.annotate(project, rows, VERSION_PREFIX + run)
