"""Draws the README's picture from the table in docs/learning/learning.md: `python -m bench.learning.picture [FILE]`.

Plain SVG with colours for light and dark screens, in 3 KB: a plotting library writes fifty times as much.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from math import log2
from pathlib import Path

TABLE = Path(__file__).parents[2] / "docs" / "learning" / "learning.md"
SET = "banking77"
METHODS = (
    ("understudy, random", "understudy", "ours"),
    ("LR on embeddings", "LR on the same encoder", "lr"),
    ("TF-IDF + LR", "TF-IDF + LR", "words"),
)
"""Of the table, as the picture calls them, and their class in the style sheet."""

WIDTH, HEIGHT = 760, 330
LEFT, RIGHT, TOP, BOTTOM = 52, 470, 48, 288
"""Pixels of the whole, and of the axes within; right of them stand the names."""

HEADING = "Right answers on new messages (banking77: 77 intents), by labels given"
Point = tuple[int, float]
STYLE = """
    text { font: 14px system-ui, sans-serif; fill: #24292f } .small { font-size: 12px; fill: #57606a }
    .paper { fill: #fff; stroke: #d0d7de } .grid { stroke: #d0d7de; stroke-width: 1 }
    path { fill: none; stroke-width: 2.5; stroke-linejoin: round }
    path.ours { stroke: #0969da; stroke-width: 3.5 } path.lr { stroke: #bc4c00 } path.words { stroke: #6e7781 }
    text.ours { fill: #0969da; font-weight: 600 } text.lr { fill: #bc4c00 } text.words { fill: #57606a }
    @media (prefers-color-scheme: dark) {
      text { fill: #e6edf3 } .small { fill: #9198a1 } .grid { stroke: #3d444d }
      .paper { fill: #0d1117; stroke: #3d444d }
      path.ours { stroke: #58a6ff } path.lr { stroke: #f0883e } path.words { stroke: #9198a1 }
      text.ours { fill: #58a6ff } text.lr { fill: #f0883e } text.words { fill: #9198a1 }
    }
"""


def read_curve(method: str, table: Path = TABLE) -> list[Point]:
    """(labels, accuracy) of a method on SET."""
    row = rf"^\| {SET} \| (\d+) \| {re.escape(method)} \| ([\d.]+) \|"
    found = re.findall(row, table.read_text(encoding="utf-8"), re.MULTILINE)
    return [(int(labels), float(accuracy)) for labels, accuracy in found]


def draw(curves: Sequence[Sequence[Point]]) -> str:
    """The picture."""
    lines = [*_axes(sorted({labels for curve in curves for labels, _ in curve}))]
    for (_, name, style), curve in zip(METHODS, curves, strict=True):
        places = " L".join(f"{_x(labels):.1f} {_y(accuracy):.1f}" for labels, accuracy in curve)
        last = _y(curve[-1][1])
        lines.append(f'<path class="{style}" d="M{places}"/>')
        lines.append(f'<text class="{style}" x="{RIGHT + 10}" y="{last + _apart(style):.1f}">{name}</text>')
    said = "; ".join(
        f"{name}: {curve[0][1]:.2f} with {curve[0][0]} labels, {curve[-1][1]:.2f} with {curve[-1][0]:,}"
        for (_, name, _), curve in zip(METHODS, curves, strict=True)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" role="img">\n'
        f"  <title>Accuracy by number of labels on {SET}. {said}</title>\n  <style>{STYLE}  </style>\n"
        f'  <rect class="paper" x=".5" y=".5" width="{WIDTH - 1}" height="{HEIGHT - 1}" rx="6"/>\n'
        f'  <text x="{LEFT - 36}" y="28">{HEADING}</text>\n  ' + "\n  ".join(lines) + "\n</svg>\n"
    )


def _axes(counts: Sequence[int]) -> list[str]:
    lines = []
    for percent in (0, 25, 50, 75, 100):
        y = _y(percent / 100)
        lines.append(f'<line class="grid" x1="{LEFT}" x2="{RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        lines.append(f'<text class="small" x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{percent} %</text>')
    for labels in counts:
        x = _x(labels)
        lines.append(f'<text class="small" x="{x:.1f}" y="{BOTTOM + 20}" text-anchor="middle">{labels:,}</text>')
    return lines


def _x(labels: int) -> float:
    """Each doubling is as wide as the one before; no label at all stands where 4 would."""
    return LEFT + 16 + (RIGHT - LEFT - 16) * (log2(max(labels, 4)) - 2) / (log2(1000) - 2)


def _y(accuracy: float) -> float:
    return BOTTOM - (BOTTOM - TOP) * accuracy


def _apart(style: str) -> float:
    """Names of lines that end close together are moved apart."""
    return {"ours": -2.0, "lr": 14.0}.get(style, 5.0)


def main() -> None:
    """Command line entry."""
    target = Path(sys.argv[1] if len(sys.argv) > 1 else TABLE.with_name("curve.svg"))
    target.write_text(draw([read_curve(method) for method, _, _ in METHODS]), encoding="utf-8")


if __name__ == "__main__":
    main()
