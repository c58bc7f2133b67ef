"""What people bring for marked text: `understudy patterns`, and `train-prior` for an encoder of their own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from backend.admin_json import ControlPatterns
from backend.cli.options.admin_api import json_option, project_argument, with_api
from backend.errors import BadRequest
from backend.screen import plain, say, say_json, say_table
from backend.settings.home_path import HomePath
from backend.settings.settings import current_settings
from model.errors import DataError
from model.spec import JsonObject

if TYPE_CHECKING:
    from backend.client.admin import AdminClient


@click.command()
@project_argument
@click.argument("file", type=HomePath(dir_okay=False), required=False)
@click.option("--control", default="", help="Which control, where several mark text.")
@click.option("--label", default="", help="Label of strings that say none; with --remove: all patterns of this label.")
@click.option("--ignore-case", is_flag=True, help="Match in whatever case, where the file does not say.")
@click.option("--add", is_flag=True, help="Keep those that are there, too.")
@click.option("--remove", is_flag=True, help="Take the patterns of FILE (or of --label) out again.")
@click.option("--clear", is_flag=True, help="Forget all patterns of the control.")
@click.option("--limit", type=click.IntRange(0, 1_000_000), help="List so many of them, as lines of JSON.")
@json_option
@with_api
def patterns(
    api: AdminClient,
    project: int,
    file: Path | None,
    control: str,
    label: str,
    ignore_case: bool,
    add: bool,
    remove: bool,
    clear: bool,
    limit: int | None,
    as_json: bool,
) -> None:
    """Bring strings and regular expressions that may mark a label, or list them.

    FILE holds JSON lines {"label", "pattern"} or {"label", "regex"}, as spaCy's EntityRuler and Prodigy write them, a
    table label,string (.csv, .tsv), or a string a line with --label (.txt). They are learned like any other sign, and
    believed as far as they turn out right. Without FILE: how many there are, and how they fare."""
    if add + remove + clear > 1:
        raise BadRequest("--add, --remove and --clear: one of them")
    if clear or (remove and file is None):
        if clear and (file is not None or label):
            raise BadRequest("--clear takes neither a file nor --label: it forgets all patterns of the control")
        if remove and not label:
            raise BadRequest("--remove: name a FILE with the patterns to take out, or a --label")
        return _tell(api.delete_patterns(project, control, label)["message"], as_json)
    if file is None:
        if add:
            raise BadRequest("--add: name a FILE")
        return _show(api, project, control, limit, as_json)
    how = "add" if add else "remove" if remove else "replace"
    return _tell(api.put_patterns(project, control, how, list(_read(file, label, ignore_case)))["message"], as_json)


def _tell(message: str, as_json: bool) -> None:
    if as_json:
        say_json({"message": message})
    else:
        say(message)


def _read(file: Path, label: str, ignore_case: bool) -> Iterator[JsonObject]:
    from model.spans.patterns.pattern_file import read_patterns

    try:
        found = read_patterns(file, label, ignore_case=ignore_case)
    except DataError as error:
        raise BadRequest(plain(error.message), field="file") from None
    for one in found:
        yield {
            "label": one.label,
            one.kind: one.text,
            "line": one.line,
            **({"ignore_case": True} if one.ignore_case else {}),
        }


def _show(api: AdminClient, project: int, control: str, limit: int | None, as_json: bool) -> None:
    found = api.patterns(project, control, limit or 0)
    if as_json:
        say_json(found)
        return
    if limit:
        for row in found.get("rows", ()):
            say_json(row, indent=None)
        return
    if not found["patterns"]:
        say("No patterns yet: `understudy patterns PROJECT FILE` brings some.")
        return
    say_table([row for name, own in found["patterns"].items() for row in _rows(name, own)])
    if found["pending"]:
        say("Changed since the live version was made: the next one has learned them.")


def _rows(control: str, own: ControlPatterns) -> Iterator[dict[str, object]]:
    for label, figures in own["labels"].items():
        tried, right = figures.get("tried"), figures.get("right")
        share = f"{right / tried:.0%}" if tried and right is not None else ""
        yield {
            "control": control,
            "label": label,
            "patterns": figures["patterns"],
            "matches": "" if tried is None else f"{tried:g}",
            "right": share,
            "weight": "" if "weight" not in figures else f"{figures['weight']:+.1f}",
        }


@click.command("train-prior")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--steps", type=click.IntRange(1), default=1500, show_default=True, help="Training steps, of 24 texts.")
def train_prior(folder: Path, steps: int) -> None:
    """Train the transfer prior of spans over BASE_MODEL, from labelled sets: FOLDER/SET/train.jsonl, a line
    {"text": …, "spans": [{"start", "end", "label"}]}. Their labels have to be words that say what they mean."""
    from backend.base_model.encoders import Encoders
    from model.spans.documents import read_documents
    from model.spans.transfer.prior import write_prior
    from model.training.spans.train_prior import PriorRecipe
    from model.training.spans.train_prior import train_prior as train

    settings = current_settings()
    paths = sorted(folder.glob("*/train.jsonl"))
    if not paths:
        raise BadRequest(
            f"{plain(folder)} holds no folder with a train.jsonl: one for each labelled set", field="folder"
        )
    sources = [read_documents(path) for path in paths]
    encoder = Encoders(settings, threads=0).span_tools().reader.encoder
    prior = train(encoder, sources, PriorRecipe(steps=steps), report=say)
    target = settings.prior_path(prior.digest)
    write_prior(prior, target)
    say(f"{target}: {target.stat().st_size:,} bytes, of {len(paths)} sets. Restart understudy to suggest by it.")


SPAN_COMMANDS = (patterns, train_prior)
