"""The format `transformers`: a stock classifier that `pipeline("text-classification", DIR)` loads, or of marked text
`pipeline("token-classification", DIR)`."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from backend.cpu import cores
from backend.errors import Conflict
from backend.export.exported import Exported
from backend.export.order import Order
from backend.labelstudio.task_spec import parse_label_config
from backend.rules.consensus import reach_consensus
from model.spec import Kind

if TYPE_CHECKING:
    from backend.rules.consensus import Consensus
    from model.export.parity import Parity
    from model.export.stock.bundle import Made, Teaching
    from model.export.stock.parity import Accuracy
    from model.spec import Control, Text

LEAST_WEIGHT = 0.5
"""Of an answer about a text that its annotators disagree on, by which a student is judged."""


def write_transformers(order: Order) -> Exported:
    """Raises ExportError for what no stock classifier answers, and Conflict for one that answers otherwise than the
    version."""
    marks = order.source.model.spec.control(order.source.control).kind is Kind.SPANS
    return _write_tokens(order) if marks else _write_texts(order)


def _write_texts(order: Order) -> Exported:
    from model.export.stock.bundle import write_stock
    from model.export.stock.outputs import outputs_of
    from model.export.stock.parity import measure_accuracy

    model = order.source.model
    outputs = outputs_of(model, order.source.control)
    samples = _consensus(order).samples.get(outputs.control.name, [])
    texts = _texts(order, outputs.control, [sample.text for sample in samples])
    with TemporaryDirectory() as scratch:
        made = write_stock(order.source, outputs, order.directory, _teaching(order, texts, Path(scratch)), order.tell)
    _require(order, made)
    held = [sample for sample in samples if sample.text in made.held]
    return _exported(order, made, measure_accuracy(model, outputs, order.directory, held))


def _write_tokens(order: Order) -> Exported:
    from model.export.stock.spans.bundle import write_span_stock
    from model.export.stock.spans.outputs import span_outputs_of
    from model.export.stock.spans.parity import measure_f1

    model = order.source.model
    outputs = span_outputs_of(model, order.source.control)
    if outputs.loss:
        order.tell(f"a class of transformers has one tag for each token: {outputs.loss}")
    samples = _consensus(order).spans.get(outputs.control.name, [])
    texts = _texts(order, outputs.control, [(sample.text,) for sample in samples])
    with TemporaryDirectory() as scratch:
        teaching = _teaching(order, texts, Path(scratch))
        made = write_span_stock(order.source, outputs, order.directory, teaching, order.tell)
    _require(order, made, outputs.loss)
    held = [sample for sample in samples if (sample.text,) in made.held and sample.weight >= LEAST_WEIGHT]
    return _exported(order, made, measure_f1(model, outputs, order.directory, held), outputs.loss)


def _teaching(order: Order, texts: list[Text], scratch: Path) -> Teaching:
    from model.export.stock.bundle import Teaching

    settings, wish = order.settings, order.wish
    threads = settings.finetune_threads or max(1, cores() - 1)
    seconds = 60 * wish.minutes
    return Teaching(texts, scratch, seconds, wish.texts, settings.seed, threads, settings.precision)


def _consensus(order: Order) -> Consensus:
    """What annotators agree on, as a training takes it."""
    spec = parse_label_config(order.stores.projects.config(order.wish.project))
    return reach_consensus(spec, order.stores.examples.snapshot(order.wish.project).records)


def _texts(order: Order, control: Control, labelled: list[Text]) -> list[Text]:
    """All that are known, unlabelled ones first, without copies."""
    pool = order.stores.projects.pool(order.wish.project).values()
    usable = [control.text_of(one) for one in pool if all(name in one for name in control.inputs)]
    return list(dict.fromkeys([*usable, *labelled]))


def _lossy(parity: Parity) -> tuple[str, ...]:
    from model.export.stock.parity import STOCK_LIMITS

    return () if parity.holds(STOCK_LIMITS) else (parity.graph,)


def _exported(order: Order, made: Made, accuracy: Accuracy | None, loss: str = "") -> Exported:
    version, control = order.source.model.version, order.source.control
    parities, lossy = (made.parity,), _lossy(made.parity)
    return Exported(
        version,
        control,
        order.wish.format,
        parities,
        (),
        made.how,
        accuracy,
        made.taught,
        lossy,
        unsaid=loss,
        unasked=made.unasked,
    )


def _require(order: Order, made: Made, loss: str = "") -> None:
    """Raises Conflict for what answers otherwise, unless that is accepted. `loss`: what it cannot say at all."""
    if order.wish.accept_loss or not _lossy(made.parity):
        return
    from model.export.stock.parity import STOCK_LIMITS

    parity, version = made.parity, order.source.model.version
    marks = order.source.model.spec.control(order.source.control).kind is Kind.SPANS
    same = f"answers {parity.agreement:.1%} of {parity.texts} texts as {version} does"
    if marks:
        same = f"marks {parity.agreement:.1%} of regions as {version} does, in {parity.texts} texts"
    missed = f", and for {made.unasked} others there was no time" if made.unasked else ""
    taught = f"It was taught {made.taught} texts in {made.steps} steps{missed}: "
    advice = f"{taught}more unlabelled tasks in the project or more --minutes bring it nearer; " if made.taught else ""
    unsaid = f"{loss[:1].upper()}{loss[1:]}. " if loss else ""
    raise Conflict(
        f"the stock classifier {same} (at least {STOCK_LIMITS[0]:.0%} are wanted), with a mean difference of "
        f"{parity.mean_difference:.4f} (at most {STOCK_LIMITS[1]}): nothing is written. {unsaid}{advice}--accept-loss "
        "takes it all the same, --format onnx loses nothing"
    )
