"""The bench of rescoring runs at a small size, and its made-up parts are what it says."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest

from bench.speed import rescore
from bench.support.synthetic import make_features, make_head, make_texts


def test_a_small_bench_prints_a_line_for_every_way(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--texts", "300", "--classes", "3", "--members", "2", "--json"]
    monkeypatch.setattr(sys, "argv", ["rescore", *arguments])
    monkeypatch.setattr(rescore, "BASELINE", 100)
    rescore.main()
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert lines[0]["texts"] == 300
    assert [(line["way"], line["words"]) for line in lines[1:]] == [
        ("matrix", False),
        ("text by text", False),
        ("matrix", True),
        ("text by text", True),
    ]
    assert all(line["cpu_s"] >= 0 for line in lines[1:])


def test_what_is_made_up_is_the_same_every_time() -> None:
    assert make_texts(20, 3) == make_texts(20, 3) != make_texts(20, 4)
    assert len(set(make_texts(200))) == 200
    head = make_head(5)
    scores = head.scores(make_texts(4), make_features(4))
    assert np.array_equal(scores, make_head(5).scores(make_texts(4), make_features(4)))
    assert scores.std(0).min() > 0.01, "answers that differ"
