"""Whatever people wrote is printed as it is by every command, and drives no terminal."""

from __future__ import annotations

import io
import json
import os
import pty
import re
import subprocess
import sys
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from backend.cli.main import main
from backend.screen import JOINERS, fit, plain, say, say_json, say_table
from backend.settings.settings import current_settings
from tests.backend.cli.test_admin import TOKEN, Admin, admin
from tests.conftest import serving  # noqa: F401

__all__ = ["admin"]

MARKUP = "[INST] [/INST] [red] [/] [link=http://x]l[/link] :smile: {x} %s"
"""Shown as it is."""

DRIVING = "\x1b[31m\x1b]0;t\x07 \x9b2J \r over \b\x7f\t\n[fail]  forged \u202edlrow \u200b\ufeff\u2066\u2028 \ud83d\x00"
NASTY = f"{MARKUP} {DRIVING} 👩\u200d🚀 日本"
KEPT = "\n\t"

RECORD = {"id": NASTY, "status": "done", "step": 1, "of": 2, "written": 1, "present": 0, "declined": 1, "dropped": 0}
RECORD |= {
    "seconds_left": None,
    "error": NASTY,
    "retry_in": 3,
    "message": NASTY,
    "stage": NASTY,
    "metric": {NASTY: 1.0},
}
HUNT = {
    "control": NASTY,
    "label": NASTY,
    "labels": 1,
    "wanted": 10,
    "asked": 2,
    "found": 1,
    "ordered": False,
    "vain": 0,
    "state": "scarce",
}
PROJECT: dict[str, Any] = {
    **{"id": 7, "live": NASTY, "examples": 1, "pending": 0, "labels": {NASTY: {NASTY: 1}}, "dirty": NASTY},
    **{
        "annotators": {NASTY: {NASTY: {"reliability": 0.5, "labels": 1}}},
        "not_learned": [NASTY],
        "off": {NASTY: NASTY},
    },
    **{"disagreements": {NASTY: [{"task": 1}]}, "quarantined": {NASTY: {NASTY: 3}}, "job": {**RECORD, "status": NASTY}},
    "trouble": {NASTY: {"failures": 1, "error": NASTY, "retry_in": 3}},
    "last_sync": {"ok_at": 1.0, "drift": 0, "error": NASTY},
    "metrics": {NASTY: {"accuracy": 1.0, "n": 1, "confidence": 1.0, "log_loss": 0.1}},
    "curve": {NASTY: [{"labels": 1, "accuracy": 1.0}]},
    "queue": {"off": NASTY, "hunts": [HUNT]},
}
SUSPECT = {"control": NASTY, "task": 1, "annotations": [1], "text": NASTY, "given": NASTY, "suggested": NASTY}
SUSPECT |= {"p_given": 0.1, "p_suggested": 0.9, "flag": NASTY}
WORD = {"start": 1, "end": 9, "weight": 1.0, "input": NASTY, "text": NASTY, "label": NASTY, "log_odds": 1.0}
VOTE = {"label": NASTY, "votes": 1, "of": 2, "place": {"start": 0, "end": 1, "text": NASTY}}
DISPUTED = {"control": NASTY, "task": 1, "score": 0.5, "text": NASTY, "answers": [VOTE, {**VOTE, "label": NASTY}]}
NEAR = {"task": 1, "start": 0, "end": 1, "label": NASTY, "text": NASTY, "around": NASTY, "similarity": 0.5}
WHY: dict[str, Any] = {
    **{"shown": True, "verdict": NASTY, "probability": 0.9, "threshold": 0.4, "difference": 1.0},
    "parts": [{"part": NASTY, "share": 0.5, "probability": 0.5}],
    "nearest": [{**NEAR, "question": NASTY}],
    "runner_up": {"label": NASTY, "probability": 0.1, "start": 0, "end": 1, "text": NASTY},
    "groups": [{"group": NASTY, "score": 1.0}],
    "features": [{"group": NASTY, "what": NASTY, "text": NASTY, "start": 0, "end": 1, "score": 1.0}],
}
EXPLAINED = {"start": 1, "end": 9, "label": NASTY, "text": NASTY, "score": 0.5, "reason": NASTY, "why": WHY}
MADE = {
    "version": NASTY,
    "kind": NASTY,
    "status": NASTY,
    "labels_seen": {NASTY: 1},
    "created_at": NASTY,
    "reason": NASTY,
}
TEACHER = {
    **{"host": NASTY, "model": NASTY, "kept": {NASTY: False}},
    "cost": {"requests": 1, "tokens": 2, "questions": [NASTY], "money": 0.5},
    "run": {
        **{"id": NASTY, "status": NASTY, "step": 1, "of": 2, "answered": 1, "bad": 0, "requests": 1, "tokens": 9},
        **{"message": NASTY, "error": NASTY, "retry_in": 3.0},
    },
}
ENCODER = {
    **{"base_model": NASTY, "live": NASTY, "made_with": NASTY, "wish": NASTY, "state": "refused", "digest": "ab"},
    **{"labels": 64, "reason": NASTY, "again_at": 96, "message": NASTY},
}
PATTERNS = {
    "patterns": {
        NASTY: {"digest": "ab", "at": 1.0, "bytes": 9, "labels": {NASTY: {"patterns": 2, "tried": 4, "right": 1}}}
    },
    "pending": True,
    "rows": [{"label": NASTY, "pattern": NASTY}],
}
FILES = {
    **{"id": "files-7-ab", "status": "running", "source": NASTY, "output": NASTY, "version": NASTY, "message": NASTY},
    **{"step": 1, "of": 2, "kept": 1, "errors": 1, "rate": 1.0, "shards": {"all": 2, "over": 1}, "workers": 1},
    **{"error": NASTY, "retry_in": 1, "ended_at": None, "asked_at": 1.0, "in_flight": 1, "failed": 0},
}
REPLIES: dict[tuple[str, str], dict[str, Any]] = {
    ("GET", "/admin/projects"): {"projects": [PROJECT]},
    ("GET", "/admin/projects/7"): PROJECT,
    ("GET", "/admin/projects/7/suspects?limit=20"): {
        **{"suspects": [SUSPECT], "found": 1, "searched": {NASTY: {"labels": 1, "at": 1.0}}},
        "disputed": [DISPUTED],
    },
    ("GET", "/admin/projects/7/explain?task=5"): {
        **{"control": NASTY, "labels": [NASTY], "score": 0.5, "runner_up": {"label": NASTY, "score": 0.1}},
        **{"version": NASTY, "texts": {NASTY: NASTY}, "words": [WORD]},
    },
    ("GET", "/admin/projects/7/explain?task=6&start=0&end=3"): {
        **{"control": NASTY, "labels": [], "score": 0.5, "version": NASTY, "texts": {NASTY: NASTY}, "words": []},
        **{"spans": [EXPLAINED], "asked": EXPLAINED},
    },
    ("GET", "/admin/projects/7/versions"): {"live": NASTY, "versions": [MADE]},
    ("GET", "/admin/projects/7/examples"): {
        "examples": [{"id": NASTY, "task": 1, "labels": {NASTY: [NASTY]}, "updated_at": NASTY}]
    },
    ("GET", "/admin/audit?limit=50"): {"actions": [{"at": 1.0, "by": NASTY, "address": NASTY, "action": NASTY}]},
    ("GET", "/admin/projects/7/patterns"): PATTERNS,
    ("GET", "/admin/projects/7/patterns?limit=5"): PATTERNS,
    ("DELETE", "/admin/projects/7/patterns?control=&label="): {"message": NASTY},
    ("GET", "/admin/projects/7/teacher"): TEACHER,
    ("GET", "/admin/projects/7/teacher?texts=0"): TEACHER,
    ("POST", "/admin/projects/7/teacher"): TEACHER,
    ("DELETE", "/admin/projects/7/teacher"): {"message": NASTY},
    ("GET", "/admin/projects/7/encoder"): ENCODER,
    ("POST", "/admin/projects/7/encoder"): ENCODER,
    ("GET", "/admin/projects/7/predict"): RECORD,
    ("POST", "/admin/projects/7/predict"): RECORD,
    ("GET", "/admin/projects/7/files"): FILES,
    ("POST", "/admin/projects/7/files"): FILES,
    ("POST", "/admin/projects/7/files/cancel"): FILES,
    ("POST", "/admin/projects/7/queue"): {"message": NASTY},
    ("GET", "/admin/projects/7/hunts"): {"share": 0.5, "hunted_classes": 9, "hunts": [HUNT], "orders": []},
    ("GET", "/admin/projects/7/pool"): {
        **{"at": 1.0, "seq": 1, "pool": 9, "tasks": 9, "compared": 4, "labelled": 1, "counts": {NASTY: 1}},
        "rows": [
            {"kind": "duplicate", "task": 5, "like": 4, "text": NASTY},
            {"kind": "script", "task": 6, "about": NASTY, "text": NASTY},
        ],
    },
    ("POST", "/admin/projects/7/hunts"): {"message": NASTY},
    ("DELETE", "/admin/projects/7/hunts?control=&label=x"): {"message": NASTY},
    ("POST", "/admin/projects/7/resync"): {"message": NASTY},
    ("POST", "/admin/projects/7/show"): {"message": NASTY},
    ("POST", "/admin/projects/7/retrain"): {"job": "train-7-ab", "status": NASTY, "message": NASTY},
    ("GET", "/admin/jobs/train-7-ab"): {**RECORD, "status": "rejected"},
    ("POST", "/admin/jobs/train-7-ab/cancel"): {"message": NASTY},
    ("POST", "/admin/projects/7/rollback"): {"message": NASTY},
    ("POST", "/admin/login-link"): {"path": NASTY, "seconds": 60},
    ("POST", "/admin/projects/7/unpin"): {"live": NASTY, "message": NASTY},
}
SHOWING = {
    "status": [["status"], ["status", "7"], ["status", "7", "--json"]],
    "suspects": [["suspects", "7"], ["suspects", "7", "--json"]],
    "explain": [
        ["explain", "7", "5"],
        ["explain", "7", "5", "--json"],
        ["explain", "7", "6", "--span", "0:3"],
        ["explain", "7", "6", "--span", "0:3", "--json"],
    ],
    "versions": [["versions", "7"], ["versions", "7", "--json"]],
    "examples": [["examples", "7"], ["examples", "7", "--json"]],
    "export": [["export", "7", "-o", NASTY.replace("\0", "").replace("\ud83d", "")]],
    "import-model": [["import-model", "7", NASTY.replace("\0", "").replace("\ud83d", "")]],
    "dataset": [["dataset", "7", "-o", NASTY.replace("\0", "").replace("\ud83d", "")]],
    "audit": [["audit"], ["audit", "--json"]],
    "train-prior": [["train-prior", NASTY.replace("\0", "").replace("\ud83d", "")]],
    "patterns": [
        ["patterns", "7"],
        ["patterns", "7", "--json"],
        ["patterns", "7", "--limit", "5"],
        ["patterns", "7", "--clear"],
        ["patterns", "7", NASTY.replace("\0", "").replace("\ud83d", "")],
    ],
    "teach": [
        ["teach", "7"],
        ["teach", "7", "--status"],
        ["teach", "7", "--status", "--json"],
        ["teach", "7", "--dry-run"],
        ["teach", "7", "--stop"],
    ],
    "encoder": [["encoder", "7"], ["encoder", "7", "--json"], ["encoder", "7", "--take"], ["encoder", "7", "--keep"]],
    "predict": [
        ["predict", "7"],
        ["predict", "7", "--status"],
        ["predict", NASTY.replace("\0", "").replace("\ud83d", "")],
        ["predict", "in/*.csv", "-o", "out/", "--project", "7", "--status"],
        ["predict", "in/*.csv", "-o", "out/", "--project", "7", "--cancel"],
        ["predict", "in/*.csv", "-o", "out/", "--project", "7", "--no-wait"],
    ],
    "queue": [["queue", "7"], ["queue", "7", "--plan"]],
    "hunt": [["hunt", "7"], ["hunt", "7", "--json"], ["hunt", "7", "x"], ["hunt", "7", "x", "--stop"]],
    "pool": [["pool", "7"], ["pool", "7", "--json"], ["pool", "7", "--csv"], ["pool", NASTY]],
    "resync": [["resync", "7"]],
    "show": [["show", "7", "f1"]],
    "retrain": [["retrain", "7"]],
    "cancel": [["cancel", "train-7-ab"]],
    "rollback": [["rollback", "7", "v1"]],
    "unpin": [["unpin", "7"]],
    "ui": [["ui", "--no-open"]],
    "simulate": [["simulate", "[INST]\x1b[31m.csv"], ["simulate", "x.csv", "--strategy", NASTY]],
    "restore": [["restore", "[INST]\x1b[31m.tar"]],
    "backup": [["backup", "[INST]\x1b[31m/x.tar"]],
    "accept": [["accept", NASTY]],
    "connect": [["connect", "--project", NASTY]],
    "disconnect": [["disconnect", "--project", NASTY]],
    "doctor": [["doctor", "--project", NASTY]],
    "notify": [["notify", "[INST]\x1b[31m"]],
    "healthcheck": [["healthcheck", NASTY]],
}
PROCESSES = {"up", "demo", "web", "learner", "trainer", "sync", "predictor", "scheduler", "redis", "console"}
"""They print logs, which are JSON, and `console`, whose lines go through the same functions."""


