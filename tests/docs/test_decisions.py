"""The index of the decisions names each page once, with its title, the day it was made and whether it still holds."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

DECISIONS = Path(__file__).parents[2] / "docs" / "decisions"
PAGES = sorted(DECISIONS.glob("[0-9]*.md"))
ROW = re.compile(r"^\| \[(\d{4})\]\((\S+)\) \| (.+) \| (\d{4}-\d\d-\d\d) \| (.+) \|$", re.MULTILINE)
STATUS = re.compile(r"in force|(?:in force, amended|superseded) by \[(\d{4})\]\((\S+)\)")
INDEX = {row[1]: row for row in ROW.findall((DECISIONS / "README.md").read_text(encoding="utf-8"))}


def test_every_page_has_one_line_and_every_line_a_page() -> None:
    text = (DECISIONS / "README.md").read_text(encoding="utf-8")
    assert len(ROW.findall(text)) == len(INDEX) == len(re.findall(r"^\| \[", text, re.MULTILINE))
    missing = sorted({page.name for page in PAGES} ^ set(INDEX))
    assert missing == [], "add to, or take out of, docs/decisions/README.md"
    assert list(INDEX) == sorted(INDEX), "in the order of their numbers"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_line_says_what_its_page_says(page: Path) -> None:
    number, _, title, _, status = INDEX[page.name]
    text = page.read_text(encoding="utf-8")
    assert text.startswith(f"# {number}: {title}\n") and page.name.startswith(f"{number}-")
    found = STATUS.fullmatch(status)
    assert found, f"{status!r} is no status"
    if later := found[2]:
        assert later in INDEX and found[1] == later[:4] > number
        assert found[1] in text, f"whoever reads {page.name} should be told of {later}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_is_as_old_as_it_says(page: Path) -> None:
    command = ["git", "log", "--diff-filter=A", "--follow", "--format=%as", "--", page.name]
    found = subprocess.run(command, cwd=DECISIONS, capture_output=True, text=True, check=False)
    if not found.stdout or (DECISIONS.parents[1] / ".git" / "shallow").exists():
        pytest.skip("no history of this page here")
    assert INDEX[page.name][3] <= found.stdout.split()[-1], "it cannot be younger than its first commit"
