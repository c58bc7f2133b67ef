"""A stock classifier's directory: which of its files are taken, and which of its labels is which of a control's."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from model.encoder.encoder import Encoder
from model.errors import EncoderError, TrainingError
from model.labels import match_names, plain_text
from model.pretrained.architectures import BaseConfig
from model.pretrained.base_model import TOKENIZERS, read_config
from model.pretrained.head_layouts import LAYOUTS
from model.pretrained_head import PretrainedHead
from model.spec import NONE, Control, Kind

CONFIG, WEIGHTS = "config.json", "model.safetensors"
TOKENIZER_PARTS = ("merges.txt", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json")

MEGABYTES = {CONFIG: 8, WEIGHTS: 4096}
OTHER_MEGABYTES = 128
"""Most of each file; of any that is not named."""

BLANKS = ("none of these", "none of these (left blank)")
"""What an export calls a question left blank."""

SHOWN_LABELS = 12
"""Of each list in a message."""


@dataclass(frozen=True)
class Classifier:
    """An encoder with its trained head, whose outputs are the control's `keys` in their order; `names`: what it calls
    them itself."""

    directory: Path
    encoder: Encoder
    head: PretrainedHead
    keys: tuple[str, ...]
    names: tuple[str, ...]


def copy_classifier(source: Path, target: Path) -> None:
    """The few files that are read, and no other. Raises TrainingError for links out of the directory, for what is too
    large, or code of its own."""
    if not source.is_dir():
        raise TrainingError(f"{source.name} is no directory: that of a transformers classifier is needed")
    config = _require(source, CONFIG)
    weights = _require(source, WEIGHTS)
    tokenizer = [path for name in TOKENIZERS if (path := _find(source, name)) is not None]
    if not tokenizer:
        raise TrainingError(f"{source.name} has no tokenizer: one of {', '.join(TOKENIZERS)} is needed")
    if tokenizer[0].name != TOKENIZERS[0]:
        tokenizer += [path for name in TOKENIZER_PARTS if (path := _find(source, name)) is not None]
    else:
        tokenizer = tokenizer[:1]
    _require_stock(read_config(source))
    target.mkdir(parents=True)
    for path in (config, weights, *tokenizer):
        shutil.copyfile(path, target / path.name)


def copy_for_pipeline(source: Path, target: Path) -> None:
    """What transformers' own pipeline needs as well: the tokenizer's settings. Raises as above."""
    copy_classifier(source, target)
    for path in filter(None, (_find(source, name) for name in TOKENIZER_PARTS)):
        shutil.copyfile(path, target / path.name)


def read_classifier(
    directory: Path, control: Control, precision: str = "fp32", timings: Path | None = None
) -> Classifier:
    """What `copy_classifier` copied. Raises TrainingError for another kind of answer or other labels than the
    control's, and where the head cannot be read."""
    config = read_config(directory)
    _require_stock(config)
    try:
        encoder = Encoder(directory, precision=precision, timings=timings)
    except (EncoderError, OSError, ValueError, RuntimeError, KeyError, TypeError) as error:
        raise TrainingError(f"the classifier cannot be read: {error}") from error
    taught = encoder.taught
    if taught is None:
        raise TrainingError("the classifier's head cannot be used: its tensors are not those of its class")
    if taught.multilabel != control.multilabel:
        theirs, ours = ("sets", "one label") if taught.multilabel else ("one label", "sets")
        raise TrainingError(f"the classifier answers with {theirs} (problem_type), {control.name} with {ours}")
    places, keys = _match(taught.labels, control)
    arrays = dict(taught.arrays)
    for name in ("output.weight", "output.bias"):
        if name in arrays:
            arrays[name] = np.ascontiguousarray(arrays[name][places])
    if not all(np.isfinite(values).all() for values in arrays.values()):
        raise TrainingError("the classifier's head holds numbers that are none")
    head = PretrainedHead(keys, taught.multilabel, taught.activation, taught.epsilon, arrays)
    return Classifier(directory, encoder, head, keys, tuple(str(taught.labels[place]) for place in places))


def labels_in(config: BaseConfig) -> list[str]:
    """What a classifier's outputs are called, in their order."""
    names = config.get("id2label") or {}
    return [str(names[key]) for key in sorted(names, key=lambda key: int(key) if str(key).isdecimal() else -1)]


def _match(theirs: Sequence[str], control: Control) -> tuple[list[int], tuple[str, ...]]:
    """(places among theirs, our keys), for all labels of both. Raises TrainingError with both lists."""
    ours = [
        (plain_text(label.key), control.show(label.key), *_words(label.path[-1], label.words))
        for label in control.labels
    ]
    keys = [label.key for label in control.labels]
    may_be_blank = not control.multilabel and not control.required
    found = match_names(theirs, ours, stars=control.kind is Kind.RATING)
    spare = [place for place in range(len(theirs)) if place not in found]
    if may_be_blank and len(spare) == 1 and theirs[spare[0]] in BLANKS:
        found, keys, spare = [*found, spare[0]], [*keys, NONE], []
    if -1 in found or spare:
        shown = [control.show(label.key) for label in control.labels]
        raise TrainingError(
            f"the classifier's labels are not those of {control.name}: it has {_list(theirs)}; the project has "
            f"{_list(shown)}. Give its id2label the project's names"
        )
    return found, tuple(keys)


def _words(name: str, words: str) -> Iterator[str]:
    yield name
    yield re.sub(r" \(.*\)$", "", words)  # without the hint


def _list(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN_LABELS} more" if len(names) > SHOWN_LABELS else ""
    return ", ".join(name[:60] for name in names[:SHOWN_LABELS]) + more


def _require_stock(config: BaseConfig) -> None:
    kinds = [str(kind) for kind in config.get("architectures") or ()]
    if "auto_map" in config:
        raise TrainingError("the classifier brings code of its own (auto_map in config.json), which is never run")
    if any(kind.endswith("ForTokenClassification") for kind in kinds):
        raise TrainingError(
            "it is a classifier of tokens: such a one is no challenger, since spans are shown by a chain whose "
            "probabilities it does not give. As BASE_MODEL of an installation its tags are what learning starts from"
        )
    if not any(kind.endswith("ForSequenceClassification") for kind in kinds):
        raise TrainingError(f"it is no classifier of texts: config.json says {', '.join(kinds) or 'no architecture'}")
    if config.get("model_type") not in LAYOUTS:
        raise TrainingError(
            f"classifiers of the family {config.get('model_type')} cannot be read: {', '.join(LAYOUTS)} can"
        )
    if config.get("problem_type") == "regression":
        raise TrainingError("it gives a number (problem_type regression), no label")


def _require(source: Path, name: str) -> Path:
    path = _find(source, name)
    if path is None:
        hint = "; weights must be safetensors" if name == WEIGHTS else ""
        raise TrainingError(f"{source.name} has no {name}{hint}")
    return path


def _find(source: Path, name: str) -> Path | None:
    """A file of the directory; None where there is none. Raises TrainingError for one that lies elsewhere, or is too
    large."""
    path = source / name
    if not path.is_symlink() and not path.exists():
        return None
    if not path.resolve().is_relative_to(source.resolve()):
        raise TrainingError(f"{name} is a link out of the directory: copy the files (cp -L) and import the copy")
    if not path.is_file():
        raise TrainingError(f"{name} is no file")
    most = MEGABYTES.get(name, OTHER_MEGABYTES)
    if path.stat().st_size > most << 20:
        raise TrainingError(f"{name} has {path.stat().st_size >> 20} MB, more than {most}")
    return path
