"""What every prediction must be, by its label config alone and without the product's code: all that it names is in the
config, each region lies within its text, no answer is without its region, and no relation without both of its ends."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from xml.etree import ElementTree

LABEL_TAGS = {"Labels": "Label", "Choices": "Choice", "Taxonomy": "Choice", "Relations": "Relation"}


@dataclass(frozen=True)
class Rules:
    """Of one config: control -> its names (labels, or choices at any depth), and what is asked of regions with which
    labels (None: with any); `most`: regions that one prediction may hold."""

    marking: Mapping[str, frozenset[str]]
    asked: Mapping[str, tuple[str, frozenset[str], frozenset[str] | None]]
    whole: Mapping[str, frozenset[str]]
    relations: frozenset[str]
    most: int | None


@lru_cache(maxsize=16)
def rules_of(config: str) -> Rules:
    """Of configs as the kinds of project have them: a Text each, conditions on labels only."""
    root = ElementTree.fromstring(config)
    marking, asked, whole = {}, {}, {}
    relations: frozenset[str] = frozenset()
    for tag, conditions in _walk(root, {}):
        names = frozenset(one.get("value", "") for one in tag.iter(LABEL_TAGS.get(tag.tag, "-")))
        control = tag.get("name", "")
        if tag.tag == "Labels":
            marking[control] = names
        elif tag.tag == "Relations":
            relations = names
        elif tag.get("perRegion") == "true":
            labels = conditions.get("whenLabelValue")
            asked[control] = tag.tag.lower(), names, frozenset(labels.split(",")) if labels else None
        elif tag.tag == "Choices":
            whole[control] = names
    asks = any(tag.get("name") == "question" for tag in root.iter("Text"))
    return Rules(marking, asked, whole, relations, 1 if asks else None)


def _walk(tag: ElementTree.Element, above: Mapping[str, str]) -> Iterator[tuple[ElementTree.Element, dict[str, str]]]:
    """Each tag with its attributes and those of the tags around it."""
    here = {**above, **tag.attrib}
    yield tag, here
    for child in tag:
        yield from _walk(child, here)


def find_faults(config: str, data: Mapping[str, str], result: Sequence[Mapping[str, Any]]) -> list[str]:
    """What in a prediction's result breaks the rules; nothing for a right one."""
    rules, regions = rules_of(config), dict[str, Mapping[str, Any]]()
    faults: list[str] = []
    for item in result:
        if item.get("type") == "labels" and not (fault := _look_at_region(rules, data, item, regions)):
            regions[item["id"]] = item
        elif item.get("type") == "labels":
            faults.append(fault)
    for item in result:
        kind = item.get("type")
        if kind == "relation":
            faults += _look_at_relation(rules, item, regions)
        elif kind != "labels":
            faults += _look_at_answer(rules, item, regions)
    if rules.most is not None and len(regions) > rules.most:
        faults.append(f"{len(regions)} answers to one question")
    return faults


def _look_at_region(
    rules: Rules, data: Mapping[str, str], item: Mapping[str, Any], known: Mapping[str, Mapping[str, Any]]
) -> str:
    """What is wrong with it; "" for nothing."""
    value, names = item.get("value", {}), rules.marking.get(str(item.get("from_name")))
    start, end, labels = value.get("start"), value.get("end"), value.get("labels")
    if names is None or item.get("to_name") != "text":
        return f"a region of {item.get('from_name')!r} on {item.get('to_name')!r}"
    if not isinstance(item.get("id"), str) or item["id"] in known:
        return f"a region's id is {item.get('id')!r}"
    if not (isinstance(start, int) and isinstance(end, int) and 0 <= start < end <= len(data["text"])):
        return f"a region from {start} to {end} in {len(data['text'])} characters"
    if value.get("text", data["text"][start:end]) != data["text"][start:end]:
        return f"a region says {value['text']!r} where {data['text'][start:end]!r} stands"
    return "" if labels and set(labels) <= names else f"a region with the labels {labels}"


def _look_at_answer(rules: Rules, item: Mapping[str, Any], regions: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    name, kind = str(item.get("from_name")), item.get("type")
    if name in rules.whole:
        if kind != "choices" or not set(item["value"]["choices"]) <= rules.whole[name]:
            yield f"{item['value']} for {name!r}"
        return
    if name not in rules.asked:
        yield f"an answer to {name!r}"
        return
    wanted, names, labels = rules.asked[name]
    region = regions.get(str(item.get("id")))
    if region is None:
        yield f"an answer to {name!r} without its region"
    elif labels is not None and not labels & set(region["value"]["labels"]):
        yield f"an answer to {name!r} about {region['value']['labels']}"
    given = item["value"].get("text" if wanted == "textarea" else wanted)
    said = {part for one in given for part in ([one] if isinstance(one, str) else one)} if names and given else set()
    if kind != wanted or not given or not said <= names:
        yield f"{given!r} for {name!r}"


def _look_at_relation(rules: Rules, item: Mapping[str, Any], regions: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    ends = item.get("from_id"), item.get("to_id")
    if not all(end in regions for end in ends) or ends[0] == ends[1]:
        yield f"a relation between {ends}, of {sorted(regions)}"
    if item.get("direction") not in ("right", "left", "bi"):
        yield f"a relation to the {item.get('direction')!r}"
    if not set(item.get("labels") or ()) <= rules.relations:
        yield f"a relation called {item.get('labels')}"
