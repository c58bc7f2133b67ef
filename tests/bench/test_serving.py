"""The benches of speed in small: their texts, the peer's stand-in, what they count, and one run of all."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer

from bench import peak, serving
from bench.support.fixtures import copy_tokenizer, write_classifier
from bench.support.load import Load, Reading, body
from bench.support.served import split_by_stage, stage_of
from bench.support.texts import TOKENS, mixed_texts
from model.encoder.encoder import find_base_model
from tests.support.encoder_peers import NEEDS, Taken, open_engine
from tests.support.encoder_peers import Setup as EngineSetup
from tests.support.encoder_rounds import rows_of_peers
from tests.support.peer_server import VERSION, build_pipeline, create_app


@pytest.fixture
def small_encoder(tmp_path: Path) -> Path:
    """A random BERT of two narrow layers with the packaged tokenizer."""
    import torch
    from transformers import BertConfig, BertModel

    torch.manual_seed(0)
    config = BertConfig(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64)
    BertModel(config).save_pretrained(tmp_path / "encoder")
    copy_tokenizer(tmp_path / "encoder")
    return tmp_path / "encoder"


def write_sets(directory: Path, rows: int) -> Path:
    """Two public sets of texts that tell where they are from."""
    for name, words in (("banking77", "bank question"), ("agnews", "news about the world and its " + "affairs " * 90)):
        (directory / name).mkdir()
        for split in ("train", "test"):
            lines = [f"{name} {split} {words} {number},x" for number in range(rows)]
            (directory / name / f"{split}.csv").write_text("\n".join(["text,label", *lines]), encoding="utf-8")
    return directory


def lengths(texts: list[str]) -> list[int]:
    tokenizer: Any = Tokenizer.from_file(str(find_base_model() / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return [len(encoding.ids) for encoding in tokenizer.encode_batch(texts)]


def test_no_text_comes_twice_and_none_is_too_long(tmp_path: Path) -> None:
    texts = mixed_texts(300, directory=write_sets(tmp_path, 300))
    assert len(set(texts)) == 300
    assert max(lengths(texts)) == TOKENS, "joined ones are cut where the last allowed token ends"
    kinds = Counter(text.split()[0] for text in texts)
    assert 80 < kinds["banking77"] < 130 and kinds["agnews"] == 300 - kinds["banking77"]


def test_without_the_public_sets_the_sample_messages_are_sent(tmp_path: Path) -> None:
    texts = mixed_texts(2000, directory=tmp_path / "absent")
    assert len(set(texts)) == 2000 and max(lengths(texts)) <= TOKENS


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # in the SDK that the peer uses
def test_the_peers_stand_in_answers_in_the_peers_shape(small_encoder: Path, tmp_path: Path) -> None:
    checkpoint = write_classifier(small_encoder, tmp_path / "classifier", ["good", "bad"])
    built = []

    def rebuilt() -> Any:
        built.append(build_pipeline(str(checkpoint)))
        return built[-1]

    client = create_app(rebuilt).test_client()
    for _ in range(2):
        reply = client.post("/predict", data=body(["one", "two"], ["good", "bad"]), content_type="application/json")
        first, second = reply.get_json()["results"]
    assert len(built) == 2, "a pipeline for every request"
    assert first["model_version"] == second["model_version"] == VERSION
    (region,) = first["result"]
    assert region["type"] == "choices" and region["value"]["choices"][0] in ("good", "bad")
    assert 0.5 <= first["score"] <= 1, "of two labels"


def test_useful_work_is_what_torch_counts(small_encoder: Path) -> None:
    import torch
    from torch.utils.flop_counter import FlopCounterMode
    from transformers import AutoModel

    model = AutoModel.from_pretrained(small_encoder, add_pooling_layer=False, attn_implementation="eager")
    with FlopCounterMode(display=False) as counted:
        model(input_ids=torch.arange(23)[None])
    assert peak.shape_of(small_encoder).flops(23) == counted.get_total_flops()


def test_threads_time_is_split_as_their_samples_are() -> None:
    serve = "Predictors._serve (backend/serving/predictors.py:133)"
    forward = (
        "Encoder.embed (model/encoder/encoder.py:65);linear (other/new_file.py:7);layer_norm (torch/nn/functional.py:1)"
    )
    lines = [
        f"thread (11): predictor-0;{serve};{forward} 3",
        f"thread (11): predictor-0;{serve};Condition.wait (threading.py:3) 1",
        "thread (12): MainThread;web (backend/cli/main.py:98);run (gunicorn/arbiter.py:1);select (selectors.py:4) 900",
    ]
    spent = split_by_stage(lines, {11: 4.0, 12: 0.5, 13: 0.25})
    handing = "handing over to a predictor and back"
    rest, http = "forward: embeddings, norms, pooling, all else", "HTTP: connections, requests, replies"
    assert spent == {rest: 3.0, handing: 1.0, http: 0.5, "other": 0.25}
    assert stage_of(["main (backend/__main__.py:6)", "import (somewhere.py:1)"]) == "other"


def test_ratios_are_of_the_rounds_own_readings() -> None:
    def readings(*cpu: float) -> list[Reading]:
        return [Reading(10, 10, seconds, 1.0, 0.0) for seconds in cpu]

    found = {("peer", "1 task"): readings(8, 30, 10), ("ours", "1 task"): readings(1, 2, 1)}
    (row,) = serving.compare(found, serving.BARS)
    assert row["times_less_cpu"] == 10.0 and row["met"] and row["load"] == "1 task" and row["engine"] == "ours"


def test_large_requests_run_in_every_fifth_round() -> None:
    assert Load(1000, 1).texts(6) == 2000 and Load(1, 40, clients=8).texts(5) == 200
    assert {Load(1, 1).name, Load(1000, 1).name, Load(1, 80, 8).name} < set(serving.BARS)


@pytest.mark.long
@pytest.mark.slow
def test_a_small_run_measures_every_engine(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("PRECISION", "fp32")  # no server times its products first
    arguments = "--rounds 1 --requests 2 --tasks 3 --clients 2 --labels 0 --engines peer,ours --json"
    monkeypatch.setattr("sys.argv", ["bench.serving", *arguments.split()])
    serving.main()
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith("{")]
    measured = [row for row in rows if "cpu_ms/request" in row]
    assert {row["engine"] for row in measured} == {"peer", "ours", "ours, cached"}
    assert {row["load"] for row in measured} == {"3 tasks", "2 clients x 1 task"}
    assert all(row["failures"] == 0 and row["cpu_ms/request"] > 0 and row["peak_rss_mb"] > 100 for row in measured)
    compared = {(row["engine"], row["load"]) for row in rows if "times_less_cpu" in row}
    assert compared == {(row["engine"], row["load"]) for row in measured if row["engine"] != "peer"}
    assert len([row for row in rows if "gain" in row]) == (len(os.sched_getaffinity(0)) > 1), "two cores against one"


@pytest.mark.long
@pytest.mark.slow
def test_a_small_run_measures_the_peak(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(peak, "SECONDS", 0.01)
    monkeypatch.setattr("sys.argv", ["bench.peak", "--rounds=1", "--texts=4", "--models=minilm", "--json"])
    peak.main()
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith("{")]
    engines = [row for row in rows if "fraction" in row]
    assert {row["engine"] for row in engines} == {"understudy", "understudy, 1 text", "pipeline, batch 1"}
    assert {row["format"] for row in engines if row["engine"] == "understudy"} >= {"fp32", "bf16"}
    assert [row["bar"] for row in engines if "bar" in row] == [">= 0.6"], "of the chosen format"
    assert all(0 < row["fraction"] < 3 for row in engines) and sum(bool(row["chosen"]) for row in engines) == 2


def test_onnx_runtime_reads_what_we_read(small_encoder: Path, tmp_path: Path) -> None:
    texts = mixed_texts(30)

    def vectors(engine: str, threads: int = 1) -> Any:
        return open_engine(EngineSetup(engine, small_encoder, tmp_path / "files", threads))(texts)

    exact = vectors("understudy fp32")
    assert np.allclose(vectors("understudy fp32", 2), exact, atol=1e-5)
    assert np.allclose(vectors("onnxruntime fp32"), exact, atol=1e-3), "in the order given"
    assert np.allclose(vectors("onnxruntime fp32", 2), exact, atol=1e-3)
    rounded = vectors("onnxruntime int8")
    assert np.abs(rounded - exact).max() > 1e-3 and (rounded * exact).sum() > 0.98 * (exact**2).sum()


def test_engines_are_ranked_at_each_size_with_the_chosen_one_marked() -> None:
    def taken(*cpu: float) -> list[Taken]:
        return [Taken(seconds, seconds / 2) for seconds in cpu]

    found = {(1, "understudy fp32"): taken(4, 5, 6), (1, "understudy bf16"): taken(2, 2, 3)}
    found |= {(1, "onnxruntime int8"): taken(1, 1, 1), (1000, "understudy bf16"): taken(2)}
    cosines = {"understudy fp32": 1.0, "understudy bf16": 0.99, "onnxruntime int8": None}
    (_, rows), (_, places) = rows_of_peers(found, cosines, "understudy bf16", 1)
    assert [row["engine"] for row in rows][:3] == ["onnxruntime int8", "understudy bf16", "understudy fp32"]
    assert [row["times_chosen"] for row in rows] == [0.5, 1.0, 2.0, 1.0]
    assert [(row["least cpu"], row["of the exact ones"], row["chosen's place"]) for row in places] == [
        ("onnxruntime int8", "understudy fp32", "2 of 3"),
        ("understudy bf16", "", "1 of 1"),
    ]


def test_an_engine_that_is_not_installed_is_said_and_left_out(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(NEEDS, "openvino", ("not_installed_anywhere",))
    monkeypatch.setattr("sys.argv", ["bench.peak", "--peers", "--engines=openvino int8", "--sizes=1", "--rounds=1"])
    with pytest.raises(SystemExit, match="no engine"):
        peak.main()
    assert "openvino int8 is left out: pip install -r requirements-bench.txt" in capsys.readouterr().out


@pytest.mark.slow
def test_a_small_run_draws_the_roofline(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    drawn = tmp_path / "roofline.svg"
    asked = ["--rounds=1", "--texts=4", "--models=minilm", "--json"]
    monkeypatch.setattr("sys.argv", ["bench.peak", "--roofline", str(drawn), *asked])
    peak.main()
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith("{")]
    parts = {row["part"]: row for row in rows if "part" in row}
    assert {"attention", "grow with GELU", "norms", "tokenising", "all else"} <= set(parts)
    assert all(0 <= row["least_ms"] <= row["cpu_ms"] for row in parts.values())
    shares = {row["if"]: row["of_peak"] for row in rows if "if" in row}
    assert 0 < shares["as measured"] <= shares["everything at its least"] <= 1
    assert drawn.read_text().count("<rect") == 3 * len(parts)
