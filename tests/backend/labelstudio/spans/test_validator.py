"""What leaves: every recorded region that harmed the page is dropped, every other stays."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from backend.labelstudio.spans.validator import REASONS, check_result
from tests.support.spans import HTML_CONFIG, ODD_TEXT, TEXT_CONFIG, TURNS_CONFIG, opened, recorded

ODD = recorded("odd_regions")
ODD_DROPPED: dict[str, dict[str, int]] = {
    "text_disagrees": {"text_disagrees": 1},
    "id_duplicate_other_place": {"id_twice": 1},
    "id_number": {"bad_id": 1},
    "out_of_range": {"outside": 1},
    "all_out": {"outside": 1},
    "end_eq_start": {"outside": 1},
    "end_lt_start": {"outside": 1},
    "negative": {"outside": 1},
    "float": {"no_place": 1},
    "strings": {"no_place": 1},  # harmless on a Text, and none of ours
    "null_start": {"not_plain": 1},
    "unknown_label": {"unknown_label": 1},
    "no_label": {"no_labels": 1},
    "no_labels_key": {"no_labels": 1},
    "label_string": {"no_labels": 1},
    "wrong_key": {"no_labels": 1},
    "wrong_type": {"wrong_type": 1},
    "wrong_from": {"unknown_control": 1},
    "wrong_to": {"wrong_object": 1},
    "no_from": {"unknown_control": 1},
    "score_string": {"bad_score": 1},
    "readonly": {"read_only": 1},
    "startOffset": {"no_place": 1},
}


@pytest.mark.parametrize("name", ODD)
def test_an_odd_region_is_dropped_and_the_others_stay(name: str) -> None:
    config, pages = opened(TEXT_CONFIG, {"text": ODD_TEXT})
    sent = ODD[name]["prediction"]
    checked = check_result(config, pages, sent)
    expected = ODD_DROPPED.get(name, {})
    assert dict(checked.dropped) == expected
    assert len(checked.result) == len(sent) - sum(expected.values())
    assert all(item in sent for item in checked.result)


def test_every_recorded_case_that_changed_on_the_page_is_dropped() -> None:
    for name, case in ODD.items():
        back = {item["id"]: item["value"] for item in case["webhook_result"] or ()}
        harmless = {"text_missing", "id_missing", "score_value", "extra_keys", "strings", "same_twice"}
        for item in case["prediction"]:
            value = item["value"]
            if name not in harmless and back.get(item.get("id")) != value:
                assert name in ODD_DROPPED, name


PARAGRAPHS_DROPPED = {
    "pred_numbers": {"no_place": 1},
    "pred_mixed_ok_and_numbers": {"no_place": 1},
    "pred_offset_strings": {"no_place": 1},
    "pred_turn_out": {"outside": 1},
    "pred_offset_out": {"outside": 1},
    "pred_labels_key": {"no_labels": 1},
    "pred_labels_type": {"wrong_type": 1},
    "pred_globalOffsets": {"outside": 1},
}


@pytest.mark.parametrize("name", [name for name, case in recorded("paragraphs").items() if "prediction" in case])
def test_paragraphs_take_turns_as_strings_and_whole_numbers(name: str) -> None:
    cases = recorded("paragraphs")
    config, pages = opened(TURNS_CONFIG, {"dialogue": cases["dialogue"]["data"]})
    checked = check_result(config, pages, cases[name]["prediction"])
    assert dict(checked.dropped) == PARAGRAPHS_DROPPED.get(name, {})


def test_half_a_character_is_no_place() -> None:
    config, pages = opened(TURNS_CONFIG, {"dialogue": [{"text": "😀 Ada"}]})
    value = {"start": "0", "end": "0", "startOffset": 1, "endOffset": 6, "paragraphlabels": ["PER"]}
    item = {"id": "a", "from_name": "pl", "to_name": "dlg", "type": "paragraphlabels", "value": value}
    assert dict(check_result(config, pages, [item]).dropped) == {"no_place": 1}


@pytest.mark.parametrize(
    "form", ["both", "xpath", "bad_xpath_and_global", "empty_xpath_and_global", "numbers", "global_only"]
)
@pytest.mark.parametrize("name", ["flat", "nested", "entities"])
def test_html_takes_every_form_but_global_offsets_alone(name: str, form: str) -> None:
    case = recorded("hypertext")[name]
    config, pages = opened(HTML_CONFIG, {"html": case["html"]})
    items = [
        {"id": f"r{at}", "from_name": "ner", "to_name": "text", "type": "hypertextlabels", "score": 0.5, "value": value}
        for at, value in enumerate(case[form]["prediction"])
    ]
    checked = check_result(config, pages, items)
    assert len(checked.result) == (0 if form == "global_only" else len(items))


def test_an_xpath_that_leads_elsewhere_would_win_and_is_dropped() -> None:
    case = recorded("hypertext")["flat"]
    config, pages = opened(HTML_CONFIG, {"html": case["html"]})
    value = {**case["both"]["prediction"][0], "globalOffsets": {"start": 0, "end": 3}}
    item = {"id": "a", "from_name": "ner", "to_name": "text", "type": "hypertextlabels", "value": value}
    assert dict(check_result(config, pages, [item]).dropped) == {"no_place": 1}


RELATIONS = recorded("relations_perregion")
RELATIONS_DROPPED = {
    "relation_missing_region": {"bad_relation": 1},
    "relation_no_labels_unknown_label": {"bad_relation": 1},
    "per_region_before_label": {"no_region": 1},
    "per_region_no_offsets_before_label": {"no_region": 1},
    "per_region_other_id": {"no_region": 1},
    "per_region_when_not_met": {"label_not_asked": 1},
}


@pytest.mark.parametrize(
    "name", [name for name, case in RELATIONS.items() if isinstance(case, dict) and "prediction" in case]
)
def test_relations_and_answers_need_their_regions(name: str) -> None:
    config, pages = opened(RELATIONS["config"], {"text": RELATIONS["text"]})
    sent = RELATIONS[name]["prediction"]
    checked = check_result(config, pages, sent)
    dropped = {key: count for key, count in checked.dropped.items()}
    if name in RELATIONS_DROPPED:
        assert set(dropped) == set(RELATIONS_DROPPED[name])
    else:
        assert dropped == {}
    assert len(checked.result) == len(sent) - sum(dropped.values())


def region(id_: str = "a", start: int = 0, end: int = 3, label: str = "PER", **more: Any) -> dict[str, Any]:
    value = {"start": start, "end": end, "text": ODD_TEXT[start:end], "labels": [label]}
    return {"id": id_, "from_name": "label", "to_name": "text", "type": "labels", "value": value, **more}


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        *((region(id_), "bad_id") for id_ in ("a.b", "a:b", "a/b", "a@b", "a b", 'a"b', "a#b", "", "x" * 81, "é")),
        (region(score=True), "bad_score"),
        (region(score=float("nan")), "not_plain"),
        (region(score=float("inf")), "not_plain"),
        (region(score=None), "not_plain"),
        (region(meta={"text": "why"}), "bad_meta"),
        (region(meta=["why"]), "bad_meta"),
        (region(note="\ud800"), "not_plain"),
        (region(note=object()), "not_plain"),
        (region(note={1: 2}), "not_plain"),
        (None, "not_plain"),
        ("region", "not_a_region"),
        ({"id": "a", "from_name": "label"}, "not_a_region"),
        ({**region(), "value": {"start": 0, "end": 3, "labels": ["PER", "PER"]}}, "unknown_label"),
        ({**region(), "value": {"start": True, "end": 3, "labels": ["PER"]}}, "no_place"),
        ({"type": "relation", "from_id": "good", "to_id": "a"}, "bad_relation"),
    ],
)
def test_what_else_would_harm_is_dropped_alone(item: Any, reason: str) -> None:
    config, pages = opened(TEXT_CONFIG, {"text": ODD_TEXT})
    good = region("good", 36, 42, "LOC")
    checked = check_result(config, pages, [item, good])
    assert checked.result == [good]
    assert dict(checked.dropped) == {reason: 1} and reason in REASONS


@pytest.mark.parametrize("id_", ["a", "_", "-x", "A-z_09", "x" * 80])
def test_ids_that_were_seen_to_work_stay(id_: str) -> None:
    config, pages = opened(TEXT_CONFIG, {"text": ODD_TEXT})
    assert check_result(config, pages, [region(id_)]).dropped == {}


def test_two_controls_may_share_a_region_and_one_may_not_twice() -> None:
    case = recorded("config_variants")["two_controls"]
    config, pages = opened(case["config"], case["data"])
    sent = [{key: value for key, value in item.items() if key != "origin"} for item in case["webhook_result"]]
    assert check_result(config, pages, sent).result == sent
    assert dict(check_result(config, pages, [*sent, sent[-1]]).dropped) == {"id_twice": 1}


def test_ids_that_are_on_the_page_would_overwrite_its_regions() -> None:
    config, pages = opened(TEXT_CONFIG, {"text": ODD_TEXT})
    assert dict(check_result(config, pages, [region("a")], taken_ids=["a"]).dropped) == {"id_twice": 1}


def test_a_value_is_dropped_where_there_is_an_alias() -> None:
    case = recorded("config_variants")["alias"]
    config, pages = opened(case["config"], case["data"])
    items = [
        {
            "id": f"p{start}",
            "from_name": "l",
            "to_name": "t",
            "type": "labels",
            "value": {"start": start, "end": end, "labels": given},
        }
        for start, end, given in case["prediction"]
    ]
    assert [item["value"]["labels"] for item in check_result(config, pages, items).result] == [["PER"]]


def test_a_limit_drops_the_lowest_scores_with_all_that_hangs_on_them() -> None:
    xml = TEXT_CONFIG.replace("<View>", "<View><Relations/>").replace(
        '<Label value="PER"/>', '<Label value="PER" maxUsages="1"/>'
    )
    xml = xml.replace("</View>", '<Rating name="sure" toName="text" perRegion="true"/></View>')
    config, pages = opened(xml, {"text": ODD_TEXT})
    low, high = region("low", score=0.2), region("high", 17, 32, score=0.8)
    sure = {"id": "low", "from_name": "sure", "to_name": "text", "type": "rating", "value": {"rating": 3}}
    tie = {"type": "relation", "from_id": "low", "to_id": "high", "direction": "right"}
    checked = check_result(config, pages, [low, high, sure, tie])
    assert checked.result == [high]
    assert dict(checked.dropped) == {"over_limit": 1, "no_region": 1, "bad_relation": 1}


def test_an_answer_about_the_task_stays_and_must_not_take_the_id_of_a_region() -> None:
    config, pages = opened(RELATIONS["config"], {"text": RELATIONS["text"]})
    topic = {"id": "t", "from_name": "topic", "to_name": "text", "type": "choices", "value": {"choices": ["sport"]}}
    org = {
        "id": "m",
        "from_name": "label",
        "to_name": "text",
        "type": "labels",
        "value": {"start": 0, "end": 9, "labels": ["ORG"]},
    }
    assert check_result(config, pages, [topic, org]).result == [topic, org]
    assert dict(check_result(config, pages, [org, {**topic, "id": "m"}]).dropped) == {"id_twice": 1}
    assert dict(check_result(config, pages, [{**topic, "value": {"choices": "sport"}}]).dropped) == {"bad_answer": 1}


def test_deciding_words_of_the_same_page_stay() -> None:
    xml = TEXT_CONFIG.replace("<Text", '<Labels name="evidence" toName="text"><Label value="decided"/></Labels><Text')
    config, pages = opened(xml, {"text": ODD_TEXT})
    word = {**region("w", label="decided"), "from_name": "evidence"}
    assert check_result(config, pages, [word]).result == [word]


@pytest.mark.parametrize("result", [None, {}, "x", 7])
def test_what_is_no_result_is_an_empty_one(result: Any) -> None:
    config, pages = opened(TEXT_CONFIG, {"text": ODD_TEXT})
    assert check_result(config, pages, result).result == []


def test_what_is_given_is_not_changed() -> None:
    config, pages = opened(TEXT_CONFIG, {"text": ODD_TEXT})
    for case in ODD.values():
        before = copy.deepcopy(case["prediction"])
        check_result(config, pages, case["prediction"])
        assert json.dumps(case["prediction"]) == json.dumps(before)


TOPIC = {"id": "t", "from_name": "topic", "to_name": "text", "type": "choices", "value": {"choices": ["sport"]}}
ORG = {
    "id": "m",
    "from_name": "label",
    "to_name": "text",
    "type": "labels",
    "value": {"start": 0, "end": 9, "labels": ["ORG"]},
}
SURE = {"id": "m", "from_name": "sure", "to_name": "text", "type": "rating", "value": {"rating": 3}}


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        ({**TOPIC, "type": "taxonomy"}, "wrong_type"),
        ({**TOPIC, "to_name": "nope"}, "wrong_object"),
        ({**SURE, "type": "number"}, "wrong_type"),
        ({**SURE, "to_name": "nope"}, "wrong_object"),
        ({**SURE, "value": {"start": 0, "end": 8, "rating": 3}}, "no_place"),
    ],
)
def test_an_answer_names_its_control_and_region_as_the_config_does(item: dict[str, Any], reason: str) -> None:
    config, pages = opened(RELATIONS["config"], {"text": RELATIONS["text"]})
    assert check_result(config, pages, [ORG, TOPIC, SURE]).dropped == {}
    checked = check_result(config, pages, [ORG, item])
    assert checked.result == [ORG] and dict(checked.dropped) == {reason: 1}


def test_a_region_of_a_text_that_cannot_be_read_is_dropped() -> None:
    config, _ = opened(TEXT_CONFIG, {"text": ODD_TEXT})
    assert dict(check_result(config, {}, [region()]).dropped) == {"no_page": 1}
