"""Self-attention over packed tokens: every sequence sees itself only."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from itertools import groupby
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

TIMED_LENGTHS = (7, 13, 29, 57, 119)
"""Tokens of a text for which the two ways are timed; between two of them the nearer one holds. None is a multiple of
KEY_STEP, as hardly any text is."""

KEY_STEP = 16
"""torch's fused kernel reads keys and values in vectors of 8 or 16 numbers, and what is left over far more slowly: 57
tokens take it 164 us, 64 take 116, 57 made up to 64 by a mask 106 (Sapphire Rapids, 12 heads of 32 in float32)."""

LOG2_E = math.log2(math.e)

LEAST_SUM, MOST_SUM = 2.0**-90, 2.0**112
"""Of a row's powers of two. Within them nothing that matters leaves the range of float32 and bfloat16 (2^-126 to
2^128), sums of values below 2^16 neither. Rows' largest scores lie at 0 to 110 in MiniLM, at -60 to 96 in E5 small."""


class Attention(Protocol):
    """(query, key, value) [tokens, width] -> [tokens, width]."""

    def __call__(self, query: Tensor, key: Tensor, value: Tensor, *, firsts: bool = False) -> Tensor:
        """`firsts`: the queries are those of each sequence's first token only."""
        ...


class SpanAttention:
    """Sequences of equal length go through in one call; no padding. For CPUs.

    `spare`: rows after the last sequence, which count for nothing. `products_at`: the lengths, of TIMED_LENGTHS, at
    which two products are faster than torch's fused kernel. That one is given the rows behind a sequence, too, up to a
    multiple of KEY_STEP, and a mask: they count for nothing, unless they are no numbers."""

    def __init__(self, lengths: Sequence[int], heads: int, spare: int = 0, products_at: Sequence[int] = ()) -> None:
        self.heads, self.spare, self.products_at = heads, spare, products_at
        self.spans = spans_of(lengths)
        self.alone = len(lengths) == 1

    def __call__(self, query: Tensor, key: Tensor, value: Tensor, *, firsts: bool = False) -> Tensor:
        if self.alone and not firsts:
            return self._attend_alone(query, key, value)
        parts, first = [], 0
        for start, count, length in self.spans:
            asked, step = (slice(first, first + count), 1) if firsts else (slice(start, start + count * length), length)
            first += count
            mixed = self._attend(self._heads(query[asked], count, step), key[start:], value[start:], length)
            parts.append(mixed.transpose(1, 2).reshape(count * step, -1))
        if self.spare and not firsts:
            parts.append(value.new_zeros(self.spare, parts[0].shape[1]))
        return torch.cat(parts)

    def _attend_alone(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """One sequence together with its spare rows, which count for nothing: oneDNN makes code for each new number of
        rows, a millisecond each, and nothing has to be put together again."""
        rows = len(query)
        queries = self._heads(query, 1, rows)
        if self._by_products(rows - self.spare):
            mixed = by_products(queries, self._heads(key, 1, rows), self._heads(value, 1, rows), self.spare)
        else:
            mixed = self._attend_fused(queries, key, value, rows - self.spare)
        return mixed.transpose(1, 2).reshape(rows, -1)

    def _heads(self, tokens: Tensor, count: int, length: int) -> Tensor:
        return tokens.view(count, length, self.heads, -1).transpose(1, 2)

    def _attend(self, query: Tensor, key: Tensor, value: Tensor, length: int) -> Tensor:
        """Of a run of sequences of this length, whose keys and values come first in `key` and `value`."""
        if not self._by_products(length):
            return self._attend_fused(query, key, value, length)
        count, rows = len(query), len(query) * length
        return by_products(query, self._heads(key[:rows], count, length), self._heads(value[:rows], count, length))

    def _by_products(self, length: int) -> bool:
        return nearest_length(length) in self.products_at

    def _attend_fused(self, query: Tensor, key: Tensor, value: Tensor, length: int) -> Tensor:
        behind = -length % KEY_STEP
        keys, values = (self._stretch(part, len(query), length, behind) for part in (key, value))
        return by_fused_kernel(query, keys, values, mask_of(length, behind, query.dtype) if behind else None)

    def _stretch(self, tokens: Tensor, count: int, length: int, behind: int) -> Tensor:
        """Each of the first `count` sequences together with the rows behind it, [count, heads, length + behind, d]:
        where there are such rows nothing is copied, and they are read twice."""
        if len(tokens) < count * length + behind:
            tokens = F.pad(tokens[: count * length], (0, 0, 0, behind))
        row, depth = tokens.stride(0), tokens.shape[1] // self.heads
        return tokens.as_strided((count, self.heads, length + behind, depth), (length * row, depth, row, 1))


class PaddedAttention:
    """One masked call for all sequences, whose tokens are scattered into a padded matrix: on GPUs calls cost most."""

    def __init__(self, lengths: Sequence[int], heads: int, places: Tensor) -> None:
        """`places` [tokens]: each token's row in the padded [sequences x longest] matrix, on the device."""
        self.heads, self.count, self.longest = heads, len(lengths), max(lengths)
        self.places = places
        mask = torch.zeros(self.count * self.longest, dtype=torch.bool, device=places.device)
        self.mask = mask.index_fill_(0, places, True).view(self.count, 1, 1, self.longest)

    def __call__(self, query: Tensor, key: Tensor, value: Tensor, *, firsts: bool = False) -> Tensor:
        asked = query.view(self.count, 1, self.heads, -1).transpose(1, 2) if firsts else self._spread(query)
        mixed = F.scaled_dot_product_attention(asked, self._spread(key), self._spread(value), attn_mask=self.mask)
        flat = mixed.transpose(1, 2).reshape(-1, query.shape[1])
        return flat if firsts else flat[self.places]

    def _spread(self, tokens: Tensor) -> Tensor:
        padded = tokens.new_zeros(self.count * self.longest, tokens.shape[1]).index_copy_(0, self.places, tokens)
        return padded.view(self.count, self.longest, self.heads, -1).transpose(1, 2)


def nearest_length(length: int) -> int:
    """The timed length that stands for this one; by ratio, not by difference."""
    return min(TIMED_LENGTHS, key=lambda known: max(known / length, length / known))


def spans_of(lengths: Sequence[int]) -> list[tuple[int, int, int]]:
    """(first token, sequences, length) of each run of equal lengths. [5, 5, 7] -> [(0, 2, 5), (10, 1, 7)]"""
    spans, start = [], 0
    for length, run in groupby(lengths):
        count = len(list(run))
        spans.append((start, count, length))
        start += count * length
    return spans


@lru_cache(maxsize=1024)
def mask_of(length: int, behind: int, dtype: torch.dtype) -> Tensor:
    """What is added to scores so that the keys `behind` a sequence count for nothing, [1, 1, 1, length + behind]."""
    return F.pad(torch.zeros(1, 1, 1, length, dtype=dtype), (0, behind), value=-math.inf)


def by_fused_kernel(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None) -> Tensor:
    """The same as `by_products`, in torch's one operation; `mask` is added to the scores."""
    return F.scaled_dot_product_attention(query, key, value, attn_mask=mask)


def by_products(query: Tensor, key: Tensor, value: Tensor, spare: int = 0) -> Tensor:
    """softmax(q k' / sqrt(d)) v of [count, heads, length, d], as two batched products. The last `spare` rows of keys
    and values count for nothing.

    Between them are powers of two and nothing else: a column of ones beside the values sums them up, and dividing by
    the sums is left to the end, where there are d numbers a row instead of one for every token. torch's softmax reads
    rows one by one; in bfloat16, of lengths that are no multiple of 16, it took three quarters of all (Zen 5).
    Powers without the row's largest score taken off may run out of range: then they are computed with it."""
    count, heads, length, depth = query.shape
    batch = count * heads
    queries, keys = query.reshape(batch, length, depth), key.reshape(batch, -1, depth).transpose(1, 2)
    values = value.new_empty(count, heads, value.shape[2], depth + 1)
    values[..., :depth], values[..., depth:] = value, 1.0
    if spare:
        values[:, :, -spare:] = 0.0
    # beta=0: what is added is not read.
    scores = torch.baddbmm(query.new_empty(1), queries, keys, beta=0, alpha=LOG2_E * depth**-0.5)
    mixed = torch.bmm(scores.exp2_(), values.view(batch, -1, depth + 1)).view(count, heads, length, depth + 1)
    sums = mixed[..., depth:]
    least, most = sums.contiguous().aminmax()
    if not (least > LEAST_SUM and most < MOST_SUM):  # not a number: neither
        known = key.shape[2] - spare
        return by_softmax(query, key[:, :, :known], value[:, :, :known])
    # The layout in which heads of a token lie side by side, so that the caller copies nothing.
    found = value.new_empty(count, length, heads, depth).transpose(1, 2)
    return torch.div(mixed[..., :depth], sums, out=found)


def by_softmax(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """The same for scores of any size."""
    count, heads, length, depth = query.shape
    keys, values = (part.reshape(count * heads, -1, depth) for part in (key, value))
    scores = torch.bmm(query.reshape(count * heads, length, depth), keys.transpose(1, 2)).mul_(depth**-0.5)
    return torch.bmm(scores.softmax(-1), values).view(count, heads, length, depth)
