r"""A labelled CSV file as samples: columns `text` and `label`, several joined by `|` (`\|` is a `|` in a label)."""

from __future__ import annotations

import codecs
import csv
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from model.errors import DataError
from model.file_formats import is_separator_line, name_format, named_separator
from model.labels import key_of, path_of, plain_text
from model.numerics.holdout import is_held_out
from model.spec import NONE, Control, Kind, Label, Sample
from model.texts import text_key

JOINT, ESCAPED = "|", r"\|"
_JOINTS = re.compile(r"(?<!\\)\|")
INPUT_NAME = "text"
HELD_OUT = 1000
"""Most rows that are held out of a file without a test file."""


SEPARATORS = {",": "comma", ";": "semicolon", "\t": "tab"}


@dataclass(frozen=True)
class Dataset:
    """What is replayed. Samples without a weight are unlabelled: they are in the pool only."""

    control: Control
    train: tuple[Sample, ...]
    test: tuple[Sample, ...]

    @property
    def multilabel(self) -> bool:
        """Whether answers are sets."""
        return self.control.multilabel

    @property
    def labelled(self) -> int:
        """Rows that can be labelled."""
        return sum(sample.labelled for sample in self.train)

    def capped(self, tests: int | None) -> Dataset:
        """With the first so many to measure on; None: all."""
        return replace(self, test=self.test[:tests])


def read_rows(path: Path) -> list[tuple[str, tuple[str, ...]]]:
    """(text, label keys) of every row; no labels for an empty cell. Other columns do not matter. Raises DataError."""
    csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
    try:
        with path.open(newline="", encoding=_encoding_of(path)) as file:
            separator = _separator(file.readline())
            file.seek(0)
            lines = csv.reader(file, delimiter=separator)
            columns = [name.strip().lower() for name in next((row for row in lines if not is_separator_line(row)), [])]
            missing = [name for name in ("text", "label") if name not in columns]
            if missing:
                seen = ", ".join(columns)[:200] or "nothing"
                raise DataError(
                    f"{path}: column {' and '.join(missing)} is missing; the first line must name the columns "
                    f"text,label (it holds: {seen})"
                )
            places = columns.index("text"), columns.index("label")
            rows = []
            for line in filter(None, lines):
                if any(cell.strip() for cell in line[len(columns) :]):
                    raise DataError(
                        f"{path}, line {lines.line_num}: {len(line)} cells, but the first line names {len(columns)} "
                        f"columns: put texts that hold a {SEPARATORS.get(separator, separator)} in quotes"
                    )
                rows.append(_row(line, *places))
    except UnicodeDecodeError as error:
        raise DataError(f"{path}, {_place(path, error)} is not UTF-8: save the file as UTF-8") from error
    except csv.Error as error:
        raise DataError(f"{path} cannot be read as CSV: {error}") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error
    if not rows:
        raise DataError(f"{path} holds no rows: it needs a line text,label and one line per labelled text")
    return rows


def _separator(header: str) -> str:
    """What is between the columns of the first line; spreadsheets of many languages write semicolons."""
    if named := named_separator(header):
        return named

    def columns(separator: str) -> set[str]:
        return {name.strip().lower() for name in next(csv.reader([header], delimiter=separator), [])}

    return max(
        SEPARATORS, key=lambda separator: (len(columns(separator) & {INPUT_NAME, "label"}), header.count(separator))
    )


def _encoding_of(path: Path) -> str:
    """By the mark at the start. Raises DataError for what is no text."""
    with path.open("rb") as file:
        start = file.read(16)
    if not start:
        raise DataError(f"{path} is empty: it needs a line text,label and one line per labelled text")
    if what := name_format(start):
        raise DataError(f"{path} is {what}")
    return "utf-16" if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"


def _place(path: Path, error: UnicodeDecodeError) -> str:
    """The line of the first byte that is no UTF-8; the error itself knows its place in a portion only."""
    for number, line in enumerate(path.read_bytes().splitlines(), start=1):
        try:
            line.decode("utf-8")
        except UnicodeDecodeError as inner:
            return f"line {number}: the byte {inner.object[inner.start]:02X}"
    return "which ends in the middle of a character: it"


