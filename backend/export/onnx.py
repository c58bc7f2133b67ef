"""The format `onnx`: one graph with its program, tokenizer and labels."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from backend.errors import Conflict
from backend.export.exported import Exported
from backend.export.order import Order
from model.spec import Kind

if TYPE_CHECKING:
    from model.export.parity import Limits, Parity


def write_onnx(order: Order) -> Exported:
    """Raises Conflict for a graph that answers otherwise than the version."""
    from model.export.bundle import GRAPH, GRAPH_INT8, quantise, write_bundle
    from model.export.parity import FLOAT_LIMITS, INT8_LIMITS, measure_parity
    from model.export.spans.bundle import write_span_bundle
    from model.export.spans.parity import measure_span_parity

    marks = order.source.model.spec.control(order.source.control).kind is Kind.SPANS
    source, directory, documents, wish = order.source, order.directory, order.documents, order.wish
    order.tell("writing the graph")
    (write_span_bundle if marks else write_bundle)(source, directory)
    wanted: dict[str, Limits] = {GRAPH: FLOAT_LIMITS}
    if wish.int8:
        order.tell("quantising it")
        quantise(directory)
        wanted[GRAPH_INT8] = INT8_LIMITS
    parities: list[Parity] = []
    refused: list[str] = []
    lossy: list[str] = []
    for graph, limits in wanted.items():
        comparing = f"comparing {graph} with the version on {len(documents)} texts"
        order.tell(comparing)
        measure = measure_span_parity if marks else measure_parity
        parity = measure(source, directory, graph, documents, partial(order.tell, comparing))
        parities.append(parity)
        if not parity.holds(limits):
            (lossy if wish.accept_loss else refused).append(graph)
    for graph in refused:
        (directory / graph).unlink()
    if GRAPH in refused:
        raise Conflict(
            f"the graph answers {parities[0].agreement:.1%} of {len(documents)} texts as {source.model.version} does "
            f"(at least {FLOAT_LIMITS[0]:.0%} are wanted), with a mean difference of {parities[0].mean_difference:.4f} "
            f"(at most {FLOAT_LIMITS[1]}): nothing is written; --accept-loss takes it all the same"
        )
    name, version = source.control, source.model.version
    return Exported(version, name, wish.format, tuple(parities), tuple(refused), lossy=tuple(lossy))
