"""A directory that answers as a version does, with onnxruntime and tokenizers alone."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from model.decoding.ratings import smoothing_for
from model.errors import ModelError
from model.export.graph import ControlGraph, reading_of, write_onnx
from model.labels import path_of
from model.pretrained.reading import read_window
from model.spec import NONE, Control, Json, Kind
from model.versions.live_model import LiveModel

if TYPE_CHECKING:
    from onnx import NodeProto

    from model.encoder.encoder import Encoder

GRAPH, GRAPH_INT8, SPEC, TOKENIZER, PROGRAM, FILES, TERMS = (
    "model.onnx",
    "model.int8.onnx",
    "model.json",
    "tokenizer.json",
    "predict.py",
    "files.py",
    "terms.py",
)


class ExportError(ModelError):
    """A version, or one of its controls, cannot leave the house; the message says why and what can."""


@dataclass(frozen=True)
class Source:
    """What is exported: one control of a loaded version. `tuned`: the fine-tuned encoder, where it has a share."""

    model: LiveModel
    control: str
    base: Encoder
    tuned: Encoder | None


def write_bundle(source: Source, directory: Path) -> None:
    """Graph, tokenizer, labels with the rules of answers, and the program that reads texts. Raises ExportError."""
    control = source.model.spec.control(source.control)
    _require(control)
    _require_own(source)
    directory.mkdir(parents=True, exist_ok=True)
    head = source.model.heads[source.control]
    graph = ControlGraph(source.model, source.control, source.base, source.tuned)
    write_onnx(graph, directory / GRAPH, len(head.terms.vocabulary))
    source.base.save_tokenizer(directory / TOKENIZER)
    spec = json.dumps(_describe(source, control), ensure_ascii=True, indent=1)
    (directory / SPEC).write_text(spec + "\n", encoding="utf-8")
    for name in (PROGRAM, FILES, TERMS):
        shutil.copyfile(Path(__file__).with_name(name), directory / name)


def quantise(directory: Path) -> None:
    """The same graph with int8 weights in its encoders, one scale a column (an embedding has one for all of it), and
    activations that are scaled as they come. What is made of the encoders' states is small, and stays as it is."""
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    graph = onnx.load(directory / GRAPH, load_external_data=False).graph
    quantize_dynamic(
        directory / GRAPH,
        directory / GRAPH_INT8,
        op_types_to_quantize=["MatMul", "Gemm", "Gather"],
        nodes_to_exclude=[node.name for node in graph.node if not _is_of_encoder(node)],
        per_channel=True,
        weight_type=QuantType.QInt8,
        extra_options={"MatMulConstBOnly": True},
    )


def _is_of_encoder(node: NodeProto) -> bool:
    """By the modules that it was traced in: an encoder is called `model` within the one that reads windows."""
    scopes = next((own.value for own in node.metadata_props if own.key == "pkg.torch.onnx.name_scopes"), "")
    return ".model" in scopes


def _require(control: Control) -> None:
    """Raises ExportError for what a graph cannot hold."""
    if control.kind is Kind.SPANS:
        raise ExportError(
            f"{control.name} marks text: only answers to questions about a whole text can be exported yet"
        )
    if control.options_field is not None:
        raise ExportError(f"{control.name}: its choices stand in each task, so that there is no fixed set of labels")


def _require_own(source: Source) -> None:
    """Raises ExportError where an imported classifier answers, too: it reads by a tokenizer of its own."""
    finetuned = source.model.finetuned
    part = finetuned.heads.get(source.control) if finetuned is not None else None
    if part is not None and part.taught is not None and part.weight > 0:
        raise ExportError(
            f"{source.model.version} answers with a classifier that was imported, which one graph cannot hold beside "
            "the base model: --format transformers writes it as it is"
        )


def _describe(source: Source, control: Control) -> Mapping[str, Json]:
    head, rules = source.model.heads[control.name], source.model.rules(control.name)
    allowed = {*control.keys(), *(() if control.required else (NONE,))}
    columns = [place for place, label in enumerate(head.labels) if label in allowed]
    keys = [head.labels[place] for place in columns]
    usual = smoothing_for(rules.count) if rules.count is not None else 0.0
    vocabulary = list(head.terms.vocabulary) if head.uses_words else []
    return {
        "format": 1,
        "version": source.model.version,
        "control": control.name,
        "kind": control.kind.value,
        "several": control.multilabel,
        "inputs": list(control.inputs),
        "reading": reading_of(control).value,
        "focused": bool(control.keys()),
        "window": read_window(source.base.directory, source.base.config),
        "labels": keys,
        "columns": columns,
        "shown": {key: control.show(key) for key in keys if key != NONE},
        "paths": {key: list(path_of(key)) for key in keys},
        "most": control.most,
        "rules": {
            "threshold": rules.threshold,
            "thresholds": dict(rules.thresholds),
            "nonempty": rules.nonempty,
            "set_confidence": list(rules.set_confidence or ()),
            "smoothing": usual if rules.smoothing is None else rules.smoothing,
            "ancestors": rules.ancestors,
            "sure": rules.sure,
        },
        "words": {"vocabulary": vocabulary, "idf": head.terms.idf.tolist()} if vocabulary else None,
    }
