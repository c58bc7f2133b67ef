"""Highlights and the line of confidence in /predict: only where the config asks, never at the cost of an answer."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest

from backend.jobs.learn.refit import refit
from backend.serving import highlights
from backend.serving.highlights import FEW_SECONDS, FEW_TASKS, MANY_SECONDS, Highlighter, HighlightRequest, seconds_for
from model.head.fit import fit_heads
from model.spec import Prediction
from model.versions.live_model import LiveModel
from tests.backend.conftest import PROJECT, Labels
from tests.backend.serving.test_registry import version, wait_for
from tests.support.encoders import WordsEncoder, choices, samples_of, spec_of
from tests.support.rig import choices_config

EVIDENCE = '<Labels name="evidence" toName="text"><Label value="decided"/></Labels>'
SUMMARY = '<TextArea name="understudy" toName="text"/>'


@pytest.fixture
def learned(services: Any, context: Any) -> Labels:
    """A project with a published version."""
    labels = Labels(context)
    labels.add(0, 32)
    refit(PROJECT)
    wait_for(lambda: version(services) == "v0.1")
    return labels


def ask(client: Any, labels: Labels, texts: list[Any], *helpers: str) -> list[Any]:
    config = choices_config(labels.names).replace("</View>", "".join(helpers) + "</View>")
    tasks = [{"id": index + 1, "data": {"text": text}} for index, text in enumerate(texts)]
    body = {"project": f"{PROJECT}.1", "tasks": tasks, "label_config": config}
    return list(client.post("/predict", json=body).get_json()["results"])


def regions(item: Any) -> list[dict[str, Any]]:
    return [result["value"] for result in item["result"] if result["from_name"] == "evidence"]


def test_without_the_controls_nothing_is_explained(client: Any, learned: Labels, monkeypatch: Any) -> None:
    def never(*args: Any, **more: Any) -> Any:
        raise AssertionError("explained")

    monkeypatch.setattr(LiveModel, "probe", never)
    [item] = ask(client, learned, [learned.rows[0][0]])
    assert [result["type"] for result in item["result"]] == ["choices"]
    [item] = ask(client, learned, [learned.rows[0][0]], SUMMARY)
    assert [result["type"] for result in item["result"]] == ["choices", "textarea"]


def test_the_deciding_words_come_highlighted_and_the_line_says_how_sure(client: Any, learned: Labels) -> None:
    text = f"😀 {learned.rows[1][0]}"
    [plain] = ask(client, learned, [text])
    [item] = ask(client, learned, [text], EVIDENCE, SUMMARY)
    assert {**item, "result": item["result"][:1]} == plain, "answer, score and version are what they were"
    found = regions(item)
    assert found and all(value["labels"] == ["decided"] for value in found)
    for value in found:
        assert text[value["start"] : value["end"]] == value["text"]
    [line] = [result["value"]["text"] for result in item["result"] if result["type"] == "textarea"]
    chosen = plain["result"][0]["value"]["choices"][0]
    assert line[0].startswith(f"{chosen} {plain['score']:.2f}, ")
    assert len({result["id"] for result in item["result"]}) == len(item["result"])
    assert "null" not in json.dumps(item)


def test_a_text_that_the_page_shows_otherwise_is_not_highlighted(client: Any, learned: Labels) -> None:
    text = learned.rows[1][0]
    listed, plain = ask(client, learned, [[text, text], text], EVIDENCE)
    assert regions(plain) and not regions(listed) and listed["result"]


def test_out_of_time_the_answers_are_there_and_the_loss_is_counted(
    client: Any, services: Any, learned: Labels, monkeypatch: Any
) -> None:
    monkeypatch.setattr(highlights, "FEW_SECONDS", 0.0)
    release = threading.Event()
    real = Highlighter.explain

    def waits(self: Any, *args: Any) -> Any:
        release.wait(20)
        return real(self, *args)

    monkeypatch.setattr(Highlighter, "explain", waits)
    items = ask(client, learned, [text for text, _ in learned.rows[:4]], EVIDENCE, SUMMARY)
    release.set()
    assert [[result["type"] for result in item["result"]] for item in items] == [["choices", "textarea"]] * 4
    assert 'understudy_highlights_total{outcome="late"} 4.0' in client.get("/metrics").text


def test_a_failing_explanation_costs_only_itself(client: Any, learned: Labels, monkeypatch: Any) -> None:
    def broken(*args: Any, **more: Any) -> Any:
        raise RuntimeError("broken")

    monkeypatch.setattr(LiveModel, "probe", broken)
    [item] = ask(client, learned, [learned.rows[0][0]], EVIDENCE, SUMMARY)
    assert [result["type"] for result in item["result"]] == ["choices", "textarea"]
    assert 'understudy_highlights_total{outcome="failed"} 1.0' in client.get("/metrics").text


def test_somebody_who_waits_gets_seconds_and_the_deadline_holds() -> None:
    assert seconds_for(1, 80.0) == seconds_for(FEW_TASKS, 80.0) == FEW_SECONDS
    assert seconds_for(FEW_TASKS + 1, 80.0) == MANY_SECONDS
    assert seconds_for(1, 2.0) == 1.0, "never more than half of what is left"
    assert seconds_for(1, -1.0) == 0.0


def test_explanations_are_remembered_per_project_and_version_and_the_oldest_go() -> None:
    encoder = WordsEncoder()
    spec = spec_of(choices("A", "B"))
    heads = fit_heads(spec, {"label": samples_of(("good", "A"), ("bad", "B"))}, [], encoder)
    model = LiveModel("v1", spec, heads, encoder)
    highlighter = Highlighter(kept=2)

    def calls(project: int, text: str, live: LiveModel = model) -> int:
        before = encoder.calls
        wanted = HighlightRequest(0, {"text": text}, Prediction("label", ("A",), 0.9), None)
        highlighter.of(project)(live, wanted)
        return encoder.calls - before

    assert calls(1, "good day") > 0 and calls(1, "good day") == 0
    assert calls(2, "good day") > 0, "another project's v1 is another model"
    newer = LiveModel("v2", spec, heads, encoder)
    assert calls(1, "good day", newer) > 0
    assert calls(1, "good day") > 0, "only two are kept"
