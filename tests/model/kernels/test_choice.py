"""What a machine computes an encoder with is timed once, kept for all processes, and follows from the timing alone."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from model.encoder.encoder import Encoder
from model.encoder.engine import training_precision
from model.kernels import kept_choice as engine_choice
from model.kernels import timing
from model.kernels.choice import EngineChoice, FormatTiming, ProductShape
from model.kernels.kept_choice import CHOICE_FILE, choose_engine, kept_choice, key_of
from model.kernels.timing import choose_training_kernel, time_engine
from tests.model.conftest import TinyModel
from tests.support.tiny import fork

TINY = ProductShape(32, 64, 2)

rates = st.floats(0.1, 5000, allow_nan=False)


def choice_of(
    fp32: float, bf16: float, training: tuple[float, float] = (1.0, 1.0), kernel: str = "plain"
) -> EngineChoice:
    """A machine with these GFLOP/s."""
    formats = {
        "fp32": FormatTiming(kernel, fp32, training[0], {"plain": fp32}, (8,), 0.0),
        "bf16": FormatTiming(kernel, bf16, training[1], {"plain": bf16}, (), 1.5),
    }
    return EngineChoice(formats, 0.1)


def keep(folder: Path, choice: EngineChoice, shape: ProductShape) -> None:
    """As if this machine had been timed so before."""
    (folder / CHOICE_FILE).write_text(json.dumps({key_of(shape, "cpu"): choice.to_json()}))


@pytest.fixture(autouse=True)
def forgetful() -> None:
    engine_choice._time.cache_clear()


@given(rates, rates, rates, rates)
def test_the_faster_format_is_taken_for_each_task_by_itself(a: float, b: float, c: float, d: float) -> None:
    choice = choice_of(a, b, (c, d))
    for chosen, fp32, bf16 in ((choice.serving, a, b), (choice.training, c, d), (choice.plain_serving, a, b)):
        best, own = max(fp32, bf16), {"fp32": fp32, "bf16": bf16}[chosen]
        assert best <= 1.05 * own
    assert EngineChoice.from_json(json.loads(json.dumps(choice.to_json()))) == choice


@given(rates, rates, st.floats(0.1, 10), st.floats(0.0, 10))
def test_int8_is_taken_where_whole_layers_are_clearly_faster(a: float, b: float, own: float, best: float) -> None:
    formats = dict(choice_of(a, b).formats)
    chosen = EngineChoice(formats).float_serving
    formats[chosen] = replace(formats[chosen], layer_ms=best)
    formats["int8"] = FormatTiming("int8", 10 * max(a, b), 0.0, layer_ms=own)  # products alone do not count
    choice = EngineChoice(formats)
    assert choice.float_serving == chosen and choice.training in ("fp32", "bf16")
    assert (choice.serving == "int8") == (best / own >= 1.3)
    assert choice.plain_serving in ("fp32", "bf16")
    assert EngineChoice.from_json(json.loads(json.dumps(choice.to_json()))) == choice


def test_flags_do_not_count(tmp_path: Path, tiny_model: TinyModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Xeon with avx512_bf16 that is slower in it computes in float32, whatever it says of itself."""
    directory, _ = tiny_model("bert")
    shape = ProductShape(32, 64, 2)
    config = json.loads((directory / "config.json").read_text())
    shape = ProductShape(config["hidden_size"], config["intermediate_size"], config["num_attention_heads"])
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True)
    keep(tmp_path, choice_of(153.0, 83.0, (1.0, 2.0)), shape)
    encoder = Encoder(directory, precision="auto", timings=tmp_path)
    assert encoder.precision == "fp32"
    assert training_precision("auto", encoder.config, torch.device("cpu"), tmp_path) == "bf16"
    keep(tmp_path, choice_of(153.0, 383.0), shape)
    assert Encoder(directory, precision="auto", timings=tmp_path).precision == "bf16"
    assert Encoder(directory, precision="fp32", timings=tmp_path).precision == "fp32"
    assert training_precision("fp32", encoder.config, torch.device("cpu"), tmp_path) == "fp32"


def test_a_fine_tune_in_float32_takes_the_product_that_is_clearly_faster_forwards_and_back() -> None:
    for plain, onednn, chosen in ((100.0, 250.0, "onednn"), (100.0, 105.0, "plain"), (100.0, 0.0, "plain")):
        rates = {("fp32", "plain"): plain, ("fp32", "onednn"): onednn, ("bf16", "plain"): 300.0}
        assert choose_training_kernel(rates, "fp32") == chosen
        assert choose_training_kernel(rates, "bf16") == "plain"  # which is oneDNN's by itself
    assert choose_training_kernel({}, "fp32") == "plain"


