"""The transfer prior: what words are, judged by the names of the labels alone, before anybody has labelled anything.

A small network over frozen layers of one encoder scores each word against each label's name; trained on other public
sets (`model/training/spans/train_prior.py`), it is tied to the encoder whose digest it carries. Here is its forward
pass.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import xxhash
from numpy.typing import NDArray

from model.interfaces import Embedder
from model.spans.transfer.label_words import embed_names
from model.spans.words import Bounds

LAYERS = (1, 2, 3, 5)
"""Of MiniLM's 6: low ones know the words, the fifth the sentence."""

CASES = 8
"""What an uncased encoder does not see: eight facts of a word and as many of each neighbour."""

CASE_SCALE = 2.0
FLOOR = -12.0
"""Least log-probability: annotators may contradict the prior however sure it is."""

WEIGHTS = Path(__file__).parent / "weights" / "prior-minilm.safetensors"
EPSILON = 1e-5


@dataclass(frozen=True)
class TransferPrior:
    """Scores of words against label names. `tensors` by name; `digest`: of the encoder it was trained over."""

    digest: str
    layers: tuple[int, ...]
    tensors: Mapping[str, NDArray[np.float32]] = field(repr=False)

    def fits(self, digest: str) -> bool:
        """Whether it was trained over this encoder."""
        return self.digest == digest

    @property
    def hidden_width(self) -> int:
        """Columns of the hidden features."""
        return len(self.tensors["middle.bias"])

    @cached_property
    def name(self) -> str:
        """A short digest of the weights: hidden features of another one do not fit."""
        content = b"".join(self.tensors[name].tobytes() for name in sorted(self.tensors))
        return xxhash.xxh3_64(content).hexdigest()

    def hidden(
        self, texts: Sequence[str], bounds: Sequence[Bounds], states: Sequence[NDArray[np.float16]]
    ) -> list[NDArray[np.float16]]:
        """Hidden features [words, hidden_width] of each text, from its words' states of `layers` side by side."""
        from model.kernels.arrays import to_half, to_single

        lengths = [len(own) for own in bounds]
        gap = np.zeros((1, states[0].shape[1]), np.float16)
        rows = to_single(np.concatenate([part for own in states for part in (own, gap)]))
        blank = np.zeros((1, 3 * CASES), np.float32)
        cases = np.concatenate(
            [part for text, own in zip(texts, bounds, strict=True) for part in (case_bits(text, own), blank)]
        )
        starts = np.cumsum([0, *(length + 1 for length in lengths)])
        found = to_half(self._hidden(rows, cases, gaps=starts[1:] - 1))
        return [found[start : start + length] for start, length in zip(starts, lengths, strict=False)]

    def _hidden(
        self, rows: NDArray[np.float32], cases: NDArray[np.float32], gaps: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """[rows, hidden]; the rows at `gaps` stand between texts, so that none sees its neighbour's words."""
        from model.kernels.arrays import gelu, layer_norm

        weights, (left, here, right) = self.tensors, self._neighbours
        normed = layer_norm(rows, weights["norm.weight"], weights["norm.bias"], EPSILON)
        inputs = np.concatenate([normed, np.float32(CASE_SCALE) * cases], axis=1)
        words = gelu(inputs @ weights["input.weight"].T + weights["input.bias"])
        words[gaps] = 0
        mixed = words @ here + weights["neighbours.bias"]
        mixed[1:] += words[:-1] @ left
        mixed[:-1] += words[1:] @ right
        words += gelu(mixed)
        return gelu(words @ weights["middle.weight"].T + weights["middle.bias"])

    @cached_property
    def _neighbours(self) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        """What is made of the word before, the word and the one after [in, out]. Matrices of their own: numpy
        multiplies slices of the kernel [out, in, 3] forty times as slowly."""
        kernel = self.tensors["neighbours.weight"]
        left, here, right = (np.ascontiguousarray(kernel[:, :, place].T) for place in range(3))
        return left, here, right

    def vectors(self, encoder: Embedder, labels: Sequence[str], keys: Sequence[str] = ()) -> NDArray[np.float32]:
        """What is known of label names: unit vectors [labels, width]. `keys`: what the labels are called in results,
        where `labels` are what people read."""
        return embed_names(encoder, labels)

    def log_probabilities(self, hidden: NDArray[np.float16], names: NDArray[np.float32]) -> NDArray[np.float32]:
        """Of the tags O, B-l and I-l of the labels with these name vectors [words, 1 + 2 * labels], not below FLOOR."""
        weights, rows = self.tensors, hidden.astype(np.float32)
        keys = rows @ weights["key.weight"].T + weights["key.bias"]
        queries = names @ weights["query.weight"].T + weights["query.bias"]
        marks = rows @ weights["marks.weight"].T + weights["marks.bias"]
        half = keys.shape[1] // 2
        scores = np.empty((len(rows), 1 + 2 * len(names)), np.float32)
        scores[:, 0] = (rows @ weights["outside.weight"].T + weights["outside.bias"])[:, 0]
        for part in (0, 1):
            own = slice(part * half, (part + 1) * half)
            scores[:, 1 + part :: 2] = keys[:, own] @ queries[:, own].T / np.sqrt(half) + marks[:, part : part + 1]
        scores -= scores.max(1, keepdims=True)
        scores -= np.log(np.exp(scores).sum(1, keepdims=True))
        return np.maximum(scores, FLOOR)


def case_bits(text: str, bounds: Bounds) -> NDArray[np.float32]:
    """Capitals, digits, marks and the place of each word and its two neighbours [words, 24]."""
    rows = np.zeros((len(bounds), CASES), np.float32)
    for index, (start, end) in enumerate(bounds):
        word = text[start:end]
        rows[index] = (
            word[0].isupper(),
            word.isupper() and len(word) > 1,
            word.islower(),
            word.isdigit(),
            any(character.isdigit() for character in word),
            not word[0].isalnum(),
            index == 0,
            index > 0 and bounds[index - 1][1] == start,
        )
    left, right = np.zeros_like(rows), np.zeros_like(rows)
    left[1:], right[:-1] = rows[:-1], rows[1:]
    return np.concatenate([rows, left, right], axis=1)


def read_prior(path: Path = WEIGHTS) -> TransferPrior | None:
    """The prior of a safetensors file; None when there is none. Raises VersionError for a file that is not one."""
    from safetensors import SafetensorError, safe_open

    from model.errors import VersionError

    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="numpy") as file:
            facts = json.loads((file.metadata() or {})["understudy"])
            tensors = {name: file.get_tensor(name).astype(np.float32) for name in file.keys()}  # noqa: SIM118
        return TransferPrior(str(facts["encoder"]), tuple(facts["layers"]), tensors)
    except (SafetensorError, KeyError, ValueError) as error:
        raise VersionError(f"{path} holds no transfer prior: {error}", path=str(path)) from error


def fitting_prior(digest: str, *paths: Path) -> TransferPrior | None:
    """The first prior in these files, or the one that is shipped, that was trained over the encoder of this digest."""
    for path in (*paths, WEIGHTS):
        prior = read_prior(path)
        if prior is not None and prior.fits(digest):
            return prior
    return None


def write_prior(prior: TransferPrior, path: Path) -> None:
    """In float16, with the encoder it belongs to."""
    from safetensors.numpy import save_file

    path.parent.mkdir(parents=True, exist_ok=True)
    facts = json.dumps({"kind": "span transfer prior", "encoder": prior.digest, "layers": list(prior.layers)})
    tensors = {name: np.ascontiguousarray(value, np.float16) for name, value in prior.tensors.items()}
    save_file(tensors, path, metadata={"understudy": facts})
