"""The two texts of a Pairwise are compared: turned round, the answer turns round."""

from __future__ import annotations

import numpy as np
import pytest

from model.features.long_texts import LabelAwarePooling
from model.head.fit import fit_heads
from model.spec import Control, Kind, Label, Sample, Text
from model.versions.live_model import LiveModel
from tests.support.encoders import WordsEncoder, choices, spec_of

SIDES = (Label(("left",), "left"), Label(("right",), "right"))
PAIRWISE = Control("pw", Kind.SINGLE, ("one", "two"), SIDES, "Pairwise")
TOPIC = choices("cats", "dogs", name="topic", inputs=("one", "two"))


def pairs(count: int) -> list[tuple[Text, str]]:
    """Cats win against dogs, whichever stands first."""
    texts = [(f"cats n{index}", f"dogs n{index + 3}") for index in range(count)]
    return [(pair, "left") if index % 2 else (pair[::-1], "right") for index, pair in enumerate(texts)]


def test_features_change_their_sign_with_the_order() -> None:
    reader = LabelAwarePooling(WordsEncoder(), PAIRWISE)
    there, back, same = reader.embed([("cats sleep", "dogs"), ("dogs", "cats sleep"), ("dogs", "dogs")])
    assert np.abs(there).max() > 0.1
    assert there == pytest.approx(-back) and not same.any()
    assert reader.parts_of(("a", "b")) == [("a",), ("b",)]


def test_which_of_two_texts_is_chosen_is_learned() -> None:
    samples = [Sample(task, text, {side: 1.0}) for task, (text, side) in enumerate(pairs(24))]
    spec = spec_of(PAIRWISE, TOPIC)
    heads = fit_heads(spec, {"pw": samples}, [], WordsEncoder())
    model = LiveModel("v0.1", spec, heads, WordsEncoder())
    shown = pairs(40)[24:]
    answers = model.predict([{"one": text[0], "two": text[1]} for text, _ in shown])
    assert [row[0].chosen for row in answers] == [(side,) for _, side in shown]
    assert all([one.control for one in row] == ["pw", "topic"] for row in answers)
