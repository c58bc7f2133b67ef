"""The files of the page: style, script and what is vendored, each with a digest that its address carries."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

KINDS = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}
"""Endings that are served, and what the browser is told of them."""

NAMES = (
    "vendor/pico.min.css",
    "page.css",
    "vendor/htmx.min.js",
    "vendor/idiomorph-ext.min.js",
    "page.js",
    "icon.svg",
)
"""What pages refer to; nothing else of the folder is served but licences."""


@dataclass(frozen=True)
class Asset:
    """A file, the media type and the first 16 digits of its sha256."""

    data: bytes
    media: str
    digest: str


@lru_cache(maxsize=1)
def assets() -> Mapping[str, Asset]:
    """Name -> file; read once."""
    return {name: _read(name) for name in NAMES}


def _read(name: str) -> Asset:
    data = files("backend.ui").joinpath("static", *name.split("/")).read_bytes()
    return Asset(data, KINDS[name[name.rindex(".") :]], hashlib.sha256(data).hexdigest()[:16])
