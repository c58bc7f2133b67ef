"""Predictions for a file of tasks, in Label Studio's import format, without ever holding the whole file."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import orjson

from backend.errors import BadRequest
from backend.predict_client import PORTION, PredictClient, PredictError
from backend.screen import plain, rich_console

PORTION_BYTES = 4 << 20
"""Of the tasks that are asked for at a time: well under MAX_BODY_MB."""

BYTE_ORDER_MARK = b"\xef\xbb\xbf"

Task = Any
"""What the file holds: `{"data": {…}, …}`, or the bare data; anything else is passed on as it is."""


def predict_file(client: PredictClient, project: int, source: str, output: Path) -> dict[str, int]:
    """Writes every task of `source` ("-": standard input) with its prediction; how many `tasks`, `predicted` and
    `declined` (these come without one). `output` is there whole, or not at all.

    Raises BadRequest for a file that cannot be read or written, and PredictError."""
    counts = {"tasks": 0, "predicted": 0, "declined": 0}
    with _open(source) as file, _replacing(output) as written:
        separator = b"[\n"
        for task in _answered(client, project, read_tasks(file, source), counts):
            written.write(separator + task)
            separator = b",\n"
        written.write(b"[]\n" if counts["tasks"] == 0 else b"\n]\n")
    return counts


def read_tasks(file: IO[bytes], source: str) -> Iterator[Task]:
    """The items of a JSON list, or the values of JSON lines. Raises BadRequest where it is no JSON."""
    import ijson

    start = file.read(3)
    start = file.read(1) if start == BYTE_ORDER_MARK else start
    while start.isspace():
        start = file.read(1)
    rest, is_list, count = _Chained(start.lstrip(), file), start.lstrip().startswith(b"["), 0
    found = ijson.items(rest, "item" if is_list else "", use_float=True, multiple_values=not is_list)
    try:
        for task in found:
            count += 1
            yield task
    except ijson.JSONError as error:
        said = " ".join(str(error).split("\n")[0].split())[:200]
        raise BadRequest(f"{source}: after {count} tasks it is no JSON: {said}", field="file") from error


class _Chained:
    """The bytes that were looked at, then the rest of the file."""

    def __init__(self, start: bytes, file: IO[bytes]) -> None:
        self._start, self._file = start, file

    def read(self, size: int = -1) -> bytes:
        """As a file's. ijson asks for 0 bytes first, to see what it gets."""
        if size == 0:
            return b""
        start, self._start = self._start, b""
        return start or self._file.read(size)


def _answered(client: PredictClient, project: int, tasks: Iterable[Task], counts: dict[str, int]) -> Iterator[bytes]:
    """Each task with its prediction, as JSON."""
    for portion in _portions(tasks):
        for task, item in zip(portion, _ask(client, project, portion), strict=True):
            counts["tasks"] += 1
            counts["predicted" if item else "declined"] += 1
            yield orjson.dumps(_with_prediction(task, item))


def _portions(tasks: Iterable[Task]) -> Iterator[list[Task]]:
    portion: list[Task] = []
    size = 0
    for task in tasks:
        portion.append(task)
        size += len(orjson.dumps(task))
        if len(portion) == PORTION or size >= PORTION_BYTES:
            yield portion
            portion, size = [], 0
    if portion:
        yield portion


def _ask(client: PredictClient, project: int, portion: list[Task]) -> list[Any]:
    """One item each. Ids stay here: in this project they would name other tasks. A task that is refused for its size
    gets none."""
    try:
        return client.predict(project, [{"data": _data_of(task)} for task in portion])[0]
    except PredictError as error:
        if error.evidence.get("status") != 413:
            raise
        if len(portion) == 1:
            return [[]]
    half = len(portion) // 2
    return _ask(client, project, portion[:half]) + _ask(client, project, portion[half:])


def _data_of(task: Task) -> Any:
    return task["data"] if isinstance(task, Mapping) and isinstance(task.get("data"), Mapping) else task


def _with_prediction(task: Task, item: Any) -> Task:
    """Predictions that other versions have made stay."""
    if not isinstance(task, Mapping):
        return task
    whole = dict(task) if isinstance(task.get("data"), Mapping) else {"data": dict(task)}
    if not item:
        return {"predictions": [], **whole}
    own = {name: item[name] for name in ("model_version", "score", "result")}
    before = whole.get("predictions")
    others = [it for it in before if _version_of(it) != own["model_version"]] if isinstance(before, list) else []
    return {**whole, "predictions": [*others, own]}


def _version_of(prediction: Any) -> Any:
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
        raise BadRequest(f"{error.filename or source}: {error.strerror or error}", field="file") from error


@contextmanager
def _replacing(output: Path) -> Iterator[IO[bytes]]:
    """A file beside `output` that takes its place once all is well."""
    scratch = output.with_name(f".{output.name}.{os.getpid()}.tmp")
    try:
        with scratch.open("wb") as file:
            yield file
        os.replace(scratch, output)
    finally:
        with suppress(OSError):
            scratch.unlink(missing_ok=True)
