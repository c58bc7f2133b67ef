"""Files of any size: real Redis, RQ worker and scheduler, real files; workers that are killed anywhere."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from pyarrow import parquet

from backend.application.files.file_runs import cancel_files, describe_files, request_files
from backend.errors import BadRequest, Conflict
from backend.jobs.files.predict_files import predict_files
from backend.jobs.learn.refit import refit
from backend.processes.scheduler import Scheduler
from backend.settings.settings import Settings
from backend.store.work.file_runs import PLANNING, SHARD_ATTEMPTS
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

ROWS = 1_050
SHARD = 100


@pytest.fixture
def version(context: Any, letters: Letters, tmp_path: Path) -> str:  # noqa: F811
    """A project that has learned; its workers may read and write in the test's own folder."""
    letters.add(24)
    assert refit(PROJECT) == "published"
    context.settings = context.settings.model_copy(update={"file_roots": str(tmp_path)})
    return str(context.stores.versions.live(PROJECT))


def text_of(number: int) -> str:
    return f"{'abcdefgh'[number % 8]} {'abcdefgh'[number // 8 % 8]}, {number}"


def write_csv(path: Path, rows: int = ROWS) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "text", "note"])
        writer.writerows([f"row-{number}", text_of(number), 'said "so",\nand more'] for number in range(rows))


def write_lines(path: Path, rows: int = ROWS) -> None:
    path.write_text("".join(json.dumps({"id": number, "text": text_of(number)}) + "\n" for number in range(rows)))


def write_parquet(path: Path, rows: int = ROWS, group: int = 170) -> None:
    ids, texts = list(range(rows)), [text_of(number) for number in range(rows)]
    parquet.write_table(pyarrow.table({"id": ids, "text": texts, "when": ids}), path, row_group_size=group)


def ask(context: Any, source: Path | str, output: Path, **more: Any) -> str:
    body = {"source": str(source), "output": f"{output}/", "rows": SHARD, **more}
    return str(request_files(context.stores, PROJECT, body)["id"])


def work_off(given: Settings) -> None:
    """What a worker does, until its queue is empty."""
    from backend.workers.worker import build_worker

    build_worker(given, "files").work(burst=True, with_scheduler=False)


def one_call(given: Settings, run: str, number: int) -> None:
    """In a process of its own."""
    predict_files(PROJECT, run, number)


def read_parts(output: Path) -> list[dict[str, Any]]:
    """All rows, in the order of parts."""
    rows: list[dict[str, Any]] = []
    for part in sorted(output.glob("part-*")):
        if part.suffix == ".csv":
            with part.open(newline="") as file:
                rows += csv.DictReader(file)
        elif part.suffix == ".jsonl":
            rows += [json.loads(line) for line in part.read_text().splitlines()]
        else:
            rows += parquet.read_table(part).to_pylist()
    return rows


def state(context: Any) -> Any:
    return describe_files(context.stores, PROJECT)


def free_all(context: Any) -> None:
    """As if LEASE_SECONDS had passed since the workers died."""
    for key in context.stores._redis.scan_iter("understudy:*:files:lease:*"):
        context.stores._redis.delete(key)


def lose_queues(context: Any) -> None:
    for key in context.stores._redis.scan_iter("rq:*"):
        context.stores._redis.delete(key)


def tick_twice(context: Any) -> None:
    """Two looks of the scheduler, a minute apart."""
    scheduler, still = Scheduler(context), context.stores.file_runs.still
    scheduler.tick()
    clock = still.clock
    still.clock = lambda: clock() + 60
    assert scheduler.tick()
    scheduler.leave()


