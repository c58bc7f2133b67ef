"""`understudy explain`: a task's text with the deciding words marked, on a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, TypedDict

import click

from backend.cli.options.admin_api import json_option, project_argument, with_api
from backend.errors import BadRequest
from backend.explained_json import CarriedOver, DecidingWord, ExplainedSpan, Explanation, NearSpan, SpanGroup, SpanWhy
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
@click.option("--span", default="", metavar="START:END", help="Why these characters are marked, or why not.")
@click.option("--label", default="", help="With --span: as this label; default: the likeliest.")
@json_option
@with_api
def explain(api: AdminClient, project: int, task: int, control: str, span: str, label: str, as_json: bool) -> None:
    """Show what a task would be answered, and what decided: words, and of marked text features and similar spans."""
    found = api.explain(project, task, control, _read_span(span, label), label)
    if as_json:
        say_json(found)
        return
    for line in render(found):
        say(*line, keep=CONTROL_CHARACTERS_SHOWN)


def _read_span(span: str, label: str) -> tuple[int, int] | None:
    """The characters that are asked about. Raises BadRequest."""
    if not span:
        if label:
            raise BadRequest("--label needs --span, too", field="label")
        return None
    start, _, end = span.partition(":")
    if not (start.isascii() and start.isdigit() and end.isascii() and end.isdigit()) or int(start) >= int(end):
        raise BadRequest(f"--span: two numbers such as 12:20 are needed, not {span[:40]!r}", field="span")
    return int(start), int(end)


def render(found: Explanation) -> Iterator[Line]:
    """The answer, the texts with their words marked (bold for the heavier half), and the weights."""
    if "spans" in found:
        yield from _render_spans(found, found["spans"])
        return
    if "carried_over" in found:
        yield _render_carried_over(found["control"], found["task"], found["carried_over"])
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


def _render_carried_over(control: str, task: int, one: CarriedOver) -> Line:
    """What is answered in place of what follows."""
    labels = ", ".join(one["labels"]) or "none of the labels"
    kind, same = ("near-duplicates", "the same but for digits and signs") if one["near"] else ("duplicates", "the same")
    of = "this very task" if one["task"] == task else f"task {one['task']}, {same}"
    if not one["task"]:
        of = same  # stored by an earlier release
    often = f"labels of {kind} agree in {one['agreement']:.0%}"
    return [plain(f"{control}: {labels} {one['score']:.2f}, as people labelled {of} ({often}); the version itself:")]


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
        if "why" in one:
            yield from _render_why(one["why"], SHORT)
    if "asked" in found:
        yield []
        yield from _render_asked(found["asked"])


def _render_asked(one: ExplainedSpan) -> Iterator[Line]:
    """A span that somebody named: whether it is shown, and all that speaks for it and against it."""
    why = one["why"]
    said = "is shown" if why["shown"] else "is not shown"
    limit = f", shown from {why['threshold']:.2f} on" if why["threshold"] else ""
    yield [plain(f'"{one["text"]}" {said} as {one["label"]}: {why["verdict"]} ({one["score"]:.2f}{limit})')]
    yield from _render_why(why, LONG)


SHORT, LONG = 4, 20
"""Groups that are named of each span, and of one that is asked for."""


def _render_why(why: SpanWhy, most: int) -> Iterator[Line]:
    rival = why.get("runner_up")
    if rival is not None:
        other = f'{rival["label"]} "{rival.get("text", "")}"' if rival["label"] else "nothing"
        said = f"against {other} ({rival['probability']:.2f})"
        groups = ", ".join(map(_added, why.get("groups", ())[:most]))
        yield [plain(f"       {why.get('difference', 0.0):+.1f} {said}: {groups}")]
    if most > SHORT:
        for feature in why.get("features", ()):
            yield [plain(f"       {feature['score']:+.2f}  {feature['text']}: {feature['what']}")]
        for part in why["parts"]:
            yield [plain(f"       {part['part']} says {part['probability']:.2f}, and counts {part['share']:.0%}")]
    if "without_finetune" in why:
        yield [plain(f"       {why['without_finetune']:.2f} without the fine-tuned encoder")]
    if "chain" in why and most > SHORT:
        yield [plain(f"       by chain {why['chain']} of {why.get('chains', 1)}: labels overlap here")]
    if why["nearest"]:
        yield [plain(f"       like {'; '.join(map(_near, why['nearest']))}")]


def _added(one: SpanGroup) -> str:
    return f"{one['group']} {one['score']:+.1f}"


def _near(one: NearSpan) -> str:
    asked = f' to "{one["question"]}"' if "question" in one else ""
    return f'{one["label"]} "{one["text"]}"{asked} (task {one["task"]}, {one["similarity"]:.2f})'


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
