"""`understudy export`: a version as a directory that answers without understudy."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from backend.cli.options.admin_api import json_option, project_argument
from backend.errors import BadRequest
from backend.export.wish import PACKAGES, Format, Wish
from backend.outcomes import FINAL_STATES
from backend.screen import plain, say, say_json
from backend.settings.home_path import HomePath
from backend.settings.settings import current_settings, load_settings

if TYPE_CHECKING:
    from backend.admin_json import ArchiveAnswer, ExportAnswer
    from backend.client.admin import AdminClient
    from backend.settings.settings import Settings
    from model.spec import JsonObject

TEXTS = 200


@click.command()
@project_argument
@click.option("-o", "--output", type=HomePath(), required=True, help="A new directory; with --url also a .zip.")
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
@click.option("--texts", type=click.IntRange(8, 10_000), help=f"Most texts to compare answers on (default {TEXTS}).")
@click.option(
    "--minutes", type=click.FloatRange(0.1, 600), help="Most that distilling may take, answers included (default 10)."
)
@click.option("--accept-loss", is_flag=True, help="Write it though it answers otherwise; the card says so.")
@click.option("--push-to-hub", "repository", default="", help="OWNER/NAME on the model hub, too (needs HF_TOKEN).")
@click.option("--url", default="", help="Where understudy runs: it is made there, and downloaded.")
@click.option("--data-dir", type=HomePath(file_okay=False), help="Where everything is kept (DATA_DIR).")
@json_option
def export(
    project: int,
    output: Path,
    version: str,
    control: str,
    how: str,
    int8: bool,
    texts: int | None,
    minutes: float | None,
    accept_loss: bool,
    repository: str,
    url: str,
    data_dir: Path | None,
    as_json: bool,
) -> None:
    """Write one control of a version as a directory that answers without understudy, with a card and a report of how
    nearly it answers as the version does. onnx: a graph and a program that needs onnxruntime and tokenizers only.
    transformers: a stock classifier. mlflow: the graph as an mlflow.pyfunc model. Made on this machine, from its
    DATA_DIR; with --url by the server that runs there."""
    settings = load_settings(data_dir=data_dir) if data_dir else current_settings()
    if url:
        if repository:
            raise BadRequest("--push-to-hub goes with an export on this machine, not with --url", field="url")
        wanted: JsonObject = {
            "format": how,
            "version": version,
            "control": control,
            "int8": int8,
            "accept_loss": accept_loss,
            "texts": texts or 0,
            "minutes": minutes or 0,
        }
        return _take(settings, url, project, wanted, output, as_json)
    wish = Wish(
        project, output, version, control, texts or TEXTS, int8, accept_loss, Format(how), minutes or Wish.minutes
    )
    return _make(settings, wish, repository, as_json)


def _make(settings: Settings, wish: Wish, repository: str, as_json: bool) -> None:
    from backend.client.dataset.packages import require
    from backend.export.export import export_version
    from backend.export.hub import push, require_hub
    from backend.export.order import tell_nobody

    for package in PACKAGES[wish.format]:
        require(package, f"an export to {wish.format}")
    if not as_json:
        say(f"into {plain(wish.directory)}")
    if repository:
        require_hub(settings, repository)
    found = export_version(settings, wish, tell_nobody if as_json else _say_stage)
    parities = [one.to_json() for one in found.parities]
    _tell(found.version, found.control, parities, found.refused, wish.directory, as_json)
    if repository:
        address = push(settings, repository, wish.directory, tell_nobody if as_json else say)
        say(f"pushed to {address}", err=as_json)


def _say_stage(line: str, step: int = 0, of: int = 0) -> None:
    """Each once: what is counted meanwhile takes seconds."""
    if not step:
        say(line)


def _take(settings: Settings, url: str, project: int, wanted: JsonObject, output: Path, as_json: bool) -> None:
    from backend.client.admin import AdminClient
    from backend.client.archive import download, require_new

    require_new(output)
    api = AdminClient(settings, url)
    try:
        archive = _await_archive(api, project, wanted, as_json)
    except KeyboardInterrupt:
        say("")
        return say("It goes on there; the same command would take what it makes.")
    download(api, archive, output, _silent if as_json else _Bar().show)
    _tell(archive["version"], archive["control"], archive["parity"], archive["refused"], output, as_json)
    return None


def _await_archive(api: AdminClient, project: int, wanted: JsonObject, as_json: bool) -> ArchiveAnswer:
    """What was asked for, once it is there; while another one is made, that is waited for first. Raises BadRequest."""
    given = {name: value for name, value in wanted.items() if value or isinstance(value, bool)}
    while True:
        asked = api.export(project, given)
        if not as_json:
            say(plain(asked["message"]))
        record = asked if asked["status"] in FINAL_STATES else _wait(_Export(api, project), asked["id"], as_json)
        alike = (
            one for one in record["archives"] if all(dict(one).get(name) == value for name, value in given.items())
        )
        if archive := next(alike, None):
            return archive
        if asked["new"] or asked is record:
            raise BadRequest(f"nothing was exported: {plain(record['message'] or record['status'])}")


class _Export:
    """A project's export as `follow` looks at jobs."""

    def __init__(self, api: AdminClient, project: int) -> None:
        self._api, self._project = api, project

    def job(self, job: str = "") -> ExportAnswer:
        return self._api.exports(self._project)


def _wait(export: _Export, name: str, as_json: bool) -> ExportAnswer:
    from backend.client.follow import follow, wait

    return wait(export, name) if as_json else follow(export, name)


def _silent(done: int, whole: int) -> None:
    """For --json."""


class _Bar:
    """Says every tenth part of a download."""

    def __init__(self) -> None:
        self.tenths = 0

    def show(self, done: int, whole: int) -> None:
        tenths = 10 * done // max(1, whole)
        if tenths > self.tenths:
            self.tenths = tenths
            say(f"downloaded {done / 1e6:.1f} of {whole / 1e6:.1f} MB")


def _tell(
    version: str,
    control: str,
    parities: Iterable[JsonObject],
    refused: Iterable[str],
    output: Path,
    as_json: bool,
) -> None:
    if as_json:
        shown = {"parity": [dict(one) for one in parities], "refused": list(refused)}
        return say_json({"version": version, "control": control, **shown})
    for one in parities:
        alike = f"of {one['texts']} texts answered alike"
        if one.get("of") == "spans":
            alike = f"of spans marked alike in {one['texts']} texts"
        say(
            f"{plain(one['graph'])}: {one['agreement']:.1%} {alike}, probabilities "
            f"{one['mean_difference']:.5f} apart (at most {one['largest_difference']:.4f}), "
            f"{one['milliseconds']:.1f} ms a text, {one['megabytes']} MB"
        )
    for graph in refused:
        say(f"{plain(graph)} answers otherwise and was left out; --accept-loss would keep it.")
    where = "an archive" if output.suffix.lower() == ".zip" else "README.md there says how it is run"
    if (output / "predict.py").is_file():
        where = f"python {plain(output / 'predict.py')} FILE"
    return say(f"{plain(control)} of {plain(version)} is in {plain(output)}: {where}")


EXPORT_COMMANDS = (export,)
