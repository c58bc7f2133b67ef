"""Status and doctor tell in which number format the encoder runs, and when one set by hand is the slower."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from backend.base_model.number_format import describe_timing
from backend.cli.render import render_background_work
from backend.doctor.machine import check_number_format
from backend.settings.settings import Settings
from model.kernels.choice import EngineChoice, FormatTiming
from model.kernels.int8_trial import trial_path
from model.kernels.kept_choice import CHOICE_FILE, key_of
from model.pretrained.architectures import product_shape
from model.pretrained.base_model import find_base_model, known_sha256, read_config
from model.pretrained.reading import read_pooling


def timed(
    folder: Path, fp32: float, bf16: float, *, layers: Mapping[str, float] | None = None, **settings: Any
) -> Settings:
    """A machine with these GFLOP/s (and milliseconds of layers, int8's among them), and its settings."""
    rates = {"fp32": fp32, "bf16": bf16, **({"int8": 2 * fp32} if layers else {})}
    formats = {
        name: FormatTiming("plain", rate, 0.0, layer_ms=(layers or {}).get(name, 0.0)) for name, rate in rates.items()
    }
    key = key_of(product_shape(read_config(find_base_model())), "cpu")
    (folder / CHOICE_FILE).write_text(json.dumps({key: EngineChoice(formats).to_json()}))
    return Settings(_env_file=None, data_dir=folder, **settings)  # type: ignore[call-arg]


def test_what_was_timed_is_told(tmp_path: Path) -> None:
    settings = timed(tmp_path, 153, 83)
    told = describe_timing(settings)
    assert told == "serving fp32 (GFLOP/s a core: fp32 153, bf16 83), training fp32, matrix product plain"
    assert check_number_format(settings).state == "ok" and told in check_number_format(settings).evidence
    assert list(render_background_work({"number_format": told}, 0.0)) == [
        f"number format, as timed on this machine: {told}"
    ]


def test_a_gpu_is_told_by_its_name(tmp_path: Path) -> None:
    """Where processes without it have timed the CPU, too, what was timed last holds."""
    settings = timed(tmp_path, 153, 83)
    path, shape = tmp_path / CHOICE_FILE, product_shape(read_config(find_base_model()))
    formats = {name: FormatTiming("plain", rate, 0.0) for name, rate in (("fp32", 9000.0), ("bf16", 40000.0))}
    gpu = {key_of(shape, "NVIDIA L4 24GB"): EngineChoice(formats).to_json()}
    path.write_text(json.dumps({**json.loads(path.read_text()), **gpu}))
    told = describe_timing(settings)
    assert told.startswith("serving bf16 (GFLOP/s: fp32 9000, bf16 40000)") and told.endswith(" on NVIDIA L4 24GB")


def tried(settings: Settings, cosine: float) -> None:
    """As if the packaged encoder had been tried in int8 on this machine."""
    from safetensors.torch import save_file

    directory = find_base_model()
    digest = known_sha256(directory / "model.safetensors")
    path = trial_path(settings.data_dir, [digest], read_pooling(directory))
    path.parent.mkdir(exist_ok=True)
    save_file({}, path, {"cosine": str(cosine)})


def test_what_int8_came_to_is_told(tmp_path: Path) -> None:
    settings = timed(tmp_path, 150, 50, layers={"fp32": 2.0, "int8": 1.0})
    told = describe_timing(settings)
    assert told.startswith("serving int8 (GFLOP/s a core: fp32 150, bf16 50, int8 300), training fp32")
    assert told.endswith("int8 2.00 times as fast as fp32 in whole layers; int8 is tried when the encoder is loaded")
    tried(settings, 0.9993)
    assert describe_timing(settings).endswith("; int8 taken: cosine to fp32 0.9993 on sample texts")
    exact = settings.model_copy(update={"precision": "fp32"})
    verdict = check_number_format(exact)
    assert verdict.state == "warn" and "2.0 times slower" in verdict.evidence
    tried(settings, 0.9981)
    assert describe_timing(settings).endswith(
        "; int8 refused, fp32 taken: cosine to fp32 0.9981 on sample texts, 0.999 is wanted"
    )
    assert check_number_format(exact).state == "ok", "auto would be read in fp32, too"
    [path] = (tmp_path / "int8").iterdir()
    for damage in (b"", b"\xff" * 20, path.read_bytes()[:12], path.read_bytes().replace(b"0.9981", b"nan   ")):
        path.write_bytes(damage)
        assert "int8 is tried when" in describe_timing(settings)


def test_int8_that_gains_little_is_left_and_told(tmp_path: Path) -> None:
    settings = timed(tmp_path, 150, 300, layers={"bf16": 1.2, "int8": 1.0})
    assert describe_timing(settings).endswith(
        "int8 1.20 times as fast as bf16 in whole layers, taken by itself from 1.3 on"
    )
    assert check_number_format(settings.model_copy(update={"precision": "int8"})).state == "ok"
    slow = timed(tmp_path, 150, 300, layers={"bf16": 1.0, "int8": 2.0}, precision="int8")
    assert check_number_format(slow).state == "warn", "AMX is quicker in bfloat16"


def test_before_the_first_start_nothing_is_claimed(tmp_path: Path) -> None:
    settings = Settings(_env_file=None, data_dir=tmp_path)  # type: ignore[call-arg]
    assert describe_timing(settings) == ""
    assert "not been timed" in check_number_format(settings).evidence
    assert not (tmp_path / CHOICE_FILE).exists()


@pytest.mark.parametrize(
    ("precision", "fp32", "bf16", "state"),
    [
        ("bf16", 153, 83, "warn"),
        ("fp32", 98, 383, "warn"),
        ("fp32", 153, 83, "ok"),
        ("bf16", 98, 383, "ok"),
        ("auto", 98, 383, "ok"),
        ("bf16", 100, 90, "ok"),
    ],
)
def test_a_slower_format_set_by_hand_is_doubted(
    precision: str, fp32: float, bf16: float, state: str, tmp_path: Path
) -> None:
    verdict = check_number_format(timed(tmp_path, fp32, bf16, precision=precision))
    assert verdict.state == state
    assert state == "ok" or "unset PRECISION" in verdict.remedy
