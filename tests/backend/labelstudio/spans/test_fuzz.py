"""Ten thousand broken annotations, predictions and configs: no exception, and nothing gets through that the page's
rules forbid. These are written down once more here, in other words than the validator's."""

from __future__ import annotations

import copy
import json
import random
import re
from collections.abc import Iterator
from typing import Any

import pytest

from backend.errors import BadRequest
from backend.labelstudio.spans.annotations import IGNORED, read_feedback, read_spans, sent_spans
from backend.labelstudio.spans.config import CODES, read_span_config, with_all_task_labels
from backend.labelstudio.spans.export import read_export
from backend.labelstudio.spans.interactive import Memory, answer_mark
from backend.labelstudio.spans.page import read_pages
from backend.labelstudio.spans.validator import REASONS, check_result
from tests.support.spans import HTML_CONFIG, ODD_TEXT, TEXT_CONFIG, TURNS_CONFIG, opened, recorded

ROUNDS = 10_000
VALUES: list[Any] = [
    *(
        None,
        True,
        False,
        0,
        1,
        -1,
        3,
        10**30,
        0.5,
        3.0,
        float("nan"),
        float("inf"),
        -1e308,
        "",
        "0",
        "3",
        "PER",
        "ALIEN",
    ),
    *(
        "a.b",
        "\ud800",
        "\0",
        "٣",
        "²",
        "9" * 5000,
        "x" * 5000,
        "/p[1]/text()[1]",
        "/" * 99,
        [],
        {},
        [[]],
        ["PER"],
        ["PER", "PER"],
    ),
    *(
        [None],
        {"start": 0},
        {"start": 0, "end": 3},
        {"text": ["why"]},
        {"text": 7},
        "labels",
        "relation",
        "label",
        "text",
    ),
    *("manual", "prediction", [{}], {"a": {"b": [None]}}),
]
KEYS = [
    "id",
    "start",
    "end",
    "startOffset",
    "endOffset",
    "globalOffsets",
    "labels",
    "text",
    "value",
    "type",
    "from_name",
]
KEYS += [
    "to_name",
    "score",
    "meta",
    "origin",
    "result",
    "hypertextlabels",
    "paragraphlabels",
    "readonly",
    "from_id",
    "to_id",
]

RELATIONS = recorded("relations_perregion")
HTML = recorded("hypertext")["nested"]
DIALOGUE = recorded("paragraphs")["dialogue"]["data"]


def seeds() -> list[tuple[str, dict[str, Any], list[Any]]]:
    """Config, data and a result that was recorded under it."""
    odd = [(TEXT_CONFIG, {"text": ODD_TEXT}, case["prediction"]) for case in recorded("odd_regions").values()]
    html = [
        (
            HTML_CONFIG,
            {"html": HTML["html"]},
            [
                {
                    "id": f"h{at}",
                    "from_name": "ner",
                    "to_name": "text",
                    "type": "hypertextlabels",
                    "score": 0.5,
                    "value": value,
                }
                for at, value in enumerate(HTML[form]["prediction"])
            ],
        )
        for form in ("both", "xpath", "empty_xpath_and_global", "numbers")
    ]
    turns = [
        (TURNS_CONFIG, {"dialogue": DIALOGUE}, case["prediction"])
        for case in recorded("paragraphs").values()
        if "prediction" in case
    ]
    related = [
        (RELATIONS["config"], {"text": RELATIONS["text"]}, case["prediction"])
        for case in RELATIONS.values()
        if isinstance(case, dict) and "prediction" in case
    ]
    return [*odd, *html, *turns, *related]


SEEDS = seeds()


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    keys = list(value) if isinstance(value, dict) else list(range(len(value))) if isinstance(value, list) else []
    for key in keys:
        yield value, key
        yield from places(value[key])


