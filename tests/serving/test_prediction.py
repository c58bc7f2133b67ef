"""A /predict that does not get done: what is answered by then comes back, also when every text is long."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

from backend.labelstudio.config import parse_label_config
from backend.metrics import Metrics
from backend.serving.prediction import answer_tasks
from backend.serving.predictors import Predictors, deadline
from backend.settings import Settings
from bench.rig import choices_config
from model.live import LiveModel, cold_start
from model.spec import Document
from tests.model.fakes import WordsEncoder

CONFIG = choices_config(["refund", "delivery"])
LONG = "please send my refund back to me now " * 300


class Stuck(LiveModel):
    """Answers as usual, but is never done with texts that say so."""

    def predict(self, documents: Sequence[Document], options: Any = None) -> Any:
        if any("STUCK" in document["text"] for document in documents):
            threading.Event().wait(30)
        return super().predict(documents, options)


def test_one_long_text_that_takes_too_long_costs_no_other_its_answer() -> None:
    spec = parse_label_config(CONFIG)
    usual = cold_start(spec, WordsEncoder())
    model = Stuck(usual.version, spec, usual.heads, usual.base, configs=usual.configs)
    tasks = [{"id": 1, "data": {"text": LONG}}, {"id": 2, "data": {"text": LONG + "STUCK"}}]
    predictors = Predictors(1)
    items, _ = answer_tasks(
        model, spec, tasks, settings=Settings(), predictors=predictors, metrics=Metrics(), left=deadline(2)
    )
    predictors.stop()
    assert isinstance(items[0], dict) and items[0]["result"], "done in time"
    assert items[1] == [], "declined, to be asked for again"
