"""A trainer alone on its machine fetches BASE_MODEL by our proxies; the training process makes no calls."""

from __future__ import annotations

import json
import shutil
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from backend.base_model.encoders import Encoders
from backend.jobs.train.base_model_files import fetch_base_model
from backend.jobs.train.train import train
from backend.settings.settings import Settings
from backend.store.work.trainings import TRAINING_ATTEMPTS
from model.errors import MissingEncoder
from model.pretrained.base_model import sha256_of
from tests.backend.outbound.test_clients import PROXIES
from tests.conftest import serving
from tests.support.certificate_authority import Handler, Quiet, recording_proxy
from tests.support.tiny import PROJECT, Letters, build_other, letters, settings, tiny_base  # noqa: F401

HUB, NAME, COMMIT = "http://hub.example", "somebody/model", "ab" * 20


class HubBehindProxy(Handler):
    """What a proxy brings from the hub: a list of the files of one model, and each of them."""

    model: Path
    seen: list[str]
    slow = 0.0

    def do_GET(self) -> None:
        self.seen.append(self.path)
        time.sleep(self.slow)
        path = self.path.removeprefix(HUB)
        if path.startswith(f"/api/models/{NAME}"):
            files = [file for file in self.model.rglob("*") if file.is_file()]
            names = [str(file.relative_to(self.model)) for file in files]
            tree = [
                {"type": "file", "path": name, "size": file.stat().st_size, "oid": sha256_of(file)}
                for name, file in zip(names, files, strict=True)
            ]
            about = {"id": NAME, "sha": COMMIT, "siblings": [{"rfilename": name} for name in names]}
            return self.give(json.dumps(tree if "/tree/" in path else about).encode(), "application/json", "list")
        file = self.model / path.partition(f"/resolve/{COMMIT}/")[2]
        return self.give(file.read_bytes(), "application/octet-stream", sha256_of(file))

    do_HEAD = do_GET

    def give(self, content: bytes, kind: str, tag: str) -> None:
        self.send_response(200)
        for name, value in (("Content-Type", kind), ("ETag", f'"{tag}"'), ("X-Repo-Commit", COMMIT)):
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)


@contextmanager
def hub_behind_proxy(model: Path, slow: float = 0.0) -> Iterator[tuple[str, list[str]]]:
    """(the proxy's URL, what it was asked for)."""
    seen: list[str] = []
    server = Quiet(("127.0.0.1", 0), type("OneHub", (HubBehindProxy,), {"model": model, "seen": seen, "slow": slow}))
    with serving(server):
        yield f"http://127.0.0.1:{server.server_port}", seen


