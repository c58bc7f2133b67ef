"""Percentiles, bars and tables of the benches, and what a reader must know of the machine that they ran on."""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import statistics
import subprocess
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from itertools import takewhile
from math import log2
from pathlib import Path
from typing import Any

import numpy as np

from tests.support.rig import ROOT


def command(description: str | None) -> argparse.ArgumentParser:
    """The command line of a bench, whose docstring describes it: `--json` for one object a row."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    return parser


def numbers(text: str) -> list[int]:
    """Of an option: comma-separated numbers; none in an empty text."""
    return [int(part) for part in text.split(",") if part]


def listed(read: Callable[[str], object], wanted: str) -> Callable[[str], str]:
    """The type of an option that is a list joined by commas: the text as it is, where `read` takes each part. It
    refuses, with what is `wanted`, for what raises ValueError there."""

    def check(text: str) -> str:
        for part in filter(None, text.split(",")):
            try:
                read(part)
            except ValueError:
                raise argparse.ArgumentTypeError(
                    f"{part!r} cannot be used: {wanted} are needed, joined by commas"
                ) from None
        return text

    return check


def count(text: str) -> int:
    """A whole number from 0 on. Raises ValueError."""
    if (number := int(text)) < 0:
        raise ValueError(text)
    return number


def share(text: str) -> float:
    """A number above 0, 1 at most. Raises ValueError."""
    if not 0 < (number := float(text)) <= 1:
        raise ValueError(text)
    return number


LIST_OF_COUNTS = listed(count, "whole numbers such as 0,64")
LIST_OF_SHARES = listed(share, "shares above 0 such as .6,.9")


def list_of(known: Iterable[str]) -> Callable[[str], str]:
    """The same of known names."""
    names = list(known)
    return listed(names.index, f"some of {', '.join(names)}")


def expect_known(parser: argparse.ArgumentParser, option: str, text: str, known: Iterable[str]) -> None:
    """Ends with a line where a list joined by commas names what is not known."""
    names = list(known)
    if unknown := [part for part in text.split(",") if part and part not in names]:
        parser.error(f"argument {option}: {', '.join(unknown)} is not known; there is {', '.join(names)}")


def milliseconds(seconds: Sequence[float]) -> dict[str, float]:
    """n, p50, p99 and max of durations in seconds, given in milliseconds."""
    values = np.asarray(seconds) * 1000
    p50, p99 = np.percentile(values, [50, 99])
    return {
        "n": len(values),
        "p50_ms": round(p50, 1),
        "p99_ms": round(p99, 1),
        "max_ms": round(values.max(), 1),
    }


def judge(measured: float, sense: str, bound: float, unit: str = "") -> dict[str, Any]:
    """The fields `bar` ("<= 20 ms"), `measured` and `met` of a row, which the performance page lists beside each other;
    `sense` is <= or >=. A table leaves `measured` out: it is one of the row's own columns."""
    if sense not in ("<=", ">="):
        raise ValueError(f"sense {sense!r} is neither <= nor >=")
    met = measured <= bound if sense == "<=" else measured >= bound
    return {"measured": measured, "bar": f"{sense} {bound:g} {unit}".rstrip(), "met": bool(met)}


AUTO_WITHIN = 1.05
"""PRECISION=auto may cost so many times what the better number format costs."""


