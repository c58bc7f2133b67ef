"""Learning curves for people: a table of medians and small curves on the terminal, and a picture."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

Row = Mapping[str, str | int | float | None]
Curve = dict[int, dict[str, float]]
"""Label count -> medians over the seeds."""

ECE = "calibration error (ECE, 15 bins)"
PANELS = {"accuracy": "accuracy", "macro_f1": "macro-F1", "ece": ECE, "refit_seconds": "seconds per refit"}
SPAN_PANELS = {
    "f1": "F1 of exact spans",
    "saved": "share of the annotator's edits saved",
    "ece": ECE,
    "refit_seconds": "seconds per refit",
}
"""What is drawn, the first of them also as a bar in the table."""

SHOWN = {"macro_f1": "macro-F1", "ece": "ECE", "refit_seconds": "refit s"}
SPAN_SHOWN = {"macro_f1": "macro-F1", "saved": "saved", "ece": "ECE", "refit_seconds": "refit s"}
"""Columns of the table behind the first."""

OURS = (
    *("zero-shot", "transfer prior", "no prior", "span head"),
    *("starting weights", "base model's head", "question head"),
)


def is_of_spans(rows: Sequence[Row]) -> bool:
    """Whether texts with spans were replayed."""
    return any("f1" in row for row in rows)


def curve_name(row: Row) -> str:
    """What a row's curve is called: the strategy for our own, the method for a peer."""
    method = str(row["method"]).removesuffix(" + fine-tune")
    ours = method in OURS or method.startswith("prior-LR")
    encoder = f", {row['encoder']}" if row.get("encoder") else ""
    return f"understudy, {row['strategy']}{encoder}" if ours else str(row["method"])


def medians(rows: Sequence[Row]) -> dict[str, Curve]:
    """Curve name -> its medians over the seeds, and `seeds`, how many there are."""
    grouped: dict[str, dict[int, list[Row]]] = {}
    for row in rows:
        grouped.setdefault(curve_name(row), {}).setdefault(int(row["n"] or 0), []).append(row)
    keys = {*SPAN_PANELS, *SPAN_SHOWN} if is_of_spans(rows) else {*PANELS, *SHOWN}
    return {
        name: {
            count: {
                **{key: statistics.median(float(row[key] or 0) for row in cell) for key in keys},
                "finetune_seconds": statistics.median(float(row.get("finetune_seconds") or 0) for row in cell),
                "seeds": len(cell),
            }
            for count, cell in sorted(cells.items())
        }
        for name, cells in grouped.items()
    }


def print_curves(rows: Sequence[Row]) -> None:
    """A table of medians with the accuracy (of spans: F1) as a bar, the best of each label count in bold."""
    from rich.bar import Bar
    from rich.table import Table
    from rich.text import Text

    from backend.screen import plain, say_rich

    spans, curves = is_of_spans(rows), medians(rows)
    main, shown = ("f1", SPAN_SHOWN) if spans else ("accuracy", SHOWN)
    best: dict[int, float] = {}
    for curve in curves.values():
        for count, cell in curve.items():
            best[count] = max(cell[main], best.get(count, 0.0))
    table = Table(box=None, pad_edge=False)
    first = ("curve", "texts", "F1") if spans else ("curve", "labels", "accuracy")
    # Spans are fine-tuned from 64 texts on: nothing is to be told of a replay of fewer.
    tells = not spans or any(cell["finetune_seconds"] for curve in curves.values() for cell in curve.values())
    titles = (*first, *shown.values(), *(("fine-tune s",) if tells else ()), "seeds", "")
    for index, title in enumerate(titles):
        table.add_column(title, justify="right" if index else "left")
    for name, curve in curves.items():
        for count, cell in curve.items():
            value = Text(f"{cell[main]:.3f}", style="bold" if cell[main] == best[count] else "")
            tuned = f"{cell['finetune_seconds']:.1f}" if cell["finetune_seconds"] else ""
            measures = (*(f"{cell[key]:.3f}" for key in shown), *((tuned,) if tells else ()))
            bar = Bar(1.0, 0.0, cell[main], width=24)
            table.add_row(Text(plain(name)), str(count), value, *measures, str(int(cell["seeds"])), bar)
    say_rich(table)


def draw(rows: Sequence[Row], path: Path, title: str = "") -> None:
    """Four panels of measures (PANELS, SPAN_PANELS) against the labels, the seeds' range shaded.

    The kind of picture follows from the suffix. Raises OSError."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    curves = medians(rows)
    panels = SPAN_PANELS if is_of_spans(rows) else PANELS
    figure = Figure(figsize=(11, 8), layout="constrained")
    FigureCanvasAgg(figure)
    for panel, (key, label) in zip(figure.subplots(2, 2).flat, panels.items(), strict=True):
        for name, curve in curves.items():
            cells = {n: [float(r[key] or 0) for r in rows if curve_name(r) == name and r["n"] == n] for n in curve}
            line = panel.plot(list(curve), [cell[key] for cell in curve.values()], marker="o", markersize=3, label=name)
            low, high = [min(cell) for cell in cells.values()], [max(cell) for cell in cells.values()]
            panel.fill_between(list(cells), low, high, color=line[0].get_color(), alpha=0.12, linewidth=0)
        panel.set_xscale("symlog", base=2, linthresh=8)
        counts = sorted({count for curve in curves.values() for count in curve})
        panel.set_xticks(counts, [str(count) for count in counts])
        panel.set_xlabel("texts" if panels is SPAN_PANELS else "labels")
        panel.set_title(label)
        panel.grid(alpha=0.3)
        if key == "refit_seconds":
            panel.set_yscale("log")
    figure.axes[0].legend(fontsize=8)
    if title:
        figure.suptitle(title)
    figure.savefig(path, dpi=110)
