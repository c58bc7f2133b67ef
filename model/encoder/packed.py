"""BERT's forward pass without padding: all tokens of a chunk in one matrix, only attention sees sequences.

For every family whose layers are BERT's (model/pretrained/architectures.py). Exact in float32: it differs from the
`transformers` forward by rounding only. In bfloat16 norms and pooling are still summed in float32. An engine over
fine-tuned weights shares what training left alone with the base's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from model.encoder.precision import DTYPES
from model.encoder.weights import Weights
from model.encoder.windows import Window
from model.kernels.attention import Attention, PaddedAttention, SpanAttention
from model.kernels.choice import FP32, INT8, FormatTiming
from model.kernels.device_memory import in_halves
from model.kernels.matrix_product import ONEDNN, PACKS, PLAIN, Linear
from model.pretrained.architectures import Shape

NamedPack = Callable[[str, Tensor, Tensor], Linear]
"""Makes a product of a weight and its bias; the name is that of what it reads: `encoder.layer.0.intermediate.dense`,
and `….attention.self` for queries, keys and values."""


class Norm:
    """LayerNorm, summed up in float32 whatever the hidden states' format."""

    def __init__(self, weights: Weights, name: str, epsilon: float, dtype: torch.dtype, device: torch.device) -> None:
        # torch's CUDA kernel wants scale and shift in the format of the hidden states; the CPU's takes float32.
        kept = torch.float32 if device.type == "cpu" else dtype
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
        pack: NamedPack,
        *,
        fused: bool,
        epsilon: float,
        dtype: torch.dtype,
        device: torch.device,
    ) -> None:
        def dense(*names: str) -> Linear:
            matrices = [weights[f"{prefix}{name}.weight"].to(device, dtype) for name in names]
            biases = [weights[f"{prefix}{name}.bias"].to(device, dtype) for name in names]
            read = f"{prefix}{names[0]}".removesuffix(".query").removesuffix(".key").removesuffix(".value")
            if len(names) == 1:
                return pack(read, matrices[0], biases[0])
            return pack(read, torch.cat(matrices), torch.cat(biases))

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


CPU_CHUNK, CUDA_CHUNK = 2048, 16_384
"""Tokens of one forward pass. CPU: 512 to 4,096 are equally fast, small ones keep memory and waiting low. CUDA: enough
work for each of its calls (text-embeddings-inference takes 16,384)."""


LENGTH_STEPS = ((256, 16), (512, 32), (math.inf, 64))
"""Up to so many tokens there are made up to a multiple of this, a tile of AMX having 16 rows; over 256 at most an
eighth is added. Texts that nobody has read, one at a time, take .8 of the time without, a thousand of them also .8
(Sapphire Rapids, bfloat16)."""

NEW_ROWS_MS = 0.1
"""Numbers of rows are rounded up where one that was not seen before costs a product more than this: oneDNN makes code
for it, 1 to 2 ms a matrix. An added row costs at most a few microseconds."""


