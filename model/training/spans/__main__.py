"""`python -m model.training.spans FOLDER --out FILE`: the transfer prior of spans from labelled sets."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from model.encoder.encoder import Encoder, find_base_model
from model.errors import DataError
from model.spans.documents import read_documents
from model.spans.transfer.prior import WEIGHTS, write_prior
from model.training.spans.train_prior import PriorRecipe, train_prior

SETS = (
    *("crossner_politics", "crossner_science", "crossner_music", "crossner_literature", "crossner_ai"),
    *("btc", "hwu", "bionlp13cg", "ncbi"),
)
"""The order matters: a random number chooses among them."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Raises DataError for a folder without the sets, EncoderError for an encoder that cannot be loaded."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="a folder a set, each with train.jsonl")
    parser.add_argument("--base-model", default="", help="the encoder; by default the packaged one")
    parser.add_argument("--sets", nargs="+", default=list(SETS), help="folders to read, in this order")
    parser.add_argument("--out", type=Path, default=WEIGHTS, help="the safetensors file to write")
    parser.add_argument("--steps", type=int, default=PriorRecipe().steps)
    given = parser.parse_args(arguments)
    missing = [name for name in given.sets if not (given.folder / name / "train.jsonl").is_file()]
    if missing:
        raise DataError(f"{given.folder} lacks {', '.join(missing)}: each a folder with train.jsonl", missing=missing)
    sources = [read_documents(given.folder / name / "train.jsonl") for name in given.sets]
    encoder = Encoder(find_base_model(given.base_model))
    prior = train_prior(encoder, sources, PriorRecipe(steps=given.steps))
    write_prior(prior, given.out)
    print(f"{given.out}: {given.out.stat().st_size:,} bytes, for encoder {prior.digest}")


if __name__ == "__main__":
    main()
