"""The encoder behind one small interface: texts in, pooled outputs of its last layers out."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from model.encoder.answering import TaughtAnswers, read_answers
from model.encoder.one_pass import read_whole
from model.encoder.pairs import interact, two_segments
from model.encoder.token_states import TokenStates, read_token_states
from model.encoder.windows import Windows, in_chunks
from model.errors import DeviceFull, EncoderError, in_one_line
from model.interfaces import Embedder, EncoderCounters
from model.pretrained.answering_head import AnsweringHead, read_answering
from model.pretrained.architectures import BaseConfig, linear_cost
from model.pretrained.base_model import find_base_model, known_sha256, read_config, tokenizer_files
from model.pretrained.head_layouts import read_taught
from model.pretrained.reading import read_pooling, read_prefix, read_window
from model.pretrained.token_head import read_token_head
from model.spec import Text

if TYPE_CHECKING:
    from model.encoder.engine import Engine

__all__ = ["Encoder", "find_base_model"]

KEPT_LAYERS = 4
"""Pooled layers kept: the last four decide on question type and sentiment, the last alone on topics."""

FEATURES_REVISION = 2
"""Raised when the features of any text change: part of the digest, so that no cache or head mixes old and new."""


PROBE = ("a good day", "good food")
"""What each base model is tried on when it is loaded."""


class DigestParts(NamedTuple):
    """All that features depend on but for the weights. `shape`: the config, but for what only names its writer."""

    shape: Mapping[str, object]
    tokenizer: Sequence[str]
    pooling: str
    window: int
    prefix: str


class Encoder(Embedder):
    """A BERT-family encoder. Immutable after construction and safe to call from several threads.

    `directory` holds config, tokenizer and weights; `weights` replaces the weights (a fine-tuned copy, or a delta: the
    tensors that training changed). `base`, an encoder of the same directory, lends what the weights leave alone.
    `threads`: torch threads of this process (None leaves them as they are). `precision`: fp32 (exact), bf16, int8
    (where it suits), or auto, as this machine was timed (EngineChoice.serving). `timings`: folder where that is
    kept for the next process. Raises EncoderError.
    """

    def __init__(
        self,
        directory: Path,
        *,
        threads: int | None = 1,
        weights: Path | None = None,
        base: Encoder | None = None,
        precision: str = "fp32",
        timings: Path | None = None,
        tally: EncoderCounters | None = None,
    ) -> None:
        base = base if base is not None and base.directory == directory and base.weights is None else None
        config = base.config if base else read_config(directory)
        self.directory: Path = directory
        self.config: BaseConfig = config
        self.weights: Path | None = weights
        self.tally = tally or EncoderCounters()
        self.pooling: str = base.pooling if base else read_pooling(directory)
        self.depth = min(KEPT_LAYERS, int(config.get("num_hidden_layers", config.get("n_layers", KEPT_LAYERS))))
        window = read_window(directory, config)
        self._windows: Windows = base._windows if base else Windows(directory, window)
        self._engine = _open_engine(self, threads, precision, base, timings)
        self.width, self.kernel = self._engine.width, self._engine.kernel
        self.precision, self.device = self._engine.precision, str(self._engine.device)
        self.cost = linear_cost(config)
        # Other weights give other features than those that the trained head was trained on.
        self.taught = read_taught(directory, config, self.pooling) if weights is None else None
        self.answering = read_answering(directory, config) if weights is None else None
        self.token_head = read_token_head(directory, config) if weights is None else None
        self._parts: DigestParts = base._parts if base else _parts_of_digest(directory, config, self.pooling, window)
        self.digest = _digest(self._parts, weights or directory / "model.safetensors", directory)
        if weights is None:
            self._require_reading()

    def _require_reading(self) -> None:
        """Files that do not belong together are noticed now, not by whoever asks first. Raises EncoderError."""
        try:
            found = self._engine.forward(self._windows.split([PROBE])).numpy()
        except DeviceFull:
            raise
        except Exception as error:  # of torch and transformers, of whatever kind
            raise EncoderError(
                f"the encoder in {self.directory} cannot read a text ({in_one_line(error)}): config.json, weights and "
                "tokenizer must be those of one encoder of BERT's kind",
                path=str(self.directory),
            ) from error
        if found.shape[1:] != (self.depth, self.width) or not np.isfinite(found).all():
            raise EncoderError(
                f"the weights in {self.directory} are damaged, or of another encoder: what they give for a text are no "
                f"{self.depth} times {self.width} numbers",
                path=str(self.directory),
            )

    def embed(self, texts: Sequence[Text]) -> np.ndarray:
        """Pooled outputs, float32 [len(texts), depth, width], not normalised; the last layer is `[:, -1]`.

        The first layers of a text of several segments hold what the segments have in common
        (`model/encoder/pairs.py`)."""
        result = self._read(texts)
        pairs = [index for index, text in enumerate(texts) if len(text) > 1]
        if pairs:
            segments = [two_segments(texts[index]) for index in pairs]
            alone = list(dict.fromkeys((segment,) for pair in segments for segment in pair))
            row = {text[0]: features for text, features in zip(alone, self._read(alone), strict=True)}
            first, second = (np.stack([row[pair[side]] for pair in segments]) for side in (0, 1))
            result[pairs] = interact(result[pairs], first, second)
        return result

    def unread_share(self, texts: Sequence[Text]) -> float:
        """See model/encoder/windows.py."""
        return self._windows.unread_share(texts)

    def token_states(self, texts: Sequence[str], layers: Sequence[int]) -> list[TokenStates]:
        """Hidden states of every word piece of each text after these layers (0: the embeddings); long texts by
        overlapping windows (`model/encoder/token_states.py`)."""
        return read_token_states(self._windows, self._engine, texts, layers, self.tally)

    def embed_both(self, texts: Sequence[str], layers: Sequence[int]) -> tuple[np.ndarray, list[TokenStates]]:
        """What `embed` and `token_states` give of single texts, in one pass for each text of one window. Equal but for
        rounding: other texts may be in a product with it."""
        whole = read_whole(self._windows, self._engine, texts, layers, self.tally)
        rest = [place for place in range(len(texts)) if place not in whole]
        pooled = np.zeros((len(texts), self.depth, self.width), dtype=np.float32)
        pooled[rest] = self._read([(texts[place],) for place in rest])
        further = dict(zip(rest, self.token_states([texts[place] for place in rest], layers), strict=True))
        for place, (features, _) in whole.items():
            pooled[place] = features
        return pooled, [further[place] if place in further else whole[place][1] for place in range(len(texts))]

    def save_tokenizer(self, path: Path) -> None:
        """The tokenizer as one tokenizer.json, whatever files it came from."""
        path.write_text(self._windows.tokenizer_json(), encoding="utf-8")

    def answers(self, pairs: Sequence[tuple[str, str]]) -> list[TaughtAnswers]:
        """What the base model's trained question-answering head says of each (passage, question). Raises EncoderError
        if there is none."""
        if self.answering is None:
            raise EncoderError(f"the encoder in {self.directory} has no question-answering head")
        return [own[0] for own in self.answers_by([self.answering], pairs)]

    def answers_by(self, heads: Sequence[AnsweringHead], pairs: Sequence[tuple[str, str]]) -> list[list[TaughtAnswers]]:
        """What heads on this encoder's last layer say of each (passage, question)."""
        return read_answers(self._windows, self._engine, heads, pairs, self.layers)

    @property
    def layers(self) -> int:
        """How many layers the encoder has."""
        return int(self.config.get("num_hidden_layers") or self.config.get("n_layers") or 0)

    def logits(self, texts: Sequence[Text]) -> np.ndarray:
        """What the base model's trained head says, float64 [len(texts), len(taught.labels)]. Raises EncoderError if
        there is none."""
        if self.taught is None:
            raise EncoderError(
                f"the encoder in {self.directory} has no trained head that can be used: BASE_MODEL must name a "
                "…ForSequenceClassification checkpoint of at least two labels, not fine-tuned since",
                path=str(self.directory),
            )
        return np.asarray(self.taught.logits(self.embed(texts)[:, -1]))

    def _read(self, texts: Sequence[Text]) -> np.ndarray:
        """Pooled outputs of each text as one sequence, or the mean over its windows."""
        result = np.zeros((len(texts), self.depth, self.width), dtype=np.float32)
        if not texts:
            return result
        began = time.perf_counter()
        windows = sorted(self._windows.split(texts), key=lambda window: len(window.ids))
        tokenised = time.perf_counter()
        tokens = np.zeros(len(texts), dtype=np.float32)
        forwards = 0
        for chunk in in_chunks(windows, self._engine.chunk_tokens):
            forwards += 1
            pooled = self._engine.forward(chunk).numpy()
            for window, vectors in zip(chunk, pooled, strict=True):
                result[window.text] += vectors * len(window.ids)
                tokens[window.text] += len(window.ids)
        self.tally.add(
            texts=len(texts),
            tokens=int(tokens.sum()),
            forwards=forwards,
            tokenise_seconds=tokenised - began,
            forward_seconds=time.perf_counter() - tokenised,
        )
        return result / tokens[:, None, None]

    def move_trial(self, weights: Path) -> None:
        """What was found of this encoder in int8 holds for `weights`: the same tensors, saved anew."""
        from model.encoder.int8 import Int8Bert
        from model.encoder.weights import Weights

        if isinstance(self._engine, Int8Bert):
            self._engine.move_trial(Weights(weights, self.directory / "model.safetensors"))


