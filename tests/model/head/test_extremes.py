"""Heads on the oddest projects: one class, one example each, wrong names, copies, nothing to read, 1,000 classes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from model.head import search
from model.head.fit import fit_head, is_settled, restore_head
from model.head.head_config import HeadConfig
from model.head.linear_head import LinearHead
from model.spec import Control, Kind, Label, Sample, Text
from tests.support.encoders import Floats, Remembering, WordsEncoder, choices, samples_of

pytestmark = pytest.mark.slow

NAMES = ("cats", "dogs", "birds")
TOPICS, TAGS = choices(*NAMES), choices(*NAMES, kind=Kind.MULTIPLE)
PROBES: list[Text] = [("cats sleep",), ("two dogs bark",), ("nothing known",), ("",), ("a", "b"), ()]
ENCODER = Remembering(WordsEncoder())


def fit(control: Control, samples: Sequence[Sample], **options: Any) -> LinearHead:
    return fit_head(control, samples, [], ENCODER, **options)


def scores(head: LinearHead, texts: Sequence[Text]) -> Floats:
    return head.scores(texts, ENCODER.embed(texts))


def answers(head: LinearHead, texts: Sequence[Text]) -> list[str]:
    return [head.labels[column] for column in scores(head, texts).argmax(1)]


def sets_of(*rows: tuple[str, Sequence[str]]) -> list[Sample]:
    return [Sample(i, (text,), dict.fromkeys(tags, 1.0)) for i, (text, tags) in enumerate(rows)]


def assert_sound(head: LinearHead, texts: Sequence[Text]) -> None:
    """Probabilities, also out-of-fold, and the same ones after a round trip through JSON and arrays."""
    found = scores(head, texts)
    assert np.isfinite(found).all() and (found >= 0).all() and (found <= 1 + 1e-6).all()
    if not head.multilabel:
        np.testing.assert_allclose(found.sum(1), 1, atol=1e-5)
    if head.out_of_fold is not None:
        assert np.isfinite(head.out_of_fold.probabilities).all()
        assert len(head.out_of_fold.tasks) == len(head.out_of_fold.probabilities) == len(head.out_of_fold.targets)
    text = json.dumps(head.config().to_json(), allow_nan=False)
    restored = restore_head(HeadConfig.from_json(json.loads(text)), head.tensors())
    again = restore_head(HeadConfig.from_json(json.loads(json.dumps(restored.config().to_json()))), restored.tensors())
    np.testing.assert_allclose(scores(restored, texts), found, atol=1e-4)
    assert np.array_equal(scores(again, texts), scores(restored, texts))
    assert all(np.isfinite(value).all() for value in head.tensors().values())


TEXT = st.lists(st.sampled_from(["cats", "dogs", "bark", "x", "!", ""]), max_size=3).map(lambda w: (" ".join(w),))
SHARE = st.sampled_from([0.0, 1e-3, 0.3, 0.5, 1.0])
SAMPLE = st.builds(
    Sample,
    task=st.integers(0, 99),
    text=TEXT | st.tuples(st.just("cats"), st.just("dogs")) | st.just(()),
    target=st.dictionaries(st.sampled_from([*NAMES, "gone"]), SHARE, max_size=3),
    weight=st.sampled_from([0.0, 1e-6, 0.3, 1.0, 5.0]),
)


@settings(deadline=None, max_examples=15, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(SAMPLE, max_size=24), st.booleans(), st.integers(0, 3))
def test_whatever_the_samples_answers_are_probabilities(samples: list[Sample], multilabel: bool, seed: int) -> None:
    assert_sound(fit(TAGS if multilabel else TOPICS, samples, seed=seed), PROBES)


@pytest.mark.parametrize("count", [1, 2, 12, 140])
def test_one_class_only(count: int) -> None:
    head = fit(TOPICS, samples_of(*[(f"words w{i} of dogs", "dogs") for i in range(count)]))
    assert_sound(head, PROBES)
    assert answers(head, [("words of dogs",), ("words w0 of dogs",)]) == ["dogs", "dogs"]


def test_one_example_of_each_class() -> None:
    names = [f"topic{i}" for i in range(12)]
    rows = [(f"{name} thing{i}", name) for i, name in enumerate(names)]
    head = fit(choices(*names), samples_of(*rows))
    assert_sound(head, PROBES)
    assert answers(head, [(text,) for text, _ in rows]) == names
    assert answers(head, [(f"{name} other",) for name in names]) == names
    strange = [(f"word{i} thing{i}", name) for i, name in enumerate(names)]
    assert answers(fit(choices(*names), samples_of(*strange)), [(text,) for text, _ in strange]) == names


@pytest.mark.parametrize("count", [12, 66])
def test_where_all_names_are_wrong_the_labels_are_followed(count: int) -> None:
    rotated = dict(zip(NAMES, [*NAMES[1:], NAMES[0]], strict=True))
    rows = [(f"{NAMES[i % 3]} n{i} m{i % 7}", rotated[NAMES[i % 3]]) for i in range(count)]
    probes: list[Text] = [(f"{name} z{i}",) for name in NAMES for i in range(4)]
    assert answers(fit(TOPICS, []), probes) == [name for name in NAMES for _ in range(4)]
    head = fit(TOPICS, samples_of(*rows))
    assert answers(head, probes) == [rotated[name] for name in NAMES for _ in range(4)]
    assert head.zero_share <= 0.05


def test_copies_of_a_text_are_no_evidence_for_each_other() -> None:
    """Labels by chance, each text eight times: only a fold that is not kept apart could know them."""
    generator = np.random.default_rng(0)
    truth = [["alpha", "beta"][int(side)] for side in generator.integers(0, 2, 24)]
    rows = [(f"u{i} v{i} w{i}", label) for i, label in enumerate(truth)]
    head = fit(choices("alpha", "beta"), samples_of(*rows * 8))
    assert answers(head, [(text,) for text, _ in rows]) == truth
    assert head.details.held_out["accuracy"] < 0.8
    assert head.details.held_out["log_loss"] > 0.6
    assert head.out_of_fold is not None
    found = head.out_of_fold.probabilities.reshape(8, 24, 2)
    np.testing.assert_allclose(found, np.broadcast_to(found[0], found.shape), atol=1e-6)


def test_one_text_with_every_label_gets_their_shares() -> None:
    head = fit(choices("alpha", "beta"), samples_of(*[("same", "alpha")] * 30, *[("same", "beta")] * 10))
    assert_sound(head, PROBES)
    assert scores(head, [("same",)])[0] == pytest.approx([0.75, 0.25], abs=0.1)


@pytest.mark.parametrize("seed", range(6))
def test_a_large_project_of_copies_is_learned(seed: int) -> None:
    """Choices are made on 300 of the rows, and nearly all are one text: none may be left to judge by."""
    control = choices(*[f"c{i}" for i in range(200)])
    rows = [("copy", "c0")] * 700 + [(f"other{i}", "c0") for i in range(4)]
    head = fit(control, samples_of(*rows), seed=seed)
    assert_sound(head, PROBES[:2])
    assert answers(head, [("copy",), ("other1",)]) == ["c0", "c0"]


@pytest.mark.parametrize("text", [(), ("",), ("", ""), ("!?",)])
@pytest.mark.parametrize("count", [3, 70])
def test_texts_without_anything_to_read(text: Text, count: int) -> None:
    samples = [Sample(i, text, {"cats": 1.0} if i % 3 else {"dogs": 1.0}) for i in range(count)]
    head = fit(TOPICS, samples)
    assert_sound(head, PROBES)
    assert scores(head, [text])[0, :2] == pytest.approx([2 / 3, 1 / 3], abs=0.2)


THOUSAND = choices(*[f"class{i}" for i in range(1000)])


@pytest.mark.parametrize("count", [1, 10])
def test_a_thousand_classes_and_few_labels(count: int) -> None:
    rows = [(f"class{i * 7} n{i}", f"class{i * 7}") for i in range(count)]
    head = fit(THOUSAND, samples_of(*rows))
    assert_sound(head, PROBES)
    assert answers(head, [(text,) for text, _ in rows]) == [label for _, label in rows]
    assert answers(head, [("class999",)]) == ["class999"], "the others are known by name"


def test_a_thousand_classes_and_many_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    work: list[int] = []

    def counted(features: Floats, targets: Floats, weights: Floats, *rest: Any, **options: Any) -> Any:
        work.append(len(weights) * features.size * targets.shape[1] * options["iterations"])
        return whole(features, targets, weights, *rest, **options)

    whole = search.fit_blocks
    monkeypatch.setattr(search, "fit_blocks", counted)
    rows = [(f"class{i % 20} n{i % 2}", f"class{i % 20}") for i in range(1200)]
    head = fit(THOUSAND, samples_of(*rows))
    assert_sound(head, PROBES[:2])
    assert answers(head, [(text,) for text, _ in rows[:20]]) == [label for _, label in rows[:20]]
    assert sum(work) < 60e9  # multiply-adds of all fits at the most dimensions there can be
    assert len(head.members) <= 2


FIRST = [(f"{NAMES[i % 2]} n{i} m{i % 7}", NAMES[i % 2]) for i in range(499)]


@pytest.fixture(scope="module")
def long_project() -> HeadConfig:
    """The config of a head that has never seen the third class."""
    return fit(TOPICS, samples_of(*FIRST)).config()


@pytest.mark.parametrize("words", ["birds fly", "strange things"])
@pytest.mark.parametrize("count", [1, 3])
def test_a_class_that_comes_first_at_label_500_is_learned_at_once(
    words: str, count: int, long_project: HeadConfig
) -> None:
    fresh = [(f"{words} q{i}", "birds") for i in range(count)]
    head = fit(TOPICS, samples_of(*FIRST, *fresh), previous=long_project, repeat=True)
    assert head.config().searched == 499, "the choices are repeated, not searched for"
    assert answers(head, [(text,) for text, _ in fresh]) == ["birds"] * count
    assert answers(head, [(f"{words} again",)]) == ["birds"]
    assert answers(head, [("cats n1 m1",), ("dogs n2 m2",)]) == ["cats", "dogs"]


def test_a_listed_choice_that_comes_first_at_label_500_is_learned_at_once() -> None:
    listed = Control("listed", Kind.SINGLE, ("text",), (), options_field="options")
    previous = fit(listed, samples_of(*FIRST)).config()
    head = fit(listed, samples_of(*FIRST, ("strange things", "birds")), previous=previous, repeat=True)
    assert head.labels == ("birds", "cats", "dogs")
    assert answers(head, [("strange things",), ("cats n1 m1",)]) == ["birds", "cats"]


def test_labels_that_left_the_config_are_forgotten(long_project: HeadConfig) -> None:
    """Their samples do not count, and what was chosen with them is not taken over."""
    left = choices("cats", "birds")
    samples = samples_of(*FIRST, *[(f"birds b{i % 50}", "birds") for i in range(150)])
    head = fit(left, samples, previous=long_project, repeat=True)
    assert head.labels == ("cats", "birds")
    assert head.details.count == head.config().searched == 250 + 150
    assert is_settled(head.config())
    assert_sound(head, PROBES)
    assert answers(head, [("cats n1",), ("birds sing",)]) == ["cats", "birds"]


def test_labels_in_another_order_are_not_mixed_up(long_project: HeadConfig) -> None:
    turned = choices(*NAMES[::-1])
    head = fit(turned, samples_of(*FIRST, ("cats n500", "cats")), previous=long_project, repeat=True)
    assert head.config().searched == 500
    assert answers(head, [("cats n1",), ("dogs n2",)]) == ["cats", "dogs"]


def test_a_single_choice_is_not_repeated_for_sets(long_project: HeadConfig) -> None:
    rows = [(text, [label]) for text, label in [*FIRST, ("cats n500", "cats")]]
    head = fit(TAGS, sets_of(*rows), previous=long_project, repeat=True)
    assert head.config().searched == 500
    assert_sound(head, PROBES)
    assert (scores(head, [("cats n1",)])[0] > 0.5).tolist() == [True, False, False]


def test_sets_with_a_label_always_on_and_one_never() -> None:
    rows = [(f"{'cats' if i % 2 else 'mice'} n{i}", ["birds", "cats"] if i % 2 else ["birds"]) for i in range(40)]
    head = fit(TAGS, sets_of(*rows))
    assert_sound(head, PROBES)
    found = scores(head, [("cats again",), ("mice again",)])
    assert (found >= head.threshold).tolist() == [[True, False, True], [False, False, True]]


@pytest.mark.parametrize("count", [1, 5, 80])
def test_nothing_but_empty_sets(count: int) -> None:
    head = fit(TAGS, sets_of(*[(f"text t{i}", []) for i in range(count)]))
    assert_sound(head, PROBES)
    assert head.details.count == count
    if count > 1:
        assert scores(head, [("text t1",)]).max() < head.threshold


def test_a_single_checkbox_is_learned() -> None:
    box = choices("spam", kind=Kind.MULTIPLE)
    assert scores(fit(box, []), PROBES).max() < 0.5, "no text is like its name"
    rows = [(f"buy pills n{i}", ["spam"]) if i % 2 else (f"hello mum n{i}", []) for i in range(30)]
    head = fit(box, sets_of(*rows))
    assert_sound(head, PROBES)
    assert (scores(head, [("buy pills",), ("hello mum",)]) >= head.threshold).tolist() == [[True], [False]]


def test_annotators_who_never_agree_give_even_answers() -> None:
    samples = [Sample(i, (f"text t{i}",), dict.fromkeys(NAMES, 1 / 3)) for i in range(70)]
    head = fit(TOPICS, samples)
    assert_sound(head, PROBES)
    assert scores(head, [("text t1",), ("text t99",)]) == pytest.approx(1 / 3, abs=0.05)


def test_samples_of_no_weight_are_left_out() -> None:
    rows = samples_of(*[(f"{NAMES[i % 3]} n{i}", NAMES[i % 3]) for i in range(12)])
    nothing = [Sample(90 + i, (f"cats m{i}",), {"dogs": 1.0}, 0.0) for i in range(12)]
    head, whole = fit(TOPICS, rows), fit(TOPICS, [*rows, *nothing])
    assert whole.config() == head.config()
    assert np.array_equal(scores(whole, PROBES), scores(head, PROBES))


def test_all_weights_times_a_thousandth_are_sound() -> None:
    rows = samples_of(*[(f"{NAMES[i % 3]} n{i}", NAMES[i % 3]) for i in range(12)])
    assert_sound(fit(TOPICS, [replace(sample, weight=1e-3) for sample in rows]), PROBES)


@pytest.mark.parametrize("control", [TOPICS, TAGS])
def test_the_order_of_the_samples_changes_little(control: Control) -> None:
    """It deals other folds, so other candidates may win; the answers stay."""
    rows = samples_of(*[(f"{NAMES[i % 3]} n{i} m{i % 5}", NAMES[i % 3]) for i in range(36)])
    probes: list[Text] = [(f"{name} z{i}",) for name in NAMES for i in range(4)]
    first, second = (scores(fit(control, samples), probes) for samples in (rows, rows[::-1]))
    assert np.abs(first - second).max() < 0.15
    assert np.array_equal(first.argmax(1), second.argmax(1))


def test_names_without_a_word_and_equal_names_are_sound() -> None:
    odd = Control("odd", Kind.SINGLE, ("text",), (Label(("1",), "!!"), Label(("2",), ""), Label(("3",), "")))
    for count in (0, 9):
        head = fit(odd, samples_of(*[(f"word{i % 3} n{i}", str(i % 3 + 1)) for i in range(count)]))
        assert_sound(head, PROBES)
    assert answers(head, [("word0",), ("word1",), ("word2",)]) == ["1", "2", "3"]


def test_out_of_fold_answers_of_every_row_also_where_the_search_is_thinned() -> None:
    rows = [(f"{NAMES[i % 3]} n{i % 90}", NAMES[i % 3]) for i in range(630)]
    thinned, whole = (fit(TOPICS, samples_of(*rows), cross_fit=cross) for cross in (False, True))
    assert thinned.out_of_fold is not None and whole.out_of_fold is not None
    assert len(thinned.out_of_fold.tasks) < 630
    assert whole.out_of_fold.tasks == tuple(range(630))
    np.testing.assert_allclose(scores(thinned, PROBES), scores(whole, PROBES), atol=0.05)
