"""What `make install` would run: pip's torch unless another build is asked for, and the choice is kept."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def lines(folder: Path, *arguments: str) -> str:
    """What make would run in `folder`, which has the Makefile and what it looks at."""
    for name in ("Makefile", "requirements.txt", "requirements-dev.txt", "requirements-redis.txt", "pyproject.toml"):
        shutil.copy2(ROOT / name, folder)
    done = subprocess.run(["make", "-n", *arguments], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout


def installed(folder: Path, torch: str) -> None:
    (folder / ".venv" / "bin").mkdir(parents=True)
    (folder / ".venv" / "bin" / "python").touch()
    for name in ("requirements.txt", "requirements-dev.txt", "pyproject.toml"):
        shutil.copy2(ROOT / name, folder)
    (folder / ".venv" / ".torch").write_text(torch)
    for stamp in (".installed", ".developing"):
        (folder / ".venv" / stamp).touch()


def test_plain_pip_by_default(tmp_path: Path) -> None:
    shown = lines(tmp_path, "install")
    assert re.search(r"^\S+python -m pip install \S+ -r requirements.txt$", shown, re.MULTILINE)
    assert "torch-backend" not in shown and "--clear .venv\n" not in shown


@pytest.mark.parametrize("torch", ["cpu", "cu128", "auto"])
def test_another_build_comes_from_pytorch_s_own_index(tmp_path: Path, torch: str) -> None:
    shown = lines(tmp_path, "install", f"TORCH={torch}")
    assert f"-m uv pip install --python .venv/bin/python --torch-backend {torch} -r requirements.txt" in shown
    assert not re.search(r"-m pip install \S+ -r requirements.txt", shown)


def test_the_choice_is_kept_and_another_one_makes_the_environment_anew(tmp_path: Path) -> None:
    installed(tmp_path, "cpu")
    assert "pip" not in lines(tmp_path, "install") and "pip" not in lines(tmp_path, "dev", "TORCH=cpu")
    (tmp_path / ".venv" / ".installed").unlink()
    assert "--torch-backend cpu" in lines(tmp_path, "install"), "an upgrade of a pin brings no CUDA build"
    (tmp_path / ".venv" / ".installed").touch()
    other, pip = lines(tmp_path, "dev", "TORCH=cu130"), lines(tmp_path, "install", "TORCH=")
    assert other.index("venv --clear .venv") < other.index("--torch-backend cu130") < other.index("requirements-dev")
    assert "venv --clear .venv" in pip and "torch-backend" not in pip


def test_the_same_uv_everywhere() -> None:
    found = {
        re.search(r"uv==([\d.]+)|ARG UV=([\d.]+)", (ROOT / name).read_text(encoding="utf-8")).groups()  # type: ignore[union-attr]
        for name in ("Makefile", "requirements-dev.txt", "docker/Dockerfile")
    }
    assert len({version for pair in found for version in pair if version}) == 1


def test_the_pythons_that_are_taken_are_those_that_the_package_admits() -> None:
    with (ROOT / "pyproject.toml").open("rb") as file:
        admitted = tomllib.load(file)["project"]["requires-python"]
    low, high = re.search(r"\((\d+, \d+)\) <= sys.* <= \((\d+, \d+)\)", (ROOT / "Makefile").read_text()).groups()  # type: ignore[union-attr]
    assert admitted == f">={low.replace(', ', '.')},<3.{int(high.split(', ')[1]) + 1}"
