"""Before any label: how sure names are of texts that the encoder's vocabulary does not know."""

from __future__ import annotations

import csv

import pytest

from model.encoder.encoder import Encoder
from model.features.long_texts import LabelAwarePooling
from model.head.fit import fit_head
from model.head.zero_shot import UNIFORM_SHARE, UNREAD_FROM, UNREAD_SHARE, uniform_share
from tests.support.encoders import WordsEncoder, choices
from tests.support.rig import ROOT

CONTROL = choices("delivery", "refund", "password", "praise")

with (ROOT / "tests" / "support" / "messages_in_languages.csv").open(newline="", encoding="utf-8") as file:
    ROWS = list(csv.DictReader(file))

ENGLISH = [("Where is my parcel, it should have come on Monday?",), ("I want my money back for the broken lamp",)]
UNREAD, READ = ("ar", "he", "hi", "th"), ("de", "es")


def texts_in(language: str) -> list[tuple[str, ...]]:
    return [(row["text"],) for row in ROWS if row["language"] == language]


def test_a_vocabulary_tells_which_letters_it_does_not_know(minilm: Encoder) -> None:
    shares = {language: minilm.unread_share(texts_in(language)) for language in (*UNREAD, *READ)}
    assert min(shares[one] for one in UNREAD) > 0.8 and max(shares[one] for one in READ) < 0.2, shares
    assert minilm.unread_share(ENGLISH) < 0.05
    assert minilm.unread_share([("한국어로 쓴 글",)]) > 0.8, "syllables in pieces"
    mixed = minilm.unread_share([*texts_in("th"), *ENGLISH])
    assert minilm.unread_share(ENGLISH) < mixed < shares["th"]
    assert LabelAwarePooling(minilm, CONTROL).unread_share(texts_in("th")) == shares["th"], "the same when asked again"


@pytest.mark.parametrize("texts", [[], [("",)], [("123 !? 🙂",)], [("\u0301",)], [("a", "b")]])
def test_texts_without_words_are_not_said_to_be_unread(minilm: Encoder, texts: list[tuple[str, ...]]) -> None:
    assert minilm.unread_share(texts) == 0


@pytest.mark.parametrize("language", UNREAD)
def test_names_are_hardly_sure_of_them(minilm: Encoder, language: str) -> None:
    texts = texts_in(language)
    head = fit_head(CONTROL, [], [{"text": text} for (text,) in texts], minilm)
    assert head.reference.uniform_share > 0.5
    assert head.scores(texts, minilm.embed(texts)).max(1).mean() < 0.4, "a guess among four is right in .25"


@pytest.mark.parametrize("language", READ)
def test_and_as_sure_as_ever_of_others(minilm: Encoder, language: str) -> None:
    pool = [{"text": text} for (text,) in texts_in(language)]
    assert fit_head(CONTROL, [], pool, minilm).reference.uniform_share == UNIFORM_SHARE


def test_an_encoder_that_cannot_tell_is_believed() -> None:
    assert WordsEncoder().unread_share(texts_in("th")) == 0


def test_the_share_of_a_guess_rises_to_its_end() -> None:
    assert uniform_share(0.1, 0.0) == uniform_share(0.1, UNREAD_FROM) == 0.1
    assert uniform_share(0.1, 1.0) == pytest.approx(0.1 + 0.9 * UNREAD_SHARE)
    found = [uniform_share(0.5, step / 20) for step in range(21)]
    assert found == sorted(found) and found[-1] < 1
