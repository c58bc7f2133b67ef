"""Where the encoder comes from, and what is said when it cannot be had."""

from __future__ import annotations

from pathlib import Path

import pytest

from model.base_model import find_base_model, read_config
from model.errors import EncoderError
from tests.model.conftest import TinyModel


def test_nothing_set_means_the_packaged_encoder() -> None:
    assert (find_base_model() / "model.safetensors").is_file()


def test_a_directory_is_used_as_it_is(tiny_model: TinyModel) -> None:
    directory, _ = tiny_model("bert")
    assert find_base_model(str(directory)) == directory


def test_a_directory_without_safetensors_is_refused_by_name(tiny_model: TinyModel) -> None:
    directory, _ = tiny_model("bert")
    (directory / "model.safetensors").rename(directory / "pytorch_model.bin")
    with pytest.raises(EncoderError, match=r"has no model\.safetensors"):
        find_base_model(str(directory))


def test_everything_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(EncoderError, match=r"config\.json and no model\.safetensors"):
        find_base_model(str(tmp_path))


def test_an_unknown_hub_id_offline_says_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(EncoderError, match=r"nobody/nothing.*give a directory with config\.json"):
        find_base_model("nobody/nothing")


def test_a_damaged_config_is_an_encoder_error(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(EncoderError, match="cannot be read"):
        read_config(tmp_path)
