"""An encoder in int8: taken where its pooled layers stay what they are, tried once, and left where they do not."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from model.encoder import int8 as int8_engine
from model.encoder.encoder import Encoder, find_base_model, open_weights
from model.encoder.int8 import Int8Bert
from model.encoder.weights import DELTA, INT8_COSINE, KIND
from model.kernels import int8_trial
from model.kernels.choice import FBGEMM, INT8
from model.kernels.int8_product import InputRange, int8_works
from model.kernels.int8_ranges import Tried, keep_tried, read_tried
from model.kernels.int8_trial import TRIED_FOLDER, trial_path
from model.numerics.arrays import Floats
from tests.model.conftest import TinyModel
from tests.support.tiny import fork

pytestmark = pytest.mark.skipif(not int8_works(96, 32), reason="this CPU has no exact int8 product")

TEXTS = [
    ("The parcel came on Monday and was left at the wrong door.",),
    ("cheap tickets!!! call now 0800 555 0199",),
    ("A slow start, but the second half is among the best things on television this year.",),
]


def cosines(found: Floats, exact: Floats) -> Floats:
    """By text and layer."""
    product = (found * exact).sum(-1)
    return product / np.linalg.norm(found, axis=-1) / np.linalg.norm(exact, axis=-1)  # type: ignore[no-any-return]


def tried_in(folder: Path) -> list[Path]:
    return sorted((folder / TRIED_FOLDER).glob("*.safetensors"))


@pytest.fixture(scope="module")
def timings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("timings")


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first two layers of the packaged encoder: opened in a third of the time."""
    source, directory = find_base_model(), tmp_path_factory.mktemp("short") / "encoder"
    shutil.copytree(source, directory, ignore=shutil.ignore_patterns("model.safetensors", "README.md"))
    config = json.loads((source / "config.json").read_text(encoding="utf-8")) | {"num_hidden_layers": 2}
    (directory / "config.json").write_text(json.dumps(config), encoding="utf-8")
    weights = load_file(source / "model.safetensors")
    kept = {name: value for name, value in weights.items() if not re.search(r"layer\.[2-9]\.", name)}
    save_file(kept, directory / "model.safetensors")
    return directory


def test_the_packaged_encoder_is_read_in_int8(timings: Path) -> None:
    exact, found = (Encoder(find_base_model(), precision=name, timings=timings) for name in ("fp32", "int8"))
    assert (found.precision, found.digest) == ("int8", exact.digest) and found.kernel in (INT8, FBGEMM)
    pooled = exact.embed(TEXTS)
    assert cosines(found.embed(TEXTS), pooled).min() > 0.997 and not np.array_equal(found.embed(TEXTS), pooled)
    [path] = tried_in(timings)
    kept = read_tried(path)
    assert kept is not None and 0.999 <= kept.cosine < 0.99999
    states = [own.token_states([TEXTS[0][0]], [4, 6])[0].states for own in (found, exact)]
    assert cosines(*(own.astype(np.float32) for own in states)).mean() > 0.995


