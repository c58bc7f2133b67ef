"""Fine-tuning on a tiny BERT: it learns, it resumes exactly, and what is served is what was trained."""

from __future__ import annotations

import contextlib
from pathlib import Path

import numpy as np
import pytest

from model.encoder.encoder import Encoder
from model.errors import EncoderError
from model.training.recipe import DEFAULT_RECIPE
from model.training.tuner import FineTuner, TrainingSet, contrastive_loss, draw_batch, prototype_head

WORDS = ["red", "green", "blue", "apple", "stone", "river", "cloud", "paper", "light", "chair"]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import BertConfig, BertModel

    folder = tmp_path_factory.mktemp("tiny")
    vocabulary = {word: index for index, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    tokenizer.save(str(folder / "tokenizer.json"))
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
    )
    torch.manual_seed(0)
    BertModel(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def lesson(tiny: Path) -> TrainingSet:
    generator = np.random.default_rng(0)
    texts = [(" ".join(generator.choice(WORDS[3:], 4)) + " " + WORDS[i % 3],) for i in range(36)]
    targets = np.eye(3)[[i % 3 for i in range(36)]]
    features = Encoder(tiny).embed(texts)[:, -1]
    start = prototype_head(np.eye(3, features.shape[1]), features, targets)
    return TrainingSet("label", ("a", "b", "c"), False, texts, targets, np.ones(36), start)


def tune(
    tiny: Path, lesson: TrainingSet, steps: int, checkpoint: Path | None = None, stop: int | None = None
) -> FineTuner:
    tuning = FineTuner(tiny, [lesson], seed=3, threads=1)

    def report(step: int, loss: float) -> None:
        if step == stop:
            raise KeyboardInterrupt

    with contextlib.suppress(KeyboardInterrupt):
        tuning.run(steps, report, checkpoint)
    return tuning


def test_what_is_served_is_what_was_trained_and_it_has_learned(tiny: Path, lesson: TrainingSet, tmp_path: Path) -> None:
    tuning = tune(tiny, lesson, 150)
    tuning.save_encoder(tmp_path / "encoder.safetensors")
    served = Encoder(tiny, weights=tmp_path / "encoder.safetensors")
    head = tuning.heads({"label": 1.0}, {"label": 1.0})["label"]
    scores = head.scores(served.embed(lesson.texts)[:, -1])
    accuracy = (scores.argmax(1) == lesson.targets.argmax(1)).mean()
    assert accuracy > 0.8
    assert served.digest != Encoder(tiny).digest


def test_in_bf16_it_learns_as_well_and_what_is_served_is_close(tiny: Path, lesson: TrainingSet, tmp_path: Path) -> None:
    """On machines without it torch emulates it."""
    tuning = FineTuner(tiny, [lesson], seed=3, threads=1, precision="bf16")
    assert tuning.run(150, lambda step, loss: None) == 150
    tuning.save_encoder(tmp_path / "encoder.safetensors")
    served = Encoder(tiny, weights=tmp_path / "encoder.safetensors").embed(lesson.texts)[:, -1]
    scores = tuning.heads({"label": 1.0}, {"label": 1.0})["label"].scores(served)
    assert (scores.argmax(1) == lesson.targets.argmax(1)).mean() > 0.8
    own = tuning.answers(0, lesson.texts)
    assert 0 < np.abs(own - scores).max() < 0.05, "rounded, and not the same numbers"


def test_a_killed_run_goes_on_as_if_nothing_had_happened(tiny: Path, lesson: TrainingSet, tmp_path: Path) -> None:
    checkpoint = tmp_path / "run.safetensors"
    tune(tiny, lesson, 60, checkpoint, stop=40)
    assert checkpoint.is_file()
    steps: list[int] = []
    resumed = FineTuner(tiny, [lesson], seed=3, threads=1)
    resumed.run(60, lambda step, loss: steps.append(step), checkpoint)
    assert steps[0] == 26, "the checkpoint of step 25"
    whole = tune(tiny, lesson, 60)
    for name, parameter in whole._trainable().items():
        np.testing.assert_allclose(
            resumed._trainable()[name].detach().numpy(), parameter.detach().numpy(), rtol=0, atol=2e-5
        )


def test_a_checkpoint_and_the_weights_hold_what_learns_and_no_more(
    tiny: Path, lesson: TrainingSet, tmp_path: Path
) -> None:
    from safetensors import safe_open
    from safetensors.torch import load_file

    tuning = tune(tiny, lesson, 30, tmp_path / "run.safetensors")
    tuning.save_encoder(tmp_path / "delta.safetensors")
    with safe_open(tmp_path / "delta.safetensors", framework="pt") as file:
        assert file.metadata() == {"understudy": "delta"}
        changed = set(file.keys())
    base = load_file(tiny / "model.safetensors")
    assert changed < set(base) and len(changed) == 16, "one of two layers"
    assert all("encoder.layer.1." in name for name in changed)
    stored = {name.partition(".")[2] for name in load_file(tmp_path / "run.safetensors")}
    assert stored == {f"encoder.{name}" for name in changed} | {"weight.0", "bias.0"}


def test_without_a_fused_optimiser_the_plain_one_learns_the_same(
    tiny: Path, lesson: TrainingSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    fused = tune(tiny, lesson, 10)
    whole = torch.optim.AdamW

    def refuse(groups: object, **options: object) -> object:
        if options.get("fused"):
            raise RuntimeError("not on this device")
        return whole(groups, **options)

    monkeypatch.setattr(torch.optim, "AdamW", refuse)
    plain = tune(tiny, lesson, 10)
    for name, parameter in plain._trainable().items():
        np.testing.assert_allclose(
            fused._trainable()[name].detach().numpy(), parameter.detach().numpy(), rtol=0, atol=2e-5
        )


def test_a_base_without_one_of_its_tensors_is_refused(tiny: Path, lesson: TrainingSet, tmp_path: Path) -> None:
    import shutil

    from safetensors.torch import load_file, save_file

    broken = tmp_path / "broken"
    shutil.copytree(tiny, broken)
    tensors = {name: value.clone() for name, value in load_file(tiny / "model.safetensors").items()}
    del tensors["encoder.layer.0.output.dense.weight"]
    (broken / "model.safetensors").unlink()
    save_file(tensors, broken / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(EncoderError, match=r"layer\.0\.output\.dense\.weight"):
        FineTuner(broken, [lesson], seed=0, threads=1)


def test_a_torn_checkpoint_starts_anew(tiny: Path, lesson: TrainingSet, tmp_path: Path) -> None:
    checkpoint = tmp_path / "run.safetensors"
    checkpoint.write_bytes(b"torn")
    steps: list[int] = []
    FineTuner(tiny, [lesson], seed=3, threads=1).run(2, lambda step, loss: steps.append(step), checkpoint)
    assert steps == [1, 2]


def test_batches_are_even_over_the_classes() -> None:
    targets = np.eye(4)[[0] * 50 + [1] * 5 + [2] * 2 + [3]]
    rows = draw_batch(targets, False, np.random.default_rng(0))
    counts = np.bincount(targets[rows].argmax(1), minlength=4)
    assert counts.tolist() == [4, 4, 4, 4]


def test_equal_labels_close_together_cost_less() -> None:
    import torch

    labels = torch.tensor([0, 0, 1, 1])
    near = torch.nn.functional.normalize(torch.tensor([[1.0, 0], [1, 0.1], [0, 1], [0.1, 1]]), dim=-1)
    assert contrastive_loss(near, labels) < contrastive_loss(near[[0, 2, 1, 3]], labels)
    assert float(contrastive_loss(near, torch.arange(4))) == 0.0


def test_steps_grow_with_the_labels() -> None:
    assert [DEFAULT_RECIPE.steps_for(n) for n in (1, 16, 64, 256, 1000, 9000)] == [60, 60, 100, 200, 300, 300]
