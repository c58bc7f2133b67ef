"""What fuzzing marked text starts from: recorded pages and projects of every kind as requests, annotations and label
configs that are broken in ways of their own, and harm in replies."""

from __future__ import annotations

import copy
import itertools
import json
import random
import re
from collections.abc import Callable, Iterator
from typing import Any

from backend.errors import BackendError
from backend.labelstudio.spans.config import with_all_task_labels
from backend.labelstudio.spans.page import read_pages
from backend.labelstudio.spans.validator import check_result
from backend.labelstudio.task_spec import parse_label_config, span_config_of
from tests.support.mutations import VALUES
from tests.support.project_kinds import KINDS
from tests.support.spans import recorded, recorded_pages

Json = dict[str, Any]

LEARNED = {501 + place: name for place, name in enumerate(KINDS)}
"""Projects that have learned when fuzzing begins: their kinds."""

LEARNED_ROWS = 40
"""What they have learned; their requests are about these tasks and as many others."""


def span_rows() -> list[Json]:
    """Requests about marked text: each page is set up, predicted, marked and annotated, in a project of its own; and
    projects of every kind, in tasks that they know and that they do not."""
    pages = [page for name in SPAN_FILES for page in recorded_pages(name)]
    marked = recorded("edit_and_interactive")["interactive"]
    pages.append(("interactive", marked["label_config"], marked["task"]["data"], marked["context"]["result"]))
    rows = [row for number, (_, *page) in enumerate(pages, 1) for row in _rows_of(number, 5, *page)]
    for project in LEARNED:
        some = range(LEARNED_ROWS - 6, LEARNED_ROWS + 6)
        rows += [row for number in some for row in _rows_of(project, number + 1, *learned_page(project, number))]
    return rows


def learned_page(project: int, number: int) -> tuple[str, Json, list[Json]]:
    """Config, data and result of one task of a project that has learned."""
    kind = KINDS[LEARNED[project]]()
    content, answer = next(itertools.islice(kind.rows(), number, None))
    return kind.config, kind.data(content), kind.result(content, answer)


SPAN_FILES = ("text_offsets", "odd_regions", "hypertext", "paragraphs", "relations_perregion", "config_variants")


def _rows_of(project: int, task: int, config: str, data: Any, result: Any) -> Iterator[Json]:
    """The page's tasks keep their ids, so that an annotation finds what was suggested for it."""
    asked = {"tasks": [{"id": task, "data": data}], "project": f"{project}.1", "label_config": config}
    annotation = {"id": task, "task": task, "result": result, "updated_at": "2026-01-01T00:00:00Z", "lead_time": 2.0}
    begun = {**annotation, "parent_prediction": 1, "updated_at": "2026-01-01T00:00:01Z"}
    yield {"path": "/setup", "body": {"project": f"{project}.1", "schema": config}}
    yield {"path": "/predict", "body": {**asked, "params": {"context": None}}}
    yield {"path": "/predict", "body": {**asked, "params": {"context": {"result": result}}}}
    for one in (annotation, begun, begun):
        event = {"action": "ANNOTATION_UPDATED", "project": {"id": project, "label_config": config}}
        yield {"path": "/webhook", "body": {**event, "annotation": one, "task": {"id": task, "data": data}}}


def break_config(chance: random.Random, config: str) -> str:
    """A label config of which a tag or an attribute is gone, doubled, or stands elsewhere, or which has conditions,
    questions about regions and relations where none make sense."""
    parts = re.findall(r'[\w:]+="[^"]*"|</?\w+|/?>|[^<>]', config)
    for _ in range(chance.choice((1, 1, 2, 4))):
        at, other = chance.randrange(len(parts)), chance.choice(parts)
        tags = [place for place, part in enumerate(parts) if part[:1] == "<" and part[1:2] != "/"]
        if tags and chance.random() < 0.4:
            place = chance.choice(tags)
            parts[place] = _with_more(chance, parts[place])
        else:
            parts[at] = chance.choice(("", parts[at] * 2, other, f"{parts[at]} {other}", parts[at].swapcase()))
    return "".join(part if part[:1] in "<>/" else f" {part}" for part in parts)


