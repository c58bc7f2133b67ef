"""The import rules of the project: rooms with one idea each, imported one way; heavy and stateful libraries in few."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCES = sorted([*ROOT.glob("model/**/*.py"), *ROOT.glob("backend/**/*.py")])
NAMES = [path.relative_to(ROOT).as_posix() for path in SOURCES]

ALLOWED: dict[str, str] = {
    "model": "",
    "model/numerics": "model",
    "model/kernels": "model",
    "model/pretrained": "model model/numerics model/kernels",
    "model/encoder": "model model/numerics model/kernels model/pretrained",
    "model/features": "model model/numerics model/kernels model/encoder",
    "model/decoding": "model model/numerics",
    "model/duplicates": "model model/numerics",
    "model/spans/chain": "model/numerics",
    "model/spans": "model model/numerics model/spans/chain",
    "model/spans/patterns": "model model/spans",
    "model/spans/transfer": "model model/numerics model/kernels model/pretrained model/spans/chain model/spans",
    "model/spans/features": (
        "model model/numerics model/kernels model/encoder model/features model/spans/chain model/spans "
        "model/spans/patterns model/spans/transfer"
    ),
    "model/spans/head": (
        "model model/numerics model/spans/chain model/spans model/spans/patterns model/spans/transfer "
        "model/spans/features"
    ),
    "model/questions": (
        "model model/numerics model/pretrained model/spans/chain model/spans model/spans/transfer "
        "model/spans/features model/spans/head"
    ),
    "model/head": "model model/numerics model/pretrained model/features model/decoding",
    "model/regions": "model model/numerics model/spans model/spans/features model/spans/head model/head",
    "model/evidence/annotators": "model model/numerics",
    "model/evidence": "model/numerics model/head",
    "model/evidence/report": "model model/numerics model/evidence",
    "model/versions": (
        "model model/numerics model/pretrained model/features model/decoding model/spans/chain model/spans "
        "model/spans/patterns model/spans/transfer model/spans/features model/spans/head model/questions model/head "
        "model/regions model/evidence"
    ),
    "model/export": (
        "model model/numerics model/pretrained model/encoder model/features model/decoding model/head model/versions"
    ),
    "model/export/spans": (
        "model model/numerics model/pretrained model/encoder model/spans/chain model/spans model/spans/patterns "
        "model/spans/transfer model/spans/features model/spans/head model/questions model/export"
    ),
    "model/training/layers": "model/kernels model/encoder",
    "model/training/marks": (
        "model model/numerics model/encoder model/spans model/spans/transfer model/spans/features model/spans/head "
        "model/evidence model/training/layers"
    ),
    "model/training/questions": (
        "model/pretrained model/encoder model/spans model/spans/features model/questions model/training/layers "
        "model/training/marks"
    ),
    "model/training": (
        "model model/numerics model/kernels model/pretrained model/encoder model/features model/decoding "
        "model/spans/chain model/spans/patterns model/spans/transfer model/spans/features model/spans/head "
        "model/questions model/head model/evidence model/versions model/training/layers model/training/marks "
        "model/training/questions"
    ),
    "model/training/imports": (
        "model model/numerics model/pretrained model/encoder model/features model/head model/evidence "
        "model/versions model/training"
    ),
    "model/export/stock": (
        "model model/numerics model/pretrained model/encoder model/decoding model/evidence model/versions "
        "model/export model/training"
    ),
    "model/export/stock/spans": (
        "model model/numerics model/encoder model/spans/chain model/spans model/spans/features model/spans/head "
        "model/questions model/versions model/export model/training/marks model/training model/export/stock"
    ),
    "model/training/spans": (
        "model model/encoder model/spans/chain model/spans model/spans/transfer model/spans/features"
    ),
    "model/acquisition": "model model/numerics model/features model/spans/patterns model/spans/features model/versions",
    "model/explain": (
        "model model/numerics model/spans/chain model/spans model/spans/patterns model/spans/features "
        "model/spans/head model/questions model/versions"
    ),
    "model/simulation": (
        "model model/numerics model/features model/decoding model/spans model/spans/features model/spans/head "
        "model/questions model/head model/versions model/acquisition"
    ),
    "backend": "model model/evidence",
    "backend/addresses": "backend",
    "backend/settings": "model backend backend/addresses",
    "backend/outbound": "backend backend/addresses backend/settings",
    "backend/artifacts": "model model/versions backend backend/addresses backend/settings",
    "backend/export/archive": "model backend backend/artifacts",
    "backend/labelstudio/text": "model",
    "backend/labelstudio/label_config": "model model/explain backend backend/labelstudio/text",
    "backend/labelstudio/spans": "model backend backend/labelstudio/text backend/labelstudio/label_config",
    "backend/labelstudio/regions": "model backend/labelstudio/label_config backend/labelstudio/spans",
    "backend/labelstudio/questions": (
        "model backend/labelstudio/text backend/labelstudio/label_config backend/labelstudio/spans"
    ),
    "backend/labelstudio": (
        "model backend backend/labelstudio/text backend/labelstudio/label_config backend/labelstudio/spans "
        "backend/labelstudio/regions backend/labelstudio/questions"
    ),
    "backend/labelstudio/rest": "backend backend/settings backend/outbound backend/labelstudio",
    "backend/telemetry": "backend backend/settings backend/labelstudio",
    "backend/supervision": "backend backend/addresses backend/settings",
    "backend/labelstudio/local": "backend backend/settings backend/supervision",
    "backend/embedded_redis": "backend backend/addresses backend/settings backend/telemetry backend/supervision",
    "backend/redis_access": "backend backend/addresses backend/settings backend/outbound backend/telemetry",
    "backend/client": (
        "model model/evidence backend backend/addresses backend/settings backend/outbound backend/labelstudio "
        "backend/supervision backend/redis_access"
    ),
    "backend/base_model": (
        "model model/kernels model/pretrained model/encoder model/features model/spans/transfer "
        "model/spans/features model/versions backend backend/settings backend/outbound"
    ),
    "backend/files": "model model/features model/versions backend backend/labelstudio/label_config backend/labelstudio",
    "backend/store/outbox": "backend backend/settings backend/redis_access",
    "backend/store/work": "model backend backend/redis_access backend/store/outbox",
    "backend/store/spans": "model/spans/patterns backend/redis_access",
    "backend/store/admin": "backend/redis_access",
    "backend/store/duplicates": "model backend backend/redis_access",
    "backend/store": (
        "model model/evidence backend backend/settings backend/labelstudio/spans backend/labelstudio "
        "backend/redis_access backend/store/outbox backend/store/work backend/store/spans backend/store/admin "
        "backend/store/duplicates"
    ),
    "backend/teacher": "model backend backend/settings backend/outbound",
    "backend/notify": "model backend backend/settings backend/outbound backend/labelstudio/rest backend/store/outbox",
    "backend/health": (
        "model/evidence backend backend/settings backend/redis_access backend/store/outbox backend/store/work "
        "backend/store"
    ),
    "backend/rejects": "backend backend/labelstudio backend/telemetry backend/store",
    "backend/rules": (
        "model model/evidence/annotators model/evidence backend backend/settings backend/labelstudio/regions "
        "backend/labelstudio backend/store"
    ),
    "backend/rules/notice": "model/evidence backend/store",
    "backend/rules/training": "model/evidence backend backend/store backend/rules",
    "backend/dataset": "model model/evidence backend backend/labelstudio backend/store backend/rules",
    "backend/client/dataset": "model/encoder backend backend/client backend/dataset",
    "backend/serving": (
        "model model/decoding model/spans/features model/head model/versions model/explain backend backend/settings "
        "backend/artifacts backend/labelstudio/label_config backend/labelstudio/spans backend/labelstudio "
        "backend/telemetry backend/base_model backend/store/duplicates backend/store"
    ),
    "backend/jobs": (
        "model model/features model/spans/patterns model/versions backend backend/settings backend/artifacts "
        "backend/export/archive backend/labelstudio backend/telemetry backend/supervision backend/redis_access "
        "backend/base_model backend/store/work backend/store/spans backend/store/duplicates backend/store"
    ),
    "backend/jobs/teach": (
        "model model/features model/spans model/spans/patterns model/acquisition backend backend/settings "
        "backend/labelstudio backend/store/work backend/teacher backend/jobs"
    ),
    "backend/jobs/learn": (
        "model model/numerics model/kernels model/features model/decoding model/duplicates model/spans "
        "model/spans/head model/head model/regions model/evidence model/versions model/acquisition backend "
        "backend/labelstudio backend/base_model backend/store/outbox backend/store/work backend/store/duplicates "
        "backend/store backend/rules backend/rules/notice backend/jobs backend/jobs/teach"
    ),
    "backend/jobs/train": (
        "model model/pretrained model/evidence model/training backend backend/settings backend/artifacts "
        "backend/labelstudio backend/supervision backend/base_model backend/store/outbox backend/store/work "
        "backend/store backend/rules backend/rules/training backend/jobs backend/jobs/learn"
    ),
    "backend/jobs/task_queue": (
        "model model/numerics model/features model/decoding model/spans/features model/spans/head model/evidence "
        "model/versions model/acquisition backend backend/settings backend/labelstudio/label_config "
        "backend/labelstudio/spans backend/labelstudio backend/labelstudio/rest backend/store/work "
        "backend/store/duplicates backend/store backend/rules backend/jobs"
    ),
    "backend/jobs/sync": (
        "model backend backend/settings backend/labelstudio backend/labelstudio/rest backend/store backend/rejects "
        "backend/rules backend/jobs backend/jobs/task_queue"
    ),
    "backend/jobs/predict": (
        "model backend backend/labelstudio/rest backend/client backend/store/work backend/store backend/jobs"
    ),
    "backend/jobs/files": "model backend backend/files backend/store/work backend/jobs",
    "backend/backup": (
        "model model/versions backend backend/settings backend/artifacts backend/embedded_redis "
        "backend/redis_access backend/store"
    ),
    "backend/simulate": (
        "model model/encoder model/features model/spans model/spans/patterns model/spans/features model/head "
        "model/evidence model/versions model/training model/simulation backend backend/settings "
        "backend/labelstudio/spans backend/labelstudio/questions backend/labelstudio backend/base_model "
        "backend/store backend/rules backend/jobs/train"
    ),
    "backend/connection": (
        "backend backend/settings backend/labelstudio backend/labelstudio/rest backend/redis_access backend/store "
        "backend/rules backend/jobs/task_queue backend/jobs/sync"
    ),
    "backend/application/spans": "model model/spans/patterns backend backend/labelstudio backend/store",
    "backend/ui": "",
    "backend/application/encoder": "model backend backend/settings backend/base_model backend/store/work backend/store",
    "backend/application/teacher": (
        "model backend backend/settings backend/labelstudio backend/store/work backend/store backend/teacher"
    ),
    "backend/application": (
        "model model/duplicates model/evidence model/versions model/acquisition model/explain backend "
        "backend/settings backend/artifacts backend/export/archive backend/labelstudio/label_config "
        "backend/labelstudio/spans backend/labelstudio backend/labelstudio/rest backend/telemetry "
        "backend/redis_access backend/base_model backend/store/outbox backend/store/work backend/store/duplicates "
        "backend/store backend/notify backend/rejects backend/rules backend/rules/notice backend/serving "
        "backend/jobs/sync backend/application/spans backend/ui backend/application/encoder "
        "backend/application/teacher"
    ),
    "backend/application/files": "model backend backend/redis_access backend/files backend/store/work backend/store",
    "backend/imports": (
        "model model/pretrained model/training model/training/imports model/export/stock backend backend/settings "
        "backend/artifacts backend/embedded_redis backend/base_model backend/store/outbox backend/store "
        "backend/jobs/train"
    ),
    "backend/export/facts": "model model/pretrained model/evidence model/evidence/report backend backend/labelstudio",
    "backend/export": (
        "model model/encoder model/spans/features model/evidence model/evidence/report model/versions model/export "
        "model/export/spans model/export/stock model/export/stock/spans backend backend/settings backend/artifacts "
        "backend/labelstudio backend/embedded_redis backend/base_model backend/store backend/rules "
        "backend/application backend/export/facts"
    ),
    "backend/application/export": (
        "model backend backend/export/archive backend/labelstudio backend/store/work backend/client/dataset "
        "backend/application backend/export"
    ),
    "backend/ui/charts": "model/evidence model/evidence/report backend/ui",
    "backend/ui/views/teacher": "backend backend/addresses backend/application/teacher backend/application",
    "backend/ui/views": (
        "model model/evidence model/evidence/report backend backend/artifacts backend/labelstudio "
        "backend/base_model backend/store/work backend/store/admin backend/store backend/health backend/rejects "
        "backend/rules backend/ui backend/application/encoder backend/application backend/application/files "
        "backend/export backend/application/export backend/ui/views/teacher"
    ),
    "backend/doctor": (
        "model backend backend/addresses backend/settings backend/outbound backend/artifacts "
        "backend/labelstudio/rest backend/supervision backend/labelstudio/local backend/embedded_redis "
        "backend/redis_access backend/client backend/base_model backend/store/outbox backend/store/work "
        "backend/store backend/notify backend/health backend/rejects backend/rules backend/jobs/task_queue"
    ),
    "backend/jobs/doctor": "backend backend/store/admin backend/jobs backend/doctor",
    "backend/web": (
        "model backend backend/settings backend/labelstudio backend/supervision backend/redis_access "
        "backend/store/outbox backend/store/work backend/health backend/rejects backend/serving backend/ui "
        "backend/application"
    ),
    "backend/routes/export": "backend backend/export/archive backend/application/export backend/web",
    "backend/jobs/export": (
        "model backend backend/settings backend/artifacts backend/export/archive backend/base_model "
        "backend/store/work backend/client/dataset backend/jobs backend/jobs/train backend/export"
    ),
    "backend/routes/encoder": "backend/application/encoder backend/web",
    "backend/routes/teacher": "backend/application/teacher backend/web",
    "backend/routes/files": "backend/application/files backend/web",
    "backend/routes/ui": (
        "backend backend/telemetry backend/redis_access backend/store/admin backend/store backend/health "
        "backend/rules backend/serving backend/ui backend/application/encoder backend/application/teacher "
        "backend/application backend/application/files backend/application/export backend/ui/charts "
        "backend/ui/views backend/web backend/routes/export"
    ),
    "backend/routes": (
        "model backend backend/labelstudio backend/telemetry backend/rejects backend/rules backend/dataset "
        "backend/serving backend/application/spans backend/application backend/web backend/routes/export "
        "backend/routes/encoder backend/routes/teacher backend/routes/files backend/routes/ui"
    ),
    "backend/workers": "backend backend/settings backend/redis_access backend/jobs",
    "backend/processes": (
        "model/spans model/head model/versions backend backend/addresses backend/settings backend/outbound "
        "backend/export/archive backend/labelstudio backend/labelstudio/rest backend/telemetry backend/supervision "
        "backend/labelstudio/local backend/embedded_redis backend/redis_access backend/client backend/store/work "
        "backend/store backend/notify backend/rules backend/rules/training backend/jobs backend/jobs/learn "
        "backend/jobs/task_queue backend/jobs/files backend/connection backend/application backend/web "
        "backend/routes backend/workers"
    ),
    "backend/cli/options": "backend/settings backend/client",
    "backend/cli/pool": (
        "model/duplicates backend backend/settings backend/labelstudio/rest backend/client backend/jobs/sync "
        "backend/cli/options"
    ),
    "backend/cli/export": (
        "model backend backend/settings backend/client backend/base_model backend/client/dataset backend/imports "
        "backend/export backend/cli/options"
    ),
    "backend/cli/files": "backend backend/settings backend/client backend/files",
    "backend/cli/encoder": "backend backend/client backend/cli/options",
    "backend/cli/teacher": "backend backend/client backend/cli/options",
    "backend/cli/simulate": (
        "model model/spans/patterns model/acquisition model/simulation backend backend/settings backend/simulate"
    ),
    "backend/cli/notify": "backend backend/settings backend/store/outbox backend/store backend/notify",
    "backend/cli": (
        "model model/spans model/spans/patterns model/spans/transfer model/evidence model/training/spans "
        "model/acquisition backend backend/addresses backend/settings backend/labelstudio backend/labelstudio/rest "
        "backend/supervision backend/embedded_redis backend/client backend/base_model backend/rejects backend/rules "
        "backend/jobs/sync backend/backup backend/connection backend/doctor backend/processes backend/cli/options "
        "backend/cli/pool backend/cli/export backend/cli/files backend/cli/encoder backend/cli/teacher "
        "backend/cli/simulate backend/cli/notify"
    ),
    "backend/reference": "model backend backend/settings backend/redis_access backend/web backend/cli",
}
"""Room -> the rooms whose modules its own may import, at any time and for types alone. In the order of building: a room
names only rooms above it, so no table of this shape allows a cycle."""

ENTRY_POINTS = ("backend/__main__.py", "backend/_wsgi.py")
"""Run by name (`python -m backend`, label-studio-ml): they lie where that name is, and import what they start."""

MODULES_A_ROOM = 12

LINES_WITH_ANY = {"model/": 0, "backend/": 80}
"""At most: where `Any` stands, mypy checks nothing."""


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
    (
        "torch stays in few rooms of model",
        files(
            "model/", but=("model/encoder/", "model/export/", "model/kernels/", "model/training/", "model/simulation/")
        ),
        ("torch", "transformers"),
    ),
    (
        "flask stays at the edge",
        files("backend/", but=("backend/web/", "backend/routes/", "backend/_wsgi.py")),
        ("flask",),
    ),
    (
        "redis stays behind its door",
        files("backend/", but=("backend/redis_access/", "backend/workers/")),
        ("redis", "rq"),
    ),
    ("redaction and label keys are leaves", files("backend/redaction.py", "model/label_key.py"), ("backend", "model")),
    ("errors know only what must not be seen in them", files("backend/errors.py"), ("backend.settings", "model")),
]


@pytest.mark.parametrize(("rule", "paths", "forbidden"), RULES, ids=[rule[0] for rule in RULES])
def test_import_rule_holds(rule: str, paths: list[Path], forbidden: tuple[str, ...]) -> None:
    assert paths, f"the rule '{rule}' matches no file"
    assert offenders(paths, forbidden) == []


def room_of(name: str) -> str:
    """The folder of a path."""
    return name.rpartition("/")[0]


def modules_of(path: Path) -> Iterator[str]:
    """Paths of our own modules that this one imports, also inside functions and for types alone."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            wanted = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            wanted = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            continue
        for name in wanted:
            if (found := f"{name.replace('.', '/')}.py") in NAMES:
                yield found


