"""What an admin asks of a project's exports, and sees of them: the one that runs, and the archives that are there."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from backend.admin_json import ArchiveAnswer, ExportAnswer
from backend.application.services import Services
from backend.client.dataset.packages import require
from backend.errors import BadRequest, Conflict, NotFound
from backend.export.archive.shelf import Archive, Readable, Shelf
from backend.export.wish import PACKAGES, Format, Wish
from backend.labelstudio.label_display import spec_of
from backend.outcomes import FINAL_STATES, JobOutcome
from backend.store.work.exports import Export, Wanted
from model.spec import Json

VERSION = re.compile(r"v[0-9]{1,9}(\.[0-9]{1,9})?")

FIELDS = frozenset({"format", "version", "control", "int8", "accept_loss", "texts", "minutes", "again"})

TEXTS, MINUTES = (8, 10_000), (0.1, 600.0)
"""Fewest and most texts to compare answers on, and minutes that distilling may take."""

Asked = Mapping[str, Json]


@dataclass(frozen=True)
class Exports:
    """Those of one known project."""

    services: Services
    project: int

    @property
    def shelf(self) -> Shelf:
        return Shelf(self.services.settings.exports_dir, self.project)

    def request(self, asked: Asked, by: str = "admin") -> ExportAnswer:
        """Ask for one: the one that is not over when there is one, and what is asked for when it is there already (but
        for `again`). Raises BadRequest, NotFound or MissingPackage."""
        store = self.services.stores.exports
        wanted = self._read(asked)
        running = store.running([self.project]).get(self.project)
        if running is None and not _flag(asked, "again") and (there := self._find_same(wanted)):
            return {**self.describe(), "new": False, "message": f"{there.name} is there already"}
        _, created = store.request(self.project, by, wanted)
        found = self.describe()
        said = "asked for" if created else f"one is {found['status']} already: one at a time"
        return {**found, "new": created, "message": said}

    def describe(self) -> ExportAnswer:
        """The newest one and how far it is; `status` is "none" before the first."""
        record = self.services.stores.exports.find(self.project)
        archives = [_describe(one) for one in self._archives(record)]
        if record is None:
            return {"id": "", "status": "none", "message": "", "error": "", "archives": archives}
        return _progress(record, archives)

    def cancel(self) -> ExportAnswer:
        """End it; what was made before stays. Raises NotFound, or Conflict when it is over."""
        store = self.services.stores.exports
        record = store.find(self.project)
        if record is None:
            raise NotFound(f"project {self.project} was never exported")
        if not store.finish(self.project, record["id"], JobOutcome.CANCELLED, "cancelled"):
            raise Conflict(f"{record['id']} is over: {record['status']}", job=record["id"])
        return {**self.describe(), "message": "cancelled"}

    def _archives(self, record: Export | None = None) -> list[Archive]:
        """Newest first, in the object store and on this disk (those of before there was a store are only here)."""
        here = self.shelf.archives()
        if self.services.exports is None:
            return here
        record = record or self.services.stores.exports.find(self.project)
        done = record is not None and record["status"] == JobOutcome.DONE
        stored = self.services.exports.archives(self.project, record["id"] if record is not None and done else "")
        known = {one.id for one in stored}
        return sorted([*stored, *(one for one in here if one.id not in known)], key=lambda one: -one.at)

    def open(self, export: str = "", how: str = "") -> tuple[Archive, Readable]:
        """The archive of an export, or the newest one of a format. Raises BadRequest, NotFound, Conflict while it is
        made, and ArtifactsUnavailable."""
        if export:
            return self._open(export)
        wanted = _read_format(how or Format.ONNX.value)
        found = next((one for one in self._archives() if one.format == wanted), None)
        if found is not None:
            return self._open(found.id)
        running = self.services.stores.exports.running([self.project]).get(self.project)
        if running is not None and running["format"] == wanted:
            raise Conflict(f"{running['id']} is {running['status']}: come again when it is done", job=running["id"])
        raise NotFound(
            f"project {self.project} has no export to {wanted}: POST /admin/projects/{self.project}/export makes one"
        )

    def _open(self, export: str) -> tuple[Archive, Readable]:
        if self.services.exports is not None:
            try:
                return self.services.exports.open(self.project, export)
            except NotFound:
                return self.shelf.open(export)
        try:
            return self.shelf.open(export)
        except NotFound:
            record = self.services.stores.exports.find(self.project)
            if record is None or (record["id"], record["status"]) != (export, JobOutcome.DONE):
                raise
        raise NotFound(
            f"{export} is not on this machine: it was deleted since, or lies with the trainer that made it. Set "
            "ARTIFACTS_URL, or let both have one folder DATA_DIR/exports"
        )

    def _read(self, asked: Asked) -> Wanted:
        """Raises BadRequest, NotFound or MissingPackage."""
        if unknown := sorted(set(asked) - FIELDS):
            raise BadRequest(f"{unknown[0][:40]}: known are {', '.join(sorted(FIELDS))}", field=unknown[0][:40])
        how = _read_format(_text(asked, "format") or Format.ONNX.value)
        for package in PACKAGES[how]:
            require(package, f"an export to {how}")
        return {
            "format": how,
            "version": self._read_version(_text(asked, "version")),
            "control": self._read_control(_text(asked, "control")),
            "int8": _flag(asked, "int8"),
            "accept_loss": _flag(asked, "accept_loss"),
            "texts": int(_number(asked, "texts", Wish.texts, TEXTS)),
            "minutes": self._read_minutes(asked),
        }

    def _read_minutes(self, asked: Asked) -> float:
        """Fewer than the export's process may take as a whole. Raises BadRequest."""
        least, most = MINUTES[0], min(MINUTES[1], self.services.settings.finetune_timeout_minutes)
        return _number(asked, "minutes", min(Wish.minutes, most), (least, most))

    def _read_version(self, asked: str) -> str:
        version = asked or self.services.stores.versions.live(self.project) or ""
        if not version:
            raise NotFound(f"project {self.project} has no version yet: it has learned no label")
        if not VERSION.fullmatch(version):
            raise BadRequest("version: the name of a kept version, such as v3.17, is needed", field="version")
        artifacts = self.services.registry.artifacts
        here = (self.services.settings.models_dir / str(self.project) / version).is_dir()
        if not here and (artifacts is None or not artifacts.has(self.project, version)):
            raise NotFound(
                f"project {self.project} keeps no version {version}: `understudy versions {self.project}` lists them",
                version=version,
            )
        return version

    def _read_control(self, asked: str) -> str:
        spec = spec_of(self.services.stores.projects.config(self.project))
        names = [control.name for control in (*spec.controls, *spec.spans)] if spec else []
        if asked and asked not in names:
            raise BadRequest(f"control: one of {', '.join(names) or 'none'} is needed", field="control")
        if not asked and len(names) > 1:
            raise BadRequest(f"control: it answers {', '.join(names)}: say which", field="control")
        return asked or (names[0] if names else "")

    def _find_same(self, wanted: Wanted) -> Archive | None:
        """The newest archive of just that."""
        for one in self._archives():
            made: Wanted = {
                "format": one.format,
                "version": one.version,
                "control": one.control,
                "int8": one.int8,
                "accept_loss": one.accept_loss,
                "texts": one.texts,
                "minutes": one.minutes,
            }
            if made == wanted:
                return one
        return None