class PackedBert:
    """An encoder's layers over packed sequences; immutable.

    `keep`: how many last layers' pooled outputs are returned; `pooling`: `mean` or `cls`; `base`: the engine over the
    weights that a delta changes. `timing`: what was timed of this machine in this precision; without it torch's own
    product runs. `kernel` names another one (model/kernels/matrix_product.py), `pack` makes products that no name tells
    of (int8, whose hidden states stay float32), `attention` is how sequences are kept apart: `spans` or `padded`, by
    default what suits the device."""

    def __init__(
        self,
        shape: Shape,
        weights: Weights,
        *,
        keep: int,
        pooling: str,
        base: PackedBert | None = None,
        precision: str = FP32,
        device: torch.device | None = None,
        timing: FormatTiming | None = None,
        kernel: str = "",
        attention: str = "",
        pack: NamedPack | None = None,
    ) -> None:
        self.shape, self.keep, self.pooling, self.precision = shape, keep, pooling, precision
        self.width, self.dtype = shape.width, DTYPES[precision]
        self.device = device or torch.device("cpu")
        self.timing = timing
        self.kernel = kernel or (timing.kernel if timing else PLAIN)
        self.products_at = timing.products_at if timing else ()
        self._pack = pack or _named(self.kernel)
        self._rounds = self.kernel in (ONEDNN, INT8) and (timing is None or timing.new_rows_ms > NEW_ROWS_MS)
        on_cpu = self.device.type == "cpu"
        self.attention = attention or ("spans" if on_cpu else "padded")
        self.chunk_tokens = CPU_CHUNK if on_cpu else CUDA_CHUNK
        self.embeddings = self._share_embeddings(weights, base) or _Embeddings(shape, weights, self.device)
        self.blocks = [self._share_block(weights, base, i) or self._block(weights, i) for i in range(shape.layers)]
        if not self._keeps_mapped:
            weights.let_go()  # the products have copies; of the tables few rows are read

    @torch.inference_mode()
    def forward(self, windows: Sequence[Window]) -> Tensor:
        """Pooled outputs, float32 [len(windows), keep, width] on the CPU. Fastest when sorted by length."""
        return self._run(windows, (), pooled=True)[0]

    @torch.inference_mode()
    def token_states(self, windows: Sequence[Window], layers: Sequence[int]) -> Tensor:
        """Hidden states of every token after these layers (0: the embeddings), float16 [tokens, len(layers), width] on
        the CPU. What comes after the last of the layers is not computed."""
        return self._run(windows, layers, pooled=False)[1]

    @torch.inference_mode()
    def both(self, windows: Sequence[Window], layers: Sequence[int]) -> tuple[Tensor, Tensor]:
        """What `forward` and `token_states` give, in one pass."""
        return self._run(windows, layers, pooled=True)

    def _run(self, windows: Sequence[Window], layers: Sequence[int], *, pooled: bool) -> tuple[Tensor, Tensor]:
        """Pooled outputs (of no layer where they are not wanted) and the states of tokens after the layers."""
        return in_halves(lambda part: self._run_apart(part, layers, pooled), windows)

    def _run_apart(self, windows: Sequence[Window], layers: Sequence[int], pooled: bool) -> tuple[Tensor, Tensor]:
        """At once, and each alone where that gives something that is no number: attention reads rows behind a sequence
        (SpanAttention), which are those of the next one."""
        found, kept, sound = self._run_at_once(windows, layers, pooled)
        if sound or len(windows) == 1:
            return found, kept
        alone = [self._run_at_once([window], layers, pooled) for window in windows]
        return torch.cat([own[0] for own in alone]), torch.cat([own[1] for own in alone])

    def _run_at_once(
        self, windows: Sequence[Window], layers: Sequence[int], pooled: bool
    ) -> tuple[Tensor, Tensor, bool]:
        """As `_run`, and whether what the last layer gave are numbers."""
        hidden, tokens, attend, starts = self._begin(windows)
        counts = torch.tensor([len(window.ids) for window in windows], device=self.device)
        found, kept = [], {}
        if 0 in layers:
            kept[0] = hidden[:tokens].to(torch.float16, copy=True)  # a copy: blocks overwrite what they read
        last = self.shape.layers if pooled else max(layers)
        for index, block in enumerate(self.blocks[:last], start=1):
            if index == self.shape.layers and self.pooling == "cls" and index not in layers:
                hidden = block(hidden, attend, firsts=starts)
                found.append(hidden.float())
                break
            hidden = block(hidden, attend)
            if index in layers:
                kept[index] = hidden[:tokens].to(torch.float16, copy=True)
            if pooled and index > self.shape.layers - self.keep:
                found.append(self._pool(hidden[:tokens], counts, starts))
        sound = self.attention != "spans" or bool(hidden.sum().isfinite())
        return _stacked(found), _stacked([kept[layer] for layer in layers]), sound

    def _begin(self, windows: Sequence[Window]) -> tuple[Tensor, int, Attention, Tensor]:
        """The embedded tokens with rows to spare, how many they are, attention, and the places of first tokens."""
        lengths = [len(window.ids) for window in windows]
        ids, types, positions, places, starts = self._carry(windows, lengths)
        hidden = self.embeddings(ids, types, positions).to(self.dtype)
        tokens = len(hidden)
        if spare := self._spare(tokens):
            hidden = F.pad(hidden, (0, 0, 0, spare))
        return hidden, tokens, self._attention(lengths, places, spare), starts

    def _carry(self, windows: Sequence[Window], lengths: Sequence[int]) -> tuple[Tensor, ...]:
        """Token ids, types and positions, places in a padded matrix [tokens], and first tokens [windows]; one copy."""
        counts = np.array(lengths)  # numpy's: torch takes ten times as long for each step over so few numbers
        starts = counts.cumsum() - counts
        positions = np.arange(counts.sum()) - starts.repeat(counts)
        rows = np.arange(len(lengths)).repeat(counts)
        ids = [token for window in windows for token in window.ids]
        types = [kind for window in windows for kind in window.types]
        parts = [ids, types, positions, rows * max(lengths) + positions, starts]
        together = torch.from_numpy(np.concatenate(parts)).to(self.device, non_blocking=True)
        return together.split([len(part) for part in parts])

    def _spare(self, tokens: int) -> int:
        """Rows that are added so that few numbers of them occur: each new one costs oneDNN milliseconds a matrix."""
        if not self._rounds or self.attention == "padded":
            return 0
        step = next(step for most, step in LENGTH_STEPS if tokens <= most)
        return -tokens % step

    def _attention(self, lengths: Sequence[int], places: Tensor, spare: int) -> Attention:
        if self.attention == "padded":
            return PaddedAttention(lengths, self.shape.heads, places)
        return SpanAttention(lengths, self.shape.heads, spare, self.products_at)

    def _pool(self, hidden: Tensor, counts: Tensor, starts: Tensor) -> Tensor:
        if self.pooling == "cls":
            return hidden[starts].float()
        if len(counts) == 1:
            return hidden.mean(0, keepdim=True, dtype=torch.float32)
        return torch.segment_reduce(hidden.float(), "mean", lengths=counts, axis=0)

    def _block(self, weights: Weights, index: int) -> Block:
        alone = self.pooling == "cls" and index == self.shape.layers - 1
        return Block(
            weights,
            f"encoder.layer.{index}.",
            self._pack,
            fused=not (alone or self._keeps_mapped),
            epsilon=self.shape.epsilon,
            dtype=self.dtype,
            device=self.device,
        )

    @property
    def _keeps_mapped(self) -> bool:
        """Whether products read the file itself."""
        return self.kernel == PLAIN and self.device.type == "cpu" and self.precision == FP32

    def _share_block(self, weights: Weights, base: PackedBert | None, index: int) -> Block | None:
        return base.blocks[index] if base is not None and _is_same(weights, f"encoder.layer.{index}.") else None

    def _share_embeddings(self, weights: Weights, base: PackedBert | None) -> _Embeddings | None:
        return base.embeddings if base is not None and _is_same(weights, "embeddings") else None


