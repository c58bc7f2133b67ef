"""BASE_MODEL names what cannot be used: `up` answers and learns with the encoder of before, says what is wrong, and
goes to what BASE_MODEL names once that is put right. Without a version there is nothing to answer with."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests

from model.versions.directory import read_manifest, version_path
from tests.support.rig import Project, Rig
from tests.support.tiny import LETTERS_OF, build_other, tiny_base  # noqa: F401

pytestmark = pytest.mark.timeout(400)

NUMBER = 7


@pytest.fixture
def project(tmp_path: Path, tiny_base: Path) -> Iterator[Project]:
    rig = Rig(tmp_path / "data", BASE_MODEL=str(tiny_base), POLL_SECONDS="0.2")
    with rig:
        yield Project(rig, NUMBER, ["a", "e"])


def rows(count: int, first: int = 0) -> list[tuple[str, str]]:
    """Texts of letters and their labels."""
    texts = []
    for number in range(first, first + count):
        label = "ae"[number % 2]
        own = LETTERS_OF[label]
        texts.append((" ".join([own[number % 4], own[number // 4 % 4], own[number // 16 % 4]]), label))
    return texts


def wait_until(holds: Callable[[], bool], what: str, seconds: float = 300.0) -> None:
    ends = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < ends, f"not within {seconds:.0f} s: {what}"
        time.sleep(0.2)


def restart(rig: Rig, base_model: object) -> None:
    rig.stop()
    rig._environment["BASE_MODEL"] = str(base_model)
    rig.start()


def understudy(rig: Rig, *arguments: str) -> str:
    command = [sys.executable, "-m", "backend", *arguments]
    done = subprocess.run(command, env=rig.environment, capture_output=True, text=True, timeout=200, check=False)
    return done.stdout + done.stderr


def encoder_of(rig: Rig, version: str) -> str:
    return read_manifest(version_path(rig.data_dir / "models", NUMBER, version)).encoder_digest


@pytest.mark.long
def test_the_encoder_of_before_answers_and_learns_until_base_model_is_put_right(
    project: Project,
    tiny_base: Path,
    tmp_path: Path,
) -> None:
    rig, other = project.rig, build_other(tiny_base, tmp_path / "other")
    project.setup()
    project.annotate_many(rows(48))
    old = project.settle()
    digest = encoder_of(rig, old)
    whole = (other / "model.safetensors").read_bytes()
    (other / "model.safetensors").write_bytes(whole[: len(whole) // 2])

    restart(rig, other)
    told = requests.get(f"{rig.url}/ready", timeout=10).json()
    assert told["base_model"].startswith("encoder_unusable: ") and digest in told["base_model"], told
    assert rig.metric("understudy_base_model_unusable") == 1
    assert encoder_of(rig, project.predict(["a b c"])[0]["model_version"]) == digest
    project.annotate_many(rows(16, 48))
    new = project.settle()
    assert new != old and encoder_of(rig, new) == digest, "labels that come in are learned with it"
    wait_until(lambda: "BASE_MODEL" in rig.admin("GET", f"/projects/{NUMBER}")["off"], "status says so")
    assert "encoder_unusable" in understudy(rig, "doctor")

    (other / "model.safetensors").write_bytes(whole)
    restart(rig, other)
    assert "base_model" not in requests.get(f"{rig.url}/ready", timeout=10).json()
    wait_until(lambda: encoder_of(rig, project.setup()) != digest, "it goes to the encoder that BASE_MODEL names")
    state = rig.admin("GET", f"/projects/{NUMBER}")
    assert "BASE_MODEL" not in state["off"] and state["examples"] == 64


def test_without_a_version_it_refuses(tmp_path: Path) -> None:
    rig = Rig(tmp_path / "data", BASE_MODEL=str(tmp_path / "gone"))
    starting = threading.Thread(target=start, args=(rig,), daemon=True)
    starting.start()
    try:
        wait_until(lambda: refusal(rig) == "encoder_unusable", "it says so")
        wait_until(lambda: "is no directory on this machine" in rig.log_tail(), "on the terminal, too")
    finally:
        rig.stop()
        starting.join(60)


def start(rig: Rig) -> None:
    with contextlib.suppress(RuntimeError):  # it never is ready
        rig.start()


def refusal(rig: Rig) -> str:
    """The code with which /ready refuses; "" while nothing answers."""
    try:
        return str(requests.get(f"{rig.url}/ready", timeout=5).json().get("error", ""))
    except requests.RequestException:
        return ""
