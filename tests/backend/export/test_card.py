"""The card is one that model hubs read, says what the evidence says, and holds no text and nobody's name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard

from backend.base_model.hub import find_encoder_files
from backend.export.card import write_card
from backend.export.exported import Exported
from backend.export.facts.base_model import PACKAGED, UNKNOWN, describe_base_model
from backend.export.facts.markdown import cell, table
from backend.export.wish import Format
from backend.jobs.learn.refit import refit
from backend.labelstudio.records import ExampleRecord
from backend.settings.settings import Settings
from model.encoder.encoder import Encoder
from model.export.bundle import Source
from model.export.parity import Parity
from tests.support.tiny import PROJECT, settings, tiny_base  # noqa: F401

CONFIG = (
    '<View><Text name="text" value="$text"/><Choices name="label" toName="text"><Choice value="a | b"/>'
    '<Choice value="[c](x) &lt;d&gt;" alias="cd"/><Choice value="never"/></Choices></View>'
)
PEOPLE = (4711, 4712)
PARITY = Parity("model.onnx", 40, 0.975, 0.002, 0.1, 1.5, 2.5, 0.4)


def records(start: int, stop: int) -> list[ExampleRecord]:
    """Every third task has two answers."""
    found = []
    for number in range(start, stop):
        label = "a | b" if number % 2 else "cd"
        text = {"text": f"{'a b' if number % 2 else 'c d'} secret{number} {'efgh'[number % 4]}"}
        for place, person in enumerate(PEOPLE[: 2 if number % 3 == 0 else 1]):
            stamp = f"2026-01-01T{number // 60:02d}:{number % 60:02d}:0{place}Z"
            found.append(ExampleRecord(2 * number + place, number, text, {"label": [[label]]}, stamp, person))
    return found


@pytest.fixture
def card(context: Any, tmp_path: Path) -> Any:
    """(labels, more at a time) -> the text of the card of the live version."""
    context.stores.projects.save_config(PROJECT, CONFIG)

    def write(count: int, portion: int) -> str:
        for start in range(1, count, portion):
            context.stores.examples.upsert_many(PROJECT, records(start, min(count, start + portion)))
            assert refit(PROJECT) == "published"
        model = context.live_model(PROJECT, context.stores.versions.live(PROJECT))
        source = Source(model, "label", Encoder(find_encoder_files(context.settings), precision="fp32"), None)
        found = Exported(model.version, "label", Format.ONNX, (PARITY,), ("model.int8.onnx",))
        write_card(context.stores, PROJECT, source, found, tmp_path)
        return (tmp_path / "README.md").read_text(encoding="utf-8")

    return write


def test_a_hub_reads_it_and_it_says_what_is_known(card: Any, context: Any) -> None:
    text = card(121, 20)
    read = ModelCard(text)
    assert read.data.library_name == "onnx" and read.data.pipeline_tag == "text-classification"
    assert read.data.license == UNKNOWN and "Its licence is unknown" in text
    [result] = read.data.eval_results or []
    assert result.metric_type == "accuracy" and 0 <= result.metric_value <= 1
    for said in (
        "Labelled by 2 annotators",
        "with several answers people agree to 100%",
        "are what the pre-label said",
        "Expected calibration error",
        "| labels known | answers |",
        "**Not to be relied on for**: never",
        "the head alone was refitted",
        "97.5%",
        "model.int8.onnx answers otherwise",
        "| a \\| b | 60 |",
        "| cd | 60 |",
    ):
        assert said in text, (said, text)
    own = [str(context.settings.data_dir), str(context.settings.base_model), "secret", *map(str, PEOPLE)]
    assert [one for one in own if one in text] == []


def test_thin_evidence_is_told_first(card: Any) -> None:
    text = card(13, 20)
    limits = text.partition("## What it must not be used for")[2].partition("##")[0]
    assert "a \\| b" in limits and "never" in limits and "Not for decisions that nobody looks at" in limits
    assert "Not known yet: 0 of 40 answers." in text and "### What it takes for what\nNot known yet." in text
    ModelCard(text)


def test_a_licence_is_read_and_never_guessed(tmp_path: Path) -> None:
    packaged = describe_base_model("", find_encoder_files(Settings()))
    assert (packaged.name, packaged.licence) == (PACKAGED.hub_id, "apache-2.0")
    assert describe_base_model("team/encoder", tmp_path).name == "team/encoder"
    for matter, licence in (
        ("---\nlicense: MIT\n---\n", "mit"),
        ("license: mit\n", UNKNOWN),
        ("---\nlicense: [a, b]\n---\n", UNKNOWN),
        ("---\nlanguage: en\n---\nlicense: mit\n", UNKNOWN),
    ):
        (tmp_path / "README.md").write_text(matter)
        found = describe_base_model(str(tmp_path), tmp_path)
        assert (found.licence, found.name) == (licence, ""), matter


def test_what_people_wrote_is_no_markup() -> None:
    assert cell("a|b\n`c` <script> [x](y) *z*") == "a\\|b \\`c\\` &lt;script> \\[x](y) \\*z\\*"
    assert table(("a",), []) == []
