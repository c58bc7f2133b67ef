"""`python -m backend.reference`: writes the generated pages and sections anew."""

from __future__ import annotations

from pathlib import Path

from backend.reference.pages import made_pages

if __name__ == "__main__":
    for page, text in made_pages(Path("docs")).items():
        page.write_text(text, encoding="utf-8")
