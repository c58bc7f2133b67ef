"""The format `transformers`: a stock classifier that `pipeline("text-classification", DIR)` loads."""

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

if TYPE_CHECKING:
    from model.export.stock.bundle import Made
    from model.spec import Control, Sample, Text


def write_transformers(order: Order) -> Exported:
    """Raises ExportError for what no stock classifier answers, and Conflict for one that answers otherwise than the
    version."""
    from model.export.stock.bundle import Teaching, write_stock
    from model.export.stock.outputs import outputs_of
    from model.export.stock.parity import STOCK_LIMITS, measure_accuracy

    model, settings, wish = order.source.model, order.settings, order.wish
    outputs = outputs_of(model, order.source.control)
    samples = _samples(order, outputs.control)
    texts = _texts(order, outputs.control, samples)
    with TemporaryDirectory() as scratch:
        teaching = Teaching(
            texts,
            Path(scratch),
            60 * wish.minutes,
            wish.texts,
            settings.seed,
            settings.finetune_threads or max(1, cores() - 1),
            settings.precision,
        )
        made = write_stock(order.source, outputs, order.directory, teaching, order.tell)
    lossy = () if made.parity.holds(STOCK_LIMITS) else (made.parity.graph,)
    if lossy and not wish.accept_loss:
        raise Conflict(_why_not(made, model.version))
    held = [sample for sample in samples if sample.text in made.held]
    accuracy = measure_accuracy(model, outputs, order.directory, held)
    return Exported(
        model.version, order.source.control, wish.format, (made.parity,), (), made.how, accuracy, made.taught, lossy
    )


def _samples(order: Order, control: Control) -> list[Sample]:
    """What annotators agree on, as a training takes it."""
    spec = parse_label_config(order.stores.projects.config(order.wish.project))
    records = order.stores.examples.snapshot(order.wish.project).records
    return list(reach_consensus(spec, records).samples.get(control.name, ()))


def _texts(order: Order, control: Control, samples: list[Sample]) -> list[Text]:
    """All that are known, unlabelled ones first, without copies."""
    pool = order.stores.projects.pool(order.wish.project).values()
    usable = [control.text_of(one) for one in pool if all(name in one for name in control.inputs)]
    return list(dict.fromkeys([*usable, *(sample.text for sample in samples)]))


def _why_not(made: Made, version: str) -> str:
    from model.export.stock.parity import STOCK_LIMITS

    parity = made.parity
    taught = f"It was taught {made.taught} texts in {made.steps} steps: more unlabelled tasks in the project or more "
    advice = f"{taught}--minutes bring it nearer; " if made.taught else ""
    return (
        f"the stock classifier answers {parity.agreement:.1%} of {parity.texts} texts as {version} does (at least "
        f"{STOCK_LIMITS[0]:.0%} are wanted), with a mean difference of {parity.mean_difference:.4f} (at most "
        f"{STOCK_LIMITS[1]}): nothing is written. {advice}--accept-loss takes it all the same, "
        "--format onnx loses nothing"
    )
