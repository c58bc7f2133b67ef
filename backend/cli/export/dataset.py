"""`understudy dataset`: a project's labels as files that other tools train from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from backend.cli.options.admin_api import json_option, project_argument, with_api
from backend.errors import BadRequest
from backend.screen import plain, say, say_json
from backend.settings.home_path import HomePath
from backend.settings.settings import current_settings

if TYPE_CHECKING:
    from backend.client.admin import AdminClient
    from backend.client.dataset.write import Format, Written

FORMATS = ("jsonl", "csv", "parquet", "hf", "conll", "spacy")


@click.command()
@project_argument
@click.option("-o", "--output", type=HomePath(), required=True, help="A file, or a directory with train and test.")
@click.option("--format", "format_name", type=click.Choice(FORMATS), help="Default: by the end of the file's name.")
@click.option("--test", type=click.FloatRange(0, 1), default=0.2, help="Share of the texts to test with.")
@click.option(
    "--people",
    type=click.Choice(("pseudonyms", "ids", "none")),
    default="pseudonyms",
    help="What stands for an annotator.",
)
@click.option("--control", default="", help="conll, spacy: which control, where several mark text.")
@json_option
@with_api
def dataset(
    api: AdminClient,
    project: int,
    output: Path,
    format_name: str | None,
    test: float,
    people: str,
    control: str,
    as_json: bool,
) -> None:
    """Write a project's labels: what annotators agree on, what each of them said, and how the model had answered
    before it learned the label. Texts are divided into train and test by what they say, so that no duplicate stands on
    both sides."""
    from backend.base_model.hub import find_encoder_files
    from backend.client.dataset.download import Download
    from backend.client.dataset.write import write_dataset

    how = _choose(output, format_name)
    found = Download(api, project, test, people)
    written = write_dataset(found, how, output, control, lambda: find_encoder_files(current_settings()))
    if as_json:
        say_json(
            {
                "rows": dict(written.rows),
                "files": [str(path) for path in written.files],
                "damaged": written.damaged,
                "left_out": written.left_out,
            }
        )
        return
    _tell(written)


def _choose(output: Path, format_name: str | None) -> Format:
    """Raises BadRequest."""
    from backend.client.dataset.write import Format, format_of

    found = Format(format_name) if format_name else format_of(output)
    if found is None:
        raise BadRequest(
            f"{plain(output)}: say which --format ({', '.join(FORMATS)}), or give a name that ends so", field="format"
        )
    return found


def _tell(written: Written) -> None:
    rows = written.rows
    say(f"{sum(rows.values())} tasks: {rows['train']} to train with, {rows['test']} to test with.")
    for path in written.files:
        say(f"  {path}")
    if written.left_out:
        say(f"{written.left_out} spans lie over longer ones and are left out: spacy and jsonl have them.")
    if written.damaged:
        say(f"{written.damaged} annotations are damaged in the store and left out: a reconciliation mends them.")


DATASET_COMMANDS = (dataset,)
