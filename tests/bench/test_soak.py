"""Soak and flood in small: what the fits call a leak, and that the stream of events can be checked."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np

from bench.soak import MIXED_TEXTS, Sample, fits, predict_bodies
from bench.webhook import Events
from tests.support.label_studio_stub import microseconds
from tests.support.project_kinds import KINDS


def hour(per_1000_examples: float, per_hour: float, filling: float = 0.0) -> list[Sample]:
    """An hour of samples every 10 s in 12 turns, every other one adding 2 examples a second."""
    noise = np.random.default_rng(0)
    samples, examples = [], 0
    for number in range(360):
        examples += 20 * (number // 30 % 2 == 0)
        value = 300 + per_1000_examples * examples / 1000 + per_hour * number / 360 + noise.normal(0, 1)
        value -= filling * max(0, 40 - number)
        samples.append({"seconds": number * 10.0, "examples": examples, "web: anonymous MB": value})
    return samples


def test_growth_with_examples_is_no_leak() -> None:
    (row,) = fits(hour(5, 0, filling=2), skip=600)
    assert row["leaks"] == ""
    assert abs(row["per_1000_examples"] - 5) < 0.5 and abs(row["per_hour"]) < 3


def test_growth_with_time_is_a_leak() -> None:
    (row,) = fits(hour(5, 20), skip=600)
    assert row["leaks"] == "yes"
    assert abs(row["per_hour"] - 20) < 3


def test_disk_is_shown_and_not_judged() -> None:
    samples = [{"disk: models MB": s.pop("web: anonymous MB"), **s} for s in hour(0, 500)]
    assert fits(samples, skip=0)[0]["leaks"] == ""


def test_a_series_that_came_late_has_no_verdict() -> None:
    samples = [*hour(0, 0), {"seconds": 3600.0, "examples": 9, "training: descriptors": 9}]
    assert fits(samples, skip=600)[0] == {"series": "training: descriptors", "samples": 1}


def test_keys_that_come_with_time_alone_are_a_leak() -> None:
    for per_hour, verdict in ((0, ""), (400, "yes")):
        samples = [{"Redis keys": s.pop("web: anonymous MB"), **s} for s in hour(1000, per_hour)]
        assert fits(samples, skip=600)[0]["leaks"] == verdict


def test_projects_take_turns_and_some_requests_tell_of_a_region() -> None:
    kinds = {7 + place: KINDS[name]() for place, name in enumerate(KINDS)}
    bodies = [json.loads(body) for body in predict_bodies(kinds)]
    asked = Counter(body["project"] for body in bodies)
    assert len(bodies) == MIXED_TEXTS and set(asked.values()) == {MIXED_TEXTS // len(kinds)}
    marked = Counter(body["project"] for body in bodies if body.get("params"))
    assert set(marked) == {"8.1", "9.1", "10.1", "11.1"} and max(marked.values()) <= MIXED_TEXTS // 50
    assert len({json.dumps(body["tasks"][0]["data"]) for body in bodies}) == MIXED_TEXTS


def test_later_events_of_an_annotation_have_later_times() -> None:
    events, newest = Events(["a", "b"]), dict[int, int]()
    for _ in range(200):
        body, annotation, stamp = events.next()
        sent = json.loads(body)
        assert sent["annotation"]["id"] == annotation
        assert microseconds(sent["annotation"]["updated_at"]) == stamp > newest.get(annotation, 0)
        assert (sent["action"] == "ANNOTATION_CREATED") == (annotation not in newest)
        newest[annotation] = stamp
    assert 20 < len(newest) == events.created < 100
