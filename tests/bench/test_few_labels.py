"""Tasks of few labels, made of sets."""

from __future__ import annotations

import pytest

from bench.support.texts import choice_control
from model.simulation.dataset import Dataset
from model.simulation.span_dataset import make_span_dataset
from model.span import Span, SpanDocument
from model.spec import Sample
from tests.support.few_labels import LEAST, one_label, summarise, tasks_of

NAMES = [f"class {number}" for number in range(20)]


def set_of(classes: int) -> Dataset:
    rows = [Sample(i, (f"text {i}",), {NAMES[i % classes]: 1.0}) for i in range(classes * 10)]
    both = Sample(999, ("text of two",), {NAMES[0]: 1.0, NAMES[1]: 1.0})
    return Dataset(choice_control(NAMES[:classes]), (*rows[: classes * 8], both), tuple(rows[classes * 8 :]))


def test_a_set_of_few_classes_is_one_task_without_texts_of_several_labels() -> None:
    ((name, task),) = tasks_of("small", set_of(4))
    assert name == "small" and len(task.train) == len(task.test) == 20
    assert not {sample.text for sample in task.train} & {sample.text for sample in task.test}


def test_many_classes_give_tasks_of_some() -> None:
    found = dict(tasks_of("large", set_of(20)))
    assert [len(task.control.labels) for task in found.values()] == [6] * 6 + [3] * 2 + [15] * 2
    assert len({tuple(task.control.keys()) for task in found.values()}) == len(found)


def test_texts_with_one_labels_spans_are_asked_which() -> None:
    kinds = ["person", "place", "rare"]
    texts = [SpanDocument(f"one {i}", (Span(0, 3, kinds[i % 2]),)) for i in range(2 * LEAST)]
    texts += [SpanDocument("one rare", (Span(0, 3, "rare"),)), SpanDocument("none", ())]
    texts.append(SpanDocument("one two", (Span(0, 3, "person"), Span(4, 7, "place"))))
    _, task = one_label("marked", make_span_dataset(texts, texts[:1], "marked"))
    assert task.control.keys() == ("person", "place") and len(task.train) + len(task.test) == 2 * LEAST


@pytest.mark.parametrize(("errors", "met"), [((0.05, 0.09), True), ((0.05, 0.13), False)])
def test_the_bar_is_of_the_mean(errors: tuple[float, ...], met: bool) -> None:
    rows = [{"task": str(error), "labels": 16, "ece": error, "accuracy": 0.5} for error in errors]
    (row,) = summarise(rows)
    assert row["met"] is met and row["worst"] == max(errors) and row["over .08"] == 1
