"""`understudy explain`: a task's text with the deciding words marked, on a terminal."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from backend.admin_commands import json_option, project_argument, with_api

if TYPE_CHECKING:
    from backend.admin_client import AdminClient


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
        click.echo(json.dumps(found, indent=2, ensure_ascii=False))
        return
    for line in render(found):
        click.echo(line)


def render(found: Mapping[str, Any]) -> Iterator[str]:
    """The answer, the texts with their words marked (bold for the heavier half), and the weights."""
    labels = ", ".join(found["labels"]) or "none of the labels"
    second = found.get("runner_up")
    rest = f"; then {second['label']} {second['score']:.2f}" if second else ""
    yield f"{found['control']}: {labels} {found['score']:.2f}{rest} ({found['version']})"
    for name, text in found["texts"].items():
        yield ""
        yield mark(_printable(text), [word for word in found["words"] if word["input"] == name])
    if found["words"]:
        yield ""
    for word in found["words"]:
        yield f"{word['weight']:5.2f}  {_printable(word['text'])}  ({word['label']}, +{word['log_odds']:.2f} log-odds)"


def mark(text: str, words: Sequence[Mapping[str, Any]]) -> str:
    """`text` with each word in brackets and colour: without colours the brackets still show it."""
    parts, done = [], 0
    for word in sorted(words, key=lambda word: (int(word["start"]), -float(word["weight"]))):
        if word["start"] < done:  # it decided for two labels
            continue
        shown = click.style(f"[{text[word['start'] : word['end']]}]", fg="green", bold=word["weight"] >= 0.5)
        parts += [text[done : word["start"]], shown]
        done = word["end"]
    return "".join([*parts, text[done:]])


def _printable(text: str) -> str:
    """Without control characters, which could reprogram a terminal; as long as before, so that offsets hold."""
    return "".join(char if char.isprintable() or char == "\n" else " " for char in text)


EXPLAIN_COMMANDS = (explain,)
