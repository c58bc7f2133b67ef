"""Projects of every kind that can be exported, with texts whose right answer is known: from the public sets in
`../shared/data`, without them from the sample messages."""

from __future__ import annotations

import csv
import itertools
import json
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

from tests.support.marked_project import endless_marked_rows, marked_rows, spans_config
from tests.support.rig import ROOT, Project, choices_config, read_rows

DATA = ROOT.parent / "shared" / "data"

LONG = 1_700
"""Characters of a long text: it is read sentence by sentence."""

Said = tuple[object, ...]
"""What is answered, in a form in which answers compare: label texts, or (start, end, label) of each span."""


@dataclass(frozen=True)
class Asked:
    """A task with its right answer. `results`: of an annotation; `right`: as `said_of` has it."""

    data: Mapping[str, str]
    results: Sequence[Mapping[str, Any]]
    right: Said


@dataclass(frozen=True)
class Kind:
    """A sort of project. `labels`: how many outputs a stock classifier of it has."""

    name: str
    config: str
    labels: int
    rows: Callable[[], Iterator[Asked]]
    """Without end; no text comes twice."""


class KindProject(Project):
    """A project of any kind: the label of a row is the row."""

    def result_of(self, text: str, label: Any) -> list[dict[str, Any]]:
        """The results of the row."""
        return [dict(one) for one in label.results]

    def annotation(
        self, text: str, label: Any, *, task: int | None = None, annotation: int | None = None
    ) -> dict[str, Any]:
        """With the task's own data."""
        pair = super().annotation(text, label, task=task, annotation=annotation)
        pair["task"]["data"] = dict(label.data)
        return pair

    def answers(self, rows: Sequence[Asked]) -> list[tuple[Said, float]]:
        """What /predict says of each, and its score."""
        body = {
            "tasks": [{"id": place + 1, "data": dict(row.data)} for place, row in enumerate(rows)],
            "project": f"{self.number}.1795455205",
            "label_config": self.config,
            "params": {"login": None, "password": None, "context": None},
        }
        found = self.rig.post("/predict", body)["results"]
        return [(said_of(one["result"]), float(one["score"])) for one in found]


def said_of(results: Sequence[Mapping[str, Any]]) -> Said:
    """What results of Label Studio say, sorted."""
    found: list[object] = []
    for one in results:
        value = one["value"]
        if "start" in value:
            found += [(value["start"], value["end"], label) for label in value["labels"]]
        elif "taxonomy" in value:
            found += ["/".join(path) for path in value["taxonomy"]]
        else:
            found += [str(value["rating"])] if "rating" in value else value["choices"]
    return tuple(sorted(found, key=repr))


def kinds() -> dict[str, Kind]:
    """All of them by name."""
    news, moods, questions, reviews = (_read(name) for name in ("agnews", "goemotions_ekman", "banking77", "sst2"))
    topics, feelings = _labels(news), sorted({part for _, label in moods for part in label.split("|")})
    stars = {label: str(1 + 4 * place) for place, label in enumerate(_labels(reviews)[:2])}
    paths = {label: _path_of(label) for label in _labels(questions)}
    marked = sorted({label for _, marks in marked_rows() for *_, label in marks})
    found = (
        Kind("single", choices_config(topics), len(topics), lambda: _texts(news, _choice)),
        Kind("set", choices_config(feelings, multiple=True), len(feelings), lambda: _texts(moods, _choices)),
        Kind("taxonomy", _tree(paths.values()), len(paths), lambda: _texts(questions, lambda one: _leaf(paths[one]))),
        Kind("rating", RATING, 5, lambda: _texts(reviews, lambda one: _star(stars.get(one, "3")))),
        Kind("pair", PAIR, 2, lambda: _pairs(news)),
        Kind("long", choices_config(topics), len(topics), lambda: _long(news)),
        Kind("spans", spans_config(marked), 2 * len(marked) + 1, _marked),
    )
    return {kind.name: kind for kind in found}


RATING = '<View><Text name="text" value="$text"/><Rating name="label" toName="text" maxRating="5"/></View>'
PAIR = (
    '<View><Text name="text" value="$text"/><Text name="other" value="$other"/>'
    '<Choices name="label" toName="text,other"><Choice value="same topic"/><Choice value="other topics"/></Choices>'
    "</View>"
)


