"""The prefix that an encoder wants before each text ("query: "), as a part of its tokenizer.

It goes before each text of a sequence as if it were special tokens: so every window of a long text has it, both texts
of a pair have it, offsets stay the text's own, and a tokenizer that is saved (an export, a student) takes it along.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer

NAME = "[PREFIX]"
"""What the template calls it; no token of the vocabulary."""

Template = list[Mapping[str, Mapping[str, object]]]


def prefixed(tokenizer: Tokenizer, prefix: str) -> Tokenizer:
    """The tokenizer with `prefix` before each text. Of one word pieces are what the two give side by side: as
    sentence-transformers reads them, which puts the prefix before the text as letters."""
    from tokenizers import Tokenizer as Built

    if not prefix.strip():
        return tokenizer
    state = json.loads(tokenizer.to_str())
    own = tokenizer.encode(prefix.rstrip(), add_special_tokens=False)
    single, pair = _template(tokenizer.encode("a")), _template(tokenizer.encode("a", "a"))
    special = {NAME: {"id": NAME, "ids": own.ids, "tokens": own.tokens}}
    for name, number in _specials(tokenizer).items():
        special[name] = {"id": name, "ids": [number], "tokens": [name]}
    template = {"type": "TemplateProcessing", "single": single, "pair": pair, "special_tokens": special}
    levels = _byte_levels(state.get("post_processor"))
    state["post_processor"] = {"type": "Sequence", "processors": [*levels, template]} if levels else template
    for step in _steps(state.get("pre_tokenizer"), "pretokenizers"):
        if step["type"] == "ByteLevel":  # a text is no longer the first word, and others are spelled with their blank
            step["add_prefix_space"] = True
    return Built.from_str(json.dumps(state))


def _template(found: Encoding) -> Template:
    """What stands around one text, or two, with the prefix before each."""
    template: Template = []
    seen = None
    for token, kind, text in zip(found.tokens, found.type_ids, found.sequence_ids, strict=True):
        if text is None:
            template.append({"SpecialToken": {"id": token, "type_id": kind}})
        elif text != seen:
            template.append({"SpecialToken": {"id": NAME, "type_id": kind}})
            template.append({"Sequence": {"id": "AB"[text], "type_id": kind}})
        seen = text
    return template


def _specials(tokenizer: Tokenizer) -> dict[str, int]:
    """The tokens around texts, and their ids."""
    found = tokenizer.encode("a", "a")
    return {
        token: number
        for token, number, text in zip(found.tokens, found.ids, found.sequence_ids, strict=True)
        if text is None
    }


def _byte_levels(processor: dict[str, object] | None) -> list[dict[str, object]]:
    """The steps that take blanks out of offsets, among a tokenizer's last ones."""
    steps = _steps(processor, "processors")
    found = [step for step in steps if step["type"] == "ByteLevel"]
    roberta = [step for step in steps if step["type"] == "RobertaProcessing"]  # does both
    trims = {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True}
    return [*found, *({**trims, "trim_offsets": step["trim_offsets"]} for step in roberta)]


def _steps(processor: dict[str, object] | None, inner: str) -> Sequence[dict[str, object]]:
    if processor is None:
        return []
    steps = processor.get(inner)
    return steps if isinstance(steps, list) else [processor]
