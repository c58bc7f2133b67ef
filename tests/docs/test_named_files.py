"""Every file, module and decision that a page, docstring or comment names is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CHANGES = {ROOT / "CHANGELOG.md", ROOT / "docs" / "moved-modules.md", *ROOT.glob("docs/decisions/*.md")}
"""They tell of what was, too."""

PAGES = {*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("docker/*")} - CHANGES
SOURCES = {path for folder in ("backend", "model", "bench") for path in (ROOT / folder).rglob("*.*")}
READ = sorted(path for path in {*PAGES, *SOURCES} if path.suffix in (".md", ".py", ".lua", ".yml"))
PATHS = re.compile(
    r"(?<![\w./<-])((?:backend|model|bench|tests|docs|docker)/[\w./-]*\w\.(?:py|lua|md|yml|png|svg|csv))\b"
)
MODULES = re.compile(r"\bpython -m ((?:backend|model|bench|tests)(?:\.\w+)*)|`(bench\.\w+(?:\.\w+)*)`")
DECISIONS = re.compile(r"\bdecisions?/(\d{4})\b")
BARE = re.compile(r"(?<![\w/.*-])([a-z_]+\.(?:py|lua))\b")
FILES = {
    path.name for folder in ("backend", "model", "bench", "tests", "docs") for path in (ROOT / folder).rglob("*.*")
}
THEIRS = {"model.py", "_wsgi.py", "setup.py"}
"""Names in other programs' projects."""


def is_module(name: str) -> bool:
    """A file or a package of ours, or something in one."""
    path = ROOT / name.replace(".", "/")
    return path.with_suffix(".py").is_file() or path.is_dir() or path.parent.with_suffix(".py").is_file()


def missing(text: str) -> list[str]:
    """What the text names and is not here."""
    gone = [path for path in PATHS.findall(text) if not (ROOT / path).exists()]
    gone += [name for pair in MODULES.findall(text) if not is_module(name := pair[0] or pair[1])]
    gone += [number for number in DECISIONS.findall(text) if not list(ROOT.glob(f"docs/decisions/{number}-*.md"))]
    return gone + [name for name in BARE.findall(text) if name not in FILES | THEIRS]


@pytest.mark.parametrize("folder", ["backend", "model", "bench", "docs", "."])
def test_whatever_is_named_is_there(folder: str) -> None:
    here = ROOT / folder
    read = [path for path in READ if (path.parent == here if folder == "." else path.is_relative_to(here))]
    assert read
    found = {path.relative_to(ROOT).as_posix(): gone for path in read if (gone := missing(path.read_text("utf-8")))}
    assert found == {}


@pytest.mark.parametrize(
    "text",
    [
        "see backend/no_such.py",
        "`python -m bench.no.such`",
        "`bench.nothing`",
        "docs/decisions/0999",
        "as gone_now.py does",
    ],
)
def test_what_is_not_there_is_found(text: str) -> None:
    assert len(missing(text)) == 1


@pytest.mark.parametrize(
    "text", ["backend/errors.py", "`python -m tests.support.walk --json`", "decisions/0021", "errors.py"]
)
def test_what_is_there_is_not(text: str) -> None:
    assert missing(text) == []
