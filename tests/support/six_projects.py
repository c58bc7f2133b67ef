"""Six small projects, one of every kind of labelling, made of the sample messages: tasks, true answers, a mark.

Held-out tasks are made of messages that no labelled task holds.
"""

from __future__ import annotations

import csv
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tests.support.rig import SAMPLE

LABELLED, HELD_OUT = 60, 40
LONG_HELD_OUT = 16

Answers = dict[str, Any]
"""Control -> what Label Studio's result holds: names of choices, paths of a taxonomy, or stars."""


@dataclass(frozen=True)
class Row:
    """One task and what is true of it."""

    data: dict[str, str]
    answers: Answers


@dataclass(frozen=True)
class Made:
    """One project. `types`: control -> type of its results; `to_name`: the input that results name."""

    number: int
    name: str
    config: str
    types: dict[str, str]
    to_name: str
    labelled: Sequence[Row]
    held_out: Sequence[Row]

    def result(self, answers: Answers) -> list[dict[str, Any]]:
        """Label Studio's `result` of an annotation."""
        return [
            {
                "id": f"{name}-1",
                "from_name": name,
                "to_name": self.to_name,
                "type": self.types[name],
                "origin": "manual",
                "value": {self.types[name]: value},
            }
            for name, value in answers.items()
        ]

    def answers_of(self, item: dict[str, Any]) -> Answers:
        """What a prediction answers."""
        return {result["from_name"]: result["value"][result["type"]] for result in item["result"]}

    def quality(self, control: str, given: Sequence[Answers]) -> float:
        """Mean mark in [0, 1] of one control's answers to the held-out tasks."""
        marks = [
            mark(self.types[control], row.answers[control], answers.get(control))
            for row, answers in zip(self.held_out, given, strict=True)
        ]
        return sum(marks) / len(marks)

    def constant(self, control: str) -> float:
        """The mark of the best answer that is the same for every task: what somebody gets who does not read."""
        seen = [row.answers[control] for row in self.labelled if control in row.answers]
        return max(self.quality(control, [{control: answer}] * len(self.held_out)) for answer in seen)


def mark(kind: str, true: Any, given: Any) -> float:
    """1 for the true answer, 0 for none; of sets the overlap (Jaccard), of paths the share of right levels, of five
    stars a quarter less for each star."""
    if given is None:
        return 0.0
    if kind == "rating":
        return 1 - abs(true - given) / 4
    if kind == "taxonomy":
        right = [above == mine for above, mine in zip(true[0], given[0], strict=False)]
        return [*right, False].index(False) / len(true[0])
    return len(set(true) & set(given)) / len(set(true) | set(given))


def six_projects() -> list[Made]:
    """The same every time."""
    makers = [_sets, _tree, _stars, _pairs, _two_controls, _long_texts]
    return [make(number) for number, make in enumerate(makers, 1)]


# The kinds.

TREE = {
    "Order": {"Parcel": ["delivery", "damaged item"], "Change": ["cancellation", "refund"]},
    "Customer": {"Access": ["account access", "billing"], "Contact": ["product question", "praise"]},
}
PATHS = {
    label: [root, branch, label] for root, below in TREE.items() for branch, labels in below.items() for label in labels
}


def _sets(number: int) -> Made:
    """Choices, several at once: one message, or two of different labels joined."""
    labels = ["delivery", "refund", "account access", "praise", "product question"]

    def row(draw: random.Random, messages: Messages) -> Row:
        chosen = draw.sample(labels, draw.choice([1, 2]))
        return Row({"text": " ".join(messages.take(label) for label in chosen)}, {"topics": chosen})

    config = _view(_text(), f'<Choices name="topics" toName="text" choice="multiple">{_choices(labels)}</Choices>')
    return _made(number, "multi-label", config, {"topics": "choices"}, row)


def _tree(number: int) -> Made:
    """A taxonomy of three levels."""

    def row(draw: random.Random, messages: Messages) -> Row:
        label = draw.choice(sorted(PATHS))
        return Row({"text": messages.take(label)}, {"where": [PATHS[label]]})

    inner = "".join(
        f'<Choice value="{root}">'
        + "".join(f'<Choice value="{branch}">{_choices(labels)}</Choice>' for branch, labels in below.items())
        + "</Choice>"
        for root, below in TREE.items()
    )
    config = _view(_text(), f'<Taxonomy name="where" toName="text">{inner}</Taxonomy>')
    return _made(number, "taxonomy", config, {"where": "taxonomy"}, row)


def _stars(number: int) -> Made:
    """A rating of one to five stars."""

    def row(draw: random.Random, messages: Messages) -> Row:
        stars = draw.randint(1, 5)
        return Row({"text": _review(draw, stars)}, {"stars": stars})

    config = _view(_text(), '<Rating name="stars" toName="text" maxRating="5"/>')
    return _made(number, "rating", config, {"stars": "rating"}, row)


def _pairs(number: int) -> Made:
    """Two messages: about the same thing, or not."""
    labels = ["delivery", "account access", "praise", "cancellation"]

    def row(draw: random.Random, messages: Messages) -> Row:
        first, other = draw.sample(labels, 2)
        same = draw.random() < 0.5
        data = {"left": messages.take(first), "right": messages.take(first if same else other)}
        return Row(data, {"relation": ["same topic" if same else "different topics"]})

    choices = _choices(["same topic", "different topics"])
    config = _view(
        '<Text name="a" value="$left"/><Text name="b" value="$right"/>',
        f'<Choices name="relation" toName="a,b">{choices}</Choices>',
    )
    return _made(number, "pair", config, {"relation": "choices"}, row, to_name="a")


