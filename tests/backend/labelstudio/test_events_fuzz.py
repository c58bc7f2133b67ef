"""Mutated recordings: whatever arrives at /webhook is an event or a bad request that names its field."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from backend.errors import BadRequest
from backend.labelstudio.events import Event, parse_webhook, to_records
from backend.labelstudio.task_spec import parse_label_config
from tests.support.label_configs import CONFIGS, WEBHOOKS

NUMBERS = st.integers() | st.sampled_from([0, -1, 10**30, 2**63]) | st.floats()
SCALARS = st.none() | st.booleans() | NUMBERS | st.text(max_size=8) | st.sampled_from(["\ud800", "\0", "٣", "7"])
KEYS = st.sampled_from(["id", "task", "result", "data", "value", "choices"]) | st.text(max_size=5)
JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=8
)

_BULK = ("parsed_label_config", "control_weights")
BODIES = [
    {**body, "project": {key: value for key, value in body["project"].items() if key not in _BULK}}
    for body in (row["body"] for row in WEBHOOKS)
]
SPEC = parse_label_config(CONFIGS["single"])


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """(container, key) of every value inside `value`."""
    keys = list(value) if isinstance(value, dict) else list(range(len(value))) if isinstance(value, list) else []
    for key in keys:
        yield value, key
        yield from places(value[key])


@st.composite
def mutated(draw: st.DrawFn) -> Any:
    """A recorded body with up to four values dropped, replaced, wrapped in a list or doubled."""
    body = copy.deepcopy(draw(st.sampled_from(BODIES)))
    for _ in range(draw(st.integers(1, 4))):
        # What the parser reads is in few of the many places: half of the blows go there.
        near = [place for place in places(body) if place[1] in READ]
        spots = near if near and draw(st.booleans()) else list(places(body))
        if not spots:
            break
        holder, key = draw(st.sampled_from(spots))
        match draw(st.sampled_from(["drop", "replace", "replace", "wrap", "double"])):
            case "drop":
                del holder[key]
            case "replace":
                holder[key] = draw(JSON)
            case "wrap":
                holder[key] = [holder[key]]
            case "double":
                holder[key] = [holder[key], copy.deepcopy(holder[key])]
    return body


READ = frozenset(
    {
        *("action", "project", "annotation", "annotations", "task", "tasks", "id", "label_config", "result"),
        *("was_cancelled", "data", "updated_at", "created_at", "completed_by", "text", "value", "choices", "from_name"),
    }
)


def check(body: Any) -> None:
    try:
        event = parse_webhook(body)
        records = to_records(event, SPEC)
    except BadRequest as error:
        assert isinstance(error.evidence["field"], str) and error.evidence["field"]
        return
    assert isinstance(event, Event)
    assert type(event.project) is int and event.project >= 0
    for record in records:
        assert record.annotation > 0 and record.task > 0
        assert type(record).from_json(record.to_json()) == record


@settings(deadline=None, max_examples=500)
@given(mutated())
def test_a_mutated_recording_is_an_event_or_a_bad_request_that_names_its_field(body: Any) -> None:
    check(body)


@settings(deadline=None, max_examples=200)
@given(JSON)
def test_any_json_is_an_event_or_a_bad_request_that_names_its_field(body: Any) -> None:
    check(body)


ACTIONS = st.sampled_from(sorted({body["action"] for body in BODIES})) | st.just("ANNOTATION_DELETED")
FIELDS = st.sampled_from(["project", "annotation", "annotations", "task", "tasks"])


@settings(deadline=None, max_examples=300)
@given(ACTIONS, st.dictionaries(FIELDS, JSON, max_size=4))
def test_any_payload_of_a_known_action_is_an_event_or_a_bad_request(action: str, fields: dict[str, Any]) -> None:
    check({"action": action, **fields})


@settings(deadline=None, max_examples=100)
@given(mutated())
def test_parsing_leaves_the_body_as_it_came(body: Any) -> None:
    before = repr(body)
    check(body)
    assert repr(body) == before
