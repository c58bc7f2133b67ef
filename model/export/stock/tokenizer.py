"""The encoder's tokenizer as files that `AutoTokenizer` reads, in this and older releases of transformers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from model.pretrained.base_model import has_token_types
from model.pretrained.reading import read_window

if TYPE_CHECKING:
    from model.encoder.encoder import Encoder

SPECIAL = {
    "pad_token": ("[PAD]", "<pad>"),
    "unk_token": ("[UNK]", "<unk>"),
    "cls_token": ("[CLS]", "<s>"),
    "sep_token": ("[SEP]", "</s>"),
    "mask_token": ("[MASK]", "<mask>"),
}
"""What the families call them."""


def save_tokenizer(encoder: Encoder, directory: Path) -> None:
    """tokenizer.json and tokenizer_config.json. Texts are cut at the length that the encoder reads at once."""
    encoder.save_tokenizer(directory / "tokenizer.json")
    state = json.loads((directory / "tokenizer.json").read_text(encoding="utf-8"))
    vocabulary = state["model"]["vocab"]
    known = set(vocabulary) if isinstance(vocabulary, dict) else {entry[0] for entry in vocabulary}
    known |= {token["content"] for token in state.get("added_tokens", ())}
    typed = ["token_type_ids"] if _is_typed(encoder) else []
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": read_window(encoder.directory, encoder.config),
        "model_input_names": ["input_ids", *typed, "attention_mask"],
        "clean_up_tokenization_spaces": False,
        **{role: found for role, names in SPECIAL.items() if (found := next((n for n in names if n in known), None))},
    }
    (directory / "tokenizer_config.json").write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")


def _is_typed(encoder: Encoder) -> bool:
    """By the whole config: BERT's own default is 2 where a file says nothing."""
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(encoder.directory, trust_remote_code=False, local_files_only=True)
    return has_token_types(config.to_dict())
