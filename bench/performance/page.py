"""docs/performance.md, from the records of bench/performance.py: pure text, but for the pictures that it finds."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from tests.support.rig import ROOT

Record = Mapping[str, Any]
Row = Mapping[str, Any]

HIDDEN = ("bench", "measured")
"""Not in a section's table: the first is its heading, the second is in a column of its own name already."""

LONG = 40
"""Rows beyond which a table is folded."""

PICTURES = ("profiles", "performance")
"""Folders beside the page whose pictures it shows, and whose notes.md it takes in."""


def write_page(path: Path, records: Sequence[Record]) -> None:
    """Write the page of these records; one without rows and problem has not been run."""
    pictures = [
        picture.relative_to(path.parent)
        for folder in PICTURES
        for picture in sorted((path.parent / folder).glob("*.*"))
        if picture.suffix in (".png", ".svg")
    ]
    notes = [file.read_text(encoding="utf-8") for x in PICTURES if (file := path.parent / x / "notes.md").is_file()]
    path.write_text(page_of(records, pictures, notes), encoding="utf-8")


def page_of(records: Sequence[Record], pictures: Sequence[Path] = (), notes: Sequence[str] = ()) -> str:
    """The page's text."""
    parts = [
        "# Performance",
        "Written by `make bench`, or one part anew by `python -m bench.performance.run --only NAME`. Each "
        "section's own command prints its table. "
        "CPU times are process times; wall times depend on what else the machine does.",
        *_machine(records),
        *_bars(records),
    ]
    for record in records:
        own = [picture for picture in pictures if picture.stem.split("-")[0] == record["run"]]
        parts += _section(record, own)
    rest = [picture for picture in pictures if picture.stem.split("-")[0] not in {x["run"] for x in records}]
    if rest or notes:
        parts += ["## Where the time goes", *[note.strip() for note in notes], *map(_image, rest)]
    return "\n\n".join(parts) + "\n"


def _machine(records: Sequence[Record]) -> list[str]:
    machines = [record["machine"] for record in records if record.get("machine")]
    if not machines:
        return ["Nothing has been measured yet."]
    last = max((record for record in records if record.get("machine")), key=lambda record: str(record["at"]))["machine"]
    others = [record["run"] for record in records if record.get("machine") and record["machine"] != last]
    lines = [table_of([{"machine": name, "": value} for name, value in last.items()])]
    return lines + ([f"Measured on another machine or with other libraries: {', '.join(others)}."] if others else [])


def _bars(records: Sequence[Record]) -> list[str]:
    rows = [
        {"bench": record["run"], "what": what_of(row), "measured": row.get("measured", ""), **_verdict(row)}
        for record in records
        for row in record.get("rows", ())
        if row.get("bar")
    ]
    failed = [f"`{record['run']}`: {record['problem']}" for record in records if record.get("problem")]
    missing = [f"`{record['run']}`" for record in records if "rows" not in record]
    parts = ["## Bars"] if rows or failed or missing else []
    if rows:
        met = sum(row["met"] == "yes" for row in rows)
        parts += [f"{met} of {len(rows)} are met.", table_of(rows)]
    if failed:
        parts.append("Benches that failed:\n\n" + "\n".join(f"- {line}" for line in failed))
    if missing:
        parts.append(f"Not run yet: {', '.join(missing)}.")
    return parts


def _verdict(row: Row) -> dict[str, str]:
    return {"bar": str(row["bar"]), "met": {True: "yes", False: "**no**"}.get(row.get("met"), "not known")}  # type: ignore[arg-type]


def what_of(row: Row) -> str:
    """A row's name: its leading columns that are text; numbers with their column's name where it has no such text."""
    names = [name for name in row if name not in HIDDEN]
    lead = names[: next((i for i, name in enumerate(names) if not isinstance(row[name], str)), len(names))]
    if lead:
        return ", ".join(row[name] for name in lead if name != "bar")
    whole = names[: next((i for i, name in enumerate(names) if not isinstance(row[name], int)), len(names))]
    return ", ".join(f"{name} {row[name]}" for name in whole[:3])


def _section(record: Record, pictures: Sequence[Path]) -> list[str]:
    headline, method = _about(record["module"])
    parts = [f"## {record['run']}", headline]
    if "command" in record:
        commit = f" at commit {record['commit']}" if record.get("commit") else ""
        parts.append(f"`{record['command']}`, {record['seconds']} s on {record['at'][:10]}{commit}")
    if method:
        parts.append(method)
    if record.get("problem"):
        parts.append(f"**Failed**: {record['problem']}")
    if "rows" not in record:
        parts.append("Not run yet.")
    for title, rows in groupby(record.get("rows", ()), key=lambda row: row["bench"]):
        shown = [{name: value for name, value in row.items() if name not in HIDDEN} for row in rows]
        parts += _folded(title, shown) if len(shown) > LONG else [f"**{title}**", table_of(shown)]
    return parts + [_image(picture) for picture in pictures]


def _folded(title: str, rows: Sequence[Row]) -> list[str]:
    summary = f"<details><summary>{title} ({len(rows)} rows)</summary>"
    return [summary, table_of(rows), "</details>"]


def _about(module: str) -> tuple[str, str]:
    """The first line of a bench's own docstring, and what it says after its command."""
    path = ROOT / "bench" / f"{module.replace('.', '/')}.py"
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) if path.is_file() else None
    paragraphs = (text or "There is no such bench yet.").split("\n\n")
    method = [" ".join(part.split()) for part in paragraphs[1:] if not part.lstrip().startswith("python -m")]
    return " ".join(paragraphs[0].split()), "\n\n".join(method)


def table_of(rows: Sequence[Row]) -> str:
    """A Markdown table with a column for every name in any row."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    lines = [names, ["---"] * len(names), *([_cell(row.get(name, "")) for name in names] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int) and abs(value) >= 10_000:
        return f"{value:,}"
    if isinstance(value, float) and len(str(value)) > 7:
        return f"{value:.4g}"
    return str(value).replace("|", "\\|").replace("\n", " ")


def _image(path: Path) -> str:
    return f"![{path.stem.replace('-', ' ')}]({path.as_posix()})"
