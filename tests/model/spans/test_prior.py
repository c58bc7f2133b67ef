"""The transfer prior: the numpy forward is the trained network, texts do not mix, and names decide."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from model.encoder.encoder import Encoder
from model.errors import DataError, VersionError
from model.span import SpanDocument
from model.spans.features.reading import SpanReader, word_states
from model.spans.transfer.label_words import spell_out
from model.spans.transfer.prior import FLOOR, WEIGHTS, TransferPrior, case_bits, read_prior, write_prior
from model.spans.transfer.trust import prior_trust
from model.spans.words import find_words
from model.training.spans.__main__ import main
from model.training.spans.train_prior import PriorRecipe, _Network, train_prior
from tests.model.spans.conftest import sentences

TEXTS = ["Ann Miller moved to Berlin.", "It rains.", "In Oslo, says Bob!"]


def test_the_shipped_prior_belongs_to_the_packaged_encoder(minilm: Encoder, prior: TransferPrior) -> None:
    assert prior.fits(minilm.digest)
    assert WEIGHTS.stat().st_size < 1_700_000
    attribution = (WEIGHTS.parent / "README.md").read_text(encoding="utf-8")
    for source in ("CrossNER", "Broad Twitter", "HWU64", "BioNLP", "NCBI", "CC BY 4.0", "MIT"):
        assert source in attribution


def test_numpy_says_what_the_trained_network_says(reader: SpanReader, prior: TransferPrior, minilm: Encoder) -> None:
    network = _Network(len(prior.layers) * minilm.width, minilm.width, 0.0).eval()
    network.load_state_dict({name: torch.from_numpy(value) for name, value in prior.tensors.items()})
    names = reader.name_vectors(["PER", "LOC", "some thing"])
    together = reader.read(TEXTS)
    for text, read in zip(TEXTS, together, strict=True):
        bounds = find_words(text)
        states = word_states(bounds, minilm.token_states([text], prior.layers)[0])
        inputs = np.concatenate([states, case_bits(text, bounds)], axis=1).astype(np.float32)
        with torch.inference_mode():
            scores = network(torch.from_numpy(inputs)[None], torch.ones(1, len(inputs)), torch.from_numpy(names))
        expected = torch.log_softmax(scores[0], -1).numpy().clip(FLOOR)
        np.testing.assert_allclose(prior.log_probabilities(read.hidden, names), expected, atol=0.05)


def test_the_names_of_the_labels_decide(reader: SpanReader, prior: TransferPrior) -> None:
    read = reader.read(TEXTS[:1])[0]
    for labels in (["PER", "LOC"], ["LOC", "PER"]):
        said = prior.log_probabilities(read.hidden, reader.name_vectors(labels))
        names = ["O", *(f"{part}-{label}" for label in labels for part in "BI")]
        assert [names[tag] for tag in said.argmax(1)] == ["B-PER", "I-PER", "O", "O", "B-LOC", "O"]
        np.testing.assert_allclose(np.exp(said).sum(1), 1, atol=1e-3)


def test_short_names_are_spelt_out() -> None:
    names = ["PER", "creative-work", "timeRange", "ORG"]
    assert [spell_out(name) for name in names] == ["person", "creative work", "time range", "organisation"]


def test_trust_is_full_where_the_prior_is_right_and_small_where_it_is_not() -> None:
    from model.spans.chain.tags import TagSet

    tags, random = TagSet(("a", "b")), np.random.default_rng(0)
    gold = np.array([0, 1, 2, 0, 3, 0, 0, 1, 0, 0] * 20)
    right = np.full((200, 5), -6.0, np.float32)
    right[np.arange(200), gold] = -0.05
    wrong = np.full((200, 5), -6.0, np.float32)
    wrong[np.arange(200), np.where(random.random(200) < 0.5, gold, (gold + 1) % 2)] = -0.05
    assert prior_trust(right, [10] * 20, gold, tags) == 1.0
    assert prior_trust(wrong, [10] * 20, gold, tags) < 0.7
    assert prior_trust(right[:0], [], gold[:0], tags) == 1.0


def test_it_is_written_in_half_precision_and_read_again(tmp_path: Path, prior: TransferPrior) -> None:
    write_prior(prior, tmp_path / "weights" / "prior.safetensors")
    again = read_prior(tmp_path / "weights" / "prior.safetensors")
    assert again is not None and (again.name, again.digest, again.layers) == (prior.name, prior.digest, prior.layers)
    assert read_prior(tmp_path / "none.safetensors") is None
    (tmp_path / "torn.safetensors").write_bytes(WEIGHTS.read_bytes()[:1000])
    with pytest.raises(VersionError, match="no transfer prior"):
        read_prior(tmp_path / "torn.safetensors")


def test_training_learns_and_is_the_same_twice(minilm: Encoder) -> None:
    sources = [sentences(24), [SpanDocument(own.text, own.spans[:1]) for own in sentences(16, 50)]]
    recipe = PriorRecipe(steps=60, batch=8, rate=3e-3)
    first, second = (train_prior(minilm, sources, recipe, report=lambda line: None) for _ in range(2))
    assert first.name == second.name and first.fits(minilm.digest)
    reader = SpanReader(minilm, first)
    read = reader.read(["Hana Sato moved to Lima last year."])[0]
    said = first.log_probabilities(read.hidden, reader.name_vectors(["PER", "LOC"]))
    assert said.argmax(1).tolist() == [1, 2, 0, 0, 3, 0, 0, 0]


def test_the_command_says_which_sets_are_missing_and_writes_the_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="lacks people"):
        main([str(tmp_path), "--sets", "people"])
    (tmp_path / "people").mkdir()
    rows = [
        {"text": own.text, "spans": [{"start": s.start, "end": s.end, "label": s.label} for s in own.spans]}
        for own in sentences(8)
    ]
    lines = "\n".join(json.dumps(row) for row in rows)
    (tmp_path / "people" / "train.jsonl").write_text(lines, encoding="utf-8")
    main([str(tmp_path), "--sets", "people", "--steps", "2", "--out", str(tmp_path / "prior.safetensors")])
    assert read_prior(tmp_path / "prior.safetensors") is not None
    (tmp_path / "people" / "train.jsonl").write_text(lines + '\n{"text": "x", "spans": [{"start": 0}]}', "utf-8")
    with pytest.raises(DataError, match="line 9"):
        main([str(tmp_path), "--sets", "people"])
