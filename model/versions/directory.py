"""Immutable version directories: `<root>/<project>/<version>/`, complete or absent.

Written aside, fsynced and renamed; read with every digest verified. Safetensors and JSON only. A version that only
refits the head of a fine-tuned one names the directory that holds the encoder (`finetuned`).
"""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import datetime, timezone
from importlib.metadata import version as installed
from pathlib import Path
from typing import TYPE_CHECKING, NotRequired, TypedDict

from model.errors import VersionError
from model.failpoints import failpoint
from model.head.head_config import HeadConfig, HeadJson
from model.head.linear_head import LinearHead, restore_head
from model.numerics.arrays import Floats
from model.pretrained.base_model import known_sha256, sha256_of
from model.spans.head.tuned_marks import TunedMarksJson
from model.versions.encoder_files import copy_encoder
from model.versions.finetuned import FineTuned, TunedJson, restore_finetuned
from model.versions.region_files import RegionHeadsJson, heads_json, take_over

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from model.evidence.gate import VerdictJson
    from model.questions.head import QuestionHead, QuestionHeadJson
    from model.questions.tuned_answers import TunedAnswersJson
    from model.regions.region_heads import RegionHeads
    from model.spans.head.head import SpanHead, SpanHeadJson
    from model.spans.transfer.prior import TransferPrior
    from model.spec_json import SpecJson


LIBRARIES = ("torch", "transformers", "numpy", "scikit-learn", "safetensors")


class FileFacts(TypedDict):
    """What a file of a version must be."""

    sha256: str
    size: int


@dataclass(frozen=True)
class Manifest:
    """Everything known about a version besides its weights. `files` maps names to sha256 and size."""

    version: str
    project: int
    parent: str | None
    kind: str  # head | finetune
    snapshot_seq: int
    spec: SpecJson
    spec_digest: str
    encoder_digest: str
    labels_seen: Mapping[str, int] = field(default_factory=dict)
    finetuned: str | None = None  # the version whose directory holds the encoder weights
    status: str = "published"  # published | challenger
    reason: str = ""
    metrics: Mapping[str, Mapping[str, float] | int] = field(default_factory=dict)
    """Of each control; and `pool`, how many unlabelled tasks a refit read, unless a measured control is called that."""
    incumbent_metrics: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    gate: Mapping[str, VerdictJson] | None = None
    seed: int = 0
    created_at: str = ""
    libraries: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, FileFacts] = field(default_factory=dict)
    patterns: Mapping[str, str] = field(default_factory=dict)
    """Control -> digest of the patterns that its head was fitted with."""
    teacher: str = ""
    """What of a teacher's answers was read, as one mark."""
    precision: str = ""
    """The number format that the base encoder was read in when the heads were fitted; "" before it was noted."""

    @property
    def pool(self) -> int:
        """Unlabelled tasks that a refit read; 0 where that is not said."""
        count = self.metrics.get("pool", 0)
        return count if isinstance(count, int) else 0

    def to_json(self) -> str:
        """The text of manifest.json."""
        return json.dumps(asdict(self), indent=1, ensure_ascii=True)


def read_manifest(directory: Path) -> Manifest:
    """The manifest of a version directory. Raises VersionError."""
    try:
        text = (directory / "manifest.json").read_bytes()
    except OSError as error:
        raise VersionError(f"{directory.name}: the manifest cannot be read: {error}", version=directory.name) from error
    return parse_manifest(text, directory.name)


def parse_manifest(text: bytes, version: str) -> Manifest:
    """What the text of a manifest says. Raises VersionError."""
    try:
        data = json.loads(text)
        known = {item.name for item in fields(Manifest)}
        return Manifest(**{key: value for key, value in data.items() if key in known})
    except (ValueError, TypeError, AttributeError) as error:
        raise VersionError(f"{version}: the manifest cannot be read: {error}", version=version) from error


def library_versions() -> dict[str, str]:
    """Installed versions that a result may depend on."""
    return {"python": platform.python_version(), **{name: installed(name) for name in LIBRARIES}}


def now() -> str:
    """UTC, ISO 8601, seconds."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


Arrays = dict[str, Floats]

NAME_PATTERN = re.compile(r"v[0-9]{1,9}(\.[0-9]{1,9})?")
"""`v3` is the third fine-tune, `v3.17` its 17th head refit, `v0.x` are heads on the base encoder."""

YOUNG_SECONDS = 600.0
"""Seconds for which every version is kept: a process may be about to publish, load or back it up."""

UNFINISHED_FACTOR = 6
"""Times as long, after which an unfinished version belongs to no process any more."""

WEIGHTS, HEADS = "model.safetensors", "heads.json"


class SpanHeadEntry(TypedDict):
    """The head of a control that marks text; its arrays are numbered by its place in the list."""

    control: str
    config: SpanHeadJson | QuestionHeadJson


class TunedMarksEntry(TypedDict):
    """What a fine-tuned encoder says for a control that marks text; its arrays are numbered likewise."""

    control: str
    config: TunedMarksJson | TunedAnswersJson


class HeadsJson(TypedDict):
    """heads.json; `order` is that of the arrays' numbers."""

    heads: dict[str, HeadJson]
    order: list[str]
    finetuned: NotRequired[dict[str, TunedJson]]
    spans: NotRequired[list[SpanHeadEntry]]
    tuned_spans: NotRequired[list[TunedMarksEntry]]