@pytest.mark.parametrize(("suffix", "write"), [("csv", write_csv), ("jsonl", write_lines), ("parquet", write_parquet)])
def test_each_row_comes_out_once_in_order_with_what_the_version_says(
    context: Any, version: str, tmp_path: Path, suffix: str, write: Any
) -> None:
    write(tmp_path / f"in.{suffix}")
    ask(context, tmp_path / f"in.{suffix}", tmp_path / "out")
    work_off(context.settings)
    shown = state(context)
    assert (shown["status"], shown["step"], shown["of"], shown["errors"]) == ("done", ROWS, ROWS, 0), shown
    rows = read_parts(tmp_path / "out")
    assert [row["text"] for row in rows] == [text_of(number) for number in range(ROWS)]
    assert {row["version"] for row in rows} == {version}
    model = context.live_model(PROJECT, version)
    told = model.predict([{"text": text_of(number)} for number in range(40)])
    spec = model.spec.controls[0]
    assert [row["answer"] for row in rows[:40]] == [spec.show(one.chosen[0]) for [one] in told]
    assert [float(row["score"]) for row in rows[:40]] == pytest.approx([one.score for [one] in told], abs=2e-3)
    assert len(list((tmp_path / "out").glob("part-*"))) == 11 and not list((tmp_path / "out").glob("_err*"))
    assert json.loads((tmp_path / "out" / "_SUCCESS").read_text())["rows"] == ROWS
    assert not (tmp_path / "out" / "_temporary").exists()
    if suffix == "csv":
        assert {row["note"] for row in rows} == {'said "so",\nand more'}
    if suffix == "parquet":
        schema = parquet.read_schema(tmp_path / "out" / "part-00003.parquet")
        assert schema.names == ["id", "text", "when", "answer", "score", "version"]


def test_rows_that_cannot_be_answered_are_told_of_and_fail_nothing(context: Any, version: str, tmp_path: Path) -> None:
    lines = [json.dumps({"id": number, "text": text_of(number)}) for number in range(250)]
    lines[7], lines[8], lines[110] = "{broken", json.dumps({"id": 8}), ""
    (tmp_path / "in.jsonl").write_text("\n".join(lines) + "\n")
    ask(context, tmp_path / "in.jsonl", tmp_path / "out")
    work_off(context.settings)
    assert (state(context)["status"], state(context)["errors"]) == ("done", 2)
    rows = read_parts(tmp_path / "out")
    assert [row["id"] for row in rows] == [number for number in range(250) if number not in (7, 110)]
    [told] = (tmp_path / "out" / "_errors").iterdir()
    broken, missing = map(json.loads, told.read_text().splitlines())
    assert (broken["row"], broken["written"]) == (8, False) and "no JSON" in broken["reason"]
    assert (missing["row"], missing["written"]) == (9, True) and "'text' is missing" in missing["reason"]
    assert rows[7] == {"id": 8, "answer": None, "score": None, "version": version}


def test_many_files_are_one_run_and_their_order_is_that_of_their_names(
    context: Any, version: str, tmp_path: Path
) -> None:
    (tmp_path / "in").mkdir()
    for name, rows in (("b", 130), ("a", 220), ("c", 0)):
        write_lines(tmp_path / "in" / f"{name}.jsonl", rows)
    (tmp_path / "in" / "_note.jsonl").write_text("{}")
    ask(context, tmp_path / "in" / "*.jsonl", tmp_path / "out")
    work_off(context.settings)
    ids = [row["id"] for row in read_parts(tmp_path / "out")]
    assert ids == [*range(220), *range(130)] and state(context)["shards"] == {"all": 5, "over": 5}


@pytest.mark.parametrize("step", ["files.begin", "files.written"])
def test_the_shard_of_a_killed_worker_is_done_again(context: Any, version: str, tmp_path: Path, step: str) -> None:
    write_lines(tmp_path / "in.jsonl")
    run = ask(context, tmp_path / "in.jsonl", tmp_path / "out")
    assert predict_files(PROJECT, run, PLANNING) == "planned"
    assert run_apart(one_call, armed(context.settings, f"{step}@2"), run, 2) == KILLED
    assert predict_files(PROJECT, run, 2) == "held by another worker", "until it is known to be dead"
    lose_queues(context)
    free_all(context)
    tick_twice(context)
    work_off(context.settings)
    assert state(context)["status"] == "done"
    assert [row["id"] for row in read_parts(tmp_path / "out")] == list(range(ROWS))


