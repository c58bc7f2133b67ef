"""What decided for a span: differences of scores dealt out to groups, against all sequences of tags there are."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise, product

import numpy as np
import pytest

from model.explain.feature_words import FREQUENCY, describe, group_of
from model.explain.mark_contrast import LABEL_NAME, MEANING, MOST_FEATURES, ORDER, PATTERNS, ScoredText
from model.spans.chain.span_probabilities import label_probabilities, span_probabilities
from model.spans.chain.tags import WordSpan
from model.spans.features.hand_features import NAMES
from model.spans.head.head import SpanHead
from model.spans.patterns.lexicon import build_lexicon
from model.spans.patterns.pattern import Pattern
from tests.model.spans.conftest import sentences
from tests.support.span_learner import SpanLearner

TEXT = "Ann Miller likes Oslo."


@pytest.fixture(scope="module")
def head(learner: SpanLearner) -> SpanHead:
    return learner.fit(sentences(32))


def scored(learner: SpanLearner, head: SpanHead, text: str = TEXT) -> ScoredText:
    return ScoredText(head, learner.embed([text])[0])


def best_score(own: ScoredText, wanted: WordSpan | None, span: WordSpan) -> float:
    """The largest score of all sequences that hold `wanted`; of those that leave the words of `span` unmarked."""
    tags, potentials = own.head.chain.tags, own.head.chain.potentials
    best = -np.inf
    for path in product(range(tags.size), repeat=len(own.scores)):
        if not tags.starts[path[0]] or not all(tags.allowed[a, b] for a, b in pairwise(path)):
            continue
        marks = tags.decode(path)
        fits = wanted in marks if wanted else not any(path[span.first : span.last + 1])
        if fits:
            total = sum(float(own.scores[word, tag]) for word, tag in enumerate(path))
            total += sum(float(potentials.transitions[a, b]) for a, b in pairwise(path))
            best = max(best, total + float(potentials.begin[path[0]] + potentials.end[path[-1]]))
    return best


@pytest.mark.parametrize(
    ("span", "rival"),
    [
        (WordSpan(0, 1, "PER"), None),
        (WordSpan(3, 3, "LOC"), None),
        (WordSpan(0, 1, "LOC"), WordSpan(0, 1, "PER")),
        (WordSpan(0, 0, "PER"), WordSpan(0, 1, "PER")),
        (WordSpan(1, 2, "PER"), WordSpan(0, 1, "PER")),
        (WordSpan(2, 4, "LOC"), WordSpan(3, 3, "LOC")),
        (WordSpan(2, 2, "LOC"), None),
    ],
)
def test_the_groups_add_up_to_the_difference_of_both_best_readings(
    learner: SpanLearner, head: SpanHead, span: WordSpan, rival: WordSpan | None
) -> None:
    own = scored(learner, head)
    found = own.contrast(span, rival)
    assert found.difference == pytest.approx(best_score(own, span, span) - best_score(own, rival, span), abs=2e-3)
    sizes = [abs(score) for score in found.groups.values()]
    assert sizes == sorted(sizes, reverse=True)
    assert {MEANING, LABEL_NAME, ORDER, "shape", "neighbours"} <= set(found.groups)
    assert [abs(one.score) for one in found.features] == sorted(abs(one.score) for one in found.features)[::-1]


def test_a_feature_that_is_taken_away_costs_what_is_said_of_it(learner: SpanLearner, head: SpanHead) -> None:
    own, span = scored(learner, head), WordSpan(0, 1, "PER")
    found = own.contrast(span, None)
    assert len(found.features) == MOST_FEATURES
    for one in found.features[:5]:
        code = own.table[one.word, NAMES.index(one.name)]
        place = int(np.searchsorted(head.space.known, code))
        assert head.space.known[place] == code
        kept = np.delete(head.chain.weights.sparse, place, axis=0)
        less = replace(
            head,
            space=replace(head.space, known=np.delete(head.space.known, place)),
            chain=replace(head.chain, weights=replace(head.chain.weights, sparse=kept)),
        )
        after = scored(learner, less).contrast(span, None)
        same = [other.score for other in found.features if own.table[other.word, NAMES.index(other.name)] == code]
        assert found.difference - after.difference == pytest.approx(sum(same), abs=1e-3), one


def test_a_long_text_is_compared_around_the_span(learner: SpanLearner, head: SpanHead) -> None:
    own = scored(learner, head, "It rains. " * 40 + TEXT + " It rains." * 40)
    alone = scored(learner, head, "It rains. " * 10 + TEXT + " It rains." * 10)
    assert own.contrast(WordSpan(120, 121, "PER"), None).difference == pytest.approx(
        alone.contrast(WordSpan(30, 31, "PER"), None).difference, abs=2.0
    )


def test_the_probability_of_one_span_is_that_of_the_search(learner: SpanLearner, head: SpanHead) -> None:
    own = scored(learner, head)
    lattice, tags = head.chain.lattice_of(own.scores, [5]), head.chain.tags
    found = span_probabilities(lattice, tags, 5, 1e-9)[0]
    assert len(found) > 10
    for one in found:
        said = label_probabilities(lattice, tags, one.first, one.last)
        assert float(said[one.label]) == pytest.approx(one.probability, abs=1e-6)


def test_every_kind_of_feature_has_a_group_and_words(learner: SpanLearner) -> None:
    text = learner.embed(["In re-Paris!"])[0]
    said = {name: describe(name, text, 1) for name in NAMES}
    assert said["word"] == 'word "re"' and said["affix 0"] == 'begins with "r"' and said["affix 4"] == 'ends in "e"'
    assert said["glued"] == "touches the next word" and said["shape"] == "shape x+"
    assert said["word -1"] == 'before: "in"' and said["words 1"] == 'pair "re -"'
    assert said["edge -2"] == "two before: the beginning of the text" and said["shapes"] == "shapes Xx x+ -"
    assert {group_of(name) for name in NAMES} == {"word", "affixes", "shape", "touching", "neighbours", FREQUENCY}
    for word in range(len(text.bounds)):
        assert all(describe(name, text, word) for name in NAMES)


def test_patterns_have_a_group_and_words_of_their_own_in_the_sum(learner: SpanLearner) -> None:
    lexicon = build_lexicon(
        [Pattern("PER", "Ann Miller"), Pattern("LOC", "Os.o", is_regex=True), Pattern("LOC", "Ann")]
    )
    listed = replace(learner, basis=replace(learner.basis, lexicon=lexicon))
    own = scored(listed, listed.fit(sentences(32)))
    for span, rival in ((WordSpan(0, 1, "PER"), None), (WordSpan(3, 3, "LOC"), None), (WordSpan(0, 0, "LOC"), None)):
        found = own.contrast(span, rival)
        expected = best_score(own, span, span) - best_score(own, rival, span)
        assert found.difference == pytest.approx(expected, abs=1e-3) and found.groups[PATTERNS]
        said = [one for one in found.features if one.group == PATTERNS]
        assert sum(one.score for one in said) == pytest.approx(found.groups[PATTERNS], abs=1e-3)
    assert {one.what for one in own.contrast(WordSpan(3, 3, "LOC"), None).features if one.group == PATTERNS} == {
        "matches Os.o of LOC"
    }
    plain = scored(learner, learner.fit(sentences(32))).contrast(WordSpan(0, 1, "PER"), None)
    assert PATTERNS not in plain.groups
