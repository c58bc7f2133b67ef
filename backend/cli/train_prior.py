"""`understudy train-prior`: what spans are before any label, for an encoder of one's own."""

from __future__ import annotations

from pathlib import Path

import click

from backend.errors import BadRequest
from backend.screen import plain, say
from backend.settings.settings import current_settings


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


TRAINING_COMMANDS = (train_prior,)
