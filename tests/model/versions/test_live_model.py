"""A loaded model answers tasks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from model.errors import VersionError
from model.head.fit import fit_heads
from model.spec import Chosen, Condition, Control, Kind, TaskSpec, Text
from model.versions.directory import Manifest, write_version
from model.versions.finetuned import FineTuned, TunedHead, blend
from model.versions.live_model import LiveModel, cold_start, load_version
from tests.support.encoders import WordsEncoder, choices, samples_of, spec_of

TOPIC = choices("cats", "dogs", name="topic")
MOOD = choices("good", "bad", name="mood")
TITLE = choices("cats", "dogs", name="title topic", inputs=("title",))
LISTED = Control("listed", Kind.SINGLE, ("text",), (), options_field="options")
SPEC = spec_of(TOPIC)
SAMPLES = samples_of(*[(f"{name} n{i}", name) for i in range(8) for name in ("cats", "dogs")])
PROBES: list[Text] = [("cats sleep",), ("dogs",), ("neither",)]
DOCUMENTS = [{"text": text[0]} for text in PROBES]


def refuse(_: Path) -> WordsEncoder:
    raise AssertionError("no fine-tuned encoder is needed")


def save(
    root: Path, version: str, spec: TaskSpec = SPEC, tuned: FineTuned | None = None, **more: Any
) -> dict[str, Any]:
    """Write a version; its heads."""
    heads: dict[str, Any] = dict(fit_heads(spec, {"topic": SAMPLES}, [], WordsEncoder()))
    facts = {"parent": None, "kind": "head", "snapshot_seq": 1, "encoder_digest": WordsEncoder().digest, **more}
    manifest = Manifest(version=version, project=7, spec=spec.to_json(), spec_digest=spec.digest, **facts)
    write_version(root, manifest, heads, tuned)
    return heads


def test_a_cold_start_is_the_same_wherever_it_is_built() -> None:
    one, two = (cold_start(spec_of(TOPIC, MOOD), WordsEncoder()) for _ in range(2))
    assert one.version == "v0"
    assert one.predict(DOCUMENTS) == two.predict(DOCUMENTS)
    assert one.predict(DOCUMENTS)[0][0].chosen == ("cats",)


def test_every_control_answers_in_the_order_of_the_config() -> None:
    answers = cold_start(spec_of(TOPIC, MOOD), WordsEncoder()).predict(DOCUMENTS)
    assert [[answer.control for answer in row] for row in answers] == [["topic", "mood"]] * 3


def test_controls_that_share_inputs_share_one_encoder_pass() -> None:
    encoder = WordsEncoder()
    live = cold_start(spec_of(TOPIC, MOOD, TITLE), encoder)
    encoder.seen.clear()
    encoder.calls = 0
    live.predict([{"text": "cats", "title": "a"}, {"text": "dogs", "title": "b"}])
    assert encoder.calls == 2
    assert encoder.seen == [("cats",), ("dogs",), ("a",), ("b",)]


def test_a_document_without_an_input_gets_no_answer_for_it() -> None:
    live = cold_start(spec_of(TOPIC, TITLE), WordsEncoder())
    answers = live.predict([{"text": "cats"}, {"text": "cats", "title": "dogs"}, {}, {"title": "cats"}])
    found = [{answer.control: answer.chosen for answer in row} for row in answers]
    assert found == [
        {"topic": ("cats",)},
        {"topic": ("cats",), "title topic": ("dogs",)},
        {},
        {"title topic": ("cats",)},
    ]


def test_no_documents_get_no_answers() -> None:
    assert cold_start(spec_of(TOPIC), WordsEncoder()).predict([]) == []


def test_the_answer_does_not_depend_on_the_other_documents() -> None:
    live = cold_start(spec_of(TOPIC, MOOD), WordsEncoder())
    alone = [answer for document in DOCUMENTS for answer in live.predict([document])[0]]
    together = [answer for row in live.predict(DOCUMENTS) for answer in row]
    assert [answer.chosen for answer in alone] == [answer.chosen for answer in together]
    scores = [answer.score for answer in together]  # the last digit is the matrix product's
    assert [answer.score for answer in alone] == pytest.approx(scores, abs=2e-6)


def test_choices_listed_by_the_task_are_answered_without_any_label() -> None:
    live = cold_start(spec_of(LISTED), WordsEncoder())
    answers = live.predict(DOCUMENTS[:2], [{"listed": ["cats", "fish"]}, {"listed": ["fish", "dogs"]}])
    assert [row[0].chosen for row in answers] == [("cats",), ("dogs",)]
    assert {key for key, _ in answers[0][0].ranking} == {"cats", "fish"}


def test_choices_listed_twice_count_once() -> None:
    must = spec_of(replace(LISTED, required=True))
    answers = cold_start(must, WordsEncoder()).predict(DOCUMENTS[:1], [{"listed": ["cats", "cats"]}])
    assert (answers[0][0].chosen, answers[0][0].score) == (("cats",), 1.0)


def test_a_task_that_lists_no_choices_gets_no_answer() -> None:
    live = cold_start(spec_of(LISTED), WordsEncoder())
    assert live.predict(DOCUMENTS[:1], [{"listed": []}]) == [[]]
    assert live.predict(DOCUMENTS[:1]) == [[]]


def test_learned_choices_answer_and_unseen_ones_are_not_shut_out() -> None:
    spec, encoder = spec_of(LISTED), WordsEncoder()
    live = LiveModel("v0.1", spec, fit_heads(spec, {"listed": SAMPLES}, [], encoder), encoder)
    documents = [{"text": "cats n1"}, {"text": "fish"}]
    answers = live.predict(documents, [{"listed": ["dogs", "cats", "fish"]}] * 2)
    assert [row[0].chosen for row in answers] == [("cats",), ("fish",)]
    assert sum(share for _, share in answers[0][0].ranking) == pytest.approx(1, abs=1e-3)


def test_a_loaded_version_answers_as_when_it_was_written(tmp_path: Path) -> None:
    encoder = WordsEncoder()
    heads = save(tmp_path, "v0.1", spec_of(TOPIC, MOOD))
    live = load_version(tmp_path, 7, "v0.1", encoder, refuse)
    live.warm()
    assert (live.version, live.labels("topic")) == ("v0.1", ("cats", "dogs"))
    expected = heads["topic"].scores(PROBES, encoder.embed(PROBES))
    np.testing.assert_allclose(live.scores("topic", PROBES), expected, atol=1e-6)
    assert [row[0].chosen for row in live.predict(DOCUMENTS)][:2] == [("cats",), ("dogs",)]


def test_a_version_of_another_base_model_is_refused(tmp_path: Path) -> None:
    save(tmp_path, "v0.1")
    with pytest.raises(VersionError, match="another BASE_MODEL"):
        load_version(tmp_path, 7, "v0.1", WordsEncoder("11" * 8), refuse)


@pytest.mark.parametrize("name", ["v0.2", "../v0.1"])
def test_a_version_that_does_not_exist_is_refused(name: str, tmp_path: Path) -> None:
    save(tmp_path, "v0.1")
    with pytest.raises(VersionError):
        load_version(tmp_path, 7, name, WordsEncoder(), refuse)


@pytest.fixture
def tuned(tmp_path: Path) -> FineTuned:
    (tmp_path / "weights").write_bytes(b"weights")
    coefficients = np.random.default_rng(0).normal(size=(2, 48)).astype(np.float32)
    part = TunedHead(("cats", "dogs"), False, coefficients, np.zeros(2, np.float32), 0.5)
    return FineTuned(tmp_path / "weights", {"topic": part})


def test_a_refit_answers_with_the_encoder_of_its_fine_tuned_version(tmp_path: Path, tuned: FineTuned) -> None:
    save(tmp_path, "v1", tuned=tuned, kind="finetune", finetuned="v1")
    heads = save(tmp_path, "v1.1", tuned=tuned, finetuned="v1")
    opened: list[Path] = []
    encoder, other = WordsEncoder(), WordsEncoder(scale=-1.0)
    live = load_version(tmp_path, 7, "v1.1", encoder, lambda path: opened.append(path) or other)  # type: ignore[func-returns-value]
    assert opened == [tmp_path / "7" / "v1" / "encoder.safetensors"]
    head = heads["topic"].scores(PROBES, encoder.embed(PROBES))
    expected = blend(head, tuned.heads["topic"].scores(other.embed(PROBES)[:, -1]), 0.5)
    np.testing.assert_allclose(live.scores("topic", PROBES), expected, atol=1e-5)


def test_a_refit_whose_encoder_is_gone_or_damaged_is_refused(tmp_path: Path, tuned: FineTuned) -> None:
    save(tmp_path, "v1", tuned=tuned, kind="finetune", finetuned="v1")
    save(tmp_path, "v1.1", tuned=tuned, finetuned="v1")
    weights = tmp_path / "7" / "v1" / "encoder.safetensors"
    weights.write_bytes(b"changed")
    with pytest.raises(VersionError):
        load_version(tmp_path, 7, "v1.1", WordsEncoder(), refuse)
    weights.unlink()
    with pytest.raises(VersionError):
        load_version(tmp_path, 7, "v1.1", WordsEncoder(), refuse)


def test_what_the_page_hides_is_not_answered() -> None:
    shown = Condition(Chosen("topic", (("cats",),)))
    model = cold_start(spec_of(replace(MOOD, conditions=(shown,)), TOPIC), WordsEncoder())
    answers = [{one.control: one.chosen for one in row} for row in model.predict(DOCUMENTS[:2])]
    assert answers[0]["topic"] == ("cats",) and "mood" in answers[0]
    assert answers[1] == {"topic": ("dogs",)}
