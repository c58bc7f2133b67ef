"""A row of a data set as a row of a table: the same columns for every row of a project."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from backend.dataset.row import AnswerJson, ControlJson, DatasetHeader, DatasetRow


class Type(Enum):
    """What a column holds."""

    TEXT = "text"
    TEXTS = "list of texts"
    NUMBER = "number"
    INTEGER = "integer"
    FLAG = "yes or no"
    JSON = "JSON"
    """Of lists and objects that no table has a type for."""


@dataclass(frozen=True)
class Table:
    """The columns of one project's data set."""

    columns: dict[str, Type]
    controls: tuple[ControlJson, ...]
    inputs: tuple[str, ...]

    def flatten(self, row: DatasetRow) -> dict[str, object]:
        """Column -> value; None where there is none. JSON is not written yet."""
        found: dict[str, object] = dict.fromkeys(self.columns)
        found |= {"task": row["task"], "split": row["split"]}
        found |= {self._text(name): row["texts"].get(name) for name in self.inputs}
        for control in self.controls:
            if (answer := row["answers"].get(control["name"])) is not None:
                found |= _answer(control, answer)
            elif (marked := row.get("spans", {}).get(control["name"])) is not None:
                found[control["name"]] = [dict(span) for span in marked["spans"]]
        if "relations" in self.columns:
            found["relations"] = [dict(one) for one in row.get("relations", [])]
        found["annotations"] = [dict(one) for one in row["annotations"]]
        return found

    def _text(self, name: str) -> str:
        return text_column(name, self.inputs)


def table_of(header: DatasetHeader) -> Table:
    """The columns: task, split, a text each, and of each question its answer and what is known of it."""
    controls = tuple(header["controls"])
    inputs = tuple(dict.fromkeys(name for control in controls for name in control["inputs"]))
    columns = {"task": Type.INTEGER, "split": Type.TEXT, **{text_column(name, inputs): Type.TEXT for name in inputs}}
    for control in controls:
        if not control["of_regions"]:
            columns |= _columns(control)
    if header["relations"]:
        columns["relations"] = Type.JSON
    return Table({**columns, "annotations": Type.JSON}, controls, inputs)


def text_column(name: str, inputs: tuple[str, ...]) -> str:
    """`text` where there is only one text, as most tools want it; else the input's own name."""
    return "text" if len(inputs) == 1 else name


def _columns(control: ControlJson) -> dict[str, Type]:
    name = control["name"]
    if control["kind"] == "spans":
        return {name: Type.JSON}
    own = Type.TEXTS if control["several"] else Type.INTEGER if control["kind"] == "rating" else Type.TEXT
    return {
        name: own,
        f"{name}_soft": Type.JSON,
        f"{name}_weight": Type.NUMBER,
        f"{name}_ground_truth": Type.FLAG,
        f"{name}_predicted": own,
        f"{name}_score": Type.NUMBER,
        f"{name}_suspect": Type.TEXT,
    }


def _answer(control: ControlJson, answer: AnswerJson) -> dict[str, object]:
    name, predicted = control["name"], answer.get("predicted")
    shares: Mapping[str, float] = answer["soft"]
    return {
        name: _value(control, answer["labels"]),
        f"{name}_soft": dict(shares),
        f"{name}_weight": answer["weight"],
        f"{name}_ground_truth": answer["ground_truth"],
        f"{name}_predicted": _value(control, predicted["labels"]) if predicted else None,
        f"{name}_score": predicted["score"] if predicted else None,
        f"{name}_suspect": answer.get("suspect"),
    }


def _value(control: ControlJson, labels: list[str]) -> object:
    """ "None of these" is an empty text, or of stars nothing."""
    if control["several"]:
        return list(labels)
    if control["kind"] == "rating":
        return int(labels[0]) if labels else None
    return labels[0] if labels else ""
