"""The active-learning bench in small: through the real queue, resumed, judged."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from backend.settings.settings import current_settings, load_settings
from backend.simulate.trainer import Workplace
from bench.active_learning import (
    DRAWS,
    Row,
    bars,
    judge_hunts,
    labels_needed,
    main,
    summarise,
    summarise_hunts,
    without_names,
)
from bench.support.replays import HUNTING, Course, QueueReplay
from bench.support.span_replays import bars_of_spans, summarise_spans
from model.acquisition.batch import is_blind, is_explored
from model.acquisition.strategies import DEFAULT_STRATEGY
from model.simulation.dataset import read_dataset
from tests.backend.cli.test_simulate import letters
from tests.model.conftest import tiny_model  # noqa: F401


def test_a_goal_is_reached_where_two_plans_in_a_row_have_it() -> None:
    curve = [(0, 0.5), (8, 0.9), (16, 0.7), (24, 0.9), (32, 0.8)]
    assert labels_needed(curve, 0.8) == 24
    assert labels_needed(curve, 0.5) == 0
    assert labels_needed(curve, 0.85) is None
    assert labels_needed([], 0.1) is None


def ended(name: str, strategy: str, seed: int, *curve: tuple[int, float]) -> list[dict[str, Any]]:
    about = {"set": name, "strategy": strategy, "seed": seed}
    return [{**about, "n": n, "accuracy": value} for n, value in curve] + [{**about, "n": 99, "finished": 99}]


def test_the_default_is_judged_against_random_on_the_same_seeds() -> None:
    fast, slow = [(0, 0.1), (10, 0.95), (20, 0.96)], [(0, 0.1), (10, 0.2), (30, 0.96), (40, 0.97)]
    never = [(0, 0.1), (40, 0.2)]
    rows = [{"set": name, "seed": seed, "full": 1.0} for name in ("banking77", "easy") for seed in (0, 1)]
    rows += ended("banking77", "random", 0, *slow) + ended("banking77", "random", 1, *slow)
    rows += ended("banking77", DEFAULT_STRATEGY, 0, *fast) + ended("banking77", DEFAULT_STRATEGY, 1, *fast)
    rows += ended("easy", "random", 0, *fast) + ended("easy", DEFAULT_STRATEGY, 0, *slow)
    rows += ended("easy", "badge", 0, *never) + ended("easy", "badge", 1, *fast)[:-1]
    table = summarise(rows)
    by_name = {(row["set"], row["strategy"]): row for row in table}
    assert by_name["banking77", DEFAULT_STRATEGY]["of random 90%"] == 0.333
    lost = summarise([{"set": "x", "seed": 0, "full": 1.0}, *ended("x", "random", 0, *never)])
    assert lost[0]["of random 90%"] is None, "nobody knows how many it would have needed"
    assert by_name["easy", "badge"]["to 90%"] == "more" and by_name["easy", "badge"]["seeds"] == 1, (
        "one is not finished"
    )
    judged = [(row["set"], row["to"], row["of_random"], row["met"]) for row in bars(table)]
    third = 0.333
    assert judged == [
        *[("banking77", "90%", third, True), ("banking77", "95%", third, True), ("banking77", "either", third, True)],
        *[("easy", "90%", 3.0, False), ("easy", "95%", 3.0, False)],
    ]


@pytest.fixture
def place(tiny_model: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workplace:  # noqa: F811
    monkeypatch.setenv("BASE_MODEL", str(tiny_model("bert")[0]))
    current_settings.cache_clear()
    return Workplace(load_settings(), tmp_path, tmp_path / "features", 1)


@pytest.mark.parametrize("strategy", ["random", "queued_random", "bald"])
def test_a_replay_labels_tasks_once_and_gives_blind_ones_their_share(
    place: Workplace, tmp_path: Path, strategy: str
) -> None:
    data = read_dataset(letters(tmp_path / "toy.csv", 400))
    policy = place.settings.model_copy(update={"queue_size": 16, "queue_blind_share": 0.1})
    replay = QueueReplay(data, Course(strategy, 1, most=90), place.base, policy)
    rows = list(replay.points())
    counts = [row["n"] for row in rows]
    assert counts[0] == 0 and counts[-1] == 90 == len(set(replay.chosen))
    assert all(later - earlier <= 9 for earlier, later in pairwise(counts)), "re-planned in time"
    roles = rows[-1]["roles"]
    assert sum(roles.values()) == 90 and 6 <= roles["blind"] <= 13 and roles["explore"] >= 2
    tasks = [replay.candidates[row].task for row in replay.chosen]
    assert roles["blind"] == sum(is_blind(1, task, 0.1) for task in tasks)
    assert roles["explore"] == sum(is_explored(1, task, 0.1, policy.queue_explore_share) for task in tasks)


def test_a_hunt_is_followed_and_judged_against_ways_that_may_not_end(place: Workplace, tmp_path: Path) -> None:
    policy = place.settings.model_copy(update={"queue_size": 16})
    course = Course(DEFAULT_STRATEGY, 1, most=40, hunt_share=0.5)
    found = QueueReplay(read_dataset(letters(tmp_path / "toy.csv", 200)), course, place.base, policy).follow_classes()
    assert 0 < found["hits"] <= found["hunted"] <= 20 and found["absent"] == 0
    assert found["labels"] == 40 and "accuracy 32" in found and "accuracy 64" not in found
    about = {"set": "banking77", "labels": 100, "hunted": 10, "hits": 5, "accuracy 32": 0.5}
    rows: list[Row] = [{**about, "strategy": HUNTING, "seed": seed, "needed": 30} for seed in (0, 1, 2)]
    rows += [{**about, "strategy": DEFAULT_STRATEGY, "seed": seed, "needed": None} for seed in (0, 1, 2)]
    rows += [{**about, "strategy": "random", "seed": 0, "needed": 60, "accuracy 32": 0.53}]
    rows += [{"set": "banking77", "strategy": DRAWS, "seed": 0, "needed": 60, "labels": 90, "hunted": 0, "hits": 0}]
    table = summarise_hunts(rows)
    assert {row["way"]: row["each"] for row in table}[DEFAULT_STRATEGY] == "more more more"
    judged = [(row["share"], row["met"]) for row in judge_hunts(table)]
    assert judged == [(0.3, True), (0.0, True), (0.5, False), (-0.03, False)]


def test_hunts_of_classes_and_orders_are_measured_once(place: Workplace, tmp_path: Path, capsys: Any) -> None:
    results, data = tmp_path / "r.jsonl", letters(tmp_path / "toy.csv", 200)
    common = ["--hunt", "--data", str(data), "--results", str(results), "--threads", "1", "--seeds", "1"]
    for ways in (["--strategies", "draws,hunting", "--max-labels", "24"], ["--orders", "--max-labels", "24"]):
        for _ in range(2):
            main([*common, *ways])
    rows = [json.loads(line) for line in results.read_text().splitlines()]
    ways = [row["strategy"] for row in rows]
    assert ways[:2] == ["draws", "hunting"] and len(rows[0]["each"]) == 50 and min(rows[0]["each"]) >= 10
    assert ways[2:6] == [DEFAULT_STRATEGY, "order", "order, words", "order, like"], "once each"
    assert len(ways) == 2 + 4 * len({row["class"] for row in rows[2:]})
    assert all(row["hunted"] > 0 for row in rows[2:] if row["strategy"] != DEFAULT_STRATEGY)
    assert "hunted" in rows[2] and rows[2]["hunted"] == 0
    assert "one of them known" in capsys.readouterr().out


def test_the_bench_goes_on_where_it_stopped(place: Workplace, tmp_path: Path, capsys: Any) -> None:
    results, out, data = tmp_path / "r.jsonl", tmp_path / "out", letters(tmp_path / "toy.csv")
    common = ["--data", str(data), "--results", str(results), "--threads", "1", "--seeds", "1", "--max-labels", "24"]
    main([*common, "--strategies", "random"])
    whole = results.read_text().splitlines()
    results.write_text("\n".join(whole[:-1]) + "\n")  # stopped before the end of the curve
    main([*common, "--strategies", "random,margin_clusters", "--json"])
    main([*common, "--strategies", "random,margin_clusters"])
    rows = [json.loads(line) for line in results.read_text().splitlines()]
    assert sum("full" in row for row in rows) == 1
    ends = [(row["strategy"], row["seed"]) for row in rows if "finished" in row]
    assert ends == [("random", 1), ("margin_clusters", 1)], "each once"
    capsys.readouterr()
    main(["--report", str(results), "--out", str(out)])
    assert "margin_clusters" in capsys.readouterr().out
    assert (out / "active-learning.md").read_text().count("\n| ") == 3
    assert (out / "active-learning.png").read_bytes().startswith(b"\x89PNG")


def test_label_names_can_be_hidden(tmp_path: Path) -> None:
    data = read_dataset(letters(tmp_path / "toy.csv"))
    hidden = without_names(data)
    assert hidden.control.keys() == data.control.keys()
    assert [label.words for label in hidden.control.labels] == ["label 0", "label 1"]


def test_the_setting_ships_the_measured_default() -> None:
    assert load_settings().queue_strategy == DEFAULT_STRATEGY


def span_curve(strategy: str, seed: int, f1: list[float], words: int = 10) -> list[Row]:
    about = {"set": "one", "strategy": strategy, "seed": seed}
    points = [{**about, "n": n, "words": words * n, "f1": own} for n, own in zip((8, 16, 32), f1, strict=True)]
    return [*points, {**about, "finished": 32}]


def test_of_marked_text_a_seed_is_compared_with_the_same_seed_at_random() -> None:
    rows = [*span_curve("random", 1, [0.2, 0.3, 0.4]), *span_curve("random", 2, [0.4, 0.5, 0.6])]
    rows += [*span_curve("ours", 1, [0.2, 0.34, 0.46]), *span_curve("ours", 2, [0.4, 0.52, 0.6])]
    table = {(row["strategy"], row["texts"]): row for row in summarise_spans(rows)}
    assert [table["ours", n]["at equal words"] for n in (8, 16, 32)] == ["+0.0", "+3.0", "+3.0"]
    assert [table["ours", n]["+-"] for n in (8, 16, 32)] == ["0.0", "1.0", "3.0"]
    assert table["random", 16]["+-"] == "20.0", "a seed against the other one"
    longer = [*span_curve("random", 1, [0.2, 0.3, 0.4]), *span_curve("ours", 1, [0.2, 0.3, 0.4], words=15)]
    found = {row["texts"]: row for row in summarise_spans(longer) if row["strategy"] == "ours"}
    assert found[16]["at equal texts"] == "+0.0" and found[16]["at equal words"] == "-5.8", "longer texts are no gain"
    assert found[32]["at equal words"] == "", "random was not followed so far"


def test_below_random_is_what_lies_there_by_more_than_its_noise() -> None:
    line = {"set": "one", "strategy": "ours", "texts": 16, "seeds": 4}
    rows = [{**line, "at equal words": "-1.0", "+-": "0.6"}, {**line, "at equal words": "+4.0", "+-": "1.0"}]
    rows += [{**line, "set": "two", "at equal words": "+3.5", "+-": "0.2"}]
    bars = {(row["set"], row["points"]): row for row in bars_of_spans(rows, "ours")}
    assert not bars["one", "least"]["met"] and bars["one", "least, less noise"]["met"]
    assert bars["second best", "most"]["gain"] == 3.5 and bars["second best", "most"]["met"]
    sure = bars_of_spans([{**line, "at equal words": "-1.0", "+-": "0.4"}], "ours")
    assert not {row["points"]: row for row in sure}["least, less noise"]["met"]