def version_path(root: Path, project: int, version: str) -> Path:
    """Directory of a version. Raises VersionError for a name that is not a version's."""
    if not NAME_PATTERN.fullmatch(version):
        raise VersionError(f"{version!r} is not a version name (v3, v3.17)", version=version[:40])
    return root / str(int(project)) / version


def version_order(version: str) -> tuple[int, int]:
    """Sort key: (fine-tune, refit)."""
    tuned, _, refit = version.removeprefix("v").partition(".")
    return int(tuned), int(refit or 0)


def write_version(
    root: Path,
    manifest: Manifest,
    heads: Mapping[str, LinearHead],
    finetuned: FineTuned | None = None,
    span_heads: Mapping[str, SpanHead | QuestionHead] | None = None,
    regions_of: Path | None = None,
    region_heads: RegionHeads | None = None,
) -> Path:
    """Write a version; its directory. Raises VersionError if it exists, OSError if the disk refuses.

    `regions_of`: the directory of a version whose heads for questions about what is marked are taken over as they are.
    On any failure before the rename nothing is left under the version's name; after it the version is whole.
    """
    from safetensors.numpy import save

    target = version_path(root, manifest.project, manifest.version)
    if target.exists():
        raise VersionError(f"{manifest.version} exists already; versions are immutable", version=manifest.version)
    target.parent.mkdir(parents=True, exist_ok=True)
    scratch = target.parent / f".tmp-{manifest.version}-{os.getpid()}"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    try:
        arrays, state = _collect(heads, finetuned)
        marking = _add_span_heads(state, span_heads or {})
        said: RegionHeadsJson = {}
        about: Mapping[str, NDArray[np.generic]] = {}
        if regions_of is not None:
            said, about = take_over(regions_of / HEADS, regions_of / WEIGHTS)
        elif region_heads is not None:
            said, about = heads_json(region_heads), region_heads.tensors()
        _write(scratch / WEIGHTS, save({**arrays, **marking, **about}))
        failpoint("version.write", manifest.project)
        _write(scratch / HEADS, json.dumps({**state, **said}, ensure_ascii=True).encode())
        if finetuned is not None and manifest.kind == "finetune":
            copy_encoder(finetuned.encoder_weights, scratch)
        complete = replace(
            manifest,
            files=_digests(scratch),
            created_at=manifest.created_at or now(),
            libraries=manifest.libraries or library_versions(),
        )
        _write(scratch / "manifest.json", complete.to_json().encode())
        _sync_directory(scratch)
        failpoint("version.before_rename", manifest.project)
        os.rename(scratch, target)
        failpoint("version.after_rename", manifest.project)
        _sync_directory(target.parent)
    except BaseException:
        shutil.rmtree(scratch, ignore_errors=True)
        raise
    return target


def _collect(heads: Mapping[str, LinearHead], finetuned: FineTuned | None) -> tuple[Arrays, HeadsJson]:
    arrays: Arrays = {}
    names = list(heads)
    for index, name in enumerate(names):
        arrays.update({f"head.{index}.{key}": value for key, value in heads[name].tensors().items()})
    state: HeadsJson = {"heads": {name: heads[name].config().to_json() for name in names}, "order": names}
    if finetuned is not None:
        arrays.update({f"tuned.{key}": value for key, value in finetuned.tensors().items()})
        state["finetuned"] = finetuned.config()
        if finetuned.marks:
            state["tuned_spans"] = [{"control": name, "config": own.config()} for name, own in finetuned.marks.items()]
        for index, own in enumerate(finetuned.marks.values()):
            arrays.update({f"tuned_span.{index}.{key}": value for key, value in own.tensors().items()})
    return arrays, state


def _add_span_heads(
    state: HeadsJson, heads: Mapping[str, SpanHead | QuestionHead]
) -> Mapping[str, NDArray[np.generic]]:
    """Adds their configs to `state`; their arrays."""
    if heads:
        state["spans"] = [{"control": name, "config": head.config()} for name, head in heads.items()]
    found: dict[str, NDArray[np.generic]] = {}
    for index, head in enumerate(heads.values()):
        found.update({f"span.{index}.{key}": value for key, value in head.tensors().items()})
    return found


def read_span_heads(directory: Path, prior: TransferPrior | None) -> dict[str, SpanHead | QuestionHead]:
    """The heads of a verified version for controls that mark text. Raises VersionError; also where they were fitted
    with another prior."""
    from safetensors.numpy import load_file

    from model.versions.span_answers import restore_mark_head

    try:
        state: HeadsJson = json.loads((directory / HEADS).read_text(encoding="utf-8"))
        entries = state.get("spans", [])
        arrays = load_file(directory / WEIGHTS) if entries else {}
        return {
            entry["control"]: restore_mark_head(entry["config"], arrays_under(arrays, f"span.{index}."), prior)
            for index, entry in enumerate(entries)
        }
    except (OSError, KeyError, ValueError, TypeError, AttributeError) as error:
        raise VersionError(f"{directory.name} cannot be read: {error!r}", version=directory.name) from error