def test_the_number_format_of_a_fine_tune_is_judged_by_the_product_that_it_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """bfloat16 that is twice as fast as MKL's float32, and slower than oneDNN's, is not trained in."""
    rates = {("fp32", "plain"): 100.0, ("fp32", "onednn"): 240.0, ("bf16", "plain"): 200.0}
    monkeypatch.setattr(timing, "_time_training", lambda *given: rates)
    choice = choose_engine(TINY, "cpu", tmp_path)
    assert (choice.training, choice.training_kernel) == ("fp32", "onednn")
    assert choice.formats["fp32"].training_gflops == 240.0
    assert kept_choice(tmp_path, TINY) == ("cpu", choice)


def test_the_timing_measures_what_runs() -> None:
    choice = time_engine(ProductShape(384, 1536, 12), "cpu")
    assert 0 < choice.seconds < 30
    for name, own in choice.formats.items():
        assert own.gflops > 0 and own.kernels[own.kernel] == own.gflops, name
        assert max(own.kernels.values()) <= 1.15 * own.gflops + 0.1
    best = max(choice.formats[name].gflops for name in ("fp32", "bf16"))
    assert best <= 1.05 * choice.formats[choice.float_serving].gflops
    rates = {(name, kernel): rate for name, own in choice.formats.items() for kernel, rate in own.kernels.items()}
    several = len(timing._training_ways(rates)) > 1  # a training is timed where there is something to choose from
    assert (choice.formats["fp32"].training_gflops > 0) == several
    timed = {name for name, own in choice.formats.items() if own.layer_ms > 0}
    assert timed == ({choice.float_serving, "int8"} if "int8" in choice.formats else set())


def test_it_leaves_threads_gradients_and_random_numbers_as_they_were() -> None:
    torch.manual_seed(3)
    wanted, threads = torch.rand(2), torch.get_num_threads()
    torch.manual_seed(3)
    time_engine(TINY, "cpu")
    assert torch.equal(torch.rand(2), wanted)
    assert torch.get_num_threads() == threads and torch.is_grad_enabled() and not torch.is_inference_mode_enabled()


def test_it_is_timed_once_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "model.kernels.kept_choice"):
        first = choose_engine(TINY, "cpu", tmp_path)
        engine_choice._time.cache_clear()
        assert choose_engine(TINY, "cpu", tmp_path) == first
    assert caplog.text.count("timed the encoder's products in") == 1
    assert kept_choice(tmp_path, TINY) == ("cpu", first)
    assert kept_choice(tmp_path, ProductShape(32, 65, 2)) is None
    assert "serving" in first.describe() and "training" in first.describe()


def _choose(folder: str) -> dict[str, object]:
    return choose_engine(TINY, "cpu", Path(folder)).to_json()


@pytest.mark.long
def test_processes_that_start_together_have_one_timing(tmp_path: Path) -> None:
    with fork.Pool(3) as pool:
        found = pool.map(_choose, [str(tmp_path)] * 3)
    assert found[0] == found[1] == found[2]


@pytest.mark.parametrize(
    "damage", ["", "{", "[]", "null", '{"KEY": {}}', '{"KEY": {"seconds": 1, "formats": {}}}', '{"KEY": 3}']
)
def test_a_damaged_file_is_timed_anew_and_mended(damage: str, tmp_path: Path) -> None:
    (tmp_path / CHOICE_FILE).write_text(damage.replace("KEY", key_of(TINY, "cpu").replace('"', "")))
    choice = choose_engine(TINY, "cpu", tmp_path)
    assert kept_choice(tmp_path, TINY) == ("cpu", choice)


def test_another_machine_or_library_is_timed_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    choose_engine(TINY, "cpu", tmp_path)
    monkeypatch.setattr(engine_choice, "cpu_model", lambda: "Another 9000")
    assert kept_choice(tmp_path, TINY) is None
    engine_choice._time.cache_clear()
    choose_engine(TINY, "cpu", tmp_path)
    monkeypatch.setattr(engine_choice, "library_version", lambda: "torch 9")
    assert kept_choice(tmp_path, TINY) is None
    assert len(json.loads((tmp_path / CHOICE_FILE).read_text())) == 2


def test_a_folder_that_cannot_be_written_costs_a_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("")
    with caplog.at_level(logging.WARNING):
        choice = choose_engine(TINY, "cpu", tmp_path / "file" / "inside")
    assert choice.formats["fp32"].gflops > 0
    assert "cannot be kept" in caplog.text


def test_an_encoder_of_other_layers_is_judged_by_torchs_own_product() -> None:
    choice = choice_of(50.0, 40.0)
    fast = replace(choice.formats["bf16"], kernel="onednn", gflops=400.0, kernels={"plain": 40.0, "onednn": 400.0})
    choice = EngineChoice({**choice.formats, "bf16": fast})
    assert (choice.serving, choice.plain_serving) == ("bf16", "fp32")