@pytest.fixture(params=["utf-8", "latin-1", "ascii"])
def understudy(admin: Admin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: Any) -> Iterator[Any]:
    monkeypatch.chdir(tmp_path)
    admin.replies.update({call: (200, body) for call, body in REPLIES.items()})

    def run(*arguments: str) -> Result:
        current_settings.cache_clear()
        environment = {"HOST": "127.0.0.1", "PORT": str(admin.server_port), "ADMIN_TOKEN": TOKEN}
        environment |= {"DATA_DIR": str(tmp_path / "data"), "COLUMNS": "40"}
        return CliRunner(charset=request.param).invoke(main, arguments, env=environment)

    yield run
    current_settings.cache_clear()


def drives(text: str) -> set[str]:
    """Characters of `text` that do something in place of being seen."""
    seen = {char for char in text if unicodedata.category(char) in ("Cc", "Cf", "Cs", "Zl", "Zp")}
    return seen - set(KEPT) - JOINERS


def test_every_command_is_tried() -> None:
    assert set(main.commands) == set(SHOWING) | PROCESSES


@pytest.mark.parametrize("command", SHOWING)
def test_every_command_prints_what_people_wrote_as_it_is(understudy: Any, command: str) -> None:
    for arguments in SHOWING[command]:
        result = understudy(*arguments)
        assert result.exception is None or isinstance(result.exception, SystemExit), (arguments, result.exc_info)
        assert not drives(result.output), (arguments, drives(result.output))
        assert not re.search(r"^\[fail\]", result.output, re.MULTILINE) or command == "explain", "a forged line"
        joined = re.sub(r"\s+", "", result.output)  # tables of a narrow terminal are folded
        assert "[inst]" in joined.lower() or "--control" in arguments, (arguments, result.output)
        if "--json" in arguments and "doctor" not in arguments:
            json.loads(result.stdout if command != "examples" else result.stdout.splitlines()[0])


