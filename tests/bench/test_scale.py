"""The bench of growth: exponents are those of known costs, and a tiny run asks every request path of a real site."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from bench import scale
from bench.support.fixtures import make_features, make_head, make_texts
from tests.support.long_documents import SHORT_TEXTS, make_document, make_patterns, measure_list


def test_exponents_are_those_of_known_costs() -> None:
    rows = [
        {"axis": "examples", "n": n, "path": path, "kind": scale.REQUEST, "cpu_ms": cost(n), "wall_ms": 1.0}
        for n in (10, 100, 1000)
        for path, cost in (("flat", lambda n: 3.0), ("linear", lambda n: n / 7), ("root", lambda n: n**0.5))
    ]
    found = {row["path"]: row for row in scale.exponents(rows)}
    assert [found[name]["exponent"] for name in ("flat", "linear", "root")] == pytest.approx([0, 1, 0.5])
    assert [found[name]["grows"] for name in ("flat", "linear", "root")] == ["", "yes", "yes"]


@pytest.mark.long
def test_a_tiny_run_asks_every_path(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    sizes = ["--examples", "5,20", "--tasks", "20", "--projects", "1,2", "--classes", "3"]
    picture = tmp_path / "docs" / "scale.png"
    more = ["--repeats", "1", "--refit-seconds", "0", "--plot", str(picture), "--json"]
    monkeypatch.setattr(sys, "argv", ["scale", *sizes, *more])
    scale.main()
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    points = [row for row in rows if row["bench"] == "cost by size"]
    paths = {row["path"] for row in points if row["kind"] == scale.REQUEST}
    assert len(paths) == 9
    assert {(row["axis"], row["n"]) for row in points} >= {("examples", 20), ("tasks", 20), ("projects", 2)}
    assert picture.read_bytes()[:4] == b"\x89PNG"


def test_what_one_redis_holds_is_measured_with_all_that_walks_over_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["scale", "--redis", "--labels", "300", "--projects", "5", "--json"])
    scale.main()
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    held = [row for row in rows if row["bench"] == "what labels of one project take"]
    assert [row["labels"] for row in held] == [3, 30, 300]
    assert 500 < held[-1]["log_bytes_a_label"] < 2_000
    assert held[-1]["bytes_a_label"] < held[0]["bytes_a_label"], "an empty store takes some, too"
    walks = {row["what"] for row in rows if row["bench"].startswith("what walks over")}
    assert walks >= {"snapshot of a refit", "reconcile, nothing new", "tick of the scheduler", "poll of a web process"}


def test_what_is_made_up_is_the_same_every_time() -> None:
    assert make_texts(20, 3) == make_texts(20, 3) != make_texts(20, 4)
    assert len(set(make_texts(200))) == 200
    head = make_head(5)
    scores = head.scores(make_texts(4), make_features(4))
    assert np.array_equal(scores, make_head(5).scores(make_texts(4), make_features(4)))
    assert scores.std(0).min() > 0.01, "answers that differ"


def test_a_long_document_has_its_regions_where_they_are_said_to_be() -> None:
    document = make_document(20_000, 50, 12)
    assert 20_000 <= len(document.text) < 21_000 and len(document.labels) == 12 and len(document.short) == SHORT_TEXTS
    assert len(document.marks) == 50 and {label for *_, label in document.marks} <= set(document.labels)
    starts = [start for start, *_ in document.marks]
    assert starts == sorted(starts) and starts[0] < 1_000 and starts[-1] > 18_000, "all over the text"
    for text, marks in ((document.text, document.marks), *document.short):
        assert all(text[start:end] == text[start:end].strip() != "" for start, end, _ in marks)
    assert make_document(20_000, 50, 12) == document


def test_a_list_is_found_in_a_text_that_holds_its_strings() -> None:
    patterns = make_patterns(300)
    assert len({own.text for own in patterns}) == 300
    row = measure_list(300, " ".join(own.text for own in patterns))
    assert row["strings"] == 300 and row["matches"] >= 200 and row["version_kb"] > 0
