"""From the encoder's windows to what a control reads, in torch: the reading of `model/features/long_texts.py` and
`model/encoder/pairs.py` as a graph."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from model.encoder.pairs import INTERACTION_LAYERS
from model.features.long_texts import ATTENTION_SHARPNESS, CLOSER, STEEPNESS
from model.numerics.arrays import Floats

TINY = 1e-12


def normalise(vectors: Tensor) -> Tensor:
    """Rows at unit length; zero rows stay zero."""
    lengths = vectors.square().sum(-1, keepdim=True).sqrt()
    return vectors / lengths.clamp_min(TINY)


class Sentences(nn.Module):
    """One text each: itself, or where it is long its sentences with an eye for the label names [K, width]."""

    names: Tensor

    def __init__(self, names: Floats) -> None:
        super().__init__()
        self.register_buffer("names", normalise(torch.tensor(names, dtype=torch.float32)).T)

    def forward(self, units: Tensor, members: Tensor, is_long: Tensor) -> Tensor:
        """Features [n, depth, width] from those of units [u, depth, width]. `members` [n, u]: 1 where a unit belongs to
        a text; `is_long` [n]: 1 where these are its sentences."""
        count, depth, width = members.shape[0], units.shape[1], units.shape[2]
        shares = members / members.sum(1, keepdim=True)
        mean = (shares @ units.flatten(1)).reshape(count, depth, width)
        similarity = normalise(units[:, -1]) @ self.names  # [u, K]
        usual = shares @ similarity  # [n, K]
        near = (similarity[None] - usual[:, None]).amax(2).masked_fill(members == 0, -torch.inf)  # [n, u]
        weights = torch.softmax(ATTENTION_SHARPNESS * near, dim=1)
        attended = (weights @ units.flatten(1)).reshape(count, depth, width)
        closest = similarity.amax(1)[None].expand(count, -1).masked_fill(members == 0, -torch.inf).amax(1)
        closer = closest - (normalise(mean[:, -1]) @ self.names).amax(1)
        share = torch.sigmoid(STEEPNESS * (closer - CLOSER))[:, None]
        last = (1 - share) * mean[:, -1] + share * attended[:, -1]
        layers = [mean[:, 0], mean[:, -1], attended[:, max(-2, -depth)], attended[:, -1], last][-depth:]
        return torch.where(is_long[:, None, None] > 0, torch.stack(layers, 1), mean)


def interact(joint: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """`model.encoder.pairs.interact` of features [n, depth, width]."""
    places = min(INTERACTION_LAYERS, joint.shape[1] - 1)
    a, b = normalise(first[:, -1]), normalise(second[:, -1])
    meeting = [a * b * joint.shape[-1] ** 0.5, (a - b).abs()]
    return torch.cat([torch.stack(meeting[:places], 1), joint[:, places:]], 1) if places else joint
