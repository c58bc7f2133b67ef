"""Nothing that can be read here refers to something that cannot: documents and lists that are not in the repository."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
SUFFIXES = (".py", ".md", ".lua", ".toml", ".yml", ".sh", ".xml")
ELSEWHERE = re.compile(
    r"\bshared/design\b|\b(?:LEARNING|PROTOCOL|ARCHITECTURE|RELIABILITY|HOUSE|STYLE)(?:\.md|,? (?:section|method)\b)"
    r"|\b(?:issue|case) [0-9]+\b|\bmethod g\d+\b"
)
FOLDERS = ("backend", "model", "bench", "tests", "docs", "docker", ".github")


def test_every_reference_is_to_something_that_is_here() -> None:
    files = [*ROOT.glob("*.md"), *(file for folder in FOLDERS for file in (ROOT / folder).rglob("*"))]
    read = [file for file in files if file.suffix in SUFFIXES and file != Path(__file__)]
    assert len(read) > 600
    found = {
        file.relative_to(ROOT).as_posix(): names
        for file in read
        if (names := ELSEWHERE.findall(file.read_text(encoding="utf-8")))
    }
    assert found == {}
