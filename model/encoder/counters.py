"""What an encoder has done so far, for /metrics: counts and seconds that only grow."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field


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
