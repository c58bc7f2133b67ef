"""Which questions a page asks: `visibleWhen`, as Label Studio 1.23.2's editor reads it."""

from __future__ import annotations

from typing import Any
from xml.sax.saxutils import quoteattr

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.errors import UnsupportedConfig
from backend.labelstudio.annotations import to_record
from backend.labelstudio.task_spec import parse_label_config, skipped_controls
from backend.rules.consensus import reach_consensus
from model.spec import TaskSpec
from model.visibility import hidden_rows, visible_controls

TEXT = '<Text name="text" value="$text"/>'
TONE = '<Choices name="tone" toName="text"><Choice value="Complaint" alias="c"/><Choice value="Praise"/></Choices>'
COMPLAINT = 'visibleWhen="choice-selected" whenTagName="tone" whenChoiceValue="Complaint"'


def asked(body: str, answers: dict[str, list[tuple[str, ...]]]) -> tuple[str, ...]:
    return visible_controls(parse_label_config(f"<View>{TEXT}{body}</View>"), answers)


def choices(name: str, attributes: str = "", values: str = "XY", inside: str = "") -> str:
    options = inside or "".join(f'<Choice value="{value}"/>' for value in values)
    return f'<Choices name="{name}" toName="text" {attributes}>{options}</Choices>'


FAULT = choices("fault", COMPLAINT)


@pytest.mark.parametrize(
    ("body", "answers", "shown"),
    [
        (FAULT, {}, False),
        (FAULT, {"tone": [("Praise",)]}, False),
        (FAULT, {"tone": [("c",)]}, True),  # by its shown text, though results carry the alias
        (choices("fault", COMPLAINT.replace("Complaint", "c")), {"tone": [("c",)]}, True),
        (choices("fault", COMPLAINT.replace("Complaint", "Praise,c")), {"tone": [("c",)]}, True),
        (choices("fault", COMPLAINT.replace("Complaint", "Praise, c")), {"tone": [("c",)]}, False),  # " c" is no choice
        (choices("fault", COMPLAINT.lower().replace("complaint", "Complaint")), {"tone": [("c",)]}, True),
        (choices("fault", COMPLAINT.replace("visibleWhen", "VISIBLEWHEN")), {}, False),
        (choices("fault", 'visibleWhen="choice-selected" whenTagName="tone"'), {"tone": [("Praise",)]}, True),
        (choices("fault", 'visibleWhen="choice-selected" whenTagName="tone"'), {}, False),
        (choices("fault", 'visibleWhen="choice-selected"'), {"tone": [("Praise",)]}, True),
        (choices("fault", 'visibleWhen="choice-selected"'), {"fault": [("X",)]}, False),  # its own answer shows nothing
        (choices("fault", 'visibleWhen="choice-selected" whenChoiceValue="Complaint"'), {"tone": [("c",)]}, True),
        (choices("fault", 'visibleWhen="choice-selected" whenChoiceValue="Complaint"'), {"tone": [("Praise",)]}, False),
        (choices("fault", 'whenChoiceValue="Praise"'), {"tone": [("Praise",)]}, True),
        (choices("fault", 'whenChoiceValue="Praise"'), {"tone": [("c",)]}, False),
        (choices("fault", COMPLAINT.replace("-selected", "-unselected")), {}, True),
        (choices("fault", COMPLAINT.replace("-selected", "-unselected")), {"tone": [("c",)]}, False),
        (choices("fault", 'visibleWhen="choice-unselected"'), {"tone": [("Praise",)]}, False),
        (choices("fault", 'visibleWhen="choice-unselected" whenTagName="nobody"'), {"tone": [("c",)]}, True),
        (choices("fault", 'visibleWhen="no-region-selected"'), {}, True),  # as the page opens
        (choices("fault", 'visibleWhen="sometimes"'), {}, True),
        (choices("fault", 'whenTagName="tone"'), {}, True),
        (choices("fault", 'whenLabelValue="Person"'), {}, True),  # the page looks at it only for regions
        (f"<View {COMPLAINT}>{choices('fault')}</View>", {"tone": [("Praise",)]}, False),
        (f"<View {COMPLAINT}><Header value='h'/><View>{choices('fault')}</View></View>", {"tone": [("c",)]}, True),
        (
            f"<View {COMPLAINT}><Collapse><Panel value='p'>{choices('fault')}</Panel></Collapse></View>",
            {"tone": [("Praise",)]},
            False,
        ),
        (f"<Collapse {COMPLAINT}><Panel value='p'>{choices('fault')}</Panel></Collapse>", {}, True),  # a Collapse stays
        (f'<Rating name="fault" toName="text" {COMPLAINT}/>', {}, True),  # as does a Rating
        (f'<View {COMPLAINT}><Rating name="fault" toName="text"/></View>', {}, False),
        (f'<Taxonomy name="fault" toName="text" {COMPLAINT}><Choice value="A"/></Taxonomy>', {}, False),
    ],
)
def test_what_shows_a_question(body: str, answers: dict[str, list[tuple[str, ...]]], shown: bool) -> None:
    assert ("fault" in asked(TONE + body, answers)) is shown