def _with_more(chance: random.Random, part: str) -> str:
    """An attribute behind a tag's name, or tags before it."""
    if chance.random() < 0.6:
        return f"{part} {chance.choice(ATTRIBUTES)}"
    return chance.choice(TAGS) + part


ATTRIBUTES = (
    *('perRegion="true"', 'perRegion="yes"', 'perItem="true"', 'choice="multiple"', 'choice="single-radio"'),
    *('whenTagName="label"', 'whenTagName="nobody"', 'whenTagName=""', 'whenLabelValue="PERSON,PLACE"'),
    *('whenLabelValue=""', 'whenLabelValue="\u0664"', 'whenChoiceValue="present"', 'visibleWhen="region-selected"'),
    *('visibleWhen="choice-selected"', 'visibleWhen="choice-unselected"', 'visibleWhen="no-region-selected"'),
    *('visibleWhen="x"', 'maxRating="-1"', 'maxRating="1e9"', 'maxRating="\u0663"', 'maxUsages="0"', 'maxUsage="1"'),
    *('maxUsages="-7"', 'required="true"', 'question="question"', 'question="$nothing"', 'question="no"'),
    *('question="label"', 'toName="label"', 'toName="text,question"', 'toName=""', 'name="label"', 'name=""'),
    *('granularity="word"', 'granularity="sentence"', 'value="$question"', 'value="$"', 'valueType="url"'),
    *('smart="false"', 'allowNested="true"', 'alias="x"', 'hint="\u202e"', 'showFullPath="true"', 'maxSubmissions="1"'),
)
TAGS = (
    '<Relations><Relation value="x"/><Relation value="x"/><Relation/></Relations>',
    "<Relations/>",
    '<Relations choice="multiple"><Relation value="\u202e"/></Relations>',
    '<Choices name="c1" toName="text" perRegion="true"><Choice value="a"/><Choice value="a"/></Choices>',
    '<Choices name="c2" toName="text" perRegion="true" whenTagName="c1" whenChoiceValue="a"><Choice value="b"/>',
    "</Choices>",
    '<Choices name="c3" toName="text" perRegion="true" value="$options"/>',
    '<Taxonomy name="t1" toName="text" perRegion="true"><Choice value="a"><Choice value="a"/></Choice></Taxonomy>',
    '<Rating name="r1" toName="text" perRegion="true" maxRating="0"/>',
    '<Rating name="r2" toName="label" perRegion="true"/>',
    '<TextArea name="w1" toName="text" perRegion="true" whenLabelValue="PLACE"/>',
    '<Number name="n1" toName="text" perRegion="true"/>',
    '<View visibleWhen="region-selected" whenTagName="label"><Rating name="r3" toName="text" perRegion="true"/></View>',
    '<Labels name="l2" toName="text"><Label value="$x"/><Label/></Labels>',
    '<Text name="question" value="$question"/>',
    '<Repeater on="$text"><Labels name="l3" toName="text"><Label value="a"/></Labels></Repeater>',
)


def break_result(chance: random.Random, result: Any) -> Any:
    """A copy of a result whose regions, answers or relations do not go together, or are none."""
    items = copy.deepcopy(result)
    if not isinstance(items, list):
        return items
    for _ in range(chance.choice((1, 1, 2, 4))):
        regions = [one for one in items if isinstance(one, dict) and isinstance(one.get("value"), dict)]
        if not regions:
            items.append(_relation(chance, ["r0"]))
            continue
        chance.choice(BREAKS)(chance, items, chance.choice(regions))
    return items


def _relation(chance: random.Random, ids: list[Any]) -> Json:
    ends = [*ids, "nobody", None, 7, [], "\ud800", "\0"]
    tie: Json = {"type": "relation", "from_id": chance.choice(ends), "to_id": chance.choice(ends)}
    tie["direction"] = chance.choice(("right", "left", "bi", "up", None, 3, []))
    tie["labels"] = chance.choice(
        (["treated_in"], ["nothing"], [], None, "treated_in", [None], [["a"]], {"a": 1}, ["\ud800"])
    )
    for name in chance.sample(sorted(tie), chance.choice((0, 0, 1))):
        del tie[name]
    return tie


