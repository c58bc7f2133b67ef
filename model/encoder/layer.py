"""One layer of BERT over packed tokens: weights made ready once, shared by all engines that have the same ones."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from model.encoder.weights import Weights
from model.kernels.attention import Attention
from model.kernels.matrix_product import Linear, Pack


class Norm:
    """LayerNorm, summed up in float32 whatever the hidden states' format."""

    def __init__(self, weights: Weights, name: str, epsilon: float, dtype: torch.dtype, device: torch.device) -> None:
        # torch's CUDA kernel wants scale and shift in the format of the hidden states; the CPU's takes float32.
        kept = dtype if device.type == "cuda" else torch.float32
        self.weight, self.bias = (weights[f"{name}.{part}"].to(device, kept) for part in ("weight", "bias"))
        self.epsilon = epsilon

    def __call__(self, hidden: Tensor) -> Tensor:
        return F.layer_norm(hidden, self.weight.shape, self.weight, self.bias, self.epsilon)


class Block:
    """Attention, feed-forward, and their norms.

    `fused`: query, key and value are one product of a copied matrix; else three of the tensors as they are, so that
    nothing is copied and queries of single tokens can be asked."""

    def __init__(
        self,
        weights: Weights,
        prefix: str,
        pack: Pack,
        *,
        fused: bool,
        epsilon: float,
        dtype: torch.dtype,
        device: torch.device,
    ) -> None:
        def dense(*names: str) -> Linear:
            matrices = [weights[f"{prefix}{name}.weight"].to(device, dtype) for name in names]
            biases = [weights[f"{prefix}{name}.bias"].to(device, dtype) for name in names]
            return pack(matrices[0], biases[0]) if len(names) == 1 else pack(torch.cat(matrices), torch.cat(biases))

        parts = [f"attention.self.{part}" for part in ("query", "key", "value")]
        self.inputs = [dense(*parts)] if fused else [dense(part) for part in parts]
        self.output = dense("attention.output.dense")
        self.attention_norm = Norm(weights, f"{prefix}attention.output.LayerNorm", epsilon, dtype, device)
        self.grow = dense("intermediate.dense")
        self.shrink = dense("output.dense")
        self.output_norm = Norm(weights, f"{prefix}output.LayerNorm", epsilon, dtype, device)

    def __call__(self, hidden: Tensor, attend: Attention, *, firsts: Tensor | None = None) -> Tensor:
        """[tokens, width] -> [tokens, width], overwriting `hidden`; with `firsts` [sequences], the places of first
        tokens, only those rows (a block that is not fused)."""
        rows = hidden if firsts is None else hidden[firsts]
        query, key, value = self._project(hidden, rows)
        mixed = attend(query, key, value, firsts=firsts is not None)
        rows = self.attention_norm(self.output.add(mixed, rows))
        return self.output_norm(self.shrink.add(self.grow.gelu(rows), rows))

    def _project(self, hidden: Tensor, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        if len(self.inputs) == 1:
            query, key, value = self.inputs[0](hidden).chunk(3, dim=1)
            return query, key, value
        query_of, key_of, value_of = self.inputs
        return query_of(rows), key_of(hidden), value_of(hidden)
