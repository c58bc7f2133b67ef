"""Any text and any spans: config, result, annotation, spans, result again, without moving by a character.

What the page does with a result between is played here from what was recorded: it fills in what it was not sent, in
its own units, counted by other means than ours (UTF-16 code units of Python's codec, html5lib's tree)."""

from __future__ import annotations

import html as html_module
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from backend.labelstudio.spans.annotations import read_feedback, read_spans
from backend.labelstudio.spans.page import Page, read_page, trimmed
from backend.labelstudio.spans.regions import to_regions
from backend.labelstudio.spans.validator import check_result
from model.span import ScoredSpan, Span, SpanDocument
from tests.backend.labelstudio.spans.test_html_nodes import MARKUP, oracle
from tests.support.spans import HTML_CONFIG, INLINE_CONFIG, TEXT_CONFIG, TURNS_CONFIG, opened

LETTERS = "ab Z\n\t\r.,'<>&é́ü😀👩‍👩‍👧🇫🇷אב東京\u00a0\u200b\u2028\ufeff"
WORDS = st.text(alphabet=LETTERS, max_size=40) | st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30
)
SPANS = st.lists(st.tuples(st.integers(0, 60), st.integers(1, 20), st.sampled_from(["PER", "LOC"])), max_size=6)


def spans_in(page: Page, drawn: list[tuple[int, int, str]]) -> list[Span]:
    """Those of the drawn spans that the text has room for, as they are learned: trimmed."""
    found = set()
    for start, length, label in drawn:
        place = trimmed(page.text, start, min(start + length, len(page.text))) if start < len(page.text) else None
        if place is not None:
            found.add(Span(*place, label))
    return sorted(found)


def travel(xml: str, data: dict[str, Any], drawn: list[tuple[int, int, str]]) -> list[tuple[str, dict[str, Any]]]:
    """(the text of a span, the value that was sent for it), after all ways were gone."""
    config, pages = opened(xml, data)
    (control,) = config.controls
    page = pages[control.object.name]
    spans = spans_in(page, drawn)
    made = to_regions(control, page, [ScoredSpan(one.start, one.end, one.label, 0.5) for one in spans], salt="v1")
    checked = check_result(config, pages, made.result)
    assert checked.dropped == {} and checked.result == made.result
    assert sorted(one.span for one in made.sent) == spans
    annotation = {"result": [{**item, "origin": "prediction"} for item in made.result], "parent_prediction": 1}
    answer = read_spans(config, pages, annotation, made.sent)
    assert answer.ignored == {}
    assert list(answer.spans[control.name]) == spans
    assert SpanDocument(page.text, answer.spans[control.name]).spans == tuple(spans)
    feedback = read_feedback(config, pages, annotation, made.sent)
    assert feedback.kept == made.sent and feedback.rejected == () and feedback.missed == ()
    again = to_regions(
        control, page, [ScoredSpan(one.start, one.end, one.label, 0.5) for one in answer.spans[control.name]], salt="v1"
    )
    assert again == made
    return [(page.text[one.start : one.end], item["value"]) for one, item in zip(spans, made.result, strict=True)]


@settings(max_examples=400, deadline=None)
@given(WORDS, SPANS)
def test_in_a_text(text: str, drawn: list[tuple[int, int, str]]) -> None:
    for marked, value in travel(TEXT_CONFIG, {"text": text}, drawn):
        assert text[value["start"] : value["end"]] == marked == value["text"]


@settings(max_examples=400, deadline=None)
@given(WORDS.map(html_module.escape) | MARKUP, SPANS, st.booleans())
def test_in_html(html: str, drawn: list[tuple[int, int, str]], inline: bool) -> None:
    counted = oracle(html, inline)
    for marked, value in travel(INLINE_CONFIG if inline else HTML_CONFIG, {"html": html}, drawn):
        whole = value["globalOffsets"]
        assert counted[whole["start"] : whole["end"]] == marked


@settings(max_examples=400, deadline=None)
@given(st.lists(WORDS, min_size=1, max_size=5), SPANS)
def test_in_paragraphs(turns: list[str], drawn: list[tuple[int, int, str]]) -> None:
    data = {"dialogue": [{"author": "A", "text": text} for text in turns]}
    for marked, value in travel(TURNS_CONFIG, data, drawn):
        first, last = int(value["start"]), int(value["end"])
        units = [text.encode("utf-16-le") for text in turns]
        if first == last:
            parts = [units[first][2 * value["startOffset"] : 2 * value["endOffset"]]]
        else:
            parts = [
                units[first][2 * value["startOffset"] :],
                *units[first + 1 : last],
                units[last][: 2 * value["endOffset"]],
            ]
        assert "\n".join(part.decode("utf-16-le") for part in parts) == marked


@settings(max_examples=200, deadline=None)
@given(st.lists(WORDS, min_size=1, max_size=4), st.data())
def test_every_place_in_paragraphs_is_a_position_and_back(turns: list[str], data: st.DataObject) -> None:
    config, pages = opened(TURNS_CONFIG, {"dialogue": [{"text": text} for text in turns]})
    page = read_page(config.objects[0], {"dialogue": [{"text": text} for text in turns]})
    assert page.turns is not None and page.text == pages["dlg"].text == "\n".join(turns)
    turn = data.draw(st.integers(0, len(turns) - 1))
    at = data.draw(st.integers(0, len(turns[turn])))
    units = len(turns[turn][:at].encode("utf-16-le")) // 2
    assert page.turns.position((turn, units)) == sum(len(text) + 1 for text in turns[:turn]) + at
