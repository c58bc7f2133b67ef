"""How an encoder wants to be read: how its tokens become one vector, what stands before a text, how much fits.

What its files say goes first: `understudy.json`, which whoever runs this may put beside them, then what
sentence-transformers writes, then what is known of the hub model (model/pretrained/presets.py).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TypedDict, cast

from model.errors import EncoderError
from model.pretrained.architectures import BaseConfig
from model.pretrained.base_model import read_config
from model.pretrained.head_layouts import pooling_of
from model.pretrained.presets import known_prefix, preset_of
from model.spec import JsonObject

CARD = "understudy.json"
"""{"pooling": "mean" or "cls", "prefix": "query: ", "window": 512}: what is not in it is read elsewhere."""

USUAL_WINDOW, LONGEST_WINDOW = 512, 32_768
"""Most tokens of one forward pass, unless a card or preset says otherwise: attention grows with their square."""

AFTER_PADDING = (
    *("roberta", "xlm-roberta", "xlm-roberta-xl", "camembert", "mpnet", "roberta-prelayernorm", "data2vec-text"),
)
"""Families whose positions start at pad_token_id + 1, so that as many fewer tokens fit."""

POOLINGS = ("mean", "cls")


class Card(TypedDict, total=False):
    """What understudy.json may say."""

    pooling: str
    prefix: str
    window: int


def read_card(directory: Path) -> Card:
    """{} without one. Raises EncoderError for a card with anything else in it."""
    path = directory / CARD
    if not path.is_file():
        return {}
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise EncoderError(f"{path} cannot be read: {error}", path=str(path)) from error
    if not isinstance(card, dict) or not card.keys() <= Card.__annotations__.keys():
        raise EncoderError(f"{path} must be an object of {', '.join(Card.__annotations__)} only", path=str(path))
    window = card.get("window", 1)
    right = (
        card.get("pooling", "mean") in POOLINGS
        and isinstance(card.get("prefix", ""), str)
        and type(window) is int
        and 0 < window <= LONGEST_WINDOW
    )
    if not right:
        raise EncoderError(
            f"{path}: pooling is one of {', '.join(POOLINGS)}, prefix a string, window 1 to {LONGEST_WINDOW}",
            path=str(path),
        )
    return cast("Card", card)


def _read_object(path: Path) -> JsonObject:
    """Raises EncoderError for what is no JSON object."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise EncoderError(f"{path} cannot be read: {error}", path=str(path)) from error
    if not isinstance(found, dict):
        raise EncoderError(f"{path} must be an object", path=str(path))
    return found


def read_pooling(directory: Path) -> str:
    """`mean` or `cls`: as the card or the sentence-transformers config says; without one what the model's trained head
    reads, `mean` for a model without such a head. Raises EncoderError for any other pooling."""
    if own := read_card(directory).get("pooling"):
        return own
    path = directory / "1_Pooling" / "config.json"
    if not path.is_file():
        preset = preset_of(directory)
        return preset.pooling if preset is not None else pooling_of(read_config(directory))
    config = _read_object(path)
    older = [mode.removeprefix("pooling_mode_") for mode, on in config.items() if on is True]
    named = config.get("pooling_mode")
    chosen = [named] if isinstance(named, str) else older
    modes = {{"cls_token": "cls", "mean_tokens": "mean"}.get(mode, mode) for mode in chosen if "include" not in mode}
    if len(modes) == 1 and modes <= set(POOLINGS):
        return str(modes.pop())
    raise EncoderError(f"the encoder pools by {', '.join(sorted(modes)) or 'nothing'}; only mean or cls is supported")


def read_window(directory: Path, config: BaseConfig) -> int:
    """Most tokens of one forward pass: what the encoder was made for, at most 512 unless a card or preset says more."""
    limit = int(config.get("max_position_embeddings", USUAL_WINDOW))
    if config.get("model_type") in AFTER_PADDING:
        pad = config.get("pad_token_id")
        limit -= (1 if pad is None else int(pad)) + 1
    preset = preset_of(directory)
    if own := read_card(directory).get("window") or (preset.window if preset is not None else 0):
        return min(limit, own)
    limit = min(limit, USUAL_WINDOW)
    path = directory / "sentence_bert_config.json"
    if path.is_file():
        longest = _read_object(path).get("max_seq_length")
        limit = min(limit, longest) if isinstance(longest, int) and longest > 0 else limit
    return limit


def read_prefix(directory: Path) -> str:
    """What stands before every text; "" for nothing. Of the prompts that sentence-transformers keeps: the default one,
    else the one for classification. A trained classifier reads texts as it was trained, without."""
    own = read_card(directory).get("prefix")
    if own is not None:
        return own
    path = directory / "config_sentence_transformers.json"
    if path.is_file():
        config = _read_object(path)
        prompts, chosen = config.get("prompts"), config.get("default_prompt_name") or "classification"
        prompt = prompts.get(str(chosen)) if isinstance(prompts, dict) else None
        if isinstance(prompt, str) and prompt:
            return prompt
    return known_prefix(directory)