TREE = (
    '<Taxonomy name="tree" toName="text"><Choice value="A"><Choice value="One" alias="1"/></Choice>'
    '<Choice value="B"><Choice value="Two"/></Choice></Taxonomy>'
)
NESTED = (
    '<Choices name="nest" toName="text" choice="multiple" allowNested="true"><Choice value="A"><Choice value="One"/>'
    '</Choice><Choice value="B"><Choice value="Two"/><Choice value="Three"/></Choice></Choices>'
)


@pytest.mark.parametrize(
    ("before", "name", "value", "answer", "shown"),
    [
        (TREE, "tree", "One", ("A", "1"), True),
        (TREE, "tree", "1", ("A", "1"), True),
        (TREE, "tree", "A", ("A", "1"), False),  # a taxonomy's answer is its last part
        (TREE, "tree", "A", ("A",), True),
        (TREE, "tree", "Two,One", ("B", "Two"), True),
        (NESTED, "nest", "Two", ("B", "Two"), True),
        (NESTED, "nest", "A", ("A", "One"), True),  # its only choice below
        (NESTED, "nest", "B", ("B", "Two"), False),
        (NESTED, "nest", "B", ("B",), True),
        (choices("many", 'choice="multiple"'), "many", "Y", ("Y",), True),
        ('<Rating name="stars" toName="text"/>', "stars", "1,2", ("2",), True),
        ('<Rating name="stars" toName="text"/>', "stars", "1,2", ("3",), False),
        (choices("listed", 'value="$options"', inside=" "), "listed", "Late", ("Late",), True),
        (choices("comma", inside='<Choice value="a,b"/><Choice value="c"/>'), "comma", "c,a,b", ("a,b",), False),
        (choices("within", inside="<Choice>Late</Choice><Choice>Fine</Choice>"), "within", "Late", ("Late",), True),
        (choices("within", inside="<Choice>Late</Choice><Choice>Fine</Choice>"), "within", "Late", ("Fine",), False),
    ],
)
def test_what_a_value_names(before: str, name: str, value: str, answer: tuple[str, ...], shown: bool) -> None:
    more = choices("more", f'visibleWhen="choice-selected" whenTagName="{name}" whenChoiceValue="{value}"')
    assert ("more" in asked(before + more, {name: [answer]})) is shown


