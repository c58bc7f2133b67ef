"""The page on the architecture: its drawing is of rooms that are there, its ways of files and functions that are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from backend.reference.rooms import rooms
from tests.test_architecture import ALLOWED

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
NODE = r'(\w+)(?:\["([\w/]+)"\])?'
QUESTIONS = (
    "Where is a label's webhook read?",
    "Which Redis keys has a training?",
    "How does a confidence become a score?",
    "What decides that a fine-tune is due?",
    "How is a task chosen next?",
    "What does `/ready` answer?",
    "Where would a new control tag be added?",
)


def drawing() -> tuple[dict[str, str], list[tuple[str, str]]]:
    """Name of a node -> its room, and the arrows between nodes."""
    text = PAGE.partition("flowchart TD")[2].partition("```")[0]
    nodes = dict(re.findall(r'(\w+)\["((?:backend|model)/[\w/]+)"\]', text))
    return nodes, re.findall(r'(\w+)(?:\["[^"]+"\])? --> (\w+)', text)


def test_every_room_has_its_line_in_its_own_words() -> None:
    lines = dict(re.findall(r"^\| \[`([\w/]+)/`\]\(\S+\) \| (.+) \|$", PAGE, re.MULTILINE))
    assert lines == dict(rooms())
    assert set(lines) == set(ALLOWED), "the rooms of the table of imports"


def test_every_arrow_of_the_drawing_is_one_that_may_be() -> None:
    nodes, arrows = drawing()
    assert len(nodes) > 20 and len(arrows) > 20
    assert set(nodes.values()) <= set(ALLOWED)
    for above, below in arrows:
        assert nodes[below] in ALLOWED[nodes[above]].split(), f"{nodes[above]} does not import {nodes[below]}"


def test_every_question_has_an_answer_with_a_file() -> None:
    answers = dict(re.findall(r"^\| (.+\?) \| (.+) \|$", PAGE, re.MULTILINE))
    assert set(QUESTIONS) <= set(answers)
    assert all(re.search(r"`(backend|model)/[\w/]+(\.py|/)`", answer) for answer in answers.values())


@pytest.mark.parametrize("page", ["architecture.md", "glossary.md"])
def test_every_file_and_function_that_is_named_is_there(page: str) -> None:
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    named = re.findall(r"`((?:backend|model)/[\w/]+\.(?:py|lua))`(?: \(((?:`\w+`(?:, )?)+)\))?", text)
    assert len(named) > 25
    for path, functions in named:
        source = (ROOT / path).read_text(encoding="utf-8")
        for function in re.findall(r"`(\w+)`", functions):
            pattern = rf"^ *(?:async )?(?:def|class) {function}\b|^{function}\b.*= "
            assert re.search(pattern, source, re.MULTILINE), f"{path} has no {function}"
