"""Self-attention over packed tokens: every sequence sees itself only."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import groupby
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

TIMED_LENGTHS = (8, 16, 32, 64, 128)
"""Tokens of a text for which the two ways are timed; between two of them the nearer one holds."""

UNTIMED_LENGTHS = (8, 16)
"""Lengths at which products are taken where nothing was timed: torch's fused kernel costs 6 us a head and sequence, 1.3
to 1.6 times as much as two products of many short sequences at once (Zen 3, float32). bfloat16 on Zen 5 wants them at
all lengths: nothing that could be read off a flag."""

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

    `spare`: rows after the last sequence, which stay 0. `products_at`: the lengths, of TIMED_LENGTHS, at which two
    products are faster than torch's fused kernel."""

    def __init__(
        self, lengths: Sequence[int], heads: int, spare: int = 0, products_at: Sequence[int] = UNTIMED_LENGTHS
    ) -> None:
        self.heads, self.spare, self.products_at = heads, spare, products_at
        self.spans = spans_of(lengths)
        self.alone = len(lengths) == 1 and nearest_length(lengths[0]) in products_at

    def __call__(self, query: Tensor, key: Tensor, value: Tensor, *, firsts: bool = False) -> Tensor:
        if self.alone and not firsts:
            return self._attend_alone(query, key, value)
        parts, first = [], 0
        for start, count, length in self.spans:
            rows = slice(start, start + count * length)
            asked, step = (slice(first, first + count), 1) if firsts else (rows, length)
            first += count
            mixed = self._attend(
                self._heads(query[asked], count, step),
                self._heads(key[rows], count, length),
                self._heads(value[rows], count, length),
            )
            parts.append(mixed.transpose(1, 2).reshape(count * step, -1))
        if self.spare and not firsts:
            parts.append(value.new_zeros(self.spare, parts[0].shape[1]))
        return torch.cat(parts)

    def _attend_alone(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """One sequence together with its spare rows, which count for nothing: oneDNN makes code for each new number of
        rows, a millisecond each, and nothing has to be put together again."""
        rows = len(query)
        query, key, value = (self._heads(part, 1, rows) for part in (query, key, value))
        return by_products(query, key, value, self.spare).transpose(1, 2).reshape(rows, -1)

    def _heads(self, tokens: Tensor, count: int, length: int) -> Tensor:
        return tokens.view(count, length, self.heads, -1).transpose(1, 2)

    def _attend(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        if nearest_length(key.shape[2]) in self.products_at:
            return by_products(query, key, value)
        return by_fused_kernel(query, key, value)


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


def by_fused_kernel(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """The same as `by_products`, in torch's one operation."""
    return F.scaled_dot_product_attention(query, key, value)


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
