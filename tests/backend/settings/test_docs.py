from __future__ import annotations

import re
from pathlib import Path

from backend.settings.docs import settings_table
from backend.settings.settings import Settings

ROOT = Path(__file__).parents[3]


def test_the_document_is_current() -> None:
    assert (ROOT / "docs" / "settings.md").read_text(encoding="utf-8") == settings_table(), "run `make docs`"


def test_every_setting_has_a_row_that_says_what_it_does() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| .+ \| .+ \| (.+) \|$", settings_table(), re.MULTILINE))
    assert set(rows) == {name.upper() for name in Settings.model_fields}
    assert all(len(text) > 10 for text in rows.values())


def test_bounds_and_choices_are_shown() -> None:
    table = settings_table()
    assert "| `PORT` | `9090` | whole number, ≥ 1, ≤ 65535 |" in table
    assert "`DEBUG`, `INFO`, `WARNING`, `ERROR`" in table
    assert "| `ADMIN_TOKEN` | (empty) | secret text |" in table
