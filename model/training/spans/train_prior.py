"""The training of the transfer prior (`model/spans/transfer/prior.py`): a tiny network over a frozen encoder's layers
that scores words against label names, on public sets. Minutes on a core; the same data give the same weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from model.span import SpanDocument
from model.spans.chain.tags import TagSet
from model.spans.features.reading import TokenEncoder, layers_at, word_states
from model.spans.transfer.label_words import embed_names
from model.spans.transfer.prior import CASE_SCALE, CASES, LAYERS, TransferPrior, case_bits
from model.spans.words import apart, find_words, word_spans

HIDDEN, KEYS = 256, 128
DEPTHS = tuple(layer / 6 for layer in LAYERS)


@dataclass(frozen=True)
class PriorRecipe:
    """How the prior is trained. `texts`: most of a set; `longest`: words of a text that are read."""

    steps: int = 1500
    batch: int = 24
    rate: float = 1e-3
    dropout: float = 0.2
    jitter: float = 0.02
    texts: int = 1200
    longest: int = 150
    seed: int = 0


@dataclass(frozen=True)
class _Set:
    """One source, read: inputs and tags of each text, and the vectors of its label names."""

    inputs: list[NDArray[np.float16]]
    tags: list[NDArray[np.int64]]
    names: NDArray[np.float32]


def train_prior(
    encoder: TokenEncoder,
    sources: Sequence[Sequence[SpanDocument]],
    recipe: PriorRecipe | None = None,
    report: Callable[[str], None] = print,
) -> TransferPrior:
    """The prior over this encoder, from labelled sets whose label names say what they mean."""
    recipe = recipe or PriorRecipe()
    layers = layers_at(DEPTHS, encoder.layers)
    sets = [_read(encoder, documents[: recipe.texts], layers) for documents in sources]
    report(f"{sum(len(own.inputs) for own in sets)} texts of {len(sets)} sets read")
    random = np.random.default_rng(recipe.seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        network = _Network(len(layers) * encoder.width, encoder.width, recipe.dropout)
        optimiser = torch.optim.AdamW(network.parameters(), lr=recipe.rate, weight_decay=0.01)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: _warmth(step, recipe.steps))
        shares = np.sqrt([len(own.inputs) for own in sets])
        mean = 0.0
        for step in range(recipe.steps):
            loss = _loss(network, sets[random.choice(len(sets), p=shares / shares.sum())], recipe, random)
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimiser.step()
            schedule.step()
            mean += (loss.item() - mean) * max(0.02, 1 / (step + 1))
            if (step + 1) % 250 == 0:
                report(f"step {step + 1} of {recipe.steps}: loss {mean:.3f}")
    tensors = {name: value.detach().half().float().numpy() for name, value in network.state_dict().items()}
    return TransferPrior(encoder.digest, layers, tensors)


def _warmth(step: int, steps: int) -> float:
    """Of the learning rate: a hundred steps up, then down to a fiftieth."""
    return min(1.0, (step + 1) / 100) * max(0.02, 1 - step / steps)


def _read(encoder: TokenEncoder, documents: Sequence[SpanDocument], layers: tuple[int, ...]) -> _Set:
    bounds = [find_words(document.text) for document in documents]
    spans = [apart(word_spans(own, document.spans)) for own, document in zip(bounds, documents, strict=True)]
    labels = sorted({span.label for own in spans for span in own})
    tags = TagSet(tuple(labels))
    inputs = []
    for start in range(0, len(documents), 128):
        texts = [document.text for document in documents[start : start + 128]]
        for text, own, tokens in zip(texts, bounds[start:], encoder.token_states(texts, layers), strict=False):
            cases = case_bits(text, own).astype(np.float16)
            inputs.append(np.concatenate([word_states(own, tokens), cases], axis=1))
    encoded = [tags.encode(len(own), found) for own, found in zip(bounds, spans, strict=True)]
    return _Set(inputs, encoded, embed_names(encoder, labels))


def _loss(network: _Network, own: _Set, recipe: PriorRecipe, random: np.random.Generator) -> Tensor:
    """Of a batch, in half of all cases with some of the set's labels alone: the others are then O."""
    rows = random.choice(len(own.inputs), min(recipe.batch, len(own.inputs)), replace=False)
    kept: NDArray[np.bool_] = np.ones(len(own.names), bool)
    if len(kept) > 1 and random.random() < 0.5:
        kept = np.asarray(random.random(len(kept)) < random.uniform(0.3, 1))
        kept[random.integers(len(kept))] = True
    place = np.where(kept, np.cumsum(kept) - 1, -1)
    renamed = np.zeros(1 + 2 * len(kept), np.int64)
    for part in (1, 2):
        renamed[part::2] = np.where(kept, part + 2 * place, 0)
    longest = min(recipe.longest, max(len(own.inputs[row]) for row in rows))
    inputs = torch.zeros(len(rows), longest, own.inputs[0].shape[1])
    there = torch.zeros(len(rows), longest)
    wanted = torch.full((len(rows), longest), -100)
    for index, row in enumerate(rows):
        words = own.inputs[row][:longest]
        inputs[index, : len(words)] = torch.from_numpy(words.astype(np.float32))
        there[index, : len(words)] = 1
        wanted[index, : len(words)] = torch.from_numpy(renamed[own.tags[row][:longest]])
    names = torch.from_numpy(own.names[kept])
    names = F.normalize(names + torch.randn_like(names) * recipe.jitter, dim=1)
    scores = network(inputs, there, names)
    return F.cross_entropy(scores.flatten(0, 1), wanted.flatten(), ignore_index=-100)


class _Network(nn.Module):
    """What `TransferPrior` computes, with gradients and dropout."""

    def __init__(self, states: int, names: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(states)
        self.input = nn.Linear(states + 3 * CASES, HIDDEN)
        self.neighbours = nn.Conv1d(HIDDEN, HIDDEN, 3, padding=1)
        self.middle = nn.Linear(HIDDEN, HIDDEN)
        self.dropout = nn.Dropout(dropout)
        self.query = nn.Linear(names, 2 * KEYS)
        self.key = nn.Linear(HIDDEN, 2 * KEYS)
        self.outside = nn.Linear(HIDDEN, 1)
        self.marks = nn.Linear(HIDDEN, 2)

    def forward(self, inputs: Tensor, there: Tensor, names: Tensor) -> Tensor:
        """Scores of O, B-l, I-l [texts, words, 1 + 2 * labels]."""
        split = 3 * CASES
        rows = torch.cat([self.norm(inputs[..., :-split]), inputs[..., -split:] * CASE_SCALE], -1)
        words = F.gelu(self.input(self.dropout(rows))) * there[..., None]
        words = words + F.gelu(self.neighbours(words.transpose(1, 2)).transpose(1, 2))
        hidden = F.gelu(self.middle(self.dropout(words)))
        keys, queries = self.key(hidden), self.query(names)
        first = keys[..., :KEYS] @ queries[:, :KEYS].T / KEYS**0.5 + self.marks(hidden)[..., :1]
        further = keys[..., KEYS:] @ queries[:, KEYS:].T / KEYS**0.5 + self.marks(hidden)[..., 1:]
        return torch.cat([self.outside(hidden), torch.stack([first, further], -1).flatten(-2)], -1)
