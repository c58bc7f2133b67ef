"""Label Studio's result lists: what is written is read back, and nothing in a prediction is ever null."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.labelstudio.results import read_targets, to_prediction, to_results
from backend.labelstudio.task_spec import parse_label_config
from model.spec import Control, Input, Kind, Label, Prediction, TaskSpec
from tests.support.label_configs import CONFIGS, WEBHOOKS, control, keys_of

NAMES = st.text(
    st.characters(codec="utf-8", exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=6
)
PATHS = st.lists(NAMES, min_size=1, max_size=3).map(tuple)
SCORES = st.floats() | st.sampled_from([0, 1, True, 1.7, -3, math.nan, math.inf])


@st.composite
def controls(draw: st.DrawFn, name: str) -> Control:
    """Any control that a config can give: the parents of an inner label are labels too, unless only leaves count."""
    inputs = ("a", "b") if draw(st.booleans()) else ("a",)
    kind = draw(st.sampled_from([kind for kind in Kind if kind is not Kind.SPANS]))  # no Choices control marks text
    if kind is Kind.RATING:
        stars = draw(st.integers(1, 10))
        return control(name, *map(str, range(1, stars + 1)), kind=kind, inputs=inputs, tag="Rating")
    found: dict[tuple[str, ...], None] = {}
    for path in draw(st.lists(PATHS, min_size=1, max_size=6)):
        found.update(dict.fromkeys(path[:end] for end in range(1, len(path) + 1)))
    nested = kind is not Kind.TAXONOMY and draw(st.booleans())
    inner = {path[:-1] for path in found}
    leaves = (kind is Kind.SINGLE and nested) or (kind is Kind.TAXONOMY and draw(st.booleans()))
    labels = tuple(Label(path, path[-1]) for path in found if not (leaves and path in inner))
    return Control(name, kind, inputs, labels, "Taxonomy" if kind is Kind.TAXONOMY else "Choices", nested=nested)


@st.composite
def answered(draw: st.DrawFn) -> tuple[TaskSpec, list[Prediction]]:
    """A spec, and an answer of some of its controls."""
    inputs = (Input("a", "Text", "$a"), Input("b", "Text", "$b"))
    names = draw(st.lists(NAMES, min_size=1, max_size=3, unique=True))
    spec = TaskSpec(inputs, tuple(draw(controls(name)) for name in names))
    predictions = []
    for item in spec.controls:
        most = 1 if item.kind in (Kind.SINGLE, Kind.RATING) else len(item.labels)
        chosen = draw(st.lists(st.sampled_from(item.keys()), max_size=most, unique=True))
        predictions.append(Prediction(item.name, tuple(chosen), draw(SCORES)))
    return spec, predictions


@settings(deadline=None, max_examples=300)
@given(answered())
def test_the_labels_that_are_written_are_read_back(case: tuple[TaskSpec, list[Prediction]]) -> None:
    spec, predictions = case
    result = json.loads(json.dumps(to_results(spec, predictions)))
    expected = {one.control: list(one.chosen) for one in predictions if one.chosen}
    assert keys_of(read_targets(spec, result)) == expected


@settings(deadline=None, max_examples=200)
@given(answered())
def test_a_prediction_holds_no_null_and_scores_from_0_to_1(case: tuple[TaskSpec, list[Prediction]]) -> None:
    spec, predictions = case
    item = to_prediction(spec, predictions, "v1")
    assert json.loads(json.dumps(item, allow_nan=False)) == item
    assert not any(value is None for value in values(item))
    assert all(0 <= score <= 1 for score in [item["score"], *(one["score"] for one in item["result"])])
    assert item["model_version"] == "v1"


def values(item: Any) -> Iterator[Any]:
    """Every value inside `item`, itself included."""
    yield item
    for inner in item.values() if isinstance(item, dict) else item if isinstance(item, list) else ():
        yield from values(inner)


def two() -> TaskSpec:
    return TaskSpec((Input("text", "Text", "$text"),), (control("c", "A", "B"), control("d", "X", "Y")))


def test_the_score_is_that_of_the_least_sure_control() -> None:
    predictions = [Prediction("c", ("A",), 0.9), Prediction("d", ("X",), 0.3)]
    assert to_prediction(two(), predictions, "v1")["score"] == 0.3


@pytest.mark.parametrize(("score", "shown"), [(math.nan, 0), (math.inf, 0), (-math.inf, 0), (1.7, 1), (-3, 0)])
def test_a_score_out_of_range_is_brought_back(score: float, shown: float) -> None:
    item = to_prediction(two(), [Prediction("c", ("A",), score)], "v1")
    assert item["score"] == item["result"][0]["score"] == shown


def test_an_answer_that_chooses_nothing_is_an_empty_result() -> None:
    assert to_prediction(two(), [], "v1") == {"model_version": "v1", "score": 0.0, "result": []}
    assert to_prediction(two(), [Prediction("c", (), 0.7)], "v1")["result"] == []


def test_a_result_names_the_first_input_unless_told_otherwise() -> None:
    spec = parse_label_config(CONFIGS["pair"])
    predictions = [Prediction("c", ("same",), 0.7)]
    assert to_results(spec, predictions)[0]["to_name"] == "t1"
    assert to_results(spec, predictions, {"c": "t2"})[0]["to_name"] == "t2"


def test_a_prediction_for_a_control_that_is_not_there_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        to_results(two(), [Prediction("gone", ("A",), 0.7)])


@pytest.mark.parametrize(
    ("case", "chosen", "value"),
    [
        ("multiple", ("Positive", "Neutral"), {"choices": ["Positive", "Neutral"]}),
        ("nested_choices", ("A/A1",), {"choices": [["A", "A1"]]}),
        ("nested_choices", ("B",), {"choices": ["B"]}),
        ("dynamic_choices", ("X\\/Y",), {"choices": ["X/Y"]}),
        ("taxonomy", ("A/A1", "B"), {"taxonomy": [["A", "A1"], ["B"]]}),
        ("rating", ("4",), {"rating": 4}),
        ("unicode_labels", ("良い & <ok>",), {"choices": ["良い & <ok>"]}),
    ],
)
def test_values_are_written_as_label_studio_writes_them(case: str, chosen: tuple[str, ...], value: Any) -> None:
    spec = parse_label_config(CONFIGS[case])
    (result,) = to_results(spec, [Prediction(spec.controls[0].name, chosen, 0.5)])
    assert (result["value"], result["type"]) == (value, spec.controls[0].tag.lower())


RESULTS = [row["body"] for row in WEBHOOKS if row["scenario"] == "label_configs" and "per_region" not in row["step"]]


@pytest.mark.parametrize("body", RESULTS, ids=lambda body: str(body["project"]["title"]))
def test_writing_a_recorded_answer_gives_label_studios_own_result(body: dict[str, Any]) -> None:
    spec = parse_label_config(body["project"]["label_config"])
    theirs = body["annotation"]["result"]
    answers = keys_of(read_targets(spec, theirs))
    ours = to_results(spec, [Prediction(name, tuple(keys), 0.5) for name, keys in answers.items()])
    fields = ("from_name", "to_name", "type", "value")
    assert [{key: row[key] for key in fields} for row in ours] == [{key: row[key] for key in fields} for row in theirs]


def test_a_taxonomy_carries_the_confidence_of_every_level() -> None:
    inner = '<Choice value="A"><Choice value="A1"/></Choice>'
    config = f'<View><Text name="t" value="$t"/><Taxonomy name="x" toName="t">{inner}</Taxonomy></View>'
    prediction = Prediction("x", ("A/A1",), 0.6, levels=(("A", 0.9), ("A/A1", 0.6)))
    (result,) = to_results(parse_label_config(config), [prediction])
    assert result["value"] == {"taxonomy": [["A", "A1"]]}
    assert result["meta"] == {"levels": [{"label": "A", "score": 0.9}, {"label": "A/A1", "score": 0.6}]}
    assert all("meta" not in one for one in to_results(two(), [Prediction("c", ("A",), 0.5)]))
