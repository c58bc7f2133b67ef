"""Other engines over the same encoder, for `bench.peak --peers`: ONNX Runtime, OpenVINO, a resident pipeline.

Each gives the mean of the last layer over real tokens, which is pooled within its graph, and has the settings that were
the fastest in a trial on Zen 5: texts sorted by length and padded within batches of at most BATCH_TOKENS (512 won over
1,024 and 4,096 everywhere), a graph for any size, so many threads, no pinning.

* `onnxruntime fp32`: torch's graph after ONNX Runtime's own optimiser for BERT (attention, norms and GELU fused).
  `int8`: that graph by its dynamic quantisation, weights per output channel, which is the way that it documents.
* `openvino fp32`, `bf16`: torch's graph converted, INFERENCE_PRECISION_HINT. `int8`: NNCF's quantisation after training
  for transformers (SmoothQuant, 300 texts that are not measured); what stays float is bf16 where the CPU has that,
  which was faster there than fp32. Latency hint, one stream of all threads.
* `pipeline`: transformers' text classification as the peer keeps it (tests/support/peer_server.py), batch size 1.

With several threads each engine reads one batch with all of them; several batches are spread over as many Python
threads, each with a stream or session of one. `understudy` does as the product: texts are spread, one is not.

An engine runs in a process of its own: thread pools of several in one disturb each other, and its CPU seconds are all
of that process's. Nothing here is part of the product; what it needs beyond requirements-dev.txt is in
requirements-bench.txt.
"""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Self

import numpy as np

OURS = "understudy"
PIPELINE = "pipeline"
NEEDS = {"onnxruntime": ("onnxruntime", "onnx"), "openvino": ("openvino", "nncf"), OURS: (), PIPELINE: ()}
ENGINES = (
    *(f"{OURS} {precision}" for precision in ("fp32", "bf16", "int8")),
    *("onnxruntime fp32", "onnxruntime int8", "openvino fp32", "openvino bf16", "openvino int8", PIPELINE),
)

BATCH_TOKENS = 512
CALIBRATION_TEXTS = 300
INPUTS = ("input_ids", "attention_mask", "token_type_ids")

Embed = Callable[[Sequence[str]], "np.ndarray | None"]
"""Texts to [n, width]; None of an engine that does not show its vectors."""


def missing(engine: str) -> list[str]:
    """Packages that an engine needs and that are not installed."""
    return [package for package in NEEDS[engine.split()[0]] if find_spec(package) is None]


@dataclass(frozen=True)
class Setup:
    """What an engine is opened with. `files`: a folder for prepared models, kept for the next run."""

    engine: str
    encoder: Path
    files: Path
    threads: int


@dataclass(frozen=True)
class Taken:
    """Seconds that an engine took for all texts."""

    cpu: float
    wall: float


class EngineProcess:
    """An engine in a process of its own on the cores of this one. Use as a context manager."""

    def __init__(self, setup: Setup) -> None:
        self.setup = setup

    def __enter__(self) -> Self:
        context = get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(self.setup, theirs), daemon=True)
        with _environment(OMP_NUM_THREADS=str(self.setup.threads), TOKENIZERS_PARALLELISM="false", NNCF_CI="1"):
            self._process.start()
        theirs.close()
        return self

    def __exit__(self, *_: object) -> None:
        self._pipe.close()
        self._process.join(30)
        self._process.kill()

    def read(self, texts: Sequence[str], each: int = 0) -> Taken:
        """All texts in one call, or in calls of `each`."""
        return Taken(*self._ask("read", texts, each or len(texts)))

    def vectors(self, texts: Sequence[str]) -> np.ndarray | None:
        """Pooled outputs [n, width]."""
        return self._ask("vectors", texts, len(texts))

    def _ask(self, *question: object) -> Any:
        try:
            self._pipe.send(question)
            return self._pipe.recv()
        except (EOFError, OSError):
            raise RuntimeError(f"{self.setup.engine} has ended: what it said stands above") from None


@contextmanager
def _environment(**values: str) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(values)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _serve(setup: Setup, pipe: Connection) -> None:
    embed = open_engine(setup)
    while True:
        try:
            what, texts, each = pipe.recv()
        except EOFError:
            return
        if what == "vectors":
            pipe.send(embed(texts))
            continue
        cpu, wall = time.process_time(), time.perf_counter()
        for at in range(0, len(texts), each):
            embed(texts[at : at + each])
        pipe.send((time.process_time() - cpu, time.perf_counter() - wall))


