"""Explanations of live versions: real MiniLM where faithfulness matters, random words where only plumbing does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from model.explain.explanation import explain_answer, label_log_odds
from model.explain.occlusion import Piece, cut
from model.features.cache import CachedEncoder, FeatureCache
from model.head.fit import fit_heads
from model.spec import Kind, Prediction
from model.versions.live_model import LiveModel, cold_start
from tests.model.conftest import Messages
from tests.support.encoders import WordsEncoder, choices, samples_of, spec_of


def live(spec: Any, samples: Any, embedder: Any) -> LiveModel:
    heads = fit_heads(spec, samples, [], embedder)
    return LiveModel("v0.1", spec, heads, embedder)


def test_removing_the_named_words_costs_more_than_removing_as_many_others(messages: Messages) -> None:
    spec = spec_of(messages.control)
    model = live(spec, {"label": messages.samples}, messages.embedder)
    named, others = [], []
    for (text,) in messages.texts[:12]:
        [answer] = model.predict([{"text": text}])[0]
        [found] = explain_answer(model, {"text": text}, answer)
        assert found.label == answer.chosen[0] and found.words
        top = found.words[:3]
        column = model.labels("label").index(found.label)
        whole = [Piece(0, 0, len(text))]
        without = [cut((text,), whole, Piece(0, word.start, word.end)) for word in top]
        rest = [word for word in _words(text) if word.start not in {item.start for item in found.words}][:3]
        if not rest:
            continue
        controls = [cut((text,), whole, word) for word in rest]
        before, after, neutral = (
            model.scores("label", texts)[:, column].mean() for texts in ([(text,)], without, controls)
        )
        named.append(before - after)
        others.append(before - neutral)
    assert len(named) > 5
    assert np.mean(named) > np.mean(others) + 0.02


def _words(text: str) -> list[Piece]:
    from model.explain.occlusion import pieces_of

    return pieces_of((text,))


def test_the_feature_cache_is_left_alone(tmp_path: Path) -> None:
    cached = CachedEncoder(WordsEncoder(), FeatureCache(tmp_path, 16))
    model = live(spec_of(choices("A", "B")), {"label": samples_of(("good day", "A"), ("bad day", "B"))}, cached)
    [answer] = model.predict([{"text": "good bad night"}])[0]
    before = len(cached.cache)
    explain_answer(model, {"text": "good bad night"}, answer)
    assert len(cached.cache) == before


def test_a_set_is_explained_label_by_label_three_at_most() -> None:
    names = ("A", "B", "C", "D")
    model = cold_start(spec_of(choices(*names, kind=Kind.MULTIPLE)), WordsEncoder())
    ranking = (("D", 0.9), ("A", 0.8), ("B", 0.7), ("C", 0.6))
    found = explain_answer(model, {"text": "A B C D"}, Prediction("label", names, 0.5, ranking))
    assert [one.label for one in found] == ["D", "A", "B"]
    assert explain_answer(model, {"text": "A"}, Prediction("label", (), 0.5)) == []


def test_choices_that_the_task_lists_are_explained() -> None:
    model = cold_start(spec_of(choices("sun", "rain")), WordsEncoder())
    listed = ["rain", "snow", "snow"]
    [[answer]] = model.predict([{"text": "snow and rain snow"}], [{"label": listed}])
    assert answer.chosen == ("snow",)
    [found] = explain_answer(model, {"text": "snow and rain snow"}, answer, listed)
    assert {word.text for word in found.words} == {"snow"}


def test_probing_gives_what_is_served(messages: Messages) -> None:
    model = live(spec_of(messages.control), {"label": messages.samples}, messages.embedder)
    texts = messages.texts[:5]
    np.testing.assert_allclose(model.probe("label", texts), model.scores("label", texts), atol=1e-6)


@pytest.mark.parametrize(("kind", "expected"), [(Kind.SINGLE, 0.8), (Kind.MULTIPLE, 0.4)])
def test_log_odds_count_only_labels_that_may_be_chosen(kind: Kind, expected: float) -> None:
    control = choices("A", "B", kind=kind)
    [[odds]] = label_log_odds(control, ("A", "B", "gone"), np.array([[0.4, 0.1, 0.5]]), ["A"])
    assert 1 / (1 + np.exp(-odds)) == pytest.approx(expected)
    extreme = label_log_odds(control, ("A", "B"), np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]]), ["A"])
    assert np.isfinite(extreme).all()
