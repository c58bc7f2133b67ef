"""The labels that a running understudy has stored for a project, as a data set to replay."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from backend.errors import NotFound
from backend.labelstudio.task_spec import parse_label_config
from backend.rules.consensus import reach_consensus
from backend.rules.span_consensus import majority
from backend.settings.settings import Settings
from backend.store.stores import Stores
from model.simulation.dataset import Dataset, hold_out
from model.simulation.span_dataset import SpanDataset, make_span_dataset
from model.span import SpanDocument, SpanSample
from model.spec import Control, Kind, Sample, TaskSpec


def read_project(settings: Settings, project: int, control: str = "") -> Dataset | SpanDataset:
    """Samples after consensus, the unlabelled pool (of spans: none), and the stable hold-out. Only reads.

    Raises NotFound for an unknown project or control, DataError with too few labels, StoreUnavailable."""
    stores = Stores(settings)
    try:
        config = stores.projects.config(project)
        if config is None:
            known = ", ".join(map(str, stores.projects.projects())) or "none"
            raise NotFound(f"project {project} is not known here (known: {known})", project=project)
        spec = parse_label_config(config)
        chosen = _control(spec, control)
        consensus = reach_consensus(spec, stores.examples.snapshot(project).records)
        if chosen.kind is Kind.SPANS:
            return _marked(consensus.spans[chosen.name], chosen)
        chosen, samples = consensus.spec.control(chosen.name), consensus.samples[chosen.name]
        documents = stores.projects.pool(project)
    finally:
        stores.close()
    labelled = {sample.task for sample in samples}
    unlabelled = [
        Sample(task, chosen.text_of(document), {}, weight=0.0)
        for task, document in documents.items()
        if task not in labelled and all(name in document for name in chosen.inputs)
    ]
    return hold_out(chosen, [*samples, *unlabelled])


def _marked(samples: Sequence[SpanSample], control: Control) -> SpanDataset:
    """Each text once, with the spans that most of its annotators drew."""
    tasks: dict[int, list[SpanSample]] = {}
    for sample in samples:
        tasks.setdefault(sample.task, []).append(sample)
    documents = [SpanDocument(own[0].text, majority(own), own[0].question) for own in tasks.values()]
    data = make_span_dataset(documents, None, "the data")
    return replace(data, labels=tuple(dict.fromkeys((*control.keys(), *data.labels))), words=control.words)


def _control(spec: TaskSpec, name: str) -> Control:
    fixed = [control for control in spec.questions if control.options_field is None or control.kind is Kind.SPANS]
    for control in fixed:
        if name in ("", control.name):
            return control
    known = ", ".join(control.name for control in fixed) or "none"
    raise NotFound(
        f"there is no control {name!r} with choices or spans in the config (these have: {known})", control=name
    )