def read_heads(directory: Path, encoder: Path | None) -> tuple[dict[str, LinearHead], FineTuned | None]:
    """The heads of a verified version, and its fine-tuned part over the weights in `encoder`."""
    from safetensors.numpy import load_file

    try:
        arrays = load_file(directory / WEIGHTS)
        state: HeadsJson = json.loads((directory / HEADS).read_text(encoding="utf-8"))
        heads = {
            name: restore_head(HeadConfig.from_json(state["heads"][name]), arrays_under(arrays, f"head.{index}."))
            for index, name in enumerate(state["order"])
        }
        tuned = state.get("finetuned")
        finetuned = None
        if tuned is not None and encoder is not None:
            finetuned = restore_finetuned(tuned, arrays_under(arrays, "tuned."), encoder)
    except (OSError, KeyError, ValueError, TypeError, AttributeError) as error:
        raise VersionError(f"{directory.name} cannot be read: {error!r}", version=directory.name) from error
    return heads, finetuned


def arrays_under(arrays: Arrays, prefix: str) -> Arrays:
    """Those whose names begin so, by the rest of their names."""
    return {name.removeprefix(prefix): value for name, value in arrays.items() if name.startswith(prefix)}


def verify_version(directory: Path) -> Manifest:
    """The manifest of a version whose files are all there and unchanged. Raises VersionError."""
    manifest = read_manifest(directory)
    if not isinstance(manifest.files, dict) or not {WEIGHTS, HEADS} <= set(manifest.files):
        raise VersionError(f"{directory.name}: the manifest does not list the files", version=directory.name)
    for name, facts in manifest.files.items():
        path = directory / name
        if not path.is_file() or path.stat().st_size != facts["size"] or known_sha256(path) != facts["sha256"]:
            raise VersionError(f"{manifest.version}: {name} is missing or damaged", version=manifest.version, file=name)
    return manifest


def names_on_disk(root: Path, project: int) -> list[str]:
    """Names that are taken, by damaged versions, too."""
    folder = root / str(int(project))
    return [path.name for path in folder.iterdir() if NAME_PATTERN.fullmatch(path.name)] if folder.is_dir() else []


def list_versions(root: Path, project: int) -> list[Manifest]:
    """Manifests of all readable versions of a project, oldest name first."""
    folder = root / str(int(project))
    manifests = []
    for path in folder.iterdir() if folder.is_dir() else ():
        if NAME_PATTERN.fullmatch(path.name):
            try:
                manifests.append(read_manifest(path))
            except VersionError:
                continue  # a damaged version is no version; loading it by name says why
    return sorted(manifests, key=lambda manifest: version_order(manifest.version))


def collect_garbage(
    root: Path, project: int, keep: set[str], newest: int, min_age_s: float = YOUNG_SECONDS
) -> list[str]:
    """Delete old versions and dead scratch; the names deleted.

    Kept: `keep`, the `newest` last versions, anything younger than `min_age_s`, and every version whose encoder a
    kept one uses. Only manifests of kept versions are read: there may be thousands of others.
    """
    names = sorted(names_on_disk(root, project), key=version_order)
    kept = keep | set(names[max(0, len(names) - newest) :])
    kept |= {name for name in names if _age(version_path(root, project, name)) < min_age_s}
    kept |= {owner for name in kept if (owner := _encoder_owner(root, project, name))}
    dead = [name for name in names if name not in kept]
    for name in dead:
        path = version_path(root, project, name)
        trash = path.with_name(f".trash-{name}-{os.getpid()}")
        os.rename(path, trash)  # first out of sight, so that a crash leaves no half version
    folder = root / str(int(project))
    for leftover in [*folder.glob(".trash-*"), *folder.glob(".tmp-*")]:
        if leftover.name.startswith(".trash-") or _age(leftover) > UNFINISHED_FACTOR * min_age_s:
            shutil.rmtree(leftover, ignore_errors=True)
    return dead


def _encoder_owner(root: Path, project: int, name: str) -> str | None:
    try:
        return read_manifest(version_path(root, project, name)).finetuned
    except VersionError:
        return None  # gone or damaged


def _age(path: Path) -> float:
    try:
        return time.time() - path.stat().st_mtime
    except OSError:
        return 0.0


def _write(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def files_of(directory: Path) -> list[Path]:
    """All files of a version, those in its encoder's folder, too."""
    return sorted(path for path in directory.rglob("*") if path.is_file())


def _digests(directory: Path) -> dict[str, FileFacts]:
    return {
        path.relative_to(directory).as_posix(): {"sha256": sha256_of(path), "size": path.stat().st_size}
        for path in files_of(directory)
    }


def _sync_directory(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
