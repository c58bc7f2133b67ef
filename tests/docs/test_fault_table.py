"""The fault table of docs/faults.md: every row has an anchor and a test, and every row that is cited is there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROW = re.compile(
    r'^\| <a id="row-(\d+)"></a>(\d+) \| .+ \| .+ \| (`test_\w+\.py`(?:, `test_\w+\.py`)*) \|$', re.MULTILINE
)
TABLE = (ROOT / "docs" / "faults.md").read_text(encoding="utf-8").partition("\n## The fault table\n")[2]
ROWS = {int(number): set(re.findall(r"`(\w+\.py)`", tests)) for number, _, tests in ROW.findall(TABLE)}
CITED = re.compile(r"\brows? ((?:\[?\d+\]?(?:\([^)]*\))?(?:–|, | and | to )?)+)")
"""`row 7`, `rows 1–3, 10 and [21](…)`: numbers, each of them a link or not."""


def rows_tested() -> dict[int, set[str]]:
    """Row -> files of `tests/faults` with a test that carries its number."""
    found: dict[int, set[str]] = {}
    for path in (ROOT / "tests" / "faults").glob("test_*.py"):
        for number in re.findall(r"def test_row_(\d+)_", path.read_text(encoding="utf-8")):
            found.setdefault(int(number), set()).add(path.name)
    return found


def numbers(cited: str) -> set[int]:
    """The rows of a citation, without its links' targets."""
    bare = re.sub(r"\([^)]*\)", "", cited)
    spans = re.findall(r"\[?(\d+)\]?(?:(?:–| to )\[?(\d+)\]?)?", bare)
    return {row for first, last in spans for row in range(int(first), int(last or first) + 1)}


def test_rows_are_numbered_through_and_their_anchors_are_their_numbers() -> None:
    assert all(anchor == shown for anchor, shown, _ in ROW.findall(TABLE))
    assert list(ROWS) == list(range(1, len(ROWS) + 1)) and len(ROWS) >= 40
    assert TABLE.count('<a id="row-') == len(ROWS), "a row that cannot be read"


def test_every_row_is_tested_where_it_says_and_every_numbered_test_has_a_row() -> None:
    assert rows_tested() == ROWS


def test_what_is_read_of_a_citation() -> None:
    assert numbers("1–3, 10 and [21](faults.md#row-21)") == {1, 2, 3, 10, 21}
    assert numbers("[15](faults.md#row-15) to [18](faults.md#row-18)") == {15, 16, 17, 18}


def test_every_row_that_a_page_cites_is_there_and_linked() -> None:
    cited = 0
    for page in (ROOT / "SECURITY.md", ROOT / "docs" / "operations.md", ROOT / "docs" / "reliability.md"):
        text = page.read_text(encoding="utf-8")
        for found in CITED.findall(text):
            cited += 1
            assert numbers(found) <= set(ROWS), f"{page.name}: rows {found}"
            linked = {int(row) for row in re.findall(r"faults\.md#row-(\d+)", found)}
            assert linked and linked <= numbers(found), f"{page.name}: link {found!r} to docs/faults.md#row-N"
        assert set(map(int, re.findall(r"#row-(\d+)", text))) <= set(ROWS)
    assert cited > 20
