"""BASE_MODEL names another encoder: the processes are replaced as a cluster does it while predictions are asked for all
the time. None fails; the old encoder answers, then the new one, and the old one again after a rollback."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
import requests

from model.acquisition.batch import is_blind
from model.versions.directory import read_manifest, version_path
from tests.conftest import RedisServer
from tests.e2e.conftest import Backend, Studio, choices_result, wait_until
from tests.support.rig import choices_config, free_port
from tests.support.tiny import build_other, letter_record, tiny_base  # noqa: F401

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

LABELLED, CONFIG = 64, choices_config(["a", "e"])


class Asker(threading.Thread):
    """Asks for one prediction after the other, of each address in turn, over a connection of its own each."""

    def __init__(self, project: int, address: str) -> None:
        super().__init__(daemon=True)
        self.project, self.addresses = project, [address]
        self.told, self.failures, self.ended = list[str](), list[str](), threading.Event()

    def run(self) -> None:
        body = {"tasks": [{"data": {"text": "a b c"}}], "project": f"{self.project}.1", "label_config": CONFIG}
        while not self.ended.wait(0.01):
            addresses = self.addresses
            try:
                reply = requests.post(f"{addresses[len(self.told) % len(addresses)]}/predict", json=body, timeout=60)
                reply.raise_for_status()
                self.told.append(str(reply.json()["results"][0]["model_version"]))
            except (requests.RequestException, LookupError, ValueError) as error:
                self.failures.append(repr(error))

    def lead_to(self, *addresses: str) -> None:
        """From now on only these are asked; what was asked before has been answered."""
        self.addresses = list(addresses)
        asked = len(self.told) + len(self.failures)
        wait_until(lambda: len(self.told) + len(self.failures) > asked + 2, "it goes on asking")

    def last(self) -> set[str]:
        """The versions by which the addresses have answered last."""
        return set(self.told[-len(self.addresses) :])


@contextlib.contextmanager
def another_web(backend: Backend, base: Path) -> Iterator[str]:
    """A web process beside those of `up`, of the same installation; its address, once it is ready."""
    port = free_port()
    environment = {**os.environ, **backend.environment, "PORT": str(port), "BASE_MODEL": str(base)}
    process = subprocess.Popen([sys.executable, "-m", "backend", "web"], env=environment)
    try:
        address = f"http://127.0.0.1:{port}"
        wait_until(lambda: is_ready(address), "the second web process is ready")
        yield address
    finally:
        process.terminate()
        process.wait(60)


def is_ready(address: str) -> bool:
    try:
        return requests.get(f"{address}/ready", timeout=5).status_code == 200
    except requests.RequestException:
        return False


@pytest.fixture
def backend(label_studio: Studio, own_redis: RedisServer, tiny_base: Path) -> Iterator[Backend]:  # noqa: F811
    """Over a Redis that goes on while everything else is replaced."""
    rig = Backend(
        LABEL_STUDIO_URL=label_studio.server.url,
        LABEL_STUDIO_API_KEY=label_studio.server.access_token,
        REDIS_URL=own_redis.settings.effective_redis_url,
        BASE_MODEL=str(tiny_base),
        QUEUE_ENABLED="false",
    )
    rig.configs = {}
    with rig:
        yield rig


@pytest.fixture
def project(label_studio: Studio, backend: Backend) -> int:
    """64 labelled texts, which are learned, and 10 others."""
    number = label_studio.create_project("another encoder", CONFIG)
    backend.configs[number] = CONFIG
    tasks = []
    for place in range(LABELLED + 10):
        given = [{"result": choices_result("ae"[place % 2]), "ground_truth": False}] if place < LABELLED else []
        tasks.append({"data": dict(letter_record(place).texts), "annotations": given})
    label_studio.import_tasks(number, tasks)
    backend.understudy("connect", "--project", str(number))
    backend.version(number)
    backend.admin("POST", f"/projects/{number}/resync")
    wait_until(lambda: backend.version(number) != "v0", "the labels are learned")
    return number


def retrieved(studio: Studio, project: int, task: int) -> str:
    """The version that answers Label Studio, which asks for this task."""
    studio.retrieve_predictions(project, [task])
    [found] = studio.predictions(task)
    return str(found["model_version"])


def encoders_of(backend: Backend, project: int, versions: Iterable[str]) -> set[str]:
    """Digests of what these were made with; a busy learner may search on, and publish another over the same encoder."""
    models = backend.data_dir / "models"
    return {read_manifest(version_path(models, project, version)).encoder_digest for version in versions}


@pytest.mark.long
def test_another_base_model_takes_over_without_a_failed_prediction_and_can_be_taken_back(
    label_studio: Studio,
    backend: Backend,
    project: int,
    tiny_base: Path,  # noqa: F811
    tmp_path: Path,
) -> None:
    other = build_other(tiny_base, tmp_path / "other")
    tasks = [int(task["id"]) for task in label_studio.tasks(project)[LABELLED:]]
    free = iter([task for task in tasks if not is_blind(project, task, 0.05)])
    old = backend.settled(project)
    before = encoders_of(backend, project, [old])
    assert retrieved(label_studio, project, next(free)).startswith("v")
    asker = Asker(project, backend.url)
    asker.start()
    with another_web(backend, other) as second:
        asker.lead_to(backend.url, second)
        assert encoders_of(backend, project, set(asker.told)) == before, "the second web process knows both encoders"
        asker.lead_to(second)
        backend.stop()
        backend._environment["BASE_MODEL"] = str(other)
        backend.start()
        asker.lead_to(backend.url, second)
        wait_until(lambda: not encoders_of(backend, project, asker.last()) & before, "both answer by the new encoder")
        asker.lead_to(backend.url)
    answered = retrieved(label_studio, project, next(free))
    after = encoders_of(backend, project, [answered])
    assert after != before
    first = len(asker.told)
    backend.admin("POST", f"/projects/{project}/rollback", {"version": old})
    wait_until(lambda: asker.last() == {old}, "the old version answers again")
    assert retrieved(label_studio, project, next(free)) == old
    asker.ended.set()
    asker.join()
    assert asker.failures == [] and first > 20
    assert encoders_of(backend, project, set(asker.told)) == before | after, "no answer by label names in between"
