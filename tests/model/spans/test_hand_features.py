"""Hand features: numbers that say the same wherever they are computed, and nothing across texts."""

from __future__ import annotations

import numpy as np

from model.spans.features.hand_features import choose_features, feature_matrix, hand_features
from model.spans.features.reading import ReadText
from model.spans.words import find_words


def unread(text: str) -> ReadText:
    nothing = np.zeros((len(find_words(text)), 0), np.float16)
    return ReadText(text, find_words(text), nothing, nothing)


def features_of(*texts: str) -> list[set[int]]:
    """Of each word in turn."""
    found = hand_features([unread(text) for text in texts])
    return [set(part.tolist()) for part in np.split(found.codes, found.ends[:-1])] if len(found.ends) else []


def test_texts_do_not_see_each_other() -> None:
    together = features_of("Ann met Bob.", "", "Oslo", "It rains")
    assert together == [*features_of("Ann met Bob."), *features_of("Oslo"), *features_of("It rains")]


def test_the_number_of_a_feature_never_changes() -> None:
    # Heads on disk know features by these numbers.
    assert min(features_of("Oslo")[0]) == 573941885396916281


def test_words_share_what_they_have_in_common() -> None:
    ann, met, bob = features_of("Ann met Bob")
    other_ann, *_ = features_of("Ann sees Bob")
    assert len(ann & other_ann) > len(ann & bob) > 0
    assert len(ann) > 15 and not met <= ann


def test_a_capital_is_seen_and_a_text_in_capitals_says_so() -> None:
    (lower,), (upper,) = features_of("oslo"), features_of("Oslo")
    assert lower != upper and len(lower & upper) >= 8  # word and affixes
    quiet, loud = features_of("Oslo NATO xy ab")[1], features_of("OSLO NATO XY AB")[1]
    assert quiet != loud


def test_glued_words_differ_from_spaced_ones() -> None:
    assert features_of("a-b")[1] != features_of("a - b")[1]


def test_nothing_is_read_as_nothing() -> None:
    found = hand_features([unread(""), unread("  ")])
    assert len(found.codes) == len(found.ends) == 0
    assert feature_matrix(found, choose_features(found, 1)).shape == (0, 0)


def test_the_matrix_has_the_known_features_alone() -> None:
    found = hand_features([unread("Ann met Ann")])
    known = choose_features(found, 2)
    matrix = feature_matrix(found, known)
    assert matrix.shape == (3, len(known)) and 0 < len(known) < len(choose_features(found, 1))
    words = np.split(found.codes, found.ends[:-1])
    for row, codes in zip(matrix.toarray(), words, strict=True):
        np.testing.assert_array_equal(known[row > 0], np.intersect1d(codes, known))
    elsewhere = feature_matrix(hand_features([unread("zzz 99")]), known)
    assert elsewhere.shape == (2, len(known)) and elsewhere.nnz < 12
