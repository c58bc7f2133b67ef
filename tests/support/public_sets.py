"""Public sets with relations between marked regions, or answers about them, as their repositories hold them; read for
the bench from a folder that is given to it, never part of this project.

| folder | from | what | licence |
|---|---|---|---|
| `materials` | olivettigroup/annotated-materials-syntheses | 230 syntheses, relations of steps and materials | MIT |
| `crossre` | mainlp/CrossRE | sentences of six domains, several labels on some pairs | GPL 3.0 |
| `conll04` | LorrinWWW/two-are-better-than-one, `datasets/unified` | news sentences, five relations | none stated |
| `negex` | chapmanbe/negex | findings in clinical sentences: negated, possible, affirmed | Apache 2.0 |
| `mams` | siat-nlp/MAMS-for-ABSA | aspects in restaurant reviews and their sentiment | Apache 2.0 |

What states no licence, or one that asks for more than to be named, is for measuring only.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from model.region import Region, Relation
from tests.support.region_sets import COARSE, Asked, AskedSet
from tests.support.relation_sets import CONTROL, Related, RelatedSet, place

DOMAINS = ("politics", "music", "science")
"""Of CrossRE: those that are measured."""

TEST = 200
"""Texts that are measured on, at most."""

BOTH_WAYS = frozenset(("opposite", "compare", "related-to", "social", "Coref_Of"))
"""Relations whose direction says nothing, by the guidelines of their sets."""


def related_sets(folder: Path) -> list[RelatedSet]:
    """Those that are there."""
    found = []
    if (folder / "materials").is_dir():
        found.append(_materials(folder / "materials"))
    if (folder / "crossre").is_dir():
        there = [domain for domain in DOMAINS if any((folder / "crossre").rglob(f"{domain}-test.json"))]
        found += [_crossre(folder / "crossre", domain) for domain in there]
    if (folder / "conll04").is_dir():
        found.append(_conll04(folder / "conll04"))
    return [replace(one, test=one.test[:TEST]) for one in found]


def asked_sets(folder: Path) -> list[AskedSet]:
    """Those that are there."""
    found = []
    if (folder / "negex").is_dir():
        found.append(_negex(_only(folder / "negex", "rsAnnotations-1-120-random.txt")))
    if (folder / "mams").is_dir():
        found.append(_mams(_only(folder / "mams", "MAMS-ATSA")))
    return found


def _only(folder: Path, name: str) -> Path:
    return min(folder.rglob(name), key=lambda path: len(path.parts))


def _of_tokens(tokens: Sequence[str], marks: Sequence[Sequence[Any]], ties: Iterator[tuple[Any, ...]]) -> Related:
    """`marks`: first token, the one after the last, label; `ties`: the places of both ends, and a label."""
    ends, text = [], ""
    for token in tokens:
        ends.append((len(text), len(text) + len(token)))
        text += f"{token} "
    regions = {(one, end): Region(CONTROL, ends[one][0], ends[end - 1][1], str(label)) for one, end, label in marks}
    drawn: dict[tuple[Region, Region], list[str]] = {}
    for one, other, label in ties:
        source, target = regions.get(one), regions.get(other)
        if source is None or target is None or source == target:
            continue
        if label in BOTH_WAYS:
            source, target = sorted((source, target), key=place)
        drawn.setdefault((source, target), []).append(label)
    return Related(text.rstrip(), tuple(sorted(set(regions.values()), key=place)), tuple(_joined(drawn)))


def _joined(drawn: Mapping[tuple[Region, Region], Sequence[str]]) -> Iterator[Relation]:
    """All labels of two regions as one relation."""
    for (source, target), labels in drawn.items():
        names = tuple(sorted(set(labels)))
        yield Relation(source, target, names, all(name in BOTH_WAYS for name in names))


def _conll04(folder: Path) -> RelatedSet:
    parts = []
    for name in ("train", "test"):
        rows = json.loads(_only(folder, f"{name}.CoNLL04.json").read_text())
        parts.append(
            [
                _of_tokens(
                    row["tokens"], row["entities"], (((a, b), (c, d), label) for a, b, c, d, label in row["relations"])
                )
                for row in rows
            ]
        )
    return RelatedSet("conll04", *parts)


def _crossre(folder: Path, domain: str) -> RelatedSet:
    """Learned from their `train` and `dev`: the first has only a hundred sentences."""
    parts: dict[str, list[Related]] = {}
    for name in ("train", "dev", "test"):
        lines = _only(folder, f"{domain}-{name}.json").read_text().splitlines()
        parts[name] = [_crossre_row(json.loads(line)) for line in lines]
    return RelatedSet(f"crossre {domain}", [*parts["train"], *parts["dev"]], parts["test"])


def _crossre_row(row: Mapping[str, Any]) -> Related:
    marks = [(one, last + 1, label) for one, last, label in row["ner"]]
    ties = (((a, b + 1), (c, d + 1), label) for a, b, c, d, label, *_ in row["relations"])
    return _of_tokens(row["sentence"], marks, ties)


def _materials(folder: Path) -> RelatedSet:
    """Split at random: their own splits are by the task."""
    found = [
        _brat(path.read_text(), path.with_suffix(".ann").read_text())
        for path in sorted(folder.rglob("*.txt"))
        if path.with_suffix(".ann").exists()
    ]
    random.Random(0).shuffle(found)
    return RelatedSet("materials", found[60:], found[:60])


def _brat(text: str, notes: str) -> Related:
    """Arguments of events are relations from the operation; numbers behind names that occur twice are dropped."""
    regions, events = dict[str, Region](), dict[str, str]()
    rows = [line.split("\t") for line in notes.splitlines() if line]
    for row in rows:
        if row[0].startswith("T"):
            label, *ends = re.split(r"[ ;]", row[1])
            regions[row[0]] = Region(CONTROL, int(ends[0]), int(ends[-1]), label)
        elif row[0].startswith("E"):
            events[row[0]] = row[1].split()[0].split(":")[1]
    drawn: dict[tuple[Region, Region], list[str]] = {}
    for label, one, other in _ties(rows):
        source, target = (regions.get(events.get(end, end)) for end in (one, other))
        if source is not None and target is not None and source != target:
            if label in BOTH_WAYS:
                source, target = sorted((source, target), key=place)
            drawn.setdefault((source, target), []).append(label)
    return Related(text, tuple(sorted(set(regions.values()), key=place)), tuple(_joined(drawn)))


def _ties(rows: Sequence[Sequence[str]]) -> Iterator[tuple[str, str, str]]:
    for name, said, *_ in rows:
        parts = said.split()
        if name.startswith("E"):
            for part in parts[1:]:
                label, end = part.split(":")
                yield label.rstrip("0123456789"), name, end
        elif name.startswith("R"):
            yield parts[0], parts[1].split(":")[1], parts[2].split(":")[1]


def _negex(path: Path) -> AskedSet:
    """The finding is written in capitals there, which nobody would: here all is in small letters."""
    texts: dict[str, dict[Region, str]] = {}
    for line in path.read_text(errors="replace").splitlines()[1:]:
        _, finding, sentence, answer, *_ = line.split("\t")
        at = sentence.lower().find(finding.lower())
        if at < 0 or len(sentence.lower()) != len(sentence):
            continue
        region = Region(CONTROL, at, at + len(finding), COARSE)
        texts.setdefault(sentence.lower(), {})[region] = answer.strip().lower()
    found = [Asked(text, tuple(asked), tuple(asked.values())) for text, asked in texts.items()]
    return _asked("negex", found)


def _mams(folder: Path) -> AskedSet:
    parts = [_reviews(folder / "raw" / f"{name}.xml") for name in ("train", "test")]
    labels = sorted({answer for one in parts[0] for answer in one.answers})
    return AskedSet("mams", tuple(labels), parts[0], parts[1][: 2 * TEST])


def _reviews(path: Path) -> list[Asked]:
    found = []
    for one in ElementTree.parse(path).getroot():
        text, terms = one.findtext("text") or "", one.findall("aspectTerms/aspectTerm")
        regions = tuple(Region(CONTROL, int(term.get("from", 0)), int(term.get("to", 0)), COARSE) for term in terms)
        found.append(Asked(text, regions, tuple(term.get("polarity", "") for term in terms)))
    return found


def _asked(name: str, found: list[Asked]) -> AskedSet:
    """Split at random."""
    random.Random(0).shuffle(found)
    labels = sorted({answer for one in found for answer in one.answers})
    return AskedSet(name, tuple(labels), found[2 * TEST :], found[: 2 * TEST])
