"""The last look at a result before it leaves: what would harm the annotator's page is taken out, the rest stays.

Label Studio's API takes anything. One region with a number for an id, or a relation to nothing, and its page stays
white; with labels in a string the whole prediction is lost, and submitting says "no entities". Each rule was
seen in the page; tests/support/recorded/spans holds what was sent and what came back.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from backend.labelstudio.label_config.answer_values import is_answer
from backend.labelstudio.label_config.region_controls import RegionCondition
from backend.labelstudio.spans.control import Foreign, RegionQuestion, Result, SpanConfig, SpanControl
from backend.labelstudio.spans.page import NoPlace, Offsets, Page

REASONS = (
    *("not_plain", "not_a_region", "bad_id", "id_twice", "bad_score", "bad_meta", "read_only", "unknown_control"),
    *("wrong_type", "wrong_object", "no_page", "no_labels", "unknown_label", "no_place", "outside", "text_disagrees"),
    *("over_limit", "no_region", "label_not_asked", "bad_answer", "bad_relation"),
)
"""Why a region is dropped."""

_ID = re.compile(r"[A-Za-z0-9_-]{1,80}")
_TURN = re.compile(r"0|[1-9][0-9]{0,8}")
_DIRECTIONS = ("right", "left", "bi")
_LISTS = ("choices", "taxonomy", "textarea")
MAX_DEPTH = 16


@dataclass(frozen=True, slots=True)
class Checked:
    """What may leave, in the order given, and how many results were dropped for which reason."""

    result: Result
    dropped: Mapping[str, int]


class _Dropped(Exception):
    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


@dataclass(slots=True)
class _Region:
    """A span that stands: all its labels, also those of a second control with the same id."""

    page: Page
    offsets: Offsets
    labels: dict[str, list[str]] = field(default_factory=dict)  # by control


def check_result(
    config: SpanConfig, pages: Mapping[str, Page], result: object, *, taken_ids: Collection[str] = ()
) -> Checked:
    """`result` without what the page's rules forbid. `config`: with the labels of the task; `pages`: its texts;
    `taken_ids`: ids of regions that are on the page already, which must not come again."""
    return _Check(config, pages, set(taken_ids)).run(result if isinstance(result, list) else [])


class _Check:
    def __init__(self, config: SpanConfig, pages: Mapping[str, Page], taken: set[str]) -> None:
        self._config, self._pages, self._taken = config, pages, taken
        self._regions: dict[str, _Region] = {}
        self._dropped: Counter[str] = Counter()
        self._over: set[int] = set()

    def run(self, result: Sequence[object]) -> Checked:
        self._over = self._over_limit(result)
        kept: Result = []
        # Relations may stand anywhere in the list, their ends may not be missing.
        relations = [_is_relation(item) for item in result]
        stays = [
            not relation and self._stays(item, at)
            for at, (item, relation) in enumerate(zip(result, relations, strict=True))
        ]
        for at, item in enumerate(result):
            if isinstance(item, Mapping) and (stays[at] or (relations[at] and self._stays(item, at))):
                kept.append(dict(item))
        return Checked(kept, dict(self._dropped))

    def _stays(self, item: object, at: int) -> bool:
        try:
            self._look(item, at)
        except _Dropped as reason:
            self._dropped[reason.reason] += 1
            return False
        return True

    def _look(self, item: object, at: int) -> None:
        """Raises _Dropped."""
        if not is_plain(item):
            raise _Dropped("not_plain")
        if not isinstance(item, Mapping):
            raise _Dropped("not_a_region")
        if _is_relation(item):
            return self._look_at_relation(item)
        _look_at_frame(item)
        name = item.get("from_name")
        control = _control(self._config, name)
        if control is not None:
            self._look_at_span(item, control, at)
        elif isinstance(name, str) and name in self._config.questions_by_name:
            self._look_at_answer(item, self._config.questions_by_name[name])
        elif isinstance(name, str) and name in self._config.others:
            self._look_at_other(item, *self._config.others[name])
        else:
            raise _Dropped("unknown_control")

    def _look_at_span(self, item: Foreign, control: SpanControl, at: int) -> None:
        page, offsets = self._place(item, control)
        if at in self._over:
            raise _Dropped("over_limit")
        id_ = item.get("id")
        if id_ is None:
            return  # the page makes one; nothing can refer to it
        region = self._regions.get(id_)
        if id_ in self._taken and region is None:
            raise _Dropped("id_twice")
        if region is None:
            region = self._regions[id_] = _Region(page, offsets)
            self._taken.add(id_)
        elif region.page is not page or region.offsets != offsets or control.name in region.labels:
            raise _Dropped("id_twice")
        region.labels[control.name] = list(item["value"][control.key])

    def _place(self, item: Foreign, control: SpanControl) -> tuple[Page, Offsets]:
        """The page and place of a span that is right in itself. Raises _Dropped."""
        value = item["value"]
        if item.get("type") != control.key:
            raise _Dropped("wrong_type")
        if item.get("to_name") != control.object.name:
            raise _Dropped("wrong_object")
        page = self._pages.get(control.object.name)
        if page is None:
            raise _Dropped("no_page")
        _look_at_labels(value.get(control.key), control)
        offsets = _offsets(page, value)
        text = value.get("text", "")
        if not isinstance(text, str) or (_keeps_text(page) and "text" in value and page.text[slice(*offsets)] != text):
            raise _Dropped("text_disagrees")
        return page, offsets

    def _over_limit(self, result: Sequence[object]) -> set[int]:
        """Where in the result spans are that take a label beyond its number: those with the lowest scores."""
        if not any(control.most for control in self._config.controls):
            return set()
        spans: list[tuple[float, int, SpanControl, list[str]]] = []
        for at, item in enumerate(result):
            control = _control(self._config, item.get("from_name")) if isinstance(item, Mapping) else None
            if not isinstance(item, Mapping) or control is None or not is_plain(item):
                continue
            try:
                _look_at_frame(item)
                self._place(item, control)
            except _Dropped:
                continue
            spans.append((-float(item.get("score", 0.0)), at, control, item["value"][control.key]))
        over, count = set(), Counter[tuple[str, str]]()
        for _, at, control, labels in sorted(spans, key=lambda one: one[:2]):
            if any(count[control.name, one] >= control.most.get(one, math.inf) for one in labels):
                over.add(at)
            else:
                count.update((control.name, one) for one in labels)
        return over

    def _look_at_answer(self, item: Foreign, question: RegionQuestion) -> None:
        """An answer about a region comes after it, with its id and place. Raises _Dropped."""
        value, region = item["value"], self._regions.get(item.get("id", ""))
        if item.get("type") != question.tag:
            raise _Dropped("wrong_type")
        if item.get("to_name") != question.to_name:
            raise _Dropped("wrong_object")
        if region is None or region.page.object.name != question.to_name:
            raise _Dropped("no_region")
        _look_at_value(question.tag, value)
        if question.asked is not None and not is_answer(question.asked, value):
            raise _Dropped("bad_answer")
        if (
            any(name in value for name in ("start", "end", "globalOffsets"))
            and _offsets(region.page, value) != region.offsets
        ):
            raise _Dropped("no_place")
        if not all(self._holds(condition, region) for condition in question.conditions):
            raise _Dropped("label_not_asked")

    def _holds(self, condition: RegionCondition, region: _Region) -> bool:
        """Whether a region has what a question is asked for."""
        labels = {label for name, found in region.labels.items() if condition.tag in ("", name) for label in found}
        return condition.labels is None or self._asked(condition.labels, region, labels)

    def _asked(self, wanted: Sequence[str], region: _Region, labels: Collection[str]) -> bool:
        """Whether one of the labels is wanted, by its alias or its value."""
        known = {*wanted}
        for name in region.labels:
            if (control := _control(self._config, name)) is not None:
                known |= {control.names[one] for one in wanted if one in control.names}
        return not known.isdisjoint(labels)

    def _look_at_other(self, item: Foreign, tag: str, to_names: Sequence[str]) -> None:
        """An answer about the whole task. Raises _Dropped."""
        name, id_ = item["from_name"], item.get("id")
        if item.get("type") != tag:
            raise _Dropped("wrong_type")
        if item.get("to_name") not in (*to_names, *([name] if tag == "pairwise" else [])):
            raise _Dropped("wrong_object")
        if id_ in self._taken:
            raise _Dropped("id_twice")  # it would be about that region
        _look_at_value(tag, item["value"])
        if id_ is not None:
            self._taken.add(id_)

    def _look_at_relation(self, item: Foreign) -> None:
        ends = [item.get("from_id"), item.get("to_id")]
        labels = item.get("labels", [])
        if (
            self._config.relations is None
            or not all(isinstance(end, str) and end in self._regions for end in ends)
            or item.get("direction", "right") not in _DIRECTIONS
            or not isinstance(labels, list)
            or not all(isinstance(one, str) and one in self._config.relations for one in labels)
        ):
            raise _Dropped("bad_relation")


def is_plain(value: object, depth: int = 0) -> bool:
    """Whether a value is JSON that can be sent: nothing null or infinite in it, and no half characters."""
    if isinstance(value, str):
        return value.isascii() or not any("\ud800" <= char <= "\udfff" for char in value)
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, list):
        return depth < MAX_DEPTH and all(is_plain(one, depth + 1) for one in value)
    if isinstance(value, dict):
        return depth < MAX_DEPTH and all(
            isinstance(name, str) and is_plain(name) and is_plain(one, depth + 1) for name, one in value.items()
        )
    return isinstance(value, bool) or (isinstance(value, int) and -(2**63) <= value < 2**63)


def _is_relation(item: object) -> bool:
    return isinstance(item, Mapping) and item.get("type") == "relation"


def _control(config: SpanConfig, name: object) -> SpanControl | None:
    if config.shown is not None and name == config.shown.name:
        return config.shown
    return config.by_name.get(name) if isinstance(name, str) else None


def _look_at_frame(item: Foreign) -> None:
    """What every result but a relation has beside its value. Raises _Dropped."""
    if not isinstance(item.get("value"), Mapping) or not item["value"]:
        raise _Dropped("not_a_region")
    if "id" in item and not (isinstance(item["id"], str) and _ID.fullmatch(item["id"])):
        raise _Dropped("bad_id")
    score = item.get("score", 0.0)
    if isinstance(score, bool) or not isinstance(score, int | float):
        raise _Dropped("bad_score")
    meta = item.get("meta", {})
    if not isinstance(meta, Mapping) or not _texts(meta.get("text", [])):
        raise _Dropped("bad_meta")
    if item.get("readonly", False) is not False:
        raise _Dropped("read_only")


def _look_at_labels(labels: object, control: SpanControl) -> None:
    if not isinstance(labels, list) or not _texts(labels) or not (labels or control.allow_empty):
        raise _Dropped("no_labels")
    # Where there is an alias, Label Studio's import drops a whole prediction for the value.
    if any(control.names.get(one) != one for one in labels) or len(set(labels)) < len(labels):
        raise _Dropped("unknown_label")


def _look_at_value(tag: str, value: Foreign) -> None:
    """Answers in lists are lists: the page loses all of a prediction over a string. Raises _Dropped."""
    key = {"textarea": "text"}.get(tag, tag)
    if tag in _LISTS and not isinstance(value.get(key), list):
        raise _Dropped("bad_answer")


def _texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


def _keeps_text(page: Page) -> bool:
    """Whether the page shows and submits `value.text` as sent."""
    return page.turns is None and page.html is None


def _offsets(page: Page, value: Foreign) -> Offsets:
    """The place of a span in just the form that its object takes. Raises _Dropped."""
    if not _has_form(page, value):
        raise _Dropped("no_place")
    try:
        offsets = page.offsets_of(value)
    except NoPlace as error:
        raise _Dropped(error.code) from error
    if not _paths_agree(page, value, offsets):
        raise _Dropped("no_place")
    return offsets


def _has_form(page: Page, value: Foreign) -> bool:
    start, end = value.get("start"), value.get("end")
    inside = [value.get("startOffset"), value.get("endOffset")]
    if page.turns is not None:
        return (
            all(isinstance(one, str) and _TURN.fullmatch(one) for one in (start, end))
            and _whole(*inside)
            and not _splits(page, value)
        )
    if page.html is None:
        return _whole(start, end)
    whole = value.get("globalOffsets")
    if isinstance(start, str) and isinstance(end, str):
        global_ = isinstance(whole, Mapping) and _whole(whole.get("start"), whole.get("end"))
        return _whole(*inside) and (global_ or whole is None)
    return _whole(start, end) and whole is None


def _splits(page: Page, value: Foreign) -> bool:
    turns, places = page.turns, (("start", "startOffset"), ("end", "endOffset"))
    return turns is not None and any(turns.splits_character((int(value[a]), value[b])) for a, b in places)


def _paths_agree(page: Page, value: Foreign, offsets: Offsets) -> bool:
    """A path that leads somewhere wins over global offsets, so that it has to lead to the same place."""
    if page.html is None or not isinstance(value.get("start"), str):
        return True
    for name, inside, wanted in (("start", "startOffset", offsets[0]), ("end", "endOffset", offsets[1])):
        found = page.html.position(value[name], value[inside]) if value[name] else None
        if found not in (None, wanted):
            return False
    return True


def _whole(*values: object) -> bool:
    return all(type(one) is int for one in values)