@pytest.mark.parametrize(
    ("attributes", "reason"),
    [
        ('visibleWhen="region-selected"', "selected region"),
        ('visibleWhen="region-selected" whenLabelValue="Person"', "selected region"),
        ('visibleWhen="choice-selected" whenTagName="role"', "selected region"),  # role is asked of a region
        ('visibleWhen="choice-selected" whenTagName="nobody"', "never shown"),
        ('visibleWhen="choice-selected" whenTagName="tone" whenChoiceValue="Typo"', "never shown"),
        ('visibleWhen="choice-selected" whenTagName="tone" whenChoiceValue=""', "never shown"),
        ('visibleWhen="choice-selected" whenTagName="why"', "never shown"),  # a TextArea has no choices
        ('visibleWhen="choice-selected" whenTagName="each"', "never shown"),  # perRegion: nothing about the task
    ],
)
def test_no_question_about_the_task_is_left_out_with_its_reason(attributes: str, reason: str) -> None:
    others = (
        choices("role", 'visibleWhen="region-selected"')
        + choices("each", 'perRegion="true"')
        + '<TextArea name="why" toName="text"/>'
    )
    config = f"<View>{TEXT}{TONE}{others}{choices('fault', attributes)}</View>"
    assert [control.name for control in parse_label_config(config).controls] == ["tone"]
    assert any("'fault'" in line and reason in line and line.isascii() for line in skipped_controls(config))


def test_a_config_with_nothing_but_such_questions_is_refused_with_the_reason() -> None:
    with pytest.raises(UnsupportedConfig, match="selected region"):
        parse_label_config(f"<View>{TEXT}<View visibleWhen='region-selected'>{choices('role')}</View></View>")


def test_a_chain_ends_where_a_question_is_hidden() -> None:
    second = choices("second", 'visibleWhen="choice-selected" whenTagName="fault" whenChoiceValue="X"')
    answers = {"fault": [("X",)], "second": [("X",)]}
    assert asked(second + FAULT + TONE, {**answers, "tone": [("c",)]}) == ("second", "fault", "tone")
    assert asked(second + FAULT + TONE, {**answers, "tone": [("Praise",)]}) == ("tone",)


def test_a_circle_neither_hangs_nor_hides_everything() -> None:
    first = choices("first", 'visibleWhen="choice-unselected" whenTagName="second"')
    second = choices("second", 'visibleWhen="choice-unselected" whenTagName="first"')
    assert asked(first + second, {"first": [("X",)], "second": [("X",)]}) == ("first",)
    assert asked(first + second, {"second": [("X",)]}) == ("first", "second")


def test_conditions_survive_json_and_change_the_digest() -> None:
    spec, plain = (parse_label_config(f"<View>{TEXT}{TONE}{body}</View>") for body in (FAULT, choices("fault")))
    assert TaskSpec.from_json(spec.to_json()) == spec
    assert spec.digest != plain.digest
    assert "conditions" not in str(plain.to_json())  # the digests of stored versions stay


UNLEARNED = (
    '<Image name="image" value="$image"/><Choices name="quality" toName="image"><Choice value="Bad"/></Choices>'
    + choices("fault", 'visibleWhen="choice-selected" whenTagName="quality" whenChoiceValue="Bad"')
)


def result(name: str, *values: str) -> dict[str, Any]:
    return {"from_name": name, "to_name": "text", "type": "choices", "value": {"choices": list(values)}}


def record(config: str, results: list[dict[str, Any]]) -> Any:
    annotation = {"id": 1, "task": 1, "result": results, "updated_at": "2026-01-01T00:00:00Z"}
    return to_record(parse_label_config(config), annotation, {"id": 1, "data": {"text": "a"}})


@pytest.mark.parametrize(("quality", "kept"), [([result("quality", "Bad")], True), ([], False)])
def test_an_annotation_says_what_was_chosen_where_nothing_is_learned(quality: list[Any], kept: bool) -> None:
    config = f"<View>{TEXT}{UNLEARNED}</View>"
    assert ("fault" in record(config, [*quality, result("fault", "X")]).targets) is kept
    assert visible_controls(parse_label_config(config), {}) == ()  # as the page opens: nothing is chosen


def test_annotations_older_than_a_condition_are_learned_as_it_says() -> None:
    config = f"<View>{TEXT}{TONE}{choices('fault')}</View>"
    praise = record(config, [result("tone", "Praise"), result("fault", "X")])
    spec = parse_label_config(f"<View>{TEXT}{TONE}{FAULT}</View>")
    assert not reach_consensus(spec, [praise]).samples["fault"]
    assert reach_consensus(spec, [praise]).samples["tone"]
    # What was chosen in the picture's question is not stored: its followers are believed.
    assert reach_consensus(parse_label_config(f"<View>{TEXT}{UNLEARNED}</View>"), [praise]).samples["fault"]


