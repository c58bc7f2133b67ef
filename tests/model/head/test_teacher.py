"""A teacher's answers help while labels are few, never count as labels, and go when labels speak against them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch

from model.export.head import HeadGraph
from model.head.fit import fit_head, restore_head
from model.head.head_config import HeadConfig
from model.head.linear_head import LinearHead
from model.spec import Control, Kind, Sample
from tests.support.encoders import WordsEncoder, choices

TOPICS, TAGS = choices("first", "second", "third"), choices("red", "blue", kind=Kind.MULTIPLE)
WORDS = {"first": "cats purr", "second": "dogs bark", "third": "birds sing"}
"""What texts of a label say: nothing of its name."""
ENCODER = WordsEncoder()


def topics(count: int, shift: int = 0, start: int = 0) -> list[Sample]:
    """Texts with their label, or with the one `shift` further."""
    names = TOPICS.keys()
    return [
        Sample(
            n, (f"{WORDS[names[n % 3]]} n{n} m{n % 7}",), {names[(n + shift) % 3]: 0.9, names[(n + shift + 1) % 3]: 0.1}
        )
        for n in range(start, start + count)
    ]


def fit(control: Control, labelled: Sequence[Sample], teacher: Sequence[Sample]) -> LinearHead:
    pool = [dict(zip(control.inputs, sample.text, strict=True)) for sample in teacher]
    return fit_head(control, labelled, pool, ENCODER, teacher=teacher)


def accuracy(head: LinearHead, probes: Sequence[Sample]) -> float:
    found = head.scores([one.text for one in probes], ENCODER.embed([one.text for one in probes])).argmax(1)
    right = [max(one.target, key=one.target.__getitem__) for one in probes]
    return float(np.mean([head.labels[column] == label for column, label in zip(found, right, strict=True)]))


PROBES = topics(30, start=1000)


def test_a_teacher_answers_for_the_names_before_there_are_labels() -> None:
    plain, taught = fit(TOPICS, [], []), fit(TOPICS, [], topics(60))
    assert taught.reference.is_from_teacher and not plain.reference.is_from_teacher
    assert accuracy(taught, PROBES) > 0.95 > accuracy(plain, PROBES)


def test_what_a_teacher_said_is_no_label() -> None:
    taught = fit(TOPICS, [], topics(60))
    assert taught.members == () and taught.details.count == 0 and taught.out_of_fold is None
    learned = fit(TOPICS, topics(12, start=500), topics(60))
    assert learned.details.count == 12
    assert learned.out_of_fold is not None and len(learned.out_of_fold.targets) == 12


def test_a_teacher_that_is_wrong_is_left_out_by_the_labels() -> None:
    wrong = topics(60, shift=1)
    assert fit(TOPICS, [], wrong).reference.is_from_teacher
    learned, plain = (fit(TOPICS, topics(24, start=500), teacher) for teacher in (wrong, ()))
    assert not learned.reference.is_from_teacher
    assert accuracy(learned, PROBES) >= accuracy(plain, PROBES) - 0.05


def test_a_text_with_a_label_is_not_learned_from_the_teacher() -> None:
    said, pool = topics(60), [dict(zip(TOPICS.inputs, sample.text, strict=True)) for sample in topics(60)]
    whole, rest = (fit_head(TOPICS, said[:30], pool, ENCODER, teacher=some) for some in (said, said[30:]))
    assert whole.reference.taught is not None and rest.reference.taught is not None
    for name, array in whole.reference.taught.tensors().items():
        np.testing.assert_array_equal(array, rest.reference.taught.tensors()[name])


def test_few_answers_move_nothing() -> None:
    assert fit(TOPICS, [], topics(19)).reference.taught is None


def test_answers_with_labels_that_the_config_lacks_are_left_out() -> None:
    strangers = [replace(sample, target={"fourth": 1.0}) for sample in topics(60)]
    assert fit(TOPICS, [], strangers).reference.taught is None


def test_sets_are_taught_too() -> None:
    said = [
        Sample(
            n,
            (f"{'roses' if n % 2 else 'sky'} n{n} m{n % 5}",),
            {"red": 0.9, "blue": 0.1} if n % 2 else {"blue": 0.9, "red": 0.1},
        )
        for n in range(60)
    ]
    head = fit(TAGS, [], said)
    found = head.scores([("roses again",), ("sky again",)], ENCODER.embed([("roses again",), ("sky again",)]))
    assert found[0, 0] > 0.5 > found[0, 1] and found[1, 1] > 0.5 > found[1, 0]


@pytest.mark.parametrize("labels", [0, 12])
def test_what_was_taught_is_kept_on_disk(labels: int) -> None:
    head = fit(TOPICS, topics(labels, start=500), topics(60))
    assert head.reference.is_from_teacher
    config = HeadConfig.from_json(json.loads(json.dumps(head.config().to_json())))
    restored = restore_head(config, head.tensors())
    texts = [one.text for one in PROBES]
    np.testing.assert_allclose(
        restored.scores(texts, ENCODER.embed(texts)), head.scores(texts, ENCODER.embed(texts)), atol=1e-5
    )
    assert restored.config() == head.config()


@pytest.mark.parametrize("control", [TOPICS, TAGS], ids=["single", "sets"])
@pytest.mark.parametrize("labels", [0, 12])
def test_an_exported_head_answers_as_taught(control: Control, labels: int) -> None:
    keys = control.keys()
    said = [Sample(n, (f"{'purr' if n % 2 else 'bark'} n{n}",), {keys[n % 2]: 1.0}) for n in range(60)]
    head = fit(control, [replace(one, text=(f"more {one.text[0]}",)) for one in said[:labels]], said)
    assert head.reference.is_from_teacher
    texts = [one.text for one in PROBES]
    features = ENCODER.embed(texts)
    words = head.terms.transform(texts).toarray() if head.uses_words else None
    found = HeadGraph(head)(torch.tensor(features), None if words is None else torch.tensor(words))
    np.testing.assert_allclose(found.numpy(), head.scores(texts, features), atol=1e-4)
