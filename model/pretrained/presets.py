"""Encoders that BASE_MODEL may name by a word, with all that they want of whoever reads texts with them.

Revisions, sizes and licences are those of the registry of the benchmark MTEB (mteb/models/model_implementations/),
pooling and prefix those of each model's card. A revision fixes every file; what is known of a file's bytes besides is
`sha256`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ENGLISH = "English"


@dataclass(frozen=True)
class Preset:
    """An encoder: `pooling` mean or cls, `prefix` before each text, `window` most tokens that are read at once.

    `sha256`: of its model.safetensors, where it is known. `parameters` in millions, `megabytes` of the download; `cost`
    is the linear layers' for one token, of MiniLM's. `packaged`: it comes with the product.
    """

    name: str
    hub_id: str
    revision: str
    pooling: str
    prefix: str
    window: int
    licence: str
    languages: str
    parameters: int
    megabytes: int
    cost: float
    sha256: str = ""
    packaged: bool = False


PRESETS = (
    Preset(
        name="english-small",
        hub_id="sentence-transformers/all-MiniLM-L6-v2",
        revision="8b3219a92973c328a8e22fadcfa821b5dc75636a",
        pooling="mean",
        prefix="",
        window=256,
        licence="Apache-2.0",
        languages=ENGLISH,
        parameters=23,
        megabytes=87,
        cost=1.0,
        sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        packaged=True,
    ),
    Preset(
        name="english-better",
        hub_id="BAAI/bge-base-en-v1.5",
        revision="a5beb1e3e68b9ab74eb54cfd186867f64f240e1a",
        pooling="cls",
        prefix="",  # its instruction is for queries of a search; texts to be classified have none
        window=512,
        licence="MIT",
        languages=ENGLISH,
        parameters=109,
        megabytes=418,
        cost=8.0,
    ),
    Preset(
        name="multilingual",
        hub_id="intfloat/multilingual-e5-small",
        revision="fd1525a9fd15316a2d503bf26ab031a61d056e98",
        pooling="mean",
        prefix="query: ",  # its card: for all tasks that are no search
        window=512,
        licence="MIT",
        languages="about 100",
        parameters=118,
        megabytes=449,
        cost=2.0,
    ),
    Preset(
        name="long",
        hub_id="ibm-granite/granite-embedding-small-english-r2",
        revision="54a8d2616a0844355a5164432d3f6dafb37b17a3",
        pooling="cls",
        prefix="",
        window=8192,
        licence="Apache-2.0",
        languages=ENGLISH,
        parameters=48,
        megabytes=91,
        cost=2.7,
    ),
)

PACKAGED = PRESETS[0]

PREFIXES = ((re.compile(r"intfloat/(multilingual-)?e5-(small|base|large)(-v2)?"), "query: "),)
"""Of hub models that were trained with a prefix and whose files do not say so."""

_SNAPSHOT = re.compile(r"models--([^/]+)/snapshots/[^/]+$")


def preset_named(base_model: str) -> Preset | None:
    """The preset that the setting BASE_MODEL names; None for a hub id or a directory."""
    wanted = base_model.strip().lower()
    return next((preset for preset in PRESETS if preset.name == wanted), None)


def hub_name(base_model: str) -> str:
    """What the hub calls it: the preset's model, or the name itself."""
    preset = preset_named(base_model)
    return preset.hub_id if preset is not None else base_model


def hub_id_of(directory: Path) -> str:
    """Whose files these are when they lie in the hub client's cache; else ""."""
    found = _SNAPSHOT.search(directory.as_posix())
    return found.group(1).replace("--", "/") if found else ""


def preset_of(directory: Path) -> Preset | None:
    """The preset whose files these are, as they lie in the hub client's cache."""
    hub_id = hub_id_of(directory)
    return next((preset for preset in PRESETS if preset.hub_id == hub_id), None)


def known_prefix(directory: Path) -> str:
    """What the hub model in this folder of the client's cache was trained with; "" for any other."""
    hub_id = hub_id_of(directory)
    return next((prefix for names, prefix in PREFIXES if names.fullmatch(hub_id)), "")
