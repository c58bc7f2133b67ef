"""A question that the page hides counts neither in the queue's order nor among the pool's confidences."""

from __future__ import annotations

from typing import Any

import pytest

from backend.jobs.learn.pool_survey import survey_pool
from backend.jobs.learn.refit import refit
from backend.jobs.task_queue.pool_view import PoolScorer
from backend.labelstudio.records import ExampleRecord
from backend.labelstudio.results import to_prediction
from tests.backend.conftest import PROJECT
from tests.support.rig import read_rows

CONFIG = (
    '<View><Text name="text" value="$text"/><Choices name="sort" toName="text"><Choice value="short"/>'
    '<Choice value="long"/></Choices><View visibleWhen="choice-selected" whenTagName="sort" whenChoiceValue="long">'
    '<Rating name="stars" toName="text" maxRating="3"/></View></View>'
)


@pytest.fixture
def pool(context: Any) -> list[str]:
    """80 texts, 30 of them labelled; only the long ones have stars."""
    texts = [text for text, _ in read_rows()[:80]]
    stores, middle = context.stores, sorted(map(len, texts))[40]
    stores.projects.save_config(PROJECT, CONFIG)
    for number, text in enumerate(texts[:30], 1):
        long = len(text) > middle
        targets = {"sort": [["long" if long else "short"]], **({"stars": number % 3 + 1} if long else {})}
        stamp = f"2026-01-01T00:00:{number:02d}Z"
        stores.examples.upsert_many(PROJECT, [ExampleRecord(number, number, {"text": text}, targets, stamp)])
    stores.projects.add_pool(PROJECT, {number: {"text": text} for number, text in enumerate(texts, 1)}, 4000)
    assert refit(PROJECT) == "published"
    return texts


def test_the_least_sure_visible_question_orders_the_queue(context: Any, pool: list[str]) -> None:
    model = context.live_model(PROJECT, context.stores.versions.live(PROJECT))
    view = PoolScorer(context.stores.projects, context.stores.jobs, PROJECT, model).score(set())
    assert view is not None
    hidden = {int(row) for row in view.pools[1].hidden}
    items = model.predict(view.documents)
    asked = [{one.control for one in row} for row in items]
    assert hidden == {row for row, names in enumerate(asked) if "stars" not in names}
    assert 0 < len(hidden) < len(pool)
    for row, predictions in enumerate(items):
        score = to_prediction(model.spec, predictions, model.version)["score"]
        assert view.confidence[row] == pytest.approx(score, abs=1e-4)


def test_the_pools_confidences_are_those_of_questions_asked(context: Any, pool: list[str]) -> None:
    model = context.live_model(PROJECT, context.stores.versions.live(PROJECT))
    for key in list(context.stores.versions._redis.scan_iter("*survey*")):
        context.stores.versions._redis.delete(key)
    assert survey_pool(context, PROJECT)
    found = context.stores.evidence.survey(PROJECT)["controls"]
    asked = [{one.control for one in row} for row in model.predict([{"text": text} for text in pool[30:]])]
    assert found["sort"]["n"] == len(asked)
    assert found["stars"]["n"] == sum("stars" in names for names in asked) < len(asked)