def _read_format(text: str) -> Format:
    try:
        return Format(text)
    except ValueError:
        raise BadRequest(f"format: one of {', '.join(Format)} is needed", field="format") from None


def _text(asked: Asked, name: str) -> str:
    value = asked.get(name, "")
    if not isinstance(value, str) or len(value) > 1000:
        raise BadRequest(f"{name}: a text is needed", field=name)
    return value


def _flag(asked: Asked, name: str) -> bool:
    value = asked.get(name, False)
    if not isinstance(value, bool):
        raise BadRequest(f"{name}: true or false", field=name)
    return value


def _number(asked: Asked, name: str, usual: float, bounds: tuple[float, float]) -> float:
    value = asked.get(name, usual)
    if isinstance(value, int | float) and not isinstance(value, bool) and bounds[0] <= value <= bounds[1]:
        return float(value)
    raise BadRequest(f"{name}: a number from {bounds[0]:g} to {bounds[1]:g} is needed", field=name)


def _progress(record: Export, archives: list[ArchiveAnswer]) -> ExportAnswer:
    over = record["status"] in FINAL_STATES
    return {
        "id": record["id"],
        "status": record["status"],
        "by": record["by"],
        "format": record["format"],
        "version": record["version"],
        "control": record["control"],
        "int8": record["int8"],
        "accept_loss": record["accept_loss"],
        "texts": record.get("texts", Wish.texts),
        "minutes": record.get("minutes", Wish.minutes),
        "asked_at": record["asked_at"],
        "ended_at": record.get("ended_at"),
        "stage": "" if over else record.get("stage", ""),
        "step": record.get("step", 0),
        "of": record.get("of", 0),
        "seconds_left": None if over else record.get("seconds_left"),
        "message": record.get("message", ""),
        "error": record.get("error", ""),
        "archives": archives,
    }


def _describe(archive: Archive) -> ArchiveAnswer:
    return {
        "id": archive.id,
        "name": archive.name,
        "format": archive.format,
        "version": archive.version,
        "control": archive.control,
        "int8": archive.int8,
        "accept_loss": archive.accept_loss,
        "texts": archive.texts,
        "minutes": archive.minutes,
        "at": archive.at,
        "bytes": archive.bytes,
        "sha256": archive.sha256,
        "parity": archive.parity,
        "refused": archive.refused,
        "path": f"/admin/projects/{archive.project}/export/{archive.id}",
    }
