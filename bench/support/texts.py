"""Texts for the benches: real short ones of the public sets, and the sample messages by their splits.

`mixed_texts` for the benches of speed: 35 % bank questions, 55 % news, 10 % two to five news joined, from the public
sets in `../shared/data`; without that folder from the sample messages, the same shares joined. No text comes twice: the
product keeps features and answers by text, and a bench must not meet them by chance.
"""

from __future__ import annotations

import csv
import itertools
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from model.spec import Control, Kind, Label
from tests.support.rig import ROOT, SAMPLE, endless_rows, read_rows

DATA = ROOT.parent / "shared" / "data"

SHARES = (("short", 0.35), ("news", 0.55), ("joined", 0.10))

TOKENS = 256
"""Longest text, special tokens counted: the peer fails a whole batch for one text of more than 512."""


def mixed_texts(count: int, *, seed: int = 0, directory: Path = DATA) -> list[str]:
    """`count` different texts of at most TOKENS tokens of a BERT vocabulary, in random order."""
    rng = np.random.default_rng(seed)
    short, news = _sources(directory, rng)
    sources = {"short": short, "news": news, "joined": _joined(_texts(directory, "agnews"), rng)}
    cut, seen, texts = _Cutter(), set[str](), list[str]()
    for kind in rng.choice([name for name, _ in SHARES], size=count, p=[share for _, share in SHARES]):
        text = next(text for raw in sources[str(kind)] if (text := cut(raw)) not in seen)
        seen.add(text)
        texts.append(text)
    return texts


def read_split(name: str, seed: int, directory: Path | None = None) -> list[tuple[str, str]]:
    """Shuffled (text, label) rows of one split: of a set's folder, else of the sample messages."""
    path = directory / f"{name}.csv" if directory is not None and directory.is_dir() else SAMPLE
    with path.open(newline="", encoding="utf-8") as file:
        rows = [(row["text"], row["label"]) for row in csv.DictReader(file) if row.get("split", name) == name]
    return [rows[index] for index in np.random.default_rng(seed).permutation(len(rows))]


def choice_control(names: Sequence[str]) -> Control:
    """One of these labels for a text."""
    return Control("label", Kind.SINGLE, ("text",), tuple(Label((name,), name) for name in names))


def labelled_news(count: int, directory: Path = DATA) -> list[tuple[str, str]]:
    """(text, label) rows to learn from: news, or sample messages when the public sets are not there."""
    path = directory / "agnews" / "train.csv"
    rows = read_rows(path) if path.is_file() else read_rows()
    return rows[:count]


def questions(directory: Path = DATA) -> list[str]:
    """Short texts, each once: bank customers' questions, or sample messages when the public sets are not there."""
    path = directory / "banking77" / "train.csv"
    rows = read_rows(path) if path.is_file() else read_rows()
    return list(dict.fromkeys(text for text, _ in rows))


def write_rows(path: Path, texts: Sequence[str], rows: int, *, numbered: bool) -> None:
    """JSON lines; `numbered`: no two alike."""
    quoted = [json.dumps(text)[:-1] for text in texts]
    with path.open("w", encoding="utf-8") as file:
        for number, text in zip(range(rows), itertools.cycle(quoted), strict=False):
            more = f" {number}" if numbered else ""
            file.write(f'{{"id": {number}, "text": {text}{more}"}}\n')


def _texts(directory: Path, name: str) -> list[str]:
    folder = directory / name
    if not folder.is_dir():
        return [text for text, _ in read_rows()]
    return [text for split in ("train", "test") for text, _ in read_rows(folder / f"{split}.csv")]


def _sources(directory: Path, rng: np.random.Generator) -> tuple[Iterator[str], Iterator[str]]:
    """Endless texts of the two sets; one and the same stream when only the sample messages are there."""
    if not (directory / "banking77").is_dir():
        stream = (text for text, _ in endless_rows(read_rows()))
        return stream, stream
    short, news = (_shuffled(_texts(directory, name), rng) for name in ("banking77", "agnews"))
    return short, news


def _shuffled(texts: Sequence[str], rng: np.random.Generator) -> Iterator[str]:
    """All texts in random order, then pairs of them: a long bench does not run out."""
    yield from (texts[index] for index in rng.permutation(len(texts)))
    while True:
        first, second = rng.integers(len(texts), size=2)
        yield f"{texts[first]} {texts[second]}"


def _joined(texts: Sequence[str], rng: np.random.Generator) -> Iterator[str]:
    while True:
        yield " ".join(texts[index] for index in rng.integers(len(texts), size=rng.integers(2, 6)))


class _Cutter:
    """Cuts a text where its last allowed token ends."""

    def __init__(self) -> None:
        from tokenizers import Tokenizer

        from model.encoder.encoder import find_base_model

        self._tokenizer: Any = Tokenizer.from_file(str(find_base_model() / "tokenizer.json"))
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()

    def __call__(self, text: str) -> str:
        if len(text) <= TOKENS - 2:  # a token has a character at least
            return text
        offsets = self._tokenizer.encode(text, add_special_tokens=False).offsets[: TOKENS - 2]
        return text[: offsets[-1][1]]
