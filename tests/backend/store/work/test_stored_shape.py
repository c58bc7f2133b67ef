"""What lies in Redis keeps its bytes: a store that an earlier release wrote is read, and the other way round."""

from __future__ import annotations

import json

from backend.labelstudio.records import ExampleRecord
from backend.labelstudio.results import to_prediction
from backend.store.work.prediction_runs import new_shard
from model.spec import Control, Input, Kind, Label, Prediction, TaskSpec

SHARD = (
    '{"first": 5, "last": null, "cursor": 4, "seen": 0, "written": 0, "present": 0, "declined": 0, "dropped": 0, '
    '"seconds": {"listing": 0.0, "asking": 0.0, "writing": 0.0}, "attempts": 0, "done": false, "failed": ""}'
)
RECORD = (
    '{"annotation": 3, "task": 2, "texts": {"text": "a"}, "targets": {"label": [["x"]]}, '
    '"updated_at": "2026-01-02T03:04:05Z", "annotator": null, "ground_truth": true}'
)


def test_a_new_shard_is_stored_as_ever() -> None:
    assert json.dumps(new_shard(5, None)) == SHARD


def test_a_record_is_stored_as_ever() -> None:
    record = ExampleRecord(3, 2, {"text": "a"}, {"label": [["x"]]}, "2026-01-02T03:04:05Z", None, True)
    assert json.dumps(record.to_json()) == RECORD
    assert ExampleRecord.from_json(json.loads(RECORD)) == record


def test_an_answer_is_given_as_ever() -> None:
    control = Control(
        name="label",
        tag="Choices",
        kind=Kind.SINGLE,
        inputs=("text",),
        labels=(Label(("x",), "x"), Label(("y",), "y")),
    )
    spec = TaskSpec((Input("text", "Text", "$text"),), (control,))
    item = json.dumps(to_prediction(spec, [Prediction("label", ("x",), 0.75)], "v3"))
    assert item.startswith('{"model_version": "v3", "score": 0.75, "result": [{"id": ')
    assert item.endswith(
        '"from_name": "label", "to_name": "text", "type": "choices", "value": {"choices": ["x"]}, "score": 0.75}]}'
    )
