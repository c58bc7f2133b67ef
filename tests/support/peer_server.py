"""A stand-in for the peer: what HumanSignal's `bert_classifier` example does for a prediction, and nothing else.

    python -m tests.support.peer_server --checkpoint DIRECTORY --port PORT [--resident]

As its `model.py` (label-studio-ml-backend @ d02cedf): a model object for every request, and with it a `transformers`
text-classification pipeline built from the checkpoint directory; batch size 1, tasks in the order given, no truncation;
the reply through the SDK's `PredictionValue`. As its Dockerfile: gunicorn --preload, one worker, eight threads.
`--resident` builds the pipeline once. Left out, to the peer's advantage: its SQLite cache, which it writes in every
request, and the failed attempt to load a checkpoint that is not there yet.
"""

from __future__ import annotations

import argparse
import signal
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from flask import Flask, Response, jsonify, request

from backend.supervision.parent_death import die_with

VERSION = "BertClassifier-v0.0.1"
"""The peer's; the same before and after every training."""

THREADS = 8

Pipeline = Callable[[list[str]], list[dict[str, Any]]]


def build_pipeline(checkpoint: str) -> Pipeline:
    """A text-classification pipeline from the checkpoint directory."""
    from transformers import pipeline

    built: Any = pipeline("text-classification", model=checkpoint, tokenizer=checkpoint)
    return built


def create_app(pipeline_for_request: Callable[[], Pipeline]) -> Flask:
    """The peer's `/predict` and `/health` over whatever gives a request its pipeline."""
    from label_studio_sdk.label_interface import LabelInterface

    app = Flask("peer")

    @app.post("/predict")
    def predict() -> Response:
        body = request.json or {}
        interface = LabelInterface(config=body["label_config"])
        predictions = classify(pipeline_for_request(), interface, body["tasks"])
        return jsonify({"results": predictions})

    @app.get("/health")
    def health() -> Response:
        return jsonify({"status": "UP", "model_class": "BertClassifier"})

    return app


def classify(pipeline: Pipeline, interface: Any, tasks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One prediction a task, in the peer's shape."""
    from label_studio_sdk.label_interface.objects import PredictionValue

    from_name, _, value = interface.get_first_tag_occurence("Choices", "Text")
    predictions = []
    for found in pipeline([task["data"][value] for task in tasks]):
        region = interface.get_tag(from_name).label(found["label"])
        prediction = PredictionValue(score=found["score"], result=[region], model_version=VERSION)
        predictions.append(prediction.model_dump())
    return predictions


def main() -> None:
    """Command line entry."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--resident", action="store_true")
    parser.add_argument("--supervised", type=int, help="process id of the bench to die with")
    args = parser.parse_args()
    if args.supervised:
        die_with(args.supervised, signal.SIGTERM)

    def rebuilt() -> Pipeline:
        return build_pipeline(args.checkpoint)

    serve(create_app(lru_cache(maxsize=1)(rebuilt) if args.resident else rebuilt), args.port)


def serve(app: Flask, port: int) -> None:
    """gunicorn as in the peer's Dockerfile, until SIGTERM."""
    from gunicorn.app.base import BaseApplication

    class Server(BaseApplication):  # type: ignore[misc]
        """gunicorn without its command line."""

        def load_config(self) -> None:
            options = {"bind": f"127.0.0.1:{port}", "workers": 1, "worker_class": "gthread", "threads": THREADS}
            options |= {"preload_app": True, "timeout": 0, "loglevel": "warning", "control_socket_disable": True}
            for name, value in options.items():
                self.cfg.set(name, value)

        def load(self) -> Flask:
            return app

    Server().run()


if __name__ == "__main__":
    main()
