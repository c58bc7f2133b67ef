"""What is to be learned: inputs, controls and labels of one task, and what a labelled example looks like.

These types are the seam between `backend` (which reads Label Studio's formats) and `model` (which learns).
They hold plain data only and convert to and from JSON without loss.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property

from model.labels import key_of, shown_labels
from model.region import RegionScope, ScoredRelation
from model.span import ScoredSpan
from model.spec_json import ConditionJson, ControlJson, InputJson, SampleJson, SpecJson

Json = None | bool | int | float | str | Sequence["Json"] | Mapping[str, "Json"]
"""What JSON can hold."""

JsonObject = Mapping[str, Json]
"""A JSON object, to be read."""

Text = tuple[str, ...]
"""One encoder input: the segments a control reads (one text, or several for a pair)."""

Document = Mapping[str, str]
"""One task: input name -> its plain text (HTML stripped, dialogue joined)."""


NONE = ""
"""The key of "none of these": the class of an optional question that is left blank. No label has it."""


class Kind(str, Enum):
    """How a control is answered."""

    SINGLE = "single"
    MULTIPLE = "multiple"
    TAXONOMY = "taxonomy"
    RATING = "rating"
    SPANS = "spans"


@dataclass(frozen=True)
class Label:
    """One answer. `path` is what a result carries (the aliases of nested choices from the root down);
    `words` is what a person reads (shown text plus hints), used by the cold start."""

    path: tuple[str, ...]
    words: str

    @cached_property
    def key(self) -> str:
        """The label as one string: `A`, or `A/A1` when nested. Different paths have different keys."""
        return key_of(self.path)


@dataclass(frozen=True)
class PageRules:
    """How the page makes an object's text, where spans are marked in it: read so, each character has its place."""

    object: str
    encoding: str = "none"
    inline: bool = False
    by_time: bool = False


@dataclass(frozen=True)
class Input:
    """One object tag: its name, the task field or template it shows, and how to read it. `page`: read as the page
    counts, for spans; then the name is that of the text, not of the tag."""

    name: str
    tag: str  # Text | HyperText | Paragraphs | Dialog | Chat | List | Table | Markdown
    value: str  # as in the config: "$text", "Text is $text"
    name_key: str = "author"
    text_key: str = "text"
    page: PageRules | None = None


@dataclass(frozen=True)
class Chosen:
    """That something is chosen in `control` ("": in any Choices): one of `paths`, or anything at all (None).

    `by_name`: only the last part of a path is compared, wherever in the tree it stands."""

    control: str
    paths: tuple[tuple[str, ...], ...] | None = None
    by_name: bool = False


@dataclass(frozen=True)
class Condition:
    """When the page asks a question: while `chosen` holds; with `unless`, while it does not."""

    chosen: Chosen
    unless: bool = False


@dataclass(frozen=True)
class Control:
    """One control tag that can be learned. `options_field` is set when the choices are in the task data.

    `nested`: results carry every label as a path, also a path of one (Choices with `allowNested`). The question is
    asked where all `conditions` hold (`model/visibility.py`). `required`: the page takes no answer without it; any
    other question may be left blank, which says "none of these". `most`: paths that a Taxonomy takes (None: any
    number). `several`: its answers are sets of paths, since people give such; by the labels, not the config.
    `templates`: those paths of its labels that are written with the task's data, `$field` and all. `scope`: the regions
    that it is asked of, where it is asked of regions."""

    name: str
    kind: Kind
    inputs: tuple[str, ...]
    labels: tuple[Label, ...]
    tag: str = "Choices"  # Choices | Taxonomy | Rating | Pairwise
    options_field: str | None = None
    nested: bool = False
    conditions: tuple[Condition, ...] = ()
    required: bool = False
    most: int | None = None
    several: bool = False
    templates: tuple[tuple[str, ...], ...] = ()
    scope: RegionScope | None = None

    @property
    def multilabel(self) -> bool:
        """Whether answers are sets of labels."""
        return self.kind is Kind.MULTIPLE or self.several

    def text_of(self, document: Document) -> Text:
        """The segments of `document` which this control reads, in the order of its `toName`."""
        return tuple(document[name] for name in self.inputs)

    @property
    def question(self) -> str | None:
        """The input with the question, of a control that marks the answer to one in its first input, the passage."""
        return self.inputs[1] if self.kind is Kind.SPANS and len(self.inputs) > 1 else None

    def keys(self) -> tuple[str, ...]:
        """Label keys (of spans: names) in config order: the column order of every score matrix."""
        return self._keys

    @cached_property
    def words(self) -> Mapping[str, str]:
        """What a person reads for each label key: the cold start's names."""
        return dict(zip(self._keys, (label.words for label in self.labels), strict=True))

    @cached_property
    def shown(self) -> Mapping[str, str]:
        """The text of each label key on a screen: `Input/Output`, or the key itself where two would read the same."""
        return shown_labels(self._keys)

    def show(self, key: str) -> str:
        """The text of any label key on a screen, also of one that only the task data offer."""
        known = self.shown.get(key)
        return known if known is not None else shown_labels((*self._keys, key))[key]

    @cached_property
    def _keys(self) -> tuple[str, ...]:
        if self.kind is Kind.SPANS:  # a span bears the name itself, which is no path
            return tuple(label.path[0] for label in self.labels)
        return tuple(label.key for label in self.labels)


