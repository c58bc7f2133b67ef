"""A base model with a question-answering head: its scores are those of `transformers`, and serve from the first on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from model.encoder.encoder import Encoder
from model.features.varied_cache import VariedCache
from model.questions.fit import QuestionBasis, cold_question_head
from model.questions.reading import QuestionReader
from model.spans.features.feature_space import StateScale
from model.spans.features.reading import SpanReader
from tests.support.questions import asked, write_answering_base


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_answering_base(tmp_path_factory.mktemp("taught"))


@pytest.fixture(scope="module")
def encoder(directory: Path) -> Encoder:
    return Encoder(directory)


def by_transformers(directory: Path, question: str, passage: str) -> tuple[dict[tuple[int, int], Any], float]:
    """Piece of a passage -> its two scores; and the score of no answer; the windows put together as they are there."""
    import torch
    from transformers import AutoTokenizer, BertForQuestionAnswering

    tokenizer = AutoTokenizer.from_pretrained(directory)
    model = BertForQuestionAnswering.from_pretrained(directory).eval()
    windows = tokenizer(
        question,
        passage,
        truncation="only_second",
        max_length=64,
        stride=16,
        return_overflowing_tokens=True,
        return_offsets_mapping=True,
    )
    found: dict[tuple[int, int], Any] = {}
    none = np.inf
    for place, ids in enumerate(windows["input_ids"]):
        types = windows["token_type_ids"][place]
        with torch.inference_mode():
            out = model(torch.tensor([ids]), token_type_ids=torch.tensor([types]))
        scores = np.stack([out.start_logits[0].numpy(), out.end_logits[0].numpy()], axis=1)
        none = min(none, float(scores[0].sum()))
        for row, offsets, sequence in zip(
            scores, windows["offset_mapping"][place], windows.sequence_ids(place), strict=True
        ):
            if sequence == 1:
                known = found.get(tuple(offsets))
                found[tuple(offsets)] = row if known is None else np.maximum(known, row)
    return found, none


def test_its_scores_are_those_of_transformers_also_over_windows(directory: Path, encoder: Encoder) -> None:
    short = asked(2)
    long = " ".join(one.text for one in asked(24)[::4])
    pairs = [(one.text, one.question) for one in short] + [(long, short[0].question), ("Yes.", "Who?")]
    for (passage, question), own in zip(pairs, encoder.answers(pairs), strict=True):
        expected, none = by_transformers(directory, question, passage)
        assert own.none == pytest.approx(none, abs=0.05)
        assert list(own.offsets) == sorted(expected)
        for offsets, row in zip(own.offsets, own.scores, strict=True):
            assert row == pytest.approx(expected[offsets], abs=0.05)


def test_nothing_asked_of_nothing_is_answered(encoder: Encoder) -> None:
    for own in encoder.answers([("", "Who?"), ("Yes.", ""), ("", ""), ("\u200b", "w" * 900)]):
        assert own.scores.shape == (len(own.offsets), 2) and np.isfinite(own.none)


def test_it_serves_from_the_first_task_and_from_the_cache(encoder: Encoder, tmp_path: Path) -> None:
    reader = QuestionReader(SpanReader(encoder, None, VariedCache(tmp_path, 16)))
    assert reader.is_taught
    pairs = [(one.text, one.question) for one in asked(8)]
    texts = reader.read(pairs)
    scale = StateScale.measure([one.passage for one in texts], reader.words.width)
    head = cold_question_head(QuestionBasis(("Answer",), scale, None, taught=True))
    for text, own in zip(texts, head.best(texts), strict=True):
        taught = text.taught
        assert taught is not None
        scores = taught.scores[:, 0][:, None] + taught.scores[:, 1][None]
        possible = [(i, j) for i in range(len(scores)) for j in range(i, min(len(scores), i + head.longest))]
        best = max(possible, key=lambda place: scores[place])
        assert (own[0].span.first, own[0].span.last) == best
        total = np.logaddexp.reduce([*(scores[place] for place in possible), taught.none])
        assert own[0].none == pytest.approx(np.exp(taught.none - total), abs=1e-3)
    again = QuestionReader(SpanReader(encoder, None, reader.words.cache)).read(pairs)
    for one, other in zip(texts, again, strict=True):
        assert one.taught is not None and other.taught is not None
        assert np.array_equal(one.taught.scores, other.taught.scores)


def test_an_encoder_without_such_a_head_is_not_taught(minilm: Encoder) -> None:
    assert minilm.answering is None and not QuestionReader(SpanReader(minilm)).is_taught
