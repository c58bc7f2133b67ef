"""Where the encoder comes from, and what is said when it cannot be had."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from model.encoder.encoder import Encoder
from model.errors import EncoderError
from model.pretrained.base_model import HUB_FILES, find_base_model, read_config, sha256_of
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


@pytest.fixture
def hub_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The hub client's cache, without network."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


@pytest.mark.parametrize("name", ["nobody/nothing", "no such/directory/at all", "../up", "a--b"])
def test_what_is_not_on_the_hub_says_what_to_do(name: str, hub_cache: Path) -> None:
    with pytest.raises(EncoderError, match=rf"{re.escape(name)}.*give a directory with config\.json"):
        find_base_model(name)


def download(model: Path, cache: Path, name: str) -> Path:
    """Lay the files of a model out as the hub client does; the snapshot."""
    repository = cache / f"models--{name.replace('/', '--')}"
    snapshot = repository / "snapshots" / ("ab" * 20)
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(snapshot.name)
    (repository / "blobs").mkdir()
    for file in (path for path in model.rglob("*") if path.is_file()):
        blob = repository / "blobs" / sha256_of(file)
        blob.write_bytes(file.read_bytes())
        link = snapshot / file.relative_to(model)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(blob)
    return snapshot


@pytest.mark.parametrize("family", ["bert", "distilbert"])
def test_a_hub_id_is_taken_from_the_local_cache(family: str, tiny_model: TinyModel, hub_cache: Path) -> None:
    directory, _ = tiny_model(family, pooling="cls")
    snapshot = download(directory, hub_cache, "google-bert/bert-base-uncased")
    found = find_base_model("google-bert/bert-base-uncased")
    assert found == snapshot
    here, there = Encoder(directory), Encoder(found)
    assert (there.pooling, there.digest) == ("cls", here.digest)
    np.testing.assert_array_equal(there.embed([("a b",)]), here.embed([("a b",)]))


def test_a_hub_model_without_safetensors_is_refused_by_name(tiny_model: TinyModel, hub_cache: Path) -> None:
    directory, _ = tiny_model("bert")
    (directory / "model.safetensors").rename(directory / "pytorch_model.bin")
    download(directory, hub_cache, "somebody/old")
    with pytest.raises(EncoderError, match=r"has no model\.safetensors; weights must be safetensors"):
        find_base_model("somebody/old")


def test_what_was_downloaded_stays_the_encoder(
    tiny_model: TinyModel, hub_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot = download(tiny_model("bert")[0], hub_cache, "somebody/model")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.HfApi.repo_info", lambda *_, **__: pytest.fail("asked the hub"))
    assert find_base_model("somebody/model") == snapshot


def test_only_what_is_needed_is_fetched() -> None:
    from huggingface_hub.utils import filter_repo_objects

    needed = ["config.json", "model.safetensors", "tokenizer.json", "vocab.txt", "1_Pooling/config.json"]
    others = ["pytorch_model.bin", "onnx/model.onnx", "onnx/config.json", "openvino/model.safetensors", "README.md"]
    assert list(filter_repo_objects([*needed, *others], allow_patterns=list(HUB_FILES))) == needed


def test_a_damaged_config_is_an_encoder_error(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(EncoderError, match="cannot be read"):
        read_config(tmp_path)
