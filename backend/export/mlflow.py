"""The format `mlflow`: the ONNX export as an `mlflow.pyfunc` model, loaded by code that lies beside it."""

from __future__ import annotations

import json
import platform
import shutil
import uuid
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

from backend.export.exported import Exported
from backend.export.onnx import write_onnx
from backend.export.order import Order

LOADER = "understudy_pyfunc"
"""Module in the directory's `code`; a name that no other model's has."""

FORMAT_OF = "2.9.0"
"""The release of mlflow whose form of a model directory is written: later ones read it, too."""

NEEDED = ("onnxruntime", "tokenizers", "numpy", "pandas")


def write_mlflow(order: Order) -> Exported:
    """`DIR/model` is the ONNX export; MLmodel and `code` are what mlflow looks for. Raises as `write_onnx`."""
    inner = order.directory / "model"
    order.directory.mkdir(parents=True)
    found = write_onnx(replace(order, directory=inner))
    _wrap(order, found)
    return found


def _wrap(order: Order, found: Exported) -> None:
    import model.export.pyfunc

    code = order.directory / "code"
    code.mkdir()
    shutil.copyfile(Path(model.export.pyfunc.__file__), code / f"{LOADER}.py")
    requirements = [f"{name}=={version}" if version else name for name, version in _versions()]
    (order.directory / "requirements.txt").write_text("\n".join(requirements) + "\n", encoding="utf-8")
    environment = (
        f"python: {platform.python_version()}\nbuild_dependencies:\n- pip\ndependencies:\n- -r requirements.txt\n"
    )
    (order.directory / "python_env.yaml").write_text(environment, encoding="utf-8")
    inputs = order.source.model.spec.control(order.source.control).inputs
    columns = json.dumps([{"type": "string", "name": name, "required": True} for name in inputs])
    text = (
        f"flavors:\n"
        f"  python_function:\n"
        f"    code: code\n"
        f"    data: model\n"
        f"    env:\n"
        f"      virtualenv: python_env.yaml\n"
        f"    loader_module: {LOADER}\n"
        f"    python_version: {platform.python_version()}\n"
        f"mlflow_version: {FORMAT_OF}\n"
        f"model_uuid: {uuid.uuid4().hex}\n"
        f"signature:\n"
        f"  inputs: {json.dumps(columns, ensure_ascii=True)}\n"
        f"utc_time_created: '{datetime.now(timezone.utc):%Y-%m-%d %H:%M:%S.%f}'\n"
    )
    (order.directory / "MLmodel").write_text(text, encoding="utf-8")


def _versions() -> list[tuple[str, str]]:
    """Of what the model needs, as far as it is installed here."""
    from importlib.metadata import PackageNotFoundError, version

    found = []
    for name in NEEDED:
        try:
            found.append((name, version(name)))
        except PackageNotFoundError:
            found.append((name, ""))
    return found
