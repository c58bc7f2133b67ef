"""The bench of exports: its kinds of projects are what they say, and memory is told by the label."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from backend.labelstudio.task_spec import parse_label_config
from bench import export
from tests.support.export_kinds import LONG, kinds, said_of
from tests.support.predict_beside import NOTHING, compare


@pytest.mark.parametrize("name", sorted(kinds()))
def test_rows_of_a_kind_are_answers_to_its_question(name: str) -> None:
    kind = kinds()[name]
    spec = parse_label_config(kind.config)
    assert len([*spec.controls, *spec.spans]) == 1
    rows = list(itertools.islice(kind.rows(), 400))
    assert len({tuple(row.data.values()) for row in rows}) == 400
    assert all(set(row.data) == {one.name.partition(".")[0] for one in spec.inputs} for row in rows)
    assert all(row.right == said_of(row.results) for row in rows)
    assert len({row.right for row in rows}) > 1
    if name == "long":
        assert min(len(row.data["text"]) for row in rows) >= LONG


def test_memory_is_told_by_the_label(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = {1_000: 50.0, 11_000: 52.0}

    def measure(parts: Any, folder: Any, number: int, size: int, how: str) -> dict[str, Any]:
        return {"format": how, "labels": size, "command_mb": taken[size], "web_mb": 1.0, "file_mb": 1.0}

    class Parts:
        def __init__(self, data_dir: Any) -> None: ...

        def __enter__(self) -> Any:
            return self

        def __exit__(self, *_: object) -> None: ...

    monkeypatch.setattr(export, "Parts", Parts)
    monkeypatch.setattr(export, "fill", lambda parts, number, size, each: None)
    monkeypatch.setattr(export, "measure_dataset", measure)
    rows = export.measure_datasets([1_000, 11_000], [1.1, 3])
    assert [row["each"] for row in rows] == [1.1] * 6 + [3] * 6
    assert [row.get("command_bytes_a_label") for row in rows] == ([None] * 3 + [210] * 3) * 2
    assert {row["web_bytes_a_label"] for row in rows[3:6]} == {0} and "web_bytes_a_label" not in rows[0]


def test_each_round_is_compared_with_its_own_quiet_time() -> None:
    quiet = [{"n": 10, "p50_ms": 10.0, "p99_ms": 20.0}, {"n": 10, "p50_ms": 100.0, "p99_ms": 200.0}] * 2
    twice = [{name: 2 * value for name, value in one.items()} for one in quiet]
    alone, beside = compare({NOTHING: quiet, "onnx": twice})
    assert (alone["p50_x"], beside["p50_x"], beside["p99_x"]) == (1.0, 2.0, 2.0)
    assert (beside["rounds"], beside["n"], beside["p50_ms"]) == (4, 80, 110.0)
