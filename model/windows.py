"""Text to token windows. Long texts are read in overlapping windows, not cut."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model.spec import Text

OVERLAP = 32
"""Tokens shared by neighbouring windows, so that a phrase at a border is whole in one of them."""


@dataclass(frozen=True)
class Window:
    """One sequence for the encoder; `text` is the index of the text it belongs to."""

    text: int
    ids: list[int]
    types: list[int]


class Windows:
    """Tokenises with the encoder's own fast tokenizer. Thread-safe after construction."""

    def __init__(self, directory: Path, length: int) -> None:
        self.length = length
        self._tokenizer = _load_tokenizer(directory)
        self._tokenizer.no_padding()
        special = self._tokenizer.num_special_tokens_to_add(True)
        stride = max(0, min(OVERLAP, (length - special) // 4))
        self._tokenizer.enable_truncation(max_length=length, stride=stride)

    def split(self, texts: Sequence[Text]) -> list[Window]:
        """All windows of all texts; every text has at least one. A pair is one sequence of two segments."""
        inputs = [_as_input(text) for text in texts]
        windows: list[Window] = []
        for index, encoding in enumerate(self._tokenizer.encode_batch(inputs)):
            for part in (encoding, *encoding.overflowing):
                windows.append(Window(index, part.ids, part.type_ids))
        return windows


def _as_input(text: Text) -> str | tuple[str, str]:
    if len(text) <= 1:
        return text[0] if text else ""
    return text[0], "\n".join(text[1:])


def _load_tokenizer(directory: Path) -> Any:
    path = directory / "tokenizer.json"
    if path.is_file():
        from tokenizers import Tokenizer

        return Tokenizer.from_file(str(path))
    from transformers import AutoTokenizer  # builds the fast tokenizer from vocab.txt and its like

    tokenizer = AutoTokenizer.from_pretrained(directory, use_fast=True, trust_remote_code=False, local_files_only=True)
    return tokenizer.backend_tokenizer
