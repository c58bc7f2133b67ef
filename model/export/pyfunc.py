"""Loads the model beside this file for `mlflow.pyfunc`: rows in, answers out, by the model's own predict.py."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Protocol


class Frame(Protocol):
    """As much of a pandas.DataFrame as is needed."""

    def to_dict(self, orient: str) -> list[dict[str, object]]: ...


class Answering:
    """`predict` as mlflow calls it: a data frame with a column, or rows with a key, for each input of the question."""

    def __init__(self, directory: str) -> None:
        self.model = _program(Path(directory)).Model(directory)

    def predict(
        self, model_input: Frame | Sequence[Mapping[str, object]], params: Mapping[str, object] | None = None
    ) -> list[dict[str, object]]:
        """One answer a row, as JSON has it: labels, score and the likeliest labels; or spans."""
        rows = model_input if isinstance(model_input, Sequence) else model_input.to_dict("records")
        found: list[dict[str, object]] = json.loads(json.dumps(list(self.model(rows))))
        return found


def _load_pyfunc(directory: str) -> Answering:
    """What mlflow calls."""
    return Answering(directory)


def _program(directory: Path) -> ModuleType:
    """The directory's predict.py, without leaving a `__pycache__` in it."""
    path = directory / "predict.py"
    module = ModuleType("exported_predict")
    module.__file__ = str(path)
    exec(compile(path.read_text(encoding="utf-8"), path, "exec"), module.__dict__)
    return module
