"""Files in an object store: a real S3 API in a process of its own. No credential of it comes into Redis."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from pyarrow import parquet

from backend.files.locations import open_store, read_location
from backend.jobs.files.predict_files import predict_files
from backend.jobs.learn.refit import refit
from backend.store.work.file_runs import PLANNING
from tests.backend.jobs.files.test_predict_files import ask, free_all, lose_queues, state, text_of, tick_twice, work_off
from tests.support.object_stores import BUCKET, CREDENTIALS, S3Server
from tests.support.tiny import (  # noqa: F401
    KILLED,
    PROJECT,
    Letters,
    armed,
    letters,
    run_apart,
    settings,
    tiny_base,
)

ROWS = 420


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    server = S3Server()
    yield server
    server.close()


@pytest.fixture
def store(s3: S3Server, context: Any, letters: Letters, monkeypatch: pytest.MonkeyPatch) -> Any:  # noqa: F811
    """Two parquet files in the bucket, and a project that has learned."""
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    letters.add(24)
    assert refit(PROJECT) == "published"
    context.settings = context.settings.model_copy(update={"file_roots": f"s3://{BUCKET}/in/,s3://{BUCKET}/out"})
    found = open_store(read_location(f"s3://{BUCKET}/in/", "source"))
    for name, first in (("a", 0), ("b", 210)):
        ids = list(range(first, first + 210))
        table = pyarrow.table({"id": ids, "text": [text_of(number) for number in ids]})
        with found.open(f"{BUCKET}/in/{name}.parquet", "wb") as file:
            parquet.write_table(table, file, row_group_size=64)
    return found


def one_call(given: Any, environment: dict[str, str], run: str, number: int) -> None:
    os.environ.update(environment)  # the fork server has that of the test which started it
    predict_files(PROJECT, run, number)


def rows_of(store: Any, folder: str, tmp_path: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for path in sorted(store.glob(f"{folder}/part-*")):
        (tmp_path / "part").write_bytes(store.cat_file(path))
        rows += parquet.read_table(tmp_path / "part").to_pylist()
    return rows


def test_a_bucket_is_read_and_written_and_a_killed_worker_leaves_no_half_part(
    context: Any, store: Any, s3: S3Server, tmp_path: Path
) -> None:
    output: Any = f"s3://{BUCKET}/out/one"
    run = ask(context, f"s3://{BUCKET}/in/*.parquet", output)
    assert predict_files(PROJECT, run, PLANNING) == "planned"
    assert run_apart(one_call, armed(context.settings, "files.written@1"), s3.environment, run, 1) == KILLED
    assert store.glob(f"{BUCKET}/out/one/part-*") == []
    free_all(context)
    lose_queues(context)
    tick_twice(context)
    work_off(context.settings)
    assert (state(context)["status"], state(context)["shards"]["all"]) == ("done", 6), state(context)
    rows = rows_of(store, f"{BUCKET}/out/one", tmp_path)
    assert [row["id"] for row in rows] == list(range(ROWS)) and all(row["answer"] in ("a", "e") for row in rows)
    assert json.loads(store.cat_file(f"{BUCKET}/out/one/_SUCCESS"))["rows"] == ROWS
    for key in context.stores._redis.scan_iter("*"):
        dump = context.stores.queue._redis.dump(key) or b""
        assert CREDENTIALS["AWS_SECRET_ACCESS_KEY"].encode() not in dump, key


@pytest.mark.long
def test_a_store_that_is_away_is_waited_for(context: Any, store: Any, s3: S3Server) -> None:
    output: Any = f"s3://{BUCKET}/out/two"
    run = ask(context, f"s3://{BUCKET}/in/a.parquet", output)
    assert predict_files(PROJECT, run, PLANNING) == "planned"
    s3.door.is_open = False
    try:
        assert predict_files(PROJECT, run, 0).startswith("failed")
        assert state(context)["status"] == "running" and state(context)["error"]
    finally:
        s3.door.is_open = True
    context.stores.failures.release(PROJECT, "files")
    tick_twice(context)
    work_off(context.settings)
    assert state(context)["status"] == "done", state(context)