def open_weights(
    weights: Path,
    base: Encoder,
    *,
    threads: int | None = 1,
    timings: Path | None = None,
    tally: EncoderCounters | None = None,
) -> Encoder:
    """A version's own encoder: the base model with other weights, or, in a folder of its own, an imported one."""
    if (weights.parent / "config.json").is_file():
        return Encoder(weights.parent, threads=threads, precision=base.precision, timings=timings, tally=tally)
    return Encoder(base.directory, threads=threads, weights=weights, base=base, tally=tally)


def digest_of(directory: Path) -> str:
    """The digest of the base model in a directory, without loading it. Raises EncoderError."""
    from safetensors import SafetensorError

    config = read_config(directory)
    pooling, window = read_pooling(directory), read_window(directory, config)
    try:
        parts = _parts_of_digest(directory, config, pooling, window)
        return _digest(parts, directory / "model.safetensors", directory)
    except (OSError, SafetensorError) as error:
        why = in_one_line(error)
        raise EncoderError(
            f"the files in {directory} are damaged ({why}): copy them anew", path=str(directory)
        ) from error


def _open_engine(
    encoder: Encoder, threads: int | None, precision: str, base: Encoder | None, timings: Path | None
) -> Engine:
    import torch

    from model.encoder.engine import open_engine
    from model.pretrained.sample_texts import SAMPLE_TEXTS

    if threads:
        torch.set_num_threads(threads)
    return open_engine(
        encoder.directory,
        encoder.config,
        encoder.weights,
        keep=encoder.depth,
        pooling=encoder.pooling,
        precision=precision,
        samples=lambda: encoder._windows.split([(text,) for text in SAMPLE_TEXTS]),
        base=base._engine if base else None,
        timings=timings,
    )


def _parts_of_digest(directory: Path, config: BaseConfig, pooling: str, window: int) -> DigestParts:
    """All that features depend on but for the weights, whose place is the second."""
    shape = {name: value for name, value in config.items() if not name.startswith(("_", "transformers"))}
    return DigestParts(
        shape, [known_sha256(path) for path in tokenizer_files(directory)], pooling, window, read_prefix(directory)
    )


def _digest(parts: DigestParts, weights: Path, directory: Path) -> str:
    from model.encoder.weights import is_delta

    own = known_sha256(weights)
    if is_delta(weights):  # what it lacks is the base's
        own = f"{own} over {known_sha256(directory / 'model.safetensors')}"
    named = [parts.shape, own, parts.tokenizer, parts.pooling, parts.window, FEATURES_REVISION]
    if parts.prefix:  # without one digests are those of releases that knew of none
        named.append(parts.prefix)
    text = json.dumps(named, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