def open_engine(setup: Setup) -> Embed:
    """Ready to read, its model prepared."""
    library, _, precision = setup.engine.partition(" ")
    if library == OURS:
        return _open_ours(setup, precision)
    if library == PIPELINE:
        return _open_pipeline(setup)
    opened = _open_onnxruntime if library == "onnxruntime" else _open_openvino
    run = opened(setup, precision, threads=setup.threads, streams=1)
    if setup.threads == 1:
        return _in_batches(setup.encoder, run)
    return _in_batches(setup.encoder, run, opened(setup, precision, threads=1, streams=setup.threads), setup.threads)


def _open_ours(setup: Setup, precision: str) -> Embed:
    from model.encoder.encoder import Encoder

    encoder = Encoder(setup.encoder, threads=1, precision=precision, timings=setup.files)
    pool = ThreadPoolExecutor(setup.threads)

    def embed(texts: Sequence[str]) -> np.ndarray:
        shares = [[(text,) for text in texts[part :: setup.threads]] for part in range(setup.threads)]
        shares = [share for share in shares if share]
        found = pool.map(encoder.embed, shares) if len(shares) > 1 else [encoder.embed(shares[0])]
        whole = np.empty((len(texts), encoder.width), dtype=np.float32)
        for part, pooled in enumerate(found):
            whole[part :: setup.threads] = pooled[:, -1]
        return whole

    return embed


def _open_pipeline(setup: Setup) -> Embed:
    import torch

    from bench.support.fixtures import write_classifier
    from tests.support.peer_server import build_pipeline

    torch.set_num_threads(setup.threads)
    path = _made(setup.files / "classifier", lambda scratch: write_classifier(setup.encoder, scratch, ["a", "b"]))
    pipeline = build_pipeline(str(path))

    def embed(texts: Sequence[str]) -> None:
        pipeline(list(texts))

    return embed


Arrays = np.ndarray
"""int64 [inputs, batch, tokens] in the order of INPUTS."""

Run = Callable[[Arrays], np.ndarray]
"""A padded batch to [batch, width]."""


def _in_batches(encoder: Path, run: Run, run_beside: Run | None = None, threads: int = 1) -> Embed:
    """`run_beside`: what several batches are read with, from so many threads at once."""
    from model.encoder.windows import Windows
    from model.pretrained.base_model import read_config
    from model.pretrained.reading import read_window

    windows = Windows(encoder, read_window(encoder, read_config(encoder)))
    pool = ThreadPoolExecutor(threads)

    def embed(texts: Sequence[str]) -> np.ndarray:
        # One window a text: bench/support/texts.py cuts them to fewer tokens than the encoder takes.
        rows = sorted(windows.split([(text,) for text in texts]), key=lambda row: len(row.ids))
        batches = [_padded(batch) for batch in _batches(rows)]
        several = run_beside is not None and len(batches) > 1
        found = list(pool.map(run_beside, batches[::-1]))[::-1] if several else list(map(run, batches))
        order = np.argsort([row.text for row in rows])
        return np.concatenate(found)[order]

    return embed


def _batches(rows: Sequence[Any]) -> Iterator[Sequence[Any]]:
    """Of rows sorted by length."""
    start = 0
    for end in range(1, len(rows) + 1):
        if end == len(rows) or (end + 1 - start) * len(rows[end].ids) > BATCH_TOKENS:
            yield rows[start:end]
            start = end


def _padded(rows: Sequence[Any]) -> Arrays:
    found = np.zeros((len(INPUTS), len(rows), len(rows[-1].ids)), dtype=np.int64)
    for place, row in enumerate(rows):
        found[0, place, : len(row.ids)] = row.ids
        found[1, place, : len(row.ids)] = 1
        found[2, place, : len(row.ids)] = row.types
    return found