def _two_controls(number: int) -> Made:
    """A topic and a rating of one text; every fifth annotator answers the topic only."""
    labels = ["delivery", "refund", "account access", "damaged item"]

    def row(draw: random.Random, messages: Messages) -> Row:
        label, stars = draw.choice(labels), draw.randint(1, 5)
        text = f"{messages.take(label)} By the way: {_review(draw, stars)}"
        return Row({"text": text}, {"topic": [label], "stars": stars})

    controls = f'<Choices name="topic" toName="text">{_choices(labels)}</Choices><Rating name="stars" toName="text"/>'
    made = _made(number, "two controls", _view(_text(), controls), {"topic": "choices", "stars": "rating"}, row)
    partly = [
        Row(row.data, {"topic": row.answers["topic"]}) if index % 5 == 4 else row
        for index, row in enumerate(made.labelled)
    ]
    return Made(**{**made.__dict__, "labelled": partly})


def _long_texts(number: int) -> Made:
    """About 2,000 tokens of minutes in which one message, somewhere, decides."""
    labels = ["refund", "account access", "praise"]

    def row(draw: random.Random, messages: Messages) -> Row:
        label = draw.choice(labels)
        lines = [_small_talk(draw) for _ in range(155)]
        lines.insert(draw.randrange(len(lines) + 1), messages.take(label))
        return Row({"text": " ".join(lines)}, {"topic": [label]})

    config = _view(_text(), f'<Choices name="topic" toName="text">{_choices(labels)}</Choices>')
    return _made(number, "long text", config, {"topic": "choices"}, row, held_out=LONG_HELD_OUT)


# What they are made of.


class Messages:
    """The sample messages of one split, each given out once."""

    def __init__(self, split: str, draw: random.Random) -> None:
        with SAMPLE.open(newline="", encoding="utf-8") as file:
            rows = [row for row in csv.DictReader(file) if row["split"] == split and 20 <= len(row["text"]) <= 140]
        draw.shuffle(rows)
        self._left: dict[str, list[str]] = {}
        for item in rows:
            self._left.setdefault(item["label"], []).append(item["text"])

    def take(self, label: str) -> str:
        """A message with this label."""
        return self._left[label].pop()


def _made(
    number: int,
    name: str,
    config: str,
    types: dict[str, str],
    row: Callable[[random.Random, Messages], Row],
    *,
    to_name: str = "text",
    held_out: int = HELD_OUT,
) -> Made:
    draw = random.Random(number)
    parts = []
    for split, count in (("train", LABELLED), ("test", held_out)):
        messages = Messages(split, draw)
        parts.append([row(draw, messages) for _ in range(count)])
    return Made(number, name, config, types, to_name, *parts)


def _view(inputs: str, controls: str) -> str:
    return f"<View>{inputs}{controls}</View>"


def _text() -> str:
    return '<Text name="text" value="$text"/>'


def _choices(labels: Sequence[str]) -> str:
    return "".join(f'<Choice value="{label}"/>' for label in labels)


THINGS = ["kettle", "lamp", "desk", "rucksack", "jacket", "speaker", "chair", "tent", "watch", "blender", "rug", "bike"]
OPENINGS = ["Bought the {} in May:", "Our new {}, well,", "About the {} I ordered:", "The {} is", "Used this {} daily,"]
CLOSINGS = [
    "",
    "My sister says so, too.",
    "That is after two weeks.",
    "I thought you should know.",
    "Size and colour fit.",
]
VERDICTS = [
    ["a complete disaster", "the worst I have ever had", "useless junk", "horrible, avoid it", "dangerous rubbish"],
    ["disappointing", "rather poor", "not good", "worse than I hoped", "flimsy and a bit annoying"],
    ["acceptable", "average, nothing special", "so-so", "neither good nor bad", "okay for the price"],
    ["good", "nice, I like it", "pleasant to use", "well made", "better than I hoped"],
    ["absolutely superb", "perfect in every way", "outstanding", "the best I have ever had", "fantastic, I love it"],
]


def _review(draw: random.Random, stars: int) -> str:
    opening, verdict = draw.choice(OPENINGS).format(draw.choice(THINGS)), draw.choice(VERDICTS[stars - 1])
    return f"{opening} {verdict}. {draw.choice(CLOSINGS)}".strip()


WHO = [
    "The caretaker",
    "Mrs Holm",
    "The bakery",
    "Our choir",
    "The mayor",
    "A neighbour",
    "The ferry crew",
    "Uncle Piet",
]
DID = ["painted", "measured", "talked about", "photographed", "moved", "described", "inspected", "sketched"]
WHAT = [
    "the old bridge",
    "the harbour wall",
    "a row of elms",
    "the church clock",
    "the weather vane",
    "the school yard",
]
WHEN = ["before noon", "on a grey morning", "while it rained", "near the end of March", "after the meeting", "at dusk"]


def _small_talk(draw: random.Random) -> str:
    return f"{draw.choice(WHO)} {draw.choice(DID)} {draw.choice(WHAT)} {draw.choice(WHEN)}."
