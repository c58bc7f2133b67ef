"""The formats that a version can be written in."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from backend.export.exported import Exported
from backend.export.mlflow import write_mlflow
from backend.export.onnx import write_onnx
from backend.export.order import Order
from backend.export.stock import write_transformers
from backend.export.wish import Format

Writer = Callable[[Order], Exported]
"""Writes one control of a version and compares its answers. Raises Conflict where they differ too much."""

WRITERS: Mapping[Format, Writer] = {
    Format.ONNX: write_onnx,
    Format.TRANSFORMERS: write_transformers,
    Format.MLFLOW: write_mlflow,
}
