"""The head for relations: what it learns, when it is silent, that nothing of it gets lost, and that a text with very
many regions takes neither long nor much."""

from __future__ import annotations

import dataclasses
import json
import random
import time
import tracemalloc

import pytest

from model.encoder.encoder import Encoder
from model.errors import VersionError
from model.features.varied_cache import VariedCache
from model.region import Region, Relation
from model.regions.pair_features import NEIGHBOURS, Ends
from model.regions.relation_fit import LEAST_RELATIONS, RelationExample, fit_relation_head, is_settled
from model.regions.relation_head import MOST_PAIRS, RelationHead, class_of, relation_of, restore_relation_head
from model.spans.features.feature_space import StateScale
from model.spans.features.reading import SpanReader
from tests.support.relation_peers import compare
from tests.support.relation_sets import Related, generated

Shown = list[list[Relation]]


@pytest.fixture(scope="module")
def words(minilm: Encoder, tmp_path_factory: pytest.TempPathFactory) -> SpanReader:
    """No text is read twice."""
    return SpanReader(minilm, None, VariedCache(tmp_path_factory.mktemp("words"), 256))


@pytest.fixture(scope="module")
def head(words: SpanReader) -> RelationHead:
    return fit(words, generated(60, 1))


def fit(reader: SpanReader, known: list[Related], share: float = 1.0, **more: object) -> RelationHead:
    read = reader.read([one.text for one in known])
    examples = [
        RelationExample(text, one.regions, dict.fromkeys(one.relations, share))
        for text, one in zip(read, known, strict=True)
    ]
    return fit_relation_head(examples, StateScale.measure(read, reader.width), **more)  # type: ignore[arg-type]


def shown(reader: SpanReader, head: RelationHead, asked: list[Related]) -> Shown:
    read = reader.read([one.text for one in asked])
    return [[one.relation for one in head.relations(text, own.regions)] for text, own in zip(read, asked, strict=True)]


def test_direction_both_ways_and_several_labels_are_learned(words: SpanReader, head: RelationHead) -> None:
    asked = generated(60, 2)
    found = shown(words, head, asked)
    hits = sum(len(set(own) & set(one.relations)) for own, one in zip(found, asked, strict=True))
    said, wanted = sum(map(len, found)), sum(len(one.relations) for one in asked)
    assert hits / said > 0.9 and hits / wanted > 0.6
    ties = {one for own in found for one in own}
    assert any(one.both_ways for one in ties) and any(one.labels == ("founded", "leads") for one in ties)
    assert {one.source.start < one.target.start for one in ties} == {True, False}
    assert set(head.held_out) == {"precision", "recall", "saved"} and head.held_out["saved"] > 0.3


def test_a_head_is_its_config_and_its_tensors(words: SpanReader, head: RelationHead) -> None:
    again = restore_relation_head(json.loads(json.dumps(head.config())), head.tensors())
    assert dataclasses.replace(again, weights=head.weights) == head
    asked = generated(20, 3)
    for text, one in zip(words.read([one.text for one in asked]), asked, strict=True):
        assert again.relations(text, one.regions) == head.relations(text, one.regions)
    nothing = fit(words, generated(1, 1))
    assert restore_relation_head(nothing.config(), nothing.tensors()) == nothing


@pytest.mark.parametrize("lost", ["classes", "label_pairs", "threshold", "held_out"])
def test_a_head_that_lacks_a_part_is_refused(head: RelationHead, lost: str) -> None:
    config = {name: value for name, value in head.config().items() if name != lost}
    with pytest.raises(VersionError, match="not a head for relations"):
        restore_relation_head(config, head.tensors())  # type: ignore[arg-type]


def test_few_relations_or_relations_at_random_are_kept_to_itself(words: SpanReader) -> None:
    few = fit(words, generated(2, 1))
    assert few.weights is None and LEAST_RELATIONS > 1 and shown(words, few, generated(9, 2)) == [[]] * 9
    assert fit(words, []).weights is None
    draw, odd = random.Random(0), []
    for one in generated(60, 1):
        ties = [Relation(*draw.sample(one.regions, 2), (draw.choice("ab"),)) for _ in one.relations]
        odd.append(Related(one.text, one.regions, tuple(ties)))
    assert sum(map(len, shown(words, fit(words, odd), generated(40, 2)))) <= 4


def test_where_nothing_was_ever_drawn_nothing_is(words: SpanReader, head: RelationHead) -> None:
    """Between labels, in an order, in which nothing was related; also labels and controls that nobody knew."""
    one = generated(1, 5)[0]
    (text,) = words.read([one.text])
    alien = [dataclasses.replace(region, control="other") for region in one.regions]
    assert head.relations(text, alien) == []
    for_two = [dataclasses.replace(region, label="NOBODY") for region in one.regions]
    assert head.relations(text, for_two) == []