def test_help_is_printed_whatever_the_encoding(understudy: Any) -> None:
    for name in ["", *main.commands]:
        assert understudy(*filter(None, [name]), "--help").exit_code == 0, name


@given(st.text(st.characters(codec=None), max_size=30))
def test_no_text_drives_a_terminal_and_visible_text_is_untouched(text: str) -> None:
    shown = plain(text)
    assert not {char for char in shown if unicodedata.category(char) in ("Cc", "Cf", "Cs", "Zl", "Zp")} - JOINERS
    assert plain(shown) == shown
    if not drives(text) and not set(KEPT) & set(text):
        assert shown == text
    for encoding in ("ascii", "latin-1", "cp1252", "utf-8"):
        fit(shown, io.TextIOWrapper(io.BytesIO(), encoding=encoding)).encode(encoding)


@given(
    value=st.recursive(st.text(max_size=8), lambda inner: st.lists(inner, max_size=3)),
    charset=st.sampled_from(["utf-8", "ascii"]),
)
def test_json_stays_the_same_json(value: Any, charset: str) -> None:
    @click.command()
    def show() -> None:
        say_json(value)

    assert json.loads(CliRunner(charset=charset).invoke(show).stdout) == value


def on_terminal(program: str, columns: int) -> str:
    """What a real terminal of this width gets, without our own colours."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "COLUMNS": str(columns), "TERM": "xterm-256color", "PYTHONIOENCODING": "utf-8"}
    run = subprocess.Popen([sys.executable, "-c", program], stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    seen = b""
    try:
        while chunk := os.read(ours, 65536):
            seen += chunk
    except OSError:  # how Linux says that the other end is closed
        pass
    os.close(ours)
    assert run.wait() == 0, seen.decode()
    return re.sub(r"\x1b\[[0-9;]*m", "", seen.decode()).replace("\r\n", "\n")


@pytest.mark.parametrize("columns", [10, 40, 200])
def test_on_a_terminal_as_well_at_any_width(columns: int) -> None:
    """All escape sequences there are are our own colours."""
    program = (
        "from backend.screen import say, say_table, Styled\n"
        f"nasty = {NASTY!r}\n"
        "say(nasty)\nsay(Styled(nasty, fg='red', bold=True))\nsay_table([{'text': nasty, nasty: nasty}])"
    )
    text = on_terminal(program, columns)
    assert not drives(text), drives(text)
    assert re.sub(r"\s+", "", text).count("[INST][/INST][red][/][link=http://x]l[/link]:smile:") >= 2


@pytest.mark.parametrize("columns", [1, 5, 20, 60])
def test_a_table_too_wide_for_its_terminal_loses_nothing(columns: int) -> None:
    row = {f"column {number}": f"[cell] {number}" for number in range(9)}
    lines = on_terminal(f"from backend.screen import say_table\nsay_table([{row!r}] * 2)", columns).splitlines()
    assert lines == [*(f"{name}: {value}" for name, value in row.items()), ""] * 2


def test_only_the_screen_writes_to_the_screen() -> None:
    root = Path(__file__).parents[2] / "backend"
    direct = re.compile(r"click\.(echo|secho|style)\(|\bprint\(|(?<!_)\bConsole\(")
    found = [path.name for path in root.rglob("*.py") if direct.search(path.read_text(encoding="utf-8"))]
    assert sorted(found) == ["_wsgi.py", "screen.py"], "_wsgi.py: of a setting, before there are commands"


def test_a_pipe_cuts_and_wraps_nothing(capsys: Any) -> None:
    say_table([{"text": "word " * 200, "n": 1}])
    say("done")
    assert len(capsys.readouterr().out.splitlines()) == 3