def judge_auto(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Whether the first row, PRECISION=auto, costs no more `cpu_s` than the better of the others."""
    auto, *others = (float(row["cpu_s"]) for row in rows)
    return judge(round(auto / min(others), 3), "<=", AUTO_WITHIN, "x the better one")


def show(title: str, rows: Sequence[Mapping[str, Any]], as_json: bool = False) -> None:
    """Print rows as a table, or as one JSON object a row."""
    if as_json:
        for row in rows:
            print(json.dumps({"bench": title, **row}))
        return
    names = list(dict.fromkeys(name for row in rows for name in row if name != "measured"))
    widths = [max(len(name), *(len(str(row.get(name, ""))) for row in rows)) for name in names]
    print(f"\n{title}")
    print("  ".join(name.rjust(width) for name, width in zip(names, widths, strict=True)))
    for row in rows:
        print("  ".join(str(row.get(name, "")).rjust(width) for name, width in zip(names, widths, strict=True)))


FLAGS = (
    *("avx2", "fma", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "avx512_fp16"),
    *("amx_tile", "amx_bf16", "amx_int8", "sha_ni", "asimd", "bf16", "i8mm", "sve"),
)
"""Instruction sets that decide how fast matrix products and digests are."""

LIBRARIES = ("torch", "transformers", "tokenizers", "numpy", "Flask", "gunicorn", "redis", "rq")


BFLOAT16, SLOWER = "bfloat16", "slower"


def describe_machine() -> dict[str, str]:
    """Facts by name."""
    info = _cpu_info()
    flags = set(info.get("flags", info.get("Features", "")).split())
    named = ("family", "cpu family"), ("model", "model")
    numbers = ", ".join(f"{name} {info[key]}" for name, key in named if key in info)
    return {
        "CPU": f"{info.get('model name', platform.machine())}{f' ({numbers})' if numbers else ''}",
        "cores": str(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()),
        "instruction sets": " ".join(flag for flag in FLAGS if flag in flags) or "unknown",
        BFLOAT16: _bfloat16(),
        "GPU": _gpu(),
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.release().split('-')[0]}, Python {platform.python_version()}",
        "libraries": ", ".join(f"{name} {found}" for name in LIBRARIES if (found := _installed(name))),
    }


KINDS = (
    ("amx", "amx_bf16", "AMX"),
    ("avx512-bf16", "avx512_bf16", "AVX-512 with bfloat16"),
    ("avx512-vnni", "avx512_vnni", "AVX-512 with VNNI"),
    ("avx512", "avx512f", "AVX-512"),
    ("avx2", "avx2", "AVX2"),
    ("other", "", "another CPU"),
)
"""Kind of machine, the instruction set that makes it one (the first that is there and pays), and what it is called."""


def kind_of(machine: Mapping[str, str]) -> str:
    """The kind of a machine that `describe_machine` describes."""
    flags = set(machine.get("instruction sets", "").split())
    if machine.get(BFLOAT16, "").startswith(SLOWER):
        flags.discard("avx512_bf16")
    return next(kind for kind, flag, _ in KINDS if not flag or flag in flags)


def describe_commit() -> str:
    """Short hash and date of what is checked out; "" outside of a checkout."""
    command = ["git", "log", "-1", "--format=%h of %cs"]
    try:
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def _cpu_info() -> dict[str, str]:
    path = Path("/proc/cpuinfo")
    if not path.is_file():
        return {}
    first = path.read_text(encoding="utf-8").split("\n\n")[0]
    pairs = (line.partition(":") for line in first.splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}


def _bfloat16() -> str:
    """How fast it is: of two Xeons with the same flags one multiplies it twice as fast as float32, one half as fast."""
    from model.kernels.choice import BF16, FP32, ProductShape
    from model.kernels.kept_choice import choose_engine

    formats = choose_engine(ProductShape(384, 1536, 12), "cpu").formats
    if BF16 not in formats:
        return "not offered"
    return f"{'faster' if formats[BF16].gflops > formats[FP32].gflops else SLOWER} than float32"


def _gpu() -> str:
    import torch

    return str(torch.cuda.get_device_name()) if torch.cuda.is_available() else "none"


def _installed(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def write_table(table: Sequence[Mapping[str, Any]], path: Path) -> None:
    """A table in Markdown."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = ["| " + " | ".join(table[0]) + " |", "|" + " --- |" * len(table[0])]
    lines += ["| " + " | ".join(str(value) for value in row.values()) + " |" for row in table]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def draw_curves(
    curves: Mapping[tuple[str, str, int], Sequence[tuple[int, float]]], goals: Mapping[str, Sequence[float]], path: Path
) -> None:
    """One panel a set: accuracy by labels, medians over the seeds of (set, strategy, seed); dashed: the goals."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    sets = list(dict.fromkeys(name for name, _, _ in curves))
    figure = Figure(figsize=(5.5 * len(sets), 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    for panel, name in zip(figure.subplots(1, len(sets), squeeze=False)[0], sets, strict=True):
        for strategy in sorted({strategy for known, strategy, _ in curves if known == name}):
            found = [dict(curve) for (known, own, _), curve in curves.items() if (known, own) == (name, strategy)]
            counts = sorted(set.intersection(*map(set, found)))
            middle = [statistics.median(curve[count] for curve in found) for count in counts]
            panel.plot(counts, middle, marker="o", markersize=2, label=f"{strategy} ({len(found)})")
        for goal in goals.get(name, ()):
            panel.axhline(goal, linestyle="--", linewidth=0.8, color="gray")
        panel.set_title(f"{name}: accuracy by labels")
        panel.grid(alpha=0.3)
        panel.legend(fontsize=7)
    figure.savefig(path, dpi=90)


TABLE = ROOT / "docs" / "learning" / "learning.md"
PICTURED = "banking77"
METHODS = (
    ("understudy, random", "understudy", "ours"),
    ("LR on embeddings", "LR on the same encoder", "lr"),
    ("TF-IDF + LR", "TF-IDF + LR", "words"),
)
"""Of the table, as the picture calls them, and their class in the style sheet."""

WIDTH, HEIGHT = 760, 330
LEFT, RIGHT, TOP, BOTTOM = 52, 470, 48, 288
"""Pixels of the whole, and of the axes within; right of them stand the names."""

TITLE = "Right answers on new messages (banking77: 77 intents), by labels given"
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
    """(labels, accuracy) of a method on PICTURED."""
    row = rf"^\| {PICTURED} \| (\d+) \| {re.escape(method)} \| ([\d.]+) \|"
    found = re.findall(row, table.read_text(encoding="utf-8"), re.MULTILINE)
    return [(int(labels), float(accuracy)) for labels, accuracy in found]


def picture_of(curves: Sequence[Sequence[Point]]) -> str:
    """Plain SVG with colours for light and dark screens, in 3 KB: a plotting library writes fifty times as much."""
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
        f"  <title>Accuracy by number of labels on {PICTURED}. {said}</title>\n  <style>{STYLE}  </style>\n"
        f'  <rect class="paper" x=".5" y=".5" width="{WIDTH - 1}" height="{HEIGHT - 1}" rx="6"/>\n'
        f'  <text x="{LEFT - 36}" y="28">{TITLE}</text>\n  ' + "\n  ".join(lines) + "\n</svg>\n"
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


def read_table(page: str, first: str) -> list[dict[str, str]]:
    """The rows of the first table whose first column is called so."""
    lines = page.splitlines()
    at = next((i for i, line in enumerate(lines) if line.startswith(f"| {first} |")), len(lines))
    names, *rows = [
        [cell.strip() for cell in line.strip("|").split(" | ")]
        for line in takewhile(lambda x: x[:1] == "|", lines[at:])
    ] or [[]]
    return [dict(zip(names, row, strict=True)) for row in rows[1:]]


def read_sections(page: str) -> dict[str, str]:
    """What stands under each heading of the second level."""
    parts = [part.partition("\n") for part in re.split(r"(?m)^## ", page)[1:]]
    return {head.strip(): text.strip() for head, _, text in parts}


def table_of(rows: Sequence[Mapping[str, Any]]) -> str:
    """A Markdown table with a column for every name in any row."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    lines = [names, ["---"] * len(names), *([_cell(row.get(name, "")) for name in names] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int) and abs(value) >= 10_000:
        return f"{value:,}"
    if isinstance(value, float) and len(str(value)) > 7:
        return f"{value:.4g}"
    return str(value).replace("|", "\\|").replace("\n", " ")
