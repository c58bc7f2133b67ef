"""Errors of the model package.

ModelError
├── EncoderError          the encoder cannot be loaded or its digest is wrong
│   ├── MissingEncoder    the encoder that a version was made with is not to be had here
│   └── DeviceFull        the GPU's memory does not suffice for one text
├── VersionError          a version directory is missing, torn or does not fit
│   ├── DamagedArtifact   what an object store gives back is not what was put there
│   └── MissingArtifact   an object store has no such version
├── TrainingError         training cannot start or did not finish
└── DataError             a labelled file cannot be used
"""

from __future__ import annotations

from model.spec import Json

MOST_SAID = 300
"""Characters of another library's error that a message repeats."""


def in_one_line(error: BaseException) -> str:
    """What an error of another library says first, for a message of ours: some give paragraphs of advice."""
    first = " ".join(str(error).strip().split("\n\n")[0].split())
    return first if len(first) <= MOST_SAID else f"{first[: MOST_SAID - 1]}…"


class ModelError(Exception):
    """Root of the tree. `code` is stable for machines, `evidence` says what was seen."""

    code = "model_error"

    def __init__(self, message: str, **evidence: Json) -> None:
        super().__init__(message)
        self.message = message
        self.evidence = evidence


class EncoderError(ModelError):
    """The encoder cannot be loaded, or its files are not the ones expected."""

    code = "encoder_unusable"


class MissingEncoder(EncoderError):
    """The encoder that a version was made with is neither on this machine nor to be had from the hub."""

    code = "former_encoder_missing"


class DeviceFull(EncoderError):
    """A GPU's memory does not suffice: for one text, or for one step of a fine-tune."""

    code = "device_full"


class VersionError(ModelError):
    """A version directory is missing, incomplete, corrupt, or made for another label set."""

    code = "version_unusable"


class DamagedArtifact(VersionError):
    """What the object store gives back is not what was put there: it is refused, and the version before serves on."""

    code = "artifact_damaged"


class MissingArtifact(VersionError):
    """Neither this machine nor the object store has the version."""

    code = "artifact_missing"


class TrainingError(ModelError):
    """Training cannot start (too few labels, one class) or did not finish."""

    code = "training_failed"


class DataError(ModelError):
    """A labelled file cannot be used; the message names what is wrong and the remedy."""

    code = "data_unusable"
