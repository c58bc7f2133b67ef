"""`understudy export`: one control of a version as an ONNX graph with its program, card and parity report."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from backend.embedded_redis.server import redis_at_hand
from backend.errors import BadRequest, Conflict, NotFound
from backend.export.card import write_card
from backend.export.exported import Exported
from backend.screen import plain
from backend.settings.settings import Settings
from backend.store.stores import Stores
from model.spec import Control, Document

if TYPE_CHECKING:
    from model.export.bundle import Source
    from model.export.parity import Limits
    from model.versions.live_model import LiveModel

PARITY = "parity.json"
LEAST_TEXTS = 8


@dataclass(frozen=True)
class Wish:
    """What is asked for. `version`: "" for the live one; `control`: "" where there is one; `texts`: most that parity is
    measured on; `int8`: a quantised graph, too; `accept_loss`: also where it answers otherwise."""

    project: int
    directory: Path
    version: str = ""
    control: str = ""
    texts: int = 200
    int8: bool = False
    accept_loss: bool = False


def export_onnx(settings: Settings, wish: Wish, tell: Callable[[str], None] = lambda _: None) -> Exported:
    """Writes `wish.directory`, whole or not at all. Raises BadRequest for a directory that holds something, NotFound
    for what is not known here, ExportError for a control that cannot be exported, and Conflict for a graph that answers
    otherwise than the version."""
    if wish.directory.exists() and (not wish.directory.is_dir() or any(wish.directory.iterdir())):
        raise BadRequest(f"{plain(wish.directory)} is there already: name a new directory", field="output")
    tell(f"into {plain(wish.directory)}")
    with redis_at_hand(settings):
        stores = Stores(settings)
        try:
            return _export(settings, stores, wish, tell)
        finally:
            stores.close()


def _export(settings: Settings, stores: Stores, wish: Wish, tell: Callable[[str], None]) -> Exported:
    source = _load(settings, stores, wish)
    documents = _documents(stores, wish, source.model.spec.control(source.control))
    scratch = wish.directory.with_name(f".{wish.directory.name}.{os.getpid()}.tmp")
    try:
        found = _write(source, scratch, documents, wish, tell)
        write_card(stores, wish.project, source, found, scratch)
        if wish.directory.is_dir():
            wish.directory.rmdir()
        scratch.rename(wish.directory)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return found


def _load(settings: Settings, stores: Stores, wish: Wish) -> Source:
    from backend.base_model.hub import find_encoder_files
    from model.encoder.encoder import Encoder
    from model.export.bundle import Source
    from model.versions.live_model import load_version

    if not stores.projects.knows(wish.project):
        raise NotFound(f"project {wish.project} is not known here")
    version = wish.version or stores.versions.live(wish.project)
    if not version:
        raise NotFound(f"project {wish.project} has no version yet: it has learned no label")
    base = Encoder(find_encoder_files(settings), precision="fp32")
    opened: list[Encoder] = []

    def open_tuned(weights: Path) -> Encoder:
        opened.append(Encoder(base.directory, weights=weights, base=base))
        return opened[0]

    model = load_version(settings.models_dir, wish.project, version, base, open_tuned)
    return Source(model, _choose(model, wish.control), base, opened[0] if opened else None)


def _choose(model: LiveModel, wanted: str) -> str:
    """Raises BadRequest."""
    names = [control.name for control in model.spec.controls]
    if wanted and wanted not in names:
        raise BadRequest(
            f"--control {wanted}: those that can be exported are {', '.join(names) or 'none'}", field="control"
        )
    if not names:
        raise BadRequest("it only marks text: answers to questions about a whole text can be exported", field="control")
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


def _write(
    source: Source, directory: Path, documents: Sequence[Document], wish: Wish, tell: Callable[[str], None]
) -> Exported:
    from model.export.bundle import GRAPH, GRAPH_INT8, quantise, write_bundle
    from model.export.parity import FLOAT_LIMITS, INT8_LIMITS, measure_parity

    tell("writing the graph")
    write_bundle(source, directory)
    wanted: dict[str, Limits] = {GRAPH: FLOAT_LIMITS}
    if wish.int8:
        tell("quantising it")
        quantise(directory)
        wanted[GRAPH_INT8] = INT8_LIMITS
    parities, refused = [], []
    for graph, limits in wanted.items():
        tell(f"comparing {graph} with the version on {len(documents)} texts")
        parity = measure_parity(source, directory, graph, documents)
        parities.append(parity)
        if not parity.holds(limits) and not wish.accept_loss:
            refused.append(graph)
            (directory / graph).unlink()
    if GRAPH in refused:
        raise Conflict(
            f"the graph answers {parities[0].agreement:.1%} of {len(documents)} texts as {source.model.version} does "
            f"(at least {FLOAT_LIMITS[0]:.0%} are wanted), with a mean difference of {parities[0].mean_difference:.4f} "
            f"(at most {FLOAT_LIMITS[1]}): nothing is written; --accept-loss takes it all the same"
        )
    report = {"parity": [one.to_json() for one in parities], "refused": refused}
    (directory / PARITY).write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    files = tuple(sorted(path.name for path in directory.iterdir()))
    return Exported(source.model.version, source.control, tuple(parities), tuple(refused), files)
