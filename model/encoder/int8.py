"""Opens an encoder in int8 if its pooled layers stay what they are in float32."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from model.encoder.packed import PackedBert
from model.encoder.precision import DTYPES
from model.encoder.weights import Weights, tuned_cosine
from model.encoder.windows import Window
from model.kernels.choice import FP32, INT8, EngineChoice, FormatTiming
from model.kernels.int8_product import int8_works
from model.kernels.int8_ranges import Int8Pack, RangeRecorder, Tried, keep_tried, read_tried
from model.kernels.int8_trial import LEAST_COSINE, trial_path
from model.kernels.int8_weight import SumsCutOff
from model.pretrained.architectures import Shape
from model.pretrained.base_model import known_sha256

log = logging.getLogger(__name__)


INT8_CHUNK = 1024
"""Tokens of one forward pass, half of other formats': hidden states are float32, and what GELU gives of 2,048 falls out
of the cache. Of the CPU time with 2,048: .80 with 1,024, .83 with 512 (Zen 5, 8 rounds in turn; bfloat16 .99, 1.04)."""


@dataclass(frozen=True)
class Int8Setting:
    """What int8 engines of a process have in common. `fallback`: the format of encoders that int8 does not suit."""

    timing: FormatTiming | None = None
    fallback: str = FP32
    folder: Path | None = None

    @classmethod
    def of(cls, choice: EngineChoice | None, folder: Path | None) -> Int8Setting:
        """As this machine was timed."""
        if choice is None:
            return cls(folder=folder)
        own, fallback = choice.formats.get(INT8), choice.float_serving
        attention = choice.formats[fallback].products_at
        timing = FormatTiming(own.kernel, own.gflops, 0.0, own.kernels, attention, own.new_rows_ms) if own else None
        return cls(timing, fallback, folder)

    @property
    def kernel(self) -> str:
        """What multiplies: `int8` (oneDNN) or `fbgemm`."""
        return self.timing.kernel if self.timing else INT8


class Int8Bert(PackedBert):
    """Products in int8, attention in the fallback's format, all else in float32. `trial`: where what was found of it is
    kept."""

    def __init__(
        self,
        shape: Shape,
        weights: Weights,
        tried: Tried,
        setting: Int8Setting,
        *,
        keep: int,
        pooling: str,
        base: PackedBert | None = None,
        trial: Path | None = None,
    ) -> None:
        self.setting, self.trial = setting, trial
        pack = Int8Pack(tried.ranges, DTYPES[setting.fallback], setting.kernel)
        super().__init__(
            shape,
            weights,
            keep=keep,
            pooling=pooling,
            base=base,
            precision=INT8,
            timing=setting.timing,
            kernel=setting.kernel,
            pack=pack,
        )
        self.chunk_tokens = INT8_CHUNK

    def move_trial(self, weights: Weights) -> None:
        """What was found holds for the same tensors in a file that was saved anew: whoever opens that need not try
        again. A folder that cannot be written to costs the next process a trial of its own."""
        if self.trial is not None and self.setting.folder is not None:
            with suppress(OSError):
                os.replace(self.trial, _trial_of(weights, self.setting.folder, self.pooling))


def _trial_of(weights: Weights, folder: Path, pooling: str) -> Path:
    return trial_path(folder, [known_sha256(file) for file in weights.files], pooling)


def open_int8(
    shape: Shape,
    weights: Weights,
    setting: Int8Setting,
    samples: Callable[[], Sequence[Window]],
    *,
    keep: int,
    pooling: str,
    base: Int8Bert | None = None,
) -> Int8Bert | None:
    """The encoder in int8; None, and that is logged, where the CPU has no such product, where pooled layers lose more
    than LEAST_COSINE allows, or a fine-tune was found to on what it was trained for. Tried once per weights where the
    setting has a folder."""
    matrices = ((3 * shape.width, shape.width), (shape.inner, shape.width), (shape.width, shape.inner))
    if not all(int8_works(*matrix, setting.kernel) for matrix in matrices):
        return None
    tuned = tuned_cosine(weights.path)
    if tuned is not None and tuned < LEAST_COSINE:
        _tell_refusal(weights, setting, tuned, "labelled texts")
        return None

    path = _trial_of(weights, setting.folder, pooling) if setting.folder else None

    def build(tried: Tried) -> Int8Bert:
        return Int8Bert(shape, weights, tried, setting, keep=keep, pooling=pooling, base=base, trial=path)

    if path and (kept := read_tried(path)) is not None:
        if kept.cosine < LEAST_COSINE:
            _tell_refusal(weights, setting, kept.cosine, "sample texts")
            return None
        with suppress(KeyError, RuntimeError, ValueError):  # of another encoder's layers: tried anew
            return build(kept)
    windows = sorted(samples(), key=lambda window: len(window.ids))
    recorder = RangeRecorder()
    exact = PackedBert(shape, weights, keep=keep, pooling=pooling, precision=FP32, pack=recorder.pack).forward(windows)
    tried = Tried(recorder.ranges, 0.0)
    try:
        engine = build(tried)
    except SumsCutOff as error:
        log.info("%s is read in %s: int8 %s", weights.path, setting.fallback, error)
        return None
    cosine = cosine_of(engine.forward(windows), exact)
    tried = Tried(tried.ranges, cosine if math.isfinite(cosine) else 0.0)
    if path:
        keep_tried(path, tried)
    if tried.cosine < LEAST_COSINE:
        _tell_refusal(weights, setting, tried.cosine, "sample texts")
        return None
    log.info("%s is read in int8: cosine %.4f", weights.path, tried.cosine)
    return engine


def _tell_refusal(weights: Weights, setting: Int8Setting, cosine: float, texts: str) -> None:
    log.info("%s is read in %s: cosine in int8 %.4f on %s", weights.path, setting.fallback, cosine, texts)


def cosine_of(found: Tensor, exact: Tensor) -> float:
    """Of pooled outputs [n, keep, width], the mean over texts and layers."""
    return float(torch.cosine_similarity(found, exact, dim=-1).mean())
