"""`understudy export`: one control of a version as a directory with a card and a parity report, in any format."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from backend.artifacts.artifacts import open_artifacts
from backend.embedded_redis.server import redis_at_hand
from backend.errors import BadRequest, Conflict, NotFound
from backend.export.card import write_card
from backend.export.exported import Exported
from backend.export.formats import WRITERS
from backend.export.order import Order, Tell, tell_nobody
from backend.export.wish import Wish
from backend.screen import plain
from backend.settings.settings import Settings
from backend.store.stores import Stores
from model.spec import Control, Document, Json

if TYPE_CHECKING:
    from model.export.bundle import Source
    from model.versions.live_model import LiveModel

PARITY = "parity.json"
LEAST_TEXTS = 8


def export_version(settings: Settings, wish: Wish, tell: Tell = tell_nobody) -> Exported:
    """Writes `wish.directory`, whole or not at all. Raises BadRequest for a directory that holds something, NotFound
    for what is not known here, ExportError for a control that cannot be exported, and Conflict for a graph that answers
    otherwise than the version."""
    if wish.directory.exists() and (not wish.directory.is_dir() or any(wish.directory.iterdir())):
        raise BadRequest(f"{plain(wish.directory)} is there already: name a new directory", field="output")
    with redis_at_hand(settings):
        stores = Stores(settings)
        try:
            return _export(settings, stores, wish, tell)
        finally:
            stores.close()


def _export(settings: Settings, stores: Stores, wish: Wish, tell: Tell) -> Exported:
    source = _load(settings, stores, wish)
    documents = _documents(stores, wish, source.model.spec.control(source.control))
    scratch = wish.directory.with_name(f".{wish.directory.name}.{os.getpid()}.tmp")
    try:
        found = WRITERS[wish.format](Order(settings, stores, wish, source, scratch, documents, tell))
        write_card(stores, wish.project, source, found, scratch)
        report: dict[str, Json] = {"parity": [one.to_json() for one in found.parities], "refused": list(found.refused)}
        if found.lossy:
            report["accepted_loss"] = list(found.lossy)
        if found.how:
            report |= {"how": found.how, "taught": found.taught, "unasked": found.unasked}
        if found.unsaid:
            report["unsaid"] = found.unsaid
        if found.accuracy is not None:
            report["accuracy"] = found.accuracy.to_json()
        (scratch / PARITY).write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
        if wish.directory.is_dir():
            wish.directory.rmdir()
        scratch.rename(wish.directory)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return found


def _load(settings: Settings, stores: Stores, wish: Wish) -> Source:
    from backend.base_model.encoders import find_prior
    from backend.base_model.former import find_version_files
    from model.encoder.encoder import Encoder, open_weights
    from model.export.bundle import Source
    from model.spans.features.reading import SpanReader
    from model.versions.directory import read_manifest, version_path
    from model.versions.live_model import load_version
    from model.versions.span_answers import SpanTools

    if not stores.projects.knows(wish.project):
        raise NotFound.of_project(wish.project)
    version = wish.version or stores.versions.live(wish.project)
    if not version:
        raise NotFound(f"project {wish.project} has no version yet: it has learned no label")
    if (artifacts := open_artifacts(settings, frozenset)) is not None:
        artifacts.ensure(wish.project, version)
    manifest = read_manifest(version_path(settings.models_dir, wish.project, version))
    base = Encoder(find_version_files(settings, manifest.encoder_digest, stores.versions.encoders), precision="fp32")
    opened: list[Encoder] = []

    def open_tuned(weights: Path) -> Encoder:
        opened.append(open_weights(weights, base))
        return opened[0]

    def tools() -> SpanTools:  # without a cache: each side of a comparison reads every text anew
        return SpanTools(SpanReader(base, find_prior(settings, base)), settings.spans_show)

    model = load_version(settings.models_dir, wish.project, version, base, open_tuned, tools)
    model = model.showing(stores.projects.spans_show(wish.project) or settings.spans_show)
    return Source(model, _choose(model, wish.control), base, opened[0] if opened else None)


def _choose(model: LiveModel, wanted: str) -> str:
    """Raises BadRequest."""
    names = [control.name for control in (*model.spec.controls, *model.spec.spans)]
    if wanted and wanted not in names:
        raise BadRequest(
            f"--control {wanted}: those that can be exported are {', '.join(names) or 'none'}", field="control"
        )
    if len(names) > 1 and not wanted:
        raise BadRequest(f"it answers {', '.join(names)}: say which (--control {names[0]})", field="control")
    return wanted or names[0]


def _documents(stores: Stores, wish: Wish, control: Control) -> list[Document]:
    """Unlabelled texts first, then labelled ones. Raises Conflict where there are too few to prove anything."""
    known: list[Document] = [*stores.projects.pool(wish.project).values()]
    known += [record.texts for record in stores.examples.newest(wish.project, wish.texts)]
    usable = [one for one in known if all(name in one for name in control.inputs)]
    once = {control.text_of(one): one for one in usable}
    if len(once) < LEAST_TEXTS:
        raise Conflict(f"project {wish.project} knows {len(once)} texts: {LEAST_TEXTS} are needed to compare answers")
    return list(once.values())[: wish.texts]
