"""Heads for questions about regions: what they learn, when they are silent, and that nothing of them gets lost."""

from __future__ import annotations

import dataclasses
import random

import numpy as np
import pytest

from model.encoder.encoder import Encoder
from model.errors import VersionError
from model.features.varied_cache import VariedCache
from model.labels import key_of
from model.region import Region
from model.regions.closed_answers import close_answers
from model.regions.region_features import RegionPlace, dense_features, hand_features
from model.regions.region_fit import LEAST_REGIONS, RegionExample, fit_region_head, is_settled
from model.regions.region_head import NEVER, RegionHead, restore_region_head
from model.regions.region_reading import read_regions
from model.spans.features.feature_space import StateScale
from model.spans.features.reading import SpanReader
from model.spans.features.stretches import LONG_TEXT, STRETCH
from model.spec import NONE

FRAMES = {"present": ("She has {}.", "He came in with {} today."), "absent": ("He denies {}.", "No sign of {} today.")}
FINDINGS = ("fever", "a cough", "nausea", "rash", "pain", "fatigue")


@pytest.fixture(scope="module")
def words(minilm: Encoder, tmp_path_factory: pytest.TempPathFactory) -> SpanReader:
    """No text is read twice."""
    return SpanReader(minilm, None, VariedCache(tmp_path_factory.mktemp("words"), 256))


def places(reader: SpanReader, count: int, seed: int = 0) -> list[tuple[RegionPlace, str]]:
    """Regions of different texts with what is right about them."""
    draw, texts, answers, found = random.Random(seed), [], [], []
    for number in range(count):
        answer, finding = draw.choice(sorted(FRAMES)), draw.choice(FINDINGS)
        frame = f"Note {seed} {number}. {draw.choice(FRAMES[answer])}"
        texts.append(frame.format(finding))
        at = frame.index("{}")
        answers.append((Region("label", at, at + len(finding), "FINDING"), answer))
    for text, (region, answer) in zip(reader.read(texts), answers, strict=True):
        found.append((RegionPlace(text, region), answer))
    return found


def fit(reader: SpanReader, known: list[tuple[RegionPlace, str]], **more: object) -> RegionHead:
    scale = StateScale.measure([place.text for place, _ in known], reader.width)
    examples = [RegionExample(place, {answer: 1.0}) for place, answer in known]
    return fit_region_head("q", ("present", "absent"), False, examples, scale, **more)  # type: ignore[arg-type]


def test_the_words_around_a_region_decide_where_its_own_do_not(words: SpanReader) -> None:
    head, asked = fit(words, places(words, 40)), places(words, 60, 1)
    answers = head.answers([place for place, _ in asked])
    right = [one is not None and one.chosen == (answer,) for one, (_, answer) in zip(answers, asked, strict=True)]
    assert np.mean(right) > 0.9
    assert set(head.held_out) == {"accuracy", "shown", "precision", "saved"} and head.held_out["saved"] > 0.5


def test_a_head_is_its_config_and_its_tensors(words: SpanReader) -> None:
    head, asked = fit(words, places(words, 30)), [place for place, _ in places(words, 20, 1)]
    again = restore_region_head(head.config(), head.tensors())
    assert again.answers(asked) == head.answers(asked) and again.config() == head.config()
    empty = RegionHead("q")
    assert restore_region_head(empty.config(), {}).answers(asked) == [None] * 20
    with pytest.raises(VersionError):
        restore_region_head({"control": "q"}, {})  # type: ignore[typeddict-item]


def test_few_answers_or_answers_at_random_are_kept_to_itself(words: SpanReader) -> None:
    known = places(words, LEAST_REGIONS - 1)
    assert fit(words, known).weights is None
    draw = random.Random(5)
    by_chance = [(place, draw.choice(["present", "absent"])) for place, _ in places(words, 60)]
    head = fit(words, by_chance)
    shown = [one for one in head.answers([place for place, _ in places(words, 50, 1)]) if one is not None]
    assert len(shown) <= 15


