"""`understudy export`: a version as a directory that answers without understudy."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from backend.cli.options.admin_api import json_option, project_argument
from backend.export.wish import PACKAGES, Format, Wish
from backend.screen import plain, say, say_json
from backend.settings.home_path import HomePath
from backend.settings.settings import current_settings, load_settings

if TYPE_CHECKING:
    from backend.export.exported import Exported

FORMATS = tuple(one.value for one in Format)


@click.command()
@project_argument
@click.option("-o", "--output", type=HomePath(), required=True, help="A new directory.")
@click.option("--version", default="", help="Which version; default: the live one.")
@click.option("--control", default="", help="Which control, where several answer.")
@click.option(
    "--format",
    "how",
    type=click.Choice([one.value for one in Format]),
    default=Format.ONNX.value,
    help="What is written.",
)
@click.option("--int8", is_flag=True, help="A graph with int8 weights, too: a quarter of the size.")
@click.option("--texts", type=click.IntRange(8, 10_000), default=200, help="Most texts to compare answers on.")
@click.option("--minutes", type=click.FloatRange(0.1, 600), default=10.0, help="Most that distilling may take.")
@click.option("--accept-loss", is_flag=True, help="Write it though it answers otherwise; the card says so.")
@click.option("--data-dir", type=HomePath(file_okay=False), help="Where everything is kept (DATA_DIR).")
@json_option
def export(
    project: int,
    output: Path,
    version: str,
    control: str,
    how: str,
    int8: bool,
    texts: int,
    minutes: float,
    accept_loss: bool,
    data_dir: Path | None,
    as_json: bool,
) -> None:
    """Write one control of a version as a directory that answers without understudy, with a card and a report of how
    nearly it answers as the version does. onnx: a graph and a program that needs onnxruntime and tokenizers only.
    transformers: a stock classifier. mlflow: the graph as an mlflow.pyfunc model."""
    from backend.client.dataset.packages import require
    from backend.export.export import export_version

    settings = load_settings(data_dir=data_dir) if data_dir else current_settings()
    for package in PACKAGES[Format(how)]:
        require(package, f"an export to {how}")
    wish = Wish(project, output, version, control, texts, int8, accept_loss, Format(how), minutes)
    found = export_version(settings, wish, (lambda line: None) if as_json else say)
    _tell(found, output, as_json)


def _tell(found: Exported, output: Path, as_json: bool) -> None:
    if as_json:
        parities = [dict(one.to_json()) for one in found.parities]
        say_json({"version": found.version, "control": found.control, "parity": parities, "refused": found.refused})
        return
    for one in found.parities:
        say(
            f"{one.graph}: {one.agreement:.1%} of {one.texts} texts answered alike, probabilities "
            f"{one.mean_difference:.5f} apart (at most {one.largest_difference:.4f}), "
            f"{one.milliseconds:.1f} ms a text, {one.megabytes} MB"
        )
    for graph in found.refused:
        say(f"{graph} answers otherwise and was left out; --accept-loss would keep it.")
    say(f"{plain(found.control)} of {found.version} is in {plain(output)}: python {plain(output / 'predict.py')} FILE")


EXPORT_COMMANDS = (export,)
