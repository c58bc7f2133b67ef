"""Makes a process ready: what is loaded at first use is loaded before somebody waits for it."""

from __future__ import annotations

from model.learning import Embedder, fit_heads
from model.spec import Control, Input, Kind, Label, Sample, TaskSpec

WARM_UP = (("a good day", "a"), ("a bad day", "b"), ("good food", "a"), ("bad food", "b"))


def warm_up(base: Embedder) -> None:
    """Load all the libraries that a head needs, and use them once: 1.6 s that the first publish would else take."""
    control = Control("c", Kind.SINGLE, ("t",), (Label(("a",), "good"), Label(("b",), "bad")))
    samples = [Sample(i, (text,), {key: 1.0}) for i, (text, key) in enumerate(WARM_UP)]
    head = fit_heads(TaskSpec((Input("t", "Text", "$t"),), (control,)), {"c": samples}, [], base)["c"]
    texts = [sample.text for sample in samples]
    head.scores(texts, base.embed(texts))
