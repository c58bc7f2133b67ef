"""A pool answered in blocks equals the live model's own answers, text by text, and reads no text a second time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from model.acquisition.pool_scoring import answer_pool
from model.features.cache import CachedEncoder, FeatureCache
from model.features.long_texts import LONG_CHARACTERS, LabelAwarePooling
from model.features.tfidf import Terms
from model.head.fit import fit_head
from model.head.head_config import Choice
from model.head.linear_head import LinearHead, Member
from model.pretrained.classifier_head import TaughtLabels
from model.pretrained_head import PretrainedHead
from model.spec import Control, Kind, Sample, Text
from model.versions.finetuned import FineTuned, TunedHead
from model.versions.live_model import LiveModel
from tests.support.encoders import WordsEncoder, choices, spec_of

pytestmark = pytest.mark.slow

KEYS = ("cats", "dogs", "birds")
POOL: list[Text] = [
    *[(f"{name} {other} n{i % 7} m{i}",) for i in range(400) for name in KEYS for other in ("sleep", "run")],
    *[("",), ("!?",), ("cats " * 300,), ("a pair of cats", "and dogs"), ("Ünïcode 日本語 cats",)],
    ("cats sleep all day long. " * (LONG_CHARACTERS // 20),),
]
WIDTH = WordsEncoder.width


def samples(kind: Kind, count: int = 24) -> list[Sample]:
    texts = [(f"{KEYS[i % 3]} run n{i} m{i % 5}",) for i in range(count)]
    targets = [{KEYS[i % 3]: 1.0, **({KEYS[0]: 1.0} if kind is Kind.MULTIPLE else {})} for i in range(count)]
    return [Sample(i, text, target) for i, (text, target) in enumerate(zip(texts, targets, strict=True))]


def with_members(head: LinearHead, *, words: bool) -> LinearHead:
    """Members of both views, with and without words and label names, whatever a search would choose."""
    generator, classes = np.random.default_rng(1), len(head.labels)
    terms = Terms.fit(POOL[:200]) if words else Terms((), np.zeros(0, np.float32))

    def member(view: str, with_words: bool, prior: float, weight: float) -> Member:
        width = WIDTH * (WordsEncoder.depth if view == "layers" else 1)
        own = generator.normal(size=(len(terms.vocabulary), classes)) if with_words else None
        choice = Choice(view, with_words, prior, 1.0)
        return Member(choice, weight, generator.normal(size=(width, classes)), generator.normal(size=classes), own)

    members = (member("layers", words, 10.0, 0.4), member("last", False, 0.0, 0.3), member("last", words, 20.0, 0.3))
    return replace(head, members=members, terms=terms)


def taught(head: LinearHead, known: Sequence[int]) -> LinearHead:
    """The head of a base model that has been taught some of the labels."""
    generator, width = np.random.default_rng(2), WIDTH
    arrays = {"dense.weight": generator.normal(size=(8, width)) / 20, "output.weight": generator.normal(size=(3, 8))}
    own = TaughtLabels(PretrainedHead(KEYS, head.multilabel, "tanh", 1e-5, arrays), tuple(known), head.multilabel)
    return replace(head, reference=replace(head.reference, taught=own))


class Rescored:
    """A project with its model."""

    def __init__(self, folder: Path, control: Control, **changes: Any) -> None:
        self.encoder = CachedEncoder(WordsEncoder(), FeatureCache(folder / "cache", 64))
        self.control, self.folder = control, folder
        head = fit_head(control, samples(control.kind), [], self.encoder)
        self.use(replace(head, **changes))

    def use(self, head: LinearHead, tuned: FineTuned | None = None, encoder: Any = None) -> None:
        head = replace(head, details=replace(head.details, served_temperature=1.3))
        spec = spec_of(self.control)
        self.live = LiveModel("v1", spec, {self.control.name: head}, self.encoder, tuned, encoder)

    @property
    def head(self) -> LinearHead:
        return self.live.heads[self.control.name]

    def check(self) -> None:
        expected = self.live.scores(self.control.name, POOL)
        misses = self.encoder.misses
        found = answer_pool(self.live, self.control.name, POOL)
        np.testing.assert_allclose(found.probabilities, expected, atol=1e-5)
        np.testing.assert_array_equal(found.features, LabelAwarePooling(self.encoder, self.control).embed(POOL)[:, -1])
        assert self.encoder.misses == misses and not len(found.members)


KINDS = [Kind.SINGLE, Kind.MULTIPLE, Kind.RATING]


@pytest.mark.parametrize("kind", KINDS)
def test_a_fitted_head_answers_the_pool_as_it_answers_texts(tmp_path: Path, kind: Kind) -> None:
    Rescored(tmp_path, choices(*KEYS, kind=kind)).check()


@pytest.mark.parametrize("words", [True, False], ids=["words", "no words"])
@pytest.mark.parametrize("kind", KINDS)
def test_any_members_temperature_and_zero_share(tmp_path: Path, kind: Kind, words: bool) -> None:
    project = Rescored(tmp_path, choices(*KEYS, kind=kind))
    head = with_members(project.head, words=words)
    for temperature, share in ((1.0, 0.0), (0.6, 0.0), (1.7, 0.2), (1.0, 1.0)):
        project.use(replace(head, temperature=temperature, zero_share=share))
        project.check()


@pytest.mark.parametrize("known", [(0, 1, 2), (2, -1, 0)], ids=["all labels", "two of three"])
@pytest.mark.parametrize("kind", [Kind.SINGLE, Kind.MULTIPLE])
def test_a_base_model_that_was_taught_before(tmp_path: Path, kind: Kind, known: tuple[int, ...]) -> None:
    project = Rescored(tmp_path, choices(*KEYS, kind=kind))
    project.use(taught(with_members(project.head, words=True), known))
    project.check()


@pytest.mark.parametrize("names", [KEYS, KEYS[:1]], ids=["three labels", "one label"])
def test_label_names_alone(tmp_path: Path, names: tuple[str, ...]) -> None:
    for number, kind in enumerate((Kind.SINGLE, Kind.MULTIPLE)):
        project = Rescored(tmp_path / str(number), choices(*names, kind=kind))
        project.use(fit_head(project.control, [], [], project.encoder))
        project.check()


def blended(project: Rescored, labels: tuple[str, ...] = KEYS, weight: float = 0.6) -> None:
    """Gives the project a fine-tuned encoder."""
    other = CachedEncoder(WordsEncoder("22" * 8, scale=-1.0), project.encoder.cache)
    multilabel = project.head.multilabel
    coefficients = np.random.default_rng(5).normal(size=(len(labels), WIDTH)).astype(np.float32)
    part = TunedHead(labels, multilabel, coefficients, np.zeros(len(labels), np.float32), weight, 1.4, trained_on=16)
    (project.folder / "weights").write_bytes(b"")
    tuned = FineTuned(project.folder / "weights", {project.control.name: part})
    project.use(with_members(project.head, words=True), tuned, other)


@pytest.mark.parametrize("labels", [KEYS, KEYS[:2]], ids=["all labels", "one new label"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_blend_with_a_fine_tuned_encoder(tmp_path: Path, kind: Kind, labels: tuple[str, ...]) -> None:
    project = Rescored(tmp_path, choices(*KEYS, kind=kind))
    blended(project, labels)
    project.check()


def test_a_fine_tuned_encoder_without_a_share_is_not_asked_for(tmp_path: Path) -> None:
    project = Rescored(tmp_path, choices(*KEYS))
    blended(project, weight=0.0)
    project.check()


@pytest.mark.parametrize("kind", [Kind.SINGLE, Kind.MULTIPLE])
def test_members_answer_each_for_itself(tmp_path: Path, kind: Kind) -> None:
    project = Rescored(tmp_path, choices(*KEYS, kind=kind))
    head = with_members(project.head, words=True)
    project.use(head)
    found = answer_pool(project.live, project.control.name, POOL, members=True)
    features = LabelAwarePooling(project.encoder, project.control).embed(POOL)
    assert found.members == pytest.approx(head.member_scores(POOL, features), abs=1e-5)
    assert found.shares.tolist() == [member.weight for member in head.members]
    project.use(replace(head, members=()))
    assert answer_pool(project.live, project.control.name, POOL, members=True).members.shape == (0, len(POOL), 3)


def test_an_empty_pool_has_no_answers(tmp_path: Path) -> None:
    project = Rescored(tmp_path, choices(*KEYS))
    assert answer_pool(project.live, "label", []).probabilities.shape == (0, 3)
