"""`understudy explain`: a task's text with the deciding words marked, on a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, TypedDict

import click

from backend.admin_json import DecidingWord, ExplainedSpan, Explanation
from backend.cli.options import json_option, project_argument, with_api
from backend.screen import Styled, plain, say, say_json

if TYPE_CHECKING:
    from backend.client.admin import AdminClient

Line = list[str | Styled]

CONTROL_CHARACTERS_SHOWN = "\n\t"
"""Control characters of a text that are shown as they are."""


@click.command()
@project_argument
@click.argument("task", type=click.IntRange(1))
@click.option("--control", default="", help="Which control; default: the first that answers.")
@json_option
@with_api
def explain(api: AdminClient, project: int, task: int, control: str, as_json: bool) -> None:
    """Show what a task would be answered, and the words that decided."""
    found = api.explain(project, task, control)
    if as_json:
        say_json(found)
        return
    for line in render(found):
        say(*line, keep=CONTROL_CHARACTERS_SHOWN)


def render(found: Explanation) -> Iterator[Line]:
    """The answer, the texts with their words marked (bold for the heavier half), and the weights."""
    if "spans" in found:
        yield from _render_spans(found, found["spans"])
        return
    labels = ", ".join(found["labels"]) or "none of the labels"
    second = found.get("runner_up")
    rest = f"; then {second['label'] or 'none of these'} {second['score']:.2f}" if second else ""
    yield [plain(f"{found['control']}: {labels} {found['score']:.2f}{rest} ({found['version']})")]
    for name, text in found["texts"].items():
        yield []
        yield mark(text, [word for word in found["words"] if word["input"] == name])
    if found["words"]:
        yield []
    for word in found["words"]:
        what = f"{word['text']}  ({word['label']}, +{word['log_odds']:.2f} log-odds)"
        yield [plain(f"{word['weight']:5.2f}  {what}")]


def _render_spans(found: Explanation, spans: Sequence[ExplainedSpan]) -> Iterator[Line]:
    """The text with its spans in brackets, then each with its score and reason."""
    count = f"{len(spans)} spans" if len(spans) != 1 else "1 span"
    yield [
        plain(f"{found['control']}: {count if spans else 'nothing to mark'} {found['score']:.2f} ({found['version']})")
    ]
    for text in found["texts"].values():
        yield []
        yield mark(text, [{"start": one["start"], "end": one["end"], "weight": one["score"]} for one in spans])
    if spans:
        yield []
    for one in spans:
        yield [plain(f"{one['score']:5.2f}  {one['label']}: {one['text']}  ({one['reason']})")]


class Marked(TypedDict):
    """What `mark` needs of a word or span."""

    start: int
    end: int
    weight: float


def mark(text: str, words: Sequence[DecidingWord | Marked]) -> Line:
    """`text` with each word in brackets and colour: without colours the brackets still show it."""
    parts: Line = []
    done = 0
    for word in sorted(words, key=lambda word: (int(word["start"]), -float(word["weight"]))):
        if word["start"] < done:  # it decided for two labels
            continue
        shown = Styled(f"[{text[word['start'] : word['end']]}]", fg="green", bold=word["weight"] >= 0.5)
        parts += [text[done : word["start"]], shown]
        done = word["end"]
    return [*parts, text[done:]]


EXPLAIN_COMMANDS = (explain,)