def test_a_question_with_one_answer_and_blanks_is_learned_and_blank_is_nothing_to_show(words: SpanReader) -> None:
    known = [(place, answer if answer == "absent" else NONE) for place, answer in places(words, 40)]
    head, asked = fit(words, known), places(words, 40, 1)
    assert head.labels == ("absent", NONE)
    answers = head.answers([place for place, _ in asked])
    assert all(one is None or one.chosen == ("absent",) for one in answers)
    assert sum((one is not None) == (answer == "absent") for one, (_, answer) in zip(answers, asked, strict=True)) > 34
    always = fit(words, [(place, "absent") for place, _ in places(words, 20)])
    assert [one.chosen for one in always.answers([asked[0][0]]) if one] == [("absent",)]


def test_sets_are_shown_whole(words: SpanReader) -> None:
    known = places(words, 60)
    scale = StateScale.measure([place.text for place, _ in known], words.width)
    of = {"present": {"now": 1.0, "seen": 1.0}, "absent": {}}
    examples = [RegionExample(place, of[answer]) for place, answer in known]
    head, asked = fit_region_head("q", ("now", "seen", "never"), True, examples, scale), places(words, 40, 1)
    assert head.labels == ("now", "seen") and head.several
    answers = head.answers([place for place, _ in asked])
    assert all(one is None or set(one.chosen) <= {"now", "seen"} for one in answers)
    assert sum((one is not None) == (answer == "present") for one, (_, answer) in zip(answers, asked, strict=True)) > 34


def test_free_text_is_learned_where_it_repeats_however_it_is_written() -> None:
    fever, other = key_of(["R50"]), key_of(["only once"])
    found = close_answers([{fever: 1.0}, {key_of(["r50"]): 1.0}, {fever: 0.5, NONE: 0.5}, {other: 1.0}])
    assert found == [{fever: 1.0}, {fever: 1.0}, {fever: 0.5, NONE: 0.5}, {NONE: 1.0}]


def test_choices_of_large_heads_are_kept_until_there_are_a_quarter_more(words: SpanReader) -> None:
    head = fit(words, places(words, 40))
    grown = dataclasses.replace(head, searched=30)
    assert is_settled(head) and not is_settled(grown)
    again = fit(words, places(words, 48), previous=head, repeat=True)
    assert again.searched == 48, "small ones are searched each time"


def test_regions_that_touch_no_word_have_features_too(words: SpanReader) -> None:
    (text,) = words.read(["  hm  "])
    place = RegionPlace(text, Region("label", 0, 1, "X"))
    scale = StateScale.measure([text], words.width)
    assert dense_features([place], scale).shape == (1, 4 * words.width) and len(hand_features([place]).codes)
    assert RegionHead("q").threshold == NEVER


def test_of_long_texts_the_stretches_that_hold_regions_are_read_and_look_like_the_whole(
    words: SpanReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    head = fit(words, places(words, 40))
    parts = [f"Note {number}. {FRAMES['absent' if number % 3 else 'present'][number % 2]}" for number in range(900)]
    text, regions = "", list[Region]()
    for number, part in enumerate(parts):
        at = len(text) + part.index("{}")
        text += part.format("fever") + " "
        regions += [Region("label", at, at + 5, "FINDING")] if number % 50 == 7 else []
    assert len(text) > LONG_TEXT + STRETCH
    [whole] = words.read([text])
    asked = [RegionPlace(whole, region) for region in regions]
    found = read_regions(
        words, [("She has fever.", Region("label", 8, 13, "FINDING")), *((text, own) for own in regions)]
    )
    assert found[0] is not None and found[0].text.text == "She has fever."
    own = [place for place in found[1:] if place is not None]
    assert len(own) == len(regions) and all(len(place.text.text) < 2 * STRETCH for place in own)
    assert [place.text.text[place.region.start : place.region.end] for place in own] == ["fever"] * len(own)
    np.testing.assert_array_equal(hand_features(own).codes, hand_features(asked).codes)
    scale = StateScale.measure([whole], words.width)
    near = np.abs(dense_features(own, scale) - dense_features(asked, scale)).max(1)
    assert np.median(near) < 0.05
    answers = [one.chosen if one is not None else () for one in head.answers(own)]
    assert answers == [one.chosen if one is not None else () for one in head.answers(asked)]
    monkeypatch.setattr("model.regions.region_reading.MOST_WORDS", 1)
    kept = [place is not None for place in read_regions(words, [(text, own) for own in regions])]
    assert kept[-1] and not kept[0] and kept == sorted(kept), "those of the last stretch"
    assert read_regions(words, [(text, Region("label", len(text) + 5, len(text) + 9, "X"))]) == [None]