def test_every_room_is_imported_one_way() -> None:
    assert {room_of(name) for name in NAMES} == set(ALLOWED), "a room without a line, or a line without a room"
    order = list(ALLOWED)
    up = [
        f"{room}: {below}"
        for room, names in ALLOWED.items()
        for below in names.split()
        if below not in order[: order.index(room)]
    ]
    assert up == [], "a room may name only rooms above it in the table"


def test_every_import_is_allowed() -> None:
    found: dict[str, set[str]] = {room: set() for room in ALLOWED}
    forbidden = []
    for name in NAMES:
        for other in modules_of(ROOT / name) if name not in ENTRY_POINTS else ():
            if room_of(other) == room_of(name):
                continue
            found[room_of(name)].add(room_of(other))
            if room_of(other) not in ALLOWED[room_of(name)].split():
                forbidden.append(f"{name}: {other}")
    assert forbidden == []
    unused = {room: set(names.split()) - found[room] for room, names in ALLOWED.items()}
    assert {room: names for room, names in unused.items() if names} == {}, "allowed, and imported nowhere"


def test_modules_have_no_cycles() -> None:
    imported = {name: set(modules_of(ROOT / name)) - {name} for name in NAMES}
    while leaves := {name for name, needs in imported.items() if not needs}:
        imported = {name: needs - leaves for name, needs in imported.items() if name not in leaves}
    assert imported == {}


