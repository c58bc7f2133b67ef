"""PRECISION, or what a machine is fastest in, becomes another: nothing is lost, and heads follow the format."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backend.jobs.context import Context
from backend.jobs.learn import encoder_change
from backend.jobs.learn.encoder_change import ask_for_changes
from backend.jobs.learn.refit import learn
from backend.serving.registry import Registry
from backend.settings.settings import Settings
from backend.telemetry.metrics import Metrics
from model.kernels.choice import BF16, FP32, INT8, EngineChoice, FormatTiming
from model.kernels.int8_product import int8_works
from model.kernels.kept_choice import CHOICE_FILE, key_of
from model.pretrained.architectures import product_shape
from model.pretrained.base_model import find_base_model, read_config
from model.versions.directory import Manifest, read_manifest, version_path
from tests.support.tiny import PROJECT, Letters, settings, tiny_base  # noqa: F401

pytestmark = pytest.mark.skipif(not int8_works(1152, 384), reason="this CPU has no exact int8 product")


def started(settings: Settings, precision: str) -> Context:  # noqa: F811
    """What a process started with this PRECISION has, over the packaged encoder."""
    return Context(settings.model_copy(update={"precision": precision, "base_model": ""}))


def live_of(work: Context) -> Manifest:
    version = work.stores.versions.live(PROJECT)
    return read_manifest(version_path(work.settings.models_dir, PROJECT, str(version)))


def answer(work: Context) -> tuple[str, Any]:
    """What a web process of these settings answers, from its start on."""
    registry = Registry(work.settings, work.stores.projects, work.stores.versions, Metrics())
    registry._load_first()
    model = registry._models[PROJECT]
    return model.version, model.scores("label", [("a b c",), ("e f g",)])


@pytest.fixture
def learned(settings: Settings) -> Context:  # noqa: F811
    work = started(settings, FP32)
    Letters(work.stores).add(40)
    assert learn(work, PROJECT) == "published"
    return work


def test_heads_are_fitted_anew_on_the_format_that_serves_and_answer_meanwhile(
    learned: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = live_of(learned)
    version, scores = answer(learned)
    assert before.precision == FP32 and ask_for_changes(learned) == 0
    work = started(learned.settings, INT8)
    base = work.encoders.base
    assert base.precision == INT8 and base.digest == before.encoder_digest
    served = answer(work)
    assert served[0] == version, "the heads of before answer"
    np.testing.assert_allclose(served[1], scores, atol=0.05)

    assert ask_for_changes(work) == 1 and work.stores.jobs.is_learner_wanted()
    letters = Letters(work.stores)
    letters.count = 40
    letters.add(2)  # a label amid the change
    monkeypatch.setattr(encoder_change, "portions", lambda texts, _: ([text] for text in texts))
    waits = {"yes": True}
    monkeypatch.setattr(type(work.stores.jobs), "is_learner_wanted", lambda _: waits["yes"])
    assert learn(work, PROJECT) == "waits", "others go first, after a portion"
    assert live_of(work).version == version and answer(work)[0] == version
    waits["yes"] = False
    assert learn(work, PROJECT) == "published"
    after = live_of(work)
    assert after.precision == INT8 and after.labels_seen == {"label": 42}, "nothing is lost"
    assert work.stores.examples.pending(PROJECT) == 0 and ask_for_changes(work) == 0
    assert learn(work, PROJECT) == "unchanged", "once"
    texts = [("a b c",), ("e f g",)]
    own = work.live_model(PROJECT, after.version).heads["label"].scores(texts, base.embed(texts))
    np.testing.assert_allclose(answer(work)[1], own, atol=1e-6)

    back = started(learned.settings, FP32)
    assert ask_for_changes(back) == 1
    assert learn(back, PROJECT) == "published" and live_of(back).precision == FP32
    assert ask_for_changes(started(learned.settings, BF16)) == 0, "bfloat16 differs by rounding alone"


def test_a_pinned_version_stays_and_an_unusable_config_is_told(learned: Context) -> None:
    version = learned.stores.versions.live(PROJECT)
    assert version is not None
    work = started(learned.settings, INT8)
    learned.stores.versions.pin(PROJECT, version)
    assert ask_for_changes(work) == 0 and learn(work, PROJECT) == "pinned"
    learned.stores.versions.unpin(PROJECT)
    learned.stores.projects.save_config(PROJECT, "<View/>")
    assert learn(work, PROJECT).startswith("unusable config")


@pytest.mark.parametrize(("int8_ms", "expected"), [(0.7, INT8), (0.8, FP32)])
def test_auto_takes_int8_where_layers_are_quick_enough_in_it(int8_ms: float, expected: str, tmp_path: Path) -> None:
    from model.encoder.encoder import Encoder

    formats = {
        FP32: FormatTiming("plain", 100.0, 60.0, {"plain": 100.0}, (8,), 0.0, 1.0),
        BF16: FormatTiming("plain", 50.0, 20.0, {"plain": 50.0}),
        INT8: FormatTiming("int8", 400.0, 0.0, {"int8": 400.0}, (), 0.2, int8_ms),
    }
    key = key_of(product_shape(read_config(find_base_model())), "cpu")
    (tmp_path / CHOICE_FILE).write_text(json.dumps({key: EngineChoice(formats).to_json()}))
    assert Encoder(find_base_model(), precision="auto", timings=tmp_path).precision == expected
