"""A prefix is read before every text, as sentence-transformers would read it, and offsets stay the text's own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

from model.encoder.encoder import Encoder
from model.encoder.windows import Windows, read_tokenizer
from model.errors import EncoderError
from model.pretrained.base_model import find_base_model
from model.pretrained.prefix import prefixed
from model.pretrained.presets import PRESETS, preset_named
from model.pretrained.reading import CARD, read_pooling, read_prefix, read_window
from tests.model.conftest import FAMILIES, TinyModel

PREFIX = "query: "
TEXTS = ["how are my parcels sent", "", "a parcel, again!", "Der Brief kam (am Montag) nicht an"]


def card(directory: Path, **values: object) -> None:
    (directory / CARD).write_text(json.dumps(values), encoding="utf-8")


def trained(kind: str) -> Tokenizer:
    """A byte-level or sentencepiece-like tokenizer, with special tokens as their families have them."""
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    if kind == "sentencepiece":
        tokenizer = Tokenizer(models.Unigram())
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
        trainer: Any = trainers.UnigramTrainer(vocab_size=300, special_tokens=special, unk_token="<unk>")
    else:
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        trainer = trainers.BpeTrainer(vocab_size=400, special_tokens=special, initial_alphabet=alphabet)
    tokenizer.train_from_iterator([*TEXTS, PREFIX] * 20, trainer)
    first, last = (("<s>", tokenizer.token_to_id("<s>")), ("</s>", tokenizer.token_to_id("</s>")))
    template = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[first, last]
    )
    tokenizer.post_processor = {
        "sentencepiece": template,
        "roberta": processors.RobertaProcessing(last, first, add_prefix_space=False),
        "modernbert": processors.Sequence([processors.ByteLevel(trim_offsets=True), template]),
    }[kind]
    return tokenizer


@pytest.mark.parametrize("kind", ["wordpiece", "sentencepiece", "roberta", "modernbert"])
def test_pieces_are_those_of_the_prefix_and_the_text_as_one_string(kind: str) -> None:
    plain = read_tokenizer(find_base_model()) if kind == "wordpiece" else trained(kind)
    plain.no_padding()
    plain.no_truncation()
    tokenizer = prefixed(plain, PREFIX)
    for text in TEXTS:
        found, wanted = tokenizer.encode(text), plain.encode(PREFIX + text if text else PREFIX.rstrip())
        assert found.tokens == wanted.tokens and found.ids == wanted.ids
        own = [place for place, text_id in enumerate(found.sequence_ids) if text_id == 0]
        assert not own or (found.offsets[own[0]][0] == 0 and found.offsets[own[-1]][1] == len(text))
    both = tokenizer.encode(TEXTS[0], TEXTS[2])
    assert both.ids == plain.encode(PREFIX + TEXTS[0], PREFIX + TEXTS[2]).ids
    more = tokenizer.num_special_tokens_to_add(True) - plain.num_special_tokens_to_add(True)
    assert more == 2 * len(plain.encode(PREFIX.rstrip(), add_special_tokens=False).ids)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_window_begins_with_it(family: str, tiny_model: TinyModel) -> None:
    directory, _ = tiny_model(family)
    plain = Encoder(directory)
    card(directory, prefix="l k ")
    encoder, windows = Encoder(directory), Windows(directory, 20)
    short, long = "a b c", " ".join("abcdefghij"[place % 10] for place in range(60))
    parts = windows.split([(long,)])
    start = windows.split([(short,)])[0].ids[:3]
    assert len(parts) > 2 and all(part.ids[:3] == start and len(part.ids) <= 20 for part in parts)
    np.testing.assert_allclose(encoder.embed([(short,)]), plain.embed([("l k " + short,)]), atol=1e-5)
    assert encoder.digest != plain.digest
    states = encoder.token_states([short], [3])[0]
    wanted = plain.token_states(["l k " + short], [3])[0]
    np.testing.assert_allclose(states.states, wanted.states[2:], atol=2e-3)
    assert list(states.offsets) == [(0, 1), (2, 3), (4, 5)]
    pooled, both = encoder.embed_both([short], [3])
    np.testing.assert_allclose(pooled, encoder.embed([(short,)]), atol=1e-5)
    np.testing.assert_array_equal(both[0].states, states.states)
    pair = windows.split([("a b", "c")])[0]
    assert len(pair.ids) == len(Windows(directory, 20).split([("a", "c")])[0].ids) + 1


def test_a_card_and_what_sentence_transformers_writes_are_read(tiny_model: TinyModel) -> None:
    directory, _ = tiny_model("bert", max_position_embeddings=1024)
    config = {"max_position_embeddings": 1024}
    assert (read_prefix(directory), read_window(directory, config)) == ("", 512)  # type: ignore[arg-type]
    prompts = {"prompts": {"classification": "classify: ", "q": "q: "}}
    (directory / "config_sentence_transformers.json").write_text(json.dumps(prompts))
    assert read_prefix(directory) == "classify: "
    (directory / "config_sentence_transformers.json").write_text(json.dumps({**prompts, "default_prompt_name": "q"}))
    assert read_prefix(directory) == "q: "
    card(directory, prefix="", pooling="cls", window=900)
    assert (read_prefix(directory), read_window(directory, config)) == ("", 900)  # type: ignore[arg-type]
    assert read_pooling(directory) == "cls"


@pytest.mark.parametrize("wrong", [{"pooling": "max"}, {"prefix": 3}, {"window": 0}, {"window": True}, {"length": 3}])
def test_a_card_that_is_wrong_is_refused(wrong: dict[str, object], tmp_path: Path) -> None:
    card(tmp_path, **wrong)
    with pytest.raises(EncoderError, match=r"understudy\.json"):
        read_prefix(tmp_path)


def test_presets_are_whole_and_known_where_the_hub_keeps_them(tmp_path: Path) -> None:
    assert [preset.name for preset in PRESETS] == ["english-small", "english-better", "multilingual", "long"]
    assert find_base_model("english-small") == find_base_model("")
    for preset in PRESETS:
        owner, name = preset.hub_id.split("/")
        directory = tmp_path / f"models--{owner}--{name}" / "snapshots" / preset.revision
        directory.mkdir(parents=True)
        (directory / "config.json").write_text(json.dumps({"max_position_embeddings": 8192}))
        config = {"max_position_embeddings": 8192}
        read = read_pooling(directory), read_prefix(directory), read_window(directory, config)  # type: ignore[arg-type]
        assert read == (preset.pooling, preset.prefix, preset.window)
        assert len(preset.revision) == 40 and preset_named(preset.name.upper()) == preset
    other = tmp_path / "models--intfloat--e5-base-v2" / "snapshots" / "0"
    other.mkdir(parents=True)
    assert read_prefix(other) == "query: "