def test_a_room_is_small_and_says_its_idea() -> None:
    for room in ALLOWED:
        modules = [name for name in NAMES if room_of(name) == room and not name.endswith("__init__.py")]
        assert len(modules) <= MODULES_A_ROOM, room
        idea = ast.get_docstring(ast.parse((ROOT / room / "__init__.py").read_text(encoding="utf-8"))) or ""
        assert len(idea) > 20 and idea.splitlines()[0].endswith("."), room


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


def test_few_lines_leave_a_type_open() -> None:
    def lines_with_any(package: str) -> int:
        texts = ((ROOT / name).read_text(encoding="utf-8") for name in NAMES if name.startswith(package))
        lines = (line for text in texts for line in text.splitlines())
        return sum(bool(re.search(r"\bAny\b", line)) and not re.match(r"\s*(from|import)\s", line) for line in lines)

    found = {package: lines_with_any(package) for package in LINES_WITH_ANY}
    assert {package: count for package, count in found.items() if count > LINES_WITH_ANY[package]} == {}


def test_no_file_is_too_long_for_one_idea() -> None:
    long = {
        name: count for name in NAMES if (count := len((ROOT / name).read_text(encoding="utf-8").splitlines())) > 400
    }
    assert long == {}


def test_the_seam_between_the_packages_knows_only_keys() -> None:
    names = set(imports_of(ROOT / "model/spec.py"))
    assert {name for name in names if name.partition(".")[0] in ("model", "backend")} == {
        *("model.labels", "model.region", "model.span", "model.spec_json")
    }
