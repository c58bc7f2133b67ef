"""An export behind Triton: the server runs the graph, and whoever asks reads the texts.

    python triton.py write DIR REPOSITORY          # REPOSITORY/understudy/config.pbtxt and 1/model.onnx
    docker run --rm -p 8000:8000 -v REPOSITORY:/models nvcr.io/nvidia/tritonserver:25.10-py3 \\
        tritonserver --model-repository=/models
    python triton.py ask DIR http://localhost:8000 texts.csv

The graph takes matrices whose sizes depend on the texts together, so that Triton must not put requests together
(`max_batch_size: 0`): many texts go into one request instead. Needs onnxruntime and tokenizers, as predict.py does.
"""

from __future__ import annotations

import importlib.util
import json
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import numpy as np
import onnxruntime

NAME = "understudy"
GRAPH_TYPES = {"tensor(int64)": "TYPE_INT64", "tensor(float)": "TYPE_FP32"}
WIRE_TYPES = {"INT64": np.int64, "FP32": np.float32}


def write_repository(directory: Path, repository: Path, graph: str = "model.onnx", name: str = NAME) -> Path:
    """The model's folder in a repository: the graph, and what Triton must know of it. `graph`: of the export."""
    folder = repository / name
    (folder / "1").mkdir(parents=True)
    shutil.copyfile(directory / graph, folder / "1" / "model.onnx")
    session = onnxruntime.InferenceSession(directory / graph, providers=["CPUExecutionProvider"])
    lines = [f'name: "{name}"', 'backend: "onnxruntime"', "max_batch_size: 0"]
    lines += ["input [", ",\n".join(describe(one) for one in session.get_inputs()), "]"]
    lines += ["output [", ",\n".join(describe(one) for one in session.get_outputs()), "]"]
    lines += ["instance_group [ { kind: KIND_CPU count: 1 } ]"]
    (folder / "config.pbtxt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def describe(one: Any) -> str:
    """An input or output as config.pbtxt has it; sizes that texts decide are -1."""
    sizes = ", ".join(str(size) if isinstance(size, int) else "-1" for size in one.shape)
    return f'  {{ name: "{one.name}" data_type: {GRAPH_TYPES[one.type]} dims: [ {sizes} ] }}'


@dataclass(frozen=True)
class Named:
    """An input of the graph."""

    name: str


class Remote:
    """Runs the graph on a server (KServe's protocol, version 2), in the place of an onnxruntime session."""

    def __init__(self, url: str, name: str = NAME) -> None:
        self.url = f"{url.rstrip('/')}/v2/models/{name}"

    def get_inputs(self) -> list[Named]:
        """As onnxruntime has them."""
        return [Named(one["name"]) for one in self.ask(Request(self.url))["inputs"]]

    def run(self, _: None, feed: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """What the graph says."""
        kinds = {np.dtype(kind): name for name, kind in WIRE_TYPES.items()}
        inputs = [
            {"name": name, "shape": list(own.shape), "datatype": kinds[own.dtype], "data": own.ravel().tolist()}
            for name, own in feed.items()
        ]
        body = json.dumps({"inputs": inputs}).encode()
        found = self.ask(Request(f"{self.url}/infer", body, {"Content-Type": "application/json"}))["outputs"][0]
        return [np.array(found["data"], WIRE_TYPES[found["datatype"]]).reshape(found["shape"])]

    def ask(self, request: Request) -> Any:
        """The reply's JSON."""
        with urlopen(request, timeout=60) as reply:
            return json.load(reply)


def load_program(directory: Path) -> Any:
    """predict.py of an export."""
    spec = importlib.util.spec_from_file_location("predict", directory / "predict.py")
    if spec is None or spec.loader is None:
        raise FileNotFoundError(directory / "predict.py")
    program = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(program)
    return program


def main(arguments: Sequence[str]) -> None:
    """Command line entry."""
    if len(arguments) == 3 and arguments[0] == "write":
        print(write_repository(Path(arguments[1]), Path(arguments[2])))
    elif len(arguments) == 4 and arguments[0] == "ask":
        program = load_program(Path(arguments[1]))
        model = program.Model(arguments[1], session=Remote(arguments[2]))
        program.beside("files").answer_file(model, Path(arguments[3]), None)
    else:
        raise SystemExit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