class _Embeddings:
    """Words, positions and types, normalised, in float32. On a CPU the tables stay mapped from the file."""

    def __init__(self, shape: Shape, weights: Weights, device: torch.device) -> None:
        self.words = weights["embeddings.word_embeddings.weight"].to(device)
        self.positions = weights["embeddings.position_embeddings.weight"].to(device)[shape.first_position :]
        typed = "embeddings.token_type_embeddings.weight" in weights  # DistilBERT has none
        self.types = weights["embeddings.token_type_embeddings.weight"].to(device) if typed else None
        self.norm = Norm(weights, "embeddings.LayerNorm", shape.epsilon, torch.float32, device)
        self.project: tuple[Tensor, Tensor] | None = None
        if "embeddings_project.weight" in weights:  # ELECTRA
            self.project = (
                weights["embeddings_project.weight"].to(device),
                weights["embeddings_project.bias"].to(device),
            )

    def __call__(self, ids: Tensor, types: Tensor, positions: Tensor) -> Tensor:
        hidden = F.embedding(ids, self.words) + F.embedding(positions, self.positions)
        if self.types is not None:
            hidden += F.embedding(types.clamp(max=len(self.types) - 1), self.types)
        hidden = self.norm(hidden)
        return hidden if self.project is None else F.linear(hidden, *self.project)


def _named(kernel: str) -> NamedPack:
    """The product of this kernel, whatever it reads."""
    return lambda _, weight, bias: PACKS[kernel](weight, bias)


def _stacked(parts: Sequence[Tensor]) -> Tensor:
    """Side by side, on the CPU; nothing of nothing."""
    return torch.stack(list(parts), dim=1).cpu() if parts else torch.zeros(0)


def _is_same(weights: Weights, prefix: str) -> bool:
    """Whether training left everything under this name alone."""
    return weights.changed is not None and not any(name.startswith(prefix) for name in weights.changed)
