"""One control of a version as a torch module, and that as an ONNX file."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from model.encoder.padded import load_model
from model.export.head import BlendGraph, HeadGraph, at_temperature
from model.export.onnx_file import Shape, save_onnx
from model.export.pooling import Sentences, interact, normalise
from model.labels import names_of
from model.pretrained.base_model import has_token_types
from model.spec import Control
from model.versions.live_model import LiveModel

if TYPE_CHECKING:
    from model.encoder.encoder import Encoder


TOKENS = ("input_ids", "attention_mask", "token_type_ids", "units")
"""What an encoder reads: windows of tokens, and the share of each in each unit."""


class Reading(str, Enum):
    """How a control reads its inputs."""

    TEXT = "text"
    PAIR = "pair"
    """Both as one sequence, and what they share."""
    COMPARED = "compared"
    """A Pairwise: each alone, and their difference."""


def reading_of(control: Control) -> Reading:
    """How the control reads."""
    if control.tag == "Pairwise":
        return Reading.COMPARED
    return Reading.PAIR if len(control.inputs) > 1 else Reading.TEXT


class Windows(nn.Module):
    """Pooled outputs [u, depth, width] of units from token windows."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.model = load_model(encoder.directory, encoder.weights)
        self.depth, self.pooling = encoder.depth, encoder.pooling
        self.typed = has_token_types(self.model.config.to_dict())

    def forward(self, ids: Tensor, mask: Tensor, types: Tensor, units: Tensor) -> Tensor:
        """`units` [u, w]: the share of each window in each unit."""
        extra = {"token_type_ids": types} if self.typed else {}
        states = self.model(input_ids=ids, attention_mask=mask, output_hidden_states=True, **extra).hidden_states
        hidden = torch.stack(states[-self.depth :], dim=1).float()
        if self.pooling == "cls":
            pooled = hidden[:, :, 0]
        else:
            weight = mask[:, None, :, None].to(hidden.dtype)
            pooled = (hidden * weight).sum(2) / weight.sum(2)
        return (units @ pooled.flatten(1)).reshape(units.shape[0], pooled.shape[1], pooled.shape[2])


class ControlGraph(nn.Module):
    """Calibrated probabilities [n, K] of one control, as `LiveModel.scores` gives them."""

    def __init__(self, model: LiveModel, control: str, base: Encoder, tuned: Encoder | None) -> None:
        super().__init__()
        spec, head = model.spec.control(control), model.heads[control]
        self.reading = reading_of(spec)
        self.windows = Windows(base)
        names = [(name,) for name in names_of(spec.words, spec.keys())]
        self.sentences = Sentences(base.embed(names)[:, -1]) if self.reading is Reading.TEXT and names else None
        self.head = HeadGraph(head)
        served = head.details.served_temperature
        self.served = 1.0 if served is None else served
        part = model.finetuned.heads.get(control) if model.finetuned is not None else None
        blends = part is not None and tuned is not None and part.weight > 0 and part.multilabel == spec.multilabel
        self.tuned = Windows(tuned) if blends and tuned is not None else None
        self.blend = BlendGraph(part.aged(head.details.count or 0), head.labels) if blends and part else None

    @property
    def inputs(self) -> list[str]:
        """Names of what `forward` takes, in its order."""
        places = ["members", "is_long"] if self.reading is Reading.TEXT else ["first", "second"]
        whole = ["whole"] if self.reading is Reading.PAIR else []
        # Of their own: beside a long text its sentences would be filled up to its length, in both encoders.
        tuned = [f"whole_{name}" for name in TOKENS] if self.blend is not None else []
        return [*TOKENS, *places, *whole, *(["words"] if self.head.has_words else []), *tuned]

    def forward(self, ids: Tensor, mask: Tensor, types: Tensor, units: Tensor, *more: Tensor) -> Tensor:
        """`more`, as `inputs` names them: `members` [n, u] and `is_long` [n] of texts, `first` and `second` [n, u] of
        pairs, `whole` [n, u] of pairs as one sequence, 1 at a text's unit; `words` [n, terms]; and what the fine-tuned
        encoder reads, each text as one sequence: `whole_input_ids` [v, s] and so on, `whole_units` [n, v]."""
        given = dict(zip(self.inputs[len(TOKENS) :], more, strict=True))
        own = self.head(self._read(self.windows(ids, mask, types, units), given), given.get("words"))
        if self.blend is not None and self.tuned is not None:
            own = self.blend(own, self.tuned(*(given[f"whole_{name}"] for name in TOKENS))[:, -1])
        return at_temperature(own, self.served)

    def _read(self, units: Tensor, given: dict[str, Tensor]) -> Tensor:
        if self.reading is Reading.TEXT:
            if self.sentences is None:
                return _pick(given["members"], units)
            return self.sentences(units, given["members"], given["is_long"])
        first, second = _pick(given["first"], units), _pick(given["second"], units)
        if self.reading is Reading.COMPARED:
            return normalise(first) - normalise(second)
        return interact(_pick(given["whole"], units), first, second)


def _pick(places: Tensor, units: Tensor) -> Tensor:
    return (places @ units.flatten(1)).reshape(places.shape[0], units.shape[1], units.shape[2])


def write_onnx(graph: ControlGraph, path: Path, terms: int) -> None:
    """The graph as one file, weights included; the numbers of windows, tokens, units and texts are free."""
    shapes: dict[str, Shape] = {
        "input_ids": ("w", "t"),
        "attention_mask": ("w", "t"),
        "token_type_ids": ("w", "t"),
        "units": ("u", "w"),
        "is_long": ("n",),
        "words": ("n", terms),
        "whole_input_ids": ("v", "s"),
        "whole_attention_mask": ("v", "s"),
        "whole_token_type_ids": ("v", "s"),
        "whole_units": ("n", "v"),
    }
    shaped = {name: shapes.get(name, ("n", "u")) for name in graph.inputs}
    used = {size for shape in shaped.values() for size in shape}
    sizes = {name: size for name, size in {"w": 3, "t": 8, "u": 2, "n": 2, "v": 4, "s": 9}.items() if name in used}
    save_onnx(graph, path, shaped, sizes, "probabilities")
