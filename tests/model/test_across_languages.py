"""English label names, and texts in eight languages, read by multilingual-e5-small at 4 bits.

`make languages` fetches it and runs these tests; CI does. Without it they are skipped: it lies in no repository, and
tests fetch nothing.
"""

from __future__ import annotations

import csv

import numpy as np
import pytest

from backend.base_model.languages import find_languages
from model.encoder import windows
from model.encoder.encoder import Encoder, find_base_model
from model.encoder.windows import read_tokenizer
from model.head.fit import fit_head
from tests.support.encoders import Floats, choices, samples_of
from tests.support.rig import ROOT

ENCODER = ROOT / ".encoders" / "multilingual"

pytestmark = pytest.mark.skipif(not (ENCODER / "model.safetensors").is_file(), reason="`make languages` fetches it")

NAMES = ("delivery", "refund", "password", "praise")
CONTROL = choices(*NAMES)

with (ROOT / "tests" / "support" / "messages_in_languages.csv").open(newline="", encoding="utf-8") as file:
    ROWS = list(csv.DictReader(file))

LANGUAGES = list(dict.fromkeys(row["language"] for row in ROWS))
TEXTS = [(row["text"],) for row in ROWS]
POOL = [{"text": text} for (text,) in TEXTS]


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return Encoder(ENCODER)


@pytest.fixture(scope="module")
def features(encoder: Encoder) -> Floats:
    return encoder.embed(TEXTS)


def accuracies(scores: Floats) -> dict[str, float]:
    """By language."""
    right = np.array([NAMES[best] == row["label"] for best, row in zip(scores.argmax(1), ROWS, strict=True)])
    return {one: float(right[[row["language"] == one for row in ROWS]].mean()) for one in LANGUAGES}


def test_english_names_sort_a_pool_of_eight_languages_before_any_label(encoder: Encoder, features: Floats) -> None:
    head = fit_head(CONTROL, [], POOL, encoder)
    found = accuracies(head.scores(TEXTS, features))
    assert len(found) == 8 and min(found.values()) > 0.8, found
    english = Encoder(find_base_model())
    unread = accuracies(fit_head(CONTROL, [], POOL, english).scores(TEXTS, english.embed(TEXTS)))
    assert np.mean([*unread.values()]) < 0.6, "else these texts tell nothing"


@pytest.mark.parametrize("language", LANGUAGES)
def test_so_they_do_a_pool_of_one_language(language: str, encoder: Encoder, features: Floats) -> None:
    own = [row["language"] == language for row in ROWS]
    pool = [document for document, is_own in zip(POOL, own, strict=True) if is_own]
    assert accuracies(fit_head(CONTROL, [], pool, encoder).scores(TEXTS, features))[language] > 0.8


def test_labels_of_one_language_teach_the_others(encoder: Encoder, features: Floats) -> None:
    known = samples_of(*[(row["text"], row["label"]) for row in ROWS if row["language"] == "de"])
    found = accuracies(fit_head(CONTROL, known, POOL, encoder).scores(TEXTS, features))
    assert min(found.values()) > 0.8, found


def test_its_vocabulary_reads_each_script(monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = read_tokenizer(ENCODER)  # two seconds
    monkeypatch.setattr(windows, "read_tokenizer", lambda _: tokenizer)
    for language in ("de", "ru", "hi", "th", "zh"):
        texts = [row["text"] for row in ROWS if row["language"] == language]
        found = find_languages("some/encoder", ENCODER, texts * 2, 24)
        assert not found.is_unread and set(found.languages) == {language}, found