def test_what_was_tried_is_read_by_the_next_process(
    short: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = Encoder(short, precision="int8", timings=tmp_path).embed(TEXTS)
    monkeypatch.setattr(int8_engine, "cosine_of", None)  # nothing is tried again
    again = Encoder(short, precision="int8", timings=tmp_path)
    np.testing.assert_array_equal(again.embed(TEXTS), first)
    monkeypatch.undo()
    [path] = tried_in(tmp_path)
    whole = path.read_bytes()
    other = Tried({"encoder.layer.0.attention.self": InputRange(*(torch.zeros(3) for _ in range(3)))}, 0.9999)
    damages: list[Callable[[], object]] = [
        lambda: path.write_bytes(whole[:-100]),
        lambda: path.write_bytes(whole[:-100] + bytes(100)),  # of the right size
        lambda: path.write_bytes(whole.replace(b'"cosine":"0.99', b'"cosine":"nan ')),
        lambda: keep_tried(path, other),  # whole, but of other layers
        lambda: keep_tried(path, Tried({}, 0.9999)),
    ]
    for damage in damages:
        damage()
        found = Encoder(short, precision="int8", timings=tmp_path)
        np.testing.assert_array_equal(found.embed(TEXTS), first, "tried anew")
        mended = read_tried(path)
        assert mended is not None and mended.cosine >= 0.999 and len(mended.ranges) > 1


def test_what_was_tried_holds_for_its_kind_of_cpu(timings: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = trial_path(timings, ["digest"], "mean")
    monkeypatch.setattr(int8_trial, "cpu_model", lambda: "Another 9000")
    assert trial_path(timings, ["digest"], "mean") != here, "weights are rounded for the CPU"


def _embed(encoder: Path, folder: Path) -> Floats:
    return Encoder(encoder, precision="int8", timings=folder).embed(TEXTS)


@pytest.mark.long
def test_processes_that_start_together_answer_alike(short: Path, tmp_path: Path) -> None:
    with fork.Pool(2) as pool:
        first, second = pool.starmap(_embed, [(short, tmp_path)] * 2)
    np.testing.assert_array_equal(first, second)
    assert len(tried_in(tmp_path)) == 1 and not list((tmp_path / TRIED_FOLDER).glob(".*"))


def test_a_fine_tune_has_ranges_of_its_own_and_shares_what_training_left_alone(timings: Path, tmp_path: Path) -> None:
    base = Encoder(find_base_model(), precision="int8", timings=timings)
    whole = load_file(find_base_model() / "model.safetensors")
    changed = {name: 1.01 * value for name, value in whole.items() if "layer.5." in name and "LayerNorm" not in name}
    save_file(changed, tmp_path / "model.safetensors", {KIND: DELTA})
    before = len(tried_in(timings))
    tuned = open_weights(tmp_path / "model.safetensors", base)
    own, lent = tuned._engine, base._engine
    assert isinstance(own, Int8Bert) and isinstance(lent, Int8Bert)
    assert [one is other for one, other in zip(own.blocks, lent.blocks, strict=True)] == [True] * 5 + [False]
    assert len(tried_in(timings)) == before + 1
    exact = Encoder(find_base_model(), weights=tmp_path / "model.safetensors")
    assert cosines(tuned.embed(TEXTS), exact.embed(TEXTS)).min() > 0.997


@pytest.mark.parametrize(("cosine", "expected"), [(0.9989, "float"), (0.9991, "int8")])
def test_a_fine_tune_that_lost_too_much_on_its_labelled_texts_is_read_in_another_format(
    cosine: float, expected: str, timings: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    base = Encoder(find_base_model(), precision="int8", timings=timings)
    weights = load_file(find_base_model() / "model.safetensors")
    changed = {name: value for name, value in weights.items() if "layer.5." in name}
    save_file(changed, tmp_path / "w.safetensors", {KIND: DELTA, INT8_COSINE: f"{cosine}"})
    with caplog.at_level("INFO"):
        found = open_weights(tmp_path / "w.safetensors", base)
    assert (found.precision == "int8") == (expected == "int8")
    assert ("cosine in int8 0.9989 on labelled texts" in caplog.text) == (expected != "int8")
    assert cosines(found.embed(TEXTS), base.embed(TEXTS)).min() > 0.99


def test_an_encoder_that_loses_too_much_is_read_in_another_format(
    short: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(int8_engine, "LEAST_COSINE", 1.1)
    with caplog.at_level("INFO"):
        found = Encoder(short, precision="int8", timings=tmp_path)
    assert found.precision in ("fp32", "bf16") and "cosine in int8 0.99" in caplog.text
    tuned = Encoder(short, weights=short / "model.safetensors", base=found)
    assert tuned.precision == found.precision
    monkeypatch.setattr(int8_engine, "cosine_of", None)
    assert Encoder(short, precision="int8", timings=tmp_path).precision == found.precision, "kept, too"


@pytest.mark.parametrize("family", ["bert", "distilbert", "roberta", "electra", "xlm-roberta"])
def test_every_family_opens_in_int8_or_in_what_suits_it(family: str, tiny_model: TinyModel, tmp_path: Path) -> None:
    directory, _ = tiny_model(family)
    exact, found = Encoder(directory), Encoder(directory, precision="int8", timings=tmp_path)
    assert found.precision in ("int8", "fp32", "bf16") and found.digest == exact.digest
    assert cosines(found.embed(TEXTS), exact.embed(TEXTS)).mean() > 0.998
