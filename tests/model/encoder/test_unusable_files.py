"""Folders that cannot be read as an encoder are refused in one line when they are loaded, whatever is wrong."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from model.encoder.encoder import Encoder, digest_of
from model.errors import EncoderError, in_one_line
from model.pretrained.base_model import find_base_model, is_local
from tests.model.conftest import TinyModel


def edit(file: str, **changes: Any) -> Callable[[Path], None]:
    """Changes what a JSON file says."""

    def change(directory: Path) -> None:
        path = directory / file
        path.write_text(json.dumps({**(json.loads(path.read_text()) if path.exists() else {}), **changes}))

    return change


def write(file: str, content: bytes) -> Callable[[Path], None]:
    """Puts other bytes into a file."""

    def change(directory: Path) -> None:
        (directory / file).write_bytes(content)

    return change


def tear(directory: Path) -> None:
    path = directory / "model.safetensors"
    path.write_bytes(path.read_bytes()[:5000])


def blur(directory: Path) -> None:
    from safetensors.torch import load_file, save_file

    weights = load_file(directory / "model.safetensors")
    [name] = [name for name in weights if name.endswith("word_embeddings.weight")]
    save_file({**weights, name: weights[name] * float("nan")}, directory / "model.safetensors", {"format": "pt"})


UNUSABLE: dict[str, tuple[Callable[[Path], None], str]] = {
    "torn weights": (tear, "are damaged"),
    "no weights": (write("model.safetensors", b""), "are damaged"),
    "a pointer of Git LFS": (
        write("model.safetensors", b"version https://git-lfs.github.com/spec/v1\n"),
        "are damaged",
    ),
    "NaN": (blur, "damaged, or of another encoder"),
    "layers that are no number": (edit("config.json", num_hidden_layers="three"), "num_hidden_layers is 'three'"),
    "no layers": (edit("config.json", num_hidden_layers=0), "num_hidden_layers is 0"),
    "positions that are null": (edit("config.json", max_position_embeddings=None), "max_position_embeddings is None"),
    "more positions than rows": (edit("config.json", max_position_embeddings=5000), "have 40 positions"),
    "heads that do not fit": (edit("config.json", num_attention_heads=3), "cannot read a text"),
    "another family": (edit("config.json", model_type="foo"), "cannot be loaded"),
    "a window without room": (edit("understudy.json", window=3), "a longer window or a shorter prefix"),
    "a prefix without room": (edit("understudy.json", prefix="a b c d " * 9), "a longer window or a shorter prefix"),
    "no longest text": (edit("sentence_bert_config.json", max_seq_length=1), "a longer window or a shorter prefix"),
    "a tokenizer that is empty": (write("tokenizer.json", b""), "the tokenizer in"),
}


@pytest.mark.parametrize("what", UNUSABLE)
def test_what_cannot_be_read_is_refused_in_one_line(tiny_model: TinyModel, what: str) -> None:
    directory, _ = tiny_model("bert")
    harm, told = UNUSABLE[what]
    harm(directory)
    with pytest.raises(EncoderError) as caught:
        digest_of(find_base_model(str(directory)))
        Encoder(directory)
    assert told in caught.value.message and "\n" not in caught.value.message
    assert str(directory) in caught.value.message


def test_weights_of_another_width_are_refused(tiny_model: TinyModel, tmp_path: Path) -> None:
    wide, _ = tiny_model("bert", seed=1, hidden_size=32)
    directory, _ = tiny_model("bert")
    shutil.copy(wide / "model.safetensors", directory / "model.safetensors")
    with pytest.raises(EncoderError, match="damaged, or of another encoder"):
        Encoder(directory)


@pytest.mark.parametrize("name", ["/no/such/folder", "./gone", "~nobody-of-that-name/dir", "x" * 5000, "a\0b"])
def test_a_name_that_no_directory_and_no_model_can_have_is_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert not is_local(name)
    with pytest.raises(EncoderError, match=r"is no directory on this machine|neither a directory nor"):
        find_base_model(name)


def test_links_and_blanks_are_nothing_special(tiny_model: TinyModel, tmp_path: Path) -> None:
    directory, _ = tiny_model("bert")
    place = tmp_path / "a b \u00e9"
    place.mkdir()
    for file in directory.iterdir():
        (place / file.name).symlink_to(file)
    (tmp_path / "link").symlink_to(place)
    assert Encoder(find_base_model(str(tmp_path / "link"))).digest == Encoder(directory).digest


def test_advice_in_paragraphs_is_left_out() -> None:
    assert in_one_line(ValueError("no such\n  layer\n\nUpdate it with pip")) == "no such layer"
    assert len(in_one_line(ValueError("x" * 1000))) == 300
