"""What the code says of itself in docs/ is what it says now: settings, commands, routes, error codes, Redis keys."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from backend.cli.main import main
from backend.redis_access.keys import GLOBAL_KEYS, PROJECT_KEYS, project_key
from backend.reference.commands import command_page
from backend.reference.errors import error_table
from backend.reference.pages import made_pages, replace_section
from backend.settings.settings import Settings
from backend.web.policy import POLICIES

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
CHANGES = {ROOT / "CHANGELOG.md", *DOCS.glob("decisions/*.md")}
"""They tell of what was, too."""

PAGES = sorted({*ROOT.glob("*.md"), *DOCS.glob("**/*.md")} - CHANGES)
SOURCES = [path for path in ROOT.glob("backend/**/*.py") if path.name != "keys.py"]
NAMED = re.compile(r"(?:`|^|/bin/)understudy ([a-z-]+)\b([^`\n#]*)", re.MULTILINE)
OTHERS = {
    *("ML_BLOCK_LOCAL_IP", "SSRF_PROTECTION_ENABLED", "START_TRAINING"),  # Label Studio's
    *("CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "SSL_CERT_DIR", "SSL_CERT_FILE"),  # of every client
    *("AWS_ACCESS_KEY_ID", "AWS_ENDPOINT_URL", "AWS_PROFILE", "GOOGLE_APPLICATION_CREDENTIALS"),  # of object stores
    *("HF_HUB_OFFLINE", "HF_ENDPOINT"),  # of the hub's
    *("LRU_CACHE_CAPACITY", "ONEDNN_PRIMITIVE_CACHE_CAPACITY"),  # of torch and oneDNN
    *("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL", "AWS_DEFAULT_REGION"),  # of every S3 client
    *("GOOGLE_APPLICATION_CREDENTIALS", "AZURE_STORAGE_ACCOUNT_NAME", "AZURE_STORAGE_ACCOUNT_KEY"),
}
SHOWN = {name: command for name, command in main.commands.items() if not command.hidden}


@pytest.mark.parametrize("page", made_pages(DOCS).items(), ids=lambda page: page[0].name)
def test_a_page_is_current(page: tuple[Path, str]) -> None:
    path, made = page
    assert path.read_text(encoding="utf-8") == made, "run `make docs`"


def test_a_section_is_replaced_between_its_marks_and_nowhere_else() -> None:
    page = "above\n<!-- x: made by `make docs` -->\nold\n<!-- end of x -->\nbelow\n"
    assert replace_section(page, "x", "new\\1\n") == page.replace("old\n", "\nnew\\1\n\n")
    with pytest.raises(ValueError, match="0 sections 'y'"):
        replace_section(page, "y", "new\n")


@pytest.mark.parametrize("name", sorted(SHOWN))
def test_every_command_and_option_says_what_it_does(name: str) -> None:
    command = SHOWN[name]
    assert command.help and command.help.strip().endswith((".", ":", ")"))
    page = command_page().partition(f"\n## understudy {name}\n")[2].partition("\n## ")[0]
    for option in command.params:
        if isinstance(option, click.Option) and not option.hidden:
            assert option.help, f"{name} {option.opts[0]}"
            assert all(f"`{spelling}" in page for spelling in option.opts)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_command_and_option_that_a_page_names_exists(page: Path) -> None:
    for name, rest in NAMED.findall(page.read_text(encoding="utf-8")):
        assert name in main.commands, f"there is no `understudy {name}`"
        known = {"--help"}.union(*((*option.opts, *option.secondary_opts) for option in main.commands[name].params))
        assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", rest)) <= known, f"{name}{rest}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_setting_that_a_page_names_exists(page: Path) -> None:
    known = {name.upper() for name in Settings.model_fields} | OTHERS
    named = re.findall(r"\b[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+\b", page.read_text(encoding="utf-8"))
    unknown = {name for name in named if not {name, name.removesuffix("_FILE")} & known}
    assert unknown == set(), "no setting of ours: one of another program is to be added to OTHERS"


def routes_in(text: str) -> Iterator[str]:
    """`METHOD /path` that a page names, with what stands for an id as the table has it, without a query."""
    for first, more in re.findall(r"`((?:GET|POST|PUT|DELETE) /[^` ?[{]*)[^`]*`((?:, `/[^`]*`)*)", text):
        method = first.split()[0]
        for route in (first, *(f"{method} {path}" for path in re.findall(r"`([^`]+)`", more))):
            yield re.sub(r"(?<=/projects/)(<id>|…|7|ID)", "<project>", route)


def test_every_route_is_described_and_every_route_that_is_described_is_served() -> None:
    written = (DOCS / "http.md").read_text(encoding="utf-8").partition("## Every route")[0]
    described = set(routes_in(written)) | {"POST /webhook/<secret>"}  # in the text above its table
    assert "`/webhook/<secret>`" in written
    assert described == set(POLICIES)


def test_every_code_of_an_error_is_in_the_table_once() -> None:
    codes = re.findall(r"^\| `(\w+)` \| \d{3} \| \S.+ \|$", error_table(), re.MULTILINE)
    assert len(codes) == len(set(codes)) == error_table().count("\n") - 2


def literal_keys() -> Iterator[tuple[str, str]]:
    """File and name of every `project_key(project, "name")`; what stands for a number in a name is `<>`."""
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "project_key":
                name = node.args[1]
                if isinstance(name, ast.Constant):
                    yield path.name, str(name.value)
                elif isinstance(name, ast.JoinedStr):
                    parts = [part.value if isinstance(part, ast.Constant) else "<>" for part in name.values]
                    yield path.name, "".join(map(str, parts))


def test_every_key_that_is_used_is_in_the_table() -> None:
    known = {re.sub(r"<\w+>", "<>", key.name) for key in PROJECT_KEYS}
    used = set(literal_keys())
    assert len(used) > 30
    for file, name in used:
        one_of_many = {key for key in known if re.fullmatch(re.escape(name).replace("<>", ".+"), key)}
        assert name in known or one_of_many or any(key.startswith(name) for key in known), f"{file}: {name}"
    with pytest.raises(KeyError, match="'new' is not in PROJECT_KEYS"):
        project_key(7, "new")


def test_every_key_of_the_table_is_used() -> None:
    text = "\n".join(path.read_text(encoding="utf-8") for path in SOURCES)
    for key in PROJECT_KEYS:
        fixed = key.name.partition("<")[0]
        last = fixed.rpartition(":")[2] or fixed
        assert f'"{fixed}' in text or f"{{what}}:{last}" in text, f"nobody uses {key.name}"
    names = (ROOT / "backend" / "redis_access" / "keys.py").read_text(encoding="utf-8")
    for key in GLOBAL_KEYS:
        assert f'"understudy:{key.name.partition("<")[0]}' in names, f"there is no key {key.name}"


def test_every_key_without_a_project_is_in_the_table() -> None:
    names = (ROOT / "backend" / "redis_access" / "keys.py").read_text(encoding="utf-8")
    fixed = set(re.findall(r'^[A-Z_]+ = "understudy:([\w:]*\w)"$', names, re.MULTILINE))
    assert fixed == {key.name for key in GLOBAL_KEYS if "<" not in key.name}
