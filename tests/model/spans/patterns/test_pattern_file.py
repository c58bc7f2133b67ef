"""Patterns from files: what spaCy, Prodigy, spreadsheets and editors write, and what is said of what cannot be read."""

from __future__ import annotations

from pathlib import Path

import pytest

from model.errors import DataError
from model.spans.patterns.lexicon import MOST_REGEXES, build_lexicon
from model.spans.patterns.pattern import LONGEST_TEXT, Pattern, PatternError
from model.spans.patterns.pattern_file import read_patterns

PER, LOC = Pattern("PER", "Ann Miller"), Pattern("LOC", "Oslo")


def read(tmp_path: Path, name: str, content: str | bytes, label: str = "", ignore_case: bool = False) -> list[Pattern]:
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass"))
    return read_patterns(path, label, ignore_case=ignore_case)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.jsonl", '{"label": "PER", "pattern": "Ann Miller"}\n\n{"label":"LOC","pattern":"Oslo","id":"oslo"}'),
        ("a.json", '[{"label": "PER", "pattern": "Ann  Miller "}, {"label": "LOC", "string": "Oslo"}]'),
        ("a", '{"label": "PER", "pattern": "Ann Miller"}\n{"label": "LOC", "pattern": "Oslo"}'),
        ("a.jsonl", '{"label":"PER","pattern":[{"ORTH":"Ann"},{"TEXT":"Miller"}]}\n{"label":"LOC","pattern":"Oslo"}'),
        ("a.csv", "label,string\nPER,Ann Miller\nLOC,Oslo\n"),
        ("a.csv", "PER,Ann Miller\r\nLOC,Oslo\r\n"),
        ("a.csv", "Pattern;Label\n\nAnn Miller;PER\nOslo;LOC"),
        ("a.csv", '"PER","Ann Miller"\n"LOC","Oslo"'),
        ("a.tsv", "label\tpattern\nPER\tAnn Miller\nLOC\tOslo"),
        ("a.csv", b"\xef\xbb\xbflabel,regex,pattern\nPER,,Ann Miller\nLOC,,Oslo"),
        ("a.csv", "label,string\nPER,Ann Miller\nLOC,Oslo".encode("utf-16")),
    ],
)
def test_every_form_says_the_same(tmp_path: Path, name: str, content: str | bytes) -> None:
    assert read(tmp_path, name, content) == [PER, LOC]


def test_a_plain_list_takes_its_label_from_the_command(tmp_path: Path) -> None:
    found = read(tmp_path, "a.txt", "Oslo\n\n  Bergen, Norway \n#home\n", "LOC")
    assert [(own.text, own.line) for own in found] == [("Oslo", 1), ("Bergen, Norway", 3), ("#home", 4)]
    with pytest.raises(PatternError, match="--label"):
        read(tmp_path, "a.txt", "Oslo")


def test_case_and_expressions_are_said_row_by_row(tmp_path: Path) -> None:
    rows = '{"label":"L","regex":"a+","ignore_case":true}\n{"pattern":"B"}\n'
    rows += '{"label":"M","pattern":[{"lower":"new"},{"LOWER":"york"}]}'
    assert read(tmp_path, "a.jsonl", rows, "X") == [
        Pattern("L", "a+", is_regex=True, ignore_case=True),
        Pattern("X", "B"),
        Pattern("M", "new york", ignore_case=True),
    ]
    table = "label,regex,ignore_case\nL,\\d+,yes\nL,x+,no"
    assert [own.ignore_case for own in read(tmp_path, "a.csv", table)] == [True, False]
    assert [own.ignore_case for own in read(tmp_path, "b.csv", "L,a\nL,b", ignore_case=True)] == [True, True]