def test_no_relation_without_both_its_regions(words: SpanReader, head: RelationHead) -> None:
    """Whatever regions are left: those that touch no word, that stand twice, that are nested, or beyond the text."""
    for one in generated(20, 7):
        (text,) = words.read([one.text])
        for gone in range(len(one.regions)):
            left = [region for at, region in enumerate(one.regions) if at != gone]
            inner = [dataclasses.replace(left[0], end=left[0].start + 3)] if left else []
            blank = one.text.index(" ")
            beyond = [
                Region("label", len(one.text) + 5, len(one.text) + 9, "PERSON"),
                Region("label", blank, blank + 1, "FIRM"),
            ]
            regions = [*left, *left, *inner, *beyond]
            for tie in head.relations(text, regions):
                assert {tie.relation.source, tie.relation.target} <= set(regions)
                assert tie.relation.source != tie.relation.target
            pairs = [frozenset((tie.relation.source, tie.relation.target)) for tie in head.relations(text, regions)]
            assert len(pairs) == len(set(pairs)), "one relation a pair"


def test_of_a_text_that_is_read_in_part_only_what_was_read_is_related(words: SpanReader, head: RelationHead) -> None:
    one = max(generated(40, 2), key=lambda own: len(own.text))
    (text,) = words.read([one.text])
    assert head.relations(text, one.regions)
    for count in range(len(text.bounds)):
        part = text.upto(count)
        end = part.bounds[-1][1] if len(part.bounds) else 0
        for tie in head.relations(part, one.regions):
            assert max(tie.relation.source.start, tie.relation.target.start) < end


def test_both_regions_may_be_on_the_same_words(words: SpanReader) -> None:
    """One marked by two controls, and related to itself under the other name."""
    known = []
    for one in generated(40, 1):
        twins = [dataclasses.replace(region, control="other") for region in one.regions if region.label == "FIRM"]
        ties = [Relation(dataclasses.replace(twin, control="label"), twin, ("same",)) for twin in twins]
        known.append(Related(one.text, tuple(sorted((*one.regions, *twins))), tuple(ties)))
    found = shown(words, fit(words, known[:30]), known[30:])
    assert {one for own in found for one in own} == {one for own in known[30:] for one in own.relations}


def test_relations_that_only_some_draw_teach_as_far_as_they_are_believed(words: SpanReader) -> None:
    doubted = fit(words, generated(60, 1), share=0.3)
    assert sum(map(len, shown(words, doubted, generated(30, 2)))) == 0, "most said that there are none"


def test_what_is_drawn_to_a_region_that_is_not_there_is_passed_over(words: SpanReader) -> None:
    known = generated(30, 1)
    ghost = Region("label", 2, 5, "GHOST")
    odd = [
        Related(one.text, one.regions, (*one.relations, Relation(ghost, one.regions[0]), Relation(ghost, ghost)))
        for one in known
    ]
    assert fit(words, odd).config() == fit(words, known).config()


def test_a_class_says_direction_and_labels_whatever_the_labels_hold() -> None:
    first, second = Region("label", 0, 3, "A"), Region("label", 5, 9, "B")
    for labels in ((), ("a",), ("a", "b"), ("a/b", "\\", "ü>")):
        for source, target in ((first, second), (second, first)):
            for both in (False, True):
                one = Relation(source, target, tuple(sorted(labels)), both)
                again = relation_of(class_of(one, first), first, second)
                assert again.labels == one.labels and again.both_ways == both
                assert both or (again.source, again.target) == (source, target)


def test_choices_are_kept_until_there_are_a_quarter_more(words: SpanReader, head: RelationHead) -> None:
    assert is_settled(head) and not is_settled(dataclasses.replace(head, pairs=head.searched * 2))
    assert fit(words, generated(60, 1), previous=head, repeat=True).config() == head.config()


@pytest.mark.long
def test_a_text_with_a_thousand_regions_takes_neither_long_nor_much(words: SpanReader, head: RelationHead) -> None:
    notes = generated(160, 11)
    text, regions, ties = "", list[Region](), list[Relation]()
    for one in notes:
        moved = {
            own: dataclasses.replace(own, start=own.start + len(text), end=own.end + len(text)) for own in one.regions
        }
        regions += moved.values()
        ties += [dataclasses.replace(tie, source=moved[tie.source], target=moved[tie.target]) for tie in one.relations]
        text += one.text + " "
    assert len(regions) > 1000
    (read,) = words.read([text])
    ends = Ends.of(read, regions)
    assert len(ends.pairs()) <= NEIGHBOURS * len(regions)
    tracemalloc.start()
    began = time.process_time()
    found = head.relations(read, regions)
    spent, (_, peak) = time.process_time() - began, tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert spent < 20 and peak < 200 * 2**20, (spent, peak)
    assert found and len(found) <= MOST_PAIRS
    began = time.process_time()
    fit(words, [Related(text, tuple(regions), tuple(ties)), *generated(10, 1)])
    assert time.process_time() - began < 60


@pytest.mark.parametrize("count", [3, 6, 12, 40])
def test_what_is_shown_in_texts_held_out_saves_clicks_or_costs_none(words: SpanReader, count: int) -> None:
    for seed in (1, 21):
        asked = generated(60, 2)
        figures = compare(shown(words, fit(words, generated(count, seed)), asked), [one.relations for one in asked])
        assert figures["saved"] >= 0, figures
    assert count < 40 or figures["saved"] > 0.5