def broken(value: Any, chance: random.Random) -> Any:
    """A copy with up to five things in it dropped, replaced, doubled or put elsewhere."""
    value = copy.deepcopy(value)
    for _ in range(chance.randint(1, 5)):
        spots = list(places(value))
        if not spots:
            break
        holder, key = chance.choice(spots)
        blow = chance.choice(["drop", "replace", "replace", "replace", "double", "key", "near"])
        if blow == "drop":
            del holder[key]
        elif blow == "replace":
            holder[key] = copy.deepcopy(chance.choice(VALUES))
        elif blow == "double" and isinstance(holder, list):
            holder.append(copy.deepcopy(holder[key]))
        elif blow == "key" and isinstance(holder, dict):
            holder[chance.choice(KEYS)] = copy.deepcopy(chance.choice(VALUES))
        elif blow == "near" and isinstance(holder[key], int):
            holder[key] += chance.choice([-40, -1, 1, 40])
    return value


REGIONS = ("labels", "hypertextlabels", "paragraphlabels")
KNOWN = {"PER", "ORG", "LOC", "DATE"}


def forbidden(result: list[Any], data: dict[str, Any]) -> list[str]:
    """What of the page's rules a result breaks; the text as it is known, not as it is read."""
    text = json.dumps(result, allow_nan=False)
    ids = {item.get("id") for item in result if item.get("type") in REGIONS}
    rules = ["null"] * ("null" in re.findall(r'"(?:[^"\\]|\\.)*"|null', text))
    seen: dict[str, Any] = {}
    for item in result:
        if item["type"] == "relation":
            rules += ["white page"] * (item["from_id"] not in ids or item["to_id"] not in ids)
            continue
        rules += broken_frame(item)
        if item["type"] in REGIONS:
            place = place_of(item["type"], item["value"])
            rules += broken_labels(item) + BROKEN_PLACE[item["type"]](item["value"], data)
            rules += ["one id in two places"] * ("id" in item and seen.setdefault(item["id"], place) != place)
        else:
            rules += ["a string of choices"] * isinstance(item["value"].get("choices", []), str)
    return rules


def broken_frame(item: dict[str, Any]) -> list[str]:
    id_, score = item.get("id", "none"), item.get("score", 0)
    rules = ["id"] * (not isinstance(id_, str) or re.fullmatch("[-_0-9A-Za-z]+", id_) is None)
    return rules + ["score"] * (type(score) not in (int, float)) + ["readonly"] * bool(item.get("readonly"))


def broken_labels(item: dict[str, Any]) -> list[str]:
    given = item["value"].get(item["type"])
    return [] if isinstance(given, list) and given and set(given) <= KNOWN else ["labels"]


def place_of(kind: str, value: dict[str, Any]) -> str:
    names = ("start", "end", "startOffset", "endOffset", "globalOffsets") if kind != "labels" else ("start", "end")
    return json.dumps([value.get(name) for name in names])


def broken_text(value: dict[str, Any], data: dict[str, Any]) -> list[str]:
    start, end, text = value["start"], value["end"], data["text"]
    if type(start) is not int or type(end) is not int or not 0 <= start < end <= len(text):
        return ["offsets"]
    return ["text"] * (value.get("text", text[start:end]) != text[start:end])


def broken_html(value: dict[str, Any], data: dict[str, Any]) -> list[str]:
    whole = value.get("globalOffsets")
    if whole is None:
        return ["no place"] * (value.get("start") in ("", None))
    paths = isinstance(value.get("start"), str) and isinstance(value.get("end"), str)
    length = len(re.sub("<[^>]*>", "", data["html"]))
    return [] if paths and 0 <= whole["start"] < whole["end"] <= length else ["global offsets"]


