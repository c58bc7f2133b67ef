"""The page's files are what vendor.json says, with their licences; nothing in a template is called safe."""

from __future__ import annotations

import hashlib
import re
import tomllib
from pathlib import Path

import pytest

from backend.ui.assets import NAMES
from backend.ui.render import templates
from tests.support.vendor import FOLDERS, ROOT, entries

TEMPLATES = sorted((ROOT / "backend" / "ui" / "templates").glob("*.html"))


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: str(folder.relative_to(ROOT)))
def test_every_vendored_file_has_the_digest_and_the_licence_that_are_noted(folder: Path) -> None:
    listed = entries(folder)
    for entry in listed:
        assert hashlib.sha256((folder / entry["file"]).read_bytes()).hexdigest() == entry["sha256"], entry["file"]
        assert entry["licence"] and (folder / entry["licence_file"]).stat().st_size > 100
    files = {path.name for path in folder.iterdir() if path.is_file()} - {"vendor.json"}
    assert files == {entry["file"] for entry in listed}


def test_pages_take_all_that_is_vendored_for_them() -> None:
    assert {f"vendor/{entry['file']}" for entry in entries(FOLDERS[0])} <= set(NAMES)


def test_the_files_are_part_of_the_package() -> None:
    patterns = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["backend"]
    packed = {path for pattern in patterns for path in (ROOT / "backend").glob(pattern)}
    own = {
        path for path in (ROOT / "backend" / "ui").rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc")
    }
    assert own <= packed


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_no_template_lets_text_through_unescaped_or_names_another_host(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"\|\s*safe|autoescape|Markup|\{%\s*raw|https?:|style=|\son\w+=|hx-on|hx-vals=['\"]js", text)
    assert templates().get_template(path.name)
