"""The two opt-in controls that the backend fills for the annotator to read, and never learns from.

    <Labels name="evidence" toName="text"><Label value="decided"/></Labels>   the deciding words, highlighted
    <TextArea name="understudy" toName="text"/>                               "refund 0.83, delivery 0.11"

A question of people's own that bears one of these names (Choices called evidence) is a question like any other, and
Labels called evidence with labels of people's own stay theirs: only the one label "decided" asks for deciding words.

Label Studio counts a region's offsets in code points, as Python does, not in JavaScript's UTF-16 units (its
`domManager.ts`; tests/e2e/test_evidence_page.py sees it in the page). Regions of HyperText need an XPath into the
page's own DOM, those of Paragraphs the index of a turn: no words are highlighted there.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING
from xml.etree.ElementTree import Element

from backend.labelstudio.label_config.config import elements_of
from model.spec import NONE, Control, Json, JsonObject, Kind, Prediction, TaskSpec

if TYPE_CHECKING:
    from model.explain.occlusion import Word

BLIND_LINE = "No suggestion here on purpose: this task measures how good the model is."


@dataclass(frozen=True)
class Helper:
    """One of the two controls: what its results name. `label` is that of the deciding words."""

    name: str
    to_name: str
    label: str = ""


@dataclass(frozen=True)
class Helpers:
    """What a label config asks for."""

    evidence: Helper | None = None
    summary: Helper | None = None


NO_HELPERS = Helpers()

DECIDED = "decided"
"""The label of deciding words, in any case."""


@lru_cache(maxsize=64)
def read_helpers(xml: str) -> Helpers:
    """The helper controls of this label config. A `toName` that names no single tag of it switches a helper off.

    Raises BadRequest for what is no XML."""
    elements = list(elements_of(xml))
    names = {element.get("name") for element in elements if element.get("value")}
    found: dict[tuple[str, str], Helper] = {}
    for element in elements:
        to_name = element.get("toName", "")
        if to_name in names:
            helper = Helper(element.get("name", ""), to_name, _decided_label(element))
            found.setdefault((str(element.tag).lower(), helper.name), helper)
    evidence = found.get(("labels", "evidence"))
    return Helpers(evidence if evidence and evidence.label else None, found.get(("textarea", "understudy")))


def _decided_label(element: Element) -> str:
    """What a region of this Labels control is called, when its only label is DECIDED; else ""."""
    labels = [one for one in element.iter() if str(one.tag).lower() == "label"]
    names = [name for one in labels for name in (one.get("alias"), one.get("value")) if name]
    asks = len(labels) == 1 and DECIDED in (name.strip().lower() for name in names)
    return names[0] if asks else ""


def explained_answer(helper: Helper, spec: TaskSpec, predictions: Sequence[Prediction]) -> Prediction | None:
    """The answer whose words are highlighted: that of the first control which read the text and chose something."""
    for prediction in predictions:
        if prediction.chosen and helper.to_name in spec.control(prediction.control).inputs:
            return prediction
    return None


def evidence_results(helper: Helper, words: Sequence[Word]) -> list[dict[str, Json]]:
    """One region per word of the text that the helper names; `score` is the word's weight."""
    return [
        {
            "id": _id(helper, f"{word.start}-{word.end}"),
            "from_name": helper.name,
            "to_name": helper.to_name,
            "type": "labels",
            "value": {
                "start": word.start,
                "end": word.end,
                "text": word.text,
                "labels": [helper.label],
            },
            "score": round(word.weight, 4),
        }
        for word in words
    ]


def summary_results(helper: Helper, spec: TaskSpec, predictions: Sequence[Prediction]) -> list[dict[str, Json]]:
    """One result with a line per control that answered."""
    named = len(spec.questions) > 1
    lines = [f"{one.control}: {summarise(spec, one)}" if named else summarise(spec, one) for one in predictions]
    if not lines:
        return []
    return _text_results(helper, lines)


def blind_results(helper: Helper) -> list[dict[str, Json]]:
    """What the annotator of a blind task reads: nothing is broken."""
    return _text_results(helper, [BLIND_LINE])


def _text_results(helper: Helper, lines: list[str]) -> list[dict[str, Json]]:
    value: JsonObject = {"text": lines}
    base: JsonObject = {"from_name": helper.name, "to_name": helper.to_name, "type": "textarea", "value": value}
    return [{"id": _id(helper, ""), **base}]


def summarise(spec: TaskSpec, prediction: Prediction) -> str:
    """`refund 0.83, delivery 0.11`: what was chosen, then the likeliest of the rest; `none` for an empty set."""
    control, known = spec.control(prediction.control), dict(prediction.ranking)
    if control.kind is Kind.SPANS:
        return _count_spans(control, prediction)
    sole = prediction.chosen[0] if len(prediction.chosen) == 1 and not control.multilabel else None
    parts = [_part(control, key, prediction.score if key == sole else known.get(key, 0.0)) for key in prediction.chosen]
    second = runner_up(prediction)
    if second is not None:
        parts.append(_part(control, *second))
    if not prediction.chosen:
        parts.insert(0, _part(control, NONE, known[NONE]) if NONE in known else "none")
    return ", ".join(parts)


def _count_spans(control: Control, prediction: Prediction) -> str:
    """`2 person, 1 location`."""
    counts = Counter(control.show(one.label) for one in prediction.spans)
    return ", ".join(f"{count} {label}" for label, count in counts.most_common()) or "nothing to mark"


def runner_up(prediction: Prediction) -> tuple[str, float] | None:
    """The likeliest label that was not chosen (or NONE), and its probability; None when there is no other."""
    chosen = prediction.chosen or (NONE,)
    return next(((key, share) for key, share in prediction.ranking if key not in chosen), None)


def _part(control: Control, key: str, probability: float) -> str:
    if key == NONE:
        return f"none {probability:.2f}"
    stars = f"{key} star{'' if key == '1' else 's'}" if control.kind is Kind.RATING else control.show(key)
    return f"{stars} {probability:.2f}"


def _id(helper: Helper, what: str) -> str:
    """Unique in one prediction, the same in every one."""
    return hashlib.sha256(f"{helper.name}\0{what}".encode()).hexdigest()[:10]
