"""Labels that look alike are different labels all the way: config, annotation, record, store, head, version, result."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backend.labelstudio.annotations import to_record
from backend.labelstudio.records import ExampleRecord
from backend.labelstudio.results import to_results
from backend.labelstudio.task_spec import parse_label_config
from backend.rules.consensus import reach_consensus
from model.head.fit import fit_heads
from model.labels import key_of
from model.simulation.dataset import read_dataset
from model.spec import Label, Prediction, TaskSpec
from model.versions.directory import Manifest, read_heads, write_version
from tests.support.encoders import WordsEncoder, choices, samples_of, spec_of

ALIKE = (
    *(
        "1",
        "-1",
        "+1",
        "01",
        "1.0",
        "true",
        "True",
        "null",
        "NaN",
        "C",
        "C++",
        "C#",
        "yes",
        "Yes",
        "YES ",
        " yes",
        "A  B",
    ),
    *(
        "A B",
        "A\u00a0B",
        "A\tB",
        "A\nB",
        "Input/Output",
        "Input\\/Output",
        "Input",
        "Output",
        "\\",
        "/",
        "\\e",
        "👍",
        "👍🏽",
    ),
    *(
        "👍\u200d",
        "e\u0301",
        "\u00e9",
        "Ⅳ",
        "IV",
        "|",
        "a|b",
        "[b]",
        "&amp;",
        "<b>",
        '"',
        "'",
        "$price",
        "none",
        "\u202e",
    ),
)
NAMES = st.sampled_from(ALIKE) | st.text(
    st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="\ufffe\uffff"), min_size=1, max_size=5
)


def attribute(value: str) -> str:
    """As XML; line ends and tabs as references, or a parser makes blanks of them."""
    return quoteattr(value, {"\n": "&#10;", "\t": "&#9;", "\r": "&#13;"})


def tree(paths: list[tuple[str, ...]]) -> str:
    """Choice tags whose labels include these paths."""
    names = dict.fromkeys(path[0] for path in paths)
    parts = []
    for name in names:
        below = [path[1:] for path in paths if path[0] == name and len(path) > 1]
        parts.append(f"<Choice value={attribute(name)}>{tree(below) if below else ''}</Choice>")
    return "".join(parts)


@st.composite
def configs(draw: st.DrawFn) -> tuple[str, list[tuple[str, ...]], str]:
    flat = draw(st.booleans())
    paths = draw(st.lists(st.lists(NAMES, min_size=1, max_size=1 if flat else 3).map(tuple), min_size=2, unique=True))
    tag = "Choices" if flat else "Taxonomy"
    options = 'choice="multiple"' if flat and draw(st.booleans()) else ""
    text = '<Text name="t" value="$t"/>'
    return f'<View>{text}<{tag} name="c" toName="t" {options}>{tree(paths)}</{tag}></View>', paths, tag.lower()


def annotation(number: int, tag: str, path: tuple[str, ...]) -> dict[str, Any]:
    value = [list(path)] if tag == "taxonomy" else [path[0]]
    result = [{"from_name": "c", "to_name": "t", "type": tag, "value": {tag: value}}]
    return {"id": number, "task": number, "result": result, "updated_at": "2026-01-01T00:00:00Z"}


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(configs())
def test_every_label_comes_back_as_itself(case: tuple[str, list[tuple[str, ...]], str]) -> None:
    config, paths, tag = case
    spec = TaskSpec.from_json(json.loads(json.dumps(parse_label_config(config).to_json())))
    assert set(paths) <= {label.path for label in spec.controls[0].labels}
    records = []
    for number, path in enumerate(paths, 1):
        record = to_record(spec, annotation(number, tag, path), {"id": number, "data": {"t": f"text {number}"}})
        records.append(ExampleRecord.from_json(json.loads(json.dumps(record.to_json()))))
    reached = reach_consensus(spec, records)
    assert not reached.quarantined
    targets = {sample.task: [key for key, share in sample.target.items() if share] for sample in reached.samples["c"]}
    assert targets == {number: [key_of(path)] for number, path in enumerate(paths, 1)}
    assert len(set(spec.controls[0].shown.values())) == len(spec.controls[0].labels)
    for path in paths:
        (result,) = to_results(spec, [Prediction("c", (key_of(path),), 0.5)])
        assert result["value"][tag] == ([list(path)] if tag == "taxonomy" else [path[0]])


def test_a_version_on_disk_knows_them_apart(tmp_path: Path) -> None:
    control = replace(choices("x"), labels=tuple(Label((name,), name) for name in ALIKE))
    keys = [key_of((name,)) for name in ALIKE]
    samples = samples_of(*[(f"word{number}", key) for number, key in enumerate(keys)])
    head = fit_heads(spec_of(control), {"label": samples}, [], WordsEncoder())["label"]
    manifest = Manifest("v0.1", 7, None, "head", 0, spec_of(control).to_json(), "d", "e")
    directory = write_version(tmp_path, manifest, {"label": head})
    restored = read_heads(directory, None)[0]["label"]
    assert list(restored.labels) == keys == list(TaskSpec.from_json(manifest.spec).controls[0].keys())
    texts = [sample.text for sample in samples]
    features = WordsEncoder().embed(texts)
    np.testing.assert_allclose(restored.scores(texts, features), head.scores(texts, features), rtol=1e-4)


def test_a_file_of_labels_keeps_them_apart(tmp_path: Path) -> None:
    names = [name for name in ALIKE if name.strip() and name not in ("|", "a|b")]
    rows = [(f"text {number} {turn}", name) for turn in range(4) for number, name in enumerate(names)]
    with (tmp_path / "x.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("text", "label"), *rows, ("p", "\\|"), ("q", "a\\|b")])
    data = read_dataset(tmp_path / "x.csv")
    assert set(data.control.keys()) == {key_of((name,)) for name in (*names, "|", "a|b")}
    assert len(set(data.control.shown.values())) == len(names) + 2