@dataclass(frozen=True)
class TaskSpec:
    """Everything that is learned for one project: `controls` that are answered with choices, `spans` that mark text,
    `regions` that are asked of each marked region, and labels of `relations` between them (None: there are none).

    `unlearned`: names of the config's other tags, None when the spec is not straight from a config; `source`: the label
    config it was read from, "" likewise. No part of what is learned, so neither compared nor kept."""

    inputs: tuple[Input, ...]
    controls: tuple[Control, ...]
    unlearned: frozenset[str] | None = field(default=None, compare=False, repr=False)
    spans: tuple[Control, ...] = ()
    source: str = field(default="", compare=False, repr=False)
    regions: tuple[Control, ...] = ()
    relations: tuple[str, ...] | None = None

    @cached_property
    def digest(self) -> str:
        """Changes when inputs, controls or label sets change, not with what the labels taught; 16 hex digits."""
        asked = self.to_json()
        for item in (*asked["controls"], *asked.get("regions", ())):
            item.pop("several", None)
        # Versions of before keys were escaped know such labels by other names: they are fitted anew.
        escaped = [label.key for control in self.controls for label in control.labels if "\\" in label.key]
        text = json.dumps({**asked, **({"keys": escaped} if escaped else {})}, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def questions(self) -> tuple[Control, ...]:
        """All controls about a task, whatever they are answered with."""
        return (*self.controls, *self.spans)

    def control(self, name: str) -> Control:
        """The control called `name`. Raises KeyError."""
        for control in (*self.questions, *self.regions):
            if control.name == name:
                return control
        raise KeyError(name)

    def strangers(self, names: Iterable[str]) -> list[str]:
        """Those of `names` that no tag of the config has, sorted; none where the config's other tags are not known."""
        if self.unlearned is None:
            return []
        return sorted(set(names) - self.unlearned - {control.name for control in self.questions})

    def to_json(self) -> SpecJson:
        """Plain JSON types, readable by `from_json`."""
        data: SpecJson = {
            "inputs": [_input_json(item) for item in self.inputs],
            "controls": [_control_json(item) for item in self.controls],
        }
        if self.spans:
            data["spans"] = [_control_json(item) for item in self.spans]
        if self.regions:
            data["regions"] = [_control_json(item) for item in self.regions]
        if self.relations is not None:
            data["relations"] = self.relations
        return data

    @classmethod
    def from_json(cls, data: SpecJson) -> TaskSpec:
        """Inverse of `to_json`. Raises KeyError or ValueError on foreign data."""
        return cls(
            inputs=tuple(_input(item) for item in data["inputs"]),
            controls=tuple(_control(item) for item in data["controls"]),
            spans=tuple(_control(item) for item in data.get("spans", ())),
            regions=tuple(_control(item) for item in data.get("regions", ())),
            relations=tuple(data["relations"]) if "relations" in data else None,
        )


def _control(item: ControlJson) -> Control:
    scope = item.get("scope")
    return Control(
        name=item["name"],
        kind=Kind(item["kind"]),
        inputs=tuple(item["inputs"]),
        labels=tuple(Label(tuple(label["path"]), label["words"]) for label in item["labels"]),
        tag=item["tag"],
        options_field=item["options_field"],
        nested=bool(item.get("nested", False)),
        conditions=tuple(_condition(one) for one in item.get("conditions", ())),
        required=bool(item.get("required", False)),
        most=item.get("most"),
        several=bool(item.get("several", False)),
        templates=tuple(tuple(path) for path in item.get("templates", ())),
        scope=RegionScope.from_json(scope) if scope else None,
    )


def _input(item: InputJson) -> Input:
    page = item.get("page")
    rules = PageRules(**page) if page else None
    return Input(item["name"], item["tag"], item["value"], item["name_key"], item["text_key"], rules)


def _input_json(item: Input) -> InputJson:
    data: InputJson = {
        "name": item.name,
        "tag": item.tag,
        "value": item.value,
        "name_key": item.name_key,
        "text_key": item.text_key,
    }
    if item.page is not None:
        rules = item.page
        data["page"] = {
            "object": rules.object,
            "encoding": rules.encoding,
            "inline": rules.inline,
            "by_time": rules.by_time,
        }
    return data


def _control_json(control: Control) -> ControlJson:
    data: ControlJson = {
        "name": control.name,
        "kind": control.kind.value,
        "inputs": control.inputs,
        "labels": [{"path": label.path, "words": label.words} for label in control.labels],
        "tag": control.tag,
        "options_field": control.options_field,
        "nested": control.nested,
    }
    if control.conditions:
        data["conditions"] = [_condition_json(condition) for condition in control.conditions]
    if control.required:
        data["required"] = True
    if control.most:
        data["most"] = control.most
    if control.several:
        data["several"] = True
    if control.templates:
        data["templates"] = control.templates
    if control.scope is not None:
        data["scope"] = control.scope.to_json()
    return data


def _condition_json(condition: Condition) -> ConditionJson:
    chosen = condition.chosen
    return {
        "chosen": {"control": chosen.control, "paths": chosen.paths, "by_name": chosen.by_name},
        "unless": condition.unless,
    }


def _condition(data: ConditionJson) -> Condition:
    chosen = data["chosen"]
    paths = None if chosen["paths"] is None else tuple(tuple(path) for path in chosen["paths"])
    return Condition(Chosen(chosen["control"], paths, bool(chosen["by_name"])), bool(data["unless"]))


@dataclass(frozen=True)
class Sample:
    """One labelled task as seen by one control, after the consensus of its annotators.

    `target` maps label key -> weight in [0, 1]: for single, taxonomy and rating the weights are a distribution (they
    sum to 1; soft when annotators disagree; NONE is who left it blank), for sets each is the share of annotators who
    set that label, and no label at all says that nobody set any. `weight` is the sample's importance (1 = one
    confident label)."""

    task: int
    text: Text
    target: Mapping[str, float]
    weight: float = 1.0
    ground_truth: bool = False
    annotations: tuple[int, ...] = ()

    @property
    def labelled(self) -> bool:
        """Whether there is an answer, be it with nothing; a task without one has no weight."""
        return self.weight > 0

    @property
    def top(self) -> str:
        """The heaviest label (ties: alphabetical). Raises ValueError when there is none."""
        return min(self.target, key=lambda key: (-self.target[key], key))

    def to_json(self) -> SampleJson:
        return {
            "task": self.task,
            "text": self.text,
            "target": self.target,
            "weight": self.weight,
            "ground_truth": self.ground_truth,
            "annotations": self.annotations,
        }

    @classmethod
    def from_json(cls, data: SampleJson) -> Sample:
        return cls(
            task=int(data["task"]),
            text=tuple(data["text"]),
            target=dict(data["target"]),
            weight=float(data["weight"]),
            ground_truth=bool(data["ground_truth"]),
            annotations=tuple(data["annotations"]),
        )


@dataclass(frozen=True)
class Prediction:
    """The answer of one control for one task.

    `chosen` holds label keys (several for sets; none says "none of these"); `score` in [0, 1] is the calibrated
    confidence in the whole answer, also in none; `ranking` lists (key, probability), best first (NONE among them where
    that is a class); `levels`, for a taxonomy, (key, confidence) of every node from the root to the answer. `spans`: of
    marked text, what is shown; `expected_spans`: how many there are, as far as is known (a sum of probabilities);
    `relations`: those whose source is one of its spans."""

    control: str
    chosen: tuple[str, ...]
    score: float
    ranking: tuple[tuple[str, float], ...] = field(default=())
    levels: tuple[tuple[str, float], ...] = field(default=())
    spans: tuple[ScoredSpan, ...] = field(default=())
    expected_spans: float = 0.0
    relations: tuple[ScoredRelation, ...] = field(default=())


Samples = Mapping[str, Sequence[Sample]]
"""Control name -> its samples."""
