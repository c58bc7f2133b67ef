"""Answers of an export for a Spark table: a pandas UDF, and no understudy on the cluster.

    understudy export 7 -o model/
    spark-submit spark_udf.py model/ 's3a://in/*.parquet' s3a://out/

Each Python worker of an executor needs `pip install onnxruntime tokenizers pyarrow pandas`; the model's folder is sent
to all of them. Columns stay as they are; `answer` and `score` join them.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pandas as pd
from pyspark import SparkFiles
from pyspark.sql import Column, SparkSession
from pyspark.sql.functions import col, pandas_udf, struct

THREADS = 1
"""Spark runs a Python worker a core by itself."""


def load_program(folder: Path) -> ModuleType:
    """predict.py of an export."""
    spec = importlib.util.spec_from_file_location("exported_predict", folder / "predict.py")
    assert spec is not None and spec.loader is not None
    module = sys.modules["exported_predict"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def answers_of(name: str, inputs: list[str]) -> Column:
    """The answers of the export whose folder was sent under this name. Each worker opens it once."""

    @pandas_udf("answer string, score double")
    def answer(batches: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
        folder = Path(SparkFiles.get(name))
        model = load_program(folder).Model(folder, threads=THREADS)
        for batch in batches:
            told = model(batch[inputs].fillna("").to_dict("records"))
            said = [one["labels"] if "labels" in one else one["spans"] for one in told]
            yield pd.DataFrame(
                {"answer": [json.dumps(one) for one in said], "score": [float(one["score"]) for one in told]}
            )

    return answer(struct(*map(col, inputs)))


def main(folder: str, source: str, target: str) -> None:
    """Reads and writes parquet."""
    spark = SparkSession.builder.appName("understudy").getOrCreate()
    spark.sparkContext.addFile(folder, recursive=True)
    inputs = json.loads((Path(folder) / "model.json").read_text(encoding="utf-8"))["inputs"]
    rows = spark.read.parquet(source)
    found = rows.withColumn("found", answers_of(Path(folder).name, inputs)).select("*", "found.*").drop("found")
    found.write.mode("error").parquet(target)


if __name__ == "__main__":
    main(*sys.argv[1:])
