"""What is asked for when a version is to leave the house."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path


class Format(StrEnum):
    """What is written. Which packages each needs: PACKAGES."""

    ONNX = "onnx"


PACKAGES: Mapping[Format, tuple[str, ...]] = {Format.ONNX: ("onnx", "onnxscript", "onnxruntime")}
"""Those that understudy does not install (requirements-export.txt)."""


@dataclass(frozen=True)
class Wish:
    """`version`: "" for the live one; `control`: "" where there is one; `texts`: most that parity is measured on;
    `int8`: a quantised graph, too; `accept_loss`: also where it answers otherwise."""

    project: int
    directory: Path
    version: str = ""
    control: str = ""
    texts: int = 200
    int8: bool = False
    accept_loss: bool = False
    format: Format = Format.ONNX
