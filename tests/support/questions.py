"""Questions about made-up passages, for tests: who, when and where, and some that the passage does not answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backend.labelstudio.records import ExampleRecord

PROJECT = 7

TEMPLATE = """<View><Header value="Please read the passage"/><Text name="text" value="$text" granularity="word"/>
<Header value="Select a text span answering the following question:"/><Text name="question" value="$question"/>
<Labels name="answer" toName="text"><Label value="Answer" maxUsage="1" background="red"/></Labels></View>"""
"""Label Studio's own template of question answering."""

PEOPLE = ("Mara Voss", "Theo Quist", "Ida Brandt", "Oskar Lind", "Nils Torvald", "Vera Okafor", "Jon Hale", "Elin Moe")
PLACES = ("Port Averil", "Kestrel Bay", "Old Harrow", "Lindfall", "Saint Orme", "Dunmere", "Vexholm", "Tarn")
THINGS = ("lighthouse", "railway", "library", "harbour", "observatory", "school", "theatre", "mill")
VERBS = ("built", "founded", "sold", "designed", "painted", "closed", "repaired", "measured")


@dataclass(frozen=True)
class Asked:
    """A question, its passage, and the characters of the answer; None where the passage has none."""

    question: str
    text: str
    answer: tuple[int, int] | None

    @property
    def data(self) -> dict[str, str]:
        """A task's."""
        return {"text": self.text, "question": self.question}

    @property
    def said(self) -> str:
        """The answer in words."""
        return self.text[slice(*self.answer)] if self.answer else ""

    def result(self, **more: Any) -> list[dict[str, Any]]:
        """As the page submits it."""
        if self.answer is None:
            return []
        start, end = self.answer
        value = {"start": start, "end": end, "text": self.said, "labels": ["Answer"]}
        return [{"id": "a1", "from_name": "answer", "to_name": "text", "type": "labels", "value": value, **more}]


def asked(count: int, first: int = 0) -> list[Asked]:
    """Every fourth cannot be answered. Passages come again with other questions."""
    return [_asked(number) for number in range(first, first + count)]


def _asked(number: int) -> Asked:
    passage, turn = divmod(number, 4)
    one, two = passage % 8, (passage // 8 + 3 * passage + 1) % 8
    person, other = PEOPLE[one], PEOPLE[(one + 3) % 8]
    place, elsewhere = PLACES[two], PLACES[(two + 5) % 8]
    thing, second = THINGS[(one + two) % 8], THINGS[(one + two + 1) % 8]
    year, later = 1800 + 7 * (passage % 20), 1950 + passage % 40
    text = (
        f"The valley is quiet. The {thing} was {VERBS[one]} by {person} in {year} near {place}. "
        f"Later {other} {VERBS[two]} the {second} at {elsewhere}, which opened in {later}. It rains often."
    )
    question, answer = (
        (f"Who {VERBS[one]} the {thing}?", person),
        (f"When was the {thing} {VERBS[one]}?", str(year)),
        (f"Where was the {thing} {VERBS[one]}?", place),
        (f"How many rooms does the {thing} have?", ""),
    )[turn]
    start = text.index(answer)
    return Asked(question, text, (start, start + len(answer)) if answer else None)


def write_answering_base(path: Path, spread: float = 0.5) -> Path:
    """A base model with MiniLM's words, two layers of random weights and a head for questions."""
    import torch
    from transformers import AutoTokenizer, BertConfig, BertForQuestionAnswering

    from model.encoder.encoder import find_base_model

    torch.manual_seed(3)
    tokenizer = AutoTokenizer.from_pretrained(find_base_model())
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
        initializer_range=spread,
    )
    BertForQuestionAnswering(config).eval().save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path


def record_of(one: Asked, number: int, annotator: int = 1) -> ExampleRecord:
    """As the store keeps the annotation `number` of the task `number`."""
    stamp = f"2026-01-01T{number // 3600:02d}:{number // 60 % 60:02d}:{number % 60:02d}Z"
    rows = [(*one.answer, "Answer")] if one.answer else []
    texts = {"text.page": one.text, "question": one.question}
    return ExampleRecord(number, number, texts, {}, stamp, annotator, spans={"answer": rows})


def add_answers(context: Any, answers: Sequence[Asked], first: int = 1, config: str = TEMPLATE) -> None:
    """Puts them into a project's store."""
    context.stores.projects.save_config(PROJECT, config)
    records = [record_of(one, first + turn) for turn, one in enumerate(answers)]
    context.stores.examples.upsert_many(PROJECT, records)
