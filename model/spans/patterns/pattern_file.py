"""Patterns from files: JSON lines as spaCy and Prodigy write them, tables, and plain lists of strings."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from model.spans.documents import read_text
from model.spans.patterns.pattern import Pattern, PatternError
from model.spec import Json

NEEDS = (
    'a line {"label": "...", "pattern": "..."} or {"label": "...", "regex": "..."} per pattern (.jsonl), '
    "a line label,string per string (.csv, .tsv), or a string a line with --label (.txt)"
)

NOTHING = Pattern("", "")
"""What is usual where a file says all by itself."""

TABLES = {".csv": ",", ".tsv": "\t"}

TEXT_FIELDS, REGEX_FIELDS = ("pattern", "string", "text", "term", "phrase"), ("regex", "regexp")
"""Columns of a table that hold a string, or an expression; the first that is there counts."""

EXACT_TOKENS, LOWER_TOKENS = ("ORTH", "TEXT"), ("LOWER", "NORM")
"""What may be said of a token: how it is written, or how it is written in lower case."""

TRUE, FALSE = ("true", "yes", "1"), ("false", "no", "0", "")


def read_patterns(path: Path, label: str = "", *, ignore_case: bool = False) -> list[Pattern]:
    """In the order of the file. `label`: of what has none; `ignore_case`: of what does not say. Raises PatternError,
    which names the line and the field, and DataError for a file that cannot be read."""
    kind = path.suffix.lower()
    text = read_text(path, NEEDS)
    usual = Pattern(label.strip(), "", ignore_case=ignore_case)
    if kind in TABLES:
        return list(_of_table(text, _delimiter(text, kind), usual))
    if kind in (".jsonl", ".json", ".ndjson") or (kind != ".txt" and text.lstrip()[:1] in "{["):
        return list(_of_json(text, usual))
    if kind not in (".txt", ""):
        raise PatternError(f"{path}: {kind!r} is no kind of file that is known here: it needs {NEEDS}", field="file")
    return list(_of_list(text, usual))


def _of_list(text: str, usual: Pattern) -> Iterator[Pattern]:
    if not usual.label:
        raise PatternError("a plain list says no label: name it with --label", field="label")
    for number, line in enumerate(_lines(text), start=1):
        if line.strip():
            yield replace(usual, text=line.strip(), line=number)


def _delimiter(text: str, kind: str) -> str:
    """Semicolons where a table says .csv and its first line has them and no comma, as spreadsheets write."""
    first = next(line for line in _lines(text) if line.strip())
    return ";" if kind == ".csv" and "," not in first and ";" in first else TABLES[kind]


def _of_table(text: str, delimiter: str, usual: Pattern) -> Iterator[Pattern]:
    lines = _lines(text, keep=True)
    tabbed = delimiter == "\t"  # then a quote is a character like any other
    reader = (
        csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE) if tabbed else csv.reader(lines, delimiter=delimiter)
    )
    names: Sequence[str] | None = None
    before = 0
    try:
        for row in reader:
            line, before = before + 1, reader.line_num  # where the row began
            cells = [cell.strip() for cell in row]
            if not any(cells):
                continue
            if names is None:
                names = _header(cells)
                if names is not None:
                    continue
                names = ("label", "pattern")
            if len(cells) < 2 or len(cells) > len(names):
                wanted = ", ".join(names)
                raise PatternError(f"line {line}: {len(cells)} cells where {wanted} are needed", line=line, field="row")
            yield pattern_of(dict(zip(names, cells, strict=False)), line, usual)
    except csv.Error as error:
        raise PatternError(f"line {reader.line_num}: not a table: {error}", line=reader.line_num) from error


def _header(cells: Sequence[str]) -> Sequence[str] | None:
    """The names of the columns, if the first row holds them."""
    names = [cell.lower().replace(" ", "_") for cell in cells]
    is_one = "label" in names and any(name in names for name in (*TEXT_FIELDS, *REGEX_FIELDS))
    return names if is_one else None


def _of_json(text: str, usual: Pattern) -> Iterator[Pattern]:
    if text.lstrip().startswith("["):
        whole = _parse(text, 1)
        rows = [(0, row) for row in whole] if isinstance(whole, list) else []
    else:
        lines = enumerate(_lines(text), start=1)
        rows = [(number, _parse(line, number)) for number, line in lines if line.strip()]
    for number, row in rows:
        yield pattern_of(row, number, usual)


def _parse(text: str, number: int) -> Json:
    try:
        found: Json = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise PatternError(f"line {number}: not JSON ({error}); it needs {NEEDS}", line=number, field="row") from error
    return found


def pattern_of(row: Json, line: int, usual: Pattern = NOTHING) -> Pattern:
    """A pattern from an object; `usual` has what it does not say. Raises PatternError."""
    if not isinstance(row, Mapping):
        raise PatternError(f"{_place(line)}no object: each pattern is one object", line=line, field="row")
    label = row.get("label") or usual.label
    if not isinstance(label, str) or not label.strip():
        raise PatternError(
            f'{_place(line)}field "label": a name is needed, in the file or by --label', line=line, field="label"
        )
    own = replace(usual, label=label.strip(), line=line)
    if row.get("ignore_case") is not None:
        own = replace(own, ignore_case=_truth(row["ignore_case"], own))
    regex, text = (next((row[name] for name in names if row.get(name)), None) for names in (REGEX_FIELDS, TEXT_FIELDS))
    if (regex is None) == (text is None):
        what = "both a pattern and a regex" if regex is not None else "neither a pattern nor a regex"
        raise PatternError(f'{_place(line)}field "pattern": {what}; write one of them', line=line, field="pattern")
    if regex is not None:
        own = replace(own, is_regex=True)
        if not isinstance(regex, str):
            raise own.bad(f"an expression is a text, not {_shown(regex)}")
        return replace(own, text=regex)
    return _of_tokens(text, own) if isinstance(text, Sequence) and not isinstance(text, str) else _of_text(text, own)


def _of_text(text: Json, own: Pattern) -> Pattern:
    if not isinstance(text, str):
        raise own.bad("a pattern is a text, or a list of tokens")
    return replace(own, text=" ".join(text.split()))


def _of_tokens(tokens: Sequence[Json], own: Pattern) -> Pattern:
    """spaCy's token patterns, as far as they are strings: [{"lower": "new"}, {"lower": "york"}]."""
    words, kinds = [], set()
    for token in tokens:
        name, value = next(iter(token.items()), ("", None)) if isinstance(token, Mapping) else ("", None)
        kind = name.upper()
        if not isinstance(token, Mapping) or len(token) != 1 or kind not in (*EXACT_TOKENS, *LOWER_TOKENS):
            raise own.bad(f"of a token only ORTH, TEXT or LOWER may be said, not {_shown(token)}: write a regex")
        if not isinstance(value, str):
            raise own.bad(f"what is said of a token must be a text, not {_shown(value)}: write a regex")
        words.append(value)
        kinds.add(kind in LOWER_TOKENS)
    if len(kinds) > 1:
        raise own.bad("tokens with and without regard to case in one pattern: write a regex")
    return replace(own, text=" ".join(words), ignore_case=own.ignore_case or True in kinds)


def _truth(value: Json, own: Pattern) -> bool:
    said = str(value).strip().lower()
    if said not in (*TRUE, *FALSE):
        raise PatternError(
            f'{_place(own.line)}field "ignore_case": true or false, not {_shown(value)}',
            line=own.line,
            field="ignore_case",
        )
    return said in TRUE


def _lines(text: str, *, keep: bool = False) -> list[str]:
    lines = re.split(r"\r\n?|\n", text)
    return [line + "\n" for line in lines] if keep else lines


def _place(line: int) -> str:
    return f"line {line}, " if line else ""


def _shown(value: Json) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)[:60]
