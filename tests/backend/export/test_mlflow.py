"""`understudy export --format mlflow`: a real mlflow, in an environment of its own, loads it and answers alike."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from backend.export.export import export_version
from backend.export.wish import Format, Wish
from model.export.pyfunc import _load_pyfunc
from tests.backend.export.leaks import require_clean
from tests.backend.export.test_transformers import PROJECT, learned  # noqa: F401
from tests.support.tiny import settings, tiny_base  # noqa: F401

MLFLOW = ("mlflow-skinny==3.17.2", "pandas", "onnxruntime", "tokenizers")

PROGRAM = """
import json, sys, warnings
warnings.simplefilter("ignore")
import mlflow, pandas
model = mlflow.pyfunc.load_model(sys.argv[1])
frame = pandas.DataFrame({"text": json.loads(sys.argv[2])})
print(json.dumps(model.predict(frame)))
"""


@pytest.mark.long
def test_a_directory_for_mlflow_holds_no_pickle_and_its_program(learned: Any, tmp_path: Path) -> None:  # noqa: F811
    found = export_version(learned.settings, Wish(PROJECT, tmp_path / "model", format=Format.MLFLOW))
    assert found.format is Format.MLFLOW and found.parities[0].agreement == 1
    files = {path.relative_to(tmp_path / "model").as_posix() for path in (tmp_path / "model").rglob("*")}
    assert {"MLmodel", "code/understudy_pyfunc.py", "model/model.onnx", "requirements.txt", "README.md"} <= files
    require_clean(learned, tmp_path / "model", tmp_path)
    said = _load_pyfunc(str(tmp_path / "model" / "model")).predict([{"text": "a b a"}])
    assert said[0]["labels"] == ["a b"] and isinstance(said[0]["ranking"], list)


@pytest.mark.long
@pytest.mark.slow
def test_mlflow_loads_it_and_answers_as_the_version(learned: Any, tmp_path: Path) -> None:  # noqa: F811
    python, uv = tmp_path / "venv" / "bin" / "python", [sys.executable, "-m", "uv", "--quiet"]
    subprocess.run([*uv, "venv", "--python", sys.executable, str(tmp_path / "venv")], check=True)
    subprocess.run([*uv, "pip", "install", "--python", str(python), *MLFLOW], check=True)
    found = export_version(learned.settings, Wish(PROJECT, tmp_path / "model", format=Format.MLFLOW))
    texts = ["a b a", "c d d", "d c a b"]
    command = [str(python), "-I", "-B", "-c", PROGRAM, str(tmp_path / "model"), json.dumps(texts)]
    done = subprocess.run(command, check=True, cwd=tmp_path, capture_output=True, text=True)
    said = json.loads(done.stdout.splitlines()[-1])
    live = learned.live_model(PROJECT, found.version)
    for answer, wanted in zip(said, live.predict([{"text": text} for text in texts]), strict=True):
        assert answer["labels"] == [live.spec.control("label").show(key) for key in wanted[0].chosen]
        assert answer["score"] == pytest.approx(wanted[0].score, abs=1e-4)
