"""Checkpoints for the benches of speed: an encoder of BERT-base shape with random weights, and what the peer serves.

Speed does not depend on the weights' values.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from model.encoder.encoder import find_base_model


def write_bert_base(directory: Path) -> Path:
    """An encoder of BERT-base shape (12 layers of 768, 110 M random weights) with the packaged tokenizer."""
    import torch
    from transformers import BertConfig, BertModel

    torch.manual_seed(0)
    # The pooler would only be kept on disk: nobody reads it.
    BertModel(BertConfig(), add_pooling_layer=False).save_pretrained(directory)
    copy_tokenizer(directory)
    return directory


def write_classifier(encoder: Path, directory: Path, labels: Sequence[str]) -> Path:
    """What the peer keeps after a training: the encoder with a classification layer (random here) and a tokenizer."""
    import torch
    from transformers import AutoModelForSequenceClassification
    from transformers.utils import logging

    logging.set_verbosity_error()  # of the classification layer that the encoder lacks
    torch.manual_seed(0)
    names = dict(enumerate(labels))
    model = AutoModelForSequenceClassification.from_pretrained(
        encoder, num_labels=len(names), id2label=names, label2id={label: number for number, label in names.items()}
    )
    model.save_pretrained(directory)
    copy_tokenizer(directory)
    return directory


def copy_tokenizer(directory: Path) -> None:
    """The packaged tokenizer's files, which fit any encoder of the original BERT vocabulary."""
    source = find_base_model()
    for name in ("tokenizer.json", "tokenizer_config.json", "vocab.txt", "special_tokens_map.json"):
        if (source / name).is_file():
            shutil.copyfile(source / name, directory / name)
