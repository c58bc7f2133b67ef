"""Warm-up of a process: what is loaded at first use is loaded before a request waits for it."""

from __future__ import annotations

import numpy as np

from model.features.tfidf import Terms
from model.head.fit import fit_heads
from model.interfaces import Embedder
from model.spec import Control, Input, Kind, Label, Sample, TaskSpec

WARM_UP = (("a good day", "a"), ("a bad day", "b"), ("good food", "a"), ("bad food", "b"))
WARM_UP_CONTROL = Control("c", Kind.SINGLE, ("t",), (Label(("a",), "good"), Label(("b",), "bad")))


def warm_up(base: Embedder) -> None:
    """For serving: load and use once what an answer needs, before labels (names) and after (words). Nothing is
    fitted: the optimiser would take memory that no answer needs."""
    _answer(base, ())
    Terms(("good",), np.ones(1, np.float32)).transform([("a good day",)])


def warm_up_learning(base: Embedder) -> None:
    """For learning: the same for a refit, which the first label would else wait for."""
    _answer(base, WARM_UP)


def _answer(base: Embedder, labelled: tuple[tuple[str, str], ...]) -> None:
    """What one head that has learned these says to some texts."""
    samples = [Sample(i, (text,), {key: 1.0}) for i, (text, key) in enumerate(labelled)]
    head = fit_heads(TaskSpec((Input("t", "Text", "$t"),), (WARM_UP_CONTROL,)), {"c": samples}, [], base)["c"]
    texts = [(text,) for text, _ in WARM_UP]
    head.scores(texts, base.embed(texts))
