"""The chart, rendered once a session by the tools of `make helm`."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[3]
PYTHON = ROOT / ".helm" / "bin" / "python"

Manifest = dict[str, Any]


@dataclass(frozen=True)
class Rendered:
    """`report`: what is checked -> what is wrong with it. `cases`: manifests. `linted`: the folder for a linter."""

    report: dict[str, list[str]]
    cases: dict[str, list[Manifest]]
    linted: Path


@pytest.fixture(scope="session")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Rendered:
    if not (ROOT / ".helm" / ".installed").exists():
        pytest.skip("`make helm` installs what renders the chart")
    folder = tmp_path_factory.mktemp("helm")
    command = [PYTHON, "-m", "tests.docker.helm.render", folder]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout.startswith("{"), done.stderr[-2000:]
    cases = {path.stem: list(yaml.safe_load_all(path.read_text("utf-8"))) for path in folder.glob("*.yaml")}
    return Rendered(json.loads(done.stdout), cases, folder / "linted")


@pytest.fixture
def manifests(rendered: Rendered, case: str) -> list[Manifest]:
    """Of one case."""
    return rendered.cases[case]
