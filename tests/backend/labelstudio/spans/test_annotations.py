"""Spans of annotations as the real Label Studio sent them."""

from __future__ import annotations

from typing import Any

import pytest

from backend.labelstudio.spans.annotations import IGNORED, SpanAnswer, read_feedback, read_spans, sent_spans
from backend.labelstudio.spans.config import with_all_task_labels
from backend.labelstudio.spans.regions import SentSpan
from model.span import Span
from tests.support.spans import HTML_CONFIG, ODD_TEXT, TEXT_CONFIG, TURNS_CONFIG, opened, recorded

EDITS = recorded("edit_and_interactive")
VARIANTS = {name: case for name, case in recorded("config_variants").items() if "webhook_result" in case}


def test_a_skip_is_no_answer_also_with_all_regions_in_it() -> None:
    for name in ("skip_empty_page_webhook", "skip_preannotated_page_webhook"):
        (case,) = EDITS[name]
        config, pages = opened(TEXT_CONFIG, case["data"])
        assert read_spans(config, pages, case["annotation"]) == SpanAnswer(False)
        sent = sent_spans(config, pages, case["annotation"]["prediction"])
        assert read_feedback(config, pages, case["annotation"], sent).removed == ()


def test_an_empty_result_says_that_there_is_nothing() -> None:
    config, pages = opened(TEXT_CONFIG, {"text": ""})
    assert read_spans(config, pages, {"result": [], "was_cancelled": False}) == SpanAnswer(True, {"label": ()})


@pytest.mark.parametrize("result", [None, {}, "x"])
def test_a_result_that_is_none_is_no_answer(result: Any) -> None:
    config, pages = opened(TEXT_CONFIG, {"text": ""})
    assert read_spans(config, pages, {"result": result}) == SpanAnswer(False, ignored={"malformed": 1})


@pytest.mark.parametrize("name", VARIANTS)
def test_every_mark_of_a_recorded_config_is_read(name: str) -> None:
    config, pages = opened(VARIANTS[name]["config"], VARIANTS[name]["data"])
    config = with_all_task_labels(config, VARIANTS[name]["data"])
    answer = read_spans(config, pages, {"result": VARIANTS[name]["webhook_result"]})
    found = {
        (control, pages[config.by_name[control].object.name].text[span.start : span.end], span.label)
        for control, spans in answer.spans.items()
        for span in spans
    }
    aliases = {"Person & co": "PER", "Place": "LOC"} if name == "alias" else {}
    expected = set()
    for item in VARIANTS[name]["webhook_result"]:
        page = pages[item["to_name"]]
        text = page.text[slice(*page.offsets_of(item["value"]))].strip()
        expected |= {(item["from_name"], text, aliases.get(label, label)) for label in item["value"]["labels"]}
    assert found == expected
    assert answer.ignored == ({"empty_labels": 2} if name == "allowEmpty" else {})


ODD_IGNORED: dict[str, dict[str, int]] = {
    "out_of_range": {"outside": 1},
    "all_out": {"outside": 1},
    "end_eq_start": {"outside": 1},
    "end_lt_start": {"outside": 1},
    "negative": {"outside": 1},
    "float": {"no_place": 1},
    "null_start": {"no_place": 1},
    "unknown_label": {"unknown_label": 1},
    "no_label": {"no_labels": 1},
    "no_labels_key": {"no_labels": 1},
    "wrong_key": {"no_labels": 1},
    "wrong_type": {"no_labels": 1},
    "wrong_from": {"no_labels": 1},
    "no_from": {"no_labels": 1},
    "startOffset": {"no_place": 1},
}


@pytest.mark.parametrize("name", [name for name, case in recorded("odd_regions").items() if case["webhook_result"]])
def test_odd_regions_that_came_back_are_counted_and_cost_no_other(name: str) -> None:
    config, pages = opened(TEXT_CONFIG, {"text": ODD_TEXT})
    result = recorded("odd_regions")[name]["webhook_result"]
    answer = read_spans(config, pages, {"result": result})
    assert dict(answer.ignored) == ODD_IGNORED.get(name, {})
    assert set(answer.ignored) <= set(IGNORED)
    good = len(
        {
            (i["value"]["start"], i["value"]["end"], x)
            for i in result
            for x in i["value"].get("labels", ())
            if isinstance(i["value"].get("start"), int)
            and 0 <= i["value"]["start"] < i["value"]["end"] <= 43
            and x != "ALIEN"
        }
    )
    assert len(answer.spans["label"]) == good


def test_the_offsets_are_believed_and_the_text_beside_them_is_not() -> None:
    config, pages = opened(TEXT_CONFIG, {"text": ODD_TEXT})
    result = recorded("odd_regions")["text_disagrees"]["webhook_result"]
    assert read_spans(config, pages, {"result": result}).spans == {"label": (Span(0, 3, "PER"),)}
    turns = recorded("paragraphs")
    config, pages = opened(TURNS_CONFIG, {"dialogue": turns["dialogue"]["data"]})
    result = turns["pred_mixed_ok_and_numbers"]["webhook_result"]
    answer = read_spans(config, pages, {"result": result})
    (span,) = answer.spans["pl"]
    assert pages["dlg"].text[span.start : span.end] == "Ada" and result[1]["value"]["text"] == "da "
    assert answer.ignored == {"no_place": 1}


