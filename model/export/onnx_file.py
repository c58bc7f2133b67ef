"""A torch module as one ONNX file, weights included."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import nn

OPSET = 18

NAMED = 4
"""Inputs that `forward` names; it takes the others as one tuple."""

INTEGERS = ("input_ids", "attention_mask", "token_type_ids", "hints")
"""How names of inputs end that hold whole numbers."""

Shape = tuple[str | int, ...]
"""Of an input: free sizes by name, fixed ones as numbers."""


def save_onnx(
    module: nn.Module, path: Path, shapes: Mapping[str, Shape], sizes: Mapping[str, int], output: str
) -> None:
    """`shapes`: of the inputs, in the order of `forward`; `sizes`: of the free ones in the trace, none of them 1."""
    free = {name: torch.export.Dim(name, min=1) for name in sizes}
    values = [
        torch.ones(
            [sizes[size] if isinstance(size, str) else size for size in shape],
            dtype=torch.int64 if name.endswith(INTEGERS) else torch.float32,
        )
        for name, shape in shapes.items()
    ]
    dynamic = [
        {place: free[size] for place, size in enumerate(shape) if isinstance(size, str)} for shape in shapes.values()
    ]
    with _quiet():
        torch.onnx.export(
            module.eval(),
            tuple(values),
            path,
            input_names=list(shapes),
            output_names=[output],
            dynamic_shapes=(*dynamic[:NAMED], tuple(dynamic[NAMED:])),
            opset_version=OPSET,
            dynamo=True,
            external_data=False,
            verbose=False,
        )


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what torch's exporter says of itself: deprecations within torch, packages that nobody needs."""
    logger = logging.getLogger("torch.onnx")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(before)
