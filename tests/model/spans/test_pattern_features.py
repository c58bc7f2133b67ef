"""Patterns in the head: a sign among others, that helps from the first text on and cannot hurt for long."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from model.encoder.encoder import Encoder
from model.errors import VersionError
from model.span import Span, SpanDocument
from model.spans.features.hand_features import hand_features
from model.spans.features.pattern_features import Hits, PatternTrust, all_features, match_codes
from model.spans.features.reading import SpanReader
from model.spans.head.fit import fit_span_head
from model.spans.head.fit_layers import fit_layered_head
from model.spans.head.head import F1, SpanHead, restore_span_head
from model.spans.head.pattern_report import report_patterns
from model.spans.patterns.lexicon import Lexicon, build_lexicon
from model.spans.patterns.pattern import Pattern
from model.spans.quality import measure
from tests.model.spans.conftest import PEOPLE, PLACES, mark, sentences
from tests.support.span_learner import SpanLearner

THINGS = ("blue lamp", "old chair", "paper cup", "iron gate", "wool hat", "glass jar", "clay pot", "steel pan")
"""Nothing that a name of a label would tell."""


def thing_sentences(count: int, offset: int = 0) -> list[SpanDocument]:
    frames = ("They sold the {} again.", "A {} stood there.", "We found no {} today.")
    found = []
    for number in range(offset, offset + count):
        thing = THINGS[number % 8]
        found.append(mark(frames[number % 3].format(thing), (thing, "PER")))
    return found


def listing(**strings: tuple[str, ...]) -> Lexicon:
    return build_lexicon(Pattern(label, text) for label, texts in strings.items() for text in texts)


def with_patterns(learner: SpanLearner, lexicon: Lexicon | None) -> SpanLearner:
    return replace(learner, basis=replace(learner.basis, lexicon=lexicon))


def f1(learner: SpanLearner, head: SpanHead, documents: list[SpanDocument]) -> float:
    shown = learner.spans(head, [document.text for document in documents], F1)
    return measure([own.spans for own in shown], [document.spans for document in documents]).f1


def same(one: SpanHead, other: SpanHead) -> bool:
    ours, theirs = one.tensors(), other.tensors()
    return one.config() == other.config() and all(
        np.array_equal(ours[name], theirs[name]) for name in {**ours, **theirs}
    )


def test_a_list_says_something_before_the_first_label_and_more_with_few(learner: SpanLearner) -> None:
    listed = with_patterns(learner, listing(PER=THINGS))
    test = thing_sentences(24, 100)
    texts = [own.text for own in test]
    likely, without = (sum(own.expected for own in one.spans(one.cold(), texts)) for one in (listed, learner))
    assert likely > 2 * without, "nothing that the prior would call a person"
    few = thing_sentences(2)
    odd = "Nobody told the {} merchant what every other dealer in town knew."
    hard = [mark(odd.format(thing), (thing, "PER")) for thing in THINGS]
    assert f1(listed, listed.fit(few), hard) > f1(learner, learner.fit(few), hard)
    doubtful = ["we met chandra rao at noon.", "then fatima khan left."]
    names = with_patterns(learner, listing(PER=("chandra rao", "fatima khan")))
    shown, bare = (sum(len(own.spans) for own in one.spans(one.cold(), doubtful)) for one in (names, learner))
    assert shown >= bare and shown == 2


def test_a_wrong_list_is_not_believed_once_texts_say_so(learner: SpanLearner) -> None:
    wrong = with_patterns(learner, listing(LOC=PEOPLE, PER=PLACES))
    head, test = wrong.fit(sentences(16)), sentences(24, 200)
    assert f1(wrong, head, test) > 0.9 and f1(wrong, head, test) >= f1(learner, learner.fit(sentences(16)), test) - 0.02
    report = report_patterns(head)
    assert report["LOC"]["right"] == 0 and report["LOC"]["tried"] >= 8
    assert (
        report["LOC"]["weight"]
        < report_patterns(with_patterns(learner, listing(LOC=PLACES)).fit(sentences(16)))["LOC"]["weight"]
    )


def test_without_patterns_nothing_changes_and_with_none_that_match_little_does(learner: SpanLearner) -> None:
    documents = sentences(16)
    plain = learner.fit(documents)
    assert same(plain, with_patterns(learner, None).fit(documents))
    assert "patterns" not in plain.config() and "lexicon" not in plain.tensors()
    strange = with_patterns(learner, listing(PER=("Zzyzx Qwerty",))).fit(documents)
    texts = [own.text for own in sentences(8, 200)]
    assert strange.spans(learner.embed(texts)) == plain.spans(learner.embed(texts))


def test_the_reason_names_the_patterns(learner: SpanLearner) -> None:
    listed = with_patterns(learner, listing(PER=("Ann Miller",), LOC=("Berlin", "Ann Miller")))
    (found,) = listed.spans(listed.fit(sentences(16)), ["Ann Miller moved to Berlin last year."])
    reasons = {(own.start, own.label): own.reason for own in found.spans}
    assert "in your patterns as LOC; in your patterns as PER" in reasons[0, "PER"]
    assert "in your patterns as LOC" in reasons[20, "LOC"]


def test_a_head_keeps_its_patterns_on_disk_and_answers_alike(learner: SpanLearner) -> None:
    lexicon = build_lexicon([Pattern("PER", "Ann Miller"), Pattern("LOC", r"\p{Lu}\p{Ll}+ York", is_regex=True)])
    listed = with_patterns(learner, lexicon)
    for head in (listed.cold(), listed.fit(sentences(16))):
        tensors = {name: array.copy() for name, array in head.tensors().items()}
        again = restore_span_head(head.config(), tensors, learner.reader.prior)
        texts = listed.embed([own.text for own in sentences(24, 200)])
        assert again.spans(texts) == head.spans(texts) and same(again, head)
        assert again.space.lexicon == lexicon
        with pytest.raises(VersionError):
            restore_span_head(head.config(), {**tensors, "lexicon": np.zeros(4, np.uint8)}, learner.reader.prior)
        with pytest.raises(VersionError):
            restore_span_head(head.config(), {n: a for n, a in tensors.items() if n != "lexicon"}, learner.reader.prior)


def test_other_patterns_call_for_a_fit_from_nothing(learner: SpanLearner) -> None:
    documents = sentences(80)
    first = with_patterns(learner, listing(PER=PEOPLE))
    head = first.fit(documents[:70])
    assert first.fit(documents[:72], head).details.cold == 70, "a warm fit"
    assert with_patterns(learner, listing(PER=PEOPLE[1:])).fit(documents[:72], head).details.cold == 72
    assert learner.fit(documents[:72], head).details.cold == 72
    warm = first.fit(documents[:78], head)
    assert warm.space.trust.hits["PER"].tried > head.space.trust.hits["PER"].tried, "counted anew"


def test_layers_share_the_patterns(learner: SpanLearner) -> None:
    documents = []
    for number in range(24):
        text = f"The {PLACES[number % 8]} Gazette number {number} came."
        start = text.index(PLACES[number % 8])
        inner = Span(start, start + len(PLACES[number % 8]), "LOC")
        documents.append(SpanDocument(text, (inner, Span(start, text.index(" number"), "PER"))))
    listed = with_patterns(learner, listing(LOC=PLACES, PER=("Oslo Gazette",)))
    examples = [replace(one) for one in _examples(listed, documents)]
    head = fit_layered_head(listed.basis, examples)
    assert head.inner and head.inner[0].space.lexicon is head.space.lexicon
    assert set(report_patterns(head)) == {"LOC", "PER"}
    tensors = head.tensors()
    assert sum("lexicon" in name for name in tensors) == 1, "once on disk"
    again = restore_span_head(head.config(), tensors, learner.reader.prior)
    texts = listed.embed([document.text for document in documents])
    assert again.spans(texts) == head.spans(texts)


def _examples(learner: SpanLearner, documents: list[SpanDocument]) -> list:  # type: ignore[type-arg]
    from model.spans.head.fit import SpanExample

    read = learner.embed([document.text for document in documents])
    return [SpanExample(text, document.spans) for text, document in zip(read, documents, strict=True)]


def test_without_a_prior_patterns_alone_mark_before_any_label(minilm: Encoder) -> None:
    bare = SpanLearner.open(SpanReader(minilm), ["PER", "LOC"], ["Ann met Bob."])
    listed = with_patterns(bare, listing(PER=("Ann Miller",)))
    (found,) = listed.spans(listed.cold(), ["Ann Miller moved to Berlin."])
    assert [(own.start, own.end, own.label) for own in found.spans] == [(0, 10, "PER")]
    assert found.spans[0].reason == "in your patterns as PER"
    assert fit_span_head(listed.basis, ()).spans(listed.embed(["Nobody came."]))[0].spans == ()


def test_patterns_of_labels_that_the_control_has_not_are_passed_over(learner: SpanLearner) -> None:
    listed = with_patterns(learner, listing(ORG=("Ann Miller",), PER=("Bob",)))
    head = listed.fit(sentences(16))
    assert set(report_patterns(head)) == {"PER"}
    assert all(
        own.label in ("PER", "LOC") for text in listed.spans(head, ["Ann Miller met Bob."]) for own in text.spans
    )


def test_features_of_words_keep_their_order_and_gain_what_matches_say(learner: SpanLearner) -> None:
    texts = learner.embed(["Bob met Ann Miller.", "Nobody.", "ann"])
    lexicon = build_lexicon([Pattern("PER", "Ann Miller"), Pattern("PER", "B.b", is_regex=True), Pattern("PER", "ann")])
    plain, more = hand_features(texts), all_features(texts, lexicon)
    assert len(more.ends) == len(plain.ends)
    ours, theirs = np.split(more.codes, more.ends[:-1]), np.split(plain.codes, plain.ends[:-1])
    extra = [set(own.tolist()) - set(other.tolist()) for own, other in zip(ours, theirs, strict=True)]
    assert all(own[: len(other)].tolist() == other.tolist() for own, other in zip(ours, theirs, strict=True))
    assert extra[0] == set(match_codes("PER", "B.b", True, True)) and extra[1] == set()
    assert extra[2] == set(match_codes("PER", "", True, True)) and extra[3] == set(match_codes("PER", "", True, False))
    assert extra[-1] == set(match_codes("PER", "", False, True)), "a plain word tells less"
    assert all_features(texts, None).codes.tolist() == plain.codes.tolist()


def test_trust_follows_what_was_right() -> None:
    never, always = PatternTrust({"L": Hits(0, 50)}), PatternTrust({"L": Hits(50, 50)})
    assert never.score("L") == 0 < PatternTrust().score("L") < always.score("L")
    assert PatternTrust.from_json(always.to_json()) == always
