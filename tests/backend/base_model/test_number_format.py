"""Status and doctor tell in which number format the encoder runs, and when one set by hand is the slower."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from backend.base_model.number_format import describe_timing
from backend.cli.render import render_background_work
from backend.doctor.machine import check_number_format
from backend.settings.settings import Settings
from model.kernels.choice import EngineChoice, FormatTiming
from model.kernels.kept_choice import CHOICE_FILE, key_of
from model.pretrained.architectures import product_shape
from model.pretrained.base_model import find_base_model, read_config


def timed(folder: Path, fp32: float, bf16: float, **settings: Any) -> Settings:
    """A machine with these GFLOP/s, and its settings."""
    formats = {"fp32": FormatTiming("plain", fp32, 0.0), "bf16": FormatTiming("plain", bf16, 0.0)}
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
