"""What lies in the directory of an export that runs: what is asked for, and at the end what it came to."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypedDict

from model.spec import JsonObject

REQUEST, RESULT, ARCHIVE, LOG = "request.json", "result.json", "archive.zip", "export.log"


class Step(TypedDict, total=False):
    """What the process tells of itself, a line at a time. `error`: the code of what it ends of; `message`: in words."""

    stage: str
    step: int
    of: int
    seconds_left: float | None
    error: str
    message: str


@dataclass(frozen=True)
class Request:
    """What is asked for (backend/store/work/exports.py), and of which project."""

    project: int
    format: str
    version: str
    control: str
    int8: bool
    accept_loss: bool
    texts: int
    minutes: float


@dataclass(frozen=True)
class Result:
    """ARCHIVE: of which control, under which name people get it, its sha256, and how nearly it answers alike."""

    version: str
    control: str
    name: str
    sha256: str
    parity: list[JsonObject]
    refused: list[str]


def write_request(directory: Path, request: Request) -> None:
    _write(directory / REQUEST, asdict(request))


def write_result(directory: Path, result: Result) -> None:
    _write(directory / RESULT, asdict(result))


def read_request(directory: Path) -> Request:
    """Raises OSError or ValueError."""
    return Request(**json.loads((directory / REQUEST).read_text(encoding="utf-8")))


def read_result(directory: Path) -> Result:
    """Raises OSError or ValueError."""
    return Result(**json.loads((directory / RESULT).read_text(encoding="utf-8")))


def _write(path: Path, value: JsonObject) -> None:
    scratch = path.with_suffix(".tmp")
    scratch.write_text(json.dumps(value) + "\n", encoding="utf-8")
    os.replace(scratch, path)
