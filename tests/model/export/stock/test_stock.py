"""A stock classifier, read by a pipeline of transformers, answers as the head that it was made of."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from model.encoder.encoder import Encoder
from model.export.bundle import ExportError, Source
from model.export.stock import distil
from model.export.stock.bundle import DISTILLED, OWN, Teaching, write_stock
from model.export.stock.classifier import CosineHead, build_stock, save_stock
from model.export.stock.distil import tell_nobody
from model.export.stock.outputs import outputs_of
from model.export.stock.parity import Stock, measure_accuracy
from model.spec import Sample, Text
from tests.model.conftest import tiny_config, write_tokenizer
from tests.model.export.test_predict import CONTROLS, SINGLE, source_of
from tests.support.tiny import tiny_base  # noqa: F401

LETTERS = "abcdefgh"


def texts(count: int, inputs: int = 1) -> list[Text]:
    """Different texts of letters."""
    generator = np.random.default_rng(5)
    found: dict[Text, None] = {}
    while len(found) < count:
        drawn = [" ".join(generator.choice([*LETTERS], generator.integers(2, 9))) for _ in range(inputs)]
        found[tuple(drawn)] = None
    return list(found)


def base_of(directory: Path, family: str, pooling: str) -> Encoder:
    import torch
    from transformers import AutoModel

    torch.manual_seed(0)
    AutoModel.from_config(tiny_config(family)).eval().save_pretrained(directory)
    write_tokenizer(directory)
    (directory / "1_Pooling").mkdir()
    modes = {"pooling_mode_cls_token": pooling == "cls", "pooling_mode_mean_tokens": pooling == "mean"}
    (directory / "1_Pooling" / "config.json").write_text(json.dumps(modes))
    return Encoder(directory)


@pytest.mark.parametrize("several", [False, True], ids=["one", "set"])
@pytest.mark.parametrize("family", ["bert", "roberta", "electra", "distilbert"])
def test_a_cosine_head_over_the_mean_of_all_tokens_fits_into_a_stock_class(
    tmp_path: Path, family: str, several: bool
) -> None:
    encoder = base_of(tmp_path / "base", family, "mean")
    generator = np.random.default_rng(1)
    head = CosineHead(
        ("x", "y z", "w"), several, generator.standard_normal((3, encoder.width)) * 5, np.array([0.3, 0, 1])
    )
    save_stock(build_stock(encoder, head, texts(60)), encoder, tmp_path / "stock")
    given = Stock(tmp_path / "stock", head.names).answers(texts(30))
    wanted = head.scores(encoder.embed(texts(30))[:, -1])
    np.testing.assert_allclose(given, wanted, atol=5e-3)
    config = json.loads((tmp_path / "stock" / "config.json").read_text(encoding="utf-8"))
    assert config["id2label"] == {"0": "x", "1": "y z", "2": "w"} and config["label2id"]["y z"] == 1
    assert config["problem_type"] == ("multi_label_classification" if several else "single_label_classification")


def teaching(tmp_path: Path, inputs: int = 1, seconds: float = 60.0) -> Teaching:
    return Teaching(texts(120, inputs), tmp_path, seconds, 100)


@pytest.mark.slow
@pytest.mark.parametrize("name", CONTROLS)
def test_a_student_answers_every_kind_of_question(
    tiny_base: Path,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    monkeypatch.setattr(distil, "LEAST_STEPS", 60)
    source = source_of(Encoder(tiny_base), CONTROLS[name])
    outputs = outputs_of(source.model, "label")
    given = teaching(tmp_path, len(CONTROLS[name].inputs))
    made = write_stock(source, outputs, tmp_path / "stock", given, tell_nobody)
    assert made.how == DISTILLED and made.taught + len(made.held) == len(given.texts)
    assert made.parity.mean_difference <= 0.2  # a random encoder learns little
    answers = outputs.answers(source.model, given.texts)
    own = source.model.scores("label", given.texts)
    served = [outputs.served(row) for row in own]
    assert [set(outputs.chosen(row)) for row in answers] == [set(keys) for keys in served]
    samples = [
        Sample(place, text, dict.fromkeys(keys, 1.0))
        for place, (text, keys) in enumerate(zip(given.texts, served, strict=True))
    ]
    found = measure_accuracy(source.model, outputs, tmp_path / "stock", samples)
    assert found is not None and found.n > 0 and found.low <= found.accuracy <= found.high


def test_a_fine_tuned_part_that_answers_nearly_all_is_written_as_it_is(tiny_base: Path, tmp_path: Path) -> None:  # noqa: F811
    source = source_of(Encoder(tiny_base), replace(SINGLE, required=True), tuned=True)
    assert source.model.finetuned is not None
    part = source.model.finetuned.heads["label"]
    width = part.coefficients.shape[1]
    whole = replace(
        part,
        weight=1.0,
        trained_on=0,
        labels=("a b", "c d", "e f"),
        coefficients=np.resize(part.coefficients, (3, width)),
        bias=np.resize(part.bias, 3),
    )
    alone = replace(source.model.finetuned, heads={"label": whole})
    source = Source(replace(source.model, finetuned=alone), "label", source.base, source.tuned)
    said: list[str] = []
    made = write_stock(
        source,
        outputs_of(source.model, "label"),
        tmp_path / "stock",
        teaching(tmp_path),
        lambda line, *_: said.append(line),
    )
    assert made.how == OWN and made.taught == 0 and made.parity.agreement >= 0.97, said


def test_what_no_stock_class_holds_is_refused(tiny_base: Path, tmp_path: Path) -> None:  # noqa: F811
    source = source_of(Encoder(tiny_base), SINGLE)
    outputs = outputs_of(source.model, "label")
    few = replace(teaching(tmp_path), texts=texts(12))
    with pytest.raises(ExportError, match="too few to distil"):
        write_stock(source, outputs, tmp_path / "stock", few, tell_nobody)
    other = base_of(tmp_path / "mpnet", "mpnet", "mean")
    with pytest.raises(ExportError, match=r"mpnet.*--format onnx"):
        build_stock(other, CosineHead(("a", "b"), False, np.zeros((2, other.width)), np.zeros(2)), texts(3))
