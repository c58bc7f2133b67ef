"""Templates to HTML. Everything is escaped: no filter, macro or template here calls anything safe."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING

from backend.ui import formats

if TYPE_CHECKING:
    from jinja2 import Environment

FILTERS: Mapping[str, Callable[..., str]] = {
    "count": formats.format_count,
    "percent": formats.format_percent,
    "interval": formats.format_interval,
    "score": formats.format_score,
    "duration": formats.format_seconds,
    "moment": formats.format_time,
    "iso": formats.format_iso,
    "bytes": formats.format_bytes,
    "change": formats.format_change,
    "sentence": formats.format_sentence,
    "plural": formats.pluralise,
}


@lru_cache(maxsize=1)
def templates() -> Environment:
    """The environment. A name that a template misspells is an error, not an empty place."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("backend.ui"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.filters.update(FILTERS)
    return environment


def render(template: str, **values: object) -> str:
    """The template (`projects.html`) with these values."""
    return templates().get_template(template).render(**values)
