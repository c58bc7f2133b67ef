"""Text to token windows. Long texts are read in overlapping windows, not cut."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from model.encoder.pairs import two_segments
from model.errors import EncoderError, in_one_line
from model.pretrained.base_model import read_config
from model.pretrained.prefix import prefixed
from model.pretrained.reading import read_prefix
from model.spec import Text
from model.texts import UNSPACED

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer

DENSE = re.compile(f"[{UNSPACED}\\uac00-\\ud7a3]")
"""Letters that are syllables or words: to have a piece each is no sign that a vocabulary was not made for them."""

LOOKED_AT, MOST_COUNTED = 100, 10_000
"""Characters of a text that tell how much of it the vocabulary knows, and texts for which that is kept: a refit asks
for the same ones again."""

OVERLAP_TOKENS = 32
"""Tokens shared by neighbouring windows, so that a phrase at a border is whole in one of them."""

LONGEST_PAIR = 512
"""Most tokens of a question and a part of its passage, however much the encoder takes: heads learn answers from it."""


@dataclass(frozen=True)
class Window:
    """One sequence for the encoder; `text` is the index of the text it belongs to."""

    text: int
    ids: list[int]
    types: list[int]


@dataclass(frozen=True)
class Pieces:
    """The word pieces of a text: token ids, and the characters (code points) that each covers."""

    ids: list[int]
    offsets: list[tuple[int, int]]


@dataclass(frozen=True)
class PairWindow:
    """A window of a question and a part of its passage: `passage` lists the places of the passage's pieces in it, with
    the characters that each covers."""

    window: Window
    passage: list[tuple[int, tuple[int, int]]]


class Windows:
    """Tokenises with the encoder's own fast tokenizer. Thread-safe after construction."""

    def __init__(self, directory: Path, length: int) -> None:
        self.length = length
        self._tokenizer, self._whole = read_tokenizer(directory), read_tokenizer(directory)
        self._counted: dict[str, tuple[float, float]] = {}
        self._unknown = next((one for one in ("[UNK]", "<unk>") if self._whole.token_to_id(one) is not None), None)
        self._whole.no_padding()
        self._whole.no_truncation()
        self._tokenizer.no_padding()
        around = self._tokenizer.num_special_tokens_to_add(True)
        self._space = length - around
        if self._space < 2:
            raise EncoderError(
                f"the encoder in {directory} reads {length} tokens at once, and {around} stand around two texts "
                "(prefix and marks): give it a longer window or a shorter prefix"
            )
        self._tokenizer.enable_truncation(max_length=length, stride=max(0, min(OVERLAP_TOKENS, self._space // 4)))

    def split(self, texts: Sequence[Text]) -> list[Window]:
        """All windows of all texts; every text has at least one. A pair is one sequence of two segments."""
        inputs: list[str | tuple[str, str]] = []
        owners: list[int] = []
        for index, text in enumerate(texts):
            parts = self._as_inputs(text)
            inputs += parts
            owners += [index] * len(parts)
        windows: list[Window] = []
        for owner, encoding in zip(owners, self._tokenizer.encode_batch(inputs), strict=True):
            for part in (encoding, *encoding.overflowing):
                windows.append(Window(owner, part.ids, part.type_ids))
        return windows

    def pieces(self, texts: Sequence[str]) -> list[Pieces]:
        """The word pieces of whole texts, however long."""
        return [Pieces(found.ids, found.offsets) for found in self._whole.encode_batch(texts, add_special_tokens=False)]

    def unread_share(self, texts: Sequence[Text]) -> float:
        """Share of the letters in pieces that are unknown, that are one letter of a longer word (not where a script's
        letters are syllables or words), or that are less than a letter. Of the first LOOKED_AT characters of each."""
        segments = [segment[:LOOKED_AT] for text in texts for segment in text]
        if len(self._counted) > MOST_COUNTED:
            self._counted.clear()
        if missing := [segment for segment in dict.fromkeys(segments) if segment not in self._counted]:
            found = self._whole.encode_batch(missing, add_special_tokens=False)
            self._counted.update((own, self._count(own, one)) for own, one in zip(missing, found, strict=True))
        counts = [self._counted.get(segment, (0.0, 0.0)) for segment in segments]
        letters = sum(count for _, count in counts)
        return sum(unread for unread, _ in counts) / letters if letters else 0.0

    def _count(self, segment: str, found: Encoding) -> tuple[float, float]:
        """Unread letters, and all."""
        sizes, starts = Counter(found.word_ids), Counter(found.offsets)
        unread = letters = 0.0
        for piece, word, (start, end) in zip(found.tokens, found.word_ids, found.offsets, strict=True):
            own, split = count_letters(segment[start:end]), starts[start, end]
            letters += own / split
            single = own == 1 and (split > 1 or (sizes[word] > 1 and not DENSE.search(segment[start:end])))
            unread += own / split if single or piece == self._unknown else 0.0
        return unread, letters

    def tokenizer_json(self) -> str:
        """All of the tokenizer, without truncation and padding."""
        return str(self._whole.to_str())

    def pairs(self, pairs: Sequence[tuple[str, str]], stride: int) -> list[PairWindow]:
        """All windows of questions with their passages, whose parts share so many tokens; each has the question."""
        found: list[PairWindow] = []
        for owner, encoding in enumerate(self._asking(stride).encode_batch(list(pairs))):
            for part in (encoding, *encoding.overflowing):
                rows = enumerate(zip(part.sequence_ids, part.offsets, strict=True))
                passage = [(place, offsets) for place, (sequence, offsets) in rows if sequence == 1]
                found.append(PairWindow(Window(owner, part.ids, part.type_ids), passage))
        return found

    def _asking(self, stride: int) -> Tokenizer:
        from tokenizers import Tokenizer

        found: Tokenizer = Tokenizer.from_str(self._whole.to_str())
        length = min(self.length, LONGEST_PAIR)
        found.enable_truncation(max_length=length, stride=min(stride, length // 4), strategy="only_second")
        return found

    @cached_property
    def frame(self) -> tuple[list[int], list[int]]:
        """The special tokens that stand before and behind the pieces of a text."""
        found = self._whole.encode("a")
        own = [index for index, special in enumerate(found.special_tokens_mask) if not special]
        return found.ids[: own[0]], found.ids[own[-1] + 1 :]

    @cached_property
    def is_plain(self) -> bool:
        """Whether all tokens of one text are of the first type."""
        return not any(self._whole.encode("a").type_ids)

    def _as_inputs(self, text: Text) -> Sequence[str | tuple[str, str]]:
        if len(text) <= 1:
            return [text[0] if text else ""]
        first, second = two_segments(text)
        half = self._space // 2
        if min(len(first), len(second)) <= half:  # a token has a character at least
            return [(first, second)]
        return self._pairs(first, second, half)

    def _pairs(self, first: str, second: str, half: int) -> Sequence[tuple[str, str]]:
        """Two long segments walk side by side: the tokenizer would give every part of one with every part of the
        other, 841 windows for two of 1,200 words."""
        parts = [self._parts(segment, half) for segment in (first, second)]
        if min(map(len, parts)) == 1:
            return [(first, second)]
        count = max(map(len, parts))
        return [(parts[0][min(i, len(parts[0]) - 1)], parts[1][min(i, len(parts[1]) - 1)]) for i in range(count)]

    def _parts(self, segment: str, size: int) -> list[str]:
        """The segment in pieces of at most `size` tokens, cut between tokens."""
        offsets = self._whole.encode(segment, add_special_tokens=False).offsets
        step = max(1, size - min(OVERLAP_TOKENS, size // 4))
        starts = range(0, max(1, len(offsets) - size + step), step)
        cuts = [offsets[start : start + size] for start in starts]
        return [segment[cut[0][0] : cut[-1][1]] for cut in cuts if cut] or [segment]


def in_chunks(windows: Sequence[Window], tokens: int) -> Iterator[list[Window]]:
    """The windows in turn, at most `tokens` tokens a chunk; a longer one is a chunk by itself."""
    chunk: list[Window] = []
    size = 0
    for window in windows:
        if chunk and size + len(window.ids) > tokens:
            yield chunk
            chunk, size = [], 0
        chunk.append(window)
        size += len(window.ids)
    if chunk:
        yield chunk


def read_tokenizer(directory: Path) -> Tokenizer:
    """The fast tokenizer of tokenizer.json, or built from vocab.txt and its like, with the encoder's prefix before each
    text. Raises EncoderError."""
    try:
        path = directory / "tokenizer.json"
        tokenizer = _read_tokenizer(path) if path.is_file() else _build_tokenizer(directory)
        return prefixed(tokenizer, read_prefix(directory))
    except Exception as error:  # tokenizers raises plain Exception, transformers half a dozen kinds
        raise EncoderError(
            f"the tokenizer in {directory} cannot be loaded: {in_one_line(error)}; give a whole tokenizer.json: "
            "AutoTokenizer and save_pretrained of transformers make one (some need the package sentencepiece or "
            "tiktoken)",
            path=str(directory),
        ) from error


def _read_tokenizer(path: Path) -> Tokenizer:
    from tokenizers import Tokenizer

    return Tokenizer.from_file(str(path))


def _build_tokenizer(directory: Path) -> Tokenizer:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(directory, use_fast=True, trust_remote_code=False, local_files_only=True)
    found, wanted = len(tokenizer), int(read_config(directory).get("vocab_size", 0))
    if 2 * found < wanted:  # a vocabulary under another family's file name is passed over without a word
        raise ValueError(f"it knows {found} tokens, the encoder {wanted}")
    built: Tokenizer = tokenizer.backend_tokenizer
    return built


def count_letters(text: str) -> int:
    """Letters and the marks on them."""
    return sum(unicodedata.category(sign)[0] in "LM" for sign in text)