@pytest.fixture(autouse=True)
def far_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """The hub is a host that only a proxy knows, and nothing of it is here yet."""
    from huggingface_hub import constants, set_client_factory
    from huggingface_hub.utils._http import default_client_factory

    for name in (*PROXIES, "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(constants, "ENDPOINT", HUB)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", HUB + "/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    yield
    set_client_factory(default_client_factory)


@pytest.fixture
def asked(context: Any, letters: Letters) -> str:  # noqa: F811
    """A training with BASE_MODEL on the hub."""
    context.settings = context.settings.model_copy(update={"base_model": NAME})
    letters.add(8)
    return str(context.stores.jobs.request_training(PROJECT, by="test", force=True)[0]["id"])


@pytest.mark.long
@pytest.mark.timeout(300)
def test_a_trainer_alone_fetches_it_through_the_proxy(
    context: Any,
    asked: str,
    tiny_base: Path,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with hub_behind_proxy(tiny_base) as (proxy, seen):
        monkeypatch.setenv("http_proxy", proxy)
        status = train(asked)
    record = context.stores.jobs.get(asked)
    assert status in ("done", "rejected"), record
    assert any(path.endswith("/model.safetensors") for path in seen) and all(path.startswith(HUB) for path in seen)


def test_without_the_network_it_is_tried_again_and_the_reason_is_told(
    context: Any, asked: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with recording_proxy() as (proxy, seen):
        monkeypatch.setenv("http_proxy", proxy.replace("://", "://me:planted@"))
        assert train(asked) == "crashed"
        record, waits = context.stores.jobs.get(asked), context.stores.failures.waits(PROJECT, "train")
        for _ in range(TRAINING_ATTEMPTS):
            context.stores.failures.clear(PROJECT, "train")  # as when it has waited
            train(asked)
    ended = context.stores.jobs.get(asked)
    assert (ended["status"], ended["error"]) == ("failed", "encoder_unusable")
    assert NAME in ended["message"] and "planted" not in ended["message"] and "BASE_MODEL" in ended["message"]
    assert (
        seen
        and record["error"] == "encoder_unusable"
        and record["status"] == "queued"
        and "planted" not in record["message"]
    )
    assert NAME in record["message"] and record["message"].endswith("tried again")
    assert not (context.settings.runs_dir / asked / "training.log").exists(), "no process was started"
    assert waits > 0


def test_a_proxy_that_cannot_be_used_is_named(context: Any, asked: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:9")
    assert train(asked) == "crashed"
    assert "ALL_PROXY=socks5://127.0.0.1:9 is no address of a proxy" in context.stores.jobs.get(asked)["message"]


def test_it_shows_signs_of_life_and_can_be_stopped_while_it_fetches(
    tiny_base: Path,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given = Settings(_env_file=None, data_dir=tmp_path, base_model=NAME)
    looks: list[Mapping[str, Any]] = []

    def look(said: Mapping[str, Any]) -> None:
        looks.append(said)
        if len(looks) == 3:
            raise InterruptedError

    monkeypatch.setattr("backend.jobs.train.base_model_files.POLL_SECONDS", 0.02)
    with hub_behind_proxy(tiny_base, slow=0.1) as (proxy, _):
        monkeypatch.setenv("http_proxy", proxy)
        with pytest.raises(InterruptedError):
            fetch_base_model(given, look)
        for thread in threading.enumerate():
            if thread.name == "base model":
                thread.join(60)
    assert looks == [{}] * 3


@pytest.mark.parametrize("on_disk", [False, True])
def test_what_is_here_is_not_asked_for(tiny_base: Path, tmp_path: Path, on_disk: bool) -> None:  # noqa: F811
    given = Settings(_env_file=None, data_dir=tmp_path, base_model=str(tiny_base) if on_disk else "")
    assert fetch_base_model(given, lambda said: pytest.fail("looked")) == ""


def test_a_former_encoder_comes_from_the_hub_again_on_another_machine(
    context: Any,
    tiny_base: Path,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    book, cache = context.stores.versions.encoders, tmp_path / "hub"
    other = str(build_other(tiny_base, tmp_path / "other"))
    with hub_behind_proxy(tiny_base) as (proxy, seen):
        monkeypatch.setenv("http_proxy", proxy)
        first = Encoders(context.settings.model_copy(update={"base_model": NAME}), book=book)
        digest = first.base.digest
        source = book.find(digest)
        assert source is not None and source.name == f"{NAME}@{COMMIT[:12]}" and source.place == NAME
        shutil.rmtree(cache)
        seen.clear()
        pod = Encoders(
            context.settings.model_copy(update={"base_model": other, "data_dir": tmp_path / "pod"}), book=book
        )
        assert pod.of(digest).base.digest == digest
        assert seen and all(COMMIT in path for path in seen), "the revision that was used, not the newest"
    shutil.rmtree(cache)
    with recording_proxy() as (proxy, _):
        monkeypatch.setenv("http_proxy", proxy)
        again = Encoders(
            context.settings.model_copy(update={"base_model": other, "data_dir": tmp_path / "new"}), book=book
        )
        with pytest.raises(MissingEncoder, match=f"{NAME} at {COMMIT[:12]} cannot be had from the model hub") as caught:
            again.of(digest)
        monkeypatch.setattr(
            "backend.base_model.former.fetch_revision", lambda *asked: pytest.fail("asked at once again")
        )
        with pytest.raises(MissingEncoder):
            again.of(digest)
    assert caught.value.code == "former_encoder_missing"
