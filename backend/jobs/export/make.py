"""From a request to an archive and what is known of it."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from backend.base_model.hub import find_encoder_files
from backend.client.dataset.packages import require
from backend.export.archive.pack import pack
from backend.export.archive.shelf import require_room
from backend.export.export import export_version
from backend.export.order import Tell
from backend.export.wish import PACKAGES, Format, Wish
from backend.jobs.export.run_directory import ARCHIVE, Request, Result, write_result
from backend.settings.settings import Settings

COPIES = 2.5
"""Times its weights that an export takes while it is made: the graph, its archive, and a quarter each with int8."""

LEAST_FREE_BYTES = 64 << 20
"""Left to everybody else on that disk."""


def make_archive(settings: Settings, directory: Path, request: Request, tell: Tell) -> None:
    """Writes ARCHIVE and RESULT into `directory`. Raises MissingPackage, NoSpace, and what export_version raises."""
    how = Format(request.format)
    for package in PACKAGES[how]:
        require(package, f"an export to {how}")
    tell("looking for room")
    require_room(directory, needed_bytes(settings, request))
    made = directory / "made"
    shutil.rmtree(made, ignore_errors=True)
    (directory / ARCHIVE).unlink(missing_ok=True)
    wish = Wish(
        request.project,
        made,
        request.version,
        request.control,
        request.texts,
        request.int8,
        request.accept_loss,
        how,
        request.minutes,
    )
    found = export_version(settings, wish, tell)
    name = file_name(request.project, found.control, found.version, how)
    sha256 = pack(made, directory / ARCHIVE, name, lambda done, whole: tell("packing", done >> 20, whole >> 20))
    shutil.rmtree(made, ignore_errors=True)
    parity = [one.to_json() for one in found.parities]
    write_result(directory, Result(found.version, found.control, f"{name}.zip", sha256, parity, list(found.refused)))


def needed_bytes(settings: Settings, request: Request) -> int:
    """About what the disk must have free."""
    weights = _size(find_encoder_files(settings))
    weights += _size(settings.models_dir / str(request.project) / request.version)
    return LEAST_FREE_BYTES + round(COPIES * weights)


def file_name(project: int, control: str, version: str, how: Format) -> str:
    """Letters, digits and `-_.` alone, whatever people call a control."""
    shown = re.sub(r"[^A-Za-z0-9_]+", "-", control).strip("-")[:40] or "model"
    return f"{shown}-{project}-{version}-{how}"


def _size(directory: Path) -> int:
    if not directory.is_dir():
        return 0
    return sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())
