"""An encoder as the rooms of the model know it: a base model's, fine-tuned, behind a cache, or for one control."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from model.spec import Text

if TYPE_CHECKING:  # numpy is 5 MB of processes that only know of encoders
    import numpy as np
    from numpy.typing import NDArray

    from model.pretrained_head import PretrainedHead


USUAL_COST = 21_000_000
"""Operations of MiniLM's linear layers for one token."""


class Embedder(Protocol):
    """Texts in, pooled outputs of the last layers out. Its classes name it as their base, for what is usual."""

    digest: str
    """Of all that features depend on but precision, in hex: features and heads of another digest do not fit."""
    width: int
    depth: int
    """Layers whose pooled outputs are given."""
    taught: PretrainedHead | None = None
    """The head that the base model was trained with, if it has one."""
    precision: str = "fp32"
    cost: int = USUAL_COST
    """Operations of the linear layers for one token."""
    device: str = "cpu"

    def embed(self, texts: Sequence[Text]) -> NDArray[np.float32]:
        """Pooled outputs [n, depth, width], not normalised; the last layer is `[:, -1]`."""
        ...

    def unread_share(self, texts: Sequence[Text]) -> float:
        """Share of the letters of these texts that the vocabulary does not know as parts of words; 0 where nobody
        knows."""
        return 0.0


@dataclass
class EncoderCounters:
    """Shared by the encoders of a process. Seconds are wall-clock, summed over threads."""

    texts: int = 0
    tokens: int = 0
    forwards: int = 0
    tokenise_seconds: float = 0.0
    forward_seconds: float = 0.0
    _guard: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def add(self, *, texts: int, tokens: int, forwards: int, tokenise_seconds: float, forward_seconds: float) -> None:
        """One call of an encoder."""
        with self._guard:
            self.texts += texts
            self.tokens += tokens
            self.forwards += forwards
            self.tokenise_seconds += tokenise_seconds
            self.forward_seconds += forward_seconds