@pytest.mark.long
def test_a_shard_that_kills_its_worker_each_time_fails_and_the_others_are_written(
    context: Any, version: str, tmp_path: Path
) -> None:
    write_lines(tmp_path / "in.jsonl", 450)
    run = ask(context, tmp_path / "in.jsonl", tmp_path / "out")
    predict_files(PROJECT, run, PLANNING)
    for _ in range(SHARD_ATTEMPTS):
        assert run_apart(one_call, armed(context.settings, "files.written@1"), run, 1) == KILLED
        free_all(context)
    work_off(context.settings)
    shown = state(context)
    assert shown["status"] == "failed" and "part 1: its worker died 3 times (rows 101" in shown["message"]
    assert [row["id"] for row in read_parts(tmp_path / "out")] == [*range(100), *range(200, 450)]
    ask(context, tmp_path / "in.jsonl", tmp_path / "out")
    work_off(context.settings)
    assert (state(context)["status"], state(context)["kept"]) == ("done", 350)
    assert [row["id"] for row in read_parts(tmp_path / "out")] == list(range(450))


def test_a_second_call_goes_on_with_the_version_of_the_first(
    context: Any,
    version: str,
    letters: Letters,  # noqa: F811
    tmp_path: Path,
) -> None:
    write_lines(tmp_path / "in.jsonl")
    run = ask(context, tmp_path / "in.jsonl", tmp_path / "out")
    predict_files(PROJECT, run, PLANNING)
    predict_files(PROJECT, run, 0)
    cancel_files(context.stores, PROJECT)
    assert predict_files(PROJECT, run, 1) == "over"
    first = (tmp_path / "out" / "part-00000.jsonl").stat()
    letters.add(8)
    assert refit(PROJECT) == "published" and context.stores.versions.live(PROJECT) != version
    for key in context.stores._redis.scan_iter("understudy:*:files*"):
        context.stores._redis.delete(key)  # all that Redis knew of it
    ask(context, tmp_path / "in.jsonl", tmp_path / "out")
    work_off(context.settings)
    rows = read_parts(tmp_path / "out")
    assert {row["version"] for row in rows} == {version} and [row["id"] for row in rows] == list(range(ROWS))
    assert (tmp_path / "out" / "part-00000.jsonl").stat().st_mtime_ns == first.st_mtime_ns
    assert state(context)["kept"] == SHARD


def test_a_run_whose_last_worker_died_before_it_said_so_is_ended(context: Any, version: str, tmp_path: Path) -> None:
    write_lines(tmp_path / "in.jsonl", 250)
    run = ask(context, tmp_path / "in.jsonl", tmp_path / "out")
    predict_files(PROJECT, run, PLANNING)
    runs = context.stores.file_runs
    for number in range(3):
        assert runs.end(PROJECT, run, number, "done", {"over": 1, "written": 100})
    assert not runs.end(PROJECT, run, 2, "done", {"over": 1}), "said twice, counted once"
    tick_twice(context)
    work_off(context.settings)
    assert state(context)["status"] == "done"


def test_a_plan_that_comes_twice_changes_nothing(context: Any, version: str, tmp_path: Path) -> None:
    write_lines(tmp_path / "in.jsonl", 250)
    run = ask(context, tmp_path / "in.jsonl", tmp_path / "out")
    assert predict_files(PROJECT, run, PLANNING) == "planned"
    predict_files(PROJECT, run, 0)
    assert predict_files(PROJECT, run, PLANNING) == "over"
    assert context.stores.file_runs.sums(PROJECT)["over"] == 1
    work_off(context.settings)
    assert state(context)["status"] == "done"


def test_only_so_many_shards_are_in_flight(context: Any, version: str, tmp_path: Path) -> None:
    write_lines(tmp_path / "in.jsonl")
    runs = context.stores.file_runs
    runs._window = 3
    run = ask(context, tmp_path / "in.jsonl", tmp_path / "out")
    predict_files(PROJECT, run, PLANNING)
    assert runs.in_flight(PROJECT) == 3
    predict_files(PROJECT, run, 0)
    assert runs.in_flight(PROJECT) == 3 and runs.sums(PROJECT)["sent"] == 4
    work_off(context.settings)
    assert state(context)["status"] == "done"


def test_a_folder_of_another_run_is_left_alone(context: Any, version: str, tmp_path: Path) -> None:
    write_lines(tmp_path / "in.jsonl", 150)
    write_lines(tmp_path / "other.jsonl", 160)
    ask(context, tmp_path / "in.jsonl", tmp_path / "out")
    work_off(context.settings)
    ask(context, tmp_path / "other.jsonl", tmp_path / "out")
    work_off(context.settings)
    assert state(context)["status"] == "failed" and "parts of another run" in state(context)["message"]
    assert len(read_parts(tmp_path / "out")) == 150


