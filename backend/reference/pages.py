"""Which pages are made as a whole, and which sections of pages that people write."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from backend.reference.chart import with_settings
from backend.reference.commands import command_page
from backend.reference.errors import error_table
from backend.reference.redis_keys import key_table
from backend.reference.rooms import room_table
from backend.reference.routes import route_table
from backend.settings.docs import settings_table

WHOLE: Mapping[str, Callable[[], str]] = {"settings.md": settings_table, "cli.md": command_page}
"""Page -> what it holds."""

SECTIONS: Mapping[str, Mapping[str, Callable[[], str]]] = {
    "architecture.md": {"rooms": room_table},
    "http.md": {"routes": route_table, "errors": error_table},
    "store.md": {"keys": key_table},
}
"""Page -> name of a section -> what stands between its two marks."""

CHART_SCHEMA = "docker/helm/understudy/values.schema.json"
"""From the root of the repository."""


def made_pages(docs: Path) -> dict[Path, str]:
    """File -> its text, with everything that is made of the code made anew."""
    pages = {docs / name: make() for name, make in WHOLE.items()}
    for name, sections in SECTIONS.items():
        text = (docs / name).read_text(encoding="utf-8")
        for section, make in sections.items():
            text = replace_section(text, section, make())
        pages[docs / name] = text
    schema = docs.parent / CHART_SCHEMA
    pages[schema] = with_settings(schema.read_text(encoding="utf-8"))
    return pages


def replace_section(text: str, section: str, made: str) -> str:
    """The page with what stands between the marks of a section replaced. Raises ValueError without such marks."""
    begin, end = f"<!-- {section}: made by `make docs` -->\n", f"<!-- end of {section} -->\n"
    pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    replaced, count = pattern.subn(lambda _: f"{begin}\n{made}\n{end}", text)
    if count != 1:
        raise ValueError(f"{count} sections {section!r}: there must be one, between {begin!r} and {end!r}")
    return replaced
