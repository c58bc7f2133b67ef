"""Predictions for a file of tasks, in Label Studio's import format, without ever holding the whole file."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import orjson

from backend.client.output_file import replacing
from backend.client.predict import REQUEST_TASKS, Item, PredictClient, PredictError
from backend.client.task_file import Task, read_tasks
from backend.errors import BadRequest
from backend.screen import plain, rich_console
from model.spec import Json, JsonObject

PORTION_BYTES = 4 << 20
"""Of the tasks that are asked for at a time: well under MAX_BODY_MB."""

MOST_NOTES = 20

DEEPEST_NESTING = 60
"""Objects and lists within each other; the web process refuses a body of more."""


@dataclass
class Outcome:
    """What became of a file. `declined`: tasks that come without a prediction, `reasons`: why, as far as it is for
    what they hold; `notes`: what was odd -> the first row
    it was in, 0 for the file."""

    tasks: int = 0
    predicted: int = 0
    declined: int = 0
    reasons: dict[str, int] = field(default_factory=dict)
    notes: dict[str, int] = field(default_factory=dict)

    def note(self, what: str, row: int) -> None:
        """Only the first of its kind is kept."""
        if len(self.notes) < MOST_NOTES:
            self.notes.setdefault(what, row)


def predict_file(client: PredictClient, project: int, source: str, output: Path) -> Outcome:
    """Writes every task of `source` ("-": standard input) with its prediction. `output` is there whole, or not at all.

    Raises BadRequest for a file that cannot be read or written, and PredictError."""
    outcome = Outcome()
    with _open(source) as file, replacing(output) as written:
        separator = b"[\n"
        for task in _answered(client, project, read_tasks(file, source, outcome.note), outcome):
            written.write(separator + task)
            separator = b",\n"
        outcome.reasons = dict(client.reasons)
        written.write(b"[]\n" if outcome.tasks == 0 else b"\n]\n")
    return outcome


def _answered(client: PredictClient, project: int, tasks: Iterable[Task], outcome: Outcome) -> Iterator[bytes]:
    """Each task with its prediction, as JSON."""
    for portion in _portions(tasks):
        for task, item in zip(portion, _ask_sound(client, project, portion, outcome), strict=True):
            outcome.tasks += 1
            outcome.predicted += bool(item)
            outcome.declined += not item
            yield to_json(_with_prediction(task, item))


def _portions(tasks: Iterable[Task]) -> Iterator[list[Task]]:
    portion: list[Task] = []
    size = 0
    for task in tasks:
        portion.append(task)
        size += len(to_json(task))
        if len(portion) == REQUEST_TASKS or size >= PORTION_BYTES:
            yield portion
            portion, size = [], 0
    if portion:
        yield portion


def to_json(value: Json) -> bytes:
    """Also of halves of a pair of characters, and of what is nested deep."""
    try:
        return orjson.dumps(value)
    except TypeError:
        return json.dumps(value).encode()


def _ask_sound(client: PredictClient, project: int, portion: list[Task], outcome: Outcome) -> list[Item]:
    """One item each; what the web process would refuse together with all the others is not asked for."""
    items: list[Item] = [[] for _ in portion]
    sound = []
    for index, task in enumerate(portion):
        if _is_deeper(task, DEEPEST_NESTING):
            outcome.note(
                f"nested deeper than {DEEPEST_NESTING} objects and lists: no prediction", outcome.tasks + index + 1
            )
        else:
            sound.append(index)
    for index, item in zip(sound, _ask(client, project, [portion[index] for index in sound]), strict=True):
        items[index] = item
    return items


def _is_deeper(value: Json, depth: int) -> bool:
    """Level by level: the stack stays flat."""
    level = [value]
    for _ in range(depth):
        outer = [item for item in level if isinstance(item, dict | list)]
        if not outer:
            return False
        level = [inner for item in outer for inner in (item.values() if isinstance(item, dict) else item)]
    return any(isinstance(item, dict | list) for item in level)


def _ask(client: PredictClient, project: int, portion: list[Task]) -> list[Item]:
    """One item each. Ids stay here: in this project they would name other tasks. A task that is refused for its size
    gets none."""
    if not portion:
        return []
    try:
        return client.predict(project, [{"data": _data_of(task)} for task in portion])[0]
    except PredictError as error:
        if error.evidence.get("status") != 413:
            raise
        if len(portion) == 1:
            return [[]]
    half = len(portion) // 2
    return _ask(client, project, portion[:half]) + _ask(client, project, portion[half:])


def _data_of(task: Task) -> Json:
    return task["data"] if isinstance(task, Mapping) and isinstance(task.get("data"), Mapping) else task


def _with_prediction(task: Task, item: Item) -> Task:
    """Predictions that other versions have made stay."""
    if not isinstance(task, Mapping):
        return task
    whole = dict(task) if isinstance(task.get("data"), Mapping) else {"data": dict(task)}
    if not item or isinstance(item, list):
        return {"predictions": [], **whole}
    own: JsonObject = {"model_version": item["model_version"], "score": item["score"], "result": item["result"]}
    before = whole.get("predictions")
    others = [it for it in before if _version_of(it) != own["model_version"]] if isinstance(before, list) else []
    return {**whole, "predictions": [*others, own]}


def _version_of(prediction: Json) -> Json:
    return prediction.get("model_version") if isinstance(prediction, Mapping) else None


@contextmanager
def _open(source: str) -> Iterator[IO[bytes]]:
    """With a bar on a terminal. Raises BadRequest."""
    if source == "-":
        yield sys.stdin.buffer
        return
    try:
        if not sys.stderr.isatty():
            with open(source, "rb") as file:
                yield file
            return
        from rich.markup import escape
        from rich.progress import open as open_with_bar

        console, name = rich_console(sys.stderr), escape(plain(Path(source).name))
        with open_with_bar(source, "rb", description=name, console=console) as file:
            yield file
    except OSError as error:
        raise BadRequest(f"{plain(error.filename or source)}: {error.strerror or error}", field="file") from error
