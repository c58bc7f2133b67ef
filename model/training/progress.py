"""Tells on stdout how far a training is, one JSON object a line."""

from __future__ import annotations

import json
import time
from typing import Any


class Progress:
    """Says on stdout how far the run is: stage, step, of, epoch, loss, seconds_left."""

    def __init__(self, total: int) -> None:
        self.total, self.before, self.fresh = total, 0, 0
        self.began = time.monotonic()

    def tell(self, stage: str, step: int, loss: float | None, epoch: float | None) -> None:
        """One line."""
        done = min(self.total, self.before + (step if loss is not None else 0))
        self.fresh += loss is not None
        pace = (time.monotonic() - self.began) / max(1, self.fresh)
        left = round(pace * (self.total - done), 1)
        line: dict[str, Any] = {"stage": stage, "step": done, "of": self.total, "seconds_left": left}
        if loss is not None:
            line |= {"loss": round(loss, 4), "epoch": round(epoch or 0.0, 2)}
        print(json.dumps(line), flush=True)

    def finish(self, steps: int) -> None:
        """One of the trainings is over."""
        self.before += steps

    def skip(self, steps: int) -> None:
        """One of the trainings was over before this process began."""
        self.before += steps
