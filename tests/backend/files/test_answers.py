"""No row fails the others, and many that fail leave no more than a few lines in the log."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from backend.files.answers import TOLD_ROWS, RowAnswerer
from model.head.fit import fit_heads
from model.spec import Text
from model.versions.live_model import LiveModel
from tests.support.encoders import WordsEncoder, choices, samples_of, spec_of


class Failing(WordsEncoder):
    def embed(self, texts: Sequence[Text]) -> NDArray[np.float32]:
        if any("bad" in text[0] for text in texts):
            raise ValueError("nobody can read this")
        return super().embed(texts)


def test_rows_that_fail_are_told_of_and_few_of_them_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    encoder, spec = Failing(), spec_of(choices("sun", "rain"))
    heads = fit_heads(spec, {"label": samples_of(("warm", "sun"), ("dry", "sun"), ("wet", "rain"))}, [], encoder)
    answerer = RowAnswerer(LiveModel("v1", spec, heads, encoder), 1000, 0.0)
    with caplog.at_level(logging.ERROR):
        answers = answerer.answer([{"text": f"{'bad' if n % 2 else 'good'} {n}"} for n in range(20)])
    assert [one.problem for one in answers] == ["", "it was not answered: ValueError"] * 10
    assert all(one.answer in ("sun", "rain") for one in answers[::2])
    assert len(caplog.records) == TOLD_ROWS