def _row(line: Sequence[str], text: int, label: int) -> tuple[str, tuple[str, ...]]:
    cells = [line[place] if place < len(line) else "" for place in (text, label)]
    parts = [part.replace(ESCAPED, JOINT) for part in _JOINTS.split(cells[1])]
    # One label stays as it stands: another may differ only in blanks. Around joints blanks are a matter of style.
    if len(parts) > 1:
        parts = [part.strip() for part in parts]
    names = dict.fromkeys(key_of((part,)) for part in parts if part.strip())
    return cells[0].strip(), tuple(names)


def read_dataset(
    train: Path, test: Path | None = None, *, multilabel: bool | None = None, blank: bool = False
) -> Dataset:
    """The rows of a file and of its test file, or of its stable hold-out. `multilabel` None: decided by the rows.
    `blank`: an empty cell says "none of these"; else that the row is not labelled.

    The label set is the union of both files', as a project's config would list it. Raises DataError."""
    rows = read_rows(train)
    extra = read_rows(test) if test is not None else []
    several = any(len(labels) > 1 for _, labels in [*rows, *extra])
    if multilabel is False and several:
        raise DataError(f"{train} has rows with several labels (joined by {JOINT}): leave out --single-label")
    kind = Kind.MULTIPLE if (several if multilabel is None else multilabel) else Kind.SINGLE
    names = sorted({label for _, labels in [*rows, *extra] for label in labels})
    if len(names) < (1 if blank else 2):
        found = f"only the label {names[0]!r}" if names else "no label at all"
        raise DataError(f"{train} holds {found}: at least two different labels are needed to learn from")
    if not any(text for text, _ in rows):
        raise DataError(f"{train}: every text is empty")
    labels = tuple(Label(path_of(name), plain_text(name).replace("_", " ")) for name in names)
    control = Control("label", kind, (INPUT_NAME,), labels)
    samples = make_samples(rows, blank=_blank_target(kind) if blank else None)
    if test is None:
        return hold_out(control, samples)
    others = make_samples(extra, first=len(rows), blank=_blank_target(kind) if blank else None)
    held = tuple(sample for sample in others if sample.labelled)
    if not held:
        raise DataError(f"{test}: no row has a label, so nothing can be measured")
    return checked(Dataset(control, tuple(samples), held), str(train))


def make_samples(
    rows: Iterable[tuple[str, tuple[str, ...]]], first: int = 0, blank: Mapping[str, float] | None = None
) -> list[Sample]:
    """One sample per row, numbered from `first`. `blank`: the target of rows without a label; None: they have none."""
    return [
        Sample(number, (text,), dict.fromkeys(labels, 1.0))
        if labels
        else Sample(number, (text,), blank or {}, weight=0.0 if blank is None else 1.0)
        for number, (text, labels) in enumerate(rows, start=first)
    ]


def _blank_target(kind: Kind) -> dict[str, float]:
    return {} if kind is Kind.MULTIPLE else {NONE: 1.0}


def hold_out(control: Control, samples: Sequence[Sample], most: int = HELD_OUT) -> Dataset:
    """Splits off the stable hold-out (a fifth of the texts, at most `most` rows, by their hash); its texts appear
    nowhere else. Raises DataError when a side stays empty."""
    held = sorted((s for s in samples if s.labelled and is_held_out(s.text)), key=lambda s: text_key(s.text))[:most]
    texts = {sample.text for sample in held}
    data = Dataset(control, tuple(s for s in samples if s.text not in texts), tuple(held))
    if not held:
        raise DataError(f"{len(samples)} rows are too few to hold some of them out: give more, or a --test file")
    return checked(data, "the data")


def checked(data: Dataset, where: str) -> Dataset:
    """`data` when something can be learned from it. Raises DataError."""
    labelled = [sample for sample in data.train if sample.labelled]
    if not labelled:
        raise DataError(f"{where}: no row to learn from has a label")
    if len({key for sample in labelled for key in sample.target or (NONE,)}) < 2:
        raise DataError(f"{where}: all rows to learn from have the same label, at least two are needed")
    return data
