"""`understudy import-model`: a classifier that was trained elsewhere, judged by the gate."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from backend.cli.options.admin_api import json_option, project_argument
from backend.screen import plain, say, say_json
from backend.settings.home_path import HomePath
from backend.settings.settings import current_settings, load_settings


@click.command("import-model")
@project_argument
@click.argument("directory", type=HomePath())
@click.option("--control", default="", help="Which control it answers, where several have its labels.")
@click.option("--data-dir", type=HomePath(file_okay=False), help="Where everything is kept (DATA_DIR).")
@json_option
def import_model(project: int, directory: Path, control: str, data_dir: Path | None, as_json: bool) -> None:
    """Take a stock transformers classifier (safetensors, no code of its own) whose labels are the project's as a
    challenger. The gate judges it on held-out labels as it judges a fine-tune: it is published if that accepts, and
    kept with the reason if not."""
    settings = load_settings(data_dir=data_dir) if data_dir else current_settings()
    from backend.imports.import_model import import_model as take

    found = take(settings, project, directory, control, (lambda line: None) if as_json else say)
    if as_json:
        say_json(asdict(found))
        return
    if (alike := found.alike) is not None:
        say(
            f"{alike.agreement:.1%} of {alike.texts} texts are answered as transformers' pipeline answers them, "
            f"probabilities {alike.mean_difference:.5f} apart (at most {alike.largest_difference:.4f})."
        )
    state = "is live now" if found.published else "is kept, and not published"
    say(f"{found.version} {state}: {plain(found.reason)}")
    if not found.published:
        say(f"`understudy rollback {project} {found.version}` would serve it all the same.")


IMPORT_COMMANDS = (import_model,)
