"""Answers of an export for files of any size with Ray Data: an actor a core, and no understudy on the cluster.

    understudy export 7 -o model/
    pip install "ray[data]" onnxruntime tokenizers pyarrow pandas
    python ray_data.py model/ s3://in/ s3://out/ 16

The model's folder must lie on each node at the same path (a shared disk, an image, or `runtime_env`). Columns stay
as they are; `answer` and `score` join them.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import pandas as pd
import ray

BATCH_ROWS = 512


class Answers:
    """One actor: the export, opened once."""

    def __init__(self, folder: str) -> None:
        path = Path(folder)
        spec = importlib.util.spec_from_file_location("exported_predict", path / "predict.py")
        assert spec is not None and spec.loader is not None
        program = sys.modules["exported_predict"] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(program)
        self.model = program.Model(path, threads=1)

    def __call__(self, batch: pd.DataFrame) -> pd.DataFrame:
        told = self.model(batch[self.model.spec["inputs"]].fillna("").to_dict("records"))
        said = [one["labels"] if "labels" in one else one["spans"] for one in told]
        scores = [float(one["score"]) for one in told]
        return batch.assign(answer=[json.dumps(one) for one in said], score=scores)


def main(folder: str, source: str, target: str, actors: str = "2") -> None:
    """Reads and writes parquet."""
    rows = ray.data.read_parquet(source)
    found = rows.map_batches(
        Answers,
        fn_constructor_args=[str(Path(folder).absolute())],
        batch_format="pandas",
        batch_size=BATCH_ROWS,
        concurrency=int(actors),
        num_cpus=1,
    )
    found.write_parquet(target)


if __name__ == "__main__":
    main(*sys.argv[1:])