def _read(name: str) -> list[tuple[str, str]]:
    path = DATA / name / "train.csv"
    if not path.is_file():
        return read_rows()
    with path.open(newline="", encoding="utf-8") as file:
        return [(row["text"], row["label"].replace("_", " ")) for row in csv.DictReader(file)]


def _labels(rows: Sequence[tuple[str, str]]) -> list[str]:
    return sorted({label for _, label in rows})


def _path_of(label: str) -> tuple[str, ...]:
    first, _, rest = label.partition(" ")
    return (first, rest) if rest else (first, "in general")


def _tree(paths: Any) -> str:
    branches: dict[str, list[str]] = {}
    for first, second in paths:
        branches.setdefault(first, []).append(second)
    inner = "".join(
        f"<Choice value={quoteattr(name)}>{''.join(f'<Choice value={quoteattr(leaf)}/>' for leaf in leaves)}</Choice>"
        for name, leaves in branches.items()
    )
    tree = f'<Taxonomy name="label" toName="text" leafsOnly="true" maxUsages="1">{inner}</Taxonomy>'
    return f'<View><Text name="text" value="$text"/>{tree}</View>'


def _result(kind: str, value: object) -> list[dict[str, Any]]:
    return [{"from_name": "label", "to_name": "text", "type": kind, "value": {kind: value}}]


def _choice(label: str) -> list[dict[str, Any]]:
    return _result("choices", [label])


def _choices(labels: str) -> list[dict[str, Any]]:
    return _result("choices", labels.split("|"))


def _leaf(path: tuple[str, ...]) -> list[dict[str, Any]]:
    return _result("taxonomy", [list(path)])


def _star(number: str) -> list[dict[str, Any]]:
    return _result("rating", int(number))


def _texts(rows: Sequence[tuple[str, str]], answer: Callable[[str], list[dict[str, Any]]]) -> Iterator[Asked]:
    seen = set[str]()
    for turn in itertools.count():
        for text, label in rows:
            own = f"{text} ({turn})" if turn else text
            if own not in seen:
                seen.add(own)
                results = answer(label)
                yield Asked({"text": own}, results, said_of(results))


def _pairs(rows: Sequence[tuple[str, str]]) -> Iterator[Asked]:
    drawn, by_label = random.Random(0), _by_label(rows)
    for turn in itertools.count():
        text, label = rows[turn % len(rows)]
        same = turn % 2 == 0
        others = by_label[label if same else drawn.choice([one for one in by_label if one != label])]
        other = f"{drawn.choice(others)} {turn}" if turn >= len(rows) else drawn.choice(others)
        results = _choice("same topic" if same else "other topics")
        yield Asked({"text": text, "other": other}, results, said_of(results))


def _long(rows: Sequence[tuple[str, str]]) -> Iterator[Asked]:
    """Texts of one label joined."""
    drawn, by_label = random.Random(0), _by_label(rows)
    for turn in itertools.count():
        label = sorted(by_label)[turn % len(by_label)]
        text = ""
        while len(text) < LONG:
            text += f"{drawn.choice(by_label[label])}\n"
        results = _choice(label)
        yield Asked({"text": text}, results, said_of(results))


def _by_label(rows: Sequence[tuple[str, str]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for text, label in rows:
        found.setdefault(label, []).append(text)
    return found


def _marked() -> Iterator[Asked]:
    for text, marks in endless_marked_rows():
        results = [
            {
                "id": f"m{start}",
                "from_name": "label",
                "to_name": "text",
                "type": "labels",
                "value": {"start": start, "end": end, "text": text[start:end], "labels": [label]},
            }
            for start, end, label in marks
        ]
        yield Asked({"text": text}, results, said_of(results))


def read_exported(directory: Path) -> Mapping[str, str]:
    """Shown label -> as `said_of` has it, of an export: taxonomies show more than the path where two would read the
    same."""
    spec = json.loads((directory / "model.json").read_text(encoding="utf-8"))
    paths = spec.get("paths", {})
    return {shown: "/".join(paths.get(key, (shown,))) for key, shown in spec.get("shown", {}).items()}
