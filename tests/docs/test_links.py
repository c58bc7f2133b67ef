"""No link within the documentation leads nowhere: neither to a file nor to a heading or anchor in it."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted({*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")})
LINK = re.compile(r"\]\(([^()\s]+)\)")
CODE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in LINK.findall(CODE.sub("", page.read_text(encoding="utf-8"))):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        assert file.exists() and file.is_relative_to(ROOT), f"{target}: no such file"
        if anchor and file.suffix == ".md":
            assert anchor in anchors_of(file), f"{target}: no such heading or anchor"


@cache
def anchors_of(page: Path) -> set[str]:
    """Those that GitHub makes of headings, and those that stand in the page."""
    text = CODE.sub("", page.read_text(encoding="utf-8"))
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {slug(heading) for heading in headings} | set(re.findall(r'id="([\w-]+)"', text))


def slug(heading: str) -> str:
    plain = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).lower()
    return re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")


def test_how_headings_become_anchors() -> None:
    assert slug("What `doctor` says, and *why*") == "what-doctor-says-and-why"
    assert slug("A [link](x.md) in a heading") == "a-link-in-a-heading"
