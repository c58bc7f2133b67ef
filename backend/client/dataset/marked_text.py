"""The marked text of a row, for formats that have no place for anything else."""

from __future__ import annotations

from dataclasses import dataclass

from backend.client.dataset.words import FindWords, Place, cut_words
from backend.dataset.row import DatasetHeader, DatasetRow, SpanJson
from backend.errors import BadRequest


@dataclass
class MarkedText:
    """Of one control. `left_out`: spans that a format had no place for."""

    control: str
    find_words: FindWords
    left_out: int = 0

    def read(self, row: DatasetRow) -> tuple[str, list[SpanJson]] | None:
        """A row's text and spans; None where the control has no answer."""
        marked = row.get("spans", {}).get(self.control)
        return None if marked is None else (row["texts"].get(marked["input"], ""), marked["spans"])

    def words(self, text: str, spans: list[SpanJson]) -> list[Place]:
        """All words of the text; every span consists of whole ones."""
        return cut_words(text, self.find_words(text), spans)


def choose_control(header: DatasetHeader, wanted: str) -> str:
    """The control that marks text. Raises BadRequest where there is none, or several and none is named."""
    names = [control["name"] for control in header["controls"] if control["kind"] == "spans"]
    if not names:
        raise BadRequest(
            f"project {header['project']} marks no text: csv, jsonl, parquet and hf have its answers", field="format"
        )
    if wanted and wanted not in names:
        raise BadRequest(f"--control {wanted}: those that mark text are {', '.join(names)}", field="control")
    if not wanted and len(names) > 1:
        raise BadRequest(f"several controls mark text: say which (--control {names[0]})", field="control")
    return wanted or names[0]
