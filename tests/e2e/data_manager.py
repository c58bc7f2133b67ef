"""The table of Label Studio's Data Manager, as a browser shows it."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from selenium import webdriver
from selenium.common.exceptions import TimeoutException
from selenium.webdriver.support.ui import WebDriverWait

from tests.e2e.conftest import PATIENCE, Studio

READ = """
const head = document.querySelector('[draggable]:has([data-id="tasks:id"])')?.parentElement;
const names = [...head?.children ?? []].map(cell => cell.querySelector('[data-id]')?.dataset.id ?? '');
return [...document.querySelectorAll('[data-testid=table-row]')].map(
  row => Object.fromEntries([...row.children].map((cell, place) => [names[place], cell.innerText.trim()])));
"""
"""Label Studio's own markup: a head cell bears its column, the cells below are in the same order."""

ROUNDED = 0.0005
"""NumberCell of Label Studio 1.23 shows three digits after the point, and of a whole number none: 0.2996 is "0.300",
0.0 is "0" and 1.0 is "1". Compare numbers, never texts."""


def make_tab(studio: Studio, project: int, columns: Collection[str], **data: Any) -> int:
    """A tab that shows the `columns` alone: left to itself the page shows others, and hides the scores."""
    known = studio.call("GET", f"/api/dm/columns?project={project}")["columns"]
    names = ["tasks:" + ".".join(filter(None, (column.get("parent"), column["id"]))) for column in known]
    hidden = [name for name in names if name not in columns]
    data["hiddenColumns"] = {"explore": hidden, "labeling": hidden}
    return int(studio.call("POST", "/api/dm/views/", {"project": project, "data": data})["id"])


def rows_of(browser: webdriver.Chrome, *filled: str) -> list[dict[str, str]]:
    """The rows on the screen (of a long table not all), column -> text, once each has an id and a text in the columns
    `filled`."""

    def read(page: webdriver.Chrome) -> list[dict[str, str]]:
        rows = page.execute_script(READ)
        whole = rows and all(row.get(column) for row in rows for column in ("tasks:id", *filled))
        return list(rows) if whole else []

    try:
        return WebDriverWait(browser, PATIENCE).until(read)
    except TimeoutException as error:
        shown = browser.execute_script("return document.body.innerText")
        raise AssertionError(f"no table with {filled} of all tasks on the page: {shown[:2000]!r}") from error
