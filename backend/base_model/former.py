"""Encoders that BASE_MODEL has named before: versions that were made with one answer while its files are to be had.

DATA_DIR/encoders/DIGEST.json says where they lie on this machine. Redis says what an encoder is, so that a machine
which has never used it looks in the same place, or fetches the same revision from the hub. The one that comes with the
product is found without.
"""

from __future__ import annotations

import json
import logging
import os
import socket
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypedDict

from backend.base_model.hub import fetch_revision
from backend.encoder_json import EncoderSource
from backend.errors import Conflict, StoreUnavailable
from backend.settings.settings import Settings
from model.errors import EncoderError, MissingEncoder, ModelError
from model.pretrained.base_model import files_digest, find_base_model, find_downloaded, read_config
from model.pretrained.presets import hub_id_of, preset_named

if TYPE_CHECKING:
    from model.versions.directory import Manifest

log = logging.getLogger(__name__)


class FormerJson(TypedDict):
    """`base_model`: what the setting was; `directory`: where its files were found."""

    base_model: str
    directory: str


class EncoderBook(Protocol):
    """What all machines know of encoders (`KnownEncoderStore`). Raises StoreUnavailable."""

    def note(self, digest: str, source: EncoderSource) -> None: ...
    def find(self, digest: str) -> EncoderSource | None: ...
    def miss(self, digest: str) -> None: ...
    def tell_unusable(self, why: str) -> None: ...


def remember(settings: Settings, digest: str, directory: Path, book: EncoderBook | None = None) -> None:
    """Notes where an encoder lies that has just been loaded, and what it is. A disk that is full, or a Redis that is
    away, keeps no one from answering."""
    path = settings.encoders_dir / f"{digest}.json"
    note: FormerJson = {"base_model": settings.base_model, "directory": str(directory.absolute())}
    text = json.dumps(note)
    if book is not None:
        with suppress(StoreUnavailable):
            book.note(digest, describe_source(settings.base_model, directory))
    with suppress(OSError, UnicodeError):
        if path.is_file() and path.read_text(encoding="utf-8") == text:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch = path.with_name(f".{digest}.{os.getpid()}")
        scratch.write_text(text, encoding="utf-8")
        scratch.replace(path)


def describe_source(base_model: str, directory: Path) -> EncoderSource:
    """What is told of an encoder whose files lie here. Raises EncoderError."""
    from model.pretrained.reading import read_pooling, read_prefix, read_window

    hub_id = hub_id_of(directory)
    return EncoderSource(
        base_model=base_model,
        directory=str(directory.absolute()),
        hub_id=hub_id,
        revision=directory.name if hub_id else "",
        pooling=read_pooling(directory),
        prefix=read_prefix(directory),
        window=read_window(directory, read_config(directory)),
        files=files_digest(directory),
        place=f"{hub_id}@{directory.name}"
        if hub_id and preset_named(base_model)
        else hub_id or str(directory.absolute()),
        host=socket.gethostname(),
    )


def recall(settings: Settings, digest: str) -> FormerJson | None:
    """What is noted of an encoder on this machine; None when nothing is."""
    try:
        note: FormerJson = json.loads((settings.encoders_dir / f"{digest}.json").read_text(encoding="utf-8"))
        return note if {"base_model", "directory"} <= note.keys() else None
    except (OSError, ValueError, AttributeError):
        return None


def find_former(settings: Settings, digest: str, book: EncoderBook | None = None) -> Path:
    """Directory of the encoder with this digest: where it lay here, or where it lies on the machine that has used it,
    else fetched from the hub. Raises MissingEncoder."""
    source = _look_up(book, digest)
    for directory in _candidates(settings, digest, source):
        if _is(directory, digest):
            return directory
    why = "nothing is known of where its files are"
    if note := recall(settings, digest):
        why = f"BASE_MODEL was {note['base_model']!r} then, and {note['directory']} does not hold it any more"
    elif source is not None:
        why = f"BASE_MODEL was {source.base_model!r} on {source.host}, with its files in {source.directory}"
    if source is not None and source.hub_id:
        try:
            directory = fetch_revision(source.hub_id, source.revision)
            if _is(directory, digest):
                return directory
            why = f"{source.name} is another encoder by now than on {source.host}"
        except EncoderError as error:
            why = error.message
    if book is not None:
        with suppress(StoreUnavailable):
            book.miss(digest)
    raise MissingEncoder(
        f"made with another BASE_MODEL (encoder {digest}), which this machine does not have: {why}", digest=digest
    )


