"""One control that marks text as a torch module: from token ids to log-scores of tags."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from model.encoder.padded import load_model
from model.export.head import constant
from model.export.onnx_file import Shape, save_onnx
from model.export.spans.prior import PriorGraph
from model.numerics.arrays import Floats
from model.pretrained.base_model import has_token_types
from model.spans.chain.tags import TagSet
from model.spans.features.reading import HEAD_DEPTHS, layers_at
from model.spans.head.head import SpanHead
from model.spans.head.tuned_marks import WordScorer

if TYPE_CHECKING:
    from model.encoder.encoder import Encoder

Codes = Sequence[int]

CASES = 24


@dataclass(frozen=True)
class Columns:
    """First columns of what the graph says by one head: by its chain, by the prior alone, by a fine-tuned encoder."""

    chain: int
    alone: int | None
    tuned: int | None
    end: int


@dataclass(frozen=True)
class Table:
    """What hints add to the log-scores: `rows` [1 + features + patterns, columns], the first of zeros; `features`: in
    the order of the rows; `patterns`: label -> rows of a match's first and further words."""

    rows: Floats
    features: Codes
    patterns: Mapping[str, tuple[int, int]]


@dataclass(frozen=True)
class Layout:
    """The heads of a control and where what they say stands; `scorer`: of a fine-tuned encoder with a share."""

    heads: tuple[SpanHead, ...]
    scorer: WordScorer | None = None

    @cached_property
    def columns(self) -> list[Columns]:
        found, at = [], 0
        for place, head in enumerate(self.heads):
            size, chain = head.chain.tags.size, at
            alone = at + size if asks_prior(head) else None
            tuned = at + size * (1 + (alone is not None)) if place == 0 and self.scorer is not None else None
            at += size * (1 + (alone is not None))
            if tuned is not None and self.scorer is not None:
                at += TagSet(self.scorer.labels).size
            found.append(Columns(chain, alone, tuned, at))
        return found

    @cached_property
    def table(self) -> Table:
        """Of all heads together."""
        known = [head.space.known for head in self.heads]
        features = np.unique(np.concatenate(known)) if known else np.zeros(0, np.uint64)
        lexicon = self.heads[0].space.lexicon
        labels = lexicon.labels if lexicon is not None else ()
        patterns = {label: (1 + len(features) + 2 * at, 2 + len(features) + 2 * at) for at, label in enumerate(labels)}
        rows = np.zeros((1 + len(features) + 2 * len(labels), self.columns[-1].end), np.float32)
        for head, own in zip(self.heads, self.columns, strict=True):
            tags, size = head.chain.tags, head.chain.tags.size
            if len(head.space.known):
                places = 1 + np.searchsorted(features, head.space.known)
                rows[places, own.chain : own.chain + size] = tags.mixed(head.chain.weights.sparse)
            for label in set(labels) & set(tags.labels):
                tag, score = 1 + 2 * tags.labels.index(label), head.space.trust.score(label)
                for place in (own.chain, own.alone):
                    if place is not None:
                        rows[patterns[label][0], place + tag] = score
                        rows[patterns[label][1], place + tag + 1] = score
        return Table(rows, [int(code) for code in features], patterns)


def asks_prior(head: SpanHead) -> bool:
    """Whether what the prior alone says has a share in the probability of a span."""
    return bool(head.alone.share and head.alone.trust and head.space.offset_weight)


