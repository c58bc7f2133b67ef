"""A text that choices and spans both read goes through the encoder once."""

from __future__ import annotations

from pathlib import Path

from model.encoder.encoder import Encoder, find_base_model
from model.features.cache import CachedEncoder, FeatureCache
from model.features.varied_cache import VariedCache
from model.interfaces import EncoderCounters
from model.spans.features.reading import SpanReader
from model.spans.transfer.prior import read_prior
from model.spec import Control, Input, Kind, Label, PageRules, TaskSpec
from model.versions.live_model import cold_start
from model.versions.span_answers import SpanTools

SPEC = TaskSpec(
    (Input("t", "Text", "$t"), Input("t.page", "Text", "$t", page=PageRules("t"))),
    (Control("topic", Kind.SINGLE, ("t",), (Label(("news",), "news"), Label(("sport",), "sport"))),),
    spans=(Control("names", Kind.SPANS, ("t.page",), (Label(("person",), "person"),), "Labels"),),
)


def test_a_text_of_choices_and_spans_is_encoded_once(tmp_path: Path) -> None:
    counted = EncoderCounters()
    encoder = Encoder(find_base_model(), tally=counted)
    base = CachedEncoder(encoder, FeatureCache(tmp_path / "features", 16))
    reader = SpanReader(encoder, read_prior(), VariedCache(tmp_path / "words", 16))
    model = cold_start(SPEC, base, tools=lambda: SpanTools(reader))
    before = counted.texts
    texts = [f"Ann Miller met Bob {number} in Oslo." for number in range(10)]
    answers = model.predict([{"t": text, "t.page": text} for text in texts])
    assert counted.texts - before == 10
    assert [[one.control for one in answer] for answer in answers] == [["topic", "names"]] * 10
    model.predict([{"t": "It rains.", "t.page": "<b>It rains.</b>"}])
    assert counted.texts - before == 12, "what differs is read for each"
