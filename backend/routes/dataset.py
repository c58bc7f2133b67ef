"""A project's labels as a data set over the admin API, line by line."""

from __future__ import annotations

import json
import re
from itertools import chain

import orjson
from flask import Blueprint, Response, request

from backend.dataset.pseudonyms import People, name_people
from backend.dataset.read import Line, read_dataset
from backend.labelstudio.ids import bad_field
from backend.web.payloads import known_project, services

blueprint = Blueprint("dataset", __name__, url_prefix="/admin")

HALF = re.compile("[\ud800-\udfff]")

TEST_SHARE = 0.2
"""Of the texts that are held out when nothing else is asked for."""


@blueprint.get("/projects/<project>/dataset")
def dataset(project: int) -> Response:
    """JSON lines: what it holds, a row a task, and an end (`?test=SHARE&people=pseudonyms|ids|none`)."""
    wired, known = services(), known_project(project)
    name = name_people(_read_people(), wired.admin_token, known)
    lines = read_dataset(wired.stores, known, _read_share(), name)
    first = next(lines)  # what is wrong with the project is told before anything is sent
    return Response(map(_encode, chain([first], lines)), mimetype="application/jsonl")


def _read_share() -> float:
    text = request.args.get("test", str(TEST_SHARE))
    try:
        share = float(text)
    except ValueError:
        raise bad_field("test", "must be a number from 0 to 1") from None
    if not 0 <= share <= 1:
        raise bad_field("test", "must be a number from 0 to 1")
    return share


def _read_people() -> People:
    text = request.args.get("people", People.PSEUDONYMS.value)
    try:
        return People(text)
    except ValueError:
        raise bad_field("people", "must be pseudonyms, ids or none") from None


def _encode(line: Line) -> bytes:
    """Halves of a pair of characters, which no file format takes, become the character for what cannot be shown: one
    for one, so that every span keeps its place."""
    try:
        return orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)
    except TypeError:
        text = json.dumps(line, ensure_ascii=False)
        return HALF.sub("\ufffd", text).encode() + b"\n"