def _break_id(chance: random.Random, items: list[Any], item: Json) -> None:
    other = items[0].get("id") if isinstance(items[0], dict) else None
    odd = (None, 7, 1.5, True, [], {}, "", "a b", "x" * 5000, "\0", "\ud800", "\u202e")
    item["id"] = chance.choice((*odd, other))


def _lose_id(chance: random.Random, items: list[Any], item: Json) -> None:
    item.pop("id", None)


def _relate(chance: random.Random, items: list[Any], item: Json) -> None:
    ids = [one.get("id") for one in items if isinstance(one, dict)]
    items += [_relation(chance, ids) for _ in range(chance.choice((1, 1, 2, 8)))]


def _relate_in_a_circle(chance: random.Random, items: list[Any], item: Json) -> None:
    ids = [one.get("id") for one in items if isinstance(one, dict) and "from_id" not in one]
    frame = {"type": "relation", "direction": "right", "labels": ["treated_in"]}
    items += [{**frame, "from_id": one, "to_id": other} for one, other in zip(ids, [*ids[1:], *ids[:1]], strict=True)]


def _move(chance: random.Random, items: list[Any], item: Json) -> None:
    places = (-1, 0, 1, 3, 10**6, 2**63, 1.5, 1e308, "1", None, True, [], "\u0663")
    for name in chance.sample(("start", "end"), chance.choice((1, 2))):
        item["value"][name] = chance.choice(places)


def _say(chance: random.Random, items: list[Any], item: Json) -> None:
    kinds = ("labels", "choices", "taxonomy", "rating", "text", "number", "hypertextlabels", "paragraphlabels")
    said: tuple[Any, ...] = ([], [None], ["\ud800"], ["\0"], [["hospital", "large"]], [["a"] * 60], [[]], "present")
    said += (
        ["present", "absent"],
        ["present", "present"],
        0,
        -1,
        3,
        1e308,
        2**63,
        True,
        "3",
        {},
        [{"a": 1}],
        "x" * 50_000,
    )
    item["value"][chance.choice(kinds)] = copy.deepcopy(chance.choice((*said, *VALUES)))
    if chance.random() < 0.3:
        item["type"] = chance.choice((*kinds, "textarea", "relation", None, 7))


def _give_to(chance: random.Random, items: list[Any], item: Json) -> None:
    item["from_name"] = chance.choice(
        ("state", "tags", "kind", "sure", "code", "label", "answer", "relation", None, 7, "\0")
    )


def _hang_elsewhere(chance: random.Random, items: list[Any], item: Json) -> None:
    item["to_name"] = chance.choice(("label", "question", "nobody", None, [], 7))


def _go(chance: random.Random, items: list[Any], item: Json) -> None:
    """Whatever hangs on it stays."""
    items.remove(item)


def _multiply(chance: random.Random, items: list[Any], item: Json) -> None:
    many = chance.choice((2, 30, 1000))
    items += [{**item, "id": chance.choice((item.get("id"), f"m{turn}"))} for turn in range(many)]


def _turn_around(chance: random.Random, items: list[Any], item: Json) -> None:
    chance.shuffle(items)


def _spoil_text(chance: random.Random, items: list[Any], item: Json) -> None:
    item["value"]["text"] = chance.choice(("other", "", None, 7, ["a"], ["\ud800"], "\0", "x" * 50_000, [["a"]], {}))


BREAKS: tuple[Callable[[random.Random, list[Any], Json], None], ...] = (
    *(_break_id, _lose_id, _relate, _relate_in_a_circle, _move, _say, _say, _give_to, _hang_elsewhere, _go, _multiply),
    *(_turn_around, _spoil_text),
)


def harmful(body: bytes, reply: str) -> list[str]:
    """Why regions in the reply to the body of a /predict would harm the page."""
    try:
        asked, results = json.loads(body), json.loads(reply)["results"]
        spec = parse_label_config(asked["label_config"])
        marking = span_config_of(spec)
    except (BackendError, ValueError, KeyError, TypeError):
        return []  # no reply with answers, or to a config that is known from before
    found: list[str] = []
    for task, item in zip(asked["tasks"], results, strict=True):
        data = task.get("data") if isinstance(task, dict) else None
        if item and spec.spans:
            config = with_all_task_labels(marking, data)
            found += check_result(config, read_pages(config, data)[0], item["result"]).dropped
    return found