def broken_turns(value: dict[str, Any], data: dict[str, Any]) -> list[str]:
    turns = [value["start"], value["end"]]
    inside = [value["startOffset"], value["endOffset"]]
    if not all(isinstance(one, str) for one in turns) or not all(type(one) is int for one in inside):
        return ["turns"]
    lengths = [len(data["dialogue"][int(one)]["text"].encode("utf-16-le")) // 2 for one in turns]
    within = all(0 <= at <= length for at, length in zip(inside, lengths, strict=True))
    return [] if within and (int(turns[0]), inside[0]) < (int(turns[1]), inside[1]) else ["units"]


BROKEN_PLACE = {"labels": broken_text, "hypertextlabels": broken_html, "paragraphlabels": broken_turns}


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_nothing_forbidden_leaves_and_no_annotation_is_an_error() -> None:
    chance = random.Random(14)
    through = 0
    for turn in range(ROUNDS):
        xml, data, result = chance.choice(SEEDS)
        config, pages = opened(xml, data)
        bad = broken(result, chance)
        checked = check_result(config, pages, bad)
        assert forbidden(checked.result, data) == [], (turn, bad)
        assert set(checked.dropped) <= set(REASONS)
        assert len(checked.result) + sum(checked.dropped.values()) == len(bad)
        assert check_result(config, pages, checked.result).result == checked.result
        through += len(checked.result)
        annotation = broken({"result": bad, "was_cancelled": False, "parent_prediction": 1}, chance)
        sent = sent_spans(config, pages, {"result": checked.result})
        answer = read_spans(config, pages, annotation, sent)
        assert set(answer.ignored) <= set(IGNORED)
        for name, spans in answer.spans.items():
            page = pages[config.by_name[name].object.name]
            assert all(span.end <= len(page.text) and page.text[span.start : span.end].strip() for span in spans)
            assert all(span.label in config.by_name[name].names.values() for span in spans)
        read_feedback(config, pages, annotation, sent)
        more, memory = answer_mark(config, pages, {"result": bad}, Memory(), now=float(turn))
        assert forbidden(more, data) == []
        assert Memory.from_json(json.loads(json.dumps(memory.to_json()))) == memory
    assert through > ROUNDS / 2, "the blows are too hard to say anything"


@pytest.mark.timeout(300)
def test_no_config_and_no_task_is_an_error() -> None:
    chance = random.Random(15)
    configs = [case["config"] for case in recorded("config_variants").values()] + [
        RELATIONS["config"],
        HTML_CONFIG,
        TURNS_CONFIG,
    ]
    pieces = [
        "Labels",
        "Text",
        "HyperText",
        "Paragraphs",
        "Label",
        "toName",
        "name",
        "value",
        "$text",
        "$",
        "url",
        '"t"',
        '""',
        "<",
        ">",
        "true",
    ]
    pieces += [
        "perRegion",
        "whenLabelValue",
        "granularity",
        "base64",
        "maxUsages",
        "9" * 9,
        "encoding",
        "a,b",
        "Repeater",
        "View",
        "é",
        "\ud800",
    ]
    read = 0
    for _ in range(ROUNDS):
        xml = chance.choice(configs)
        for _ in range(chance.randint(0, 3)):
            old = chance.choice(re.findall(r"\w+|\W", xml))
            at = chance.choice([found.start() for found in re.finditer(re.escape(old), xml)])
            xml = xml[:at] + chance.choice(pieces) + xml[at + len(old) :]
        try:
            config = read_span_config(xml)
        except BadRequest:
            continue
        read += 1
        assert all(one.code in CODES and one.reason.isascii() for one in config.refusals)
        data = broken(
            {
                "text": ODD_TEXT,
                "html": "<p>x",
                "dialogue": DIALOGUE,
                "opts": ["X"],
                "q": 1,
                "doc": {"body": {"text": "a"}},
            },
            chance,
        )
        config = with_all_task_labels(config, data)
        pages, _ = read_pages(config, data)
        read_spans(config, pages, {"result": SEEDS[0][2]})
        check_result(config, pages, SEEDS[0][2])
    assert read > 2_000


@pytest.mark.timeout(300)
def test_no_export_is_an_error() -> None:
    chance = random.Random(16)
    for _ in range(ROUNDS // 10):
        tasks = [
            {"id": at, "data": data, "annotations": [{"result": result}]}
            for at, (_, data, result) in enumerate(chance.sample(SEEDS, 3))
        ]
        read_export(broken(tasks, chance))