def test_a_run_that_is_asked_for_twice_is_one_and_another_has_to_wait(
    context: Any, version: str, tmp_path: Path
) -> None:
    write_lines(tmp_path / "in.jsonl", 150)
    first = ask(context, tmp_path / "in.jsonl", tmp_path / "out")
    assert ask(context, tmp_path / "in.jsonl", tmp_path / "out") == first
    with pytest.raises(Conflict, match="still writes"):
        ask(context, tmp_path / "in.jsonl", tmp_path / "elsewhere")


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("s3://key:secret@bucket/in.csv", "password"),
        ("s3://bucket/in.csv?X-Amz-Signature=abc", "signature"),
        ("https://example.org/in.csv", "https:// is not read"),
        ("s3://bucket/../other/in.csv", r"without `\.\.`"),
        ("simplecache::s3://bucket/in.csv", "a path from the root on"),
        ("in.csv", "a path from the root on"),
    ],
)
def test_sources_that_are_refused_before_anything_is_kept(
    context: Any, version: str, tmp_path: Path, source: str, said: str
) -> None:
    with pytest.raises(BadRequest, match=said):
        ask(context, source, tmp_path / "out")
    assert context.stores.file_runs.find(PROJECT) is None


def test_a_worker_reads_and_writes_only_where_it_may(context: Any, version: str, tmp_path: Path) -> None:
    (tmp_path / "allowed").mkdir()
    write_lines(tmp_path / "secret.jsonl", 150)
    (tmp_path / "allowed" / "link.jsonl").symlink_to(tmp_path / "secret.jsonl")
    context.settings = context.settings.model_copy(update={"file_roots": str(tmp_path / "allowed")})
    for source in ("secret.jsonl", "allowed/../secret.jsonl", "allowed/link.jsonl"):
        ask(context, tmp_path / source, tmp_path / "allowed" / "out")
        work_off(context.settings)
        assert state(context)["status"] == "failed" and "outside of FILE_ROOTS" in state(context)["message"], source
    assert not (tmp_path / "allowed" / "out").exists()


def test_a_file_that_changes_under_a_run_ends_it(context: Any, version: str, tmp_path: Path) -> None:
    write_lines(tmp_path / "in.jsonl")
    run = ask(context, tmp_path / "in.jsonl", tmp_path / "out")
    predict_files(PROJECT, run, PLANNING)
    write_lines(tmp_path / "in.jsonl", ROWS + 1)
    work_off(context.settings)
    assert state(context)["status"] == "failed" and "has changed" in state(context)["message"]


def test_a_column_that_answers_would_get_is_told_of_and_a_prefix_helps(
    context: Any, version: str, tmp_path: Path
) -> None:
    (tmp_path / "in.csv").write_text("text,score\na b,1\n")
    ask(context, tmp_path / "in.csv", tmp_path / "out")
    work_off(context.settings)
    assert "a column 'score' already" in state(context)["message"]
    ask(context, tmp_path / "in.csv", tmp_path / "out", prefix="model_")
    work_off(context.settings)
    [row] = read_parts(tmp_path / "out")
    assert row["score"] == "1" and row["model_version"] == version and row["model_answer"] == "a"


def test_a_version_that_a_run_uses_is_not_deleted(
    context: Any,
    version: str,
    letters: Letters,  # noqa: F811
    tmp_path: Path,
) -> None:
    context.settings = context.settings.model_copy(update={"keep_versions": 2})
    write_lines(tmp_path / "in.jsonl", 150)
    run = ask(context, tmp_path / "in.jsonl", tmp_path / "out")
    predict_files(PROJECT, run, PLANNING)
    for _ in range(5):
        letters.add(2)
        assert refit(PROJECT) == "published"
    folder = context.settings.models_dir / str(PROJECT)
    for path in folder.iterdir():
        os.utime(path, (0, 0))
    Scheduler(context)._collect_garbage()
    names = {path.name for path in folder.iterdir()}
    assert version in names and len(names) == 3
