"""The front page: short, its pictures are those of today's tables, and what it has people run exists."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path

import defusedxml.ElementTree
import pytest

from bench.support.report import METHODS, picture_of, read_curve

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
MEASURED = (ROOT / "docs" / "measured.md").read_text(encoding="utf-8")
CURVE = ROOT / "docs" / "learning" / "curve.svg"
PICTURES = [ROOT / path for path in re.findall(r"!\[[^]]+\]\(([^)]+\.svg)\)", README)]


def test_it_is_read_in_two_minutes() -> None:
    assert len(README.splitlines()) <= 100 and len(README.split()) <= 900


def test_its_two_commands_are_the_first_block() -> None:
    block = README.split("```")[1]
    assert re.findall(r"^make (\w+)", block, re.MULTILINE) == ["up", "test"]


def test_every_headline_number_is_one_that_was_measured_and_its_command_exists() -> None:
    rows = re.findall(r"^\| (?!what|---)(.+) \| (.+) \| `python -m (\S+)((?: --\S+)*)` \|$", README, re.MULTILINE)
    assert len(rows) == 3
    for _, measured, module, options in rows:
        line = next(line for line in MEASURED.splitlines() if f"`python -m {module}{options}`" in line)
        for number in re.findall(r"\.?\d[\d,.]*", measured):
            assert number.strip(",.") in line or number in line, f"{number} is not in docs/measured.md"
        assert find_spec(module), module


def test_every_command_of_the_measured_table_exists() -> None:
    modules = re.findall(r"`(?:python -m )?(bench\.[\w.]+)(?: --\S+)*`", MEASURED)
    assert len(modules) > 15
    assert [module for module in modules if not find_spec(module)] == []


def test_the_curve_is_that_of_the_table() -> None:
    curves = [read_curve(method) for method, _, _ in METHODS]
    assert all(len(curve) >= 8 for curve in curves)
    assert CURVE.read_text(encoding="utf-8") == picture_of(curves), "run `make docs`"
    ours = dict(curves[0])
    said = re.search(r"!\[Right answers by labels given: (\d+) % with no label at all, (\d+) % with 1,000\]", README)
    assert said and [int(share) for share in said.groups()] == [round(100 * ours[0]), round(100 * ours[1000])]


@pytest.mark.parametrize("path", PICTURES, ids=lambda path: path.name)
def test_a_picture_has_words_for_those_who_cannot_see_it_and_colours_for_dark_screens(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    image = defusedxml.ElementTree.fromstring(text)
    assert len(image.findtext("{http://www.w3.org/2000/svg}title")) > 80
    assert "prefers-color-scheme: dark" in text and "<script" not in text
