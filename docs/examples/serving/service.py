"""An export as a service of its own: what it answers, over HTTP.

pip install fastapi uvicorn onnxruntime tokenizers
EXPORT=DIR uvicorn --factory service:create_app --port 8000
curl localhost:8000/predict -H 'Content-Type: application/json' -d '{"tasks": [{"text": "I was charged twice"}]}'
"""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import Annotated, Any

from fastapi import FastAPI, HTTPException
from pydantic import BaseModel, Field

MOST_TASKS, MOST_CHARACTERS = 256, 100_000
"""Of a request, and of a text: the whole text is read, which takes a second of a core per 10,000 characters."""

Text = Annotated[str, Field(max_length=MOST_CHARACTERS)]


class Question(BaseModel):
    """`tasks`: one text for each input of the model, by its name; other keys are passed over."""

    tasks: Annotated[list[dict[str, Text]], Field(min_length=1, max_length=MOST_TASKS)]


def load_model(directory: Path) -> Any:
    """The model in an export, by its own program."""
    spec = importlib.util.spec_from_file_location("predict", directory / "predict.py")
    if spec is None or spec.loader is None:
        raise FileNotFoundError(directory / "predict.py")
    program = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(program)
    return program.Model(directory, threads=1)  # requests are answered side by side, each on one thread


def create_app(directory: Path | None = None) -> FastAPI:
    """The service; by default of the export that EXPORT names."""
    model = load_model(directory or Path(os.environ["EXPORT"]))
    inputs: list[str] = model.spec["inputs"]
    app = FastAPI(title=f"{model.spec['control']} of {model.spec['version']}")

    @app.get("/health")
    def health() -> dict[str, Any]:
        return {"version": model.spec["version"], "control": model.spec["control"], "inputs": inputs}

    @app.post("/predict")
    def predict(question: Question) -> dict[str, Any]:
        missing = sorted({name for task in question.tasks for name in inputs if name not in task})
        if missing:
            raise HTTPException(422, f"each task needs {', '.join(inputs)}: some have no {', '.join(missing)}")
        return {"version": model.spec["version"], "answers": list(model(question.tasks))}

    return app
