"""How a confidence becomes the `score` that Label Studio shows, and goes by when uncertain tasks come first."""

from __future__ import annotations

import math
from collections.abc import Sequence

from model.spec import Prediction


def shown_score(confidence: float) -> float:
    """In [0, 1] and never null: Label Studio would drop the whole batch."""
    return round(min(max(float(confidence), 0.0), 1.0), 6) if math.isfinite(confidence) else 0.0


def task_score(predictions: Sequence[Prediction]) -> float:
    """That of the least sure control, so that low first means uncertain first."""
    return min((shown_score(prediction.score) for prediction in predictions), default=0.0)
