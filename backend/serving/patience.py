"""Predictions go first: an annotator waits for one, nobody for the redrawing of a page that is open."""

from __future__ import annotations

import time

from backend.serving.predictors import Admission

PATIENCE_SECONDS = 0.1
"""How long one request waits for predictions in all: a web process that is never without one serves pages, too."""

REPLY_SECONDS = 0.002
"""What sending a prediction takes once it has been worked out."""


class Patience:
    """That of one request. Python runs one thread at a time: beside a page that is being made a prediction would take
    longer by as much as the page computes between two of its calls of `give_way`."""

    def __init__(self, admission: Admission, seconds: float = PATIENCE_SECONDS) -> None:
        self._admission, self._left = admission, seconds

    def give_way(self) -> None:
        """Wait while predictions are being answered, for what is left of the patience. Costs nothing without any."""
        if not self._admission.inside:
            return
        began = time.perf_counter()
        while self._left > 0 and self._admission.inside:
            if self._admission.wait_for_none(self._left):
                time.sleep(REPLY_SECONDS)
            self._left -= time.perf_counter() - began
            began = time.perf_counter()
