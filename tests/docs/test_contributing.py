"""What a contributor is told to run is there, and what runs by itself runs the same."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
GITHUB = ROOT / ".github"
TARGETS = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", *sorted(ROOT.glob("docs/*.md"))]


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_make_target_that_a_page_names_exists(page: Path) -> None:
    named = re.findall(
        r"`make ((?:[a-z][a-z0-9-]*(?: |(?=`)))+)|^make ([a-z0-9-]+)", page.read_text(encoding="utf-8"), re.M
    )
    assert {target for inline, block in named for target in f"{inline} {block}".split()} <= TARGETS


def test_ci_runs_what_a_contributor_runs_and_nothing_else() -> None:
    jobs = read(GITHUB / "workflows" / "ci.yml")["jobs"]
    commands = [step["run"] for job in jobs.values() for step in job["steps"] if "run" in step]
    assert ".ci/run" in commands
    ours = [command for command in commands if not command.startswith(("git config", ".ci/run"))]
    assert all(command.split()[0] == "make" and command.split()[1] in TARGETS for command in ours)


def test_hooks_before_a_commit_are_local_and_check_what_lint_and_types_check() -> None:
    [repository] = read(ROOT / ".pre-commit-config.yaml")["repos"]
    assert repository["repo"] == "local", "a hook of another repository would be fetched"
    hooks = {hook["id"]: hook for hook in repository["hooks"]}
    assert set(hooks) == {"ruff", "ruff-format", "whitespace", "mypy"}
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for hook in hooks.values():
        assert hook["language"] == "system"
        tool = re.sub(r"^\.venv/bin/python -m |--\S+| check.*", "", hook["entry"]).split()[:2]
        assert " ".join(tool) in makefile, hook["entry"]


def test_every_form_of_an_issue_is_whole() -> None:
    forms = {path.stem: read(path) for path in (GITHUB / "ISSUE_TEMPLATE").glob("*.yml")}
    assert {"bug", "idea", "config"} == set(forms)
    for name in ("bug", "idea"):
        assert {"name", "description", "body"} <= set(forms[name])
        fields = [field for field in forms[name]["body"] if field["type"] != "markdown"]
        assert all(field["id"] and field["attributes"]["label"] for field in fields)
        assert any(field.get("validations", {}).get("required") for field in fields)
    assert "understudy doctor" in str(forms["bug"])


def test_types_and_licence_travel_with_the_package() -> None:
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert project.count('"py.typed"') == 2
    assert all((ROOT / package / "py.typed").is_file() for package in ("backend", "model"))
    assert "Apache License" in (ROOT / "LICENSE").read_text(encoding="utf-8")
