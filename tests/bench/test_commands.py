"""From a figure to its command: one file a command, each in the table, each with the options that it names."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BENCH = ROOT / "bench"
PAGE = (BENCH / "README.md").read_text(encoding="utf-8")
COMMANDS = {path.stem: path for path in BENCH.glob("*.py") if path.stem != "__init__"} | {
    "chaos": BENCH / "chaos" / "__main__.py"
}
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), ROOT / "Makefile", BENCH / "README.md"]
MOST_FILES, MOST_LINES = 40, 400


@cache
def options_of(path: Path) -> set[str]:
    """What `add_argument` is called with in a module, and `--json` where the shared command line has it."""
    text = path.read_text(encoding="utf-8")
    calls = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)]
    added = [call for call in calls if isinstance(call.func, ast.Attribute) and call.func.attr == "add_argument"]
    found = {str(arg.value) for call in added for arg in call.args if isinstance(arg, ast.Constant)}
    found |= {option.replace("--", "--no-", 1) for option in found if "BooleanOptionalAction" in text}
    return found | ({"--json"} if "command(__doc__)" in text else set())


def uses_of(text: str) -> list[tuple[str, set[str]]]:
    """(command, options) wherever `python -m bench.NAME ...` stands."""
    found = re.findall(r"python -m bench\.(\w+)((?:[ \t]+(?!python -m)[^\s`]+|\n {12,}\[[^\n]*)*)", text)
    return [(name, set(re.findall(r"(?<![\w-])--[\w-]+", rest))) for name, rest in found]


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_a_command_says_how_it_is_run_and_stands_in_the_table(name: str) -> None:
    text = COMMANDS[name].read_text(encoding="utf-8")
    described = ast.get_docstring(ast.parse(text), clean=False) or ""
    assert [used for used, _ in uses_of(described)][:1] == [name]
    assert re.search(r"^if __name__ == \"__main__\":$", text, re.MULTILINE)
    assert f"`python -m bench.{name}" in PAGE, "bench/README.md has the figures of every command"


def test_the_options_that_are_named_exist() -> None:
    texts = {path: path.read_text(encoding="utf-8") for path in [*PAGES, *COMMANDS.values()]}
    uses = [(path, name, options) for path, text in texts.items() for name, options in uses_of(text)]
    assert sum(len(options) for _, _, options in uses) > 60
    wrong = [
        f"{path.relative_to(ROOT)}: bench.{name} {' '.join(sorted(unknown))}"
        for path, name, options in uses
        if name in COMMANDS and (unknown := options - options_of(COMMANDS[name]))
    ]
    assert wrong == []


def test_there_are_few_files_and_none_is_long() -> None:
    lines = {path.relative_to(BENCH): len(path.read_text("utf-8").splitlines()) for path in BENCH.rglob("*.py")}
    assert len(lines) <= MOST_FILES
    assert {path: count for path, count in lines.items() if count > MOST_LINES} == {}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--teacher", "abc"], "shares above 0"),
        (["--teacher", ".6,nan"], "shares above 0"),
        (["--labels", "8,-1"], "whole numbers"),
        (["--peers", "setfit,foo"], "foo is not known; there is tfidf"),
    ],
)
def test_a_list_that_cannot_be_used_is_told_in_a_line(
    given: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    from bench.learning import parse

    with pytest.raises(SystemExit):
        parse(given)
    told = capsys.readouterr().err.splitlines()[-1]
    assert f"argument {given[0]}" in told and said in told


def test_a_way_of_choosing_that_nobody_knows_is_told_in_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    from bench.active_learning import parse

    for more in ([], ["--spans"], ["--hunt"]):
        with pytest.raises(SystemExit):
            parse(["--strategies", "random,foo", *more])
        assert "foo is not known; there is" in capsys.readouterr().err
