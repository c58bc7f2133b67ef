"""What is asked for when a version is to leave the house."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path


class Format(StrEnum):
    """What is written. Which packages each needs: PACKAGES."""

    ONNX = "onnx"
    TRANSFORMERS = "transformers"
    MLFLOW = "mlflow"


_ONNX = ("onnx", "onnxscript", "onnxruntime")

PACKAGES: Mapping[Format, tuple[str, ...]] = {
    Format.ONNX: _ONNX,
    Format.TRANSFORMERS: (),
    Format.MLFLOW: _ONNX,
}
"""Those that understudy does not install (requirements-export.txt)."""


@dataclass(frozen=True)
class Wish:
    """`version`: "" for the live one; `control`: "" where there is one; `texts`: most that parity is measured on;
    `int8`: a quantised graph, too; `accept_loss`: also where it answers otherwise; `minutes`: most that distilling
    takes."""

    project: int
    directory: Path
    version: str = ""
    control: str = ""
    texts: int = 200
    int8: bool = False
    accept_loss: bool = False
    format: Format = Format.ONNX
    minutes: float = 10.0
