"""`understudy simulate` on texts with spans, with the packaged encoder or a tiny random one."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from backend.labelstudio.records import ExampleRecord
from backend.settings.settings import current_settings
from model.simulation.span_replay import SPAN_STRATEGIES
from model.span import Span, SpanDocument
from tests.backend.cli.test_simulate import encoder, letters, rows_of, run, tiny_model  # noqa: F401
from tests.backend.simulate.test_span_files import tasks_of, write_lines
from tests.model.spans.conftest import mark, sentences

KEYS = ("strategy", "n", "seed", "f1", "macro_f1", "saved", "ece", "f1_seen", "f1_unseen", "method")
OPTIONS = ("--seeds", 1, "--threads", 1)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write_lines(tmp_path / "x.jsonl", sentences(120))


def short(path: Path) -> Path:
    """Texts of letters that the tiny tokenizer knows; every f is marked."""
    texts = [" ".join("abcdefghijkl"[(number * step + 1) % 12] for step in (1, 5, 7, 11)) for number in range(60)]
    return write_lines(path, [mark(f"{text} f {'b ' * number}", ("f", "X")) for number, text in enumerate(texts)])


def with_verbs(documents: list[SpanDocument]) -> list[SpanDocument]:
    """With a label of which the prior knows nothing."""
    found = []
    for own in documents:
        verbs = [Span(*match.span(), "V") for match in re.finditer("moved|rains|met", own.text)]
        found.append(SpanDocument(own.text, tuple(sorted([*own.spans, *verbs]))))
    return found


@pytest.mark.slow
def test_the_real_learner_learns_and_finds_spans_before_any_label(tmp_path: Path) -> None:
    file = write_lines(tmp_path / "x.jsonl", with_verbs(sentences(120)))
    test = write_lines(tmp_path / "t.jsonl", with_verbs(sentences(40, 300)))
    given = ("--test", test, "--test-rows", 30, "--no-finetune", "--labels", "16,0,4", "--seeds", "2", "--json")
    rows = rows_of(run(file, *given, "--strategy", "random,margin_clusters"))
    assert [(row["strategy"], row["n"], row["seed"]) for row in rows[:3]] == [("random", n, 0) for n in (0, 4, 16)]
    assert len(rows) == 2 * 3 * 2
    assert {row["strategy"] for row in rows} == {"random", "margin_clusters"}
    for row in rows:
        assert tuple(row)[: len(KEYS)] == KEYS and row["test_rows"] == 30 and row["classes"] == 3
        assert row["method"] == ("span head" if row["n"] else "transfer prior")
        assert row["refit_seconds"] > 0 and row["finetune_seconds"] is None
    first, _, last = rows[:3]
    assert first["f1"] > 0.5 and first["saved"] > 0, "from the labels' names alone"
    assert last["f1"] > max(0.85, first["f1"]) and last["saved"] > first["saved"] and last["f1_seen"] > 0.9


def test_an_export_gives_the_rows_of_its_texts(encoder: None, tmp_path: Path) -> None:  # noqa: F811
    export = tmp_path / "export.json"
    lines = short(tmp_path / "x.jsonl")
    documents = [json.loads(line) for line in lines.read_text().splitlines()]
    export.write_text(json.dumps(tasks_of([mark(one["text"], ("f", "X")) for one in documents])))
    cache = ("--cache", tmp_path / "cache")
    both = [rows_of(run(path, *OPTIONS, "--labels", "0,8", "--json", *cache)) for path in (lines, export)]
    for rows in both:
        assert [row["method"] for row in rows] == ["no prior", "span head"], "the prior is of the packaged encoder"
        for row in rows:
            row.pop("refit_seconds"), row.pop("cold_seconds")
    assert both[0] == both[1] and both[0][1]["f1"] > 0.5
    assert (tmp_path / "cache" / "words" / "data.mdb").exists()


def test_all_strategies_are_those_of_spans(encoder: None, tmp_path: Path) -> None:  # noqa: F811
    rows = rows_of(run(short(tmp_path / "x.jsonl"), *OPTIONS, "--labels", "8", "--strategy", "all", "--json"))
    assert [row["strategy"] for row in rows] == list(SPAN_STRATEGIES)


def test_tables_and_pictures_are_for_people(encoder: None, tmp_path: Path) -> None:  # noqa: F811
    plot = tmp_path / "curve.png"
    result = run(short(tmp_path / "x.jsonl"), *OPTIONS, "--labels", "4,900", "--plot", plot)
    assert result.exit_code == 0, result.output
    assert "understudy, random" in result.stdout and "saved" in result.stdout and "fine-tune" not in result.stdout
    assert "TF-IDF" not in result.stdout and "900 become" in result.stderr
    assert plot.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--strategy", "bald,random"), "bald is for choices; of spans there are random, margin, margin_clusters"),
        (("--peers", "lr"), "--peers: is for choices"),
        (("--multilabel",), "--multilabel/--single-label: is for choices"),
        (("--blank", "none"), "--blank: is for choices"),
        (("--control", "ner"), "has no controls"),
        (("--test", "letters.csv"), "is no JSON: texts with spans come as"),
    ],
)
def test_what_is_for_choices_is_refused_before_the_work(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    letters(tmp_path / "letters.csv", 40)
    result = run(file, "--json", *arguments)
    assert result.exit_code != 0 and "Traceback" not in result.output and result.stdout == ""
    assert words in " ".join(result.output.split())


def test_spans_do_not_mix_with_a_table(file: Path, tmp_path: Path) -> None:
    table = letters(tmp_path / "letters.csv", 40)
    mixed = run(table, "--test", file, "--json")
    assert mixed.exit_code == 1 and "both must be of one kind" in mixed.stderr


def test_a_bad_line_is_one_line_on_stderr(file: Path) -> None:
    file.write_text(file.read_text() + '\n{"text": "Ann", "spans": [{"start": 0, "end": 4, "label": "PER"}]}')
    result = run(file, "--json")
    assert result.exit_code == 1 and result.stdout == "" and len(result.stderr.splitlines()) == 1
    assert "line 121: the span 0 to 4 does not lie in the text of 3 characters" in result.stderr


def test_a_project_with_spans_is_replayed(
    encoder: None,  # noqa: F811
    stores: Any,
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = """<View><Labels name="ner" toName="text"><Label value="X" alias="x1"/><Label value="unused"/></Labels>
        <Text name="text" value="$text"/></View>"""
    stores.projects.save_config(7, config)
    texts = [f"{'abcdeghi'[number % 8]} f {'b ' * number}" for number in range(60)]
    records = [
        ExampleRecord(
            number, number, {"text.page": text}, {}, f"2026-01-01T00:00:{number:02d}Z", spans={"ner": [(2, 3, "x1")]}
        )
        for number, text in enumerate(texts)
    ]
    stores.examples.upsert_many(7, records)
    monkeypatch.setenv("REDIS_URL", settings.redis_url)
    current_settings.cache_clear()
    rows = rows_of(run("--project", 7, *OPTIONS, "--labels", "0,16", "--no-finetune", "--json", "--control", "ner"))
    assert [(row["n"], row["method"], row["classes"]) for row in rows] == [(0, "no prior", 2), (16, "span head", 2)]
    assert rows[1]["f1"] > 0.5
    assert "--peers: is for choices, and project 7" in " ".join(run("--project", 7, "--peers", "lr").output.split())


def test_patterns_are_learned_beside_the_texts(
    file: Path,
    tmp_path: Path,
    tiny_model: Path,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PRECISION", "fp32")  # of a random encoder, so that a rounding decides which of two wins
    current_settings.cache_clear()
    train, listed = short(tmp_path / "s.jsonl"), tmp_path / "list.csv"
    given = ("--labels", "4", "--no-finetune", "--json", *OPTIONS)
    (without,) = rows_of(run(train, *given))
    listed.write_text("X,f\n", encoding="utf-8")
    (with_list,) = rows_of(run(train, "--patterns", listed, *given))
    assert with_list["f1"] > without["f1"]
    listed.write_text("X,f\nY,g\n", encoding="utf-8")
    refused = run(train, "--patterns", listed, *given)
    assert refused.exit_code == 1 and "line 2, field \"label\": 'Y' is no label of these texts (X)" in refused.output
    table = tmp_path / "t.csv"
    rows = "".join(f"{'abcdefghijkl'[n % 12]} {n},{'xy'[n % 2]}\n" for n in range(60))
    table.write_text(f"text,label\n{rows}", encoding="utf-8")
    assert "is for texts with spans" in run(table, "--patterns", listed, *given).output