def find_stand_in(
    settings: Settings, live: Mapping[int, str | None], error: EncoderError, book: EncoderBook | None = None
) -> Path:
    """Directory of the encoder that most live versions were made with, for when BASE_MODEL's has failed with `error`.
    Raises that where there is no version, or that encoder is not to be had."""
    digests = Counter(live_digest(settings, project, version) for project, version in sorted(live.items()))
    del digests[""]
    if not digests:
        raise error
    try:
        return find_former(settings, digests.most_common(1)[0][0], book)
    except MissingEncoder as missing:
        raise error from missing


def describe_stand_in(error: EncoderError, digest: str) -> str:
    """A line with a code: what is wrong with BASE_MODEL, what answers instead, and what to do."""
    return (
        f"{error.code}: {error.message}. Encoder {digest}, which most live versions were made with, answers and learns "
        "instead; put BASE_MODEL right and start anew"
    )


def tell_unusable(why: str, book: EncoderBook | None) -> None:
    """Tells it to all machines. A Redis that is away keeps no one from answering."""
    if book is not None:
        with suppress(StoreUnavailable):
            book.tell_unusable(why)


def find_version_files(settings: Settings, digest: str, book: EncoderBook | None = None) -> Path:
    """Directory of the encoder that a version was made with: BASE_MODEL's, or a former one. Raises EncoderError."""
    from backend.base_model.hub import find_encoder_files

    with suppress(EncoderError):  # a version does not need it
        if _is(own := find_encoder_files(settings), digest):
            return own
    return find_former(settings, digest, book)


def require_encoder(settings: Settings, digest: str, book: EncoderBook) -> None:
    """Whether a version that was made with this encoder can answer on this machine, without fetching anything. Raises
    Conflict: nobody learns a project that is pinned to it out of its label names."""
    from backend.base_model.hub import find_encoder_files

    with suppress(EncoderError):
        if _is(find_encoder_files(settings), digest):
            return
    source = _look_up(book, digest)
    if source is not None and source.hub_id:
        return
    if not any(_is(directory, digest) for directory in _candidates(settings, digest, source)):
        why = f", whose files were in {source.directory} on {source.host}" if source is not None else ""
        raise Conflict(f"{MissingEncoder.code}: it was made with encoder {digest}{why}, and this machine lacks them")


def live_digest(settings: Settings, project: int, version: str | None) -> str:
    """Digest of the encoder that a version was made with; "" where its files are not on this machine."""
    found = live_manifest(settings, project, version)
    return found.encoder_digest if found is not None else ""


def live_manifest(settings: Settings, project: int, version: str | None) -> Manifest | None:
    """Of a version; None where its files are not on this machine."""
    from model.versions.directory import read_manifest, version_path

    try:
        return read_manifest(version_path(settings.models_dir, project, version)) if version else None
    except ModelError:
        return None


def describe_lack(hosts: Sequence[str], digest: str, source: EncoderSource | None) -> str:
    """A line with a code about machines that cannot have the encoder of a live version."""
    called = f"{source.name}, {digest}" if source is not None else digest
    return f"{MissingEncoder.code}: {', '.join(hosts)} cannot have the encoder that answers ({called})"


def describe_cure(project: int, source: EncoderSource | None) -> str:
    """What to do about that."""
    put = f"put its files into {source.directory} there, or " if source is not None else ""
    return f"{put}let that machine reach the hub; `understudy encoder {project} --take` goes to BASE_MODEL's at once"


def _look_up(book: EncoderBook | None, digest: str) -> EncoderSource | None:
    with suppress(StoreUnavailable):
        return book.find(digest) if book is not None else None
    return None


def _candidates(settings: Settings, digest: str, source: EncoderSource | None) -> Iterator[Path]:
    """Where it may lie, without asking anybody."""
    if (note := recall(settings, digest)) is not None:
        yield Path(note["directory"])
    with suppress(EncoderError):
        yield find_base_model("")
    if source is not None:
        yield Path(source.directory)
        if source.hub_id and (here := find_downloaded(source.hub_id, source.revision)) is not None:
            yield here


def _is(directory: Path, digest: str) -> bool:
    from model.encoder.encoder import digest_of

    with suppress(EncoderError, OSError, ValueError):
        return digest_of(directory) == digest
    return False