def manual(start: int, end: int, text: str, **more: Any) -> dict[str, Any]:
    value = {"start": start, "end": end, "text": text, "labels": ["PER"]}
    return {
        "id": "m",
        "from_name": "label",
        "to_name": "text",
        "type": "labels",
        "origin": "manual",
        "value": value,
        **more,
    }


def test_a_hand_made_region_at_the_offsets_of_its_text_node_is_found_by_its_text() -> None:
    config, pages = opened(TEXT_CONFIG, {"text": "Ada met Bob. Later Bob saw Ada."})

    def spans(item: dict[str, Any], sent: tuple[SentSpan, ...] = ()) -> tuple[Span, ...]:
        return read_spans(config, pages, {"result": [item]}, sent).spans["label"]

    assert spans(manual(5, 8, "Bob")) == (Span(8, 11, "PER"),)
    assert spans(manual(17, 20, "Bob")) == (Span(19, 22, "PER"),)
    assert spans(manual(5, 8, "Zed")) == ()
    assert spans(manual(5, 8, "Zed", origin="prediction")) == (Span(5, 7, "PER"),)
    assert spans(manual(5, 8, "Zed"), (SentSpan("m", "label", 5, 8, "PER", 0.5),)) == (Span(5, 7, "PER"),)


def test_boundaries_are_trimmed_and_equal_spans_are_one() -> None:
    config, pages = opened(TEXT_CONFIG, {"text": "Bob from  here"})
    result = [manual(3, 8, " from"), manual(4, 8, "from", id="n"), manual(8, 10, "  ", id="o")]
    answer = read_spans(config, pages, {"result": result})
    assert answer.spans == {"label": (Span(4, 8, "PER"),)} and answer.ignored == {"blank": 1}


def test_what_is_of_other_controls_is_passed_over_without_a_word() -> None:
    cases = recorded("relations_perregion")
    config, pages = opened(cases["config"], {"text": cases["text"]})
    for case in cases.values():
        if isinstance(case, dict) and case.get("webhook_result"):
            answer = read_spans(config, pages, {"result": case["webhook_result"]})
            assert set(answer.ignored) <= {"no_place"}
            assert len(answer.spans["label"]) + answer.ignored.get("no_place", 0) in (0, 3)


def test_old_annotations_are_read_by_their_xpath() -> None:
    config, pages = opened(HTML_CONFIG, {"html": "<table><tr><td>Ada</td><td>met <b>Bob</b></td></tr></table>"})
    path = "/table[1]/tbody[1]/tr[1]/td[2]/b[1]/text()[1]"
    value = {"start": path, "end": path, "startOffset": 0, "endOffset": 3, "hypertextlabels": ["PER"]}
    item = {"from_name": "ner", "to_name": "text", "type": "hypertextlabels", "value": value}
    assert read_spans(config, pages, {"result": [item]}).spans == {"ner": (Span(7, 10, "PER"),)}


def edited() -> tuple[Any, Any, Any, tuple[SentSpan, ...]]:
    case = EDITS["edit"]
    config, pages = opened(TEXT_CONFIG, case["data"])
    return config, pages, case["annotation"], sent_spans(config, pages, {"result": case["prediction"]})


def test_what_became_of_each_suggestion_is_known_by_its_id() -> None:
    config, pages, annotation, sent = edited()
    feedback = read_feedback(config, pages, annotation, sent)
    assert [one.id for one in feedback.kept] == ["keep", "undone"]  # one was relabelled, and back again
    assert [(one.id, pages["text"].text[new.start : new.end], new.label) for one, new in feedback.changed] == [
        ("relabel", "Charles Babbage", "PER"),
        ("extend", "Bob from", "PER"),
        ("shrink", "Carl Friedrich", "PER"),
    ]
    assert [one.id for one in feedback.removed] == ["delete"]
    assert {one.id for one in feedback.rejected} == {"delete", "relabel", "extend", "shrink"}
    assert ("label", Span(86, 91, "LOC")) in feedback.missed


def test_nothing_is_rejected_where_the_page_was_begun_empty() -> None:
    config, pages, annotation, sent = edited()
    assert read_feedback(config, pages, {**annotation, "parent_prediction": None}, sent).removed == ()


def test_a_suggestion_that_was_deleted_and_marked_again_is_kept() -> None:
    config, pages, annotation, sent = edited()
    again = {**manual(36, 42, "London"), "id": "new"}
    again["value"] = {**again["value"], "labels": ["LOC"]}
    feedback = read_feedback(config, pages, {**annotation, "result": [*annotation["result"], again]}, sent)
    assert feedback.removed == () and "delete" in [one.id for one in feedback.kept]


def test_all_suggestions_of_an_emptied_page_are_rejected() -> None:
    config, pages, annotation, sent = edited()
    feedback = read_feedback(config, pages, {**annotation, "result": []}, sent)
    assert feedback.removed == sent and feedback.missed == ()


def test_a_region_that_lost_its_label_says_nothing_of_its_suggestion() -> None:
    config, pages, annotation, sent = edited()
    broken = {
        "id": "delete",
        "from_name": "label",
        "to_name": "text",
        "type": "labels",
        "value": {"start": 36, "end": 42},
    }
    feedback = read_feedback(config, pages, {**annotation, "result": [*annotation["result"], broken]}, sent)
    assert "delete" not in {one.id for one in (*feedback.kept, *feedback.removed)}
