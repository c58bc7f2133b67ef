"""Which label configs ask a question, and which only look like it."""

from __future__ import annotations

import pytest

from backend.labelstudio.task_spec import parse_label_config, span_config_of
from model.spec import TaskSpec
from tests.support.questions import TEMPLATE
from tests.support.spans import recorded


def view(body: str) -> str:
    return f"<View>{body}</View>"


ANSWER = '<Labels name="answer" toName="text"><Label value="Answer"/></Labels>'
SAID = '<Labels name="answer" Question="{}" toName="text"><Label value="Answer"/></Labels>'
TEXT = '<Text name="text" value="$text"/>'


def asked_by(config: str) -> tuple[str, str, str] | None:
    """Name, tag and value of the question that the first control asks."""
    spec = parse_label_config(config)
    name = spec.spans[0].question
    if name is None:
        return None
    (item,) = (one for one in spec.inputs if one.name == name)
    assert spec.spans[0].inputs == ("text.page", name) and item.page is None
    return item.name, item.tag, item.value


ASKING = {
    "the template": (TEMPLATE, ("question", "Text", "$question")),
    "other names": (
        view(f'{TEXT}<Text name="q" value="$item.q"/><Labels name="span" toName="text"><Label value="Span"/></Labels>'),
        ("q", "Text", "$item.q"),
    ),
    "by its field": (view(f'{ANSWER}<Text name="t2" value="$user_question"/>{TEXT}'), ("t2", "Text", "$user_question")),
    "camel case": (view(f'{TEXT}<Text name="userQuestion" value="$a"/>{ANSWER}'), ("userQuestion", "Text", "$a")),
    "HyperText": (
        view(f'<HyperText name="text" value="$html"/><HyperText name="question" value="$question"/>{ANSWER}'),
        ("question", "HyperText", "$question"),
    ),
    "a header": (view(f'<Header value="$question"/>{TEXT}{ANSWER}'), ("answer.question", "Text", "$question")),
    "words around": (
        view(f'{TEXT}<Header value="Question: $question"/>{ANSWER}'),
        ("answer.question", "Text", "Question: $question"),
    ),
    "German": (
        view(
            f'{TEXT}<Text name="frage" value="$frage"/><Labels name="l" toName="text"><Label value="Antwort"/></Labels>'
        ),
        ("frage", "Text", "$frage"),
    ),
    "Chinese": (
        view(f'{TEXT}<Text name="x" value="$x"/><Text name="问题" value="$y"/>{ANSWER}'),
        ("问题", "Text", "$y"),
    ),
    "by the heading": (
        view(f'{TEXT}<Header value="The question"/><Text name="x" value="$x"/>{ANSWER}'),
        ("x", "Text", "$x"),
    ),
    "two answers": (
        view(
            f'{TEXT}<Text name="question" value="$question"/><Labels name="a" toName="text">'
            '<Label value="Short answer"/><Label value="Long answer"/></Labels>'
        ),
        ("question", "Text", "$question"),
    ),
    "an alias": (
        view(
            f'{TEXT}<Text name="question" value="$question"/><Labels name="l" toName="text">'
            '<Label value="Antwort" alias="a"/></Labels>'
        ),
        ("question", "Text", "$question"),
    ),
    "said by tag": (
        view(f'{TEXT}<Text name="x" value="$x"/>{SAID.format("x")}'),
        ("x", "Text", "$x"),
    ),
    "said by field": (
        view(f"{TEXT}{ANSWER.replace('toName', 'Question=' + chr(34) + '$ask' + chr(34) + ' toName')}"),
        ("answer.question", "Text", "$ask"),
    ),
}

NOT_ASKING = {
    "a title": view(f'<Text name="title" value="$title"/>{TEXT}{ANSWER}'),
    "a link": view(
        f'<Text name="url" value="$url"/>{TEXT}<Labels name="l" toName="text"><Label value="PER"/></Labels>'
    ),
    "no second text": view(f"{TEXT}{ANSWER}"),
    "only a heading": view(f'<Header value="Mark the answer to the question"/>{TEXT}{ANSWER}'),
    "entities beside a question": view(
        f'<Text name="question" value="$question"/>{TEXT}<Labels name="l" toName="text"><Label value="PER"/>'
        '<Label value="LOC"/></Labels>'
    ),
    "many answers' kinds": view(
        f'<Text name="question" value="$question"/>{TEXT}<Labels name="answer" toName="text">'
        + "".join(f'<Label value="L{number}"/>' for number in range(9))
        + "</Labels>"
    ),
    "the question is marked too": view(
        f'{TEXT}<Text name="question" value="$question"/>{ANSWER}'
        '<Labels name="l2" toName="question"><Label value="Focus"/></Labels>'
    ),
    "the marked text is the question": view(
        '<Text name="question" value="$question"/>'
        '<Labels name="answer" toName="question"><Label value="Answer"/></Labels>'
    ),
    "fixed words": view(f'<Text name="question" value="Who did it?"/>{TEXT}{ANSWER}'),
    "switched off": TEMPLATE.replace('name="answer"', 'name="answer" question="no"'),
    "a tag that is not there": TEMPLATE.replace('name="answer"', 'name="answer" question="gone"'),
}


@pytest.mark.parametrize("case", ASKING)
def test_what_asks_is_recognised(case: str) -> None:
    config, expected = ASKING[case]
    assert asked_by(config) == expected


@pytest.mark.parametrize("case", NOT_ASKING)
def test_what_only_looks_like_it_is_not(case: str) -> None:
    assert parse_label_config(NOT_ASKING[case]).spans[0].question is None


def test_no_recorded_config_but_the_template_asks() -> None:
    asking = {
        case
        for name in ("config_variants", "text_offsets", "hypertext", "paragraphs", "relations_perregion")
        for case, entry in recorded(name).items()
        if isinstance(entry, dict) and isinstance(config := entry.get("config"), str) and _asks(config)
    }
    assert asking == {"qa_template"}


def _asks(config: str) -> bool:
    try:
        return any(control.question for control in parse_label_config(config).spans)
    except Exception:
        return False


def test_a_spec_that_asks_survives_json_and_others_keep_their_digest() -> None:
    spec = parse_label_config(TEMPLATE)
    assert TaskSpec.from_json(spec.to_json()) == spec
    assert TaskSpec.from_json(spec.to_json()).digest == spec.digest
    plain = parse_label_config(TEMPLATE.replace('name="answer"', 'name="answer" question="no"'))
    assert plain.digest != spec.digest
    # The digest that this config had before questions were read: nothing but the rule may have changed it.
    assert plain.to_json()["spans"][0]["inputs"] == ("text.page",)
    assert {item["name"] for item in plain.to_json()["inputs"]} == {"text.page"}


def test_a_question_that_choices_read_as_well_is_one_input() -> None:
    config = TEMPLATE.replace(
        "</View>", '<Choices name="kind" toName="question"><Choice value="a"/><Choice value="b"/></Choices></View>'
    )
    spec = parse_label_config(config)
    assert [item.name for item in spec.inputs] == ["question", "text.page"]
    assert spec.spans[0].inputs == ("text.page", "question") and spec.controls[0].inputs == ("question",)


def test_one_region_a_label_is_all_that_the_page_gets() -> None:
    (control,) = span_config_of(parse_label_config(TEMPLATE)).controls
    assert control.most == {"Answer": 1}
    off = TEMPLATE.replace('name="answer"', 'name="answer" question="no"')
    (control,) = span_config_of(parse_label_config(off)).controls
    assert control.most == {}
