"""A fine-tuned encoder is compared in int8 on its labelled texts before it is published; its file says the result."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from model.encoder.encoder import Encoder, open_weights
from model.encoder.weights import tuned_cosine
from model.features import int8_check
from model.kernels.int8_product import int8_works
from model.kernels.int8_ranges import RangeRecorder
from model.spec import Control, Input, Kind, Label, Sample, TaskSpec
from model.training import request as requests
from model.training.distributed import alone
from model.training.request import REQUEST, Request, write_json
from model.training.run import Training
from model.versions.directory import read_manifest, version_path
from model.versions.encoder_files import encoder_weights
from tests.model.conftest import TinyModel

pytestmark = pytest.mark.skipif(not int8_works(96, 32), reason="this CPU has no exact int8 product")

LETTERS = {"a": "abcd", "e": "efgh"}


@pytest.fixture
def request_of(tiny_model: TinyModel, tmp_path: Path) -> Any:
    directory, _ = tiny_model("bert")
    control = Control("label", Kind.SINGLE, ("text",), tuple(Label((key,), key) for key in LETTERS), "Label")
    spec = TaskSpec((Input("text", "Text", "$text"),), (control,))
    samples = []
    for number in range(24):
        key = "ae"[number % 2]
        own = LETTERS[key]
        samples.append(Sample(number, (" ".join((own[number % 4], own[number // 4 % 4])),), {key: 1.0}))

    def make(precision: str) -> Request:
        return Request(
            project=7,
            version="v1",
            parent=None,
            snapshot_seq=0,
            spec=spec.to_json(),
            samples={"label": [sample.to_json() for sample in samples]},
            pool=[],
            base_model=str(directory),
            models=str(tmp_path / "models"),
            features=str(tmp_path / "features"),
            features_mb=64,
            steps=1,
            threads=1,
            seed=0,
            min_examples=10,
            precision=precision,
            timings=str(tmp_path),
        )

    return make


def tuned_by(request: Request, folder: Path) -> Path:
    """The weights that a training of this request came to."""
    run = folder / "run"
    run.mkdir()
    write_json(run / REQUEST, request)
    Training(run, alone()).run()
    found = encoder_weights(version_path(Path(request.models), 7, "v1"))
    assert found is not None
    return found


@pytest.mark.parametrize("cosine", [None, 0.9])
def test_what_int8_costs_is_told_by_the_file_and_heeded(
    request_of: Any, tmp_path: Path, cosine: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = request_of("int8")
    base = Encoder(Path(request.base_model), precision="int8", timings=tmp_path)
    assert base.precision == "int8"
    if cosine is not None:  # no encoder is at hand whose sample texts are fine and whose labelled ones are not
        monkeypatch.setattr(int8_check, "last_cosine", lambda *_: cosine)
    weights = tuned_by(request, tmp_path)
    told = tuned_cosine(weights)
    assert told is not None and (told == cosine if cosine is not None else told > 0.99)
    manifest = read_manifest(version_path(Path(request.models), 7, "v1"))
    assert manifest.precision == "int8"
    taken = told >= 0.999
    assert ("not read in int8 (cosine 0.9000 on labelled texts)" in manifest.reason) == (cosine is not None)
    monkeypatch.setattr(RangeRecorder, "pack", property(lambda _: pytest.fail("tried once more")))
    assert (open_weights(weights, base).precision == "int8") == taken, "and by what the training found"


def test_nothing_is_asked_where_int8_is_not_read(request_of: Any, tmp_path: Path) -> None:
    weights = tuned_by(request_of("fp32"), tmp_path)
    assert tuned_cosine(weights) is None
    base = Encoder(Path(request_of("fp32").base_model), precision="int8", timings=tmp_path)
    assert open_weights(weights, base).precision in ("int8", "fp32", "bf16"), "by sample texts"


def test_texts_are_spread_over_what_is_labelled(request_of: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    request = request_of("int8")
    whole = request.checked_texts
    assert 8 <= len(whole) <= 24 and len(set(whole)) == len(whole)
    monkeypatch.setattr(requests, "CHECKED_TEXTS", 5)
    assert 0 < len(request.checked_texts) <= 5
