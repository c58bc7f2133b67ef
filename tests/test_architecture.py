"""The import rules of the project: one arrow from `backend` to `model`, heavy and stateful libraries in few places."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCES = sorted([*ROOT.glob("model/**/*.py"), *ROOT.glob("backend/**/*.py")])
NAMES = [path.relative_to(ROOT).as_posix() for path in SOURCES]

TORCH = (
    *(
        "model/encoder/encoder.py",
        "model/encoder/engine.py",
        "model/kernels/timing.py",
        "model/encoder/packed.py",
        "model/encoder/padded.py",
        "model/encoder/windows.py",
    ),
    *(
        "model/kernels/attention.py",
        "model/encoder/layer.py",
        "model/kernels/matrix_product.py",
        "model/encoder/precision.py",
        "model/encoder/weights.py",
    ),
    *(
        "model/training/tuner.py",
        "model/training/frozen_encoder.py",
        "model/training/run.py",
        "model/training/checkpoint.py",
        "model/simulation/finetuned_baselines.py",
    ),
    *("model/training/packed_layer.py", "model/training/distributed.py"),
)
"""The files of `model/` that may import torch or transformers; prefixes, so that a split stays allowed."""


def imports_of(path: Path, *, top_level: bool = False) -> Iterator[str]:
    """Dotted names that `path` imports, anywhere or (top_level) at import time only."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = list(_import_time(tree)) if top_level else list(ast.walk(tree))
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module


def _import_time(node: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test):
            continue
        yield child
        yield from _import_time(child)


def offenders(paths: list[Path], forbidden: tuple[str, ...], *, top_level: bool = False) -> list[str]:
    """`file: import` for every import of one of the forbidden packages."""
    return [
        f"{path.relative_to(ROOT)}: {name}"
        for path in paths
        for name in imports_of(path, top_level=top_level)
        if any(name == package or name.startswith(package + ".") for package in forbidden)
    ]


def files(*prefixes: str, but: tuple[str, ...] = ()) -> list[Path]:
    """Source files whose path starts with one of the prefixes, without those that start with one of `but`."""
    return [ROOT / name for name in NAMES if name.startswith(prefixes) and not (but and name.startswith(but))]


RULES = [
    ("model knows nothing of the backend", files("model/"), ("backend", "flask", "redis", "rq", "requests")),
    ("torch stays in few files of model", files("model/", but=TORCH), ("torch", "transformers")),
    (
        "flask stays at the edge",
        files("backend/", but=("backend/api/", "backend/routes/app.py", "backend/web/auth.py", "backend/_wsgi.py")),
        ("flask",),
    ),
    (
        "redis stays in the store",
        files("backend/", but=("backend/store/", "backend/processes/worker.py")),
        ("redis", "rq"),
    ),
    ("jobs know no HTTP", files("backend/jobs/"), ("backend.routes", "backend.serving", "backend.routes.app")),
    ("Label Studio's formats know no store", files("backend/labelstudio/"), ("backend.store",)),
    (
        "redaction, addresses and keys are leaves",
        files("backend/redaction.py", "backend/addresses/url.py", "model/errors.py", "model/label_key.py"),
        ("backend", "model"),
    ),
    (
        "errors know only what must not be seen in them",
        files("backend/errors.py"),
        ("backend.settings.settings", "model"),
    ),
]


@pytest.mark.parametrize(("rule", "paths", "forbidden"), RULES, ids=[rule[0] for rule in RULES])
def test_import_rule_holds(rule: str, paths: list[Path], forbidden: tuple[str, ...]) -> None:
    assert paths, f"the rule '{rule}' matches no file"
    assert offenders(paths, forbidden) == []


def test_nothing_heavy_is_imported_when_the_backend_is_imported() -> None:
    heavy = ("torch", "transformers", "sklearn", "label_studio_sdk", "scipy", "matplotlib")
    assert offenders(files("backend/"), heavy, top_level=True) == []


def test_only_settings_reads_the_environment() -> None:
    pattern = re.compile(r"os\.environ|os\.getenv|environ\[")
    found = [name for name in NAMES if pattern.search((ROOT / name).read_text(encoding="utf-8"))]
    assert found == ["backend/settings/settings.py"]


def test_no_pickle_anywhere() -> None:
    forbidden = ("pickle", "joblib", "dill", "shelve", "marshal")
    assert offenders(SOURCES, forbidden) == []
    calls = [name for name in NAMES if re.search(r"torch\.(load|save)\(", (ROOT / name).read_text(encoding="utf-8"))]
    assert calls == []


def test_no_file_holds_two_ideas() -> None:
    long = {
        name: count for name in NAMES if (count := len((ROOT / name).read_text(encoding="utf-8").splitlines())) > 300
    }
    assert long == {}


def test_the_seam_between_the_packages_knows_only_keys() -> None:
    names = set(imports_of(ROOT / "model/spec.py"))
    assert {name for name in names if name.partition(".")[0] in ("model", "backend")} == {"model.label_key"}