@pytest.mark.parametrize(
    ("name", "content", "line", "field", "words"),
    [
        ("a.jsonl", '{"label":"L","pattern":"a"}\n{"label":"L"', 2, "row", "not JSON"),
        ("a.jsonl", '{"label":"L","pattern":"a"}\n\n["L"]', 3, "row", "one object"),
        ("a.jsonl", '{"pattern":"a"}', 1, "label", "--label"),
        ("a.jsonl", '{"label":7,"pattern":"a"}', 1, "label", "name"),
        ("a.jsonl", '{"label":"L"}', 1, "pattern", "neither"),
        ("a.jsonl", '{"label":"L","pattern":"a","regex":"b"}', 1, "pattern", "both"),
        ("a.jsonl", '{"label":"L","pattern":7}', 1, "pattern", "list of tokens"),
        ("a.jsonl", '{"label":"L","regex":["a"]}', 1, "regex", "expression is a text"),
        ("a.jsonl", '{"label":"L","pattern":[{"POS":"NOUN"}]}', 1, "pattern", "POS"),
        ("a.jsonl", '{"label":"L","pattern":[{"LOWER":"a","OP":"+"}]}', 1, "pattern", "write a regex"),
        ("a.jsonl", '{"label":"L","pattern":[{"TEXT":{"REGEX":"a"}}]}', 1, "pattern", "write a regex"),
        ("a.jsonl", '{"label":"L","pattern":[{"LOWER":"a"},{"TEXT":"B"}]}', 1, "pattern", "regard to case"),
        ("a.jsonl", '{"label":"L","pattern":"a","ignore_case":"perhaps"}', 1, "ignore_case", "true or false"),
        ("a.csv", "L,a\nL\n", 2, "row", "1 cells"),
        ("a.csv", "L,a\nL,b,c,d\n", 2, "row", "4 cells"),
        ("a.csv", 'L,a\n"L\n', 2, "", ""),
        ("a.xyz", "L,a", None, "file", ".jsonl"),
    ],
)
def test_what_cannot_be_used_is_named_by_line_field_and_remedy(
    tmp_path: Path, name: str, content: str, line: int | None, field: str, words: str
) -> None:
    with pytest.raises(PatternError) as error:
        read(tmp_path, name, content)
    assert error.value.code == "bad_pattern" and words in error.value.message
    if line is not None:
        assert error.value.evidence["line"] == line and f"line {line}" in error.value.message
    if field:
        assert error.value.evidence["field"] == field


@pytest.mark.parametrize("content", [b"", b"  \n ", b"\xff\xfe\xfa", b"PK\x03\x04", b"\x1f\x8b\x08"])
def test_what_is_no_text_says_what_it_is(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(DataError) as error:
        read(tmp_path, "a.jsonl", content)
    assert "a.jsonl" in error.value.message


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        (Pattern("L", "(?=a)", is_regex=True, line=4), "looking ahead"),
        (Pattern("L", "(?<!a)b", is_regex=True, line=4), "looking ahead or behind"),
        (Pattern("L", r"(a)\1", is_regex=True, line=4), "references back"),
        (Pattern("L", "a{1001}", is_regex=True, line=4), "at most 1,000"),
        (Pattern("L", "(a{100}){100}", is_regex=True, line=4), "at most 1,000"),
        (Pattern("L", r"\p{L}{1,30}", is_regex=True, line=4), "smaller counts"),
        (Pattern("L", r"(\p{L}{1,40} ){1,20}", is_regex=True, line=4), "smaller counts"),
        (Pattern("L", r"\p{Foo}", is_regex=True, line=4), "classes are those of RE2"),
        (Pattern("L", "[", is_regex=True, line=4), "RE2"),
        (Pattern("L", "a**", is_regex=True, line=4), "RE2"),
        (Pattern("L", "a*", is_regex=True, line=4), "nothing stands"),
        (Pattern("L", "$", is_regex=True, line=4), "nothing stands"),
        (Pattern("L", "", is_regex=True, line=4), "nothing stands"),
        (Pattern("L", "\ud800", is_regex=True, line=4), "half a character"),
        (Pattern("L", "a\ud800", line=4), "half a character"),
        (Pattern("L", "a" * (LONGEST_TEXT + 1), line=4), "shorten"),
        (Pattern("L", "a" * (LONGEST_TEXT + 1), is_regex=True, line=4), "split"),
        (Pattern("L", " \t", line=4), "no visible character"),
        (Pattern("L", "a " * 41, line=4), "41 words"),
    ],
)
def test_a_pattern_that_cannot_be_matched_says_why_and_what_to_write(pattern: Pattern, words: str) -> None:
    with pytest.raises(PatternError) as error:
        build_lexicon([Pattern("L", "fine", line=1), pattern])
    assert words in error.value.message and error.value.message.startswith(f'line 4, field "{pattern.kind}"')
    assert error.value.evidence == {"field": pattern.kind, "line": 4}


def test_too_many_are_refused() -> None:
    with pytest.raises(PatternError, match="at most 500"):
        build_lexicon([Pattern("L", f"a{number}", is_regex=True) for number in range(MOST_REGEXES + 1)])
    with pytest.raises(PatternError, match="at most 200,000"):
        build_lexicon([Pattern("L", f"a{number}") for number in range(200_001)])
    with pytest.raises(PatternError, match="bytes"):
        build_lexicon([Pattern("L", f"{number} " + "x" * 900) for number in range(10_000)])
