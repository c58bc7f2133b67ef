"""What people are told of the encoder that BASE_MODEL names."""

from __future__ import annotations

from model.pretrained.presets import PACKAGED, Preset, preset_named


def describe_encoder(base_model: str) -> str:
    """In half a line. `multilingual (intfloat/multilingual-e5-small, about 100 languages)`"""
    preset = preset_named(base_model) if base_model else PACKAGED
    if preset is None:
        return f"BASE_MODEL={base_model}"
    if preset.packaged:
        return "the packaged MiniLM, digest verified"
    return f"{preset.name} ({preset.hub_id}, {_languages(preset)})"


def _languages(preset: Preset) -> str:
    return preset.languages if preset.languages[0].isupper() else f"{preset.languages} languages"
