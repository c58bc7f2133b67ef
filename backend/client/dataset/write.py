"""A data set into a file, or into a directory with a file for each part."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

from backend.client.dataset.columns import Table, table_of
from backend.client.dataset.conll import write_conll
from backend.client.dataset.docbin import write_docbin
from backend.client.dataset.marked_text import MarkedText, choose_control
from backend.client.dataset.parquet_files import write_parquet
from backend.client.dataset.text_files import Add, write_csv, write_json_lines
from backend.client.dataset.words import find_words_by, load_tokenizer
from backend.client.output_file import replacing, told
from backend.dataset.row import TEST, TRAIN, DatasetHeader
from backend.errors import BadRequest

if TYPE_CHECKING:
    from backend.client.dataset.download import Download


class Format(str, Enum):
    """What is written."""

    JSONL = "jsonl"
    CSV = "csv"
    PARQUET = "parquet"
    HF = "hf"
    CONLL = "conll"
    SPACY = "spacy"


OF_MARKED_TEXT = frozenset({Format.CONLL, Format.SPACY})

PARTS = (TRAIN, TEST)


@dataclass
class Written:
    """`rows`: by part; `files`; `damaged`: annotations that could not be read; `left_out`: spans that the format has no
    place for."""

    rows: Counter[str] = field(default_factory=Counter)
    files: list[Path] = field(default_factory=list)
    damaged: int = 0
    left_out: int = 0


def format_of(output: Path) -> Format | None:
    """By the end of a file's name."""
    return next((one for one in Format if output.suffix.lower() == f".{one.value}" and one is not Format.HF), None)


def write_dataset(download: Download, how: Format, output: Path, control: str, encoder: Callable[[], Path]) -> Written:
    """Everything into `output` where that has an end that names the format; else a directory, a file for each part.

    `control`: the one that marks text, for formats that have no place for others; `encoder`: gives the directory whose
    tokenizer has the words. Raises BadRequest and MissingPackage before anything is written, and AdminError."""
    marked = _marked(download.header, control, encoder) if how in OF_MARKED_TEXT else None
    table, written = table_of(download.header), Written()
    places = _places(how, output)
    with ExitStack() as stack:
        # In a directory a part is a file; in one file they stand together, in a column or by turns.
        add = {part: stack.enter_context(_open(how, path, table, marked)) for part, path in places.items()}
        whole = add.get("")
        for row in download.rows():
            (whole or add[row["split"]])(row)
            written.rows[row["split"]] += 1
    written.files = list(places.values())
    written.damaged, written.left_out = download.damaged, marked.left_out if marked else 0
    if how is Format.HF:
        written.files.append(_write_card(output, download.header, written))
    return written


def _places(how: Format, output: Path) -> Mapping[str, Path]:
    """Part -> file; "" where one file has them all."""
    if how is not Format.HF and format_of(output) is how and not output.is_dir():
        return {"": output}
    folder = output / "data" if how is Format.HF else output
    if output.exists() and not output.is_dir():
        raise BadRequest(f"{output} is a file: {how.value} wants a directory, or a name with its end", field="output")
    with told(output):
        folder.mkdir(parents=True, exist_ok=True)
    end = "parquet" if how is Format.HF else how.value
    return {part: folder / f"{part}.{end}" for part in PARTS}


def _marked(header: DatasetHeader, control: str, encoder: Callable[[], Path]) -> MarkedText:
    return MarkedText(choose_control(header, control), find_words_by(load_tokenizer(encoder())))


def _open(how: Format, path: Path, table: Table, marked: MarkedText | None) -> AbstractContextManager[Add]:
    if marked is not None:
        return write_conll(path, marked) if how is Format.CONLL else write_docbin(path, marked)
    if how is Format.JSONL:
        return write_json_lines(path, table)
    return write_csv(path, table) if how is Format.CSV else write_parquet(path, table)


def _write_card(output: Path, header: DatasetHeader, written: Written) -> Path:
    """README.md with the parts, as the hub and `datasets.load_dataset` read it. No text of a task stands in it."""
    path = output / "README.md"
    questions = [f"- `{one['name']}`: {one['kind']}, {len(one['labels'])} labels" for one in header["controls"]]
    lines = [
        "---",
        "configs:",
        "- config_name: default",
        "  data_files:",
        *(f"  - split: {part}\n    path: data/{part}.parquet" for part in PARTS),
        "---",
        f"# Labels of project {header['project']}",
        "",
        f"{sum(written.rows.values())} labelled tasks: {written.rows[TRAIN]} to train with, {written.rows[TEST]} to",
        "test with, divided by the text alone, so that no duplicate stands on both sides. Written by understudy.",
        "",
        *questions,
        "",
    ]
    with replacing(path) as file:
        file.write("\n".join(lines).encode())
    return path