class WordStates(nn.Module):
    """States of words [m, width] after each layer asked for, from token windows."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.model = load_model(encoder.directory, encoder.weights)
        self.typed = has_token_types(self.model.config.to_dict())
        self.count = encoder.layers

    def forward(self, ids: Tensor, mask: Tensor, types: Tensor, pieces: Tensor) -> list[Tensor]:
        """`pieces` [m, w, t]: the share of each token in each word."""
        extra = {"token_type_ids": types} if self.typed else {}
        states = self.model(input_ids=ids, attention_mask=mask, output_hidden_states=True, **extra).hidden_states
        shares = pieces.flatten(1)
        return [shares @ layer.float().flatten(0, 1) for layer in states]


class SpanGraph(nn.Module):
    """Log-scores [m, columns] of the words of some texts, as `layout.columns` has them."""

    def __init__(self, layout: Layout, base: Encoder, tuned: Encoder | None) -> None:
        super().__init__()
        self.layout = layout
        self.base = WordStates(base)
        self.tuned = WordStates(tuned) if layout.scorer is not None and tuned is not None else None
        self.layers = layers_at(HEAD_DEPTHS, base.layers)
        priors = [head.prior for head in layout.heads if head.prior is not None and head.space.offset_weight]
        if layout.scorer is not None and layout.scorer.prior is not None and layout.scorer.offset:
            priors.append(layout.scorer.prior)
        self.prior = PriorGraph(priors[0]) if priors else None
        self.sides = nn.ModuleList([ChainGraph(head) for head in layout.heads])
        self.scorer = ScorerGraph(layout.scorer) if layout.scorer is not None else None
        self.register_buffer("table", constant(layout.table.rows))

    @property
    def inputs(self) -> list[str]:
        """Names of what `forward` takes, in its order."""
        return ["input_ids", "attention_mask", "token_type_ids", "pieces", "left", "right", "cases", "hints"]

    def forward(self, ids: Tensor, mask: Tensor, types: Tensor, pieces: Tensor, *more: Tensor) -> Tensor:
        """`more`: `left`, `right` [m] and `cases` [m, 24] as of the prior; `hints` [m, f]: rows of the table."""
        left, right, cases, hints = more
        states = self.base(ids, mask, types, pieces)
        own = torch.cat([states[layer] for layer in self.layers], 1)
        capital = cases[:, :1]
        hidden = None
        if self.prior is not None:
            asked = torch.cat([states[layer] for layer in self.prior.layers], 1)
            hidden = self.prior.hidden(asked, cases, left, right)
        parts = []
        for place, side in enumerate(self.sides):
            parts += side(own, capital, self.prior, hidden)
            if place == 0 and self.scorer is not None and self.tuned is not None:
                last = self.tuned(ids, mask, types, pieces)[-1]
                parts.append(self.scorer(last, capital, self.prior, hidden))
        return torch.cat(parts, 1) + self.get_buffer("table")[hints].sum(1)


class ChainGraph(nn.Module):
    """What a fitted chain and the prior alone say of words, but for their hints."""

    def __init__(self, head: SpanHead) -> None:
        super().__init__()
        weights, tags, space = head.chain.weights, head.chain.tags, head.space
        self.names, self.offset, self.asks_prior = space.names, space.offset_weight, asks_prior(head)
        self.trust = head.alone.trust
        self.register_buffer("mean", constant(space.scale.mean))
        self.register_buffer("scale", constant(np.sqrt(space.dense / len(space.scale.mean)) / space.scale.spread))
        self.register_buffer("dense", constant(tags.mixed(weights.dense)))
        self.register_buffer("gated", constant(tags.mixed(weights.gated)))
        self.register_buffer("bias", constant(weights.bias))
        self.register_buffer("believed", constant((1 + weights.trust)[tags.owners]))

    def forward(self, states: Tensor, capital: Tensor, prior: PriorGraph | None, hidden: Tensor | None) -> list[Tensor]:
        """`states` [m, width], `capital` [m, 1]."""
        get = self.get_buffer
        dense = (states - get("mean")) * get("scale")
        scores = dense @ get("dense") + capital * (dense @ get("gated")) + get("bias")
        if prior is None or hidden is None or not self.offset:
            return [scores]
        said = prior.log_probabilities(hidden, self.names)
        scores = scores + self.offset * said * get("believed")
        return [scores, self.trust * said] if self.asks_prior else [scores]


class ScorerGraph(nn.Module):
    """`WordScorer` as a graph."""

    def __init__(self, scorer: WordScorer) -> None:
        super().__init__()
        self.names, self.offset = scorer.names, scorer.offset
        for name in ("coefficients", "gated", "bias"):
            self.register_buffer(name, constant(getattr(scorer, name)))

    def forward(self, states: Tensor, capital: Tensor, prior: PriorGraph | None, hidden: Tensor | None) -> Tensor:
        """As of a chain."""
        get = self.get_buffer
        scores = states @ get("coefficients").T + get("bias") + capital * (states @ get("gated").T)
        if prior is not None and hidden is not None and self.offset:
            scores = scores + self.offset * prior.log_probabilities(hidden, self.names)
        return scores


def write_span_onnx(graph: SpanGraph, path: Path) -> None:
    """The graph as one file; the numbers of windows, tokens, words and hints of a word are free."""
    shapes: dict[str, Shape] = {
        "input_ids": ("w", "t"),
        "attention_mask": ("w", "t"),
        "token_type_ids": ("w", "t"),
        "pieces": ("m", "w", "t"),
        "left": ("m",),
        "right": ("m",),
        "cases": ("m", CASES),
        "hints": ("m", "f"),
    }
    save_onnx(graph, path, {name: shapes[name] for name in graph.inputs}, {"w": 3, "t": 8, "m": 5, "f": 2}, "scores")