def _made(path: Path, make: Callable[[Path], object]) -> Path:
    """What `make` writes to a path, once for all runs."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch = path.with_name(f"making-{os.getpid()}-{path.name}")
        make(scratch)
        try:
            scratch.rename(path)
        except OSError:  # an engine beside this one was first: both of OpenVINO's convert the model
            if not path.exists():
                raise
            shutil.rmtree(scratch)
    return path


def _pooled(encoder: Path, attention: str) -> Any:
    """A torch module: token ids, mask and types to the mean of the last layer."""
    import torch
    from transformers import AutoModel
    from transformers.utils import logging

    logging.set_verbosity_error()  # of a pooler that is not needed

    class Pooled(torch.nn.Module):
        """What all engines compute."""

        def __init__(self) -> None:
            super().__init__()
            self.model = AutoModel.from_pretrained(encoder, attn_implementation=attention, dtype=torch.float32)

        def forward(self, input_ids: Any, attention_mask: Any, token_type_ids: Any) -> Any:
            given = dict(zip(INPUTS, (input_ids, attention_mask, token_type_ids), strict=True))
            hidden = self.model(**given).last_hidden_state
            kept = attention_mask[..., None].to(hidden.dtype)
            return (hidden * kept).sum(1) / kept.sum(1)

    return Pooled().eval()


def _example() -> tuple[Any, ...]:
    import torch

    ids = torch.ones(2, 7, dtype=torch.int64)
    return ids, ids.clone(), torch.zeros_like(ids)


def _open_onnxruntime(setup: Setup, precision: str, *, threads: int, streams: int) -> Run:
    import onnxruntime

    fused = _made(setup.files / "fused.onnx", lambda path: _write_fused(setup.encoder, path))
    path = fused if precision == "fp32" else _made(setup.files / "int8.onnx", lambda path: _quantize(fused, path))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    places = {one.name: INPUTS.index(one.name) for one in session.get_inputs()}
    return lambda arrays: session.run(None, {name: arrays[place] for name, place in places.items()})[0]


def _write_fused(encoder: Path, path: Path) -> None:
    """Its optimiser knows the graph of torch's older exporter and plain attention: after the newer one, or with sdpa,
    it finds no attention to fuse."""
    import json
    import warnings

    import torch
    from onnxruntime.transformers import optimizer

    config = json.loads((encoder / "config.json").read_text(encoding="utf-8"))
    plain = path.with_suffix(".plain")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch calls this exporter deprecated
        torch.onnx.export(
            _pooled(encoder, "eager"),
            _example(),
            str(plain),
            input_names=list(INPUTS),
            output_names=["pooled"],
            opset_version=17,
            dynamo=False,
            dynamic_axes={name: {0: "texts", 1: "tokens"} for name in INPUTS} | {"pooled": {0: "texts"}},
        )
    heads, width = config["num_attention_heads"], config["hidden_size"]
    fused = optimizer.optimize_model(str(plain), model_type="bert", num_heads=heads, hidden_size=width, opt_level=0)
    fused.save_model_to_file(str(path))
    plain.unlink()


def _quantize(fused: Path, path: Path) -> None:
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    options = {"MatMulConstBOnly": True, "DefaultTensorType": onnx.TensorProto.FLOAT}
    quantize_dynamic(fused, path, per_channel=True, weight_type=QuantType.QInt8, extra_options=options)


def _open_openvino(setup: Setup, precision: str, *, threads: int, streams: int) -> Run:
    import openvino

    core = openvino.Core()
    folder = _made(setup.files / "openvino", lambda path: _convert(setup.encoder, path))
    if precision == "int8":
        folder = _made(setup.files / "openvino-int8", lambda path: _calibrate(folder / "model.xml", setup, path))
    half = precision != "fp32" and "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    wanted = {
        "INFERENCE_PRECISION_HINT": "bf16" if half else "f32",
        "INFERENCE_NUM_THREADS": threads * streams,
        "NUM_STREAMS": streams,
        "PERFORMANCE_HINT": "LATENCY",
        "ENABLE_CPU_PINNING": False,
    }
    compiled, local = core.compile_model(str(folder / "model.xml"), "CPU", wanted), threading.local()

    def run(arrays: Arrays) -> np.ndarray:
        if (request := getattr(local, "request", None)) is None:
            request = local.request = compiled.create_infer_request()
        request.infer(dict(zip(INPUTS, arrays, strict=True)), share_inputs=True)
        return np.array(request.get_output_tensor(0).data)

    return run


def _convert(encoder: Path, folder: Path) -> None:
    import openvino

    model = openvino.convert_model(_pooled(encoder, "sdpa"), example_input=dict(zip(INPUTS, _example(), strict=True)))
    model.reshape({place: [-1, -1] for place in range(len(INPUTS))})
    for port, name in zip(model.inputs, INPUTS, strict=True):
        port.get_tensor().set_names({name})
    folder.mkdir()
    openvino.save_model(model, folder / "model.xml", compress_to_fp16=False)


def _calibrate(plain: Path, setup: Setup, folder: Path) -> None:
    import nncf
    import openvino

    from bench.support.texts import mixed_texts

    calls: list[Arrays] = []

    def keep(arrays: Arrays) -> np.ndarray:
        calls.append(arrays)
        return np.zeros((arrays.shape[1], 1))

    read = _in_batches(setup.encoder, keep)
    for text in mixed_texts(CALIBRATION_TEXTS, seed=7):
        read([text])
    texts = nncf.Dataset(calls, lambda arrays: dict(zip(INPUTS, arrays, strict=True)))
    model = nncf.quantize(
        openvino.Core().read_model(plain),
        texts,
        model_type=nncf.ModelType.TRANSFORMER,
        preset=nncf.QuantizationPreset.MIXED,
        subset_size=CALIBRATION_TEXTS,
    )
    folder.mkdir()
    openvino.save_model(model, folder / "model.xml", compress_to_fp16=False)
