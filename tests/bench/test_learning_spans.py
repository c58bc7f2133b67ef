"""The learning bench on texts with spans: goals, the peers' recipes, resumed and reported."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from backend.settings.settings import load_settings
from bench.learning import main
from bench.support.fixtures import write_stranger
from bench.support.spans import GOALS, SPAN_PEERS, Recipe, find_span_sets, peer_row, shortfalls
from model.encoder.encoder import Encoder
from model.pretrained.base_model import find_base_model
from model.simulation.span_dataset import make_span_dataset
from model.span import Span, SpanDocument
from model.spans.features.reading import SpanReader
from model.spans.transfer.token_prior import choose_prior
from tests.backend.cli.test_simulate import encoder, tiny_model  # noqa: F401
from tests.backend.cli.test_simulate_spans import short
from tests.backend.simulate.test_span_files import write_lines
from tests.model.spans.conftest import mark, sentences


def test_goals_name_what_falls_short() -> None:
    goal = GOALS["snips"][64] or 0
    assert shortfalls("snips", 64, goal, 0.0, 0.08) == []
    assert shortfalls("snips", 64, goal - 0.02, -0.1, 0.09) == ["F1 -0.020", "saved -0.100", "ECE +0.010"]
    assert shortfalls("snips", 0, 0, 0, 1) == [], "before any label nothing but that no edits are lost"
    assert shortfalls("wnut17", 0, 0, -0.01, 1) == ["saved -0.010"]
    assert shortfalls("wnut17", 64, 1, 1, 0.12) == [], "its test texts come from other sources"
    assert shortfalls("unknown", 8, 0, -1, 0.13) == ["ECE +0.010"]


def test_the_same_encoder_under_another_digest_has_no_prior(tmp_path: Path, reader: SpanReader) -> None:
    stranger = Encoder(write_stranger(tmp_path / "stranger"))
    known = reader.encoder
    assert choose_prior(known.digest, known.layers, None) is not None
    assert choose_prior(stranger.digest, stranger.layers, stranger.token_head) is None
    assert np.array_equal(stranger.embed([("a text",)]), known.embed([("a text",)]))


def test_sets_without_a_prior_are_called_so(
    encoder: None,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("bench.learning.write_stranger", lambda _: Path(load_settings().base_model))
    results, toy = tmp_path / "r.jsonl", str(short(tmp_path / "toy.jsonl"))
    main(
        [
            "--spans",
            "--no-prior",
            "--data",
            toy,
            "--results",
            str(results),
            "--threads",
            "1",
            "--labels",
            "8",
            "--seeds",
            "1",
            "--peers",
            "",
        ]
    )
    assert {json.loads(line)["set"] for line in results.read_text().splitlines()} == {"toy, no prior"}
    assert shortfalls("wnut17, no prior", 64, 1, 1, 0.12) == [], "its test texts come from other sources, too"


@pytest.fixture(scope="module")
def reader() -> SpanReader:
    return SpanReader(Encoder(find_base_model()))


def learned(reader: SpanReader, documents: list[SpanDocument], test: list[SpanDocument]) -> Recipe:
    return Recipe(("LOC", "PER"), documents, test, documents, reader, find_base_model(), 0)


@pytest.mark.parametrize(("name", "least"), [("memory", 0.6), ("crf", 0.9), ("softmax", 0.9)])
def test_the_quick_peers_learn(reader: SpanReader, name: str, least: float) -> None:
    data = make_span_dataset(sentences(64), sentences(24, 200), "x")
    row = peer_row(SPAN_PEERS[name], data, reader, find_base_model(), 48, 0)
    assert float(row["f1"] or 0) > least and row["method"] == SPAN_PEERS[name].method and row["n"] == 48
    assert float(row["refit_seconds"] or 0) > 0 and row["test_rows"] == 24


@pytest.mark.parametrize("name", list(SPAN_PEERS))
def test_without_a_span_no_peer_says_anything(reader: SpanReader, name: str) -> None:
    silent = [SpanDocument(f"It rains on day {number}.") for number in range(4)]
    shown, _ = SPAN_PEERS[name].answer(learned(reader, silent, [*sentences(3), SpanDocument("")]))
    if name == "humansignal":  # it leaves such texts out, and its untrained head says what it says
        assert shown[-1] == []
    else:
        assert shown == [[], [], [], []]


def test_the_memory_marks_what_was_marked_more_often_than_not(reader: SpanReader) -> None:
    documents = [mark("Ann met Bob", ("Ann", "PER")), mark("Ann left", ("Ann", "PER")), SpanDocument("Bob and Ann")]
    shown, _ = SPAN_PEERS["memory"].answer(learned(reader, documents, [SpanDocument("Then ANN met Bob.")]))
    assert [own.span for own in shown[0]] == [Span(5, 8, "PER")]


@pytest.mark.long
def test_humansignal_merges_neighbours_of_one_label(reader: SpanReader) -> None:
    documents = [mark(f"Day {number}: Ann Bob came", ("Ann", "PER"), ("Bob", "PER")) for number in range(16)]
    shown, seconds = SPAN_PEERS["humansignal"].answer(learned(reader, documents, [documents[3]]))
    assert [own.span for own in shown[0]] == [Span(7, 14, "PER")] and seconds > 0


def test_the_bench_goes_on_where_it_stopped(
    encoder: None,  # noqa: F811
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    results, out = tmp_path / "r.jsonl", tmp_path / "out"
    common = ["--spans", "--data", str(short(tmp_path / "toy.jsonl")), "--results", str(results), "--threads", "1"]
    main([*common, "--labels", "0,8", "--seeds", "1", "--peers", "memory"])
    main([*common, "--labels", "0,8,16", "--seeds", "1", "--peers", "memory", "--json"])
    rows = [json.loads(line) for line in results.read_text().splitlines()]
    assert sorted((row["method"], row["n"]) for row in rows) == [
        *[("no prior", 0), ("span head", 8), ("span head", 16), ("string memory", 8), ("string memory", 16)]
    ], "each once"
    assert all(row["peak_mib"] > 50 and row["set"] == "toy" and "f1_unseen" in row for row in rows)
    capsys.readouterr()
    main(["--report", str(results), "--out", str(out)])
    assert "understudy, random" in capsys.readouterr().out
    page = (out / "spans.md").read_text()
    assert page.startswith("# Learning curves of spans") and page.count("\n| ") == 2 + 5
    assert (out / "spans-toy.png").read_bytes().startswith(b"\x89PNG")


def test_sets_are_the_folders_and_the_first_texts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.support.spans.POOL", 20)
    monkeypatch.setattr("bench.support.spans.TEST", 5)
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        write_lines(tmp_path / name / "train.jsonl", sentences(30))
        write_lines(tmp_path / name / "test.jsonl", sentences(9, 100))
    assert list(find_span_sets(tmp_path, ())) == ["one", "two"]
    (found,) = find_span_sets(tmp_path, ["two"]).values()
    assert found.train == tuple(sentences(20)) and found.test == tuple(sentences(5, 100))
