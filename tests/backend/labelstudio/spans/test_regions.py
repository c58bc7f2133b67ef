"""Suggested spans as regions."""

from __future__ import annotations

import re

import pytest

from backend.labelstudio.spans.regions import SentSpan, fresh_id, to_regions
from backend.labelstudio.spans.validator import check_result
from model.span import ScoredSpan
from tests.support.spans import HTML_CONFIG, ODD_TEXT, TEXT_CONFIG, TURNS_CONFIG, opened, recorded

ADA = ScoredSpan(0, 12, "PER", 0.93, "seen 3 times as PER; also ORG 0.21")
LONDON = ScoredSpan(36, 42, "LOC", 0.5)


def test_a_region_of_a_text_is_as_recorded() -> None:
    config, pages = opened(TEXT_CONFIG, {"text": ODD_TEXT})
    made = to_regions(config.controls[0], pages["text"], [LONDON, ADA], salt="v1")
    assert [{**item, "id": ""} for item in made.result] == [
        {
            "id": "",
            "from_name": "label",
            "to_name": "text",
            "type": "labels",
            "value": {"start": 0, "end": 12, "text": "Ada Lovelace", "labels": ["PER"]},
            "score": 0.93,
            "meta": {"text": ["seen 3 times as PER; also ORG 0.21"]},
        },
        {
            "id": "",
            "from_name": "label",
            "to_name": "text",
            "type": "labels",
            "value": {"start": 36, "end": 42, "text": "London", "labels": ["LOC"]},
            "score": 0.5,
        },
    ]
    ids = [item["id"] for item in made.result]
    assert made.sent == (SentSpan(ids[0], "label", 0, 12, "PER", 0.93), SentSpan(ids[1], "label", 36, 42, "LOC", 0.5))
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{10}", one) for one in ids)
    assert check_result(config, pages, made.result).result == made.result
    assert [SentSpan.from_json(one.to_json()) for one in made.sent] == list(made.sent)


def test_the_same_answer_has_the_same_ids_and_another_version_others() -> None:
    config, pages = opened(TEXT_CONFIG, {"text": ODD_TEXT})
    first, again, other = (
        [item["id"] for item in to_regions(config.controls[0], pages["text"], [ADA, LONDON], salt=salt).result]
        for salt in ("v1", "v1", "v2")
    )
    assert first == again
    assert set(first).isdisjoint(other)


def test_an_id_that_is_taken_is_not_given_again() -> None:
    taken: set[str] = set()
    ids = [fresh_id(taken, "v1", "label", "0-3 PER") for _ in range(50)]
    assert len(set(ids)) == 50 and set(ids) == taken


def test_html_has_global_offsets_with_empty_paths() -> None:
    config, pages = opened(HTML_CONFIG, {"html": "<h1>Ada</h1><p>in <b>Lon</b>don"})
    (item,) = to_regions(config.controls[0], pages["text"], [ScoredSpan(6, 12, "LOC", 0.5)], salt="v").result
    assert item["type"] == "hypertextlabels"
    assert item["value"] == {
        **{"start": "", "end": "", "startOffset": 0, "endOffset": 0, "globalOffsets": {"start": 6, "end": 12}},
        "hypertextlabels": ["LOC"],
    }


def test_paragraphs_have_turns_and_utf16_units() -> None:
    config, pages = opened(TURNS_CONFIG, {"dialogue": [{"text": "x"}, {"text": "Hi 😀 Bob"}]})
    (item,) = to_regions(config.controls[0], pages["dlg"], [ScoredSpan(7, 10, "PER", 0.5)], salt="v").result
    assert item["value"] == {"start": "1", "end": "1", "startOffset": 6, "endOffset": 9, "paragraphlabels": ["PER"]}


def test_the_alias_is_sent() -> None:
    case = recorded("config_variants")["alias"]
    config, pages = opened(case["config"], case["data"])
    made = to_regions(config.controls[0], pages["t"], [ScoredSpan(0, 3, "Person & co", 0.5)], salt="v")
    assert made.result[0]["value"]["labels"] == ["PER"] and made.sent[0].label == "PER"


@pytest.mark.parametrize(
    ("name", "labels"), [("maxUsages", ["LOC", "PER"]), ("maxUsages_label", ["LOC", "PER", "LOC"])]
)
def test_a_limit_keeps_the_highest_scores(name: str, labels: list[str]) -> None:
    case = recorded("config_variants")[name]
    config, pages = opened(case["config"], case["data"])
    spans = [
        ScoredSpan(0, 3, "PER", 0.4),
        ScoredSpan(4, 7, "LOC", 0.9),
        ScoredSpan(8, 11, "PER", 0.8),
        ScoredSpan(15, 18, "LOC", 0.1),
    ]
    made = to_regions(config.controls[0], pages["t"], spans, salt="v")
    assert [item["value"]["labels"][0] for item in made.result] == labels
    assert [item["score"] for item in made.result][:2] == [0.9, 0.8]
    used = to_regions(config.controls[0], pages["t"], spans, salt="v", used={"PER": 1})
    assert "PER" not in [one.label for one in used.sent]


def test_words_are_whole_where_the_config_says_so_and_come_once() -> None:
    case = recorded("config_variants")["word"]
    config, pages = opened(case["config"], case["data"])
    spans = [ScoredSpan(16, 22, "LOC", 0.4), ScoredSpan(15, 23, "LOC", 0.6)]
    (item,) = to_regions(config.controls[0], pages["t"], spans, salt="v").result
    assert (item["value"]["text"], item["score"]) == ("New York", 0.6)


def test_several_labels_of_one_place_are_one_region_where_the_config_has_it_so() -> None:
    case = recorded("config_variants")["multiple"]
    config, pages = opened(case["config"], case["data"])
    spans = [ScoredSpan(0, 3, "PER", 0.9, "a"), ScoredSpan(0, 3, "LOC", 0.6, "b")]
    made = to_regions(config.controls[0], pages["t"], spans, salt="v")
    assert [item["value"]["labels"] for item in made.result] == [["LOC", "PER"]]
    assert made.result[0]["score"] == 0.6 and made.result[0]["meta"] == {"text": ["b", "a"]}
    assert {one.label for one in made.sent} == {"PER", "LOC"} and len({one.id for one in made.sent}) == 1


def test_what_the_page_cannot_show_is_left_out() -> None:
    config, pages = opened(TEXT_CONFIG, {"text": "Ada   Bob"})
    spans = [
        ScoredSpan(0, 3, "ALIEN", 0.5),
        ScoredSpan(3, 6, "PER", 0.5),
        ScoredSpan(8, 99, "PER", float("nan")),
        ScoredSpan(99, 120, "PER", 1),
    ]
    made = to_regions(config.controls[0], pages["text"], spans, salt="v")
    assert [(item["value"]["text"], item["score"]) for item in made.result] == [("b", 0.0)]


def test_the_text_is_left_out_where_results_have_none() -> None:
    case = recorded("config_variants")["noSaveText"]
    config, pages = opened(case["config"], case["data"])
    (item,) = to_regions(config.controls[0], pages["t"], [ScoredSpan(0, 3, "PER", 0.5)], salt="v").result
    assert item["value"] == {"start": 0, "end": 3, "labels": ["PER"]}
