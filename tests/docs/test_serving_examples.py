"""The examples of docs/export.md are run: an export behind FastAPI, and behind a server that speaks as Triton does."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import numpy as np
import onnxruntime
import pytest

from model.encoder.encoder import Encoder
from model.export.bundle import write_bundle
from model.export.parity import load_program
from tests.model.export.test_predict import PAIR, SINGLE, documents, source_of
from tests.support.rig import ROOT, free_port
from tests.support.tiny import tiny_base  # noqa: F401

pytestmark = pytest.mark.slow

EXAMPLES = ROOT / "docs" / "examples" / "serving"
SECONDS = 60.0


@pytest.fixture(scope="module", params=["single", "pair"])
def export(request: pytest.FixtureRequest, tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:  # noqa: F811
    directory: Path = tmp_path_factory.mktemp(request.param)
    control = {"single": SINGLE, "pair": PAIR}[request.param]
    write_bundle(source_of(Encoder(tiny_base), control), directory)
    return directory


def load(path: Path, name: str) -> Any:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@contextmanager
def served(export: Path) -> Iterator[str]:
    """The FastAPI example as its docstring starts it."""
    port = free_port()
    command = [sys.executable, "-B", "-m", "uvicorn", "--factory", "service:create_app", "--port", str(port)]
    environment = {**os.environ, "EXPORT": str(export), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, cwd=EXAMPLES, env=environment, stderr=subprocess.PIPE)
    url, deadline = f"http://127.0.0.1:{port}", time.monotonic() + SECONDS
    try:
        while True:
            try:
                assert httpx.get(f"{url}/health").status_code == 200
                break
            except httpx.TransportError:
                assert process.poll() is None and time.monotonic() < deadline
                time.sleep(0.1)
        yield url
    finally:
        process.terminate()
        process.communicate(timeout=SECONDS)


@pytest.mark.long
def test_a_service_answers_as_the_program_does(export: Path) -> None:
    model = load_program(export).Model(export)
    tasks = [dict(one) for one in documents()]
    wanted = json.loads(json.dumps(model(tasks)))
    with served(export) as url:
        assert httpx.get(f"{url}/health").json()["inputs"] == model.spec["inputs"]
        ask = lambda _: httpx.post(f"{url}/predict", json={"tasks": tasks}, timeout=SECONDS).json()["answers"]  # noqa: E731
        with ThreadPoolExecutor(4) as pool:
            for answers in pool.map(ask, range(4)):
                assert [one["labels"] for one in answers] == [one["labels"] for one in wanted]
                np.testing.assert_allclose(
                    [one["score"] for one in answers], [one["score"] for one in wanted], atol=1e-5
                )
        refused = httpx.post(f"{url}/predict", json={"tasks": [{"other": "b"}]})
        assert refused.status_code == 422 and "some have no text" in refused.json()["detail"]
        assert httpx.post(f"{url}/predict", json={"tasks": []}).status_code == 422
        assert httpx.post(f"{url}/predict", json={"tasks": [{"text": 5}]}).status_code == 422


def config_schema() -> ModuleType:
    """Triton's own schema of config.pbtxt, as its client carries it; the package around it needs more."""
    files = importlib.metadata.files("tritonclient") or []
    path = next(one for one in files if str(one) == "tritonclient/grpc/model_config_pb2.py")
    return load(Path(str(path.locate())), "model_config_pb2")


class Server(BaseHTTPRequestHandler):
    """KServe's protocol over onnxruntime: what Triton's onnxruntime backend does with such a repository."""

    session: onnxruntime.InferenceSession

    def do_GET(self) -> None:
        self.reply({"name": "understudy", "inputs": [{"name": one.name} for one in self.session.get_inputs()]})

    def do_POST(self) -> None:
        assert self.path == "/v2/models/understudy/infer"
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        kinds = {"INT64": np.int64, "FP32": np.float32}
        feed = {
            one["name"]: np.array(one["data"], kinds[one["datatype"]]).reshape(one["shape"]) for one in body["inputs"]
        }
        (found,) = self.session.run(None, feed)
        self.reply({"outputs": [{"datatype": "FP32", "shape": found.shape, "data": found.ravel().tolist()}]})

    def reply(self, value: object) -> None:
        content = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None: ...


def test_triton_gets_a_repository_that_its_schema_takes_and_answers_alike(export: Path, tmp_path: Path) -> None:
    from google.protobuf import text_format

    triton, schema = load(EXAMPLES / "triton.py", "triton_example"), config_schema()
    folder = triton.write_repository(export, tmp_path)
    config = text_format.Parse((folder / "config.pbtxt").read_text(encoding="utf-8"), schema.ModelConfig())
    session = onnxruntime.InferenceSession(folder / "1" / "model.onnx", providers=["CPUExecutionProvider"])
    kinds = {"tensor(int64)": schema.TYPE_INT64, "tensor(float)": schema.TYPE_FP32}
    for own, graph in ((config.input, session.get_inputs()), (config.output, session.get_outputs())):
        wanted = [
            (one.name, kinds[one.type], [size if isinstance(size, int) else -1 for size in one.shape]) for one in graph
        ]
        assert [(one.name, one.data_type, list(one.dims)) for one in own] == wanted
    assert config.backend == "onnxruntime" and config.max_batch_size == 0
    handler = type("Own", (Server,), {"session": session})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        rows = tmp_path / "rows.jsonl"
        rows.write_text("".join(json.dumps(dict(one)) + "\n" for one in documents()), encoding="utf-8")
        command = [sys.executable, "-B", str(EXAMPLES / "triton.py"), "ask", str(export)]
        command += [f"http://127.0.0.1:{server.server_port}", str(rows)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        server.shutdown()
    answers = [json.loads(line)["answer"] for line in done.stdout.split("\n")[:-1]]
    assert answers == json.loads(json.dumps(load_program(export).Model(export)(documents())))
