"""Which encoder a version stands on, and under which licence: read off its own files, never guessed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from model.errors import EncoderError
from model.pretrained.base_model import read_config
from model.pretrained.presets import PACKAGED, preset_named

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")
LICENCE = re.compile(r"^license:[ \t]*[\"']?([A-Za-z0-9][A-Za-z0-9.+-]{0,60})[\"']?[ \t]*$", re.MULTILINE)

UNKNOWN = "unknown"


@dataclass(frozen=True)
class BaseModel:
    """`name`: its id on the hub, "" for a directory of this machine, whose path is nobody's business; `kind`: of its
    architecture; `licence`: as its own card says, UNKNOWN where it has none."""

    name: str
    kind: str
    licence: str


def describe_base_model(setting: str, directory: Path) -> BaseModel:
    """`setting`: BASE_MODEL; `directory`: where its files lie."""
    try:
        config = read_config(directory)
    except EncoderError:
        config = {}
    named = config.get("_name_or_path")
    preset = preset_named(setting) if setting else PACKAGED
    own = preset.hub_id if preset is not None else setting
    if preset is None and Path(setting).expanduser().is_dir():
        own = str(named) if isinstance(named, str) and HUB_ID.fullmatch(named) and "/" in named else ""
    licence = _licence(directory)
    if preset is not None and licence == UNKNOWN:  # the hub's README is not fetched
        licence = preset.licence.lower()
    return BaseModel(own, str(config.get("model_type") or "unknown"), licence)


def _licence(directory: Path) -> str:
    """From the front matter of its card."""
    try:
        text = (directory / "README.md").read_text(encoding="utf-8")[:20_000]
    except (OSError, UnicodeError):
        return UNKNOWN
    matter = text.split("---", 2)[1] if text.startswith("---") and text.count("---") > 1 else ""
    found = LICENCE.search(matter)
    return found[1].lower() if found else UNKNOWN