def test_rows_are_hidden_one_by_one() -> None:
    spec = parse_label_config(f"<View>{TEXT}{TONE}{FAULT}</View>")
    hidden = hidden_rows(spec, {"tone": [("c",), ("Praise",), (), ("",)], "fault": [("X",), ("X",), (), ()]})
    assert hidden["fault"].tolist() == [False, True, True, True]
    assert not hidden["tone"].any()


# Any tree of conditions against an obvious reading of the same tree.

Tag = dict[str, Any]
VALUES = ("A", "B", "C")
NAMES = ("q0", "q1", "q2", "q3", "q4")


@st.composite
def configs(draw: st.DrawFn) -> tuple[str, dict[str, list[Tag]]]:
    """A config of five questions, and for each the attributes of all tags that can hide it. Questions look only at
    those of a lower rank, in whatever order they stand."""
    rank = draw(st.permutations(NAMES))
    reasons: dict[str, list[Tag]] = {}
    body = ""
    for name in NAMES:
        before = [other for other in rank if rank.index(other) < rank.index(name)]
        tags = draw(st.lists(conditions(before), max_size=3)) if before else []
        own, above = (tags[0], tags[1:]) if tags else ({}, [])
        xml = choices(name, _attributes(own), "ABC") if draw(st.booleans()) else _multiple(name, own)
        for tag in above:
            xml = f"<View {_attributes(tag)}>{xml}</View>"
        reasons[name], body = tags, body + xml
    return f"<View>{TEXT}{body}</View>", reasons


def conditions(before: list[str]) -> st.SearchStrategy[Tag]:
    return st.fixed_dictionaries(
        {
            "visibleWhen": st.sampled_from(["choice-selected", "choice-unselected"]),
            "whenTagName": st.sampled_from(before),
        },
        optional={"whenChoiceValue": st.lists(st.sampled_from(VALUES), min_size=1, max_size=2).map(",".join)},
    )


def _attributes(tag: Tag) -> str:
    return " ".join(f"{name}={quoteattr(value)}" for name, value in tag.items())


def _multiple(name: str, own: Tag) -> str:
    return choices(name, 'choice="multiple" ' + _attributes(own), "ABC")


def is_shown(name: str, reasons: dict[str, list[Tag]], answers: dict[str, list[str]]) -> bool:
    for tag in reasons[name]:
        other = tag["whenTagName"]
        wanted = tag["whenChoiceValue"].split(",") if "whenChoiceValue" in tag else list(VALUES)
        selected = is_shown(other, reasons, answers) and bool(set(wanted) & set(answers.get(other, [])))
        if selected is not (tag["visibleWhen"] == "choice-selected"):
            return False
    return True


ANSWERS = st.dictionaries(st.sampled_from(NAMES), st.lists(st.sampled_from(VALUES), min_size=1, unique=True))


@given(configs(), ANSWERS)
@settings(max_examples=200, deadline=None)
def test_any_tree_of_conditions_is_read_as_it_stands(
    made: tuple[str, dict[str, list[Tag]]], answers: dict[str, list[str]]
) -> None:
    config, reasons = made
    expected = tuple(name for name in NAMES if is_shown(name, reasons, answers))
    spec = parse_label_config(config)
    paths = {name: [(value,) for value in values] for name, values in answers.items()}
    assert visible_controls(spec, paths) == expected
    assert visible_controls(TaskSpec.from_json(spec.to_json()), paths) == expected
    stored = record(config, [result(name, *values) for name, values in answers.items()]).targets
    assert {name for name, target in stored.items() if target} == set(expected) & set(answers)
    assert set(stored) == set(expected), "what is shown and not answered is answered with nothing"
